"""The loop over a capture, with a real policy and a real gateway."""

from collections.abc import Iterator

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
    """A writer that keeps everything it gets."""

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


def logged(*records: Record) -> list[Decided]:
    log = Log()
    replay(records, policy(), [log])
    return log.seen


def kinds(*records: Record) -> list[str]:
    return [kind_of(decided.decision) for decided in logged(*records)]


# --- Packets -----------------------------------------------------------------------------


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
    assert logged(at(START_S, ALLOWED), at(START_S, FOREIGN), at(START_S + 1, ANSWER)) == [
        Decided(START_S * NS_PER_S, Direction.OUTBOUND, ALLOWED, Forward("alice", "db")),
        Decided((START_S + 1) * NS_PER_S, Direction.INBOUND, ANSWER, Forward("alice", "db")),
    ]


@pytest.mark.parametrize("packet", [FOREIGN, b"\x45"], ids=["foreign", "without addresses"])
def test_a_packet_of_no_client_is_counted_but_not_decided(packet: bytes) -> None:
    summary = counted(packet)
    assert summary.not_ours == Tally(1, len(packet))
    assert [summary.decided(direction) for direction in Direction] == [Tally()] * 2


def test_a_frame_without_ip_is_counted_as_such() -> None:
    assert counted(ethernet(0x0806, bytes(28)), link_type=ETHERNET).not_ip == Tally(1, 42)


def test_frames_count_as_captured_and_packets_without_padding() -> None:
    summary = counted(ethernet(0x0800, ALLOWED + bytes(6)), link_type=ETHERNET)
    assert summary.frames == Tally(1, 60)
    assert summary.decisions[Direction.OUTBOUND, "forward"] == Tally(1, 40)


def test_a_malformed_packet_of_a_client_is_decided() -> None:
    (decided,) = logged(at(START_S, ALLOWED + b"more"))
    assert decided.decision == Drop(Reason.MALFORMED, None)


def test_a_packet_that_the_snap_length_cut_is_malformed() -> None:
    summary = replay([Record(START_S * NS_PER_S, RAW, ALLOWED[:30], 40)], policy())
    refusals = list(summary.refusals)
    assert (summary.cut, refusals) == (Tally(1, 30), [(Direction.OUTBOUND, Reason.MALFORMED)])


def test_an_unknown_link_type_stops_the_replay() -> None:
    with pytest.raises(UnreadableCaptureError, match="link type 105"):
        counted(ALLOWED, link_type=105)


# --- Time --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        pytest.param(
            [at(EXPIRY_S - 0.5), at(EXPIRY_S)], ["forward", "reject"], id="captured time"
        ),
        pytest.param([at(EXPIRY_S), at(START_S)], ["reject", "reject"], id="never backwards"),
        pytest.param([at(START_S, FOREIGN), at(START_S)], ["forward"], id="from any frame on"),
    ],
)
def test_authorizations_end_by_the_clock_of_the_capture(
    records: list[Record], expected: list[str]
) -> None:
    assert kinds(*records) == expected


def test_a_capture_far_from_the_times_of_the_policy_is_refused() -> None:
    with pytest.raises(InvalidTime):
        replay([at(0)], policy())


def test_events_are_collected() -> None:
    assert replay([at(START_S), at(EXPIRY_S)], policy()).events == [
        AuthorizationExpired("alice", "db", EXPIRY_S),
        AccessExhausted("alice"),
    ]


@pytest.mark.parametrize(
    ("records", "events"),
    [
        pytest.param([at(START_S), at(EXPIRY_S, FOREIGN)], 2, id="at the end"),
        pytest.param([at(START_S), at(EXPIRY_S - 0.5, FOREIGN)], 0, id="after the end"),
    ],
)
def test_an_expiry_by_the_end_of_the_capture_is_an_event(
    records: list[Record], events: int
) -> None:
    assert replay(records, policy()).event_count == events


# --- The end -----------------------------------------------------------------------------


def test_without_packets_nothing_is_counted() -> None:
    assert replay([], policy()) == Summary()
    assert replay(damaged_after(), policy()) == Summary(damage="it is cut short")


def test_a_damaged_capture_counts_up_to_the_damage() -> None:
    summary = replay(damaged_after(at(START_S), at(EXPIRY_S, FOREIGN)), policy())
    assert (summary.damage, summary.frames) == ("it is cut short", Tally(2, 80))
    assert summary.event_count == 2
