"""`Gateway.counters`: gauges of the state, and totals of refusals and of recorded traffic."""

import pickle
from collections.abc import Callable
from itertools import product
from typing import Final, Literal

import pytest
from attrs.exceptions import FrozenInstanceError

from firezone_filter import (
    CidrResource,
    Counters,
    Direction,
    Drop,
    Gateway,
    GatewayOptions,
    Icmp,
    InvalidTime,
    Reason,
    Reject,
    Tcp,
)
from firezone_filter.testing import fragment, icmp_error, ip, udp
from tests.numbers import GRE
from tests.records import RECORDING, fetched, recording
from tests.scenes import (
    ALICE,
    BOB,
    GATEWAY,
    INBOUND,
    OUTBOUND,
    V4,
    V6,
    Family,
    both_directions,
    both_families,
    gateway_for_alice,
)
from tests.translations import N4, N6, TICK, Names, both_names, gateway_with, resolve

both_options = pytest.mark.parametrize("options", [GatewayOptions(), RECORDING], ids=["off", "on"])

KINDS: Final[tuple[Literal["forward", "translate"], ...]] = ("forward", "translate")
TRAFFIC: Final = ("recorded_flows", "tx_packets", "tx_bytes", "rx_packets", "rx_bytes")


def refused(gateway: Gateway) -> dict[tuple[Direction, Reason], int]:
    """Return the refusals that are not 0."""
    return {key: count for key, count in gateway.counters().refusals.items() if count}


def allowed(gateway: Gateway) -> list[int]:
    """Return the allowed packets: out and in, each forwarded and translated."""
    counted = gateway.counters().allowed
    return [counted[direction, kind] for direction in Direction for kind in KINDS]


def traffic(gateway: Gateway) -> list[int | None]:
    counters = gateway.counters()
    return [getattr(counters, name) for name in TRAFFIC]


def test_a_new_gateway_has_nothing() -> None:
    nothing = Counters(
        allowed=dict.fromkeys(product(Direction, KINDS), 0),
        refusals={(way, reason): 0 for way in Direction for reason in Reason},
        clients=0,
        authorizations=0,
        cached_flows=0,
        nat_sessions=0,
        fragments=0,
    )
    assert Gateway(GATEWAY).counters() == nothing
    # Without records there is nothing to count of flows; with them it begins at 0.
    assert traffic(Gateway(GATEWAY)) == [None] * 5
    assert traffic(recording()) == [0] * 5
    assert nothing.flow_events_lost == 0
    assert (nothing.clock_steps_back, nothing.clock_step_back_max) == (0, 0.0)


@both_options
def test_counters_are_values_that_stay_as_they_were(options: GatewayOptions) -> None:
    gateway = gateway_for_alice(V4.db(), options=options)
    before, again = gateway.counters(), gateway.counters()
    for packet in (V4.udp(OUTBOUND), b""):
        gateway.handle_packet(OUTBOUND, packet)
    assert before == again != gateway.counters()
    assert pickle.loads(pickle.dumps(before)) == before  # noqa: S301 - our own bytes
    assert not hasattr(before, "__dict__")
    with pytest.raises(FrozenInstanceError):
        before.clients = 1  # type: ignore[misc]


@both_options
@both_directions
def test_refused_packets_are_counted_by_direction_and_reason(
    direction: Direction, options: GatewayOptions
) -> None:
    gateway = gateway_for_alice(V4.db(Tcp(443), Icmp()), options=options)
    packets = [V4.udp(direction), V4.udp(direction), V4.tcp(direction, 22), b"", V4.tcp(direction)]
    for packet in packets:
        gateway.handle_packet(direction, packet)
    counted = {
        (direction, Reason.UDP_PORT): 2,
        (direction, Reason.TCP_PORT): 1,
        (direction, Reason.MALFORMED): 1,
    }
    assert refused(gateway) == counted
    gateway.handle_packets(direction, packets)
    # They outlive their client.
    gateway.client_disconnected("alice")
    assert refused(gateway) == {key: 2 * count for key, count in counted.items()}


@both_options
def test_rejections_and_drops_count_alike(options: GatewayOptions) -> None:
    gateway = gateway_for_alice(options=options)
    kinds = {type(gateway.handle_packet(OUTBOUND, V4.udp(OUTBOUND))) for _ in range(200)}
    assert kinds == {Reject, Drop}
    assert refused(gateway) == {(OUTBOUND, Reason.NO_RESOURCE): 200}


# --- Allowed packets -------------------------------------------------------------------------


def every_packet(names: Names) -> dict[str, tuple[Direction, bytes]]:
    """Return packets that are allowed, each by another way through the gateway."""
    family = names.family
    whole = family.udp(OUTBOUND, size=40)
    return {
        "tcp-out": (OUTBOUND, family.tcp(OUTBOUND)),
        "udp-in": (INBOUND, family.udp(INBOUND)),
        "echo-out": (OUTBOUND, family.echo(OUTBOUND)),
        "echo-in": (INBOUND, family.echo(INBOUND)),
        "other": (OUTBOUND, ip(family.flow(OUTBOUND), GRE)),
        "own-out": (OUTBOUND, family.echo(OUTBOUND, far=family.gateway)),
        "own-in": (INBOUND, family.udp(INBOUND, 53535, far=family.gateway)),
        "first": (OUTBOUND, fragment(whole, 0, 16)),
        "later": (OUTBOUND, fragment(whole, 16)),
        "error": (
            INBOUND,
            icmp_error(family.flow(INBOUND), family.unreachable, quoting=whole),
        ),
    }


def every_translated(names: Names) -> dict[str, tuple[Direction, bytes]]:
    out = names.sent(payload=bytes(40))
    quote = names.sent(far=names.real[0])
    flow = f"{names.real[0]} > {names.family.client}"
    return {
        "udp-out": (OUTBOUND, names.sent()),
        "udp-in": (INBOUND, names.came()),
        "tcp-out": (OUTBOUND, names.sent("tcp")),
        "tcp-in": (INBOUND, names.came("tcp")),
        "echo-out": (OUTBOUND, names.sent("echo")),
        "echo-in": (INBOUND, names.came("echo")),
        "first": (OUTBOUND, fragment(out, 0, 16)),
        "later": (OUTBOUND, fragment(out, 16)),
        "error": (INBOUND, icmp_error(flow, names.family.unreachable, quoting=quote)),
    }


@both_options
@both_names
def test_allowed_packets_are_counted_by_direction_and_decision(
    names: Names, options: GatewayOptions
) -> None:
    gateway = gateway_with(names, options=options)
    gateway.authorize("alice", names.family.db())
    expected = [0, 0, 0, 0]
    # The first of a flow, its next ones, and several at once.
    for translated, packets in ((0, every_packet(names)), (1, every_translated(names))):
        for case, (direction, packet) in list(packets.items()) * 3:
            place = 2 * (direction is INBOUND) + translated
            for client_id in (None, "alice", "ALICE".lower()):
                decision = gateway.handle_packet(direction, packet, client_id=client_id)
                assert (case, decision.allowed) == (case, True)
                expected[place] += 1
                assert (case, allowed(gateway)) == (case, expected)
            assert all(one.allowed for one in gateway.handle_packets(direction, [packet] * 2))
            expected[place] += 2
            assert (case, allowed(gateway)) == (case, expected)
    assert refused(gateway) == {}


@both_options
def test_refused_packets_are_not_counted_as_allowed_and_calls_that_raise_count_nothing(
    options: GatewayOptions,
) -> None:
    gateway = gateway_for_alice(V4.db(Tcp(443)), options=options)
    for direction in Direction:
        for packet in (V4.tcp(direction, 22), V4.udp(direction), b""):
            gateway.handle_packet(direction, packet)
            gateway.handle_packets(direction, [packet] * 2)
    with pytest.raises(TypeError):
        gateway.handle_packets(OUTBOUND, [V4.tcp(OUTBOUND), None])  # type: ignore[list-item]
    with pytest.raises(InvalidTime):
        gateway.handle_packet(OUTBOUND, V4.tcp(OUTBOUND), 1e12)
    assert allowed(gateway) == [0] * 4
    gateway.handle_packet(OUTBOUND, V4.tcp(OUTBOUND))
    # They outlive their client.
    gateway.client_disconnected("alice")
    assert allowed(gateway) == [1, 0, 0, 0]


# --- The clock -------------------------------------------------------------------------------

Bring = Callable[[Gateway, float], object]
BRING: Final[dict[str, Bring]] = {
    "timeout": lambda gateway, now: gateway.handle_timeout(now),
    "packet": lambda gateway, now: gateway.handle_packet(OUTBOUND, b"", now),
    "packets": lambda gateway, now: gateway.handle_packets(INBOUND, [b"", b""], now),
    "connection": lambda gateway, now: gateway.client_connected("bob", BOB, now),
}


@pytest.mark.parametrize("bring", BRING.values(), ids=BRING)
def test_counters_tell_how_often_a_now_was_earlier_and_by_how_much_at_most(bring: Bring) -> None:
    gateway = gateway_for_alice(now=100.0)
    told = []
    for now in (100.0, 101, 100.75, 101.0, 98, 200.0, 199.0, -50.0, 200.0, 300.0, 299.5):
        bring(gateway, now)
        counters = gateway.counters()
        told.append((counters.clock_steps_back, counters.clock_step_back_max))
    assert told == [
        *[(0, 0.0)] * 2,
        *[(1, 0.25)] * 2,
        *[(2, 3.0)] * 2,
        (3, 3.0),
        *[(4, 250.0)] * 3,
        (5, 250.0),
    ]


def test_a_clock_that_was_set_has_made_no_step_back_and_a_refused_time_none_either() -> None:
    gateway = gateway_for_alice(now=1_790_000_000.0)
    gateway.clock_set(1_000.0)
    gateway.handle_packet(OUTBOUND, b"", 1_000.0)
    with pytest.raises(InvalidTime):
        gateway.handle_timeout(-1.6e9)
    assert gateway.counters().clock_steps_back == 0
    gateway.handle_timeout(999.0)
    assert (gateway.counters().clock_steps_back, gateway.counters().clock_step_back_max) == (1, 1)


# --- What there is ---------------------------------------------------------------------------


@both_options
def test_clients_and_authorizations_are_those_of_now(options: GatewayOptions) -> None:
    gateway = gateway_for_alice(V4.db(), options=options)
    gateway.authorize("alice", CidrResource("six", V6.network), expires_at=5.0)
    gateway.authorize("bob", V4.db())
    seen = []
    for call in (
        lambda: None,
        lambda: gateway.handle_timeout(5.0),
        lambda: gateway.client_disconnected("bob"),
        lambda: gateway.client_connected("alice", ALICE),
    ):
        call()
        counters = gateway.counters()
        seen.append((counters.clients, counters.authorizations))
    assert seen == [(2, 3), (2, 2), (1, 1), (1, 0)]


@both_options
def test_sessions_of_all_clients_count_until_their_time_is_over(options: GatewayOptions) -> None:
    gateway = gateway_with(N4, options=options)
    resolve(gateway, N6)
    for packet in (N4.sent("tcp"), N4.sent("udp"), N6.sent("echo"), N4.sent("udp", 1)):
        gateway.handle_packet(OUTBOUND, packet, 0.0)
    assert gateway.counters().nat_sessions == 4
    # Nothing looks at them but the counters.
    gateway.handle_packet(OUTBOUND, b"", 60.0 - TICK)
    assert gateway.counters().nat_sessions == 4
    gateway.handle_packet(OUTBOUND, b"", 60.0)
    assert gateway.counters().nat_sessions == 0
    gateway.handle_packet(OUTBOUND, N4.sent())
    gateway.client_disconnected("alice")
    assert gateway.counters().nat_sessions == 0


@both_options
@both_families
def test_first_fragments_count_until_their_time_is_over(
    family: Family, options: GatewayOptions
) -> None:
    gateway = gateway_for_alice(family.db(), options=options)
    for way in (OUTBOUND, INBOUND):
        whole = udp(family.flow(way, 53), bytes(64))
        for packet in (fragment(whole, 0, 24), fragment(whole, 24)):
            assert gateway.handle_packet(way, packet, 0.0).allowed
    gateway.handle_packet(OUTBOUND, b"", 30.0 - TICK)
    assert gateway.counters().fragments == 2
    gateway.handle_packet(OUTBOUND, b"", 30.0)
    assert gateway.counters().fragments == 0


# Cached flows: `test_remembered_bounds.py`.


def test_packets_and_bytes_are_those_of_open_and_of_ended_records() -> None:
    gateway = recording(V4.db())
    # Packets without a record are not counted.
    for packet in (V4.udp(OUTBOUND, far=V4.gateway), V4.tcp(OUTBOUND)):
        gateway.handle_packet(OUTBOUND, packet)
    gateway.handle_packet(INBOUND, V4.udp(INBOUND, 54, size=20))
    assert traffic(gateway) == [0] * 5
    gateway.handle_packet(OUTBOUND, V4.udp(OUTBOUND, size=1))
    gateway.handle_packet(INBOUND, V4.udp(INBOUND, size=20))
    assert traffic(gateway) == [1, 1, 1, 1, 20]
    gateway.revoke("alice", "db")
    gateway.authorize("alice", V6.db())
    gateway.handle_packet(OUTBOUND, V6.udp(OUTBOUND, size=300))
    assert traffic(gateway) == [1, 2, 301, 1, 20]
    # Totals never go down.
    gateway.client_connected("alice", ALICE)
    gateway.client_disconnected("alice")
    fetched(gateway)
    gateway.handle_timeout(1_000.0)
    assert traffic(gateway) == [0, 2, 301, 1, 20]
