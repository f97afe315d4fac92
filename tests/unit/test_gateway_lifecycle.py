"""Section 3, rules 1 to 4 and 6: connections, authorizations, the gateway's own addresses."""

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
from tests.builders import tcp
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
    rejection,
)

# --- Rule 1: connecting --------------------------------------------------------------------


@both_directions
@both_families
def test_a_client_that_has_just_connected_is_allowed_nothing(
    family: Family, direction: Direction
) -> None:
    gateway = gateway_for_alice()
    for packet in (
        family.tcp(direction),
        family.udp(direction),
        family.echo(direction),
        family.tcp(direction, far=family.public),
    ):
        assert refusal(gateway.handle_packet(direction, packet)) == Reason.NO_RESOURCE
    assert gateway.authorizations("alice") == {}


@both_directions
@both_families
def test_a_client_that_has_just_connected_may_talk_to_the_gateway(
    family: Family, direction: Direction
) -> None:
    gateway = gateway_for_alice(options=GatewayOptions(own_filters=[Udp(53)]))
    packet = family.udp(direction, 53, far=family.gateway)
    assert gateway.handle_packet(direction, packet) == Forward("alice", None)


@both_directions
@both_families
def test_a_client_that_comes_back_is_allowed_nothing(family: Family, direction: Direction) -> None:
    gateway = gateway_for_alice(family.db(), InternetResource("internet"))
    packet = family.tcp(direction)
    assert gateway.handle_packet(direction, packet).allowed
    gateway.client_connected("alice", ALICE)
    assert refusal(gateway.handle_packet(direction, packet)) == Reason.NO_RESOURCE
    assert gateway.authorizations("alice") == {}


@both_directions
@both_families
def test_a_client_that_comes_back_can_be_authorized_again(
    family: Family, direction: Direction
) -> None:
    gateway = gateway_for_alice(family.db())
    gateway.client_connected("alice", ALICE)
    gateway.authorize("alice", family.db(Tcp(443)))
    assert gateway.handle_packet(direction, family.tcp(direction)) == Forward("alice", "db")


def test_after_a_reconnect_an_id_is_free_for_another_network() -> None:
    gateway = gateway_for_alice(V4.db())
    gateway.client_connected("alice", ALICE)
    gateway.authorize("alice", CidrResource("db", "192.0.2.0/24"))
    assert gateway.handle_packet(OUTBOUND, V4.tcp(OUTBOUND, far="192.0.2.1")).allowed


def test_a_reconnect_leaves_other_clients_alone() -> None:
    gateway = gateway_for_alice(V4.db())
    gateway.client_connected("bob", BOB)
    assert gateway.handle_packet(OUTBOUND, V4.tcp(OUTBOUND)) == Forward("alice", "db")


@both_families
def test_a_client_may_come_back_with_other_addresses(family: Family) -> None:
    gateway = gateway_for_alice()
    spare = TunnelAddresses(V4.spare, V6.spare)
    gateway.client_connected("alice", spare)
    gateway.authorize("alice", family.db())
    old = family.tcp(OUTBOUND)
    new = tcp(family.flow(OUTBOUND, 443, near=family.spare))
    assert gateway.handle_packet(OUTBOUND, old) == Drop(Reason.UNKNOWN_CLIENT, None)
    assert gateway.handle_packet(OUTBOUND, new) == Forward("alice", "db")
    gateway.client_connected("carol", ALICE)
    assert rejection(gateway.handle_packet(OUTBOUND, old)) == Reason.NO_RESOURCE


def test_a_client_may_come_back_with_one_family_less() -> None:
    gateway = gateway_for_alice()
    gateway.client_connected("alice", TunnelAddresses(ipv4=V4.client))
    assert gateway.handle_packet(INBOUND, V6.tcp(INBOUND)) == Drop(Reason.UNKNOWN_CLIENT, None)
    gateway.client_connected("carol", TunnelAddresses(ipv6=V6.client))
    assert gateway.handle_packet(INBOUND, V6.tcp(INBOUND)) == Drop(Reason.NO_RESOURCE, "carol")


def test_clients_are_listed_and_looked_up() -> None:
    gateway = Gateway(GATEWAY)
    assert gateway.clients() == ()
    gateway.client_connected("bob", BOB)
    gateway.client_connected("alice", ALICE)
    assert set(gateway.clients()) == {"alice", "bob"}
    assert "alice" in gateway
    assert "carol" not in gateway
    assert 7 not in gateway


# --- Rule 2: whose address -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("addresses", "taken"),
    [
        (BOB, V4.neighbour),
        (TunnelAddresses(V4.neighbour, V6.spare), V4.neighbour),
        (TunnelAddresses(V4.spare, V6.neighbour), V6.neighbour),
    ],
)
@pytest.mark.parametrize("client_id", ["alice", "carol"])
def test_the_address_of_another_client_is_in_use(
    client_id: str, addresses: TunnelAddresses, taken: str
) -> None:
    gateway = gateway_for_alice(V4.db())
    with pytest.raises(AddressInUse) as raised:
        gateway.client_connected(client_id, addresses)
    assert raised.value.client_id == "bob"
    assert str(raised.value.value) == taken
    assert gateway.clients() == ("alice", "bob")
    assert gateway.authorizations("alice") == {"db": None}


def test_one_address_of_another_client_is_enough_to_be_in_use() -> None:
    gateway = gateway_for_alice(V4.db())
    with pytest.raises(AddressInUse):
        gateway.client_connected("alice", TunnelAddresses(V4.client, V6.neighbour))
    assert gateway.handle_packet(OUTBOUND, V4.tcp(OUTBOUND)) == Forward("alice", "db")


@pytest.mark.parametrize(
    "addresses",
    [
        TunnelAddresses(ipv4="100.63.255.255"),
        TunnelAddresses(ipv4="100.96.0.0"),
        TunnelAddresses(ipv4="10.0.0.5"),
        TunnelAddresses(ipv6="fd00:2021:1111::20:0"),
        TunnelAddresses(ipv6="fd00:2021:1111:8000::1"),
        TunnelAddresses("100.64.0.9", "fd00:5::5"),
        TunnelAddresses("10.0.0.5", V6.spare),
    ],
    ids=str,
)
def test_an_address_outside_the_tunnel_ranges_is_invalid(addresses: TunnelAddresses) -> None:
    gateway = gateway_for_alice(V4.db())
    with pytest.raises(InvalidAddress, match="outside"):
        gateway.client_connected("alice", addresses)
    with pytest.raises(InvalidAddress, match="outside"):
        gateway.set_addresses(addresses)
    with pytest.raises(InvalidAddress, match="outside"):
        Gateway(addresses)
    assert gateway.authorizations("alice") == {"db": None}


@pytest.mark.parametrize(
    "addresses",
    [
        TunnelAddresses(ipv4="100.64.0.0"),
        TunnelAddresses(ipv4="100.95.255.255"),
        TunnelAddresses(ipv6="fd00:2021:1111::"),
        TunnelAddresses(ipv6="fd00:2021:1111::1f:ffff"),
    ],
    ids=str,
)
def test_the_first_and_the_last_address_of_the_tunnel_ranges_will_do(
    addresses: TunnelAddresses,
) -> None:
    gateway = gateway_for_alice()
    gateway.client_connected("carol", addresses)
    assert "carol" in gateway


def test_the_plan_decides_which_ranges_are_the_tunnels() -> None:
    plan = AddressPlan(tunnel=["10.9.0.0/24"], dns_resources=["10.9.1.0/24"])
    gateway = Gateway(TunnelAddresses("10.9.0.1"), address_plan=plan)
    gateway.client_connected("alice", TunnelAddresses("10.9.0.2"))
    with pytest.raises(InvalidAddress):
        gateway.client_connected("bob", BOB)
    with pytest.raises(InvalidAddress):
        gateway.client_connected("bob", TunnelAddresses("10.9.1.2"))
    assert gateway.clients() == ("alice",)


@pytest.mark.parametrize(
    "addresses",
    [
        GATEWAY,
        TunnelAddresses(V4.gateway, V6.spare),
        TunnelAddresses(V4.spare, V6.gateway),
    ],
)
def test_the_gateways_own_address_is_invalid_for_a_client(addresses: TunnelAddresses) -> None:
    gateway = gateway_for_alice(V4.db())
    with pytest.raises(InvalidAddress, match="own"):
        gateway.client_connected("alice", addresses)
    assert gateway.authorizations("alice") == {"db": None}


@pytest.mark.parametrize(
    "addresses",
    [ALICE, TunnelAddresses(V4.spare, V6.client), TunnelAddresses(ipv4=V4.client)],
)
def test_the_gateway_does_not_take_the_address_of_a_client(addresses: TunnelAddresses) -> None:
    gateway = gateway_for_alice()
    with pytest.raises(AddressInUse) as raised:
        gateway.set_addresses(addresses)
    assert raised.value.client_id == "alice"
    packet = V4.tcp(OUTBOUND, far=V4.gateway)
    assert gateway.handle_packet(OUTBOUND, packet) == Forward("alice", None)


@both_directions
@both_families
def test_set_addresses_moves_the_gateway(family: Family, direction: Direction) -> None:
    gateway = gateway_for_alice()
    gateway.set_addresses(TunnelAddresses(V4.spare, V6.spare))
    new = family.tcp(direction, far=family.spare)
    old = family.tcp(direction, far=family.gateway)
    assert gateway.handle_packet(direction, new) == Forward("alice", None)
    assert refusal(gateway.handle_packet(direction, old)) == Reason.PEER_ADDRESS
    gateway.client_connected("carol", GATEWAY)
    with pytest.raises(InvalidAddress):
        gateway.client_connected("dave", TunnelAddresses(V4.spare))


def test_set_addresses_may_leave_a_family_out() -> None:
    gateway = gateway_for_alice()
    gateway.set_addresses(TunnelAddresses(ipv4=V4.gateway))
    packet = V6.tcp(OUTBOUND, far=V6.gateway)
    assert rejection(gateway.handle_packet(OUTBOUND, packet)) == Reason.PEER_ADDRESS


def test_set_addresses_takes_no_permission_away() -> None:
    gateway = gateway_for_alice(V4.db())
    gateway.set_addresses(TunnelAddresses(V4.spare))
    assert gateway.handle_packet(OUTBOUND, V4.tcp(OUTBOUND)) == Forward("alice", "db")


# --- Rule 3: disconnecting -----------------------------------------------------------------


@both_directions
@both_families
def test_a_client_that_has_disconnected_is_unknown(family: Family, direction: Direction) -> None:
    gateway = gateway_for_alice(family.db())
    assert gateway.client_disconnected("alice") is True
    packet = family.tcp(direction)
    assert gateway.handle_packet(direction, packet) == Drop(Reason.UNKNOWN_CLIENT, None)
    assert "alice" not in gateway
    assert gateway.clients() == ("bob",)


def test_disconnecting_tells_whether_there_was_a_client() -> None:
    gateway = gateway_for_alice()
    assert gateway.client_disconnected("alice") is True
    assert gateway.client_disconnected("alice") is False
    assert gateway.client_disconnected("carol") is False


def test_the_addresses_of_a_client_that_has_disconnected_are_free() -> None:
    gateway = gateway_for_alice(V4.db())
    gateway.client_disconnected("alice")
    gateway.client_connected("carol", ALICE)
    assert gateway.handle_packet(INBOUND, V4.tcp(INBOUND)) == Drop(Reason.NO_RESOURCE, "carol")
    gateway.client_disconnected("carol")
    gateway.set_addresses(ALICE)


def test_a_client_that_has_disconnected_cannot_be_authorized() -> None:
    gateway = gateway_for_alice(V4.db())
    gateway.client_disconnected("alice")
    with pytest.raises(UnknownClient) as raised:
        gateway.authorize("alice", V4.db())
    assert raised.value.value == "alice"
    with pytest.raises(UnknownClient):
        gateway.authorizations("alice")
    assert gateway.revoke("alice", "db") is False
    assert gateway.update_expiry("alice", "db", None) is False
    assert gateway.update_resource(V4.db()) == 0


# --- Rule 4: authorizing -------------------------------------------------------------------


@both_directions
@both_families
def test_an_authorized_client_passes_in_both_directions(
    family: Family, direction: Direction
) -> None:
    gateway = gateway_for_alice(family.db(Tcp(443)))
    assert gateway.handle_packet(direction, family.tcp(direction)) == Forward("alice", "db")


def test_authorizing_an_unknown_client_raises() -> None:
    gateway = gateway_for_alice()
    with pytest.raises(UnknownClient) as raised:
        gateway.authorize("carol", V4.db())
    assert raised.value.value == "carol"
    assert "carol" not in gateway


@both_directions
def test_authorizing_again_replaces_the_filters(direction: Direction) -> None:
    gateway = gateway_for_alice(V4.db(Tcp(443)))
    assert gateway.handle_packet(direction, V4.tcp(direction)).allowed
    gateway.authorize("alice", V4.db(Udp(53)))
    assert refusal(gateway.handle_packet(direction, V4.tcp(direction))) == Reason.TCP_PORT
    assert gateway.handle_packet(direction, V4.udp(direction)).allowed


@both_directions
def test_authorizing_again_replaces_what_is_excluded(direction: Direction) -> None:
    gateway = gateway_for_alice(InternetResource("internet"))
    packet = V4.tcp(direction, far=V4.public)
    assert gateway.handle_packet(direction, packet).allowed
    gateway.authorize("alice", InternetResource("internet", exclude=["1.1.1.0/24"]))
    assert refusal(gateway.handle_packet(direction, packet)) == Reason.NOT_INTERNET
    gateway.authorize("alice", InternetResource("internet"))
    assert gateway.handle_packet(direction, packet).allowed


def test_authorizing_again_replaces_the_expiry() -> None:
    gateway = gateway_for_alice(V4.db())
    gateway.authorize("alice", V4.db(), expires_at=10.0)
    assert gateway.authorizations("alice") == {"db": 10.0}
    gateway.authorize("alice", V4.db(), expires_at=5.0)
    assert gateway.authorizations("alice") == {"db": 5.0}
    gateway.authorize("alice", V4.db())
    assert gateway.authorizations("alice") == {"db": None}


def test_the_name_may_change() -> None:
    gateway = gateway_for_alice(V4.db())
    gateway.authorize("alice", CidrResource("db", V4.network, name="Database"))
    assert gateway.update_resource(CidrResource("db", V4.network, name="DB")) == 1


OTHER_PLACES: list[tuple[Resource, Resource]] = [
    (CidrResource("x", "10.0.0.0/24"), CidrResource("x", "10.0.0.0/25")),
    (CidrResource("x", "10.0.0.0/24"), CidrResource("x", "fd00:5::/64")),
    (CidrResource("x", "10.0.0.0/24"), InternetResource("x")),
    (CidrResource("x", "10.0.0.0/24"), DnsResource("x", "example.com")),
    (InternetResource("x"), CidrResource("x", "0.0.0.0/0")),
    (InternetResource("x"), DnsResource("x", "example.com")),
    (DnsResource("x", "example.com"), DnsResource("x", "*.example.com")),
    (DnsResource("x", "example.com"), CidrResource("x", "10.0.0.0/24")),
    (DnsResource("x", "example.com"), InternetResource("x")),
]


@pytest.mark.parametrize(("held", "other"), OTHER_PLACES)
def test_a_resource_never_changes_its_kind_network_or_pattern(
    held: Resource, other: Resource
) -> None:
    gateway = gateway_for_alice()
    gateway.authorize("alice", held, expires_at=10.0)
    with pytest.raises(InvalidPolicy) as raised:
        gateway.authorize("alice", other)
    assert raised.value.value == other
    with pytest.raises(InvalidPolicy):
        gateway.update_resource(other)
    assert gateway.authorizations("alice") == {"x": 10.0}
    assert gateway.update_resource(held) == 1


@pytest.mark.parametrize(("held", "other"), OTHER_PLACES)
def test_after_revocation_the_id_is_free(held: Resource, other: Resource) -> None:
    gateway = gateway_for_alice(held)
    assert gateway.revoke("alice", "x")
    gateway.authorize("alice", other)
    assert gateway.update_resource(other) == 1


def test_another_client_may_have_another_network_under_the_same_id() -> None:
    gateway = gateway_for_alice(CidrResource("x", "10.0.0.0/24"))
    gateway.authorize("bob", CidrResource("x", "10.0.1.0/24"))
    assert gateway.handle_packet(OUTBOUND, V4.tcp(OUTBOUND)) == Forward("alice", "x")


def test_an_authorization_that_raises_changes_nothing() -> None:
    gateway = gateway_for_alice(V4.db(Tcp(443)))
    with pytest.raises(InvalidPolicy):
        gateway.authorize("alice", CidrResource("db", "10.0.0.0/8", [Udp(53)]), expires_at=5.0)
    with pytest.raises(ValueError, match="50 years"):
        gateway.authorize("alice", V4.db(Udp(53)), expires_at=1e12)
    assert gateway.handle_packet(OUTBOUND, V4.tcp(OUTBOUND)).allowed
    assert not gateway.handle_packet(OUTBOUND, V4.udp(OUTBOUND)).allowed
    assert gateway.authorizations("alice") == {"db": None}


@both_directions
@both_families
def test_a_revocation_takes_effect_in_both_directions(
    family: Family, direction: Direction
) -> None:
    gateway = gateway_for_alice(family.db())
    assert gateway.handle_packet(direction, family.tcp(direction)).allowed
    assert gateway.revoke("alice", "db") is True
    decision = gateway.handle_packet(direction, family.tcp(direction))
    assert refusal(decision) == Reason.NO_RESOURCE


def test_a_revocation_leaves_other_resources_and_clients() -> None:
    gateway = gateway_for_alice(V4.db(), CidrResource("other", "10.0.1.0/24"))
    gateway.authorize("bob", V4.db())
    gateway.revoke("alice", "db")
    assert gateway.authorizations("alice") == {"other": None}
    assert gateway.authorizations("bob") == {"db": None}


def test_a_revocation_of_something_unknown_is_false() -> None:
    gateway = gateway_for_alice(V4.db())
    assert gateway.revoke("alice", "other") is False
    assert gateway.revoke("bob", "db") is False
    assert gateway.revoke("carol", "db") is False
    assert gateway.revoke("alice", "db") is True
    assert gateway.revoke("alice", "db") is False


def test_an_expiry_of_something_unknown_is_false() -> None:
    gateway = gateway_for_alice(V4.db())
    assert gateway.update_expiry("alice", "other", 5.0) is False
    assert gateway.update_expiry("bob", "db", 5.0) is False
    assert gateway.update_expiry("carol", "db", None) is False
    assert gateway.authorizations("alice") == {"db": None}
    assert gateway.poll_timeout() is None


@both_directions
def test_an_update_reaches_every_client_that_has_the_resource(direction: Direction) -> None:
    gateway = gateway_for_alice(V4.db(Tcp(443)))
    gateway.authorize("bob", V4.db(Tcp(1)))
    gateway.client_connected("carol", TunnelAddresses(V4.spare))
    assert gateway.handle_packet(direction, V4.tcp(direction)).allowed
    assert gateway.update_resource(V4.db(Icmp())) == 2
    assert refusal(gateway.handle_packet(direction, V4.tcp(direction))) == Reason.TCP_PORT
    assert gateway.handle_packet(direction, V4.echo(direction)).allowed
    assert gateway.authorizations("carol") == {}


def test_an_update_changes_what_is_excluded() -> None:
    gateway = gateway_for_alice(InternetResource("internet"))
    packet = V4.tcp(OUTBOUND, far=V4.public)
    assert gateway.update_resource(InternetResource("internet", exclude=["1.1.1.1/32"])) == 1
    assert rejection(gateway.handle_packet(OUTBOUND, packet)) == Reason.NOT_INTERNET


def test_an_update_never_changes_the_expiry() -> None:
    gateway = gateway_for_alice()
    gateway.authorize("alice", V4.db(), expires_at=10.0)
    gateway.authorize("bob", V4.db())
    assert gateway.update_resource(V4.db(Tcp(443))) == 2
    assert gateway.authorizations("alice") == {"db": 10.0}
    assert gateway.authorizations("bob") == {"db": None}
    gateway.handle_timeout(10.0)
    assert gateway.authorizations("alice") == {}


def test_an_update_of_what_nobody_has_reaches_nobody() -> None:
    gateway = gateway_for_alice()
    assert gateway.update_resource(V4.db()) == 0
    assert rejection(gateway.handle_packet(OUTBOUND, V4.tcp(OUTBOUND))) == Reason.NO_RESOURCE


@pytest.mark.parametrize("order", [("alice", "bob"), ("bob", "alice")])
def test_an_update_that_one_client_cannot_take_changes_nothing_for_any(
    order: tuple[str, str],
) -> None:
    gateway = Gateway(GATEWAY)
    addresses = {"alice": ALICE, "bob": BOB}
    for client_id in order:
        gateway.client_connected(client_id, addresses[client_id])
    gateway.authorize("alice", V4.db(Tcp(443)))
    gateway.authorize("bob", CidrResource("db", "192.0.2.0/24"))
    with pytest.raises(InvalidPolicy):
        gateway.update_resource(V4.db(Icmp()))
    assert gateway.handle_packet(OUTBOUND, V4.tcp(OUTBOUND)) == Forward("alice", "db")
    assert rejection(gateway.handle_packet(OUTBOUND, V4.echo(OUTBOUND))) == Reason.ICMP


def test_retain_takes_away_what_it_does_not_list() -> None:
    gateway = gateway_for_alice(
        V4.db(), CidrResource("x", "10.0.1.0/24"), CidrResource("y", "10.0.2.0/24")
    )
    gateway.retain_authorizations({"alice": {"db", "y"}})
    assert gateway.authorizations("alice") == {"db": None, "y": None}
    decision = gateway.handle_packet(OUTBOUND, V4.tcp(OUTBOUND, far="10.0.1.5"))
    assert rejection(decision) == Reason.NO_RESOURCE


def test_retain_takes_everything_from_clients_that_it_does_not_mention() -> None:
    gateway = gateway_for_alice(V4.db())
    gateway.authorize("bob", V4.db())
    gateway.retain_authorizations({"alice": ["db"]})
    assert gateway.authorizations("alice") == {"db": None}
    assert gateway.authorizations("bob") == {}
    assert "bob" in gateway


def test_retain_ignores_unknown_ids() -> None:
    gateway = gateway_for_alice(V4.db())
    gateway.retain_authorizations({"alice": {"db", "unknown"}, "carol": {"db"}})
    assert gateway.authorizations("alice") == {"db": None}
    assert gateway.clients() == ("alice", "bob")


def test_retain_keeps_expiries() -> None:
    gateway = gateway_for_alice()
    gateway.authorize("alice", V4.db(), expires_at=10.0)
    gateway.retain_authorizations({"alice": ("db",)})
    assert gateway.authorizations("alice") == {"db": 10.0}


def test_retain_of_nothing_takes_everything_away() -> None:
    gateway = gateway_for_alice(V4.db(), InternetResource("internet"))
    gateway.retain_authorizations({})
    assert gateway.authorizations("alice") == {}
    assert gateway.handle_packet(INBOUND, V4.tcp(INBOUND)) == Drop(Reason.NO_RESOURCE, "alice")


def test_a_dns_resource_can_be_authorized_updated_and_revoked() -> None:
    gateway = gateway_for_alice(DnsResource("gitlab", "gitlab.example.com"))
    gateway.authorize("alice", DnsResource("gitlab", "gitlab.example.com", [Tcp(443)]))
    assert gateway.update_resource(DnsResource("gitlab", "GITLAB.example.com.")) == 1
    assert gateway.authorizations("alice") == {"gitlab": None}
    assert gateway.revoke("alice", "gitlab") is True
    assert gateway.authorizations("alice") == {}


def test_authorizations_are_a_copy() -> None:
    gateway = gateway_for_alice(V4.db())
    gateway.authorizations("alice").clear()
    assert gateway.authorizations("alice") == {"db": None}


def test_authorizations_of_an_unknown_client_raise() -> None:
    with pytest.raises(UnknownClient) as raised:
        gateway_for_alice().authorizations("carol")
    assert raised.value.value == "carol"


# --- Rule 6: nothing remembered outlives a change ------------------------------------------


@both_directions
@both_families
def test_the_decision_about_a_flow_follows_every_change(
    family: Family, direction: Direction
) -> None:
    gateway = gateway_for_alice()
    packet = family.tcp(direction)

    def passes() -> bool:
        return gateway.handle_packet(direction, packet).allowed

    seen = [passes()]
    gateway.authorize("alice", family.db())
    seen += [passes(), passes()]
    gateway.update_resource(family.db(Udp(53)))
    seen += [passes()]
    gateway.authorize("alice", family.db(Tcp(443)))
    seen += [passes(), passes()]
    gateway.revoke("alice", "db")
    seen += [passes()]
    gateway.authorize("alice", family.db(), expires_at=1.0)
    seen += [passes(), passes()]
    gateway.handle_timeout(1.0)
    seen += [passes()]
    gateway.authorize("alice", family.db())
    seen += [passes(), passes()]
    gateway.retain_authorizations({})
    seen += [passes()]
    assert seen == [False, True, True] + [False, True, True] * 3 + [False]


@both_families
def test_the_decision_about_the_gateway_follows_its_addresses(family: Family) -> None:
    gateway = gateway_for_alice()
    packet = family.tcp(OUTBOUND, far=family.gateway)
    assert gateway.handle_packet(OUTBOUND, packet).allowed
    gateway.set_addresses(TunnelAddresses(V4.spare, V6.spare))
    assert rejection(gateway.handle_packet(OUTBOUND, packet)) == Reason.PEER_ADDRESS


def test_the_representation_tells_addresses_clients_and_time() -> None:
    gateway = gateway_for_alice(now=None)
    assert repr(gateway) == ("<Gateway 100.64.0.1, fd00:2021:1111::1: 2 clients, no time yet>")
    gateway.handle_timeout(5.0)
    assert repr(gateway).endswith("2 clients, now 5.0>")
