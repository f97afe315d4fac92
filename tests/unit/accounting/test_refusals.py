"""`RefusalLog` and `RefusalCounts` by themselves."""

from collections.abc import Iterable
from ipaddress import ip_address

import pytest

from firezone_filter.accounting.event_queue import EventQueue
from firezone_filter.accounting.refusals import MAX_FAR_ENDS, PERIOD, RefusalCounts, RefusalLog
from firezone_filter.values.decisions import Direction, Drop, Reason, Reject
from firezone_filter.values.events import FlowRefused
from tests.builders import fragment, udp
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
    log.log.forget_old(65.0)
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
    log.log.forget_old(60.0)
    assert [record.packets for record in log.reported()] == [2]


def test_without_refusals_there_is_nothing_to_report(log: Log) -> None:
    assert log.log.earliest() is None
    log.log.forget_old(1_000.0)
    log.log.shift_clock(1_000.0)
    assert log.reported() == []


def test_a_record_is_due_a_period_after_its_first_packet(log: Log) -> None:
    log.add([to_host(1)], 5.0)
    log.add([to_host(1)], 64.0)
    assert log.log.earliest() == 5.0 + PERIOD
    log.log.forget_old(64.75)
    assert log.reported() == []
    log.log.forget_old(65.0)
    assert [record.last_packet for record in log.reported()] == [64.0]
    assert log.log.earliest() is None


def test_the_oldest_record_is_due_first(log: Log) -> None:
    log.add([to_host(1)], 5.0)
    log.add([to_host(2)], 6.0)
    log.add([to_host(1)], 7.0)
    log.log.forget_old(65.5)
    assert [str(record.far_ip) for record in log.reported()] == ["10.0.0.1"]
    assert log.log.earliest() == 66.0


def test_far_ends_beyond_the_limit_share_a_record(log: Log) -> None:
    log.add(to_host(number) for number in range(1, MAX_FAR_ENDS + 3))
    log.log.forget_old(60.0)
    *apart, together = log.reported()
    assert [str(record.far_ip) for record in apart] == [
        f"10.0.0.{number}" for number in range(1, MAX_FAR_ENDS + 1)
    ]
    assert (together.far_ip, together.far_port, together.packets) == (None, 53, 2)


def test_a_record_keeps_the_fields_that_all_its_packets_share(log: Log) -> None:
    log.add([to_host(1, 53), to_host(1, 54), to_host(1, 53)])
    log.log.forget_old(60.0)
    (record,) = log.reported()
    assert (record.far_ip, record.protocol, record.far_port) == (ip_address("10.0.0.1"), 17, None)


def test_unreadable_packets_share_a_record(log: Log) -> None:
    log.add([b"", b"\x45", bytes(40)], refused=OF_NO_CLIENT)
    log.log.forget_old(60.0)
    (record,) = log.reported()
    assert (record.client_id, record.far_ip, record.protocol, record.far_port) == (None,) * 4
    assert (record.packets, record.ip_bytes) == (3, 41)


def test_the_record_of_a_later_fragment_has_no_port(log: Log) -> None:
    log.add([fragment(udp(V4.flow(OUTBOUND, 53), bytes(64)), 24)])
    log.log.forget_old(60.0)
    (record,) = log.reported()
    assert (record.protocol, record.far_port) == (17, None)


def test_earlier_refusals_are_dated_to_the_first_now(log: Log) -> None:
    log.add([to_host(1), to_host(2)])
    log.log.shift_clock(1_000.0)
    assert log.log.earliest() == 1_060.0
    log.log.forget_old(1_060.0)
    found = [(record.first_packet, record.last_packet) for record in log.reported()]
    assert found == [(1_000.0, 1_000.0)] * 2


def test_reported_records_are_forgotten(log: Log) -> None:
    log.add(to_host(number) for number in range(1, 100))
    log.add([b""], refused=OF_NO_CLIENT)
    log.log.forget_old(60.0)
    assert (len(log.log._records), len(log.log._slots)) == (0, 0)


def test_a_scan_takes_bounded_memory(log: Log) -> None:
    log.add(to_host(number % 250, number % 65_536) for number in range(5_000))
    assert (len(log.log._records), len(log.log._slots)) == (MAX_FAR_ENDS + 1, 1)


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
    refusals = RefusalCounts(None)
    refusals.add(direction, b"", Drop(reason, None), 0.0)
    refusals.add(direction, b"", Reject(b"", reason, "alice"), 0.0)
    counted = {key: count for key, count in refusals.by_direction().items() if count}
    assert counted == {(direction, reason): 2}


def test_returned_counts_do_not_change_later() -> None:
    refusals = RefusalCounts(None)
    before = refusals.by_direction()
    refusals.add(INBOUND, b"", OF_NO_CLIENT, 0.0)
    assert before[INBOUND, Reason.MALFORMED] == 0


def test_a_counted_refusal_goes_to_the_log_as_well() -> None:
    log = Log()
    RefusalCounts(log.log).add(INBOUND, V4.udp(INBOUND), BY_PORT, 5.0)
    log.log.forget_old(65.0)
    assert [record.reason for record in log.reported()] == [Reason.UDP_PORT]
