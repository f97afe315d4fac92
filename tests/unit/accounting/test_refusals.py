"""`RefusalLog` and `RefusalCounts` by themselves."""

from collections.abc import Iterable
from ipaddress import ip_address

import pytest

from firezone_filter.accounting import refusals
from firezone_filter.accounting.event_queue import EventQueue
from firezone_filter.accounting.refusals import MAX_FAR_ENDS, PERIOD, RefusalCounts, RefusalLog
from firezone_filter.testing import fragment, udp
from firezone_filter.values.decisions import Direction, Drop, Reason, Reject
from firezone_filter.values.events import FlowRefused
from tests.flow_events import ENDED, STARTED
from tests.scenes import INBOUND, OUTBOUND, V4, Family, both_directions, both_families

BY_PORT = Drop(Reason.UDP_PORT, "alice")
REJECTED = Reject(b"reply", Reason.UDP_PORT, "alice")
OF_NO_CLIENT = Drop(Reason.MALFORMED, None)


def to_host(number: int, port: int = 53) -> bytes:
    return udp(f"{V4.client}:5401 > 10.0.0.{number}:{port}")


class Log:
    """A log of refusals and its reports."""

    def __init__(self) -> None:
        self.queue = EventQueue()
        self.log = RefusalLog(self.queue)

    def add(
        self,
        packets: Iterable[bytes],
        now: float = 0.0,
        *,
        direction: Direction = OUTBOUND,
        refused: Drop | Reject = BY_PORT,
    ) -> None:
        for packet in packets:
            self.log.add(direction, packet, refused, now)

    def time_out(self, now: float) -> None:
        """Report all that is due."""
        self.log.handle_timeout(now)
        self.log.report()

    def reported(self) -> list[FlowRefused]:
        events = iter(self.queue.get, None)
        return [event for event in events if isinstance(event, FlowRefused)]


@pytest.fixture
def log() -> Log:
    return Log()


# --- The log --------------------------------------------------------------------------------


@both_families
@both_directions
def test_a_record_has_the_client_the_far_end_and_the_reason(
    log: Log, family: Family, direction: Direction
) -> None:
    packet = family.udp(direction, size=7)
    log.add([packet], 5.0, direction=direction)
    log.time_out(65.0)
    assert log.reported() == [
        FlowRefused(
            client_id="alice",
            direction=direction,
            reason=Reason.UDP_PORT,
            far_ip=ip_address(family.host),
            protocol=17,
            far_port=53,
            first_packet=5.0,
            last_packet=5.0,
            packets=1,
            ip_bytes=len(packet),
        )
    ]


def test_drops_and_rejections_for_one_reason_share_a_record(log: Log) -> None:
    log.add([to_host(1)])
    log.add([to_host(1)], refused=REJECTED)
    log.time_out(60.0)
    assert [record.packets for record in log.reported()] == [2]


def test_without_refusals_there_is_nothing_to_report(log: Log) -> None:
    assert log.log.earliest() is None
    log.time_out(1_000.0)
    log.log.shift_clock(1_000.0)
    assert log.reported() == []


def test_a_record_is_due_a_period_after_its_first_packet(log: Log) -> None:
    log.add([to_host(1)], 5.0)
    log.add([to_host(1)], 64.0)
    assert log.log.earliest() == 5.0 + PERIOD
    log.time_out(64.75)
    assert log.reported() == []
    log.time_out(65.0)
    assert [record.last_packet for record in log.reported()] == [64.0]
    assert log.log.earliest() is None


def test_the_oldest_record_is_due_first(log: Log) -> None:
    log.add([to_host(1)], 5.0)
    log.add([to_host(2)], 6.0)
    log.add([to_host(1)], 7.0)
    log.time_out(65.5)
    assert [str(record.far_ip) for record in log.reported()] == ["10.0.0.1"]
    assert log.log.earliest() == 66.0


def test_far_ends_beyond_the_limit_share_a_record(log: Log) -> None:
    log.add(to_host(number) for number in range(1, MAX_FAR_ENDS + 3))
    log.time_out(60.0)
    *apart, together = log.reported()
    assert [str(record.far_ip) for record in apart] == [
        f"10.0.0.{number}" for number in range(1, MAX_FAR_ENDS + 1)
    ]
    assert (together.far_ip, together.far_port, together.packets) == (None, 53, 2)


def test_a_record_keeps_the_fields_that_all_its_packets_share(log: Log) -> None:
    log.add([to_host(1, 53), to_host(1, 54), to_host(1, 53)])
    log.time_out(60.0)
    (record,) = log.reported()
    assert (record.far_ip, record.protocol, record.far_port) == (ip_address("10.0.0.1"), 17, None)


def test_unreadable_packets_share_a_record(log: Log) -> None:
    log.add([b"", b"\x45", bytes(40)], refused=OF_NO_CLIENT)
    log.time_out(60.0)
    (record,) = log.reported()
    assert (record.client_id, record.far_ip, record.protocol, record.far_port) == (None,) * 4
    assert (record.packets, record.ip_bytes) == (3, 41)


def test_the_record_of_a_later_fragment_has_no_port(log: Log) -> None:
    log.add([fragment(udp(V4.flow(OUTBOUND, 53), bytes(64)), 24)])
    log.time_out(60.0)
    (record,) = log.reported()
    assert (record.protocol, record.far_port) == (17, None)


def test_earlier_refusals_are_dated_to_the_first_now(log: Log) -> None:
    log.add([to_host(1), to_host(2)])
    log.log.shift_clock(1_000.0)
    assert log.log.earliest() == 1_060.0
    log.time_out(1_060.0)
    found = [(record.first_packet, record.last_packet) for record in log.reported()]
    assert found == [(1_000.0, 1_000.0)] * 2


def test_reported_records_are_forgotten(log: Log) -> None:
    log.add(to_host(number) for number in range(1, 100))
    log.add([b""], refused=OF_NO_CLIENT)
    log.time_out(60.0)
    assert (len(log.log._records), len(log.log._by_client)) == (0, 0)


def test_a_scan_takes_bounded_memory(log: Log) -> None:
    log.add(to_host(number % 250, number % 65_536) for number in range(5_000))
    assert len(log.log._records) == MAX_FAR_ENDS + 1


# --- Step by step ------------------------------------------------------------------------------


def test_reports_take_as_many_steps_as_they_may_and_are_announced_until_the_last(
    log: Log,
) -> None:
    log.add([to_host(1)], 1.0)
    log.add([to_host(2)], 2.0)
    log.add([to_host(1)], 2.0, refused=Drop(Reason.TCP_PORT, "alice"))
    log.log.handle_timeout(63.0)
    assert (log.log.report(2), log.log.earliest()) == (2, 63.0)
    assert [record.first_packet for record in log.reported()] == [1.0, 2.0]
    assert (log.log.report(5), log.log.earliest()) == (2, None)
    assert [record.reason for record in log.reported()] == [Reason.TCP_PORT]
    assert not log.log._by_client


def test_what_is_due_counts_no_more_and_keeps_no_place_though_it_is_not_reported(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refusals, "AT_ONCE", 0)
    log.add((to_host(number) for number in range(1, MAX_FAR_ENDS + 3)), 1.0)
    log.add([to_host(100), to_host(1)], 61.0)
    log.add([to_host(100)], 62.0)
    log.log.report()
    assert len(log.reported()) == MAX_FAR_ENDS + 1
    log.time_out(121.0)
    assert [(str(record.far_ip), record.packets) for record in log.reported()] == [
        ("10.0.0.100", 2),
        ("10.0.0.1", 1),
    ]


def test_reports_stand_where_the_call_was_at_which_they_were_due(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refusals, "AT_ONCE", 0)
    log.add([to_host(1)], 1.0)
    log.add([to_host(2)], 2.0)
    log.add([to_host(3)], 61.0)
    log.queue.put_flow(STARTED, 61.0)
    log.add([to_host(3)], 61.0)
    log.add([to_host(3)], 62.0)
    log.queue.put_flow(ENDED, 62.0)
    assert log.queue.get() is None
    log.log.report()
    events = list(iter(log.queue.get, None))
    assert [getattr(event, "first_packet", event) for event in events] == [
        1.0,
        STARTED,
        2.0,
        ENDED,
    ]


# --- The counts -----------------------------------------------------------------------------


def test_every_direction_and_reason_has_a_count_from_the_start() -> None:
    counts = RefusalCounts(None).by_direction()
    assert counts.keys() == {(way, reason) for way in Direction for reason in Reason}
    assert set(counts.values()) == {0}


@pytest.mark.parametrize("reason", Reason)
@both_directions
def test_a_refusal_is_counted_under_its_direction_and_reason(
    direction: Direction, reason: Reason
) -> None:
    counts = RefusalCounts(None)
    counts.add(direction, b"", Drop(reason, None), 0.0)
    counts.add(direction, b"", Reject(b"", reason, "alice"), 0.0)
    counted = {key: count for key, count in counts.by_direction().items() if count}
    assert counted == {(direction, reason): 2}


def test_returned_counts_do_not_change_later() -> None:
    counts = RefusalCounts(None)
    before = counts.by_direction()
    counts.add(INBOUND, b"", OF_NO_CLIENT, 0.0)
    assert before[INBOUND, Reason.MALFORMED] == 0


def test_a_counted_refusal_goes_to_the_log_as_well() -> None:
    log = Log()
    RefusalCounts(log.log).add(INBOUND, V4.udp(INBOUND), BY_PORT, 5.0)
    log.time_out(65.0)
    assert [record.reason for record in log.reported()] == [Reason.UDP_PORT]
