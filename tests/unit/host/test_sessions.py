"""Who is there, what a new policy or another key does to them, and what the log says.

What `Policy.apply` does is tested where it belongs (tests/rules, tests/property).
"""

import logging
from collections.abc import Iterator, Mapping

import pytest
from attrs import evolve

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
)
from firezone_filter.host.sessions import Sessions
from firezone_filter.testing import tcp
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

CONNECTED = ["Client connected", "Client authorized"]


def alice(*granted: PolicyAuthorization) -> Policy:
    return Policy(OWN, clients=[PolicyClient("alice", ALICE, granted)])


class Site:
    """A gateway, its sessions, and what the log says."""

    def __init__(self, policy: Policy) -> None:
        """Begin with nobody connected."""
        self.gateway = HookedGateway(OWN, AddressPlan(), GatewayOptions())
        self._lines: list[str] = []
        self.sessions = Sessions(self.gateway, DecisionLog(self), policy)

    def log(self, level: int, msg: str, /, *, extra: Mapping[str, object]) -> None:
        """Keep a line, as a logger does."""
        assert (level, extra["cid"] != "") == (logging.INFO, True)
        self._lines.append(msg)

    def update(self, policy: Policy, now: float = NOW, **keys: str) -> None:
        self.sessions.update(policy, keys, now)

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
    assert site.gateway.clients() == ()
    site.update(alice(FILES), alice="key")
    assert (site.calls(), site.lines()) == (["client_connected", "authorize"], CONNECTED)
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
    ids=["same", "none", "expiry", "expired", "port", "network", "one more", "another"],
)
def test_a_new_policy_calls_the_hooks_that_it_needs_and_is_logged(
    connected: Site, after: tuple[PolicyAuthorization, ...], called: list[str], said: list[str]
) -> None:
    connected.update(alice(*after), alice="key")
    assert (connected.calls(), connected.lines()) == (called, said)
    connected.update(alice(*after), alice="key")
    assert (connected.calls(), connected.sessions.policy) == ([], alice(*after))


def test_what_has_expired_is_not_authorized_again_by_the_same_policy(connected: Site) -> None:
    soon = alice(evolve(FILES, expires_at=NOW + 1), GIT)
    connected.update(soon, alice="key")
    connected.calls(), connected.lines()
    connected.update(soon, NOW + 2, alice="key")
    assert connected.gateway.authorizations("alice") == {"git": None}
    # Its end is an event, and none of these lines.
    assert (connected.calls(), connected.lines()) == ([], [])


def test_another_key_is_a_new_session_with_the_same_access(connected: Site) -> None:
    connected.update(alice(FILES), alice="another key")
    assert connected.calls() == ["client_connected", "authorize"]
    assert connected.lines() == CONNECTED
    packet = tcp("100.64.0.2:4000 > 10.0.0.5:443")
    assert connected.gateway.handle_packet(Direction.OUTBOUND, packet).allowed


def test_a_client_whose_peer_is_gone_is_disconnected_and_may_come_back(connected: Site) -> None:
    connected.update(alice(FILES))
    assert (connected.gateway.clients(), connected.lines()) == ((), ["Client disconnected"])
    connected.update(alice(FILES), alice="key")
    assert connected.lines() == CONNECTED


@pytest.mark.parametrize(
    ("after", "said"),
    [
        (PolicyClient("bob", BOB), ["Client disconnected", "Client connected"]),
        (PolicyClient("alice", OTHER), ["Client disconnected", "Client connected"]),
        (PolicyClient("bob", ALICE), ["Client disconnected", "Client connected"]),
    ],
    ids=["another client", "another address", "the same address"],
)
def test_a_client_goes_that_the_policy_does_not_have_any_more(
    connected: Site, after: PolicyClient, said: list[str]
) -> None:
    connected.update(Policy(OWN, clients=[after]), alice="key", bob="other")
    assert (connected.gateway.clients(), connected.lines()) == ((after.id,), said)
    assert connected.gateway.client(after.id).addresses == after.addresses


@pytest.mark.parametrize(
    ("policy", "error"),
    [
        (evolve(alice(), addresses=TunnelAddresses("100.64.0.9")), InvalidPolicy),
        (evolve(alice(), address_plan=AddressPlan(dns_resources=())), InvalidPolicy),
        (evolve(alice(), options=GatewayOptions(stateful=True)), InvalidPolicy),
        (alice(GIT, evolve(FILES, expires_at=5e9)), InvalidTime),
    ],
    ids=["own address", "plan", "options", "expiry"],
)
def test_a_policy_that_cannot_be_carried_out_changes_nothing(
    connected: Site, policy: Policy, error: type[Exception]
) -> None:
    with pytest.raises(error):
        connected.update(policy, alice="another key")
    assert (connected.calls(), connected.sessions.policy) == ([], alice(FILES))
    connected.update(alice(FILES), alice="key")
    assert connected.calls() == []


def test_options_that_have_changed_are_named(connected: Site) -> None:
    options = GatewayOptions(stateful=True, max_flows=5)
    with pytest.raises(InvalidPolicy) as caught:
        connected.update(evolve(alice(), options=options), alice="key")
    assert str(caught.value) == (
        "options: stateful is True, but the gateway was made with False; "
        "max_flows is 5, but the gateway was made with 1048576: restart for that"
    )
