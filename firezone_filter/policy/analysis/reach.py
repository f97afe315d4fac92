"""`reach`: everything that a client may reach, as disjoint boxes."""

from collections.abc import Iterable, Iterator
from typing import final

from attrs import frozen

from firezone_filter.packet.numbers import IPV4, IPV6
from firezone_filter.policy.analysis.areas import Area, HasPolicy, Surveyor, gateway_to_ask
from firezone_filter.policy.analysis.boxes import (
    Facet,
    describe,
    merged,
    networks_of,
    to_address_of,
    to_facets,
)
from firezone_filter.policy.parts import PolicyClient
from firezone_filter.structures.attribute_docs import documented
from firezone_filter.values.addresses import Address, Network
from firezone_filter.values.arguments import to_text
from firezone_filter.values.errors import UnknownClient
from firezone_filter.values.filters import PortRange
from firezone_filter.values.times import to_time


@documented
@final
@frozen
class Reach:
    """Packets that a client may send: some addresses, a protocol, and its ports or types.

    `str(box)` is `tcp 10.0.0.0/24:5432` or the like.
    """

    first: Address
    """The lowest address."""

    last: Address
    """The highest address."""

    protocol: int | None
    """IANA protocol number; `None` for every one that no other box of these addresses names."""

    ports: PortRange | None
    """The far ports, of TCP and UDP."""

    icmp_types: tuple[int, ...] | None
    """The types, of ICMP; `None` for all that may pass by a filter, those that are no errors
    and are not kept on their link."""

    resource_id: str | None
    """The resource that permits them; `None` for the gateway's own address."""

    @property
    def networks(self) -> tuple[Network, ...]:
        """The addresses as networks."""
        return networks_of(self.first, self.last)

    def __str__(self) -> str:
        return describe(self.first, self.last, self.protocol, self.ports, self.icmp_types)


def reach(policy: HasPolicy, client_id: str, at: float | None) -> tuple[Reach, ...]:
    """Return what a client may reach; see `Policy.reach`."""
    client = find_client(policy, client_id)
    moment = None if at is None else to_time(at)
    areas = Surveyor(gateway_to_ask(policy, moment, (client,))).areas(client.id)
    return tuple(box for version in (IPV4, IPV6) for box in _boxes(version, areas))


def find_client(policy: HasPolicy, client_id: str) -> PolicyClient:
    """Return a client of a policy.

    Raises:
        TypeError: *client_id* is no text.
        UnknownClient: the policy has no such client.
    """
    wanted = to_text("client_id", client_id)
    for client in policy.clients:
        if client.id == wanted:
            return client
    raise UnknownClient(f"the policy has no client {wanted!r}", client_id)


_Key = tuple[Facet, str | None]


def _boxes(version: int, areas: Iterable[Area]) -> list[Reach]:
    cells = ((one.first, one.last, _keys(one)) for one in areas if one.version == version)
    found = sorted(merged(cells), key=_order)
    return [
        Reach(
            to_address_of(version, first),
            to_address_of(version, last),
            facet.protocol,
            facet.port_range(),
            facet.types,
            resource_id,
        )
        for first, last, (facet, resource_id) in found
    ]


def _order(box: tuple[int, int, _Key]) -> tuple[object, ...]:
    first, _, (facet, _) = box
    return first, *facet.sorts_as()


def _keys(area: Area) -> Iterator[_Key]:
    for facet, place in to_facets(area.version, area.shape.parts, area.shape.named):
        yield facet, area.resource_id(place)
