"""The example's portal: who is connected, what a new policy does to them, and what the log says.

What `Policy.apply` does is tested where it belongs (tests/rules, tests/property).
"""

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from attrs import evolve

from examples.tun_gateway.portal import Portal
from firezone_filter import (
    AddressPlan,
    CidrResource,
    DecisionLog,
    Direction,
    DnsResource,
    GatewayOptions,
    InvalidPolicy,
    InvalidTime,
    Policy,
    PolicyAuthorization,
    PolicyClient,
    PolicyDomain,
    Tcp,
    TunnelAddresses,
    load_policy,
)
from firezone_filter.testing.builders import tcp
from tests.hooked import HookedGateway

NOW = 1_000.0
OWN = TunnelAddresses("100.64.0.1")
ALICE, BOB, OTHER = (TunnelAddresses(f"100.64.0.{number}") for number in (2, 3, 4))
FILES = PolicyAuthorization(CidrResource("files", "10.0.0.0/24", [Tcp(443)]))
GIT = PolicyAuthorization(
    DnsResource("git", "git.example.com"),
    domains=[PolicyDomain("git.example.com", ["100.96.0.1"], ["10.0.0.5"])],
)
OTHER_NET = PolicyAuthorization(CidrResource("files", "10.1.0.0/24", [Tcp(443)]))
OTHER_PORT = PolicyAuthorization(CidrResource("files", "10.0.0.0/24", [Tcp(80)]))
NO_PROXIES = evolve(GIT, domains=[])


def alice(*granted: PolicyAuthorization) -> Policy:
    return Policy(OWN, clients=[PolicyClient("alice", ALICE, granted)])


class Site:
    """A gateway, its portal, and what the log says."""

    def __init__(self, policy: Policy) -> None:
        """Begin with nobody connected."""
        self.gateway = HookedGateway(OWN, AddressPlan(), GatewayOptions())
        self._lines: list[str] = []
        self.portal = Portal(self.gateway, DecisionLog(self), policy)

    def log(self, level: int, msg: str, /, *, extra: Mapping[str, object]) -> None:
        """Keep a line, as a logger does."""
        assert (level, extra["cid"] != "") == (logging.INFO, True)
        self._lines.append(msg)

    def lines(self) -> list[str]:
        """Return the lines of before, and forget them."""
        said = list(self._lines)
        self._lines.clear()
        return said

    def calls(self) -> list[str]:
        """Return the hooks that have been called, and forget them."""
        called = list(self.gateway.called)
        self.gateway.called.clear()
        return called


@pytest.fixture
def connected() -> Iterator[Site]:
    """Let Alice be connected, and have files."""
    site = Site(alice(FILES))
    assert site.portal.connect("alice", NOW)
    assert site.portal.update(alice(FILES), NOW) == []
    assert site.calls() == ["client_connected", "authorize"]
    assert site.lines() == ["Client connected", "Client authorized"]
    yield site
    assert site.lines() == []


@pytest.mark.parametrize(
    ("after", "called", "said"),
    [
        ((FILES,), [], []),
        ((), ["revoke"], ["Authorization revoked"]),
        ((evolve(FILES, expires_at=NOW + 5),), ["update_expiry"], ["Client authorized"]),
        ((evolve(FILES, expires_at=NOW - 5),), ["revoke"], ["Authorization revoked"]),
        ((OTHER_PORT,), ["authorize"], ["Client authorized"]),
        ((OTHER_NET,), ["revoke", "authorize"], ["Client authorized"]),
        ((FILES, GIT), ["authorize", "domain_resolved"], ["Client authorized"]),
        (
            (GIT,),
            ["revoke", "authorize", "domain_resolved"],
            ["Authorization revoked", "Client authorized"],
        ),
    ],
)
def test_a_new_policy_calls_the_hooks_that_it_needs_and_is_logged(
    connected: Site, after: tuple[PolicyAuthorization, ...], called: list[str], said: list[str]
) -> None:
    assert connected.portal.update(alice(*after), NOW) == []
    assert (connected.calls(), connected.lines()) == (called, said)
    assert connected.portal.update(alice(*after), NOW) == []
    assert connected.calls() == []


def test_what_has_expired_is_not_authorized_again_by_the_same_policy(connected: Site) -> None:
    soon = alice(evolve(FILES, expires_at=NOW + 1), GIT)
    connected.portal.update(soon, NOW)
    connected.calls(), connected.lines()
    connected.portal.update(soon, NOW + 2)
    assert connected.gateway.authorizations("alice") == {"git": None}
    # Its end is an event, and none of the portal's lines.
    assert (connected.calls(), connected.lines()) == ([], [])
    later = alice(evolve(FILES, expires_at=NOW + 9), GIT)
    connected.portal.update(later, NOW + 2)
    assert (connected.calls(), connected.lines()) == (["authorize"], ["Client authorized"])


def test_a_client_that_begins_anew_is_allowed_nothing_until_the_next_reading(
    connected: Site,
) -> None:
    packet = tcp("100.64.0.2:4000 > 10.0.0.5:443")
    for is_read in (False, True):
        if is_read:
            connected.portal.update(alice(FILES), NOW)
        else:
            assert connected.portal.connect("alice", NOW)
        allowed = connected.gateway.handle_packet(Direction.OUTBOUND, packet).allowed
        assert allowed is is_read
    assert connected.lines() == ["Client connected", "Client authorized"]


def test_a_client_that_the_policy_does_not_have_is_not_connected() -> None:
    site = Site(alice())
    assert (site.portal.connect("mallory", NOW), site.gateway.clients()) == (False, ())


@pytest.mark.parametrize(
    "after",
    [
        Policy(OWN, clients=[PolicyClient("bob", BOB, [FILES])]),
        Policy(OWN, clients=[PolicyClient("alice", OTHER, [FILES])]),
    ],
    ids=["unknown", "under another address"],
)
def test_a_client_goes_that_the_policy_does_not_have_any_more(
    connected: Site, after: Policy
) -> None:
    assert connected.portal.update(after, NOW) == ["alice"]
    assert (connected.gateway.clients(), connected.lines()) == ((), ["Client disconnected"])
    assert connected.gateway.poll_event() is None
    # Whoever the policy has now may come, where the policy has it.
    for client in after.clients:
        assert connected.portal.connect(client.id, NOW)
        assert connected.gateway.client(client.id).addresses == client.addresses
    assert connected.lines() == ["Client connected"]


@pytest.mark.parametrize(
    ("policy", "error"),
    [
        (evolve(alice(), addresses=TunnelAddresses("100.64.0.9")), InvalidPolicy),
        (evolve(alice(), address_plan=AddressPlan(dns_resources=())), InvalidPolicy),
        (alice(GIT, evolve(FILES, expires_at=5e9)), InvalidTime),
    ],
    ids=["own address", "plan", "expiry"],
)
def test_a_policy_that_cannot_be_carried_out_changes_nothing(
    connected: Site, policy: Policy, error: type[Exception]
) -> None:
    with pytest.raises(error):
        connected.portal.update(policy, NOW)
    assert connected.portal.update(alice(FILES), NOW) == []
    assert connected.calls() == []
    assert connected.portal.connect("alice", NOW)
    assert connected.lines() == ["Client connected"]


def test_the_options_are_the_hosts_own(connected: Site) -> None:
    policy = evolve(alice(FILES), options=GatewayOptions(stateful=True))
    assert (connected.portal.update(policy, NOW), connected.calls()) == ([], [])


def test_the_policy_of_the_example_can_be_carried_out() -> None:
    policy = Path(__file__).parents[2] / "examples/tun_gateway/policy.json"
    assert load_policy(policy.read_text()).gateway(NOW).clients() == ("alice",)
