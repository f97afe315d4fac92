"""`to_dict`: every value for machines has JSON types only."""

import json
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any, get_args

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from firezone_filter import (
    AccessExhausted,
    AuthorizationExpired,
    Counters,
    Decision,
    Direction,
    Drop,
    Event,
    FlowEnd,
    FlowEnded,
    FlowRefused,
    FlowStarted,
    Forward,
    Gateway,
    GatewayOptions,
    PortalEvent,
    PortalReply,
    Reason,
    Reject,
    Translate,
    TunnelAddresses,
)
from firezone_filter.values.json_types import to_json_type

STARTED = FlowStarted(
    client_id="alice",
    resource_id="db",
    protocol=6,
    inner_src_ip=ip_address("100.64.0.2"),
    inner_src_port=5401,
    inner_dst_ip=ip_address("fd00:5::5"),
    inner_dst_port=None,
    domain="db.example.com",
    flow_start=1.5,
)
STARTED_FIELDS = {
    "client_id": "alice",
    "resource_id": "db",
    "protocol": 6,
    "inner_src_ip": "100.64.0.2",
    "inner_src_port": 5401,
    "inner_dst_ip": "fd00:5::5",
    "inner_dst_port": None,
    "domain": "db.example.com",
    "flow_start": 1.5,
}
ENDED = FlowEnded(
    client_id="alice",
    resource_id="db",
    protocol=6,
    inner_src_ip=ip_address("100.64.0.2"),
    inner_src_port=5401,
    inner_dst_ip=ip_address("fd00:5::5"),
    inner_dst_port=None,
    domain="db.example.com",
    flow_start=1.5,
    last_packet=2,
    flow_end=3.0,
    tx_packets=4,
    tx_bytes=5,
    rx_packets=6,
    rx_bytes=7,
    cause=FlowEnd.CROWDED_OUT,
)
REFUSED = FlowRefused(
    client_id=None,
    direction=Direction.INBOUND,
    reason=Reason.NO_RESOURCE,
    far_ip=None,
    protocol=None,
    far_port=None,
    first_packet=1.0,
    last_packet=2.0,
    packets=3,
    ip_bytes=4,
)

FIELDS: list[tuple[Any, dict[str, object]]] = [
    (
        Forward("alice", None),
        {"decision": "forward", "client_id": "alice", "resource_id": None},
    ),
    (
        Translate(b"E\x00\xff", "alice", "web"),
        {
            "decision": "translate",
            "packet": "4500ff",
            "client_id": "alice",
            "resource_id": "web",
        },
    ),
    (
        Reject(b"", Reason.TCP_PORT, "alice"),
        {"decision": "reject", "reply": "", "reason": "tcp-port", "client_id": "alice"},
    ),
    (
        Drop(Reason.MALFORMED, None),
        {"decision": "drop", "reason": "malformed", "client_id": None},
    ),
    (
        AuthorizationExpired("alice", "db", 7.25),
        {
            "kind": "authorization-expired",
            "client_id": "alice",
            "resource_id": "db",
            "expired_at": 7.25,
        },
    ),
    (AccessExhausted("alice"), {"kind": "access-exhausted", "client_id": "alice"}),
    (STARTED, {"kind": "flow-started", **STARTED_FIELDS}),
    (
        ENDED,
        {
            "kind": "flow-ended",
            **STARTED_FIELDS,
            "last_packet": 2,
            "flow_end": 3.0,
            "tx_packets": 4,
            "tx_bytes": 5,
            "rx_packets": 6,
            "rx_bytes": 7,
            "cause": "crowded-out",
        },
    ),
    (
        REFUSED,
        {
            "kind": "flow-refused",
            "client_id": None,
            "direction": "inbound",
            "reason": "no-resource",
            "far_ip": None,
            "protocol": None,
            "far_port": None,
            "first_packet": 1.0,
            "last_packet": 2.0,
            "packets": 3,
            "ip_bytes": 4,
        },
    ),
    (
        PortalReply("authorization_created", {"ref": "x"}),
        {
            "event": "authorization_created",
            "ref": None,
            "topic": "gateway",
            "payload": {"ref": "x"},
        },
    ),
    (
        PortalEvent("relays_presence", {"connected": [{"port": 1}], "disconnected_ids": []}),
        {
            "event": "relays_presence",
            "payload": {"connected": [{"port": 1}], "disconnected_ids": []},
        },
    ),
]

PLAIN = {type(None), bool, int, float, str, list, dict}


def types_in(value: object) -> set[type]:
    """Return the exact types of *value* and of everything in it."""
    found = {type(value)}
    if isinstance(value, dict):
        assert {type(key) for key in value} <= {str}
        return found.union(*map(types_in, value.values()))
    return found.union(*map(types_in, value)) if isinstance(value, list) else found


def assert_json(made: dict[str, object]) -> None:
    assert types_in(made) <= PLAIN
    assert json.loads(json.dumps(made, allow_nan=False)) == made


@pytest.mark.parametrize(
    ("value", "expected"), FIELDS, ids=[type(value).__name__ for value, _ in FIELDS]
)
def test_a_value_has_its_fields_in_json_types(
    value: Decision | Event | PortalReply | PortalEvent, expected: dict[str, object]
) -> None:
    made = value.to_dict()
    assert made == expected
    assert list(made) == list(expected)
    assert_json(made)


def test_every_decision_and_event_is_among_them_under_a_name_of_its_own() -> None:
    told = {type(value): made for value, made in FIELDS}
    assert {*get_args(Decision), *get_args(Event)} <= set(told)
    decisions = [told[kind]["decision"] for kind in get_args(Decision)]
    kinds = [told[kind]["kind"] for kind in get_args(Event)]
    assert (len(set(decisions)), len(set(kinds))) == (len(decisions), len(kinds))


def test_a_reply_is_sent_as_its_dict() -> None:
    reply = PortalReply("authorization_created", {"ref": "é"})
    assert json.loads(reply.to_json()) == reply.to_dict()


@pytest.mark.parametrize("flow_records", [False, True])
def test_counters_are_nested_by_direction_and_reason(*, flow_records: bool) -> None:
    gateway = Gateway(
        TunnelAddresses("100.64.0.1"), options=GatewayOptions(flow_records=flow_records)
    )
    gateway.handle_packet(Direction.INBOUND, b"", 1.0)
    counters = gateway.counters()
    made = counters.to_dict()
    assert_json(made)
    assert made["kind"] == "counters"
    assert made["recorded_flows"] == counters.recorded_flows
    refusals: Any = made["refusals"]
    assert refusals["inbound"]["malformed"] == 1
    assert {
        (direction, reason): count
        for direction, reasons in refusals.items()
        for reason, count in reasons.items()
    } == {
        (direction.value, reason.value): n for (direction, reason), n in counters.refusals.items()
    }


def test_what_is_no_longer_the_values_may_be_changed_freely() -> None:
    event = PortalEvent("x", {"list": [1], "inner": {"a": 1}})
    payload: Any = event.to_dict()["payload"]
    payload["list"].append(2)
    payload["inner"]["b"] = 2
    assert event == PortalEvent("x", {"list": [1], "inner": {"a": 1}})


@pytest.mark.parametrize(
    ("mapping", "expected"),
    [
        ({}, {}),
        ({"a": 1}, {"a": 1}),
        ({Direction.INBOUND: b"\x00"}, {"inbound": "00"}),
        ({("a", "b"): 1, ("a", "c"): 2, ("d", "b"): 3}, {"a": {"b": 1, "c": 2}, "d": {"b": 3}}),
        ({("a", Reason.ICMP, 3): (1, 2)}, {"a": {"icmp": {"3": [1, 2]}}}),
    ],
)
def test_keys_of_several_parts_become_objects_in_objects(
    mapping: Mapping[object, object], expected: dict[str, object]
) -> None:
    assert to_json_type(mapping) == expected


# --- Any values --------------------------------------------------------------------------

IDS = st.text(max_size=5)
TIMES = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**70), 2**70)
PORTS = st.none() | st.integers(0, 65_535)
FLOW: dict[str, st.SearchStrategy[Any]] = {
    "client_id": IDS,
    "resource_id": IDS,
    "protocol": st.integers(0, 255),
    "inner_src_ip": st.ip_addresses(),
    "inner_src_port": PORTS,
    "inner_dst_ip": st.ip_addresses(),
    "inner_dst_port": PORTS,
    "domain": st.none() | st.text(max_size=5),
    "flow_start": TIMES,
}
TOTALS = ("tx_packets", "tx_bytes", "rx_packets", "rx_bytes")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TIMES | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
PAYLOADS = st.dictionaries(st.text(), JSON)
VALUES: st.SearchStrategy[Any] = st.one_of(
    st.builds(Forward, IDS, st.none() | IDS),
    st.builds(Translate, st.binary(), IDS, IDS),
    st.builds(Reject, st.binary(), st.sampled_from(Reason), IDS),
    st.builds(Drop, st.sampled_from(Reason), st.none() | IDS),
    st.builds(AuthorizationExpired, IDS, IDS, TIMES),
    st.builds(AccessExhausted, IDS),
    st.builds(FlowStarted, **FLOW),
    st.builds(
        FlowEnded,
        **FLOW,
        last_packet=TIMES,
        flow_end=TIMES,
        cause=st.sampled_from(FlowEnd),
        **{name: st.integers(0) for name in TOTALS},
    ),
    st.builds(
        FlowRefused,
        client_id=st.none() | IDS,
        direction=st.sampled_from(Direction),
        reason=st.sampled_from(Reason),
        far_ip=st.none() | st.ip_addresses(),
        protocol=st.none() | st.integers(0, 255),
        far_port=PORTS,
        first_packet=TIMES,
        last_packet=TIMES,
        packets=st.integers(1),
        ip_bytes=st.integers(1),
    ),
    st.builds(PortalReply, IDS, PAYLOADS),
    st.builds(PortalEvent, IDS, PAYLOADS),
)


@given(VALUES)
def test_any_value_comes_back_from_json_as_it_went(value: Decision | Event) -> None:
    assert_json(value.to_dict())


@given(
    st.dictionaries(st.tuples(st.sampled_from(Direction), st.sampled_from(Reason)), st.integers(0))
)
def test_any_refusals_come_back_from_json(refusals: dict[tuple[Direction, Reason], int]) -> None:
    empty = Gateway(TunnelAddresses("100.64.0.1")).counters()
    counters: Counters = evolve(empty, refusals=refusals)
    assert_json(counters.to_dict())
