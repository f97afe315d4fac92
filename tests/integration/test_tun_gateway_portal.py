"""The example's portal: of a new policy, a gateway is told what has changed, and no more."""

import logging
from pathlib import Path
from unittest.mock import Mock

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from examples.tun_gateway.portal import Portal
from firezone_filter import (
    AddressPlan,
    CidrResource,
    Decision,
    DecisionLog,
    Direction,
    DnsResource,
    Filter,
    Gateway,
    GatewayOptions,
    InternetResource,
    InvalidPolicy,
    InvalidTime,
    Policy,
    PolicyAuthorization,
    PolicyClient,
    PolicyDomain,
    Resource,
    Tcp,
    TunnelAddresses,
    Udp,
    load_policy,
)
from tests.builders import tcp, udp

NOW = 1_000.0
OWN = TunnelAddresses("100.64.0.1")
CLIENTS = ("alice", "bob")
TUNNEL = ("100.64.0.2", "100.64.0.3", "100.64.0.4")
FILTERS: tuple[tuple[Filter, ...], ...] = ((), (Tcp(443),), (Tcp(443), Udp(53)))
PROXIES = ("100.96.0.1", "100.96.0.2")
REAL = ("10.0.0.5", "10.0.0.6")
FAR = ("10.0.0.5", "10.1.0.5", "9.9.9.9", *PROXIES)

PACKETS = [
    (Direction.OUTBOUND, build(f"{client}:4000 > {far}:{port}"))
    for client in TUNNEL
    for far in FAR
    for build, port in ((tcp, 443), (tcp, 80), (udp, 53))
] + [(Direction.INBOUND, tcp(f"{far}:443 > {client}:4001")) for client in TUNNEL for far in FAR]

EXPIRIES = (None, NOW - 1, NOW + 1, NOW + 60)


@st.composite
def resources(draw: st.DrawFn, resource_id: str) -> Resource:
    """Draw a resource that may have become something else since it was drawn last."""
    match draw(st.integers(0, 3)):
        case 0:
            return InternetResource(resource_id)
        case 1:
            pattern = draw(st.sampled_from(["*.example.com", "git.example.com"]))
            return DnsResource(resource_id, pattern, draw(st.sampled_from(FILTERS)))
        case _:
            network = draw(st.sampled_from(["10.0.0.0/8", "10.0.0.0/24"]))
            return CidrResource(resource_id, network, draw(st.sampled_from(FILTERS)))


@st.composite
def authorizations(draw: st.DrawFn, resource_id: str, name: str) -> PolicyAuthorization:
    """Draw an authorization; a DNS resource has proxy addresses for one name, or none."""
    resource = draw(resources(resource_id))
    domains = []
    if isinstance(resource, DnsResource) and resource.pattern().matches(name):
        proxies = st.lists(st.sampled_from(PROXIES), unique=True)
        real = st.lists(st.sampled_from(REAL), unique=True)
        domains = [PolicyDomain(name, draw(proxies), draw(real))]
    return PolicyAuthorization(resource, draw(st.sampled_from(EXPIRIES)), domains)


@st.composite
def clients(draw: st.DrawFn, client_id: str, address: str) -> PolicyClient:
    """Draw what a client may do; all its proxy addresses stand for one name."""
    name = draw(st.sampled_from(["git.example.com", "www.example.com"]))
    ids = draw(st.lists(st.sampled_from(["a", "b", "c"]), unique=True))
    granted = [draw(authorizations(resource_id, name)) for resource_id in ids]
    return PolicyClient(client_id, TunnelAddresses(address), granted)


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    """Draw a policy; a client may be missing, or have another address than before."""
    ids = draw(st.lists(st.sampled_from(CLIENTS), unique=True))
    pairs = zip(ids, draw(st.permutations(TUNNEL)), strict=False)
    return Policy(OWN, clients=[draw(clients(*pair)) for pair in pairs])


def portal_of(policy: Policy) -> tuple[Portal, Mock]:
    """Return a portal, and its gateway, which notes how it is called."""
    gateway = Mock(wraps=Gateway(OWN, options=GatewayOptions(reject_burst=1_000_000)))
    return Portal(gateway, DecisionLog(logging.getLogger("quiet")), policy), gateway


def connect(portal: Portal, gateway: Mock) -> None:
    """Connect those clients that the portal knows and that are not connected."""
    for client_id in set(CLIENTS) - set(gateway.clients()):
        portal.connect(client_id, NOW)


def decisions(gateway: Mock) -> list[Decision]:
    """Return what happens to packets of all kinds."""
    return [gateway.handle_packet(direction, packet) for direction, packet in PACKETS]


def hooks(gateway: Mock) -> list[str]:
    """Return the names of the hooks that have been called, and forget them."""
    names = [name for name, _, _ in gateway.method_calls]
    gateway.reset_mock()
    return [name for name in names if name not in {"handle_timeout", "clients", "authorizations"}]


@given(st.lists(policies(), min_size=2, max_size=4))
def test_after_changes_it_is_as_if_the_last_policy_had_been_the_only_one(
    stages: list[Policy],
) -> None:
    portal, gateway = portal_of(stages[0])
    for policy in stages:
        connect(portal, gateway)
        portal.update(policy, NOW)
    connect(portal, gateway)
    portal.update(stages[-1], NOW)
    fresh_portal, fresh = portal_of(stages[-1])
    connect(fresh_portal, fresh)
    fresh_portal.update(stages[-1], NOW)
    assert decisions(gateway) == decisions(fresh)
    for client in stages[-1].clients:
        assert gateway.authorizations(client.id) == fresh.authorizations(client.id)


@given(policies())
def test_reading_the_same_policy_again_calls_no_hook(policy: Policy) -> None:
    portal, gateway = portal_of(policy)
    connect(portal, gateway)
    portal.update(policy, NOW)
    hooks(gateway)
    assert (portal.update(policy, NOW), hooks(gateway)) == ([], [])


# --- One change at a time ------------------------------------------------------------------

FILES = PolicyAuthorization(CidrResource("files", "10.0.0.0/24", [Tcp(443)]))
GIT = PolicyAuthorization(
    DnsResource("git", "git.example.com"),
    domains=[PolicyDomain("git.example.com", PROXIES[:1], REAL)],
)
OTHER_NET = PolicyAuthorization(CidrResource("files", "10.1.0.0/24", [Tcp(443)]))
OTHER_PORT = PolicyAuthorization(CidrResource("files", "10.0.0.0/24", [Tcp(80)]))
MORE_PROXIES = evolve(GIT, domains=[PolicyDomain("git.example.com", PROXIES, REAL)])
NO_PROXIES = evolve(GIT, domains=[PolicyDomain("git.example.com", (), REAL)])


def alice(*granted: PolicyAuthorization) -> Policy:
    return Policy(OWN, clients=[PolicyClient("alice", TunnelAddresses(TUNNEL[0]), granted)])


@pytest.mark.parametrize(
    ("before", "after", "called"),
    [
        ((), (FILES,), ["authorize"]),
        ((FILES,), (), ["revoke"]),
        ((FILES,), (evolve(FILES, expires_at=NOW + 5),), ["update_expiry"]),
        ((FILES,), (OTHER_PORT,), ["authorize"]),
        ((FILES,), (OTHER_NET,), ["revoke", "authorize"]),
        ((FILES, GIT), (FILES,), ["revoke"]),
        ((GIT,), (MORE_PROXIES,), ["update_expiry", "domain_resolved"]),
        ((GIT,), (NO_PROXIES,), ["revoke", "authorize", "domain_resolved"]),
    ],
)
def test_a_change_calls_the_hooks_that_it_needs(
    before: tuple[PolicyAuthorization, ...],
    after: tuple[PolicyAuthorization, ...],
    called: list[str],
) -> None:
    portal, gateway = portal_of(alice(*before))
    connect(portal, gateway)
    portal.update(alice(*before), NOW)
    hooks(gateway)
    portal.update(alice(*after), NOW)
    assert hooks(gateway) == called


def test_what_has_expired_is_not_authorized_again_by_the_same_policy() -> None:
    soon = alice(evolve(FILES, expires_at=NOW + 1), GIT)
    portal, gateway = portal_of(soon)
    connect(portal, gateway)
    portal.update(soon, NOW)
    portal.update(soon, NOW + 2)
    assert gateway.authorizations("alice") == {"git": None}


def test_what_has_expired_is_authorized_again_until_another_time() -> None:
    portal, gateway = portal_of(alice())
    connect(portal, gateway)
    portal.update(alice(evolve(GIT, expires_at=NOW + 1)), NOW)
    portal.update(alice(evolve(GIT, expires_at=NOW + 9)), NOW + 2)
    assert gateway.authorizations("alice") == {"git": NOW + 9}
    packet = tcp("100.64.0.2:4000 > 100.96.0.1:443")
    assert gateway.handle_packet(Direction.OUTBOUND, packet).allowed


def test_a_client_that_begins_anew_is_allowed_nothing_until_the_next_reading() -> None:
    portal, gateway = portal_of(alice())
    connect(portal, gateway)
    portal.update(alice(FILES), NOW)
    assert portal.connect("alice", NOW)
    assert gateway.authorizations("alice") == {}
    portal.update(alice(FILES), NOW)
    assert gateway.authorizations("alice") == {"files": None}


def test_a_client_that_the_policy_does_not_have_is_not_connected() -> None:
    portal, gateway = portal_of(alice())
    assert (portal.connect("mallory", NOW), gateway.clients()) == (False, ())


@pytest.mark.parametrize(
    ("policy", "error"),
    [
        (evolve(alice(), addresses=TunnelAddresses("100.64.0.9")), InvalidPolicy),
        (evolve(alice(), address_plan=AddressPlan(dns_resources=())), InvalidPolicy),
        (alice(GIT, evolve(FILES, expires_at=5e9)), InvalidTime),
    ],
)
def test_a_policy_that_cannot_be_carried_out_changes_nothing(
    policy: Policy, error: type[Exception]
) -> None:
    portal, gateway = portal_of(alice(FILES))
    connect(portal, gateway)
    portal.update(alice(FILES), NOW)
    hooks(gateway)
    with pytest.raises(error):
        portal.update(policy, NOW)
    assert hooks(gateway) == []
    assert (portal.update(alice(FILES), NOW), hooks(gateway)) == ([], [])


def test_the_policy_of_the_example_can_be_carried_out() -> None:
    policy = Path(__file__).parents[2] / "examples/tun_gateway/policy.json"
    assert load_policy(policy.read_text()).gateway(NOW).clients() == ("alice",)
