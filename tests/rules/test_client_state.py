"""`Gateway.client`: what there is of a client, at the latest `now`."""

from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

import pytest

from firezone_filter import (
    AddressPlan,
    CidrResource,
    DnsResource,
    Gateway,
    GatewayOptions,
    Protocol,
    TunnelAddresses,
    UnknownClient,
)
from firezone_filter.packet.numbers import ACK, FIN, RST, SYN
from firezone_filter.testing.builders import icmp, icmp_echo, ip, tcp, udp
from firezone_filter.values.states import (
    AuthorizationState,
    ClientState,
    FlowState,
    NameState,
    NatSessionState,
    ProxyState,
)
from tests.scenes import INBOUND, OUTBOUND

NOW = 1_000.0
PEER = TunnelAddresses("100.64.0.2", "fd00:2021:1111::2")
DB = CidrResource("db", "10.0.0.0/24")
GIT = DnsResource("git", "*.example.com")
ALSO = DnsResource("also", "git.example.com")
P4 = [IPv4Address("100.96.0.0") + number for number in range(6)]
P6 = [IPv6Address("fd00:2021:1111:8000::") + number for number in range(3)]


def gateway_for(*resources: Any, now: float | None = NOW, **options: Any) -> Gateway:  # noqa: ANN401
    gateway = Gateway(TunnelAddresses("100.64.0.1"), options=GatewayOptions(**options))
    gateway.client_connected("alice", PEER, now=now)
    for resource in resources:
        gateway.authorize("alice", resource)
    return gateway


def resolve(
    gateway: Gateway,
    proxies: list[Any],
    real: list[str],
    name: str = "git.example.com",
    resource: str = "git",
) -> None:
    gateway.domain_resolved(
        "alice", resource, name, proxy_addresses=proxies, resolved_addresses=real
    )


# --- What it tells -------------------------------------------------------------------------


def test_a_client_without_anything_has_its_addresses() -> None:
    state = gateway_for().client("alice")
    assert state == ClientState("alice", PEER, (), (), (), (), ())


@pytest.mark.parametrize(
    "addresses",
    [TunnelAddresses("100.64.0.2"), TunnelAddresses(ipv6="fd00:2021:1111::2")],
    ids=["ipv4", "ipv6"],
)
def test_of_a_client_with_one_address_it_tells_that_one(addresses: TunnelAddresses) -> None:
    gateway = gateway_for()
    gateway.client_connected("alice", addresses)
    assert gateway.client("alice").addresses == addresses


def test_authorizations_are_in_the_order_in_which_they_were_given() -> None:
    gateway = gateway_for(GIT, DB)
    gateway.authorize("alice", GIT, expires_at=NOW + 5)
    expected = [AuthorizationState(GIT, NOW + 5), AuthorizationState(DB, None)]
    assert gateway.client("alice").authorizations == tuple(expected)


def test_names_are_told_as_they_were_given_and_proxies_as_they_lead() -> None:
    gateway = gateway_for(GIT)
    # In no order, one twice, one scoped, and one that no name may resolve to.
    resolve(
        gateway,
        [P4[2], P6[1], P4[1]],
        ["10.0.0.9", "127.0.0.1", "10.0.0.5", "10.0.0.9", "fe80::1%x"],
    )
    state = gateway.client("alice")
    resolved = tuple(map(ip_address, ["10.0.0.9", "127.0.0.1", "10.0.0.5", "10.0.0.9"]))
    assert state.names == (NameState("git", "git.example.com", (P4[2], P6[1], P4[1]), resolved),)
    low, high = IPv4Address("10.0.0.5"), IPv4Address("10.0.0.9")
    assert set(state.proxies) == {
        ProxyState(P4[2], "git.example.com", low, ("git",)),
        ProxyState(P6[1], "git.example.com", None, ("git",)),
        ProxyState(P4[1], "git.example.com", high, ("git",)),
    }


def test_a_session_of_the_nat_is_told_with_both_of_its_ends() -> None:
    gateway = gateway_for(GIT)
    resolve(gateway, P4[1:3], ["10.0.0.5"])
    for proxy in P4[1:3]:
        assert gateway.handle_packet(OUTBOUND, tcp(f"100.64.0.2:5000 > {proxy}:443")).allowed
    assert gateway.handle_packet(
        OUTBOUND, icmp_echo(f"100.64.0.2 > {P4[1]}", identifier=7)
    ).allowed
    gateway.handle_packet(INBOUND, tcp("10.0.0.5:443 > 100.64.0.2:5001"), NOW + 1)
    real = IPv4Address("10.0.0.5")
    assert set(gateway.client("alice").sessions) == {
        NatSessionState(6, 5000, P4[1], real, 5000, NOW + 60),
        NatSessionState(6, 5000, P4[2], real, 5001, NOW + 7_440),
        NatSessionState(1, 7, P4[1], real, 7, NOW + 60),
    }


FLOWS = [
    pytest.param(
        tcp("100.64.0.2:5000 > 10.0.0.5:443"), (6, 5000, 443, None, None), "10.0.0.5", id="tcp"
    ),
    pytest.param(
        udp("100.64.0.2:5000 > 10.0.0.5:53"), (17, 5000, 53, None, None), "10.0.0.5", id="udp"
    ),
    pytest.param(
        icmp_echo("100.64.0.2 > 10.0.0.5", identifier=7),
        (1, None, None, 8, 7),
        "10.0.0.5",
        id="echo",
    ),
    pytest.param(
        icmp("100.64.0.2 > 10.0.0.5", 13), (1, None, None, 13, None), "10.0.0.5", id="timestamp"
    ),
    pytest.param(ip("100.64.0.2 > 10.0.0.5", 47), (47, *[None] * 4), "10.0.0.5", id="gre"),
    pytest.param(
        tcp("[fd00:2021:1111::2]:5000 > [fd10::5]:443"),
        (6, 5000, 443, None, None),
        "fd10::5",
        id="tcp, ipv6",
    ),
    pytest.param(
        icmp_echo("fd00:2021:1111::2 > fd10::5", identifier=7),
        (58, None, None, 128, 7),
        "fd10::5",
        id="echo, ipv6",
    ),
    pytest.param(
        icmp("fd00:2021:1111::2 > fd10::5", 139),
        (58, None, None, 139, None),
        "fd10::5",
        id="node information",
    ),
    pytest.param(
        ip("fd00:2021:1111::2 > fd10::5", 47), (47, *[None] * 4), "fd10::5", id="gre, ipv6"
    ),
]


@pytest.mark.parametrize(("packet", "ends", "far"), FLOWS)
def test_a_flow_is_told_as_the_client_sees_it(
    packet: bytes, ends: tuple[int, int | None, int | None, int | None, int | None], far: str
) -> None:
    gateway = gateway_for(DB, CidrResource("six", "fd10::/64"), stateful=True)
    assert gateway.handle_packet(OUTBOUND, packet).allowed
    protocol, *rest = ends
    near_port, far_port, request, echo_id = rest
    address = ip_address(far)
    near = PEER.ipv4 if address.version == 4 else PEER.ipv6
    assert near is not None
    resource_id = "db" if address.version == 4 else "six"
    expected = FlowState(
        protocol, near, address, near_port, far_port, request, echo_id, resource_id, NOW + 60
    )
    assert gateway.client("alice").flows == (expected,)


def test_a_session_and_a_flow_end_with_the_authorization_at_the_latest() -> None:
    gateway = gateway_for(GIT, stateful=True)
    resolve(gateway, P4[1:2], ["10.0.0.5"])
    assert gateway.handle_packet(OUTBOUND, tcp(f"100.64.0.2:5000 > {P4[1]}:443")).allowed
    gateway.update_expiry("alice", "git", NOW + 9)
    state = gateway.client("alice")
    assert [one.ends_at for one in state.sessions] == [NOW + 9]
    assert [one.ends_at for one in state.flows] == [NOW + 9]


# --- What is over --------------------------------------------------------------------------


def in_use() -> Gateway:
    gateway = gateway_for(GIT, DB, stateful=True)
    resolve(gateway, P4[1:2], ["10.0.0.5"])
    for far in (P4[1], "10.0.0.5"):
        assert gateway.handle_packet(OUTBOUND, tcp(f"100.64.0.2:5000 > {far}:443")).allowed
    return gateway


def counted(gateway: Gateway) -> list[int]:
    """Return how many there are of everything."""
    state = gateway.client("alice")
    named = [len(state.authorizations), len(state.names), len(state.proxies)]
    return [*named, len(state.sessions), len(state.flows)]


@pytest.mark.parametrize(
    ("end", "left"),
    [
        pytest.param(repr, [2, 1, 1, 1, 2], id="nothing"),
        pytest.param(
            lambda gateway: gateway.revoke("alice", "git"), [1, 0, 0, 0, 1], id="revoked"
        ),
        pytest.param(
            lambda gateway: gateway.retain_authorizations({"alice": ["db"]}),
            [1, 0, 0, 0, 1],
            id="not retained",
        ),
        pytest.param(
            lambda gateway: resolve(gateway, P4[1:2], [], "www.example.com"),
            [2, 1, 1, 0, 1],
            id="renumbered",
        ),
        pytest.param(
            lambda gateway: gateway.handle_packet(
                OUTBOUND, tcp(f"100.64.0.2:5000 > {P4[1]}:443", flags=RST)
            ),
            [2, 1, 1, 0, 1],
            id="reset",
        ),
        pytest.param(lambda gateway: gateway.handle_timeout(NOW + 60), [2, 1, 1, 0, 0], id="idle"),
        pytest.param(
            lambda gateway: gateway.client_connected("alice", PEER), [0] * 5, id="connected anew"
        ),
    ],
)
def test_what_is_over_is_not_in_it(end: Any, left: list[int]) -> None:  # noqa: ANN401 - a lambda
    gateway = in_use()
    end(gateway)
    assert counted(gateway) == left


def test_what_is_over_counts_no_more_though_nobody_has_taken_it_apart() -> None:
    """One call of `handle_packet` does a bounded part of what there is to do."""
    gateway = gateway_for(stateful=True)
    for number in range(200):
        resource = DnsResource(f"git-{number}", f"{number}.example.com")
        gateway.authorize("alice", resource, expires_at=NOW + 10)
        proxy = IPv4Address("100.97.0.0") + number
        resolve(gateway, [proxy], ["10.0.0.5"], f"{number}.example.com", resource.id)
        assert gateway.handle_packet(OUTBOUND, udp(f"100.64.0.2:5000 > {proxy}:53")).allowed
    assert counted(gateway) == [200] * 5
    gateway.handle_packet(OUTBOUND, b"", NOW + 10)
    assert gateway.poll_timeout() == NOW + 10
    assert counted(gateway) == [0] * 5


# --- Which names are kept ------------------------------------------------------------------


def test_a_name_is_replaced_once_all_of_its_proxies_have_been_named_again() -> None:
    gateway = gateway_for(GIT, ALSO)
    resolve(gateway, P4[1:4], ["10.0.0.1"])
    resolve(gateway, P4[1:2], ["10.0.0.2"])
    # Another resource's, which replaces nothing of this one's.
    resolve(gateway, P4[1:4], ["10.0.0.3"], resource="also")
    resolve(gateway, P4[3:4], ["10.0.0.4"])
    told = [(one.resource_id, one.proxy_addresses) for one in gateway.client("alice").names]
    first = [("git", tuple(P4[1:4])), ("git", tuple(P4[1:2])), ("also", tuple(P4[1:4]))]
    assert told == [*first, ("git", tuple(P4[3:4]))]
    resolve(gateway, P4[2:3], ["10.0.0.5"])
    told = [(one.resource_id, one.proxy_addresses) for one in gateway.client("alice").names]
    assert told == [*first[1:], ("git", tuple(P4[3:4])), ("git", tuple(P4[2:3]))]
    gateway.revoke("alice", "git")
    assert [one.resource_id for one in gateway.client("alice").names] == ["also"]
    # The proxy addresses lead to where the last call has said, whoever made it.
    leads = {one.address: str(one.real_address) for one in gateway.client("alice").proxies}
    assert leads == {P4[1]: "10.0.0.3", P4[2]: "10.0.0.5", P4[3]: "10.0.0.4"}


def test_a_name_without_proxies_is_kept_until_it_is_given_again() -> None:
    gateway = gateway_for(GIT)
    for real in (["10.0.0.1"], ["10.0.0.2"]):
        resolve(gateway, [], real)
    resolve(gateway, [], [], "www.example.com")
    names = [(one.name, len(one.resolved_addresses)) for one in gateway.client("alice").names]
    assert names == [("git.example.com", 1), ("www.example.com", 0)]


# --- Looking -------------------------------------------------------------------------------


def test_looking_has_no_effect() -> None:
    looked_at, other = in_use(), in_use()
    for number in range(80):
        looked_at.client("alice")
        for gateway in (looked_at, other):
            gateway.handle_packet(
                INBOUND, tcp("10.0.0.5:443 > 100.64.0.2:5000", flags=FIN | ACK), NOW + number
            )
            gateway.handle_packet(
                OUTBOUND, tcp("100.64.0.2:5000 > 10.0.0.5:443", flags=SYN), NOW + number
            )
        assert looked_at.poll_timeout() == other.poll_timeout()
        assert looked_at.poll_event() == other.poll_event()
    assert looked_at.counters() == other.counters()
    assert looked_at.client("alice") == other.client("alice")


def test_before_the_first_now_ends_count_from_it() -> None:
    gateway = gateway_for(DB, now=None, stateful=True)
    assert gateway.handle_packet(OUTBOUND, tcp("100.64.0.2:5000 > 10.0.0.5:443")).allowed
    assert [one.ends_at for one in gateway.client("alice").flows] == [60.0]
    gateway.handle_timeout(NOW)
    assert [one.ends_at for one in gateway.client("alice").flows] == [NOW + 60]


def test_an_unknown_client_is_an_error() -> None:
    with pytest.raises(UnknownClient):
        gateway_for().client("bob")
    with pytest.raises(TypeError):
        gateway_for().client(5)  # type: ignore[arg-type]


def test_a_gateway_tells_what_it_was_made_with_and_its_addresses_of_now() -> None:
    plan = AddressPlan(dns_resources=["100.96.0.0/12"])
    options = GatewayOptions(own_filters=[Protocol(47)])
    gateway = Gateway(TunnelAddresses("100.64.0.1"), address_plan=plan, options=options)
    assert (gateway.address_plan, gateway.options) == (plan, options)
    gateway.set_addresses(PEER)
    assert gateway.addresses == PEER
    with pytest.raises(AttributeError):
        gateway.addresses = PEER  # type: ignore[misc]
