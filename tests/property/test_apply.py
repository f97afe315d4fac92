"""`Policy.apply`: whatever a gateway had, it has then what a new one of the policy has."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from firezone_filter import (
    AuthorizationExpired,
    CidrResource,
    Decision,
    DnsResource,
    Forward,
    Gateway,
    Policy,
    PolicyAuthorization,
    PolicyClient,
    PolicyDomain,
    Tcp,
    Translate,
    TunnelAddresses,
)
from firezone_filter.testing.builders import tcp, udp
from firezone_filter.values.states import ClientState
from tests.hooked import HookedGateway, gateway_of
from tests.property.policy_changes import (
    NOW,
    PROXIES,
    ROOMY,
    TUNNEL,
    calls,
    policies,
)
from tests.scenes import INBOUND, OUTBOUND

FAR = ("10.0.0.5", "10.0.0.6", "10.1.0.5", "9.9.9.9", *(one for one in PROXIES if "." in one))
PACKETS = [
    (OUTBOUND, build(f"{near}:4000 > {far}:{port}"))
    for near in TUNNEL
    for far in (*FAR, "100.64.0.1", "100.64.0.9")
    for build, port in ((tcp, 443), (tcp, 80), (udp, 53))
] + [
    (INBOUND, tcp(f"{far}:{port} > {near}:4001"))
    for near in TUNNEL
    for far in FAR
    for port in (443, 80)
]


def decisions(gateway: Gateway) -> list[Decision]:
    """Return what happens to packets of all kinds."""
    return [gateway.handle_packet(direction, packet) for direction, packet in PACKETS]


def names_of(state: ClientState) -> dict[tuple[str, str], list[Any]]:
    """Return how the names of a client were given, by resource and name."""
    names = defaultdict(list)
    for one in state.names:
        names[one.resource_id, one.name].append(one)
    return dict(names)


def permissions(state: ClientState) -> dict[str, object]:
    """Return what a client is authorized for, in whatever order it was."""
    return {one.resource.id: one for one in state.authorizations}


def granted(policy: Policy) -> Iterator[PolicyAuthorization]:
    return (one for client in policy.clients for one in client.authorizations)


def says_nothing(one: PolicyAuthorization) -> bool:
    return isinstance(one.resource, DnsResource) and one.domains is None


@st.composite
def used_gateways(draw: st.DrawFn) -> HookedGateway:
    """Draw a gateway that has been told something."""
    gateway = gateway_of(draw(policies()), NOW)
    draw(calls(gateway))
    return gateway


@given(used_gateways())
def test_a_gateway_is_read_back_as_a_policy_that_decides_as_it_does(gateway: Gateway) -> None:
    policy = Policy.of(gateway)
    again = policy.gateway(NOW)
    assert Policy.of(again) == policy
    assert again.clients() == gateway.clients()
    for client_id in gateway.clients():
        mine, its = gateway.client(client_id), again.client(client_id)
        assert (its.addresses, its.authorizations) == (mine.addresses, mine.authorizations)
        assert set(its.proxies) == set(mine.proxies)
        # All that was given is said, before anything that had to be added.
        for key, given_names in names_of(mine).items():
            assert set(names_of(its)[key]) >= set(given_names) - set(replaced(its, given_names))
    assert decisions(again) == decisions(gateway)


def replaced(state: ClientState, names: list[Any]) -> list[Any]:
    """Return those names that later ones of a state have replaced altogether."""
    return [
        one
        for one in names
        if (later := [other for other in state.names if other.name == one.name])
        and one not in later
        and {address for other in later for address in other.proxy_addresses}.issuperset(
            one.proxy_addresses
        )
    ]


@given(policies(says_all=True))
def test_a_policy_that_says_all_is_read_back(policy: Policy) -> None:
    read = Policy.of(policy.gateway(NOW))
    assert Policy.of(read.gateway(NOW)) == read
    for one, other in zip(read.clients, policy.clients, strict=True):
        living = [held for held in other.authorizations if held.expires_at != NOW - 1]
        assert [held.resource for held in one.authorizations] == [held.resource for held in living]
        for mine, its in zip(one.authorizations, living, strict=True):
            assert mine.expires_at == its.expires_at
            # What is not read back has been replaced by a later entry.
            lost = [domain for domain in its.domains or () if domain not in (mine.domains or ())]
            for domain in lost:
                named = {
                    address
                    for later in its.domains or ()
                    if later.name == domain.name and later is not domain
                    for address in later.proxy_addresses
                }
                assert named.issuperset(domain.proxy_addresses)


@given(gateway=used_gateways(), policy=policies(), connect=st.booleans())
def test_after_it_a_gateway_has_what_a_new_one_has(
    *, gateway: Gateway, policy: Policy, connect: bool
) -> None:
    before = gateway.clients()
    list(iter(gateway.poll_event, None))
    policy.apply(gateway, NOW, connect)
    events = list(iter(gateway.poll_event, None))
    assert not [event for event in events if isinstance(event, AuthorizationExpired)]
    fresh = policy.gateway(NOW)
    assert gateway.addresses == fresh.addresses
    wanted = {client.id: client for client in policy.clients}
    if connect:
        assert set(gateway.clients()) == set(fresh.clients())
    else:
        assert gateway.clients() == before
    for client_id in gateway.clients():
        state = gateway.client(client_id)
        if client_id not in wanted or state.addresses != wanted[client_id].addresses:
            assert (state.authorizations, state.proxies, state.names) == ((), (), ())
            continue
        new = fresh.client(client_id)
        assert permissions(state) == permissions(new)
        alone = {one.resource.id for one in wanted[client_id].authorizations if says_nothing(one)}
        assert {
            key: names for key, names in names_of(state).items() if key[0] not in alone
        } == names_of(new)
        its = {one.address: one for one in new.proxies}
        for one in state.proxies:
            said = tuple(name for name in one.resource_ids if name not in alone)
            its_one = its.pop(one.address, None)
            assert said == (() if its_one is None else its_one.resource_ids)
            assert its_one is None or (one.name, one.real_address) == (
                its_one.name,
                its_one.real_address,
            )
        assert its == {}
    says_all = not any(map(says_nothing, granted(policy)))
    if says_all and connect:
        assert decisions(gateway) == decisions(fresh)


@given(gateway=used_gateways(), policy=policies(), connect=st.booleans())
def test_twice_is_once(*, gateway: HookedGateway, policy: Policy, connect: bool) -> None:
    policy.apply(gateway, NOW, connect)
    while gateway.poll_event() is not None:
        pass
    told = Policy.of(gateway)
    gateway.called.clear()
    policy.apply(gateway, NOW, connect)
    told.apply(gateway)
    told.apply(gateway, connect=True)
    assert (gateway.called, gateway.poll_event()) == ([], None)


# --- What goes on --------------------------------------------------------------------------

KEPT = (
    PolicyAuthorization(CidrResource("kept", "10.9.0.0/16", [Tcp(443)])),
    PolicyAuthorization(
        DnsResource("named", "kept.example.net"),
        domains=[PolicyDomain("kept.example.net", ["100.96.1.1", "100.96.1.2"], ["10.8.0.1"])],
    ),
)
"""What Alice has in every policy."""


def with_kept(policy: Policy) -> Policy:
    """Return a policy in which Alice is, and has what is kept."""
    alice = TunnelAddresses(TUNNEL[0])
    has = [
        one for client in policy.clients if client.id == "alice" for one in client.authorizations
    ]
    others = [
        client for client in policy.clients if client.id != "alice" and client.addresses != alice
    ]
    return evolve(policy, clients=[*others, PolicyClient("alice", alice, (*has, *KEPT))])


@given(data=st.data(), stateful=st.booleans())
def test_sessions_and_flows_of_what_does_not_change_go_on(
    *, data: st.DataObject, stateful: bool
) -> None:
    options = evolve(ROOMY, stateful=stateful)
    one, other = (with_kept(data.draw(policies(options))) for _ in range(2))
    gateway, near = gateway_of(one, NOW), TUNNEL[0]
    sent = [tcp(f"{near}:5000 > {far}:443") for far in ("10.9.0.5", "100.96.1.1", "100.96.1.2")]
    # The last session has another port outside: both names lead to one host.
    came = [
        tcp(f"{far}:443 > {near}:{port}")
        for far, port in (("10.9.0.5", 5000), ("10.8.0.1", 5000), ("10.8.0.1", 5001))
    ]
    before = [gateway.handle_packet(OUTBOUND, packet) for packet in sent]
    before += [gateway.handle_packet(INBOUND, packet) for packet in came]
    assert [type(decision) for decision in before] == [Forward, Translate, Translate] * 2
    state = gateway.client("alice")
    other.apply(gateway, NOW, connect=data.draw(st.booleans()))
    after = gateway.client("alice")
    assert (after.sessions, after.flows) == (state.sessions, state.flows)
    assert [len(after.sessions), len(after.flows)] == [2, 3 * stateful]
    again = [gateway.handle_packet(INBOUND, packet) for packet in came]
    again = [gateway.handle_packet(OUTBOUND, packet) for packet in sent] + again
    assert again == before
    assert again[0] is before[0]
