"""Areas: the addresses of a family in slices, all of each treated alike for one client.

Theory of operation. How a packet to an address is judged changes only where the flags of the
range map do, where a network of one of the client's resources or of what these exclude begins
or ends, and at its proxy addresses and the gateway's own. Between two such boundaries one
address stands for all. So `Surveyor.areas` asks, at the first address of each slice, what
decides about packets: the rows above that of resources by flags, `access.candidates.covering`
for the resources, and the compiled filters for what these permit (`shapes`).
"""

import enum
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import Final, final
from typing import Protocol as Kind

from firezone_filter.access.authorizations import ClientAccess
from firezone_filter.access.candidates import Coverage, covering
from firezone_filter.access.special_ranges import DNS, MULTICAST, TUNNEL
from firezone_filter.gateway.client import Client
from firezone_filter.gateway.gateway import Gateway
from firezone_filter.gateway.inside import Inside, inside
from firezone_filter.packet.numbers import IPV4, IPV4_LENGTH, IPV6, IPV6_LENGTH
from firezone_filter.policy.analysis.shapes import NOTHING, Range, Shape, Shapes
from firezone_filter.policy.building import build_gateway, living
from firezone_filter.policy.parts import PolicyClient
from firezone_filter.values.addresses import Address, AddressPlan, Network, TunnelAddresses
from firezone_filter.values.decisions import Direction
from firezone_filter.values.options import GatewayOptions
from firezone_filter.values.resources import CidrResource, InternetResource

LENGTHS: Final = {IPV4: IPV4_LENGTH, IPV6: IPV6_LENGTH}
"""Bytes of an address, by IP version."""

_NO_COVERAGE: Final = Coverage((), ())

Within = Mapping[int, Sequence[Range]]
"""Addresses by IP version, as ascending ranges (first, after) that do not overlap."""

EVERYWHERE: Final[Within] = {
    version: ((0, 1 << (8 * length)),) for version, length in LENGTHS.items()
}
"""All addresses of both families."""


class AreaKind(enum.Enum):
    """What the addresses of an area are."""

    FAR = "far"
    """Addresses behind the gateway."""

    PROXY = "proxy"
    """One proxy address of the client."""

    OWN = "own"
    """One of the gateway's own addresses."""


@final
class Area:
    """Addresses of one family that are all treated alike for one client."""

    __slots__ = ("_work_out", "_would", "coverage", "first", "kind", "last", "leads", "version")

    def __init__(  # noqa: PLR0913, PLR0917 - the facts about it; there are hundreds of thousands
        self,
        version: int,
        first: int,
        last: int,
        kind: AreaKind,
        coverage: Coverage,
        work_out: Callable[[], Shape],
        leads: bool = True,  # noqa: FBT001, FBT002 - as above
    ) -> None:
        self.version: int = version
        """IP version: 4 or 6."""
        self.first: int = first
        """The lowest address, as an integer."""
        self.last: int = last
        """The highest address."""
        self.kind: AreaKind = kind
        self.coverage: Coverage = coverage
        """The resources that cover the addresses, best first, and those that exclude them."""
        self.leads: bool = leads
        """Whether anything is behind the addresses: not if a name has no address of the family."""
        # Lint asks for no shapes, and with as many filters as resources they take a third of its
        # time.
        self._work_out = work_out
        self._would: Shape | None = None

    @property
    def shape(self) -> Shape:
        """What is permitted, by places among the candidates. Many areas share it."""
        return self.would if self.leads else NOTHING

    @property
    def would(self) -> Shape:
        """What would be permitted if the addresses led anywhere."""
        if self._would is None:
            self._would = self._work_out()
        return self._would

    def resource_id(self, place: int) -> str | None:
        """Return the id of the resource at a place; `None` for the gateway's own filters."""
        if self.kind is AreaKind.OWN:
            return None
        return self.coverage.candidates[place].authorization.resource.id


class HasPolicy(Kind):
    """The parts of a `Policy`, which is above this room."""

    @property
    def addresses(self) -> TunnelAddresses:
        """The gateway's own addresses."""

    @property
    def address_plan(self) -> AddressPlan:
        """The address plan."""

    @property
    def clients(self) -> tuple[PolicyClient, ...]:
        """The clients."""

    @property
    def options(self) -> GatewayOptions:
        """The options."""


def gateway_to_ask(
    policy: HasPolicy, at: float | None, clients: Iterable[PolicyClient] | None = None
) -> Gateway:
    """Return a gateway that permits for ever what a policy permits at a moment.

    It has the policy's own filters, and no other of its options: replies, flows and the room
    for sessions say nothing about what is permitted.

    Args:
        policy: the policy.
        at: the moment; `None` if nothing has expired.
        clients: those of its clients that are asked about; `None` for all.
    """
    asked = policy.clients if clients is None else clients
    options = GatewayOptions(reject=False, own_filters=policy.options.own_filters)
    return build_gateway(policy.addresses, policy.address_plan, options, living(asked, at), None)


@final
class Surveyor:
    """Slices the address space of a gateway's clients into areas."""

    def __init__(self, gateway: Gateway, shapes: Shapes | None = None) -> None:
        """Ask a gateway, which must not change as long as it is asked.

        Args:
            gateway: has no authorization that is over: `gateway_to_ask`.
            shapes: to be shared among surveyors whose areas are compared; `None` for new ones.
        """
        self.inside: Inside = inside(gateway)
        self._shapes = Shapes() if shapes is None else shapes
        ranges = self.inside.context.ranges
        self._flagged = {
            version: ([int.from_bytes(start) for start in starts], flags)
            for version, (starts, flags) in ((IPV4, ranges.ipv4), (IPV6, ranges.ipv6))
        }
        self._cuts: dict[Network, tuple[int, int]] = {}

    def areas(self, client_id: str, within: Within | None = None) -> tuple[Area, ...]:
        """Return the areas that something covers, or excludes, in order: IPv4 first.

        Packets to an address in none of them are refused, whatever they are. A family in which
        the client has no address has no areas.

        Args:
            client_id: a connected client.
            within: the addresses that are asked about, which cut areas off; `None` for all.
        """
        client = self.inside.clients[client_id]
        return tuple(
            area
            for version in LENGTHS
            if _has_family(client, version)
            for area in self._areas(client, version, (EVERYWHERE if within is None else within))
        )

    def areas_if_any(self, client_id: str, within: Within | None = None) -> tuple[Area, ...]:
        """Return the same, and nothing for a client that is not connected."""
        return self.areas(client_id, within) if client_id in self.inside.clients else ()

    def permits(self, client_id: str, packet: bytes) -> bool:
        """Tell whether the gateway permits a packet from a client, as from a new flow."""
        ruling = self.inside.judge.judge(Direction.OUTBOUND, packet, 0.0, client_id)
        return ruling.decision.allowed

    def area_at(self, client_id: str, address: Address) -> Area | None:
        """Return an area of one address alone; `None` if none of `areas` has it."""
        client, version = self.inside.clients[client_id], address.version
        number = int(address)
        if not _has_family(client, version):
            return None
        return self._area(client, version, number, number)

    def _areas(self, client: Client, version: int, within: Within) -> Iterator[Area]:
        cuts = sorted(self._boundaries(client.access, version))
        for start, end in within.get(version, ()):
            inner = cuts[bisect_right(cuts, start) : bisect_left(cuts, end)]
            for first, after in pairwise((start, *inner, end)):
                area = self._area(client, version, first, after - 1)
                if area is not None:
                    yield area

    def _area(self, client: Client, version: int, first: int, last: int) -> Area | None:
        """Return the area of some addresses between two boundaries."""
        starts, flags_from = self._flagged[version]
        flags = flags_from[bisect_right(starts, first) - 1]
        # The rows above that of resources: no multicast, and of the tunnel ranges only the
        # gateway's own addresses (rules.md, section 4).
        if flags & MULTICAST:
            return None
        far = first.to_bytes(LENGTHS[version])
        if flags & TUNNEL:
            if far not in self.inside.context.own:
                return None
            work_out = partial(self._shapes.of, version, (self.inside.context.own_check,))
            return Area(version, first, last, AreaKind.OWN, _NO_COVERAGE, work_out)
        coverage = covering(client.access, far, flags, 0.0)
        if not coverage.candidates and not coverage.excluded:
            return None
        checks = tuple(
            None if one.is_shut else one.authorization.compiled.check
            for one in coverage.candidates
        )
        is_proxy = bool(flags & DNS)
        work_out = partial(self._shapes.of, version, checks, is_proxy=is_proxy)
        kind = AreaKind.PROXY if is_proxy else AreaKind.FAR
        leads = not is_proxy or client.access.proxies[far].target is not None
        return Area(version, first, last, kind, coverage, work_out, leads)

    def _boundaries(self, access: ClientAccess, version: int) -> set[int]:
        """Return the addresses at which the treatment of packets may change."""
        cuts = set(self._flagged[version][0])
        for held in access.authorizations.values():
            resource = held.compiled.resource
            if isinstance(resource, CidrResource):
                if resource.network.version == version:
                    cuts.update(self._ends(resource.network))
                    for one in resource.exclude:
                        cuts.update(self._ends(one))
            elif isinstance(resource, InternetResource):
                for one in resource.exclude:
                    if one.version == version:
                        cuts.update(self._ends(one))
        length = LENGTHS[version]
        for single in (*access.proxies, *self.inside.context.own):
            if len(single) == length:
                cuts.update((int.from_bytes(single), int.from_bytes(single) + 1))
        return cuts

    def _ends(self, network: Network) -> tuple[int, int]:
        """Return a network's first address, and the one after its last."""
        # Clients share networks, and objects of `ipaddress` are slow.
        ends = self._cuts.get(network)
        if ends is None:
            first = int(network.network_address)
            ends = self._cuts[network] = first, first + network.num_addresses
        return ends


def _has_family(client: Client, version: int) -> bool:
    return any(len(address) == LENGTHS[version] for address in client.addresses)
