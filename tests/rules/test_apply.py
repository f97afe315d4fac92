"""Section 9, Apply: which hooks a change of the policy calls, and what it leaves alone."""

from typing import Any
from unittest.mock import patch

import pytest
from attrs import evolve

from firezone_filter import (
    AccessExhausted,
    AddressInUse,
    AddressPlan,
    AuthorizationExpired,
    CidrResource,
    DnsResource,
    Forward,
    Gateway,
    GatewayOptions,
    Icmp,
    InternetResource,
    InvalidPolicy,
    InvalidTime,
    Policy,
    PolicyAuthorization,
    PolicyClient,
    PolicyDomain,
    Tcp,
    Translate,
    TunnelAddresses,
)
from firezone_filter.testing.builders import tcp
from tests.forgetful import remembers
from tests.hooked import HookedGateway, gateway_of, tell
from tests.scenes import INBOUND, OUTBOUND

NOW = 1_000.0
OWN = TunnelAddresses("100.64.0.1")
ALICE, BOB, OTHER = (TunnelAddresses(f"100.64.0.{number}") for number in (2, 3, 4))
P = tuple(f"100.96.0.{number}" for number in range(9))
R = ("10.0.0.5", "10.0.0.6")

FILES = PolicyAuthorization(CidrResource("files", "10.1.0.0/24", [Tcp(443)]))
WEB = PolicyAuthorization(InternetResource("web"))


def named(*domains: PolicyDomain, resource: DnsResource | None = None) -> PolicyAuthorization:
    return PolicyAuthorization(resource or DnsResource("git", "*.example.com"), domains=domains)


def name(proxies: tuple[str, ...] = P[1:2], real: tuple[str, ...] = R, label: str = "git") -> Any:  # noqa: ANN401 - one type for mypy and pytest
    return PolicyDomain(f"{label}.example.com", proxies, real)


GIT = named(name())
ALSO = DnsResource("also", "*.example.com")
SILENT = PolicyAuthorization(DnsResource("git", "*.example.com"))


def policy(*granted: PolicyAuthorization, **fields: Any) -> Policy:  # noqa: ANN401 - any field
    clients = [PolicyClient("alice", ALICE, granted), PolicyClient("bob", BOB, [FILES])]
    return evolve(Policy(OWN, clients=clients), **fields)


def running(before: Policy) -> HookedGateway:
    return gateway_of(before, NOW)


def events(gateway: Gateway) -> list[object]:
    return list(iter(gateway.poll_event, None))


# --- Authorizations and names --------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "called"),
    [
        pytest.param([FILES, GIT, WEB], [FILES, GIT, WEB], [], id="the same"),
        pytest.param([FILES, GIT, WEB], [WEB, GIT, FILES], [], id="in another order"),
        pytest.param([], [FILES], ["authorize"], id="given"),
        pytest.param([FILES], [], ["revoke"], id="taken"),
        pytest.param([FILES, GIT], [FILES], ["revoke"], id="one of two taken"),
        pytest.param([FILES], [evolve(FILES, expires_at=NOW + 5)], ["update_expiry"], id="ends"),
        pytest.param([evolve(FILES, expires_at=NOW + 5)], [FILES], ["update_expiry"], id="stays"),
        pytest.param([FILES], [evolve(FILES, expires_at=NOW)], ["revoke"], id="over"),
        pytest.param([], [evolve(FILES, expires_at=NOW)], [], id="over already"),
        pytest.param(
            [FILES],
            [PolicyAuthorization(CidrResource("files", "10.1.0.0/24"))],
            ["authorize"],
            id="other filters",
        ),
        pytest.param(
            [FILES],
            [PolicyAuthorization(CidrResource("files", "10.1.0.0/24", [Tcp(443)], "Files"))],
            ["authorize"],
            id="another name for people",
        ),
        pytest.param(
            [FILES],
            [PolicyAuthorization(CidrResource("files", "10.2.0.0/24", [Tcp(443)]))],
            ["revoke", "authorize"],
            id="another network",
        ),
        pytest.param(
            [FILES],
            [PolicyAuthorization(InternetResource("files"))],
            ["revoke", "authorize"],
            id="another kind",
        ),
        pytest.param(
            [GIT],
            [named(name(), resource=DnsResource("git", "git.example.com"))],
            ["revoke", "authorize", "domain_resolved"],
            id="another pattern",
        ),
        pytest.param(
            [GIT],
            [named(name(), resource=DnsResource("git", "*.example.com", [Tcp(443)]))],
            ["authorize"],
            id="other filters, the same names",
        ),
        pytest.param([GIT], [SILENT], [], id="names left alone"),
        pytest.param([SILENT], [GIT], ["domain_resolved"], id="a name more"),
        pytest.param([named()], [SILENT], [], id="no names, and none said"),
        pytest.param([GIT], [named(name(P[1:3]))], ["domain_resolved"], id="a proxy more"),
        pytest.param([GIT], [named(name(real=R[1:]))], ["domain_resolved"], id="another host"),
        pytest.param([GIT], [named()], ["revoke", "authorize"], id="no names any more"),
        pytest.param(
            [named(name(P[1:3]))],
            [GIT],
            ["revoke", "authorize", "domain_resolved"],
            id="a proxy less",
        ),
        pytest.param(
            [named(name(), name(P[2:3], label="www"))],
            [GIT],
            ["revoke", "authorize", "domain_resolved"],
            id="a name less",
        ),
        pytest.param(
            [named(name(()))], [named()], ["revoke", "authorize"], id="a name without proxies less"
        ),
        pytest.param(
            [named(name(), name(P[2:3], label="www"))],
            [named(name(), name(P[2:3], R[:1], label="www"))],
            ["domain_resolved"],
            id="one name of two changed",
        ),
        pytest.param(
            [GIT, named(name(real=R[1:]), resource=ALSO)],
            [named(name(real=R[1:]), resource=ALSO), GIT],
            ["domain_resolved", "domain_resolved"],
            id="another of two that share a proxy decides",
        ),
        pytest.param(
            [named(name(), name(P[2:3], label="www"))],
            [named(name(P[2:3]), name(P[1:2], label="www"))],
            ["revoke", "authorize", "domain_resolved", "domain_resolved"],
            id="names have changed places",
        ),
    ],
)
def test_a_change_calls_the_hooks_that_it_needs(
    before: list[PolicyAuthorization], after: list[PolicyAuthorization], called: list[str]
) -> None:
    gateway = running(policy(*before))
    policy(*after).apply(gateway, NOW)
    assert gateway.called == called
    policy(*after).apply(gateway, NOW)
    assert gateway.called == called


def test_what_does_not_change_goes_on() -> None:
    gateway = running(policy(FILES, named(name(P[1:3], R[:1]), resource=ALSO), WEB))
    near = "100.64.0.2"
    sent = tcp(f"{near}:5000 > 10.1.0.5:443")
    forward = gateway.handle_packet(OUTBOUND, sent)
    assert isinstance(forward, Forward)
    # The second session has another port outside, since both lead to one host.
    for proxy in P[1:3]:
        assert gateway.handle_packet(OUTBOUND, tcp(f"{near}:5000 > {proxy}:443")).allowed
    before = gateway.client("alice")
    assert [one.translated_port for one in before.sessions] == [5000, 5001]
    # Of Bob's something changes.
    clients = (policy(WEB).clients[0], PolicyClient("bob", BOB, [WEB]))
    alice = policy(named(name(P[1:3], R[:1]), resource=ALSO), FILES, WEB).clients[0]
    policy(clients=[alice, clients[1]]).apply(gateway, NOW)
    assert gateway.called == ["revoke", "authorize"]
    assert gateway.client("alice") == before
    assert remembers(gateway, OUTBOUND, sent)
    assert gateway.handle_packet(OUTBOUND, sent) is forward
    answer = gateway.handle_packet(INBOUND, tcp(f"10.0.0.5:443 > {near}:5001"))
    assert isinstance(answer, Translate)
    assert answer.packet == tcp(f"{P[2]}:443 > {near}:5000")


def test_names_that_are_left_alone_stay() -> None:
    gateway = running(policy(SILENT))
    tell(gateway, "alice", "git", name())
    before = gateway.client("alice")
    policy(evolve(SILENT, expires_at=NOW + 9)).apply(gateway, NOW)
    after = gateway.client("alice")
    assert (after.names, after.proxies) == (before.names, before.proxies)


def test_a_name_left_alone_gives_way_to_one_that_has_its_proxy_address() -> None:
    silent = evolve(SILENT, resource=ALSO)
    gateway = running(policy(silent, GIT))
    for label, proxies in (("www", P[2:4]), ("ftp", P[4:5])):
        tell(gateway, "alice", "also", name(proxies, label=label))
    gateway.called.clear()
    policy(silent, named(name(), name(P[2:3], label="new"))).apply(gateway, NOW)
    assert gateway.called == ["revoke", "authorize", *["domain_resolved"] * 3]
    leads = {
        str(one.address): (one.name, one.resource_ids) for one in gateway.client("alice").proxies
    }
    # No renumbering: what does not stand for another name by now stays.
    assert leads == {
        P[1]: ("git.example.com", ("git",)),
        P[2]: ("new.example.com", ("git",)),
        P[3]: ("www.example.com", ("also",)),
        P[4]: ("ftp.example.com", ("also",)),
    }


def test_what_has_expired_brings_no_event() -> None:
    gateway = running(policy(FILES, WEB))
    policy(evolve(FILES, expires_at=NOW - 5), WEB).apply(gateway, NOW)
    assert gateway.authorizations("alice") == {"web": None}
    assert events(gateway) == []


def test_what_expires_as_time_passes_is_reported_as_ever() -> None:
    soon = policy(evolve(FILES, expires_at=NOW + 5), WEB)
    gateway = running(soon)
    soon.apply(gateway, NOW + 5)
    assert gateway.called == []
    assert events(gateway) == [AuthorizationExpired("alice", "files", NOW + 5)]


def test_the_gateways_own_addresses_are_set() -> None:
    gateway = running(policy(FILES))
    policy(FILES, addresses=OTHER).apply(gateway, NOW)
    assert (gateway.called, gateway.addresses) == (["set_addresses"], OTHER)


# --- Clients -------------------------------------------------------------------------------

STRANGERS = [
    pytest.param([PolicyClient("bob", BOB, [FILES])], id="unknown"),
    pytest.param(
        [PolicyClient("alice", OTHER, [FILES]), PolicyClient("bob", BOB, [FILES])],
        id="under another address",
    ),
]


@pytest.mark.parametrize("clients", STRANGERS)
def test_clients_that_the_policy_does_not_have_are_allowed_nothing(
    clients: list[PolicyClient],
) -> None:
    gateway = running(policy(FILES, WEB))
    policy(clients=clients).apply(gateway, NOW)
    assert gateway.called == ["revoke", "revoke"]
    assert events(gateway) == [AccessExhausted("alice")]
    assert gateway.client("alice").addresses == ALICE
    assert gateway.authorizations("bob") == {"files": None}


@pytest.mark.parametrize("clients", STRANGERS)
def test_with_connect_they_go(clients: list[PolicyClient]) -> None:
    gateway = running(policy(FILES, WEB))
    policy(clients=clients).apply(gateway, NOW, connect=True)
    has_new = len(clients) > 1
    assert gateway.called == [
        "client_disconnected",
        *(["client_connected", "authorize"] if has_new else []),
    ]
    assert gateway.clients() == (("bob", "alice") if has_new else ("bob",))
    assert events(gateway) == []


def test_with_connect_clients_come_in_the_order_of_the_policy_and_may_change_places() -> None:
    gateway = running(policy(FILES, GIT))
    carol = PolicyClient("carol", OTHER, [GIT])
    clients = [carol, PolicyClient("bob", ALICE, [FILES]), PolicyClient("alice", OWN, [GIT])]
    swapped = policy(clients=clients, addresses=BOB)
    swapped.apply(gateway, NOW, connect=True)
    assert gateway.clients() == ("carol", "bob", "alice")
    assert Policy.of(gateway) == swapped


def test_without_connect_nobody_comes() -> None:
    gateway = HookedGateway(OWN, AddressPlan(), GatewayOptions())
    policy(FILES).apply(gateway)
    assert (gateway.clients(), gateway.called) == ((), [])


# --- All or nothing ------------------------------------------------------------------------

FAR_AHEAD = evolve(FILES, expires_at=NOW + 51 * 31_557_600)
MANY = tuple(f"100.97.{number >> 8}.{number & 255}" for number in range(1_024))


@pytest.mark.parametrize(
    ("changed", "arguments", "error"),
    [
        pytest.param(
            policy(options=GatewayOptions(stateful=True)), {}, InvalidPolicy, id="options"
        ),
        pytest.param(
            policy(options=GatewayOptions(own_filters=[Icmp()])),
            {},
            InvalidPolicy,
            id="own filters",
        ),
        pytest.param(
            policy(address_plan=AddressPlan(dns_resources=["100.96.0.0/12"])),
            {},
            InvalidPolicy,
            id="plan",
        ),
        pytest.param(policy(FAR_AHEAD), {}, InvalidTime, id="an expiry far ahead"),
        pytest.param(
            policy(clients=[PolicyClient("nobody", OTHER, [FAR_AHEAD])]),
            {},
            InvalidTime,
            id="an expiry far ahead, of one who is not there",
        ),
        pytest.param(policy(), {"now": float("nan")}, InvalidTime, id="no time"),
        pytest.param(policy(), {"now": 5e9}, InvalidTime, id="another clock"),
        pytest.param(policy(), {"now": "1"}, TypeError, id="a text for a time"),
        pytest.param(policy(), {"connect": 1}, TypeError, id="a number for a switch"),
        pytest.param(
            policy(addresses=ALICE, clients=[PolicyClient("bob", BOB)]),
            {},
            AddressInUse,
            id="the address of a client that stays",
        ),
        pytest.param(
            policy(SILENT, named(name(MANY), resource=ALSO)), {}, InvalidPolicy, id="many proxies"
        ),
    ],
)
def test_what_cannot_be_applied_changes_nothing(
    changed: Policy, arguments: dict[str, Any], error: type[Exception]
) -> None:
    gateway = running(policy(GIT, evolve(FILES, expires_at=NOW + 5)))
    before, told = gateway.client("alice"), Policy.of(gateway)
    with pytest.raises(error):
        changed.apply(gateway, **{"now": NOW + 9} | arguments)
    assert gateway.called == []
    assert (gateway.client("alice"), Policy.of(gateway)) == (before, told)


OTHER_OPTIONS = (
    "options: reject_burst is 5, but the gateway was made with 100; "
    "stateful is True, but the gateway was made with False"
)
OTHER_PLAN = (
    "address_plan: dns_resources is (100.96.0.0/12), but the gateway was made with "
    "(100.96.0.0/11, fd00:2021:1111:8000::/107)"
)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (policy(options=GatewayOptions(reject_burst=5, stateful=True)), OTHER_OPTIONS),
        (policy(address_plan=AddressPlan(dns_resources=["100.96.0.0/12"])), OTHER_PLAN),
    ],
    ids=["options", "plan"],
)
def test_what_a_gateway_was_made_with_otherwise_is_named_alone(changed: Policy, told: str) -> None:
    with pytest.raises(InvalidPolicy) as caught:
        changed.apply(running(policy()), NOW)
    assert str(caught.value) == f"{told}. That does not change: make a new gateway"


def test_the_holder_of_an_address_is_named() -> None:
    gateway = running(policy())
    with pytest.raises(AddressInUse) as caught:
        policy(addresses=ALICE, clients=[]).apply(gateway, NOW)
    assert (caught.value.client_id, str(caught.value.value)) == ("alice", "100.64.0.2")
    policy(addresses=ALICE, clients=[]).apply(gateway, NOW, connect=True)
    assert gateway.addresses == ALICE


@pytest.mark.parametrize("gateway", [None, policy(), "gateway"])
def test_what_is_no_gateway_is_a_type_error(gateway: Any) -> None:  # noqa: ANN401 - anything
    with pytest.raises(TypeError):
        policy().apply(gateway)
    with pytest.raises(TypeError):
        Policy.of(gateway)


def test_an_expiry_needs_a_clock() -> None:
    gateway = HookedGateway(OWN, AddressPlan(), GatewayOptions())
    with pytest.raises(InvalidTime):
        policy(evolve(FILES, expires_at=NOW)).apply(gateway)
    policy(FILES).apply(gateway)
    policy(evolve(FILES, expires_at=NOW + 1)).apply(gateway, NOW, connect=True)
    assert gateway.authorizations("alice") == {"files": NOW + 1}


@pytest.mark.parametrize("number", range(8))
def test_where_memory_runs_out_nothing_stays_open(number: int) -> None:
    """Any one of the calls fails; what the policy takes away or changes is gone all the same."""
    stays = PolicyAuthorization(CidrResource("stays", "10.3.0.0/24"))
    wide = PolicyAuthorization(CidrResource("files", "10.1.0.0/24"))
    gateway = running(policy(stays, wide, WEB, GIT))
    changed = policy(stays, FILES, named(name(real=R[1:])), PolicyAuthorization(ALSO))
    clients = [*changed.clients[:1], PolicyClient("carol", OTHER, [FILES])]
    changed = evolve(changed, clients=clients, addresses=TunnelAddresses("100.64.0.9"))
    steps = ["revoke", "client_disconnected", "set_addresses", "authorize", "authorize"]
    steps += ["domain_resolved", "client_connected", "authorize"]

    def fail(name: str, call: Any, *args: Any, **named: Any) -> object:  # noqa: ANN401 - any hook
        gateway.called.append(name)
        if len(gateway.called) == number + 1:
            raise MemoryError
        return call(*args, **named)

    with patch.object(gateway, "note", fail), pytest.raises(MemoryError):
        changed.apply(gateway, NOW, connect=True)
    assert gateway.called[: number + 1] == steps[: number + 1]
    allowed = Policy.of(gateway).clients
    fresh = {client.id: client.authorizations for client in Policy.of(changed.gateway()).clients}
    for client in allowed:
        assert set(client.authorizations) <= set(fresh.get(client.id, ()))
    assert stays in allowed[0].authorizations
    changed.apply(gateway, NOW, connect=True)
    assert Policy.of(gateway).addresses == changed.addresses
    assert {one.id: set(one.authorizations) for one in Policy.of(gateway).clients} == {
        client_id: set(granted) for client_id, granted in fresh.items()
    }
