"""Rule 6 of section 3: the calls that invalidate remembered decisions, and those that must not.

Random stories check the same for everything (`property/test_twins.py`).
"""

from collections.abc import Callable
from itertools import product
from typing import Final

import pytest

from firezone_filter import (
    CidrResource,
    Decision,
    Direction,
    Drop,
    Forward,
    Gateway,
    GatewayOptions,
    Icmp,
    InternetResource,
    Reason,
    Reject,
    Tcp,
    TunnelAddresses,
    Udp,
)
from firezone_filter.testing import fragment, tcp, udp
from tests.established import (
    FLOWS,
    QUIET,
    both_options,
    decided,
    established,
    events,
    resolved,
    tcp_and_udp,
)
from tests.forgetful import forget_everything_remembered
from tests.scenes import (
    ALICE,
    BOB,
    INBOUND,
    OUTBOUND,
    V4,
    V6,
    both_directions,
    gateway_for_alice,
    refusal,
)
from tests.translations import (
    EXHAUSTED,
    NAME,
    TICK,
    Names,
    app,
    both_names,
    every_kind,
    gateway_with,
    resolve,
    through,
)


def ended(gateway: Gateway, resource_id: str) -> None:
    """Let an authorization expire, and a packet bring the time."""
    gateway.update_expiry("alice", resource_id, 10.0)
    gateway.handle_packet(OUTBOUND, b"", 10.0)


Refused = dict[str, Reason]
"""Reasons of flows that are refused from now on, by names of flows; the others still pass."""

NOTHING_LEFT: Final = dict.fromkeys(("db4", "db6", "app"), Reason.NO_RESOURCE)
DB4: Final = {"db4": Reason.NO_RESOURCE}
DB6: Final = {"db6": Reason.NO_RESOURCE}
APP: Final = {"app": Reason.NO_RESOURCE}

CHANGES: Final[dict[str, tuple[Callable[[Gateway], object], Refused]]] = {
    "client_connected": (lambda gateway: gateway.client_connected("alice", ALICE), NOTHING_LEFT),
    "client_disconnected": (
        lambda gateway: gateway.client_disconnected("alice"),
        dict.fromkeys(("db4", "db6", "app", "own"), Reason.UNKNOWN_CLIENT),
    ),
    "authorize-filters": (
        lambda gateway: gateway.authorize("alice", CidrResource("db4", V4.network, [Udp(53)])),
        {"tcp db4": Reason.TCP_PORT},
    ),
    "authorize-longer-prefix": (
        lambda gateway: gateway.authorize("alice", CidrResource("host", V4.host)),
        {},
    ),
    "authorize-internet": (
        lambda gateway: gateway.authorize("alice", InternetResource("web")),
        {},
    ),
    "authorize-expired": (
        lambda gateway: gateway.authorize(
            "alice", CidrResource("db4", V4.network), expires_at=0.0
        ),
        DB4,
    ),
    "revoke": (lambda gateway: gateway.revoke("alice", "db4"), DB4),
    "revoke-name": (lambda gateway: gateway.revoke("alice", "app"), APP),
    "retain": (
        lambda gateway: gateway.retain_authorizations({"alice": {"db4", "app"}}),
        DB6,
    ),
    "retain-nothing": (lambda gateway: gateway.retain_authorizations({}), NOTHING_LEFT),
    "update_resource": (
        lambda gateway: gateway.update_resource(CidrResource("db6", V6.network, [Tcp(443)])),
        {"udp db6": Reason.UDP_PORT},
    ),
    "update_resource-name": (
        lambda gateway: gateway.update_resource(app(Icmp())),
        {"tcp app": Reason.TCP_PORT, "udp app": Reason.UDP_PORT},
    ),
    "update_expiry-past": (lambda gateway: gateway.update_expiry("alice", "db6", -1.0), DB6),
    "update_expiry-now": (lambda gateway: gateway.update_expiry("alice", "db6", 0.0), DB6),
    "expiry": (lambda gateway: ended(gateway, "db4"), DB4),
    "expiry-name": (lambda gateway: ended(gateway, "app"), APP),
    # Existing sessions keep their addresses.
    "domain_resolved": (lambda gateway: resolved(gateway, 1), {}),
    "renumbered": (
        lambda gateway: resolved(gateway, 1, domain=f"other.{NAME}"),
        {"inbound app": Reason.NO_RESOURCE},
    ),
    "set_addresses": (
        lambda gateway: gateway.set_addresses(TunnelAddresses(V4.spare, V6.spare)),
        {"own": Reason.PEER_ADDRESS},
    ),
}


@pytest.mark.parametrize("change", CHANGES)
@both_options
def test_decisions_are_invalidated_by(change: str, options: GatewayOptions) -> None:
    call, refused = CHANGES[change]
    gateway, forgetful = established(options), established(options)

    call(gateway)
    call(forgetful)
    assert gateway.counters().cached_flows == 0
    forget_everything_remembered(forgetful)

    for flow in FLOWS * 2:
        decision = decided(gateway, flow.direction, flow.packet)
        assert decision == decided(forgetful, flow.direction, flow.packet)
        reasons = [refused[name] for name in flow.names if name in refused]
        assert refusal(decision) == next(iter(reasons), None)
    gateway.client_disconnected("alice")
    forgetful.client_disconnected("alice")
    assert events(gateway) == events(forgetful)


def test_a_resource_that_answers_from_now_on_is_named_in_the_next_decision() -> None:
    gateway = established()
    gateway.authorize("alice", CidrResource("host", V4.host))
    for direction in (OUTBOUND, INBOUND):
        assert decided(gateway, direction, V4.tcp(direction)) == Forward("alice", "host")


def test_own_addresses_and_shared_resources_invalidate_decisions_of_every_client() -> None:
    gateway = established()
    gateway.authorize("bob", CidrResource("db4", V4.network, [Tcp(443)]))
    of_bob = tcp(V4.flow(OUTBOUND, 443, near=V4.neighbour))
    own = udp(V4.flow(OUTBOUND, 53535, near=V4.neighbour, far=V4.gateway))
    for packet in (of_bob, own):
        assert decided(gateway, OUTBOUND, packet).allowed
    gateway.update_resource(CidrResource("db4", V4.network, [Udp(53)]))
    assert gateway.counters().cached_flows == 0
    assert refusal(decided(gateway, OUTBOUND, of_bob)) is Reason.TCP_PORT
    assert decided(gateway, OUTBOUND, own).allowed
    gateway.set_addresses(TunnelAddresses(V4.spare))
    assert refusal(decided(gateway, OUTBOUND, own)) is Reason.PEER_ADDRESS


def test_expiries_of_one_moment_invalidate_decisions_of_all_their_clients() -> None:
    gateway = gateway_for_alice(options=QUIET)
    packets = {near: tcp(V4.flow(OUTBOUND, 443, near=near)) for near in (V4.client, V4.neighbour)}
    for client_id in ("alice", "bob"):
        gateway.authorize(client_id, V4.db(), expires_at=10.0)
    for packet in packets.values():
        assert decided(gateway, OUTBOUND, packet).allowed
        first = fragment(udp(V4.flow(OUTBOUND, 53), bytes(40)), 0, 16)
        assert decided(gateway, OUTBOUND, first).allowed
    gateway.handle_timeout(10.0)
    assert (gateway.counters().cached_flows, gateway.counters().fragments) == (0, 0)
    for packet in packets.values():
        assert refusal(decided(gateway, OUTBOUND, packet)) is Reason.NO_RESOURCE


@pytest.mark.parametrize("change", [one for one in CHANGES if one != "client_disconnected"])
def test_first_fragments_are_invalidated_by(change: str) -> None:
    call, _ = CHANGES[change]
    gateway = established()
    wholes = {way: V4.udp(way, size=40) for way in (OUTBOUND, INBOUND)}
    for way, whole in wholes.items():
        assert gateway.handle_packet(way, fragment(whole, 0, 16)).allowed
    call(gateway)
    assert gateway.counters().fragments == 0
    for way, whole in wholes.items():
        assert decided(gateway, way, fragment(whole, 16)) == Drop(Reason.FRAGMENT, "alice")


def test_clients_that_swap_addresses_do_not_swap_permissions() -> None:
    gateway = gateway_for_alice(V4.db(Tcp(443)), options=QUIET)
    gateway.authorize("bob", V4.db(Tcp(444)))
    flows = [
        (way, port, near, tcp(V4.flow(way, port, near=near)))
        for way, port, near in product((OUTBOUND, INBOUND), (443, 444), (V4.client, V4.neighbour))
    ]
    for way, port, near, packet in flows:
        assert decided(gateway, way, packet).allowed is ((port == 443) == (near == V4.client))
    gateway.client_disconnected("alice")
    gateway.client_connected("bob", ALICE)
    gateway.client_connected("alice", BOB)
    gateway.authorize("alice", V4.db(Tcp(443)))
    gateway.authorize("bob", V4.db(Tcp(444)))
    for way, port, near, packet in flows:
        assert decided(gateway, way, packet).allowed is ((port == 443) == (near == V4.neighbour))


# --- Calls that change nothing for it -------------------------------------------------------

KEEPING: Final[dict[str, Callable[[Gateway], object]]] = {
    "expiry-ahead": lambda gateway: gateway.update_expiry("alice", "app", 10.0),
    "no-expiry": lambda gateway: gateway.update_expiry("alice", "app", None),
    "expiry-of-nothing": lambda gateway: gateway.update_expiry("alice", "nothing", 0.0),
    "revoke-nothing": lambda gateway: gateway.revoke("alice", "nothing"),
    "update-nothing": lambda gateway: gateway.update_resource(CidrResource("x", "10.9.0.0/16")),
    "retain-all": lambda gateway: gateway.retain_authorizations(
        {"alice": {"db4", "db6", "app", "more"}}
    ),
    "nobody-disconnects": lambda gateway: gateway.client_disconnected("nobody"),
    "bob-connects": lambda gateway: gateway.client_connected("bob", BOB),
    "bob-disconnects": lambda gateway: gateway.client_disconnected("bob"),
    "bob-is-authorized": lambda gateway: gateway.authorize("bob", V4.db()),
    "bob-is-revoked": lambda gateway: gateway.revoke("bob", "bobs"),
    "bob-expires": lambda gateway: gateway.update_expiry("bob", "bobs", 0.0),
    "refused": lambda gateway: gateway.handle_packet(OUTBOUND, V4.tcp(OUTBOUND, 1)),
    "time": lambda gateway: gateway.handle_timeout(20.0),
}


@pytest.mark.parametrize("call", KEEPING)
@both_options
def test_decisions_are_kept_when_it_is_only(call: str, options: GatewayOptions) -> None:
    gateway = established(options)
    gateway.authorize("bob", CidrResource("bobs", V4.network))
    before = [gateway.handle_packet(flow.direction, flow.packet) for flow in FLOWS]
    KEEPING[call](gateway)
    assert gateway.counters().cached_flows == len(FLOWS)
    for flow, decision in zip(FLOWS, before, strict=True):
        again = gateway.handle_packet(flow.direction, flow.packet)
        assert again == decision
        assert again is decision or flow.with_ == "app"


# --- A new session takes over an inbound flow ---------------------------------------


@tcp_and_udp
@both_names
@both_options
def test_a_new_session_takes_over_its_inbound_flow_and_no_other(
    options: GatewayOptions, names: Names, kind: str
) -> None:
    gateway = gateway_for_alice(app(), CidrResource("db", names.real[0]), options=options)
    resolve(gateway, names)
    direct, ports = Forward("alice", "db"), (5401, 5402, 5403)

    def come() -> list[Decision]:
        return [decided(gateway, INBOUND, names.came(kind, port)) for port in ports]

    for port in ports:
        assert decided(gateway, OUTBOUND, names.sent(kind, port, far=names.real[0])) == direct
    assert come() == come() == [direct] * 3
    assert decided(gateway, OUTBOUND, names.sent(kind, 5402)).allowed
    taken_over = through(names.came(kind, 5402, far=names.proxies[0]))
    assert come() == come() == [direct, taken_over, direct]
    # Its end invalidates nothing by itself; the direct flow passes again all the same.
    gateway.handle_packet(OUTBOUND, b"", 7_440.0)
    assert come() == come() == [direct] * 3
    assert decided(gateway, OUTBOUND, names.sent(kind, 5402)).allowed
    assert come() == [direct, taken_over, direct]


@both_names
def test_a_packet_of_a_live_session_invalidates_nothing(names: Names) -> None:
    gateway = gateway_with(names, options=QUIET)
    gateway.authorize("alice", CidrResource("db", names.real[0]))
    assert gateway.handle_packet(OUTBOUND, names.sent()).allowed
    assert gateway.handle_packet(INBOUND, names.came("tcp")).allowed
    for packet in (names.sent(), names.sent(far=names.proxies[1])):
        gateway.handle_packet(OUTBOUND, packet)
    assert gateway.counters().cached_flows == 2


@every_kind
@both_directions
@both_names
def test_an_established_translated_flow_prolongs_its_session_and_ends_with_it(
    names: Names, direction: Direction, kind: str
) -> None:
    lifetime = 7_440.0 if kind == "tcp" else 120.0
    # What comes in does not prolong TCP.
    ends = lifetime if kind == "tcp" and direction is INBOUND else 100.0 + lifetime
    alive = through(names.came(kind, far=names.proxies[0]))
    over = Drop(Reason.EXPIRED_NAT_SESSION, "alice")
    for now, expected in ((ends - TICK, alive), (ends, over)):
        gateway = established()
        packet = names.sent(kind) if direction is OUTBOUND else names.came(kind)
        assert gateway.handle_packet(direction, packet, 100.0).allowed
        assert gateway.handle_packet(INBOUND, names.came(kind), now) == expected


@pytest.mark.parametrize("kind", ["udp", "echo"])
@both_names
def test_an_established_flow_from_outside_prolongs_its_session_to_2_hours_and_4_minutes(
    names: Names, kind: str
) -> None:
    alive = through(names.came(kind, far=names.proxies[0]))
    gateway = established()
    for now in range(0, 7_440, 60):
        assert gateway.handle_packet(INBOUND, names.came(kind), float(now)) == alive
    assert gateway.handle_packet(INBOUND, names.came(kind), 7_440.0 - TICK) == alive
    over = Drop(Reason.EXPIRED_NAT_SESSION, "alice")
    assert gateway.handle_packet(INBOUND, names.came(kind), 7_440.0) == over


@both_names
def test_a_refusal_is_not_remembered(names: Names) -> None:
    options = GatewayOptions(max_sessions_per_client=1, reject_rate=1.0, reject_burst=1)
    gateway = gateway_with(names, options=options)
    assert gateway.handle_packet(OUTBOUND, names.sent(number=1)).allowed
    # An answered session gives way to none.
    assert gateway.handle_packet(INBOUND, names.came(number=1)).allowed
    for _ in range(2):
        assert gateway.handle_packet(OUTBOUND, names.sent(number=2)) == EXHAUSTED
    refused = names.family.tcp(OUTBOUND)
    kinds = [type(gateway.handle_packet(OUTBOUND, refused, now)) for now in (0.0, 0.5, 1.0, 1.5)]
    assert kinds == [Reject, Drop, Reject, Drop]
    # When there is room again, the next packet has it.
    assert gateway.handle_packet(OUTBOUND, names.sent(number=2), 120.0).allowed
