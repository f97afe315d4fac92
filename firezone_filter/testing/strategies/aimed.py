"""Packets aimed at a policy: between its clients and the addresses that it speaks of.

A random packet is refused by almost any policy. So an authorization is drawn first, and then a
packet that has to do with it: from its client, to one of its addresses, and at the ports where its
filters begin and end.
"""

from collections.abc import Callable, Sequence
from functools import cache
from ipaddress import ip_address
from typing import Final, assert_never

from attrs import frozen
from hypothesis import strategies as st

from firezone_filter import (
    CidrResource,
    Direction,
    Filter,
    Icmp,
    InternetResource,
    Policy,
    PolicyAuthorization,
    Protocol,
    Tcp,
    Udp,
)
from firezone_filter.packet.numbers import MAX_PORT
from firezone_filter.testing.strategies.ends import (
    KINDS,
    Address,
    Choices,
    Ends,
    Kind,
    Network,
    Target,
    addresses,
    ends,
)
from firezone_filter.testing.strategies.named import named
from firezone_filter.testing.strategies.parts import any_packets

_PUBLIC: Final = (ip_address("8.8.8.8"), ip_address("2600::1"))
_STRAY: Final = (
    *_PUBLIC,
    *(ip_address(text) for text in ("192.0.2.1", "224.0.0.1", "fe80::1")),
)
"""Addresses that policies seldom speak of: public, documentation, multicast, link-local."""

_OFTEN: Final = 4
"""How much more often the protocols of a filter are drawn than others."""

Place = Address | Network
_Lazily = Callable[[], st.SearchStrategy[Ends]]


@frozen
class Aim:
    """Where packets of a policy go, in one direction."""

    between: st.SearchStrategy[Ends]
    """Their ends."""

    routers: st.SearchStrategy[Address]
    """Who may send errors about them."""


def packets_of(
    policy: Policy, direction: Direction = Direction.OUTBOUND
) -> st.SearchStrategy[bytes]:
    """Draw a well-formed packet that a policy has something to say about.

    Most have to do with one authorization: between its client and an address of its network, of
    an exclude or of a name, at a port at which one of its filters begins or ends, or beside it.
    Others go between any client and any of these, the gateway's own address, or addresses that
    the policy does not speak of.

    Args:
        policy: where addresses and ports are from.
        direction: outbound from clients, inbound to them.

    Raises:
        ValueError: the policy has no client.
    """
    aim = aim_at(policy, direction)
    return named("packets_of", any_packets(aim.between, aim.routers))


def aim_at(policy: Policy, direction: Direction, kinds: Sequence[Kind] = KINDS) -> Aim:
    """Return where packets of a policy go; `ValueError` if it has no client."""
    near: list[Address] = [
        address for client in policy.clients for address in client.addresses.present()
    ]
    if not near:
        raise ValueError("a policy without clients has no packets")
    far: list[Place] = [*policy.addresses.present(), *_STRAY]
    aimed: list[_Lazily] = []
    for client in policy.clients:
        own = client.addresses.present()
        for one in client.authorizations:
            targets = _targets(one, direction)
            far += targets
            if any(place.version == address.version for place in targets for address in own):
                often = [kind for kind in _kinds(one) if kind in kinds] * _OFTEN
                aimed.append(_lazily(direction, own, targets, [*often, *kinds], _ports(one)))
    others = _lazily(direction, near, far, kinds, [])
    between = _aimed([*aimed, *[others] * (len(aimed) // 3 + 1)])
    return Aim(between, addresses(near if direction is Direction.OUTBOUND else far))


@st.composite
def _aimed(draw: st.DrawFn, aimed: list[_Lazily]) -> Ends:
    return draw(draw(st.sampled_from(aimed))())


def _lazily(
    direction: Direction,
    near: Sequence[Target],
    far: Sequence[Target],
    kinds: Sequence[Kind],
    ports: list[int],
) -> _Lazily:
    """Return what makes a strategy of ends when it is first needed, since few are."""

    @cache
    def make() -> st.SearchStrategy[Ends]:
        choices: Choices = {"protocols": kinds}
        if direction is Direction.OUTBOUND:
            if ports:
                choices["destination_ports"] = ports
            return ends(near, far, choices)
        if ports:
            choices["source_ports"] = ports
        return ends(far, near, choices)

    return make


def _targets(one: PolicyAuthorization, direction: Direction) -> list[Place]:
    """Return the addresses that an authorization speaks of, as they are at the far end."""
    match one.resource:
        case CidrResource(network=network, exclude=exclude):
            return [network, *exclude]
        case InternetResource(exclude=exclude):
            return [*_PUBLIC, *exclude]
        case _:
            # Proxy addresses are real to the client alone.
            domains = one.domains or ()
            real = [each for domain in domains for each in domain.resolved_addresses]
            proxies = [each for domain in domains for each in domain.proxy_addresses]
            return [*proxies, *real] if direction is Direction.OUTBOUND else list(real)


def _filters(one: PolicyAuthorization) -> tuple[Filter, ...]:
    return () if isinstance(one.resource, InternetResource) else one.resource.filters


def _kinds(one: PolicyAuthorization) -> list[Kind]:
    """Return the protocols that filters name."""
    found: list[Kind] = []
    for each in _filters(one):
        match each:
            case Tcp():
                found.append("tcp")
            case Udp():
                found.append("udp")
            case Icmp():
                found.append("icmp")
            case Protocol(number=number):
                found.append(number)
            case _:
                assert_never(each)
    return found


def _ports(one: PolicyAuthorization) -> list[int]:
    """Return the ports at which ranges begin and end, then those beside them."""
    ranges = [
        ports for each in _filters(one) if isinstance(each, Tcp | Udp) for ports in each.ranges
    ]
    inside = [port for ports in ranges for port in (ports.first, ports.last)]
    beside = [port for ports in ranges for port in (ports.first - 1, ports.last + 1)]
    return list(dict.fromkeys([*inside, *(port for port in beside if 0 <= port <= MAX_PORT)]))
