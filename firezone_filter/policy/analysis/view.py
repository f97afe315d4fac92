"""What a client may reach of what a target names, as sets of addresses, ports and types.

What is permitted outbound, the filters permit inbound as well, and so do the gateway's own: of
ICMP a request and its answer are in every filter together. So an answer comes back from wherever
a packet may go, also with `stateful` and through the NAT, and nothing comes in unasked from where
none may go. Hence only outbound packets are looked at.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple, final

from firezone_filter.gateway.gateway import Gateway
from firezone_filter.packet.building import build_packet
from firezone_filter.packet.icmp import ECHO_REQUEST
from firezone_filter.packet.numbers import IPV4, IPV4_LENGTH, IPV6, IPV6_LENGTH
from firezone_filter.policy.analysis.areas import Area, AreaKind, Surveyor
from firezone_filter.policy.analysis.shapes import Range, ranges_of, translated_ranges_of
from firezone_filter.policy.parts import PolicyClient
from firezone_filter.policy.targets import Target
from firezone_filter.values.addresses import Network, TunnelAddresses
from firezone_filter.values.decisions import Direction
from firezone_filter.values.explanations import Explanation

_LENGTHS: Final = {IPV4: IPV4_LENGTH, IPV6: IPV6_LENGTH}


@final
class Failure(NamedTuple):
    """Why a target fails: what shows it."""

    address: bytes | None
    """Where; `None` if there is nowhere to send a packet to."""

    number: int = 0
    """The port or the ICMP type; 0 for protocols that have neither."""


_Span = tuple[int, int, int]
"""Addresses of a family: IP version, first and last."""


@final
class View:
    """What a policy permits one client at a moment."""

    def __init__(
        self, client: PolicyClient, own: TunnelAddresses, gateway: Gateway, surveyor: Surveyor
    ) -> None:
        self._client = client
        self._own = own
        self._gateway = gateway
        self._proxies = surveyor.inside.clients[client.id].access.proxies
        areas = surveyor.areas(client.id)
        self._areas = {
            version: [area for area in areas if area.version == version] for version in _LENGTHS
        }

    def refused(self, target: Target) -> Failure | None:
        """Return the first of what a target names that is refused; `None` if nothing is."""
        spans = self._spans(target)
        if not spans:
            return self._nowhere(target)
        for version, first, last in spans:
            expected = first
            for area in self._areas_in(version, first, last):
                if area.first > expected:
                    break
                gap = _first_outside(_wanted(target, area), _permitted(target, area))
                if gap is not None:
                    return _point(version, max(first, area.first), gap)
                expected = area.last + 1
            if expected <= last:
                return _point(version, expected, _some_number(target, version))
        return None

    def permitted(self, target: Target) -> Failure | None:
        """Return the first of what a target names that is permitted; `None` if nothing is."""
        for version, first, last in self._spans(target):
            for area in self._areas_in(version, first, last):
                found = _first_inside(_wanted(target, area), _permitted(target, area))
                if found is not None:
                    return _point(version, max(first, area.first), found)
        return None

    def show(
        self, target: Target, failure: Failure
    ) -> tuple[tuple[Direction, bytes] | None, Explanation | None]:
        """Return a packet from the client that shows a failure, and why it is decided so."""
        far = failure.address
        if far is None:
            return None, None
        version = _version(far)
        own = (self._client.addresses.ipv4, self._client.addresses.ipv6)[version == IPV6]
        # A client without an address of the family can send no packet of it that is its own.
        near = bytes(len(far)) if own is None else own.packed
        packet = build_packet(near, far, target.protocol_in(version), failure.number)
        explanation = self._gateway.explain(Direction.OUTBOUND, packet, client_id=self._client.id)
        return (Direction.OUTBOUND, packet), explanation

    def _spans(self, target: Target) -> list[_Span]:
        """Return the addresses of a target."""
        place = target.place
        if not isinstance(place, str):
            return self._without_own(place) if target.address is None else [_span(place)]
        spans = []
        for proxy in self._proxies_of(target):
            known = self._proxies.get(proxy)
            if known is not None and known.target is not None:
                number = int.from_bytes(proxy)
                spans.append((_version(proxy), number, number))
        return spans

    def _without_own(self, network: Network) -> list[_Span]:
        """Return the addresses of a network but the gateway's own, which it is not meant of."""
        own = self._own.ipv4 if network.version == IPV4 else self._own.ipv6
        version, first, last = _span(network)
        if own is None or own not in network:
            return [(version, first, last)]
        parts = (version, first, int(own) - 1), (version, int(own) + 1, last)
        return [part for part in parts if part[1] <= part[2]]

    def _proxies_of(self, target: Target) -> list[bytes]:
        """Return all proxy addresses that the policy gives to the name of a target."""
        addresses = {
            address.packed: address
            for one in self._client.authorizations
            for domain in one.domains or ()
            if domain.name == target.name
            for address in domain.proxy_addresses
        }
        return [packed for packed, address in addresses.items() if target.is_of(address.version)]

    def _nowhere(self, target: Target) -> Failure:
        """Return the failure of a name that leads nowhere: at one of its proxies, if any."""
        proxies = self._proxies_of(target)
        if not proxies:
            return Failure(None)
        return Failure(proxies[0], _some_number(target, _version(proxies[0])))

    def _areas_in(self, version: int, first: int, last: int) -> Iterator[Area]:
        """Yield the areas of a span, in order."""
        areas = self._areas[version]
        start = bisect_right(areas, first, key=lambda area: area.first) - 1
        for area in areas[max(start, 0) :]:
            if area.first > last:
                return
            if area.last >= first:
                yield area


def _span(network: Network) -> _Span:
    return network.version, int(network.network_address), int(network.broadcast_address)


def _version(packed: bytes) -> int:
    return IPV4 if len(packed) == IPV4_LENGTH else IPV6


def _point(version: int, address: int, number: int) -> Failure:
    return Failure(address.to_bytes(_LENGTHS[version]), number)


# --- Numbers ------------------------------------------------------------------------------


def _wanted(target: Target, area: Area) -> tuple[Range, ...]:
    """Return the ports or types that a target names at the addresses of an area."""
    protocol, icmp_type = target.protocol_in(area.version), target.type_in(area.version)
    if target.ports is not None:
        return ((target.ports.first, target.ports.last + 1),)
    if icmp_type is not None:
        return ((icmp_type, icmp_type + 1),)
    # Of ICMP every type that may pass at all: through a proxy address, echo requests alone.
    is_icmp_of_proxy = target.word == "icmp" and area.kind is AreaKind.PROXY
    return (translated_ranges_of if is_icmp_of_proxy else ranges_of)(area.version, protocol)


def _some_number(target: Target, version: int) -> int:
    """Return a port or a type that a target names, whatever the address."""
    if target.word == "icmp" and target.icmp_type is None:
        return ECHO_REQUEST[target.protocol_in(version)]
    return target.type_in(version) or (target.ports.first if target.ports is not None else 0)


def _permitted(target: Target, area: Area) -> Iterable[Range]:
    """Return the ports or types of the target's protocol that an area permits, ascending."""
    protocol, shape = target.protocol_in(area.version), area.shape
    if protocol in shape.named:
        return [(one.first, one.after) for one in shape.parts if one.protocol == protocol]
    return () if shape.rest is None else ranges_of(area.version, protocol)


def _first_outside(wanted: Iterable[Range], permitted: Iterable[Range]) -> int | None:
    """Return the first wanted number that is not permitted."""
    for first, after in wanted:
        expected = first
        for start, end in permitted:
            if start <= expected < end:
                expected = end
        if expected < after:
            return expected
    return None


def _first_inside(wanted: Iterable[Range], permitted: Iterable[Range]) -> int | None:
    """Return the first wanted number that is permitted."""
    for first, after in wanted:
        for start, end in permitted:
            if max(first, start) < min(after, end):
                return max(first, start)
    return None
