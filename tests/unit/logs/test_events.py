"""Events and the lives of clients in the log."""

import logging
from ipaddress import ip_address
from typing import Any, get_args

import pytest

from firezone_filter import (
    AccessExhausted,
    AuthorizationExpired,
    CidrResource,
    DecisionLog,
    Direction,
    DnsResource,
    Drop,
    Event,
    FlowEnd,
    FlowEnded,
    FlowRefused,
    FlowStarted,
    InternetResource,
    InvalidTime,
    Reason,
    Resource,
    TunnelAddresses,
)

from .test_decisions import Written

T = 1_790_000_000.0
NOW = "2026-09-21T14:13:20.000000000Z"

STARTED: dict[str, Any] = {
    "client_id": "alice",
    "resource_id": "git",
    "protocol": 6,
    "inner_src_ip": ip_address("100.64.0.2"),
    "inner_src_port": 40000,
    "inner_dst_ip": ip_address("10.0.0.80"),
    "inner_dst_port": 443,
    "domain": "git.example.com",
    "flow_start": T - 10,
}
STARTED_LINE: dict[str, object] = {
    "cid": "alice",
    "rid": "git",
    "protocol": "tcp",
    "inner_src_ip": "100.64.0.2",
    "inner_src_port": 40000,
    "inner_dst_ip": "10.0.0.80",
    "inner_dst_port": 443,
    "domain": "git.example.com",
    "flow_start": "2026-09-21T14:13:10.000000000Z",
}
ENDED: dict[str, Any] = {
    "last_packet": T - 1,
    "flow_end": T - 0.5,
    "tx_packets": 1,
    "tx_bytes": 2,
    "rx_packets": 3,
    "rx_bytes": 4,
    "cause": FlowEnd.CROWDED_OUT,
}
ENDED_LINE: dict[str, object] = {
    "last_packet": "2026-09-21T14:13:19.000000000Z",
    "flow_end": "2026-09-21T14:13:19.500000000Z",
    "tx_packets": 1,
    "tx_bytes": 2,
    "rx_packets": 3,
    "rx_bytes": 4,
    "cause": "crowded-out",
}
REFUSED: dict[str, Any] = {
    "client_id": "alice",
    "direction": Direction.OUTBOUND,
    "reason": Reason.UDP_PORT,
    "far_ip": ip_address("fd00:5::5"),
    "protocol": 17,
    "far_port": 53,
    "first_packet": T - 10,
    "last_packet": T - 1,
    "packets": 7,
    "ip_bytes": 700,
}
REFUSED_LINE: dict[str, object] = {
    "cid": "alice",
    "direction": "outbound",
    "reason": "udp-port",
    "far_ip": "fd00:5::5",
    "protocol": "udp",
    "far_port": 53,
    "first_packet": "2026-09-21T14:13:10.000000000Z",
    "last_packet": "2026-09-21T14:13:19.000000000Z",
    "packets": 7,
    "ip_bytes": 700,
}


@pytest.fixture
def written() -> Written:
    return Written()


@pytest.fixture
def log(written: Written) -> DecisionLog:
    logger = logging.Logger("gateway", 1)  # noqa: LOG001 - shared with no other test
    logger.addHandler(written)
    return DecisionLog(logger)


def line(message: str, **fields: object) -> dict[str, object]:
    return {"time": NOW, "severity": "INFO", "message": message, **fields}


EVENTS: list[tuple[Event, dict[str, object]]] = [
    (
        AuthorizationExpired("alice", "db", T - 0.25),
        line(
            "Authorization expired",
            cid="alice",
            rid="db",
            expired_at="2026-09-21T14:13:19.750000000Z",
        ),
    ),
    (AccessExhausted("alice"), line("No authorization is left", cid="alice")),
    (FlowStarted(**STARTED), line("Flow started", **STARTED_LINE)),
    (FlowEnded(**STARTED, **ENDED), line("Flow ended", **STARTED_LINE, **ENDED_LINE)),
    (FlowRefused(**REFUSED), line("Flow refused", **REFUSED_LINE)),
]


@pytest.mark.parametrize(
    ("event", "expected"), EVENTS, ids=[type(event).__name__ for event, _ in EVENTS]
)
def test_an_event_has_a_line_with_all_its_fields(
    log: DecisionLog, written: Written, event: Event, expected: dict[str, object]
) -> None:
    log.event(event, T)
    assert [list(each.items()) for each in written.lines] == [list(expected.items())]


def test_every_kind_of_event_is_tested_here() -> None:
    assert [type(event) for event, _ in EVENTS] == list(get_args(Event))


def test_unknown_fields_of_an_event_are_left_out(log: DecisionLog, written: Written) -> None:
    unknown = dict.fromkeys(["client_id", "far_ip", "protocol", "far_port"])
    log.event(FlowRefused(**REFUSED | unknown), T)
    left_out = {"cid", "far_ip", "protocol", "far_port"}
    assert set(written.lines[0]) == {"time", "severity", "message", *REFUSED_LINE} - left_out


def test_a_spoofed_flow_is_a_warning(log: DecisionLog, written: Written) -> None:
    log.event(FlowRefused(**REFUSED | {"reason": Reason.SOURCE_NOT_ALLOWED}), T)
    assert written.lines[0]["severity"] == "WARN"


def test_a_time_that_cannot_be_written_is_a_number(log: DecisionLog, written: Written) -> None:
    log.event(AuthorizationExpired("alice", "db", 1e300), T)
    assert written.lines[0]["expired_at"] == 1e300


@pytest.mark.parametrize(
    ("addresses", "fields"),
    [
        (TunnelAddresses("100.64.0.2"), {"ipv4": "100.64.0.2"}),
        (TunnelAddresses(ipv6="fd00:2021:1111::2"), {"ipv6": "fd00:2021:1111::2"}),
        (
            TunnelAddresses("100.64.0.2", "fd00:2021:1111::2"),
            {"ipv4": "100.64.0.2", "ipv6": "fd00:2021:1111::2"},
        ),
    ],
    ids=["IPv4", "IPv6", "both"],
)
def test_a_new_session_has_a_line(
    log: DecisionLog, written: Written, addresses: TunnelAddresses, fields: dict[str, str]
) -> None:
    log.client_connected("alice", addresses, T)
    assert written.lines == [line("Client connected", cid="alice", **fields)]


def test_the_end_of_a_session_and_a_revocation_have_a_line(
    log: DecisionLog, written: Written
) -> None:
    log.revoked("alice", "db", T)
    log.client_disconnected("alice", T)
    assert written.lines == [
        line("Authorization revoked", cid="alice", rid="db"),
        line("Client disconnected", cid="alice"),
    ]


@pytest.mark.parametrize(
    ("resource", "fields"),
    [
        (CidrResource("r", "10.0.0.0/24"), {"resource_address": "10.0.0.0/24"}),
        (
            DnsResource("r", "*.example.com", name="Git"),
            {"resource_name": "Git", "resource_address": "*.example.com"},
        ),
        (InternetResource("r", name="Internet"), {"resource_name": "Internet"}),
    ],
    ids=["cidr", "dns", "internet"],
)
def test_an_authorization_has_a_line(
    log: DecisionLog, written: Written, resource: Resource, fields: dict[str, str]
) -> None:
    log.authorized("alice", resource, T)
    assert written.lines == [line("Client authorized", cid="alice", rid="r", **fields)]


def test_the_line_of_an_authorization_tells_its_expiry(log: DecisionLog, written: Written) -> None:
    log.authorized("alice", InternetResource("r"), T, expires_at=T + 1)
    assert written.lines[0]["expires_at"] == "2026-09-21T14:13:21.000000000Z"


CALLS: dict[str, list[Any]] = {
    "event": [AccessExhausted("alice")],
    "client_connected": ["alice", TunnelAddresses("100.64.0.2")],
    "client_disconnected": ["alice"],
    "authorized": ["alice", InternetResource("r")],
    "revoked": ["alice", "r"],
}


@pytest.mark.parametrize(
    ("method", "place"),
    [(method, place) for method, arguments in CALLS.items() for place in range(len(arguments))],
)
def test_a_wrong_type_raises_and_has_no_line(
    log: DecisionLog, written: Written, method: str, place: int
) -> None:
    arguments: list[Any] = [*CALLS[method]]
    arguments[place] = 7
    with pytest.raises(TypeError, match="not 7"):
        getattr(log, method)(*arguments, T)
    assert written.lines == []


@pytest.mark.parametrize("method", [*CALLS, "handle_timeout", "flush"])
def test_a_time_that_is_not_finite_raises_and_has_no_line(
    log: DecisionLog, written: Written, method: str
) -> None:
    with pytest.raises(InvalidTime):
        getattr(log, method)(*CALLS.get(method, []), float("nan"))
    assert written.lines == []


def test_so_does_an_expiry_that_is_not_finite(log: DecisionLog, written: Written) -> None:
    with pytest.raises(InvalidTime):
        log.authorized("alice", InternetResource("r"), T, expires_at=float("inf"))
    assert written.lines == []


@pytest.mark.parametrize("method", CALLS)
def test_counts_that_are_due_come_first(log: DecisionLog, written: Written, method: str) -> None:
    for _ in range(2):
        log.decided(Direction.OUTBOUND, b"", Drop(Reason.MALFORMED, None), T)
    getattr(log, method)(*CALLS[method], T + 30.0)
    assert written.messages[1] == "Refused 1 packet"
