"""The loop over a capture, with a real policy and a real gateway."""

import io
import json
from collections.abc import Callable, Iterator

import pytest
from attrs import define, field

from firezone_filter.capture.damage import DamagedCaptureError
from firezone_filter.capture.stream import NS_PER_S, Record
from firezone_filter.policy import Policy, load_policy
from firezone_filter.replay.by_packet import replay_packets
from firezone_filter.replay.captured_packet import read_packet
from firezone_filter.replay.outputs.tables import FlowWriter, JsonLines
from firezone_filter.replay.summary import Decided, Summary, Tally, kind_of
from firezone_filter.testing import tcp as to_tcp
from firezone_filter.values.decisions import Direction, Drop, Forward, Reason
from firezone_filter.values.errors import InvalidTime
from firezone_filter.values.events import AccessExhausted, AuthorizationExpired
from tests.captures import (
    ALLOWED,
    ANSWER,
    CLIENT,
    ETHERNET,
    FOREIGN,
    GATEWAY,
    POLICY,
    RAW,
    REFUSED,
    REFUSED_ANSWER,
    RESOURCE,
    START_S,
    WIFI,
    cooked,
    cooked_v2,
    ethernet,
    ethernet_llc,
    ipv4,
    mpls,
    ping,
    policy,
    pppoe,
    record,
    snap,
)

EXPIRY_S = START_S + 100
OUTBOUND, INBOUND = Direction.OUTBOUND, Direction.INBOUND


@define
class Log:
    """A writer that keeps everything it gets."""

    seen: list[Decided] = field(factory=list)

    def add(self, decided: Decided) -> None:
        self.seen.append(decided)


def at(seconds: float, frame: bytes = ALLOWED, link_type: int = RAW) -> Record:
    return record(frame, seconds, link_type=link_type)


def damaged_after(*records: Record) -> Iterator[Record]:
    yield from records
    raise DamagedCaptureError("it is cut short")


def counted(*frames: bytes, link_type: int = RAW) -> Summary:
    return replay_packets([at(START_S, frame, link_type) for frame in frames], policy())


def logged(*records: Record) -> list[Decided]:
    log = Log()
    replay_packets(records, policy(), [log])
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
    forward, start_ns = Forward("alice", "db"), START_S * NS_PER_S
    request, answer = (read_packet(packet, 40) for packet in (ALLOWED, ANSWER))
    assert logged(at(START_S, ALLOWED), at(START_S, FOREIGN), at(START_S + 1, ANSWER)) == [
        Decided(1, start_ns, OUTBOUND, request, 40, forward, "db"),
        Decided(3, start_ns + NS_PER_S, INBOUND, answer, 40, forward, "db"),
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
    (decided,) = logged(at(START_S, ALLOWED[:-1]))
    assert decided.decision == Drop(Reason.MALFORMED, None)


def test_packets_of_an_unsupported_link_type_are_counted_by_type() -> None:
    summary = replay_packets(
        [at(START_S), at(START_S, ALLOWED, WIFI), at(START_S, b"", 147), at(START_S, b"ab", WIFI)],
        policy(),
    )
    assert summary.unsupported == {WIFI: Tally(2, 42), 147: Tally(1, 0)}
    assert (summary.frames.packets, summary.decided(OUTBOUND).packets) == (4, 1)


# --- Packets that a host would never have seen like this -----------------------------------

LINKS: dict[str, tuple[int, Callable[[bytes], bytes]]] = {
    "raw": (101, lambda packet: packet),
    "ethernet": (1, lambda packet: ethernet(0x0800, packet)),
    "cooked": (113, lambda packet: cooked(0x0800, packet)),
    "cooked v2": (276, lambda packet: cooked_v2(0x0800, packet)),
    "loopback": (0, lambda packet: b"\2\0\0\0" + packet),
    "ppp": (9, lambda packet: b"\xff\3\0\x21" + packet),
    "pppoe": (1, lambda packet: ethernet(0x8864, pppoe(0x21, packet))),
    "mpls": (1, lambda packet: ethernet(0x8847, mpls(packet, 16, 17))),
    "snap": (1, lambda packet: ethernet_llc(snap(0x0800, packet))),
}
on_each_link = pytest.mark.parametrize(("link_type", "frame"), LINKS.values(), ids=list(LINKS))
Framed = Callable[[bytes], bytes]
LONG_TCP = to_tcp(f"{CLIENT}:40000 > {RESOURCE}:5432", b"x" * 1400)


@on_each_link
def test_bytes_behind_the_packet_change_nothing(link_type: int, frame: Framed) -> None:
    summary = counted(frame(ALLOWED) + b"trailer", link_type=link_type)
    assert summary.decisions[OUTBOUND, "forward"] == Tally(1, 40)


@on_each_link
def test_990_frames_cut_at_96_bytes_are_judged_by_their_headers(
    link_type: int, frame: Framed
) -> None:
    whole = frame(LONG_TCP)
    one = Record(START_S * NS_PER_S, link_type, whole[:96], len(whole))
    summary = replay_packets([one] * 990, policy())
    assert summary.decisions[OUTBOUND, "forward"] == Tally(990, 990 * 1440)
    assert (summary.cut, summary.cut_malformed) == (Tally(990, 990 * 1440), Tally())


@on_each_link
def test_a_packet_left_to_segmentation_offload_is_as_long_as_its_frame(
    link_type: int, frame: Framed
) -> None:
    offloaded = LONG_TCP[:2] + bytes(2) + LONG_TCP[4:]
    summary = counted(frame(offloaded), link_type=link_type)
    assert summary.decisions[OUTBOUND, "forward"] == Tally(1, 1440)


def test_a_packet_cut_inside_its_headers_is_malformed() -> None:
    summary = replay_packets([record(ALLOWED[:30], wire_length=40)], policy())
    assert (summary.cut, summary.cut_malformed) == (Tally(1, 40), Tally(1, 40))
    assert list(summary.refusals) == [(OUTBOUND, Reason.MALFORMED)]


QUOTED = to_tcp(f"{CLIENT}:40000 > {RESOURCE}:5432", b"x" * 500)
ERROR = ipv4(RESOURCE, CLIENT, 1, b"\3\1" + bytes(6) + QUOTED)


@pytest.mark.parametrize(
    ("quoted", "kind"),
    [(28, "forward"), (500, "forward"), (27, "drop"), (20, "drop"), (0, "drop")],
)
def test_an_icmp_error_is_judged_by_the_quote_that_was_captured(quoted: int, kind: str) -> None:
    summary = replay_packets([record(ERROR[: 28 + quoted], wire_length=len(ERROR))], policy())
    assert summary.decisions[INBOUND, kind] == Tally(1, len(ERROR))
    refused = [(INBOUND, Reason.ICMP_ERROR)] if kind == "drop" else []
    assert list(summary.refusals) == refused


def test_a_quote_of_zeros_is_not_invented() -> None:
    # Zeros would quote a packet of no protocol to no port; these 8 bytes are not there.
    reject_all = replay_packets([record(ERROR[:48], wire_length=len(ERROR))], policy())
    assert list(reject_all.refusals) == [(INBOUND, Reason.ICMP_ERROR)]


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


def policy_until(expires_at: float | None) -> Policy:
    text = json.dumps(POLICY)
    assert text.count(str(EXPIRY_S)) == 1
    return load_policy(text.replace(str(EXPIRY_S), json.dumps(expires_at)))


def test_a_policy_that_can_begin_at_no_time_of_a_capture_is_refused() -> None:
    with pytest.raises(InvalidTime):
        replay_packets([at(START_S)], policy_until(8e9))


@pytest.mark.parametrize("expires_at", [EXPIRY_S, EXPIRY_S + 0.5, 1_790_000_000, 2**32 - 1])
@pytest.mark.parametrize("count", [1, 3, 8, 12])
def test_a_capture_of_1970_alone_is_decided_nevertheless(expires_at: float, count: int) -> None:
    summary = replay_packets([at(n) for n in range(count)], policy_until(expires_at))
    assert (summary.odd_times, summary.decided(OUTBOUND).packets) == (count, count)
    assert (summary.first_ns, summary.last_ns, summary.events) == (None, None, [])


@pytest.mark.parametrize("odd_s", [0, 1_000_000, -1])
@pytest.mark.parametrize("count", [3, 7, 8, 20])
def test_right_time_stamps_are_taken_once_they_come(odd_s: int, count: int) -> None:
    records = [at(odd_s)] * count + [at(START_S + n) for n in range(1000)]
    summary = replay_packets(records, policy())
    assert (summary.odd_times, summary.out_of_order) == (count, 0)
    assert (summary.first_ns, summary.last_ns) == (START_S * NS_PER_S, (START_S + 999) * NS_PER_S)
    assert summary.decisions[OUTBOUND, "forward"].packets == count + 100
    assert summary.decisions[OUTBOUND, "reject"].packets == 900


@pytest.mark.parametrize("later_s", [1_000, 49 * 31_557_600])
def test_right_time_stamps_after_the_expiry_end_the_authorization(later_s: int) -> None:
    log, flows = Log(), io.BytesIO()
    records = [at(0)] * 8 + [at(EXPIRY_S + later_s)] * 2
    summary = replay_packets(records, policy(), [log], FlowWriter(JsonLines(flows)))
    assert [kind_of(one.decision) for one in log.seen] == ["forward"] * 8 + ["reject"] * 2
    assert summary.events[0] == AuthorizationExpired("alice", "db", EXPIRY_S)
    assert flows.getvalue()


def test_right_time_stamps_are_taken_without_an_expiry_too() -> None:
    summary = replay_packets([at(-1)] * 8 + [at(START_S)] * 2, policy_until(None))
    assert (summary.odd_times, summary.first_ns) == (8, START_S * NS_PER_S)


@pytest.mark.parametrize("odd_s", [-1, 2**32, 2**34, 0, 1e15])
@pytest.mark.parametrize("place", [0, 1, 4, 9, 20])
def test_one_odd_time_stamp_is_decided_at_the_latest_time(odd_s: float, place: int) -> None:
    records = [at(START_S + n) for n in range(20)]
    records.insert(place, at(odd_s))
    summary = replay_packets(records, policy())
    assert summary.decisions[OUTBOUND, "forward"].packets == 21
    assert (summary.odd_times, summary.out_of_order) == (1, 0)
    assert (summary.first_ns, summary.last_ns) == (START_S * NS_PER_S, (START_S + 19) * NS_PER_S)


@pytest.mark.parametrize(
    ("odd_s", "written_s"),
    [(-1, START_S + 8), (2**32, START_S + 8), (0, 0), (2**32 - 1, 2**32 - 1)],
)
def test_only_a_time_that_can_be_written_is(odd_s: int, written_s: int) -> None:
    seen = logged(*[at(START_S + n) for n in range(9)], at(odd_s))
    assert seen[-1].time_ns == written_s * NS_PER_S


def test_packets_out_of_order_are_counted_with_the_longest_step_back() -> None:
    summary = replay_packets([at(START_S + n) for n in (0, 10, 5, 2, 10, 11)], policy())
    assert (summary.out_of_order, summary.out_of_order_by_ns) == (2, 8 * NS_PER_S)
    assert summary.odd_times == 0


def test_a_capture_of_odd_time_stamps_alone_is_decided_nevertheless() -> None:
    summary = replay_packets([at(-n - 1) for n in range(12)], policy())
    assert (summary.odd_times, summary.decided(OUTBOUND).packets) == (12, 12)
    assert (summary.first_ns, summary.last_ns) == (None, None)


def test_events_are_collected() -> None:
    assert replay_packets([at(START_S), at(EXPIRY_S)], policy()).events == [
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
    assert replay_packets(records, policy()).event_count == events


# --- The end -----------------------------------------------------------------------------


def test_without_packets_nothing_is_counted() -> None:
    assert replay_packets([], policy()) == Summary()
    assert replay_packets(damaged_after(), policy()) == Summary(damage="it is cut short")


def test_ctrl_c_ends_a_capture_as_its_end_would() -> None:
    def interrupted() -> Iterator[Record]:
        yield at(START_S)
        yield at(EXPIRY_S, FOREIGN)
        raise KeyboardInterrupt

    summary = replay_packets(interrupted(), policy())
    assert (summary.interrupted, summary.frames, summary.event_count) == (True, Tally(2, 80), 2)


def test_ctrl_c_while_a_packet_is_decided_is_not_taken_for_the_end() -> None:
    class Interrupted:
        def add(self, _: Decided) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        replay_packets([at(START_S)], policy(), [Interrupted()])


def test_a_damaged_capture_counts_up_to_the_damage() -> None:
    summary = replay_packets(damaged_after(at(START_S), at(EXPIRY_S, FOREIGN)), policy())
    assert (summary.damage, summary.frames) == ("it is cut short", Tally(2, 80))
    assert summary.event_count == 2
