"""Refused packets in the log: their lines, and the counts of packets without one."""

import json
import logging
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firezone_filter import (
    DecisionLog,
    Direction,
    Drop,
    Forward,
    InvalidPolicy,
    InvalidTime,
    JsonFormatter,
    Reason,
    Reject,
    Translate,
    TunnelAddresses,
)
from firezone_filter.logs.log import MAX_INTERVAL
from firezone_filter.logs.suppression import MAX_CLIENTS
from firezone_filter.testing import fragment, icmp, icmp_echo, ip, tcp, udp

T = 1_790_000_000.0
OUT, IN = Direction.OUTBOUND, Direction.INBOUND

PACKET = tcp("100.64.0.2:40000 > 10.0.0.5:22")
DROP = Drop(Reason.TCP_PORT, "alice")
REJECT = Reject(b"reply", Reason.TCP_PORT, "alice")


class Written(logging.Handler):
    """Keeps the written lines."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(JsonFormatter())
        self.lines: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(json.loads(self.format(record)))

    @property
    def messages(self) -> list[str]:
        return [line["message"] for line in self.lines]


class Scene:
    """A log and its lines."""

    def __init__(self, interval: float = 30.0, max_far_ends: int = 20) -> None:
        logger = logging.Logger("gateway", 1)  # noqa: LOG001 - shared with no other test
        self.written = Written()
        logger.addHandler(self.written)
        self.log = DecisionLog(logger, interval=interval, max_far_ends=max_far_ends)

    @property
    def lines(self) -> list[dict[str, Any]]:
        return self.written.lines

    @property
    def messages(self) -> list[str]:
        return self.written.messages

    def refuse(self, after: float = 0.0, packet: bytes = PACKET, times: int = 1) -> None:
        for _ in range(times):
            self.log.decided(OUT, packet, DROP, T + after)

    def scan(self, after: float, hosts: int) -> None:
        for host in range(hosts):
            self.refuse(after, tcp(f"100.64.0.2:40000 > 10.1.{host >> 8}.{host & 255}:22"))


@pytest.fixture
def scene() -> Scene:
    return Scene()


# --- Allowed packets ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "decision", [Forward("alice", "db"), Forward("alice", None), Translate(b"", "alice", "web")]
)
def test_an_allowed_packet_has_no_line_and_is_not_looked_at(
    scene: Scene, decision: Forward | Translate
) -> None:
    anything: Any = object()
    scene.log.decided(anything, anything, decision, anything)
    assert (scene.lines, scene.log.poll_timeout()) == ([], None)


# --- The line of one packet --------------------------------------------------------------


@pytest.mark.parametrize("decision", [DROP, REJECT])
def test_a_refused_packet_has_a_line(scene: Scene, decision: Drop | Reject) -> None:
    scene.log.decided(OUT, PACKET, decision, T)
    assert scene.lines == [
        {
            "time": "2026-09-21T14:13:20.000000000Z",
            "severity": "INFO",
            "message": "Refused packet",
            "cid": "alice",
            "reason": "tcp-port",
            "direction": "outbound",
            "protocol": "tcp",
            "src": "100.64.0.2",
            "src_port": 40000,
            "dst": "10.0.0.5",
            "dst_port": 22,
        }
    ]


def test_an_inbound_packet_has_a_line_too(scene: Scene) -> None:
    scene.log.decided(IN, tcp("[fd00:5::5]:443 > [fd00:2021:1111::2]:40000"), DROP, T)
    (line,) = scene.lines
    assert (line["direction"], line["src"], line["src_port"], line["dst"], line["dst_port"]) == (
        "inbound",
        "fd00:5::5",
        443,
        "fd00:2021:1111::2",
        40000,
    )


@pytest.mark.parametrize(
    ("packet", "protocol"),
    [
        (udp("100.64.0.2:40000 > 10.0.0.5:53"), "udp"),
        (icmp_echo("100.64.0.2 > 10.0.0.5"), "icmp"),
        (icmp_echo("fd00:2021:1111::2 > fd00:5::5"), "icmpv6"),
        (ip("100.64.0.2 > 10.0.0.5", 47), "47"),
    ],
)
def test_a_protocol_has_its_name_or_its_number(scene: Scene, packet: bytes, protocol: str) -> None:
    scene.refuse(packet=packet)
    assert scene.lines[0]["protocol"] == protocol


@pytest.mark.parametrize(
    ("packet", "type_and_code"),
    [
        (icmp("100.64.0.2 > 10.0.0.5", 3, 13), (3, 13)),
        (icmp("fd00:2021:1111::2 > fd00:5::5", 128), (128, 0)),
        # The first of two fragments has them, and the other has data in their place.
        (fragment(icmp("100.64.0.2 > 10.0.0.5", 8, 1, body=bytes(16)), 0, 16), (8, 1)),
        (fragment(icmp("100.64.0.2 > 10.0.0.5", 8, 1, body=bytes(16)), 16), (None, None)),
        (PACKET, (None, None)),
    ],
    ids=["icmp", "icmpv6", "first fragment", "later fragment", "tcp"],
)
def test_the_line_of_an_icmp_packet_has_type_and_code(
    scene: Scene, packet: bytes, type_and_code: tuple[int | None, int | None]
) -> None:
    scene.refuse(packet=packet)
    (line,) = scene.lines
    assert (line.get("icmp_type"), line.get("icmp_code")) == type_and_code


def test_the_line_of_a_packet_without_ports_has_none(scene: Scene) -> None:
    scene.refuse(packet=ip("100.64.0.2 > 10.0.0.5", 47))
    assert list(scene.lines[0])[-3:] == ["protocol", "src", "dst"]


def test_the_line_of_a_malformed_packet_has_no_addresses(scene: Scene) -> None:
    scene.log.decided(OUT, b"\x45", Drop(Reason.MALFORMED, None), T)
    (line,) = scene.lines
    assert list(line)[2:] == ["message", "reason", "direction"]


@pytest.mark.parametrize("kind", [bytearray, memoryview])
def test_a_packet_may_be_any_bytes_like_object(scene: Scene, kind: type) -> None:
    scene.log.decided(OUT, kind(PACKET), DROP, T)
    assert scene.lines[0]["dst"] == "10.0.0.5"


SEVERITIES = {
    # Spoofed addresses and a full gateway.
    Reason.SOURCE_NOT_ALLOWED: "WARN",
    Reason.PEER_ADDRESS: "WARN",
    Reason.NAT_EXHAUSTED: "WARN",
    Reason.FLOWS_EXHAUSTED: "WARN",
    # Normal noise.
    Reason.MULTICAST: "DEBUG",
    Reason.NOT_A_PEER: "DEBUG",
    Reason.EXPIRED_NAT_SESSION: "DEBUG",
    Reason.UNSOLICITED: "DEBUG",
}


@pytest.mark.parametrize("reason", Reason)
def test_the_reason_gives_the_severity(scene: Scene, reason: Reason) -> None:
    scene.log.decided(OUT, PACKET, Drop(reason, "alice"), T)
    assert scene.lines[0]["severity"] == SEVERITIES.get(reason, "INFO")


def test_lines_below_the_level_of_the_logger_are_not_written() -> None:
    logger = logging.Logger("gateway", logging.INFO)  # noqa: LOG001 - shared with no other test
    written = Written()
    logger.addHandler(written)
    DecisionLog(logger).decided(OUT, PACKET, Drop(Reason.MULTICAST, "alice"), T)
    assert written.lines == []


def test_a_record_factory_of_the_host_may_set_the_same_fields(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def factory(*args: Any, **kwargs: Any) -> logging.LogRecord:  # noqa: ANN401 - the signature of logging
        record = logging.LogRecord(*args, **kwargs)
        vars(record).update(cid="-", host="gateway-1")
        return record

    monkeypatch.setattr(logging, "_logRecordFactory", factory)
    scene.refuse()
    assert (scene.lines[0]["cid"], scene.lines[0]["host"]) == ("alice", "gateway-1")


# --- Packets without a line -------------------------------------------------------------


def test_later_packets_to_the_same_far_end_have_no_line(scene: Scene) -> None:
    scene.refuse(times=5)
    scene.refuse(after=29.9)
    assert len(scene.lines) == 1


@pytest.mark.parametrize(
    ("direction", "packet", "decision"),
    [
        (OUT, tcp("100.64.0.2:40000 > 10.0.0.6:22"), DROP),
        (OUT, tcp("100.64.0.2:40000 > 10.0.0.5:23"), DROP),
        (OUT, udp("100.64.0.2:40000 > 10.0.0.5:22"), DROP),
        (OUT, PACKET, Drop(Reason.NO_RESOURCE, "alice")),
        (OUT, PACKET, Drop(Reason.TCP_PORT, "bob")),
        (OUT, PACKET, Drop(Reason.TCP_PORT, None)),
        (IN, tcp("10.0.0.5:22 > 100.64.0.2:40000"), DROP),
    ],
    ids=["address", "port", "protocol", "reason", "client", "no client", "direction"],
)
def test_a_packet_that_differs_has_a_line_of_its_own(
    scene: Scene, direction: Direction, packet: bytes, decision: Drop
) -> None:
    scene.refuse()
    scene.log.decided(direction, packet, decision, T)
    assert scene.messages == ["Refused packet"] * 2


def test_a_packet_that_differs_in_the_near_end_alone_has_none(scene: Scene) -> None:
    scene.refuse()
    scene.refuse(packet=tcp("100.64.0.3:40001 > 10.0.0.5:22"))
    assert len(scene.lines) == 1


def test_their_number_is_logged_when_the_interval_is_over(scene: Scene) -> None:
    scene.refuse(times=4)
    scene.log.handle_timeout(T + 29.999)
    assert len(scene.lines) == 1
    scene.log.handle_timeout(T + 30.0)
    assert scene.lines[1] == {
        "time": "2026-09-21T14:13:50.000000000Z",
        "severity": "INFO",
        "message": "Refused 3 packets",
        "cid": "alice",
        "reason": "tcp-port",
        "direction": "outbound",
        "protocol": "tcp",
        "dst": "10.0.0.5",
        "dst_port": 22,
        "suppressed": 3,
    }


def test_a_number_of_0_is_not_logged_and_1_is_singular(scene: Scene) -> None:
    scene.refuse()
    scene.log.decided(OUT, PACKET, Drop(Reason.ICMP, "bob"), T)
    scene.log.decided(OUT, PACKET, Drop(Reason.ICMP, "bob"), T)
    scene.log.handle_timeout(T + 30.0)
    assert scene.messages[2:] == ["Refused 1 packet"]


def test_the_far_end_of_an_inbound_packet_is_its_source(scene: Scene) -> None:
    for _ in range(2):
        scene.log.decided(IN, tcp("10.0.0.5:22 > 100.64.0.2:40000"), DROP, T)
    scene.log.handle_timeout(T + 30.0)
    assert list(scene.lines[1].items())[-4:] == [
        ("protocol", "tcp"),
        ("src", "10.0.0.5"),
        ("src_port", 22),
        ("suppressed", 1),
    ]


def test_malformed_packets_are_counted_without_a_far_end(scene: Scene) -> None:
    for _ in range(3):
        scene.log.decided(OUT, b"", Drop(Reason.MALFORMED, None), T)
    scene.log.handle_timeout(T + 30.0)
    assert list(scene.lines[1].items())[2:] == [
        ("message", "Refused 2 packets"),
        ("reason", "malformed"),
        ("direction", "outbound"),
        ("suppressed", 2),
    ]


def test_without_a_timer_the_next_refusal_logs_the_counts(scene: Scene) -> None:
    scene.refuse(times=4)
    scene.log.decided(OUT, PACKET, Drop(Reason.ICMP, "bob"), T + 31.0)
    assert scene.messages[1:] == ["Refused 3 packets", "Refused packet"]


def test_packets_that_go_on_stay_without_a_line(scene: Scene) -> None:
    scene.refuse(times=2)
    scene.log.handle_timeout(T + 30.0)
    scene.refuse(after=31.0, times=5)
    scene.log.handle_timeout(T + 60.0)
    assert scene.messages == ["Refused packet", "Refused 1 packet", "Refused 5 packets"]


def test_after_a_quiet_interval_a_packet_has_a_line_again(scene: Scene) -> None:
    scene.refuse(times=2)
    scene.log.handle_timeout(T + 30.0)
    scene.log.handle_timeout(T + 60.0)
    scene.refuse(after=61.0)
    assert scene.messages == ["Refused packet", "Refused 1 packet", "Refused packet"]


def test_an_interval_that_ends_late_delays_the_next_one(scene: Scene) -> None:
    scene.refuse(times=2)
    scene.log.handle_timeout(T + 50.0)
    assert scene.log.poll_timeout() == T + 80.0


# --- Overflow ----------------------------------------------------------------------------


def test_a_scan_has_a_few_lines_and_one_for_the_rest(scene: Scene) -> None:
    scene.scan(after=0.0, hosts=65_536)
    scene.log.handle_timeout(T + 30.0)
    assert scene.messages == [
        *["Refused packet"] * 20,
        "Refused 65516 packets of further far ends",
    ]


def test_the_rest_has_no_far_end(scene: Scene) -> None:
    scene.scan(after=0.0, hosts=22)
    scene.log.handle_timeout(T + 30.0)
    assert list(scene.lines[-1].items())[3:] == [
        ("cid", "alice"),
        ("reason", "tcp-port"),
        ("direction", "outbound"),
        ("suppressed", 2),
    ]


def test_the_rest_is_counted_by_direction_and_reason() -> None:
    scene = Scene(max_far_ends=0)
    scene.refuse(times=2)
    scene.log.decided(OUT, PACKET, Drop(Reason.ICMP, "alice"), T)
    scene.log.decided(IN, PACKET, DROP, T)
    scene.log.handle_timeout(T + 30.0)
    told = [(line["direction"], line["reason"], line["suppressed"]) for line in scene.lines]
    assert told == [
        ("outbound", "tcp-port", 2),
        ("outbound", "icmp", 1),
        ("inbound", "tcp-port", 1),
    ]


def test_far_ends_that_go_on_keep_their_place() -> None:
    scene = Scene(max_far_ends=2)
    scene.refuse(times=2)
    scene.log.handle_timeout(T + 30.0)
    scene.scan(after=31.0, hosts=3)
    scene.log.flush(T + 31.0)
    assert scene.messages[2:] == ["Refused packet", "Refused 2 packets of further far ends"]


def test_the_rest_is_counted_once_beside_a_far_end_that_goes_on() -> None:
    scene = Scene(max_far_ends=1)
    scene.refuse(times=2)
    scene.scan(after=0.0, hosts=3)
    scene.log.handle_timeout(T + 30.0)
    scene.log.flush(T + 31.0)
    assert scene.messages[1:] == ["Refused 1 packet", "Refused 3 packets of further far ends"]


def test_a_scan_takes_no_place_from_other_clients(scene: Scene) -> None:
    scene.scan(after=0.0, hosts=100)
    scene.log.decided(OUT, PACKET, Drop(Reason.TCP_PORT, "bob"), T)
    assert scene.lines[-1]["cid"] == "bob"


def test_clients_beyond_the_limit_are_counted_together(scene: Scene) -> None:
    for number in range(MAX_CLIENTS + 5):
        scene.log.decided(OUT, PACKET, Drop(Reason.ICMP, f"client {number}"), T)
    scene.log.handle_timeout(T + 30.0)
    *apart, _ = scene.lines
    assert [line["cid"] for line in apart] == [f"client {n}" for n in range(MAX_CLIENTS)]
    assert list(scene.lines[-1].items())[2:] == [
        ("message", "Refused 5 packets of further clients"),
        ("reason", "icmp"),
        ("direction", "outbound"),
        ("suppressed", 5),
    ]


def test_quiet_clients_make_room(scene: Scene) -> None:
    for number in range(MAX_CLIENTS):
        scene.log.decided(OUT, PACKET, Drop(Reason.ICMP, f"client {number}"), T)
    scene.refuse(after=30.0)
    assert scene.lines[-1]["cid"] == "alice"


# --- Time --------------------------------------------------------------------------------


def test_the_timer_waits_from_the_first_refusal_to_the_end_of_its_interval(scene: Scene) -> None:
    assert scene.log.poll_timeout() is None
    scene.refuse(after=1.0)
    scene.refuse(after=2.0)
    assert scene.log.poll_timeout() == T + 31.0


def test_the_timer_stops_after_quiet_intervals(scene: Scene) -> None:
    scene.refuse(after=1.0)
    # As if 1 s later: time never runs backwards.
    scene.log.decided(OUT, PACKET, Drop(Reason.ICMP, "bob"), T)
    scene.log.handle_timeout(T + 31.0)
    assert scene.log.poll_timeout() is None


def test_time_never_runs_backwards(scene: Scene) -> None:
    scene.refuse(after=10.0)
    scene.refuse(after=0.0, packet=tcp("100.64.0.2:1 > 10.0.0.9:9"))
    assert [line["time"] for line in scene.lines] == ["2026-09-21T14:13:30.000000000Z"] * 2


FIFTY_YEARS = 50 * 31_557_600


@pytest.mark.parametrize("by", [FIFTY_YEARS + 1.0, -FIFTY_YEARS - 1.0])
def test_a_time_far_from_the_latest_raises_and_changes_nothing(scene: Scene, by: float) -> None:
    scene.refuse(times=2)
    with pytest.raises(InvalidTime, match="clock_set"):
        scene.refuse(by)
    scene.log.handle_timeout(T + 30.0)
    assert scene.messages == ["Refused packet", "Refused 1 packet"]


def test_a_first_time_may_be_any_time_and_the_next_50_years_from_it() -> None:
    scene = Scene()
    scene.refuse(-T)
    scene.refuse(FIFTY_YEARS - T)
    assert scene.messages == ["Refused packet"] * 2


@pytest.mark.parametrize("by", [-T, -3600.0, 0.0, 0.1, 3e9])
def test_an_open_interval_keeps_what_was_left_when_the_clock_is_set(
    scene: Scene, by: float
) -> None:
    scene.refuse(times=3)
    scene.log.handle_timeout(T + 20.0)
    scene.log.clock_set(T + 20.0 + by)
    end = scene.log.poll_timeout()
    assert end is not None
    assert end == pytest.approx(T + 30.0 + by, abs=1e-5)
    scene.log.handle_timeout(end - 1.0)
    assert scene.messages == ["Refused packet"]
    scene.log.handle_timeout(end)
    assert scene.messages == ["Refused packet", "Refused 2 packets"]


def test_an_interval_that_begins_after_the_clock_was_set_does_not_end_before_older_ones() -> None:
    scene = Scene(interval=0.1)
    scene.log.decided(OUT, PACKET, DROP, 1e9)
    scene.log.clock_set(0.3)
    scene.log.decided(OUT, PACKET, Drop(Reason.ICMP, "bob"), 0.3)
    end = scene.log.poll_timeout()
    assert end is not None
    assert end <= 0.3 + 0.1


def test_the_lines_have_the_time_of_the_clock_as_it_was_set(scene: Scene) -> None:
    scene.refuse(after=3600.0)
    scene.log.clock_set(T)
    scene.refuse(packet=tcp("100.64.0.2:1 > 10.0.0.9:9"))
    assert [line["time"][11:19] for line in scene.lines] == ["15:13:20", "14:13:20"]


def test_before_the_first_time_setting_the_clock_is_a_first_time(scene: Scene) -> None:
    scene.log.clock_set(T + 5.0)
    scene.refuse()
    assert scene.lines[0]["time"] == "2026-09-21T14:13:25.000000000Z"


@pytest.mark.parametrize("now", [float("nan"), float("inf"), 2**33])
def test_a_clock_set_to_no_time_raises_and_changes_nothing(scene: Scene, now: float) -> None:
    scene.refuse()
    with pytest.raises(InvalidTime):
        scene.log.clock_set(now)
    assert scene.log.poll_timeout() == T + 30.0
    scene.log.handle_timeout(T + 30.0)
    assert scene.log.poll_timeout() is None


@pytest.mark.parametrize("interval", [0.5, MAX_INTERVAL])
def test_the_interval_may_be_anything_up_to_a_day(interval: float) -> None:
    scene = Scene(interval=interval)
    scene.refuse()
    assert scene.log.poll_timeout() == T + interval


# --- The end -----------------------------------------------------------------------------


def test_a_flush_logs_the_counts_of_all_clients(scene: Scene) -> None:
    scene.refuse(times=3)
    scene.log.decided(OUT, PACKET, Drop(Reason.ICMP, "bob"), T)
    scene.log.decided(OUT, PACKET, Drop(Reason.ICMP, "bob"), T)
    scene.log.flush(T + 1.0)
    assert scene.messages[2:] == ["Refused 2 packets", "Refused 1 packet"]


def test_a_flush_forgets_the_limits_with_the_counts(scene: Scene) -> None:
    scene.refuse(times=3)
    scene.log.flush(T + 1.0)
    scene.refuse(after=2.0)
    assert scene.messages[1:] == ["Refused 2 packets", "Refused packet"]


# --- Tunnel sessions ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        lambda log: log.client_disconnected("alice", T + 1.0),
        lambda log: log.client_connected("alice", TunnelAddresses("100.64.0.2"), T + 1.0),
    ],
    ids=["disconnect", "new session"],
)
def test_a_change_of_session_neither_logs_counts_nor_resets_limits(
    scene: Scene, change: Callable[[DecisionLog], None]
) -> None:
    scene.refuse(times=3)
    change(scene.log)
    scene.refuse(after=2.0)
    assert len(scene.lines) == 2
    scene.log.handle_timeout(T + 30.0)
    assert scene.messages[2:] == ["Refused 3 packets"]


def reconnect(scene: Scene, times: int, hosts: Callable[[int], range], *, every: float) -> None:
    """Let a client connect, be refused once by each of *hosts*, and disconnect, many *times*."""
    for session in range(times):
        now = session * every
        scene.log.client_connected("alice", TunnelAddresses("100.64.0.2"), T + now)
        for host in hosts(session):
            scene.refuse(now, tcp(f"100.64.0.2:40000 > 10.1.{host >> 8}.{host & 255}:22"))
        scene.log.client_disconnected("alice", T + now)
    scene.log.flush(T + times * every)


def refusals(scene: Scene) -> list[str]:
    return [message for message in scene.messages if message.startswith("Refused")]


def test_a_scan_that_reconnects_every_20_refusals_has_as_few_lines_as_one_that_does_not(
    scene: Scene,
) -> None:
    reconnect(scene, 1_000, lambda session: range(20 * session, 20 * session + 20), every=0.02)
    assert refusals(scene) == [
        *["Refused packet"] * 20,
        "Refused 19980 packets of further far ends",
    ]


def test_a_client_that_reconnects_has_its_lines_once_in_each_interval(scene: Scene) -> None:
    # 1,000 sessions in 100 s: four intervals.
    reconnect(scene, 1_000, lambda _: range(20), every=0.1)
    assert len(refusals(scene)) == 20 + 4 * 20


@pytest.mark.parametrize("size", [1, 19, 20, 21])
def test_the_limit_of_far_ends_is_the_same_however_short_sessions_are(
    scene: Scene, size: int
) -> None:
    reconnect(scene, 50, lambda session: range(size * session, size * session + size), every=0.1)
    assert scene.messages.count("Refused packet") == 20
    assert sum(line.get("suppressed", 0) for line in scene.lines) == 50 * size - 20


def test_another_client_with_the_address_of_an_old_session_has_limits_of_its_own(
    scene: Scene,
) -> None:
    scene.refuse(times=3)
    scene.log.client_disconnected("alice", T)
    scene.log.client_connected("bob", TunnelAddresses("100.64.0.2"), T)
    scene.log.decided(OUT, PACKET, Drop(Reason.TCP_PORT, "bob"), T)
    assert scene.messages[-1] == "Refused packet"


# --- Mistakes ----------------------------------------------------------------------------


@pytest.mark.parametrize("logger", ["gateway", None, print, logging.Logger, logging.LoggerAdapter])
def test_anything_but_a_logger_raises(logger: Any) -> None:  # noqa: ANN401 - the mistake
    with pytest.raises(TypeError, match="logger is a Logger, or has a method log"):
        DecisionLog(logger)


@pytest.mark.parametrize("interval", [0, 0.0, -1, float("nan"), float("inf"), MAX_INTERVAL + 1])
def test_an_interval_out_of_range_raises(interval: float) -> None:
    with pytest.raises(InvalidPolicy, match="interval"):
        Scene(interval=interval)


@pytest.mark.parametrize("interval", ["1", None, True])
def test_an_interval_that_is_no_number_raises(interval: Any) -> None:  # noqa: ANN401 - the mistake
    with pytest.raises(TypeError, match="interval is a number of seconds"):
        Scene(interval=interval)


def test_a_negative_number_of_far_ends_raises() -> None:
    with pytest.raises(InvalidPolicy, match="max_far_ends"):
        Scene(max_far_ends=-1)


@pytest.mark.parametrize("count", ["1", None, True, 1.0])
def test_a_number_of_far_ends_that_is_no_int_raises(count: Any) -> None:  # noqa: ANN401 - the mistake
    with pytest.raises(TypeError, match="max_far_ends is an int"):
        Scene(max_far_ends=count)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("outbound", PACKET, DROP, T), "direction"),
        ((OUT, "packet", DROP, T), "bytes"),
        ((OUT, PACKET, None, T), "decision"),
        ((OUT, PACKET, DROP, "noon"), "time"),
        ((OUT, PACKET, DROP, None), "time"),
    ],
)
def test_a_wrong_type_raises_and_changes_nothing(
    scene: Scene,
    arguments: Any,  # noqa: ANN401 - the mistake
    complaint: str,
) -> None:
    with pytest.raises(TypeError, match=complaint):
        scene.log.decided(*arguments)
    assert (scene.lines, scene.log.poll_timeout()) == ([], None)


def test_a_time_that_is_not_finite_raises(scene: Scene) -> None:
    with pytest.raises(InvalidTime):
        scene.refuse(after=float("inf"))


# --- Any sequence of calls ---------------------------------------------------------------

REFUSALS = st.tuples(
    st.sampled_from(Direction),
    st.integers(0, 3).map(lambda host: tcp(f"10.0.0.{host}:80 > 10.0.1.{host}:443")),
    st.builds(
        Drop, st.sampled_from([Reason.TCP_PORT, Reason.ICMP]), st.sampled_from(["a", "b", None])
    ),
)
STEPS = st.lists(
    st.tuples(
        st.floats(0.0, 2.0),
        st.one_of(
            REFUSALS, st.just("timeout"), st.just("flush"), st.sampled_from(["+a", "-a", "-b"])
        ),
    ),
    max_size=60,
)


def seconds(line: dict[str, Any]) -> float:
    return datetime.fromisoformat(line["time"]).timestamp()


def play(scene: Scene, steps: list[tuple[float, Any]]) -> tuple[int, float]:
    """Do the *steps*; return the number of refused packets, and the time at the end."""
    refused, now = 0, T
    for pause, step in steps:
        now += pause
        match step:
            case (direction, packet, decision):
                refused += 1
                scene.log.decided(direction, packet, decision, now)
            case "timeout":
                scene.log.handle_timeout(now)
            case "flush":
                scene.log.flush(now)
            case "+a":
                scene.log.client_connected("a", TunnelAddresses("100.64.0.2"), now)
            case _:
                scene.log.client_disconnected(step[1:], now)
    return refused, now


@given(STEPS, st.integers(0, 3))
def test_every_refusal_is_in_a_line(steps: list[tuple[float, Any]], max_far_ends: int) -> None:
    scene = Scene(interval=5.0, max_far_ends=max_far_ends)
    refused, now = play(scene, steps)
    scene.log.flush(now)
    about_packets = [line for line in scene.lines if line["message"].startswith("Refused")]
    assert sum(line.get("suppressed", 1) for line in about_packets) == refused


SESSIONS = st.sampled_from(["+a", "-a", "-b"])


@given(
    st.lists(st.tuples(st.floats(0.0, 2.0), REFUSALS | SESSIONS), max_size=200), st.integers(0, 3)
)
def test_the_lines_of_a_client_are_few(steps: list[tuple[float, Any]], max_far_ends: int) -> None:
    scene = Scene(interval=5.0, max_far_ends=max_far_ends)
    play(scene, steps)
    # At most one interval ends within five seconds: each of the two may have lines for new far
    # ends, and the end of the first one more for each of them, and one for each of the four
    # combinations of direction and reason.
    most = 3 * max_far_ends + 4
    lines = Counter(
        (line.get("cid"), seconds(line) // 5) for line in scene.lines if "reason" in line
    )
    assert all(count <= most for count in lines.values())


def test_one_far_end_has_three_lines_a_minute() -> None:
    scene = Scene()
    play(scene, [(0.0625, (OUT, PACKET, DROP))] * 1000)
    assert len(scene.lines) == 3
