"""A gateway that is brought to a policy decides like a fresh one that was told it."""

import random
from collections import Counter
from collections.abc import Callable

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from firezone_filter import Decision, DnsResource, Forward, Gateway, Policy, Translate
from firezone_filter.policy import PolicyAuthorization, PolicyClient
from tests.model.values import Given
from tests.property.brute import Brute, model_of, near_of, outgoing, packet, questions
from tests.property.pools import INBOUND, OUTBOUND
from tests.property.small_policies import pairs, policies, variants
from tests.property.twins import told
from tests.property.wire import turned

seeds = st.integers(0, 2**32 - 1).map(random.Random)
nows = st.sampled_from((0.0, 99.5, 100.0, 150.0, 200.0))
MANY = 150
two = pairs() | variants()


@given(pair=two, now=nows, connect=st.booleans(), chance=seeds)
def test_a_gateway_that_is_brought_to_a_policy_decides_like_a_fresh_one(
    pair: tuple[Policy, Policy], now: float, chance: random.Random, *, connect: bool
) -> None:
    before, after = pair
    gateway = before.gateway(0.0)
    after.apply(gateway, now, connect=connect)
    known = {client.id: client for client in after.clients}
    had = {client.id: client.addresses for client in before.clients}
    expected = known if connect else had
    assert sorted(gateway.clients()) == sorted(expected)
    told_of = Policy(
        after.addresses,
        after.address_plan,
        [one for one in after.clients if connect or had.get(one.id) == one.addresses],
        after.options,
    )
    for client_id in gateway.clients():
        if client_id in {one.id for one in told_of.clients}:
            living = {
                one.resource.id: one.expires_at
                for one in known[client_id].authorizations
                if one.expires_at is None or one.expires_at > now
            }
            assert gateway.authorizations(client_id) == living
            compare(gateway, told_of, client_id, now, questions(chance, MANY, before, after))
        else:
            assert gateway.authorizations(client_id) == {}


@given(pair=two, chance=seeds)
def test_names_of_which_a_policy_says_nothing_stay_as_they_were(
    pair: tuple[Policy, Policy], chance: random.Random
) -> None:
    before, listed = pair
    silent = {
        (client.id, one.resource.id)
        for client in listed.clients
        for one in client.authorizations
        if isinstance(one.resource, DnsResource) and chance.random() < 0.5
    }
    after = with_names(
        listed, lambda client, one: None if (client.id, one.resource.id) in silent else one.domains
    )
    gateway = before.gateway(0.0)
    after.apply(gateway, 0.0, connect=True)
    expected = with_names(
        after,
        lambda client, one: (
            names_before(before, client, one)
            if (client.id, one.resource.id) in silent
            else one.domains
        ),
    )
    for client in expected.clients:
        # Where another names the proxy address as well, or did so, the order of calls decides.
        shared = shared_proxies(expected, client.id) | shared_proxies(before, client.id)
        asked = [
            one for one in questions(chance, MANY, before, after) if one.address not in shared
        ]
        compare(gateway, expected, client.id, 0.0, asked)


def shared_proxies(policy: Policy, client_id: str) -> set[Given]:
    """Return the proxy addresses that several resources of a client name."""
    named = Counter(
        proxy
        for client in policy.clients
        if client.id == client_id
        for one in client.authorizations
        for proxy in {proxy for domain in one.domains or () for proxy in domain.proxy_addresses}
    )
    return {proxy for proxy, number in named.items() if number > 1}


def with_names(
    policy: Policy, names: Callable[[PolicyClient, PolicyAuthorization], Given]
) -> Policy:
    """Let the authorizations of a policy have other names."""
    return evolve(
        policy,
        clients=[
            evolve(
                client,
                authorizations=[
                    evolve(one, domains=names(client, one)) for one in client.authorizations
                ],
            )
            for client in policy.clients
        ],
    )


def names_before(before: Policy, client: PolicyClient, given: PolicyAuthorization) -> Given:
    """Return the names that a client's resource had; none if it was none, or another one."""
    return next(
        (
            one.domains
            for other in before.clients
            for one in other.authorizations
            if (other.id, other.addresses) == (client.id, client.addresses)
            and isinstance(one.resource, DnsResource)
            and isinstance(given.resource, DnsResource)
            and (one.resource.id, one.resource.address)
            == (given.resource.id, given.resource.address)
        ),
        (),
    )


@given(policy=policies(), now=nows, chance=seeds)
def test_the_policy_of_a_gateway_is_what_it_was_told(
    policy: Policy, now: float, chance: random.Random
) -> None:
    gateway = policy.gateway(now)
    again = Policy.of(gateway)
    assert [one.id for one in again.clients] == [one.id for one in policy.clients]
    assert (again.addresses, again.address_plan) == (policy.addresses, policy.address_plan)
    assert again.options == policy.options
    for client in policy.clients:
        compare(again.gateway(now), policy, client.id, now, questions(chance, MANY, policy))


@given(pair=two, chance=seeds)
def test_what_did_not_change_goes_on(pair: tuple[Policy, Policy], chance: random.Random) -> None:
    before, after = pair
    gateway = before.gateway(0.0)
    brute = Brute(before, 0.0)
    begun = []
    for client in before.clients:
        same = unchanged(client, after)
        for asked in questions(chance, MANY, before):
            near = near_of(before, client.id, asked.address.version)
            if near is None or brute.out(client.id, asked) is None:
                continue
            sent = outgoing(before, near, asked)
            decision = gateway.handle_packet(OUTBOUND, sent, client_id=client.id)
            assert isinstance(decision, (Forward, Translate))
            came = turned(decision.to_send(sent) or b"")
            answer = gateway.handle_packet(INBOUND, came, client_id=client.id)
            if answer.allowed and decision.resource_id in same:
                begun.append((client.id, came, answer))
    after.apply(gateway, 0.0)
    for client_id, came, answer in begun:
        again = gateway.handle_packet(INBOUND, came, client_id=client_id)
        # Another resource may have come to answer it, but it goes on, translated as it was.
        assert (again.allowed, again.to_send(came)) == (True, answer.to_send(came))


@given(pair=two, chance=seeds)
def test_a_busy_gateway_decides_by_the_new_policy_at_once(
    pair: tuple[Policy, Policy], chance: random.Random
) -> None:
    before, after = pair
    gateway = before.gateway(0.0)
    expected = evolve(after, clients=[kept(client, after) for client in before.clients])
    left = {
        client.id: {one.resource.id for one in client.authorizations}
        for client in expected.clients
    }
    asked = questions(chance, MANY, before, after)
    ended = []
    for client in before.clients:
        for one in asked:
            near = near_of(before, client.id, one.address.version)
            if near is None:
                continue
            sent = outgoing(before, near, one)
            gateway.handle_packet(OUTBOUND, sent, client_id=client.id)
            # Once more: what was decided may be remembered.
            decision = gateway.handle_packet(OUTBOUND, sent, client_id=client.id)
            came = turned(decision.to_send(sent) or sent)
            gateway.handle_packet(INBOUND, came, client_id=client.id)
            if resource_of(decision) not in (None, (None,), *((one,) for one in left[client.id])):
                ended.append((client.id, came))
    after.apply(gateway, 0.0)
    for client_id, came in ended if after.options.stateful else ():
        assert not gateway.handle_packet(INBOUND, came, client_id=client_id).allowed
    brute = Brute(expected, 0.0)
    for client in expected.clients:
        for one in asked:
            near = near_of(expected, client.id, one.address.version)
            if near is None:
                continue
            # Through the NAT from another port: sessions that go on lead where they led.
            is_proxy = any(one.address in net for net in after.address_plan.dns_resources)
            sent = packet(near, one, near_port=50_001 if is_proxy else 40_000)
            decision = gateway.handle_packet(OUTBOUND, sent, client_id=client.id)
            assert resource_of(decision) == brute.out(client.id, one), (client.id, one)


def resource_of(decision: Decision) -> tuple[str | None] | None:
    """Return which resource permits a packet, in a tuple; `None`: it is refused."""
    return (decision.resource_id,) if isinstance(decision, (Forward, Translate)) else None


def kept(client: PolicyClient, after: Policy) -> PolicyClient:
    """Return what a connected client is, once a policy has been applied."""
    found = [
        one for one in after.clients if (one.id, one.addresses) == (client.id, client.addresses)
    ]
    return found[0] if found else evolve(client, authorizations=())


def unchanged(client: Given, after: Policy) -> set[str]:
    """Return the resources that a client has in both policies, all the same."""
    found = [one for one in after.clients if one.id == client.id]
    if not found or found[0].addresses != client.addresses:
        return set()
    return {one.resource.id for one in client.authorizations if one in found[0].authorizations}


def compare(
    gateway: Gateway, policy: Policy, client_id: str, now: float, asked: list[Given]
) -> None:
    """Let a gateway and the model of a policy decide about packets, both ways."""
    model = model_of(policy, now)
    model.handle_timeout(now)
    for one in asked:
        near = near_of(policy, client_id, one.address.version)
        if near is None:
            continue
        for direction in (OUTBOUND, INBOUND):
            sent = packet(near, one, inbound=direction is INBOUND)
            ours = told(gateway.handle_packet(direction, sent, client_id=client_id))
            theirs = model.handle_packet(direction, sent, client_id=client_id)
            assert ours == theirs, (client_id, direction, one)
