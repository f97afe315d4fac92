"""`FlowLog` and `ClientRecords`: the rules for flow records, without any packet."""

from ipaddress import ip_address
from math import inf, nextafter
from sys import float_info

import pytest

from firezone_filter.accounting import flow_records
from firezone_filter.accounting.event_queue import EventQueue
from firezone_filter.accounting.flow_records import (
    IDLE,
    NO_RECORD,
    SECOND_CHANCES,
    ClientRecords,
    FlowKey,
    FlowLog,
    Traffic,
)
from firezone_filter.packet.numbers import ACK, FIN, ICMPV4, RST, SYN, TCP, UDP
from firezone_filter.values.events import Event, FlowEnd, FlowEnded, FlowStarted

NEAR, FAR = ip_address("100.64.0.2").packed, ip_address("10.0.0.5").packed
WEB = FlowKey("web", TCP, NEAR, 5401, FAR, 443)
DNS = FlowKey("dns", UDP, NEAR, 5401, FAR, 53)
PING = FlowKey("web", ICMPV4, NEAR, 7, FAR, None)


class Books:
    """The records of one client, and the events that they make."""

    def __init__(self) -> None:
        self.queue = EventQueue()
        self.log = FlowLog(self.queue)
        self.records = ClientRecords("alice", self.log)

    def events(self) -> list[Event]:
        return list(iter(self.queue.get, None))

    def ended(self) -> list[FlowEnded]:
        return [event for event in self.events() if isinstance(event, FlowEnded)]


@pytest.fixture
def books() -> Books:
    return Books()


# --- Traffic --------------------------------------------------------------------------------


def test_traffic_begins_at_nothing_and_adds_up_field_by_field() -> None:
    assert Traffic() == (0, 0, 0, 0)
    assert Traffic(1, 20, 300, 4_000).plus(Traffic(5, 6, 7, 8)) == Traffic(6, 26, 307, 4_008)


# --- What begins a record -----------------------------------------------------------------------


@pytest.mark.parametrize("key", [WEB, DNS, PING], ids=["tcp", "udp", "icmp"])
def test_a_packet_from_the_client_begins_a_record(books: Books, key: FlowKey) -> None:
    flow = books.records.outbound(key, "a.example.com", 0, 10, 5.0)
    assert books.records.find(key) is flow
    assert (len(books.log), flow.traffic) == (1, Traffic(1, 10, 0, 0))
    assert books.events() == [
        FlowStarted(
            client_id="alice",
            resource_id=key.resource_id,
            protocol=key.protocol,
            inner_src_ip=ip_address(NEAR),
            inner_src_port=key.near_port,
            inner_dst_ip=ip_address(FAR),
            inner_dst_port=key.far_port,
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
        record = books.records.outbound(WEB, None, flags, payload, 5.0)
        begins = may_begin(flags, payload)
        assert (record is not NO_RECORD, books.records.find(WEB) is not None) == (begins, begins)


def test_a_packet_to_the_client_begins_none(books: Books) -> None:
    assert books.records.inbound(DNS, 0, 10, 5.0) is NO_RECORD
    assert (len(books.log), books.events()) == (0, [])


def test_no_record_has_ended_and_has_not_spoken() -> None:
    assert (NO_RECORD.ended, NO_RECORD.has_spoken) == (True, False)


# --- Counting -------------------------------------------------------------------------------


def test_packets_of_a_record_are_counted_by_direction(books: Books) -> None:
    flow = books.records.outbound(DNS, None, 0, 10, 1.0)
    assert books.records.outbound(DNS, None, 0, 20, 2.0) is flow
    assert books.records.inbound(DNS, 0, 300, 3.0) is flow
    assert (flow.traffic, flow.last_packet) == (Traffic(2, 30, 1, 300), 3.0)
    assert books.log.traffic == flow.traffic


@pytest.mark.parametrize("payload", [-1, -40])
def test_less_than_nothing_counts_as_nothing(books: Books, payload: int) -> None:
    books.records.outbound(WEB, None, SYN, payload, 1.0)
    flow = books.records.inbound(WEB, ACK, payload, 1.0)
    assert flow.traffic == Traffic(1, 0, 1, 0)


def test_the_log_sums_up_what_is_open_and_what_has_ended(books: Books) -> None:
    books.records.outbound(DNS, None, 0, 1, 1.0)
    books.records.outbound(WEB, None, SYN, 20, 1.0)
    books.records.inbound(WEB, RST, 300, 1.0)
    assert (len(books.log), books.log.traffic) == (1, Traffic(2, 21, 1, 300))


# --- Ends -----------------------------------------------------------------------------------


@pytest.mark.parametrize("outbound", [True, False])
def test_a_reset_ends_the_record_with_itself(books: Books, *, outbound: bool) -> None:
    flow = books.records.outbound(WEB, None, SYN, 0, 1.0)
    if outbound:
        assert books.records.outbound(WEB, None, RST, 1, 2.0) is flow
    else:
        assert books.records.inbound(WEB, RST, 1, 2.0) is flow
    assert (flow.ended, len(books.log), books.records.find(WEB)) == (True, 0, None)
    (end,) = books.ended()
    assert (end.cause, end.last_packet, end.flow_end) == (FlowEnd.RST, 2.0, 2.0)
    assert books.log.earliest() is None


def test_one_fin_is_no_end(books: Books) -> None:
    flow = books.records.outbound(WEB, None, SYN, 0, 1.0)
    books.records.inbound(WEB, FIN, 0, 2.0)
    books.records.inbound(WEB, FIN, 0, 3.0)
    assert not flow.is_finished
    books.log.forget_old(4.0)
    assert not flow.ended


def test_two_fins_are_due_at_once_and_no_packet_after_them_puts_that_off(books: Books) -> None:
    flow = books.records.outbound(WEB, None, SYN, 0, 1.0)
    books.records.inbound(WEB, FIN, 0, 2.0)
    books.records.outbound(WEB, None, FIN, 0, 3.0)
    assert (flow.is_finished, books.log.earliest()) == (True, 3.0)
    books.records.inbound(WEB, FIN, 0, 4.0)
    assert books.log.earliest() == 3.0
    books.log.forget_old(3.0)
    (end,) = books.ended()
    assert (end.cause, end.flow_end, end.rx_packets) == (FlowEnd.FIN, 4.0, 2)


def test_a_flow_is_idle_after_more_than_two_minutes_without_a_packet(books: Books) -> None:
    assert IDLE == 120
    books.records.outbound(DNS, None, 0, 0, 1.0)
    first = nextafter(121.0, inf)
    assert books.log.earliest() == first
    # A packet in between puts it off, which is noticed when the log is looked at.
    books.records.inbound(DNS, 0, 0, 100.0)
    books.log.forget_old(150.0)
    due = nextafter(220.0, inf)
    assert books.log.earliest() == due
    books.log.forget_old(220.0)
    assert books.ended() == []
    books.log.forget_old(due)
    assert [(end.cause, end.flow_end) for end in books.ended()] == [(FlowEnd.IDLE, due)]


def test_at_the_last_moment_of_two_minutes_a_flow_is_not_idle_however_late_it_is_noticed(
    books: Books,
) -> None:
    books.records.outbound(DNS, None, 0, 0, 1.0)
    books.records.inbound(DNS, 0, 0, 100.0)
    books.log.forget_old(220.0)
    assert books.ended() == []
    assert books.log.earliest() == nextafter(220.0, inf)


@pytest.mark.parametrize(
    "last", [float_info.max, 2**1024 - 2**970 - 1], ids=["float", "greatest-int-in-a-float"]
)
def test_a_flow_at_the_end_of_all_times_waits_for_none(books: Books, last: float) -> None:
    books.records.outbound(DNS, None, 0, 0, last)
    assert books.log.earliest() is None


def test_flows_that_are_over_at_different_times_end_one_by_one(books: Books) -> None:
    books.records.outbound(DNS, None, 0, 0, 1.0)
    books.records.outbound(WEB, None, SYN, 0, 2.0)
    books.log.forget_old(121.5)
    assert [end.resource_id for end in books.ended()] == ["dns"]
    books.log.forget_old(122.5)
    assert [end.resource_id for end in books.ended()] == ["web"]


def test_an_end_says_what_the_start_said(books: Books) -> None:
    books.records.outbound(PING, "a.example.com", 0, 1, 5.0)
    books.records.end_all(FlowEnd.DISCONNECTED, 6.0)
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
        books.records.outbound(key, None, SYN, 0, 1.0)
    books.records.end_resource("web", FlowEnd.REVOKED, 2.0)
    assert [end.protocol for end in books.ended()] == [TCP, ICMPV4]
    assert books.records.find(DNS) is not None


def test_to_end_what_is_not_there_reports_nothing(books: Books) -> None:
    books.records.end_resource("web", FlowEnd.REVOKED, 2.0)
    books.records.end_all(FlowEnd.DISCONNECTED, 2.0)
    books.log.forget_old(1_000.0)
    assert books.events() == []


def test_nothing_is_left_of_records_that_have_ended(books: Books) -> None:
    for number in range(100):
        books.records.outbound(WEB._replace(near_port=number), None, SYN, 0, 1.0)
    books.records.end_all(FlowEnd.DISCONNECTED, 2.0)
    assert (len(books.log), books.log.earliest()) == (0, None)
    assert (books.log._deadlines._heap, books.records._flows) == ([], {})


# --- Crowds ---------------------------------------------------------------------------------


def test_a_flood_of_short_flows_leaves_the_record_of_a_busy_one(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow_records, "MAX_OPEN", 4)
    busy = books.records.outbound(WEB, None, SYN, 0, 1.0)
    for number in range(20):
        books.records.inbound(WEB, ACK, 1_000, 2.0 + number)
        books.records.outbound(WEB._replace(near_port=number), None, SYN, 0, 2.5 + number)
    assert (busy.ended, busy.rx_packets) == (False, 20)


def test_a_flow_is_passed_over_once_for_the_packets_that_it_had(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow_records, "MAX_OPEN", 2)
    busy = books.records.outbound(WEB, None, SYN, 0, 1.0)
    books.records.inbound(WEB, ACK, 1_000, 2.0)
    quiet = [
        books.records.outbound(WEB._replace(near_port=number), None, SYN, 0, 3.0 + number)
        for number in range(2)
    ]
    assert (busy.ended, quiet[0].ended, quiet[1].ended) == (False, True, False)
    books.records.outbound(WEB._replace(near_port=2), None, SYN, 0, 5.0)
    assert (busy.ended, quiet[1].ended) == (True, False)


def test_one_goes_although_all_are_busy(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow_records, "MAX_OPEN", 20)
    for number in range(20):
        for now in (1.0, 2.0):
            books.records.outbound(WEB._replace(near_port=number), None, ACK, 1, now)
    books.events()
    books.records.outbound(WEB._replace(near_port=20), None, SYN, 0, 3.0)
    end, _ = books.events()
    assert isinstance(end, FlowEnded)
    # Those before it have been passed over.
    assert (end.cause, end.inner_src_port) == (FlowEnd.CROWDED_OUT, SECOND_CHANCES)


@pytest.mark.parametrize("cause", [FlowEnd.REVOKED, FlowEnd.EXPIRED, FlowEnd.DISCONNECTED])
def test_what_is_finished_ends_as_such_whatever_happens_next(books: Books, cause: FlowEnd) -> None:
    books.records.outbound(WEB, None, SYN, 0, 1.0)
    books.records.outbound(WEB, None, FIN, 0, 2.0)
    books.records.inbound(WEB, FIN, 0, 3.0)
    books.events()
    books.records.end_all(cause, 500.0)
    (end,) = books.events()
    assert isinstance(end, FlowEnded)
    assert (end.cause, end.flow_end) == (FlowEnd.FIN, 3.0)


# --- Splits ---------------------------------------------------------------------------------


def spoken(books: Books, key: FlowKey = WEB) -> None:
    books.records.outbound(key, None, SYN, 0, 1.0)
    books.records.outbound(key, None, ACK, 0, 1.0)
    books.events()


@pytest.mark.parametrize("flags", [0, ACK, SYN])
def test_a_packet_to_another_name_behind_the_same_address_splits_the_record(
    books: Books, flags: int
) -> None:
    old = books.records.outbound(WEB, "a.example.com", SYN, 0, 1.0)
    books.events()
    new = books.records.outbound(WEB, "b.example.com", flags, 1, 2.0)
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
    old = books.records.find(WEB)
    new = books.records.outbound(WEB, "b.example.com", flags, 1, 2.0)
    assert (new is old, new.traffic, new.domain) == (False, Traffic(1, 1, 0, 0), "b.example.com")
    end, start = books.events()
    assert isinstance(end, FlowEnded)
    assert isinstance(start, FlowStarted)
    assert (end.cause, end.flow_end, start.flow_start) == (FlowEnd.RESTARTED, 2.0, 2.0)


@pytest.mark.parametrize("flags", [SYN | FIN, ACK, FIN, 0])
def test_nothing_else_splits_it(books: Books, flags: int) -> None:
    spoken(books)
    old = books.records.find(WEB)
    assert books.records.outbound(WEB, None, flags, 0, 2.0) is old
    assert books.events() == []


def test_as_long_as_there_were_only_syns_another_is_just_a_packet(books: Books) -> None:
    flow = books.records.outbound(WEB, None, SYN, 0, 1.0)
    assert not flow.has_spoken
    books.records.inbound(WEB, SYN | ACK, 0, 1.0)
    assert books.records.outbound(WEB, None, SYN, 0, 2.0) is flow
    assert flow.traffic == Traffic(2, 0, 1, 0)


def test_after_a_split_a_syn_is_just_a_packet_again(books: Books) -> None:
    spoken(books)
    new = books.records.outbound(WEB, None, SYN, 0, 2.0)
    assert books.records.outbound(WEB, None, SYN, 0, 3.0) is new


def test_a_split_after_both_fins_is_an_end_by_fin(books: Books) -> None:
    spoken(books)
    books.records.outbound(WEB, None, FIN, 0, 2.0)
    books.records.inbound(WEB, FIN, 0, 3.0)
    books.records.outbound(WEB, None, SYN, 0, 9.0)
    (end,) = books.ended()
    assert (end.cause, end.flow_end) == (FlowEnd.FIN, 3.0)


# --- The clock ------------------------------------------------------------------------------


def test_the_first_now_is_the_start_of_all_that_began_before(books: Books) -> None:
    idle = books.records.outbound(DNS, None, 0, 0, 0.0)
    done = books.records.outbound(WEB, None, SYN, 0, 0.0)
    books.records.outbound(WEB, None, FIN, 0, 0.0)
    books.records.inbound(WEB, FIN, 0, 0.0)
    books.log.shift_clock(500.0)
    assert idle.passed_over == 500.0
    assert {idle.flow_start, idle.last_packet, done.flow_start, done.last_packet} == {500.0}
    assert books.log.earliest() == 500.0
    books.log.forget_old(500.0)
    assert books.log.earliest() == nextafter(620.0, inf)


def test_an_empty_log_can_have_a_clock(books: Books) -> None:
    books.log.shift_clock(500.0)
    assert books.log.earliest() is None
