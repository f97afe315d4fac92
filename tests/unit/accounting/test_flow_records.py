"""`FlowLog` and `ClientRecords`: the rules for flow records, without any packet."""

from collections.abc import Iterable
from ipaddress import ip_address
from math import inf, nextafter
from sys import float_info
from typing import NamedTuple

import pytest

from firezone_filter.accounting import flow_records
from firezone_filter.accounting.event_queue import EventQueue, Expiry
from firezone_filter.accounting.flow_log import FlowLog
from firezone_filter.accounting.flow_record import (
    IDLE,
    NO_RECORD,
    FlowEnds,
    FlowRecord,
    Traffic,
)
from firezone_filter.accounting.flow_records import SECOND_CHANCES, ClientRecords
from firezone_filter.packet.numbers import ACK, FIN, ICMPV4, RST, SYN, TCP, UDP
from firezone_filter.values.events import Event, FlowEnd, FlowEnded, FlowStarted

NEAR, FAR = ip_address("100.64.0.2").packed, ip_address("10.0.0.5").packed


class Flow(NamedTuple):
    """A resource, and the ends of a flow with it."""

    resource_id: str
    ends: FlowEnds

    def from_port(self, number: int) -> "Flow":
        """Return the same flow from another port of the client."""
        return Flow(self.resource_id, self.ends._replace(near_port=number))


WEB = Flow("web", FlowEnds(TCP, NEAR, 5401, FAR, 443))
DNS = Flow("dns", FlowEnds(UDP, NEAR, 5401, FAR, 53))
PING = Flow("web", FlowEnds(ICMPV4, NEAR, 7, FAR, None))


class Books:
    """The records of one client, and the events that they make."""

    def __init__(self) -> None:
        self.queue = EventQueue()
        self.log = FlowLog(self.queue)
        self.records = ClientRecords("alice", self.log)

    def outbound(
        self, flow: Flow, domain: str | None, flags: int, payload: int, now: float
    ) -> FlowRecord:
        resource_id, ends = flow
        return self.records.outbound(resource_id, ends.packed(), domain, flags, payload, now)

    def inbound(self, flow: Flow, flags: int, payload: int, now: float) -> FlowRecord:
        resource_id, ends = flow
        return self.records.inbound(resource_id, ends.packed(), flags, payload, now)

    def find(self, flow: Flow) -> FlowRecord | None:
        return self.records.find(flow.resource_id, flow.ends.packed())

    def time_out(self, now: float) -> None:
        """End what is over, and report it."""
        self.log.handle_timeout(now)
        self.log.report()

    def events(self) -> list[Event]:
        return list(iter(self.queue.get, None))

    def ended(self) -> list[FlowEnded]:
        return [event for event in self.events() if isinstance(event, FlowEnded)]


@pytest.fixture
def books() -> Books:
    return Books()


# --- Traffic --------------------------------------------------------------------------------


def test_traffic_begins_at_nothing() -> None:
    assert Traffic() == (0, 0, 0, 0)


# --- What begins a record -----------------------------------------------------------------------


@pytest.mark.parametrize("key", [WEB, DNS, PING], ids=["tcp", "udp", "icmp"])
def test_a_packet_from_the_client_begins_a_record(books: Books, key: Flow) -> None:
    flow = books.outbound(key, "a.example.com", 0, 10, 5.0)
    assert books.find(key) is flow
    assert (len(books.log), flow.traffic) == (1, Traffic(1, 10, 0, 0))
    assert books.events() == [
        FlowStarted(
            client_id="alice",
            resource_id=key.resource_id,
            protocol=key.ends.protocol,
            inner_src_ip=ip_address(NEAR),
            inner_src_port=key.ends.near_port,
            inner_dst_ip=ip_address(FAR),
            inner_dst_port=key.ends.far_port,
            domain="a.example.com",
            flow_start=5.0,
        )
    ]


def may_begin(flags: int, payload: int) -> bool:
    """Tell it as the rule has it: any but FIN, RST, or ACK with neither SYN nor payload."""
    if flags & FIN or flags & RST:
        return False
    return not (flags & ACK and not flags & SYN and payload <= 0)


@pytest.mark.parametrize("payload", [-4, 0, 1])
def test_tcp_begins_with_anything_but_fin_rst_and_a_bare_ack(payload: int) -> None:
    for flags in range(64):
        books = Books()
        record = books.outbound(WEB, None, flags, payload, 5.0)
        begins = may_begin(flags, payload)
        assert (record is not NO_RECORD, books.find(WEB) is not None) == (begins, begins)


def test_a_packet_to_the_client_begins_none(books: Books) -> None:
    assert books.inbound(DNS, 0, 10, 5.0) is NO_RECORD
    assert (len(books.log), books.events()) == (0, [])


def test_no_record_has_ended_and_has_not_spoken() -> None:
    assert (NO_RECORD.ended, NO_RECORD.has_spoken) == (True, False)


# --- Counting -------------------------------------------------------------------------------


def test_packets_of_a_record_are_counted_by_direction(books: Books) -> None:
    flow = books.outbound(DNS, None, 0, 10, 1.0)
    assert books.outbound(DNS, None, 0, 20, 2.0) is flow
    assert books.inbound(DNS, 0, 300, 3.0) is flow
    assert (flow.traffic, flow.last_packet) == (Traffic(2, 30, 1, 300), 3.0)
    assert books.log.traffic == flow.traffic


@pytest.mark.parametrize("payload", [-1, -40])
def test_less_than_nothing_counts_as_nothing(books: Books, payload: int) -> None:
    books.outbound(WEB, None, SYN, payload, 1.0)
    flow = books.inbound(WEB, ACK, payload, 1.0)
    assert flow.traffic == Traffic(1, 0, 1, 0)


def test_the_log_sums_up_what_is_open_and_what_has_ended(books: Books) -> None:
    books.outbound(DNS, None, 0, 1, 1.0)
    books.outbound(WEB, None, SYN, 20, 1.0)
    books.inbound(WEB, RST, 300, 1.0)
    assert (len(books.log), books.log.traffic) == (1, Traffic(2, 21, 1, 300))


# --- Ends -----------------------------------------------------------------------------------


@pytest.mark.parametrize("outbound", [True, False])
def test_a_reset_ends_the_record_with_itself(books: Books, *, outbound: bool) -> None:
    flow = books.outbound(WEB, None, SYN, 0, 1.0)
    if outbound:
        assert books.outbound(WEB, None, RST, 1, 2.0) is flow
    else:
        assert books.inbound(WEB, RST, 1, 2.0) is flow
    assert (flow.ended, len(books.log), books.find(WEB)) == (True, 0, None)
    (end,) = books.ended()
    assert (end.cause, end.last_packet, end.flow_end) == (FlowEnd.RST, 2.0, 2.0)
    assert books.log.earliest() is None


def test_one_fin_is_no_end(books: Books) -> None:
    flow = books.outbound(WEB, None, SYN, 0, 1.0)
    books.inbound(WEB, FIN, 0, 2.0)
    books.inbound(WEB, FIN, 0, 3.0)
    assert not flow.is_finished
    books.time_out(4.0)
    assert not flow.ended


def test_two_fins_are_due_at_once_and_no_packet_after_them_puts_that_off(books: Books) -> None:
    flow = books.outbound(WEB, None, SYN, 0, 1.0)
    books.inbound(WEB, FIN, 0, 2.0)
    books.outbound(WEB, None, FIN, 0, 3.0)
    assert (flow.is_finished, books.log.earliest()) == (True, 3.0)
    books.inbound(WEB, FIN, 0, 4.0)
    assert books.log.earliest() == 3.0
    books.time_out(4.0)
    (end,) = books.ended()
    assert (end.cause, end.flow_end, end.rx_packets) == (FlowEnd.FIN, 4.0, 2)


def test_a_flow_is_idle_after_more_than_two_minutes_without_a_packet(books: Books) -> None:
    assert IDLE == 120
    books.outbound(DNS, None, 0, 0, 1.0)
    first = nextafter(121.0, inf)
    assert books.log.earliest() == first
    # A packet in between puts it off, which is noticed when the log is looked at.
    books.inbound(DNS, 0, 0, 100.0)
    books.time_out(150.0)
    due = nextafter(220.0, inf)
    assert books.log.earliest() == due
    books.time_out(220.0)
    assert books.ended() == []
    books.time_out(due)
    assert [(end.cause, end.flow_end) for end in books.ended()] == [(FlowEnd.IDLE, due)]


def test_at_the_last_moment_of_two_minutes_a_flow_is_not_idle_however_late_it_is_noticed(
    books: Books,
) -> None:
    books.outbound(DNS, None, 0, 0, 1.0)
    books.inbound(DNS, 0, 0, 100.0)
    books.time_out(220.0)
    assert books.ended() == []
    assert books.log.earliest() == nextafter(220.0, inf)


def test_a_flow_at_the_end_of_all_times_waits_for_none(books: Books) -> None:
    books.outbound(DNS, None, 0, 0, float_info.max)
    assert books.log.earliest() is None


def test_flows_that_are_over_at_different_times_end_one_by_one(books: Books) -> None:
    books.outbound(DNS, None, 0, 0, 1.0)
    books.outbound(WEB, None, SYN, 0, 2.0)
    books.time_out(121.5)
    assert [end.resource_id for end in books.ended()] == ["dns"]
    books.time_out(122.5)
    assert [end.resource_id for end in books.ended()] == ["web"]


def test_an_end_says_what_the_start_said(books: Books) -> None:
    books.outbound(PING, "a.example.com", 0, 1, 5.0)
    books.records.end_all(FlowEnd.DISCONNECTED, 6.0)
    books.log.report()
    start, end = books.events()
    assert isinstance(start, FlowStarted)
    assert end == FlowEnded(
        client_id=start.client_id,
        resource_id=start.resource_id,
        protocol=start.protocol,
        inner_src_ip=start.inner_src_ip,
        inner_src_port=start.inner_src_port,
        inner_dst_ip=start.inner_dst_ip,
        inner_dst_port=start.inner_dst_port,
        domain=start.domain,
        flow_start=start.flow_start,
        last_packet=5.0,
        flow_end=6.0,
        tx_packets=1,
        tx_bytes=1,
        rx_packets=0,
        rx_bytes=0,
        cause=FlowEnd.DISCONNECTED,
    )


def test_the_records_of_one_resource_can_be_ended_alone(books: Books) -> None:
    for key in (WEB, DNS, PING):
        books.outbound(key, None, SYN, 0, 1.0)
    books.records.end_resource("web", FlowEnd.REVOKED, 2.0)
    books.log.report()
    assert [end.protocol for end in books.ended()] == [TCP, ICMPV4]
    assert books.find(DNS) is not None


def test_to_end_what_is_not_there_reports_nothing(books: Books) -> None:
    books.records.end_resource("web", FlowEnd.REVOKED, 2.0)
    books.log.report()
    books.records.end_all(FlowEnd.DISCONNECTED, 2.0)
    books.log.report()
    books.time_out(1_000.0)
    assert books.events() == []


def test_nothing_is_left_of_records_that_have_ended(books: Books) -> None:
    for number in range(100):
        books.outbound(WEB.from_port(number), None, SYN, 0, 1.0)
    books.records.end_all(FlowEnd.DISCONNECTED, 2.0)
    books.log.report()
    assert (len(books.log), books.log.earliest()) == (0, None)
    assert (books.log._idle, books.records._idle, books.records._by_resource) == ([], [], {})


# --- Crowds ---------------------------------------------------------------------------------


def test_a_flood_of_short_flows_leaves_the_record_of_a_busy_one(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow_records, "MAX_OPEN", 4)
    busy = books.outbound(WEB, None, SYN, 0, 1.0)
    for number in range(20):
        books.inbound(WEB, ACK, 1_000, 2.0 + number)
        books.outbound(WEB.from_port(number), None, SYN, 0, 2.5 + number)
    assert (busy.ended, busy.rx_packets) == (False, 20)


def test_a_flow_is_passed_over_once_for_the_packets_that_it_had(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow_records, "MAX_OPEN", 2)
    busy = books.outbound(WEB, None, SYN, 0, 1.0)
    books.inbound(WEB, ACK, 1_000, 2.0)
    quiet = [
        books.outbound(WEB.from_port(number), None, SYN, 0, 3.0 + number) for number in range(2)
    ]
    assert (busy.ended, quiet[0].ended, quiet[1].ended) == (False, True, False)
    books.outbound(WEB.from_port(2), None, SYN, 0, 5.0)
    assert (busy.ended, quiet[1].ended) == (True, False)


def test_one_goes_although_all_are_busy(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow_records, "MAX_OPEN", 20)
    for number in range(20):
        for now in (1.0, 2.0):
            books.outbound(WEB.from_port(number), None, ACK, 1, now)
    books.events()
    books.outbound(WEB.from_port(20), None, SYN, 0, 3.0)
    end, _ = books.events()
    assert isinstance(end, FlowEnded)
    # Those before it have been passed over.
    assert (end.cause, end.inner_src_port) == (FlowEnd.CROWDED_OUT, SECOND_CHANCES)


@pytest.mark.parametrize("cause", [FlowEnd.REVOKED, FlowEnd.EXPIRED, FlowEnd.DISCONNECTED])
def test_what_is_finished_ends_as_such_whatever_happens_next(books: Books, cause: FlowEnd) -> None:
    books.outbound(WEB, None, SYN, 0, 1.0)
    books.outbound(WEB, None, FIN, 0, 2.0)
    books.inbound(WEB, FIN, 0, 3.0)
    books.events()
    books.records.end_all(cause, 500.0)
    books.log.report()
    (end,) = books.events()
    assert isinstance(end, FlowEnded)
    assert (end.cause, end.flow_end) == (FlowEnd.FIN, 3.0)


# --- Step by step --------------------------------------------------------------------------------


def ports_of(events: list[FlowEnded]) -> list[int | None]:
    return [event.inner_src_port for event in events]


def test_records_are_reported_in_the_order_in_which_they_finished_and_then_by_deadline(
    books: Books,
) -> None:
    for number in range(5):
        books.outbound(WEB.from_port(number), None, FIN, 0, 1.0)
        books.outbound(WEB.from_port(number), None, SYN, 0, 1.0 + number)
    for number in (3, 1):
        books.outbound(WEB.from_port(number), None, FIN, 0, 6.0)
        books.inbound(WEB.from_port(number), FIN, 0, 6.0)
    # A packet that does not move the deadline.
    books.inbound(WEB.from_port(0), ACK, 0, 4.5)
    books.log.handle_timeout(500.0)
    while books.log.earliest() is not None:
        assert books.log.report(1) == 1
    ended = books.ended()
    assert ports_of(ended) == [3, 1, 2, 0, 4]
    assert {event.flow_end for event in ended if event.cause is FlowEnd.IDLE} == {500.0}


def test_a_step_is_a_record_or_a_look_at_one_or_the_end_of_all(books: Books) -> None:
    for number in range(3):
        books.outbound(DNS.from_port(number), None, 0, 0, 1.0)
    books.inbound(DNS.from_port(1), 0, 0, 100.0)
    books.log.handle_timeout(200.0)
    assert [books.log.report(2), len(books.log)] == [2, 2]
    assert [books.log.report(5), len(books.log)] == [2, 1]
    assert [books.log.report(5), books.log.earliest()] == [0, nextafter(220.0, inf)]


def test_what_a_hook_ends_is_over_at_once_and_reported_in_its_place_in_steps(
    books: Books,
) -> None:
    for key in (WEB, DNS, PING):
        books.outbound(key, None, SYN, 10, 1.0)
    books.events()
    books.records.end_resource("web", FlowEnd.REVOKED, 5.0)
    assert (len(books.log), books.find(WEB), books.log.earliest()) == (1, None, 5.0)
    books.outbound(WEB, None, SYN, 10, 6.0)
    books.records.end_all(FlowEnd.DISCONNECTED, 7.0)
    assert (len(books.log), books.log.traffic) == (0, Traffic(4, 40, 0, 0))
    assert [books.log.report(2) for _ in range(4)] == [2, 2, 2, 0]
    assert (books.log.traffic, books.log.earliest()) == (Traffic(4, 40, 0, 0), None)
    told = [(type(event), getattr(event, "flow_end", None)) for event in books.events()]
    assert told == [
        (FlowEnded, 5.0),
        (FlowEnded, 5.0),
        (FlowStarted, None),
        (FlowEnded, 7.0),
        (FlowEnded, 7.0),
    ]


def test_nothing_is_closed_before_expiries_of_that_moment_are_withdrawn(books: Books) -> None:
    for number, now in enumerate((1.0, 2.0)):
        books.outbound(DNS.from_port(number), None, 0, 0, now)
        books.log.handle_timeout(now + 121.0)
    assert books.log.report(before=122.0) == 0
    assert (books.log.report(before=122.5), len(books.log)) == (2, 1)
    assert (books.log.report(), len(books.log)) == (2, 0)


def test_a_closed_record_takes_no_packet_and_is_reported_before_the_flows_next(
    books: Books,
) -> None:
    first, second, third = (
        books.outbound(DNS.from_port(number), None, 0, 1, 1.0) for number in range(3)
    )
    books.events()
    books.log.handle_timeout(200.0)
    assert books.inbound(DNS.from_port(0), 0, 1, 200.0) is NO_RECORD
    again = books.outbound(DNS.from_port(1), None, 0, 1, 201.0)
    books.records.later_fragment(third, 1, 201.0, outbound=False)
    assert [flow.ended for flow in (first, second, again, third)] == [True, True, False, False]
    assert (len(books.log), books.log.traffic) == (2, Traffic(4, 4, 0, 0))
    assert books.events() == []
    books.log.report()
    events = books.events()
    assert [type(event) for event in events] == [FlowEnded] * 3 + [FlowStarted]
    assert ports_of([event for event in events if isinstance(event, FlowEnded)]) == [0, 1, 2]
    assert {getattr(event, "flow_end", 200.0) for event in events} == {200.0}


def test_what_a_closing_has_ended_is_reported_as_that_whatever_ends_it_next(
    books: Books,
) -> None:
    books.outbound(WEB, None, SYN, 0, 1.0)
    books.outbound(DNS, None, 0, 0, 1.0)
    for flow in (WEB, DNS):
        books.outbound(flow, None, FIN, 0, 150.0 if flow is WEB else 1.0)
    books.inbound(WEB, FIN, 0, 150.0)
    books.log.handle_timeout(200.0)
    books.records.end_all(FlowEnd.DISCONNECTED, 201.0)
    books.log.report()
    books.outbound(PING, None, 0, 0, 202.0)
    books.log.report()
    assert [(end.cause, end.flow_end) for end in books.ended()] == [
        (FlowEnd.FIN, 150.0),
        (FlowEnd.IDLE, 200.0),
    ]


def test_an_expiry_ends_what_a_later_closing_would_and_an_earlier_one_does_not(
    books: Books,
) -> None:
    books.outbound(DNS.from_port(1), None, 0, 0, 1.0)
    books.outbound(DNS.from_port(2), None, 0, 0, 2.0)
    books.log.handle_timeout(122.0)
    books.log.handle_timeout(300.0)
    books.events()
    ended = [books.records.expire_resource("dns", Expiry(300.0, 7), most) for most in (1, 1, 1)]
    assert ended == [1, 1, 0]
    books.log.report()
    assert [(end.inner_src_port, end.cause) for end in books.ended()] == [
        (1, FlowEnd.IDLE),
        (2, FlowEnd.EXPIRED),
    ]


def test_what_is_finished_in_the_same_moment_after_a_closing_waits_for_the_next(
    books: Books,
) -> None:
    for number in range(2):
        books.outbound(WEB.from_port(number), None, SYN, 0, 5.0)
        books.outbound(WEB.from_port(number), None, FIN, 0, 5.0)
        books.inbound(WEB.from_port(number), FIN, 0, 5.0)
        books.log.handle_timeout(5.0)
    books.log.report(2)
    books.outbound(WEB.from_port(1), None, ACK, 0, 5.0)
    assert ports_of(books.ended()) == [0]
    books.log.report()
    assert ports_of(books.ended()) == [1]


def test_finished_records_of_many_clients_that_have_ended_otherwise_are_nothing_to_report() -> (
    None
):
    log = FlowLog(EventQueue())
    ends = WEB.ends.packed()
    for number in range(20):
        records = ClientRecords(str(number), log)
        records.outbound("web", ends, None, SYN, 0, 1.0)
        records.outbound("web", ends, None, FIN, 0, 2.0 + number)
        records.inbound("web", ends, FIN, 0, 2.0 + number)
        if number < 19:
            records.inbound("web", ends, RST, 0, 2.0 + number)
    bounds = [log.earliest() for _ in range(5)]
    assert bounds == sorted(bounds, key=lambda bound: bound or inf)
    assert bounds[-1] == 21.0
    log.handle_timeout(30.0)
    assert log.report(1_000) < 60
    assert (len(log), log.earliest()) == (0, None)


# --- Memory --------------------------------------------------------------------------------------


def test_records_that_have_ended_between_others_are_let_go(books: Books) -> None:
    for number in range(1_000):
        books.outbound(WEB.from_port(number), None, SYN, 0, 1.0)
    for number in range(1, 999):
        books.inbound(WEB.from_port(number), RST, 0, 1.0)
    assert books.records._line is not None
    assert max(len(books.records._line), len(books.records._idle)) < 2 * 2 + 64
    books.inbound(WEB.from_port(0), RST, 0, 1.0)
    books.time_out(500.0)
    assert ports_of(books.ended()[-1:]) == [999]


def test_clients_that_have_gone_are_let_go_without_any_timeout() -> None:
    queue = EventQueue()
    log = FlowLog(queue)
    stays = ClientRecords("stays", log)
    stays.outbound("web", WEB.ends.packed(), None, SYN, 0, 1.0)
    for number in range(1_000):
        leaves = ClientRecords(str(number), log)
        leaves.outbound("web", WEB.ends.packed(), None, SYN, 0, 1.0)
        leaves.outbound("web", WEB.ends.packed(), None, FIN, 0, 1.0)
        leaves.inbound("web", WEB.ends.packed(), FIN, 0, 1.0)
        leaves.end_all(FlowEnd.DISCONNECTED, 1.0)
        log.report()
    assert len(log._idle) + len(log._finished) < 2 * 2 + 64
    log.handle_timeout(500.0)
    log.report()
    assert (len(log), log._idle, log._finished, log._gone) == (0, [], [], 0)


# --- Room ----------------------------------------------------------------------------------------


def test_what_a_closing_has_ended_gives_way_before_what_is_open(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow_records, "MAX_OPEN", 3)
    for number in range(3):
        books.outbound(DNS.from_port(number), None, 0, 0, 1.0)
    books.inbound(DNS.from_port(0), 0, 0, 100.0)
    books.log.handle_timeout(200.0)
    for number in (3, 4, 5):
        books.outbound(DNS.from_port(number), None, 0, 0, 200.0)
    books.log.report()
    assert [(end.inner_src_port, end.cause) for end in books.ended()] == [
        (1, FlowEnd.IDLE),
        (2, FlowEnd.IDLE),
        (3, FlowEnd.CROWDED_OUT),
    ]


def test_so_does_what_an_expiry_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow_records, "MAX_OPEN", 2)
    over: dict[str, Expiry] = {}

    def find_over(ids: Iterable[str], now: float) -> tuple[str, Expiry] | None:
        assert now == 5.0
        return next(((one, over[one]) for one in ids if one in over), None)

    books = Books()
    books.records = ClientRecords("alice", books.log, find_over)
    for flow in (DNS, WEB):
        books.outbound(flow, None, SYN, 0, 1.0)
    over["web"] = Expiry(4.0, 1)
    for number in range(2):
        books.outbound(DNS.from_port(number), None, 0, 0, 5.0)
    assert [(end.resource_id, end.cause, end.flow_end) for end in books.ended()] == [
        ("web", FlowEnd.EXPIRED, 4.0),
        ("dns", FlowEnd.CROWDED_OUT, 5.0),
    ]


# --- Splits ---------------------------------------------------------------------------------


def spoken(books: Books, key: Flow = WEB) -> None:
    books.outbound(key, None, SYN, 0, 1.0)
    books.outbound(key, None, ACK, 0, 1.0)
    books.events()


@pytest.mark.parametrize("flags", [0, ACK, SYN])
def test_a_packet_to_another_name_behind_the_same_address_splits_the_record(
    books: Books, flags: int
) -> None:
    old = books.outbound(WEB, "a.example.com", SYN, 0, 1.0)
    books.events()
    new = books.outbound(WEB, "b.example.com", flags, 1, 2.0)
    assert (old.ended, new.traffic, new.domain) == (True, Traffic(1, 1, 0, 0), "b.example.com")
    end, start = books.events()
    assert isinstance(end, FlowEnded)
    assert isinstance(start, FlowStarted)
    assert (end.domain, end.cause, start.domain) == (
        "a.example.com",
        FlowEnd.RESTARTED,
        "b.example.com",
    )


@pytest.mark.parametrize("flags", [SYN, SYN | ACK, SYN | 0x08])
def test_a_syn_after_another_packet_splits_the_record(books: Books, flags: int) -> None:
    spoken(books)
    old = books.find(WEB)
    new = books.outbound(WEB, "b.example.com", flags, 1, 2.0)
    assert (new is old, new.traffic, new.domain) == (False, Traffic(1, 1, 0, 0), "b.example.com")
    end, start = books.events()
    assert isinstance(end, FlowEnded)
    assert isinstance(start, FlowStarted)
    assert (end.cause, end.flow_end, start.flow_start) == (FlowEnd.RESTARTED, 2.0, 2.0)


@pytest.mark.parametrize("flags", [SYN | FIN, ACK, FIN, 0])
def test_nothing_else_splits_it(books: Books, flags: int) -> None:
    spoken(books)
    old = books.find(WEB)
    assert books.outbound(WEB, None, flags, 0, 2.0) is old
    assert books.events() == []


def test_as_long_as_there_were_only_syns_another_is_just_a_packet(books: Books) -> None:
    flow = books.outbound(WEB, None, SYN, 0, 1.0)
    assert not flow.has_spoken
    books.inbound(WEB, SYN | ACK, 0, 1.0)
    assert books.outbound(WEB, None, SYN, 0, 2.0) is flow
    assert flow.traffic == Traffic(2, 0, 1, 0)


def test_after_a_split_a_syn_is_just_a_packet_again(books: Books) -> None:
    spoken(books)
    new = books.outbound(WEB, None, SYN, 0, 2.0)
    assert books.outbound(WEB, None, SYN, 0, 3.0) is new


def test_a_reset_after_both_fins_is_an_end_by_reset(books: Books) -> None:
    spoken(books)
    books.outbound(WEB, None, FIN, 0, 2.0)
    books.inbound(WEB, FIN, 0, 3.0)
    books.inbound(WEB, RST, 0, 4.0)
    books.time_out(500.0)
    assert [(end.cause, end.flow_end) for end in books.ended()] == [(FlowEnd.RST, 4.0)]


def test_a_split_after_both_fins_is_an_end_by_fin(books: Books) -> None:
    spoken(books)
    books.outbound(WEB, None, FIN, 0, 2.0)
    books.inbound(WEB, FIN, 0, 3.0)
    books.outbound(WEB, None, SYN, 0, 9.0)
    (end,) = books.ended()
    assert (end.cause, end.flow_end) == (FlowEnd.FIN, 3.0)


# --- The clock ------------------------------------------------------------------------------


def test_the_first_now_is_the_start_of_all_that_began_before(books: Books) -> None:
    idle = books.outbound(DNS, None, 0, 0, 0.0)
    done = books.outbound(WEB, None, SYN, 0, 0.0)
    books.outbound(WEB, None, FIN, 0, 0.0)
    books.inbound(WEB, FIN, 0, 0.0)
    books.log.shift_clock(500.0)
    assert idle.passed_over == 500.0
    assert {idle.flow_start, idle.last_packet, done.flow_start, done.last_packet} == {500.0}
    assert books.log.earliest() == 500.0
    books.time_out(500.0)
    assert books.log.earliest() == nextafter(620.0, inf)


def test_an_empty_log_can_have_a_clock(books: Books) -> None:
    books.log.shift_clock(500.0)
    assert books.log.earliest() is None
