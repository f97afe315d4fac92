"""Section 3, rules 1 to 4: connections, whose address it is, authorizations."""

from collections.abc import Callable
from functools import partial
from itertools import product
from typing import Final

import pytest

from firezone_filter import (
    AddressInUse,
    AddressPlan,
    CidrResource,
    Direction,
    DnsResource,
    Drop,
    Forward,
    Gateway,
    GatewayOptions,
    Icmp,
    InternetResource,
    InvalidAddress,
    InvalidPolicy,
    Reason,
    Resource,
    Tcp,
    TunnelAddresses,
    Udp,
    UnknownClient,
)
from firezone_filter.testing import tcp
from tests.observed import refused_without_effect
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
    refusal,
)

SPARE: Final = TunnelAddresses(V4.spare, V6.spare)
NOBODY: Final = Drop(Reason.UNKNOWN_CLIENT, None)


# --- Rule 1: connecting -----------------------------------------------------------------------


@both_directions
@both_families
def test_a_client_that_has_just_connected_may_talk_to_the_gateway_alone(
    family: Family, direction: Direction
) -> None:
    gateway = gateway_for_alice(options=GatewayOptions(own_filters=[Udp(53)]))
    for comes_back in (False, True):
        for packet, reason in (
            (family.tcp(direction), Reason.NO_RESOURCE),
            (family.udp(direction), Reason.NO_RESOURCE),
            (family.echo(direction), Reason.NO_RESOURCE),
            (family.tcp(direction, far=family.public), Reason.NO_RESOURCE),
            (family.tcp(direction, far=family.gateway), Reason.TCP_PORT),
            (family.udp(direction, far=family.gateway), None),
        ):
            assert refusal(gateway.handle_packet(direction, packet)) is reason
        assert gateway.authorizations("alice") == {}
        if not comes_back:
            gateway.authorize("alice", family.db())
            gateway.authorize("alice", InternetResource("internet"))
            for far in (family.host, family.public):
                packet = family.tcp(direction, far=far)
                assert gateway.handle_packet(direction, packet).allowed
            gateway.client_connected("alice", ALICE)
    # And then it can be authorized again, for another place under the same id.
    gateway.authorize("alice", CidrResource("db", family.host))
    assert gateway.handle_packet(direction, family.tcp(direction)) == Forward("alice", "db")


@both_families
def test_a_client_may_come_back_with_other_addresses_or_fewer(family: Family) -> None:
    gateway = gateway_for_alice()
    gateway.client_connected("alice", SPARE)
    gateway.authorize("alice", family.db())
    old, new = (
        tcp(family.flow(OUTBOUND, 443, near=near)) for near in (family.client, family.spare)
    )
    assert gateway.handle_packet(OUTBOUND, old) == NOBODY
    assert gateway.handle_packet(OUTBOUND, new) == Forward("alice", "db")
    gateway.client_connected("carol", ALICE)
    assert refusal(gateway.handle_packet(OUTBOUND, old)) is Reason.NO_RESOURCE
    only = TunnelAddresses(ipv6=V6.spare) if family is V4 else TunnelAddresses(V4.spare)
    gateway.client_connected("alice", only)
    assert gateway.handle_packet(OUTBOUND, new) == NOBODY
    gateway.client_connected("dave", TunnelAddresses(**{f"ipv{family.version}": family.spare}))
    assert gateway.clients() == ("bob", "carol", "alice", "dave")


def test_a_reconnect_leaves_other_clients_alone() -> None:
    gateway = gateway_for_alice(V4.db())
    gateway.client_connected("bob", BOB)
    assert gateway.handle_packet(OUTBOUND, V4.tcp(OUTBOUND)) == Forward("alice", "db")


def test_clients_are_listed_as_they_connected_and_looked_up() -> None:
    gateway = Gateway(GATEWAY)
    assert gateway.clients() == ()
    gateway.client_connected("bob", BOB)
    gateway.client_connected("alice", ALICE)
    assert gateway.clients() == ("bob", "alice")
    gateway.client_connected("bob", BOB)
    assert gateway.clients() == ("alice", "bob")
    assert [one in gateway for one in ("alice", "carol", 7)] == [True, False, False]


# --- Rule 2: whose address it is --------------------------------------------------------------

FIRST_AND_LAST: Final = {
    "100.63.255.255": False,
    "100.64.0.0": True,
    "100.95.255.255": True,
    "100.96.0.0": False,
    "10.0.0.5": False,
    "fd00:2021:1111::": True,
    "fd00:2021:1111::1f:ffff": True,
    "fd00:2021:1111::20:0": False,
    "fd00:2021:1111:8000::1": False,
}


@pytest.mark.parametrize(("address", "is_in"), FIRST_AND_LAST.items(), ids=FIRST_AND_LAST)
def test_tunnel_addresses_are_those_of_the_plan(address: str, *, is_in: bool) -> None:
    is_ipv6 = ":" in address
    addresses = TunnelAddresses(V4.spare, address) if is_ipv6 else TunnelAddresses(address)
    calls: list[Callable[[Gateway], object]] = [
        lambda gateway: gateway.client_connected("alice", addresses),
        lambda gateway: gateway.set_addresses(addresses),
        lambda _: Gateway(addresses),
    ]
    for call in calls:
        if is_in:
            call(gateway_for_alice())
        else:
            refused_without_effect(lambda: gateway_for_alice(V4.db()), call, InvalidAddress)


def test_the_plan_decides_which_ranges_are_the_tunnels() -> None:
    plan = AddressPlan(tunnel=["10.9.0.0/24"], dns_resources=["10.9.1.0/24"])
    gateway = Gateway(TunnelAddresses("10.9.0.1"), address_plan=plan)
    gateway.client_connected("alice", TunnelAddresses("10.9.0.2"))
    for address in (V4.client, "10.9.1.2"):
        with pytest.raises(InvalidAddress):
            gateway.client_connected("bob", TunnelAddresses(address))
    assert gateway.clients() == ("alice",)


TAKEN: Final = {
    "both": (BOB, V4.neighbour),
    "ipv4": (TunnelAddresses(V4.neighbour, V6.spare), V4.neighbour),
    "ipv6": (TunnelAddresses(V4.client, V6.neighbour), V6.neighbour),
}


@pytest.mark.parametrize("case", TAKEN)
def test_an_address_belongs_to_one_client_at_a_time(case: str) -> None:
    addresses, taken = TAKEN[case]
    calls: list[Callable[[Gateway], object]] = [
        lambda gateway: gateway.client_connected("alice", addresses),
        lambda gateway: gateway.set_addresses(addresses),
    ]
    for call in calls:
        raised = refused_without_effect(lambda: gateway_for_alice(V4.db()), call, AddressInUse)
        # The gateway takes neither Alice's nor Bob's.
        assert (str(raised.value), raised.client_id) in {(taken, "bob"), (V4.client, "alice")}
    # When Bob has gone they are free.
    gateway = gateway_for_alice(V4.db())
    gateway.client_disconnected("bob")
    gateway.client_connected("alice", addresses)
    gateway.client_disconnected("alice")
    gateway.set_addresses(addresses)


@pytest.mark.parametrize("version", [4, 6])
def test_a_client_has_none_of_the_gateways_own_addresses(version: int) -> None:
    own = (
        TunnelAddresses(V4.gateway, V6.spare)
        if version == 4
        else TunnelAddresses(V4.spare, V6.gateway)
    )
    raised = refused_without_effect(
        lambda: gateway_for_alice(V4.db()),
        lambda gateway: gateway.client_connected("alice", own),
        InvalidAddress,
    )
    assert "own" in str(raised)


@both_directions
@both_families
def test_set_addresses_moves_the_gateway_and_nothing_else(
    family: Family, direction: Direction
) -> None:
    gateway = gateway_for_alice(family.db())
    gateway.set_addresses(SPARE)
    for far, expected in (
        (family.spare, None),
        (family.gateway, Reason.PEER_ADDRESS),
        (family.host, None),
    ):
        packet = family.tcp(direction, 53535, far=far)
        assert refusal(gateway.handle_packet(direction, packet)) is expected
    gateway.client_connected("carol", GATEWAY)
    with pytest.raises(InvalidAddress, match="own"):
        gateway.client_connected("dave", TunnelAddresses(V4.spare))
    # A family may be left out.
    gateway.set_addresses(
        TunnelAddresses(V4.spare) if family is V6 else TunnelAddresses(ipv6=V6.spare)
    )
    packet = family.tcp(direction, far=family.spare)
    assert refusal(gateway.handle_packet(direction, packet)) is Reason.PEER_ADDRESS


# --- Rule 3: disconnecting --------------------------------------------------------------------


@both_families
def test_a_client_that_has_disconnected_is_unknown_to_every_call(family: Family) -> None:
    gateway = gateway_for_alice(family.db())
    assert gateway.client_disconnected("alice") is True
    assert gateway.client_disconnected("alice") is False
    for direction in Direction:
        assert gateway.handle_packet(direction, family.tcp(direction)) == NOBODY
    for call in (
        lambda: gateway.authorize("alice", family.db()),
        lambda: gateway.authorizations("alice"),
    ):
        with pytest.raises(UnknownClient) as raised:
            call()
        assert raised.value.value == "alice"
    assert gateway.revoke("alice", "db") is False
    assert gateway.update_expiry("alice", "db", None) is False
    assert gateway.update_resource(family.db()) == 0
    assert gateway.clients() == ("bob",)
    gateway.client_connected("carol", ALICE)
    packet = family.tcp(INBOUND)
    assert gateway.handle_packet(INBOUND, packet) == Drop(Reason.NO_RESOURCE, "carol")


# --- Rule 4: authorizing ----------------------------------------------------------------------


@both_directions
@both_families
def test_authorize_gives_and_replaces_filters_and_revoke_takes_them_away(
    family: Family, direction: Direction
) -> None:
    gateway = gateway_for_alice()
    gateway.authorize("bob", family.db())

    def permitted() -> list[bool]:
        packets = (family.tcp(direction), family.udp(direction), family.echo(direction))
        return [gateway.handle_packet(direction, packet).allowed for packet in packets]

    for resource, expected in (
        (family.db(Tcp(443)), [True, False, False]),
        (family.db(Udp(53)), [False, True, False]),
        (family.db(Icmp(), Tcp()), [True, False, True]),
        (family.db(), [True, True, True]),
    ):
        gateway.authorize("alice", resource)
        assert permitted() == permitted() == expected
    assert gateway.revoke("alice", "db") is True
    assert permitted() == permitted() == [False] * 3
    assert gateway.revoke("alice", "db") is False
    assert gateway.authorizations("alice") == {}
    assert gateway.authorizations("bob") == {"db": None}


def authorize(gateway: Gateway, resource: Resource) -> None:
    gateway.authorize("alice", resource)


def update(gateway: Gateway, resource: Resource) -> None:
    gateway.update_resource(resource)


both_ways_to_change = pytest.mark.parametrize("give", [authorize, update])


@both_ways_to_change
@both_directions
def test_excluded_networks_and_the_name_are_replaced_too(
    direction: Direction, give: Callable[[Gateway, Resource], None]
) -> None:
    gateway = gateway_for_alice(InternetResource("internet"))
    packet = V4.tcp(direction, far=V4.public)
    for exclude, reason in (
        ([], None),
        (["1.1.1.0/24"], Reason.NOT_INTERNET),
        (["1.1.2.0/24"], None),
        ([V4.public], Reason.NOT_INTERNET),
    ):
        give(gateway, InternetResource("internet", exclude=exclude, name=f"{exclude}"))
        assert refusal(gateway.handle_packet(direction, packet)) is reason


@both_directions
def test_update_resource_reaches_all_that_have_it_and_no_expiry(direction: Direction) -> None:
    gateway = gateway_for_alice()
    gateway.authorize("alice", V4.db(Tcp(443)), expires_at=10.0)
    gateway.authorize("bob", V4.db(Tcp(1)))
    gateway.client_connected("carol", SPARE)
    assert gateway.update_resource(V4.db(Tcp(444))) == 2
    for near, reason in (
        (V4.client, None),
        (V4.neighbour, None),
        (V4.spare, Reason.NO_RESOURCE),
    ):
        packet = tcp(V4.flow(direction, 444, near=near))
        assert refusal(gateway.handle_packet(direction, packet)) is reason
    assert refusal(gateway.handle_packet(direction, V4.tcp(direction))) is Reason.TCP_PORT
    assert gateway.authorizations("alice") == {"db": 10.0}
    assert gateway.authorizations("bob") == {"db": None}
    assert gateway.update_resource(CidrResource("other", V4.network)) == 0
    gateway.handle_timeout(10.0)
    assert gateway.update_resource(V4.db()) == 1


PLACES: Final[list[Resource]] = [
    CidrResource("x", "10.0.0.0/24"),
    CidrResource("x", "10.0.0.0/25"),
    CidrResource("x", "0.0.0.0/0"),
    CidrResource("x", "fd00:5::/64"),
    InternetResource("x"),
    DnsResource("x", "example.com"),
    DnsResource("x", "*.example.com"),
]


@pytest.mark.parametrize("place", range(len(PLACES)))
def test_a_resource_never_changes_its_kind_network_or_pattern_until_it_is_revoked(
    place: int,
) -> None:
    held = PLACES[place]

    def made() -> Gateway:
        gateway = gateway_for_alice()
        gateway.authorize("alice", held, expires_at=10.0)
        return gateway

    for other in PLACES:
        if other is held:
            continue
        for give in (authorize, update):
            raised = refused_without_effect(made, partial(give, resource=other), InvalidPolicy)
            assert raised.value == other
        gateway = made()
        assert gateway.update_resource(held) == 1
        # Another client may have another place under the id.
        gateway.authorize("bob", other)
        assert gateway.revoke("alice", "x")
        gateway.authorize("alice", other)
        assert gateway.update_resource(other) == 2


def test_a_pattern_is_the_same_however_it_is_written() -> None:
    gateway = gateway_for_alice(DnsResource("gitlab", "gitlab.example.com"))
    gateway.authorize("alice", DnsResource("gitlab", "GITLAB.example.com", [Tcp(443)]))
    assert gateway.update_resource(DnsResource("gitlab", "gitlab.example.com.")) == 1
    assert gateway.revoke("alice", "gitlab") is True


@pytest.mark.parametrize("holder", ["alice", "bob"])
def test_an_update_that_one_client_cannot_take_changes_nothing_for_any(holder: str) -> None:
    def made() -> Gateway:
        gateway = gateway_for_alice()
        for client_id in ("alice", "bob"):
            network = "192.0.2.0/24" if client_id == holder else V4.network
            gateway.authorize(client_id, CidrResource("db", network, [Tcp(443)]))
        return gateway

    refused_without_effect(
        made, lambda gateway: gateway.update_resource(V4.db(Icmp())), InvalidPolicy
    )


RETAINED: Final[dict[str, tuple[dict[str, object], list[str], list[str]]]] = {
    "listed": ({"alice": {"db", "net"}, "bob": ["db"]}, ["db", "net"], ["db"]),
    "some": ({"alice": ("db",), "bob": {"net"}}, ["db"], []),
    "not mentioned": ({"alice": frozenset({"net"})}, ["net"], []),
    "unknown": ({"alice": {"db", "other"}, "carol": {"db"}, "": set()}, ["db"], []),
    "nothing": ({}, [], []),
}


@pytest.mark.parametrize("case", RETAINED)
def test_retain_revokes_unlisted_authorizations_of_all_clients(case: str) -> None:
    kept, alices, bobs = RETAINED[case]
    gateway = gateway_for_alice(CidrResource("net", V4.stranger))
    for client_id in ("alice", "bob"):
        gateway.authorize(client_id, V4.db(), expires_at=10.0)
    gateway.retain_authorizations(kept)  # type: ignore[arg-type]
    assert sorted(gateway.authorizations("alice")) == alices
    assert list(gateway.authorizations("bob")) == bobs
    assert gateway.authorizations("alice").get("db") == (10.0 if "db" in alices else None)
    assert gateway.clients() == ("alice", "bob")
    for direction, (far, name) in product(Direction, ((V4.host, "db"), (V4.stranger, "net"))):
        decision = gateway.handle_packet(direction, V4.tcp(direction, far=far))
        assert decision.allowed is (name in alices)


def test_authorizations_are_a_copy() -> None:
    gateway = gateway_for_alice(V4.db())
    gateway.authorizations("alice").clear()
    assert gateway.authorizations("alice") == {"db": None}
