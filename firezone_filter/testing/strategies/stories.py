"""Stories of hooks, packets and time, all of which a gateway takes.

Hypothesis draws drafts, which know nothing of each other, so that it can leave out any of them
when it shrinks a story. A `_Teller` makes steps of those that are allowed when their turn comes.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from attrs import define, evolve, frozen
from hypothesis import strategies as st

from firezone_filter import (
    CidrResource,
    Direction,
    DnsResource,
    Filter,
    InternetResource,
    Policy,
    PolicyClient,
    PolicyDomain,
    Resource,
)
from firezone_filter.packet.numbers import ACK, FIN, RST, SYN
from firezone_filter.testing.builders import icmp_echo, tcp, udp
from firezone_filter.testing.steps import Step
from firezone_filter.testing.strategies.aimed import aim_at
from firezone_filter.testing.strategies.broken import broken
from firezone_filter.testing.strategies.ends import Address, Ends
from firezone_filter.testing.strategies.named import named
from firezone_filter.testing.strategies.parts import any_packets, fragmented
from firezone_filter.testing.strategies.policies import FILLERS, RESOLVED, name_of, proxies_for
from firezone_filter.testing.strategies.rules import filters

OUTBOUND, INBOUND = Direction.OUTBOUND, Direction.INBOUND

_PAUSES: Final = (0.0, 0.25, 1.0, 30.0, 60.0, 120.0, 3_600.0, 86_400.0)
"""Seconds between two steps: none, some, and about as long as things are remembered."""

_LIFETIMES: Final = (None, 0.5, 30.0, 1_000.0, 0.0, -1.0)
"""Seconds until an authorization ends; some have ended before they begin."""


_flags = st.sampled_from((SYN, SYN | ACK, ACK, FIN | ACK, RST))
_rounds = st.integers(1, 3)


@define
class _Teller:
    """Knows of a gateway what decides which calls it takes."""

    now: float
    held: dict[str, dict[str, float | None]]
    """When what ends, of the clients that are connected."""

    def holds(self, client_id: str, resource_id: str) -> bool:
        """Tell whether a client has a resource, as far as a gateway can know the time."""
        held = self.held.get(client_id, {})
        return resource_id in held and _lives(held[resource_id], self.now)


def _lives(expires_at: float | None, now: float) -> bool:
    return expires_at is None or now < expires_at


# --- Drafts ------------------------------------------------------------------------------------


@frozen
class _Packets:
    """Packets of one direction, one right after the other."""

    direction: Direction
    packets: tuple[bytes, ...]
    client_id: str | None
    timed: bool

    def steps(self, teller: _Teller) -> Iterator[Step]:
        now = teller.now if self.timed else None
        for one in self.packets:
            yield Step("handle_packet", (self.direction, one, now, self.client_id))


@frozen
class _Talk:
    """A packet out and one back, several times; what a proxy address stands for answers."""

    out: bytes
    back: bytes
    rounds: int

    def steps(self, teller: _Teller) -> Iterator[Step]:
        for _ in range(self.rounds):
            yield Step("handle_packet", (OUTBOUND, self.out, teller.now, None))
            yield Step("handle_packet", (INBOUND, self.back, teller.now, None))


@frozen
class _Timeout:
    def steps(self, teller: _Teller) -> Iterator[Step]:
        yield Step("handle_timeout", (teller.now,))


@frozen
class _Connect:
    """A client connects anew and gets its authorizations, or leaves."""

    client: PolicyClient
    resources: tuple[Resource, ...]
    leaves: bool

    def steps(self, teller: _Teller) -> Iterator[Step]:
        client_id = self.client.id
        if self.leaves:
            teller.held.pop(client_id, None)
            yield Step("client_disconnected", (client_id,))
            return
        teller.held[client_id] = {}
        yield Step("client_connected", (client_id, self.client.addresses, teller.now))
        for one in self.resources:
            yield from _Authorize(client_id, one, None).steps(teller)


@frozen
class _Authorize:
    client_id: str
    resource: Resource
    lifetime: float | None

    def steps(self, teller: _Teller) -> Iterator[Step]:
        if self.client_id in teller.held:
            until = None if self.lifetime is None else teller.now + self.lifetime
            teller.held[self.client_id][self.resource.id] = until
            yield Step("authorize", (self.client_id, self.resource), {"expires_at": until})


@frozen
class _UpdateExpiry:
    client_id: str
    resource: Resource
    lifetime: float | None

    def steps(self, teller: _Teller) -> Iterator[Step]:
        until = None if self.lifetime is None else teller.now + self.lifetime
        if teller.holds(self.client_id, self.resource.id):
            teller.held[self.client_id][self.resource.id] = until
        yield Step("update_expiry", (self.client_id, self.resource.id, until))


@frozen
class _UpdateResource:
    resource: Resource

    def steps(self, _: _Teller) -> Iterator[Step]:
        yield Step("update_resource", (self.resource,))


@frozen
class _Revoke:
    client_id: str
    resource: Resource

    def steps(self, teller: _Teller) -> Iterator[Step]:
        teller.held.get(self.client_id, {}).pop(self.resource.id, None)
        yield Step("revoke", (self.client_id, self.resource.id))


@frozen
class _Retain:
    """Let one client keep one resource, if it has it, and take away everything else."""

    client_id: str
    resource: Resource

    def steps(self, teller: _Teller) -> Iterator[Step]:
        for client_id, held in teller.held.items():
            kept = self.resource.id if client_id == self.client_id else None
            teller.held[client_id] = {one: end for one, end in held.items() if one == kept}
        yield Step("retain_authorizations", ({self.client_id: {self.resource.id}},))


@frozen
class _Resolve:
    client_id: str
    resource_id: str
    domain: PolicyDomain

    def steps(self, teller: _Teller) -> Iterator[Step]:
        if teller.holds(self.client_id, self.resource_id):
            yield Step(
                "domain_resolved",
                (self.client_id, self.resource_id, self.domain.name),
                {
                    "proxy_addresses": self.domain.proxy_addresses,
                    "resolved_addresses": self.domain.resolved_addresses,
                },
            )


@frozen
class _Withdraw:
    client_id: str
    domain: PolicyDomain

    def steps(self, teller: _Teller) -> Iterator[Step]:
        if self.client_id in teller.held:
            yield Step("domain_withdrawn", (self.client_id, self.domain.name))


_Draft = (
    _Packets
    | _Talk
    | _Timeout
    | _Connect
    | _Authorize
    | _UpdateExpiry
    | _UpdateResource
    | _Revoke
    | _Retain
    | _Resolve
    | _Withdraw
)


# --- Stories -----------------------------------------------------------------------------------


def stories(
    policy: Policy, *, now: float = 0.0, max_steps: int = 50
) -> st.SearchStrategy[list[Step]]:
    """Draw a story: calls that the gateway of a policy takes, one after the other.

    Apply it to `policy.gateway(now)`, or to anything else that stands in that place:

        gateway = policy.gateway(now)
        for step in story:
            step.run(gateway)

    Its clients come and go, its resources are authorized, changed and revoked, its names resolved;
    packets are those of `packets_of` and `broken_packets`, fragments of one packet in their order,
    and talks in both directions. No call raises, and times never go back. It shrinks towards
    fewer steps without time between them.

    Args:
        policy: whose clients, resources and names there are. Resources that share an id and mean
            different places stay as they are in it.
        now: when the story begins.
        max_steps: how many steps it has at most.

    Raises:
        ValueError: the policy has no client.
    """
    drafts = st.lists(
        st.tuples(st.sampled_from(_PAUSES), st.one_of(_drafts(policy))), max_size=max_steps
    )
    told = drafts.map(lambda drafts: list(_tell(policy, now, drafts))[:max_steps])
    return named("stories", told)


def _tell(policy: Policy, now: float, drafts: Iterable[tuple[float, _Draft]]) -> Iterator[Step]:
    held = {
        client.id: {one.resource.id: one.expires_at for one in client.authorizations}
        for client in policy.clients
    }
    teller = _Teller(now, held)
    for pause, draft in drafts:
        teller.now += pause
        yield from draft.steps(teller)


def _drafts(policy: Policy) -> list[st.SearchStrategy[_Draft]]:
    ids = st.sampled_from([client.id for client in policy.clients])
    known = _resources(policy)
    talking = aim_at(policy, OUTBOUND, ("tcp", "udp", "icmp")).between
    found: list[st.SearchStrategy[_Draft]] = [
        # Twice, so that there is more traffic than anything else.
        *(_packets(policy, direction, ids) for direction in 2 * (OUTBOUND, INBOUND)),
        *(_talks(policy, talking) for _ in range(2)),
        st.just(_Timeout()),
        st.builds(
            _Connect,
            st.sampled_from(policy.clients),
            st.just(tuple(known)),
            st.sampled_from((False, False, False, True)),
        ),
    ]
    if known:
        resources, lifetimes = _changed(known), st.sampled_from(_LIFETIMES)
        found += [
            st.builds(_Authorize, ids, resources, lifetimes),
            st.builds(_UpdateExpiry, ids, resources, lifetimes),
            st.builds(_UpdateResource, resources),
            st.builds(_Revoke, ids, resources),
            st.builds(_Retain, ids, resources),
        ]
    names = [(one.id, _domains(policy, one)) for one in known if isinstance(one, DnsResource)]
    found += [st.builds(_Resolve, ids, st.just(one), domains) for one, domains in names]
    found += [st.builds(_Withdraw, ids, domains) for _, domains in names]
    return found


def _packets(
    policy: Policy, direction: Direction, ids: st.SearchStrategy[str]
) -> st.SearchStrategy[_Draft]:
    aim = aim_at(policy, direction)
    several = st.one_of(
        st.tuples(any_packets(aim.between, aim.routers)),
        st.tuples(broken(aim.between)),
        fragmented(aim.between),
    )
    # Mostly without the client's id, which is another client's as often as not.
    named = st.none() | st.none() | ids
    return st.builds(_Packets, st.just(direction), several, named, st.booleans())


@st.composite
def _talks(draw: st.DrawFn, policy: Policy, between: st.SearchStrategy[Ends]) -> _Draft:
    one = draw(between)
    back = Ends(
        draw(st.sampled_from(_behind(policy, one.destination))),
        one.source,
        one.kind,
        one.destination_port,
        one.source_port,
    )
    rounds = draw(_rounds)
    match one.kind:
        case "tcp":
            flags, answer = draw(_flags), draw(_flags)
            return _Talk(tcp(one.flow(), flags=flags), tcp(back.flow(), flags=answer), rounds)
        case "udp":
            return _Talk(udp(one.flow()), udp(back.flow()), rounds)
        case _:
            number = one.source_port
            request = icmp_echo(one.flow(), identifier=number)
            return _Talk(request, icmp_echo(back.flow(), reply=True, identifier=number), rounds)


def _behind(policy: Policy, address: Address) -> list[Address]:
    """Return who may answer for an address: what a proxy address stands for, or itself."""
    real = [
        real
        for client in policy.clients
        for one in client.authorizations
        for domain in one.domains or ()
        if address in domain.proxy_addresses
        for real in domain.resolved_addresses
        if real.version == address.version
    ]
    return real or [address]


def _resources(policy: Policy) -> list[Resource]:
    """Return the resources of a policy whose id means one place."""
    places: dict[str, set[object]] = {}
    found: dict[str, Resource] = {}
    for client in policy.clients:
        for one in client.authorizations:
            found[one.resource.id] = one.resource
            places.setdefault(one.resource.id, set()).add(_place(one.resource))
    return [one for one in found.values() if len(places[one.id]) == 1]


def _place(resource: Resource) -> object:
    match resource:
        case CidrResource(network=network):
            return network
        case DnsResource(address=pattern):
            return pattern
        case _:
            return None


def _changed(known: list[Resource]) -> st.SearchStrategy[Resource]:
    """Draw a resource as it is, or with other filters."""
    return st.builds(_with_filters, st.sampled_from(known), st.none() | filters())


def _with_filters(resource: Resource, given: tuple[Filter, ...] | None) -> Resource:
    if given is None or isinstance(resource, InternetResource):
        return resource
    return evolve(resource, filters=given)


def _domains(policy: Policy, resource: DnsResource) -> st.SearchStrategy[PolicyDomain]:
    """Draw a name of a resource with its addresses: those of the policy, and others."""
    told = [
        domain
        for client in policy.clients
        for one in client.authorizations
        if one.resource.id == resource.id
        for domain in one.domains or ()
    ]
    names = [name_of(resource, filler) for filler in FILLERS]
    others = st.builds(
        PolicyDomain,
        st.sampled_from(names),
        st.integers(0, 2).map(lambda number: proxies_for(policy.address_plan, number)),
        st.lists(st.sampled_from(RESOLVED), max_size=3, unique=True),
    )
    return st.sampled_from(told) | others if told else others
