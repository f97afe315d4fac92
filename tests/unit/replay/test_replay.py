"""The loop over a capture, with a real policy and a real gateway."""

from collections.abc import Iterable, Iterator

import pytest
from attrs import define, field

from firezone_filter.capture.errors import DamagedCaptureError, UnreadableCaptureError
from firezone_filter.capture.stream import NS_PER_S, Record
from firezone_filter.replay.replay import replay
from firezone_filter.replay.summary import Decided, Summary, Tally, kind_of
from firezone_filter.values.decisions import Direction, Drop, Forward, Reason
from firezone_filter.values.errors import InvalidTime
from firezone_filter.values.events import AccessExhausted, AuthorizationExpired
from tests.captures import (
    ALLOWED,
    ANSWER,
    FOREIGN,
    GATEWAY,
    REFUSED,
    REFUSED_ANSWER,
    ethernet,
    ping,
    policy,
)

START_S = 1_700_000_000
EXPIRY_S = 1_700_000_100
RAW = 101
ETHERNET = 1


@define
class Log:
    """A writer that keeps what it gets."""

    seen: list[Decided] = field(factory=list)

    def add(self, decided: Decided) -> None:
        self.seen.append(decided)


def at(seconds: float, frame: bytes = ALLOWED, link_type: int = RAW) -> Record:
    return Record(int(seconds * NS_PER_S), link_type, frame, len(frame))


def damaged_after(*records: Record) -> Iterator[Record]:
    yield from records
    raise DamagedCaptureError("it is cut short")


def counted(*frames: bytes, link_type: int = RAW) -> Summary:
    return replay([at(START_S, frame, link_type) for frame in frames], policy())


def kinds(records: Iterable[Record]) -> list[str]:
    log = Log()
    replay(records, policy(), [log])
    return [kind_of(decided.decision) for decided in log.seen]


@pytest.mark.parametrize(
    ("packet", "direction", "kind"),
    [
        pytest.param(ALLOWED, Direction.OUTBOUND, "forward", id="request"),
        pytest.param(ANSWER, Direction.INBOUND, "forward", id="answer"),
        pytest.param(REFUSED, Direction.OUTBOUND, "reject", id="refused request"),
        pytest.param(REFUSED_ANSWER, Direction.INBOUND, "drop", id="refused answer"),
        pytest.param(ping(), Direction.OUTBOUND, "forward", id="ping"),
        pytest.param(ping(destination=GATEWAY), Direction.OUTBOUND, "forward", id="gateway"),
    ],
)
def test_packets_of_clients_are_decided(packet: bytes, direction: Direction, kind: str) -> None:
    assert counted(packet).decisions[direction, kind] == Tally(1, len(packet))


def test_writers_get_every_decided_packet_in_order() -> None:
    log = Log()
    replay([at(START_S, ALLOWED), at(START_S, FOREIGN), at(START_S, ANSWER)], policy(), [log])
    assert [decided.packet for decided in log.seen] == [ALLOWED, ANSWER]


def test_writers_get_the_decision_with_its_direction_and_time() -> None:
    log = Log()
    replay([at(START_S, ANSWER)], policy(), [log])
    expected = Decided(START_S * NS_PER_S, Direction.INBOUND, ANSWER, Forward("alice", "db"))
    assert log.seen == [expected]


def test_what_concerns_no_client_is_not_decided() -> None:
    summary = counted(FOREIGN)
    assert (summary.not_ours, summary.decided(Direction.OUTBOUND)) == (Tally(1, 40), Tally())


def test_bytes_without_addresses_are_not_ours() -> None:
    assert counted(b"\x45").not_ours == Tally(1, 1)


def test_a_frame_without_ip_is_counted_as_such() -> None:
    assert counted(ethernet(0x0806, bytes(28)), link_type=ETHERNET).not_ip == Tally(1, 42)


def test_every_frame_is_counted_as_captured() -> None:
    frame = ethernet(0x0800, ALLOWED + bytes(6))
    assert counted(frame, frame, link_type=ETHERNET).frames == Tally(2, 120)


def test_padding_is_no_part_of_the_packet() -> None:
    summary = counted(ethernet(0x0800, ALLOWED + bytes(6)), link_type=ETHERNET)
    assert summary.decisions[Direction.OUTBOUND, "forward"] == Tally(1, 40)


def test_a_malformed_packet_of_a_client_is_decided() -> None:
    log = Log()
    replay([at(START_S, ALLOWED + b"more")], policy(), [log])
    assert log.seen[0].decision == Drop(Reason.MALFORMED, None)


def test_a_packet_that_the_snap_length_cut_is_malformed() -> None:
    summary = replay([Record(START_S * NS_PER_S, RAW, ALLOWED[:30], 40)], policy())
    refusals = list(summary.refusals)
    assert (summary.cut, refusals) == (Tally(1, 30), [(Direction.OUTBOUND, Reason.MALFORMED)])


def test_the_time_of_the_capture_ends_authorizations() -> None:
    assert kinds([at(EXPIRY_S - 0.5), at(EXPIRY_S)]) == ["forward", "reject"]


def test_time_does_not_run_backwards() -> None:
    assert kinds([at(EXPIRY_S), at(START_S)]) == ["reject", "reject"]


def test_the_clock_starts_with_the_first_frame_whatever_it_is() -> None:
    assert kinds([at(START_S, FOREIGN), at(START_S)]) == ["forward"]


def test_events_are_collected() -> None:
    assert replay([at(START_S), at(EXPIRY_S)], policy()).events == [
        AuthorizationExpired("alice", "db", EXPIRY_S),
        AccessExhausted("alice"),
    ]


def test_what_expires_when_no_packet_is_ours_is_an_event_too() -> None:
    assert replay([at(START_S), at(EXPIRY_S, FOREIGN)], policy()).event_count == 2


def test_what_expires_after_the_capture_is_no_event() -> None:
    assert replay([at(START_S), at(EXPIRY_S - 0.5, FOREIGN)], policy()).event_count == 0


def test_a_capture_without_packets_needs_no_clock() -> None:
    assert replay([], policy()) == Summary()


def test_a_capture_whose_clock_has_nothing_to_do_with_the_policy_is_refused() -> None:
    with pytest.raises(InvalidTime):
        replay([at(0)], policy())


def test_a_damaged_capture_counts_up_to_the_damage() -> None:
    summary = replay(damaged_after(at(START_S)), policy())
    assert (summary.damage, summary.frames) == ("it is cut short", Tally(1, 40))


def test_events_come_up_to_the_damage_too() -> None:
    assert replay(damaged_after(at(START_S), at(EXPIRY_S, FOREIGN)), policy()).event_count == 2


def test_a_whole_capture_has_no_damage() -> None:
    assert counted(ALLOWED).damage is None


def test_a_capture_that_is_damaged_from_the_start_counts_nothing() -> None:
    assert replay(damaged_after(), policy()) == Summary(damage="it is cut short")


def test_an_unknown_link_type_stops_the_replay() -> None:
    with pytest.raises(UnreadableCaptureError, match="link type 105"):
        counted(ALLOWED, link_type=105)
