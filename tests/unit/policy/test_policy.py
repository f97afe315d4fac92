"""`Policy` made by hand, and the gateway that it makes."""

import itertools
import re
from collections.abc import Callable
from ipaddress import IPv4Address, ip_address
from typing import Any, TypeAlias

import pytest

import firezone_filter.policy
from firezone_filter.policy import (
    Policy,
    PolicyAuthorization,
    PolicyClient,
    PolicyDomain,
    dump_policy,
    load_policy,
)
from firezone_filter.testing import tcp
from firezone_filter.values.addresses import AddressPlan, TunnelAddresses
from firezone_filter.values.decisions import Direction, Reason, Reject, Translate
from firezone_filter.values.errors import (
    FirezoneFilterError,
    InvalidAddress,
    InvalidPolicy,
    InvalidTime,
)
from firezone_filter.values.events import AccessExhausted, AuthorizationExpired
from firezone_filter.values.filters import Tcp
from firezone_filter.values.options import GatewayOptions
from firezone_filter.values.resources import CidrResource, DnsResource, Resource
from tests.unit.policy.documents import EXAMPLE, EXPIRY, REBINDING

Given: TypeAlias = Any

OUTBOUND, INBOUND = Direction.OUTBOUND, Direction.INBOUND

GATEWAY = TunnelAddresses("100.64.0.1")
ALICE = TunnelAddresses("100.64.0.2", "fd00:2021:1111::2")
BOB = TunnelAddresses("100.64.0.3")
DB = CidrResource("db", "10.0.0.0/24", [Tcp(5432)])
EXAMPLES = DnsResource("examples", "*.example.com")
ALSO_EXAMPLES = DnsResource("also-examples", "**.example.com")
GIT = PolicyDomain("git.example.com", ["100.96.0.1", "fd00:2021:1111:8000::1"], ["10.20.0.10"])
WIKI = PolicyDomain("wiki.example.com", ["100.96.0.2"], ["10.20.0.11"])


def authorized(*resources: Resource, expires_at: float | None = None) -> PolicyClient:
    return PolicyClient(
        "alice", ALICE, [PolicyAuthorization(one, expires_at) for one in resources]
    )


def granted(*domains: PolicyDomain, to: Resource = EXAMPLES) -> PolicyAuthorization:
    return PolicyAuthorization(to, domains=domains)


# --- By hand ------------------------------------------------------------------------------


@pytest.mark.parametrize("expires_at", [float("inf"), float("nan")])
def test_an_expiry_by_hand_is_finite(expires_at: float) -> None:
    with pytest.raises(InvalidTime):
        PolicyAuthorization(DB, expires_at)


def test_a_client_by_hand_has_an_id() -> None:
    with pytest.raises(FirezoneFilterError):
        PolicyClient("", ALICE)


WRONG_TYPES: list[tuple[Callable[..., object], tuple[object, ...]]] = [
    (PolicyAuthorization, ("db",)),
    (PolicyAuthorization, (DB, "tomorrow")),
    (PolicyAuthorization, (DB, True)),
    (PolicyClient, ("alice", "100.64.0.2")),
    (PolicyClient, ("alice", ALICE, None)),
    (PolicyClient, ("alice", ALICE, [DB])),
    (PolicyClient, (b"alice", ALICE)),
    (Policy, ("100.64.0.1",)),
    (Policy, (GATEWAY, None)),
    (Policy, (GATEWAY, AddressPlan(), ["alice"])),
    (Policy(GATEWAY).gateway, ("noon",)),
    (dump_policy, (EXAMPLE,)),
]


@pytest.mark.parametrize(("call", "arguments"), WRONG_TYPES)
def test_a_wrong_type_is_a_type_error(
    call: Callable[..., object], arguments: tuple[object, ...]
) -> None:
    with pytest.raises(TypeError):
        call(*arguments)


TOO_LONG = 10**5000


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        (PolicyAuthorization, (TOO_LONG,)),
        (PolicyAuthorization, ([TOO_LONG],)),
        (PolicyAuthorization, (DB, [TOO_LONG])),
        (PolicyAuthorization, (DB, None, TOO_LONG)),
        (PolicyAuthorization, (DB, None, [TOO_LONG])),
        (PolicyDomain, (TOO_LONG, (), ())),
        (PolicyDomain, ("a.b", TOO_LONG, ())),
        (PolicyDomain, ("a.b", [TOO_LONG], ())),
        (PolicyDomain, ("a.b", (), TOO_LONG)),
        (PolicyDomain, ("a.b", (), [TOO_LONG])),
        (PolicyClient, (TOO_LONG, ALICE)),
        (PolicyClient, ("alice", TOO_LONG)),
        (PolicyClient, ("alice", ALICE, TOO_LONG)),
        (PolicyClient, ("alice", ALICE, [TOO_LONG])),
        (Policy, (TOO_LONG,)),
        (Policy, (GATEWAY, TOO_LONG)),
        (Policy, (GATEWAY, AddressPlan(), TOO_LONG)),
        (Policy, (GATEWAY, AddressPlan(), [TOO_LONG])),
        (dump_policy, (TOO_LONG,)),
        (load_policy, (TOO_LONG,)),
        (load_policy, ([TOO_LONG],)),
    ],
)
def test_a_wrong_type_is_a_type_error_even_if_its_value_has_no_repr(
    call: Callable[..., object], arguments: tuple[object, ...]
) -> None:
    with pytest.raises(TypeError, match=r"\(too long to show\)$"):
        call(*arguments)


# Iterable by accident, and empty: it would be taken for "none".
@pytest.mark.parametrize("nothing", ["", b"", bytearray(), memoryview(b""), {}])
@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda none: PolicyDomain("a.b", none, ()), id="proxy_addresses"),
        pytest.param(lambda none: PolicyDomain("a.b", (), none), id="resolved_addresses"),
        pytest.param(lambda none: PolicyAuthorization(DB, domains=none), id="domains"),
        pytest.param(lambda none: PolicyClient("a", ALICE, none), id="authorizations"),
        pytest.param(lambda none: Policy(GATEWAY, clients=none), id="clients"),
    ],
)
def test_an_empty_text_or_mapping_is_not_an_empty_list(
    make: Callable[[object], object], nothing: object
) -> None:
    with pytest.raises(TypeError, match=r" are an iterable"):
        make(nothing)


def test_lists_by_hand_may_be_any_iterable_and_are_read_once() -> None:
    alice = PolicyClient("alice", ALICE, (PolicyAuthorization(one) for one in [DB]))
    policy = Policy(GATEWAY, clients=iter([alice]))
    assert policy == Policy(GATEWAY, clients=[authorized(DB)])


def test_a_domain_takes_texts_and_any_iterables() -> None:
    by_hand = PolicyDomain("GIT.example.com.", ["100.96.0.1"], iter(["fe80::1%eth0", "10.0.0.1"]))
    assert by_hand == PolicyDomain(
        "git.example.com", (IPv4Address("100.96.0.1"),), (IPv4Address("10.0.0.1"),)
    )


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        (InvalidPolicy, ("a..b", (), ())),
        (InvalidAddress, ("a.b", ["x"], ())),
        (InvalidAddress, ("a.b", ["fd00:2021:1111:8000::1%eth0"], ())),
        (InvalidAddress, ("a.b", (), ["10.0.0.0/8"])),
        (TypeError, (5, (), ())),
        (TypeError, ("a.b", "100.96.0.1", ())),
        (TypeError, ("a.b", (), None)),
    ],
)
def test_arguments_that_are_not_those_of_a_domain_are_refused(
    kind: type[Exception], arguments: tuple[Given, Given, Given]
) -> None:
    with pytest.raises(kind):
        PolicyDomain(*arguments)


@pytest.mark.parametrize("domains", [5, "git.example.com", GIT, [{"name": "git.example.com"}]])
def test_domains_of_another_type_are_a_type_error(domains: Given) -> None:
    with pytest.raises(TypeError):
        PolicyAuthorization(EXAMPLES, domains=domains)


# --- The gateway --------------------------------------------------------------------------


def test_the_gateway_has_every_client_with_its_authorizations() -> None:
    web = CidrResource("web", "10.1.0.0/24")
    policy = Policy(GATEWAY, clients=[authorized(DB, web), PolicyClient("bob", BOB)])
    gateway = policy.gateway()
    assert gateway.clients() == ("alice", "bob")
    assert gateway.authorizations("alice") == {"db": None, "web": None}
    assert gateway.authorizations("bob") == {}


def test_the_gateway_has_the_policys_plan() -> None:
    plan = AddressPlan(tunnel=["10.64.0.0/16", "fd64::/64"])
    policy = Policy(
        TunnelAddresses("10.64.0.1"), plan, [PolicyClient("eve", TunnelAddresses("10.64.0.2"))]
    )
    assert policy.gateway().clients() == ("eve",)


def test_the_gateway_has_the_options_that_are_handed_in() -> None:
    packet = tcp("100.64.0.2:40000 > 10.9.9.9:80")
    policy = Policy(GATEWAY, clients=[authorized(DB)])
    silent = policy.gateway(options=GatewayOptions(reject=False))
    assert type(policy.gateway().handle_packet(OUTBOUND, packet)).__name__ == "Reject"
    assert type(silent.handle_packet(OUTBOUND, packet)).__name__ == "Drop"


def test_each_gateway_is_a_new_one() -> None:
    policy = Policy(GATEWAY, clients=[authorized(DB)])
    policy.gateway().client_disconnected("alice")
    assert policy.gateway().clients() == ("alice",)


def test_an_expiry_without_a_now_is_an_invalid_time() -> None:
    # Without a clock the permission would never end.
    message = (
        "the policy has authorizations that expire ('db' at 1790000000): "
        "call gateway(now=time.time())"
    )
    with pytest.raises(InvalidTime, match=f"^{re.escape(message)}$") as caught:
        load_policy(EXAMPLE).gateway()
    assert caught.value.value == 1_790_000_000


def test_a_policy_without_expiries_needs_no_now() -> None:
    gateway = Policy(GATEWAY, clients=[authorized(DB)]).gateway()
    assert gateway.authorizations("alice") == {"db": None}


def test_a_now_starts_the_clock_even_without_clients() -> None:
    gateway = Policy(GATEWAY).gateway(EXPIRY - 1)
    gateway.client_connected("alice", ALICE)
    gateway.authorize("alice", DB, expires_at=EXPIRY)
    assert gateway.poll_timeout() == EXPIRY


@pytest.mark.parametrize("now", [EXPIRY, EXPIRY + 1])
def test_an_expiry_in_the_past_takes_effect_and_is_reported(now: float) -> None:
    gateway = load_policy(EXAMPLE).gateway(now)
    assert gateway.authorizations("alice") == {}
    assert gateway.poll_event() == AuthorizationExpired("alice", "db", EXPIRY)
    assert gateway.poll_event() == AccessExhausted("alice")


def test_a_now_that_is_not_finite_is_an_invalid_time() -> None:
    with pytest.raises(InvalidTime):
        Policy(GATEWAY).gateway(float("nan"))


@pytest.mark.parametrize(
    ("direction", "flow"),
    [
        (OUTBOUND, "100.64.0.2:40000 > 10.0.0.5:5432"),
        (INBOUND, "10.0.0.5:5432 > 100.64.0.2:40000"),
    ],
)
@pytest.mark.parametrize(
    ("now", "allowed"),
    [(EXPIRY - 1, True), (EXPIRY - 0.001, True), (EXPIRY, False), (EXPIRY + 1, False)],
)
def test_an_authorization_permits_until_its_expiry(
    direction: Direction, flow: str, now: float, *, allowed: bool
) -> None:
    gateway = load_policy(EXAMPLE).gateway(1_789_999_999.0)
    assert gateway.handle_packet(direction, tcp(flow), now).allowed is allowed


# --- Domains of the gateway ---------------------------------------------------------------

TO_GIT = tcp("100.64.0.2:40000 > 100.96.0.1:443")


def policy_of(*authorizations: PolicyAuthorization) -> Policy:
    return Policy(GATEWAY, clients=[PolicyClient("alice", ALICE, authorizations)])


def target(policy: Policy, packet: bytes = TO_GIT) -> str:
    """Return where a packet of alice's goes on to."""
    decision = policy.gateway().handle_packet(OUTBOUND, packet)
    assert isinstance(decision, Translate)
    return str(ip_address(decision.packet[16:20]))


def test_the_gateway_translates_from_the_start() -> None:
    assert target(policy_of(granted(GIT))) == "10.20.0.10"


def test_the_gateway_knows_every_domain() -> None:
    to_wiki = tcp("100.64.0.2:40000 > 100.96.0.2:443")
    assert target(policy_of(granted(GIT, WIKI)), to_wiki) == "10.20.0.11"


def test_proxy_addresses_take_resolved_ones_in_their_order() -> None:
    two = PolicyDomain("a.example.com", ["100.96.0.2", "100.96.0.1"], ["10.20.0.2", "10.20.0.1"])
    assert target(policy_of(granted(two))) == "10.20.0.2"


def test_the_last_place_of_a_proxy_address_decides() -> None:
    moved = PolicyDomain("git.example.com", ["100.96.0.1"], ["10.20.0.99"])
    assert target(policy_of(granted(GIT), granted(moved, to=ALSO_EXAMPLES))) == "10.20.0.99"


def test_each_client_has_its_own_domains() -> None:
    elsewhere = PolicyDomain("wiki.example.com", ["100.96.0.1"], ["10.20.0.11"])
    bob = PolicyClient("bob", BOB, [granted(elsewhere)])
    policy = Policy(GATEWAY, clients=[PolicyClient("alice", ALICE, [granted(GIT)]), bob])
    of_bob = tcp("100.64.0.3:40000 > 100.96.0.1:443")
    assert (target(policy), target(policy, of_bob)) == ("10.20.0.10", "10.20.0.11")


def test_addresses_that_a_name_server_must_not_give_access_to_are_left_out() -> None:
    rebound = PolicyDomain(
        "git.example.com",
        ["100.96.0.1"],
        [*REBINDING, "10.20.0.10"],
    )
    assert target(policy_of(granted(rebound))) == "10.20.0.10"


def expiring(*domains: PolicyDomain) -> Policy:
    return policy_of(PolicyAuthorization(EXAMPLES, EXPIRY, domains))


@pytest.mark.parametrize(("now", "expected"), [(EXPIRY - 0.001, True), (EXPIRY, False)])
def test_the_domains_of_an_expired_authorization_are_left_out(
    now: float, *, expected: bool
) -> None:
    gateway = expiring(GIT).gateway(now)
    decision = gateway.handle_packet(OUTBOUND, TO_GIT)
    assert isinstance(decision, Translate) is expected


def test_an_expired_authorization_leaves_the_domains_of_others() -> None:
    old = PolicyAuthorization(ALSO_EXAMPLES, EXPIRY, [WIKI])
    gateway = policy_of(old, granted(GIT)).gateway(EXPIRY + 1)
    assert isinstance(gateway.handle_packet(OUTBOUND, TO_GIT), Translate)


def test_a_domain_without_resolved_addresses_is_known_to_the_gateway() -> None:
    nowhere = PolicyDomain("git.example.com", ["100.96.0.1"], ())
    decision = policy_of(granted(nowhere)).gateway().handle_packet(OUTBOUND, TO_GIT)
    assert isinstance(decision, Reject)
    assert decision.reason is Reason.NO_TRANSLATION


def test_what_goes_on_for_ever_is_refused_at_its_first_wrong_part() -> None:
    with pytest.raises(TypeError, match="each of clients"):
        Policy(TunnelAddresses("100.64.0.1"), clients=itertools.repeat("alice"))  # type: ignore[arg-type]


def test_names_that_are_not_there_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        firezone_filter.policy.nothing  # type: ignore[attr-defined]  # noqa: B018 - the point
