"""What a gateway does while expired authorizations wait to be taken apart."""

from collections.abc import Iterator
from unittest.mock import patch

import pytest

from firezone_filter import (
    AuthorizationExpired,
    CidrResource,
    Decision,
    Direction,
    Drop,
    FlowEnd,
    FlowEnded,
    FlowStarted,
    Forward,
    Gateway,
    GatewayOptions,
    Reason,
    TunnelAddresses,
)
from firezone_filter.accounting import flow_records
from firezone_filter.accounting.event_queue import EventQueue
from firezone_filter.gateway import gateway
from firezone_filter.testing import udp
from tests.scenes import INBOUND, OUTBOUND, V4, gateway_for_alice
from tests.translations import N4, gateway_with, through


@pytest.fixture(autouse=True)
def no_upkeep() -> Iterator[None]:
    """Let packets take nothing apart."""
    with patch.object(gateway, "STEPS_OF_A_PACKET", 0):
        yield


def let_one_wait(made: Gateway, now: float = 5.0) -> None:
    """Let an authorization of Bob end, and wait."""
    made.authorize("bob", CidrResource("waiting", "10.77.0.0/24"), expires_at=now)
    made.handle_packet(OUTBOUND, b"", now)
    assert "waiting" in made._clients.by_id["bob"].access.authorizations
    assert made.authorizations("bob").get("waiting") is None


def test_established_flows_of_others_go_on_and_are_counted() -> None:
    made = gateway_with(N4)
    made.authorize("alice", V4.db())
    made.handle_packet(OUTBOUND, b"", 1.0)
    flows: list[tuple[Direction, bytes, Decision]] = [
        (OUTBOUND, V4.tcp(OUTBOUND), Forward("alice", "db")),
        (INBOUND, V4.tcp(INBOUND), Forward("alice", "db")),
    ]
    for kind in ("tcp", "udp", "echo"):
        out, back = N4.sent(kind), N4.came(kind)
        flows += [
            (OUTBOUND, out, through(N4.sent(kind, far=N4.real[0]))),
            (INBOUND, back, through(N4.came(kind, far=N4.proxies[0]))),
        ]
    for direction, packet, expected in flows:
        assert made.handle_packet(direction, packet) == expected
    let_one_wait(made)
    before = made.counters().allowed
    made.authorize("bob", CidrResource("more", "10.78.0.0/24"), expires_at=6.0)
    made.handle_packet(OUTBOUND, b"", 6.0)
    with patch.object(made, "_judge", None):
        for direction, packet, expected in flows:
            assert made.handle_packet(direction, packet) == expected
            assert made.handle_packets(direction, [packet]) == [expected]
    after = made.counters().allowed
    assert {what: after[what] - before[what] for what in after} == {
        (OUTBOUND, "forward"): 2,
        (OUTBOUND, "translate"): 6,
        (INBOUND, "forward"): 2,
        (INBOUND, "translate"): 6,
    }


def test_a_flow_that_is_over_is_judged_while_others_wait() -> None:
    made = gateway_for_alice(V4.db(), options=GatewayOptions(stateful=True))
    made.client_connected("bob", TunnelAddresses(V4.neighbour))
    for direction in (OUTBOUND, INBOUND):
        made.handle_packet(direction, V4.udp(direction), 1.0)
    let_one_wait(made, 121.0)
    assert made.handle_packet(INBOUND, V4.udp(INBOUND)) == Drop(Reason.UNSOLICITED, "alice")


def test_records_of_a_resource_that_is_over_make_room_for_others() -> None:
    made = gateway_for_alice(V4.db(), options=GatewayOptions(flow_records=True))
    made.handle_packet(OUTBOUND, b"", 1.0)
    made.authorize("alice", CidrResource("old", "10.79.0.0/24"), expires_at=5.0)
    with patch.object(flow_records, "MAX_OPEN", 3):
        for port in (1, 2):
            made.handle_packet(OUTBOUND, udp(f"{V4.client}:{port} > 10.79.0.1:80"), 2.0)
        for port in (1, 2, 3):
            made.handle_packet(OUTBOUND, V4.udp(OUTBOUND, port), 6.0)
    ends = [one for one in iter(made.poll_event, None) if isinstance(one, FlowEnded)]
    assert [(one.resource_id, one.cause, one.flow_end) for one in ends] == [
        ("old", FlowEnd.EXPIRED, 5.0)
    ] * 2


def test_what_is_over_and_has_no_records_makes_no_room() -> None:
    made = gateway_for_alice(V4.db(), options=GatewayOptions(flow_records=True))
    made.handle_packet(OUTBOUND, b"", 1.0)
    made.authorize("alice", CidrResource("old", "10.79.0.0/24"), expires_at=5.0)
    with patch.object(flow_records, "MAX_OPEN", 2):
        for port in (1, 2, 3):
            made.handle_packet(OUTBOUND, V4.udp(OUTBOUND, port), 6.0)
    ends = [one for one in iter(made.poll_event, None) if isinstance(one, FlowEnded)]
    assert [(one.resource_id, one.cause) for one in ends] == [("db", FlowEnd.CROWDED_OUT)]


def test_a_second_expiry_takes_the_place_of_the_first_while_it_waits() -> None:
    made = gateway_for_alice(V4.db(), now=0.0)
    resource = CidrResource("again", "10.79.0.0/24")
    made.authorize("alice", resource, expires_at=5.0)
    made.handle_packet(OUTBOUND, b"", 5.0)
    made.authorize("alice", resource, expires_at=7.0)
    made.handle_packet(OUTBOUND, b"", 8.0)
    assert list(iter(made.poll_event, None)) == [AuthorizationExpired("alice", "again", 7.0)]


def test_what_has_gone_already_is_not_taken_apart_again() -> None:
    made = gateway_for_alice(V4.db(), now=0.0)
    made.authorize("bob", V4.db())
    let_one_wait(made)
    # As after a call that has failed behind this.
    made._clients.by_id["bob"].access.revoke("waiting")
    made.handle_timeout(5.0)
    assert made.poll_timeout() is None
    assert made.poll_event() is None


def test_records_whose_end_cannot_be_noted_hold_up_no_events() -> None:
    made = gateway_for_alice(V4.db(), options=GatewayOptions(flow_records=True))
    made.handle_packet(OUTBOUND, V4.udp(OUTBOUND), 1.0)
    with patch.object(EventQueue, "reserve", side_effect=MemoryError), pytest.raises(MemoryError):
        made.revoke("alice", "db")
    assert made.authorizations("alice") == {}
    events = list(iter(made.poll_event, None))
    assert [type(event) for event in events] == [FlowStarted]
