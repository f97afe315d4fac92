"""`diff`: what one policy permits and another does not, client by client.

Theory of operation. Both policies become gateways, of the clients alone that are not the same in
both. The areas of a client in either are laid over each other: in every stretch that they share
the same shapes meet, and what only one of these permits is a change (`differences`). Stretches
that touch and have the same changes become one box. Each box is proved: the two gateways judge a
packet of it.
"""

from collections.abc import Iterator
from ipaddress import ip_address
from typing import Final, NamedTuple, TypeVar, cast, final

from firezone_filter.gateway.gateway import Gateway
from firezone_filter.packet.building import build_packet
from firezone_filter.packet.icmp import ECHO_REQUEST, ICMP_OF
from firezone_filter.packet.numbers import IPV4, IPV6, MAX_PORT
from firezone_filter.policy.analysis.areas import (
    LENGTHS,
    Area,
    HasPolicy,
    Surveyor,
    Within,
    gateway_to_ask,
)
from firezone_filter.policy.analysis.boxes import Facet, merged, to_address_of
from firezone_filter.policy.analysis.changes import (
    BoxChange,
    Changed,
    ClientDiff,
    ExpiryChange,
    Move,
    PolicyDiff,
)
from firezone_filter.policy.analysis.differences import Differences, Side
from firezone_filter.policy.analysis.shapes import (
    ICMP_TYPES,
    NOTHING,
    Shapes,
    first_unnamed,
)
from firezone_filter.policy.analysis.touched import Pair, lives, touched
from firezone_filter.policy.parts import PolicyClient
from firezone_filter.values.decisions import Direction
from firezone_filter.values.resources import same_place
from firezone_filter.values.times import to_time

T = TypeVar("T")

_SOME_PORT: Final = 443
_NOT_AREA: Final = Side(NOTHING, NOTHING)


def diff(before: HasPolicy, after: HasPolicy, at: float | None) -> PolicyDiff:
    """Return what is different between two policies; see `Policy.diff`."""
    moment = None if at is None else to_time(at)
    return PolicyDiff(
        _client_diffs(before, after, moment),
        _if_different(before.addresses, after.addresses),
        _if_different(before.address_plan, after.address_plan),
        _if_different(before.options, after.options),
    )


def _if_different(before: T, after: T) -> tuple[T, T] | None:
    return None if before == after else (before, after)


def _client_diffs(before: HasPolicy, after: HasPolicy, at: float | None) -> tuple[ClientDiff, ...]:
    old = {client.id: client for client in before.clients}
    new = {client.id: client for client in after.clients}
    # What a client may do depends on nothing else of its policy than these.
    is_same_ground = (
        before.addresses == after.addresses
        and before.address_plan == after.address_plan
        and before.options.own_filters == after.options.own_filters
    )
    pairs = [
        pair
        for pair in (Pair(one, old.get(one), new.get(one)) for one in old | new)
        if not is_same_ground or pair.before != pair.after
    ]
    if not pairs:
        return ()
    comparison = _Comparison(
        gateway_to_ask(before, at, [one.before for one in pairs if one.before is not None]),
        gateway_to_ask(after, at, [one.after for one in pairs if one.after is not None]),
    )
    found = (
        _client_diff(pair, comparison, at, touched(pair, at) if is_same_ground else None)
        for pair in pairs
    )
    return tuple(one for one in found if one is not None)


def _client_diff(
    pair: Pair, comparison: "_Comparison", at: float | None, within: Within | None
) -> ClientDiff | None:
    """Return what is different for a client, given where; `None` if nothing is."""
    gained, lost = comparison.boxes(pair.id, within)
    moved: tuple[Move, ...] = ()
    expiries: tuple[ExpiryChange, ...] = ()
    change: Changed = "changed"
    if pair.before is None:
        change = "added"
    elif pair.after is None:
        change = "removed"
    else:
        moved = tuple(comparison.moves(pair.id))
        expiries = tuple(_expiry_changes(pair.before, pair.after, at))
        if pair.before.addresses != pair.after.addresses:
            change = "readdressed"
        elif not (gained or lost or moved or expiries):
            return None
    return ClientDiff(pair.id, change, gained, lost, moved, expiries)


def _expiry_changes(
    before: PolicyClient, after: PolicyClient, at: float | None
) -> Iterator[ExpiryChange]:
    later = {one.resource.id: one for one in after.authorizations if lives(one, at)}
    for one in before.authorizations:
        other = later.get(one.resource.id)
        if (
            other is not None
            and lives(one, at)
            and one.expires_at != other.expires_at
            and same_place(one.resource, other.resource)
        ):
            yield ExpiryChange(one.resource.id, one.expires_at, other.expires_at)


class _Key(NamedTuple):
    """What a box of changes is besides its addresses."""

    facet: Facet
    gained: bool
    before: str | None
    after: str | None


@final
class _Comparison:
    """Compares what clients may do at two gateways."""

    def __init__(self, before: Gateway, after: Gateway) -> None:
        shapes = Shapes()
        self._before = Surveyor(before, shapes)
        self._after = Surveyor(after, shapes)
        self._differences = Differences()

    def boxes(
        self, client_id: str, within: Within | None
    ) -> tuple[tuple[BoxChange, ...], tuple[BoxChange, ...]]:
        """Return what a client has gained, and what it has lost, at some addresses or at all."""
        old = self._before.areas_if_any(client_id, within)
        new = self._after.areas_if_any(client_id, within)
        found: tuple[list[BoxChange], list[BoxChange]] = ([], [])
        for version in (IPV4, IPV6):
            cells = self._cells(
                version,
                [area for area in old if area.version == version],
                [area for area in new if area.version == version],
            )
            for first, last, key in sorted(merged(cells), key=_order):
                box = self._box(client_id, version, first, last, key)
                found[not key.gained].append(box)
        return tuple(found[0]), tuple(found[1])

    def _cells(
        self, version: int, old: list[Area], new: list[Area]
    ) -> Iterator[tuple[int, int, list[_Key]]]:
        """Yield the stretches of addresses where something is different, and what is."""
        for first, last, before, after in _overlay(old, new):
            old_side, new_side = _side(before), _side(after)
            if old_side.shape is new_side.shape:
                continue
            yield (
                first,
                last,
                [
                    _Key(
                        facet,
                        sides.gained,
                        _resource_id(before, sides.before),
                        _resource_id(after, sides.after),
                    )
                    for facet, sides in self._differences.between(version, old_side, new_side)
                ],
            )

    def _box(self, client_id: str, version: int, first: int, last: int, key: _Key) -> BoxChange:
        facet = key.facet
        return BoxChange(
            to_address_of(version, first),
            to_address_of(version, last),
            facet.protocol,
            facet.port_range(),
            facet.types,
            key.before,
            key.after,
            self._witness(client_id, version, first, key),
        )

    def _witness(
        self, client_id: str, version: int, address: int, key: _Key
    ) -> tuple[Direction, bytes]:
        """Return a packet that only one side permits, and prove that by asking both."""
        permitting, refusing = self._before, self._after
        if key.gained:
            permitting, refusing = refusing, permitting
        length = LENGTHS[version]
        sources = permitting.inside.clients[client_id].addresses
        source = next(one for one in sources if len(one) == length)
        protocol, number = _sample(version, key.facet)
        packet = build_packet(source, address.to_bytes(length), protocol, number)
        if not permitting.permits(client_id, packet) or refusing.permits(client_id, packet):
            raise RuntimeError(f"the difference {key} at {address:#x} is none: a bug")
        return Direction.OUTBOUND, packet

    def moves(self, client_id: str) -> Iterator[Move]:
        """Yield the proxy addresses of a client of both sides that lead to another address."""
        old = self._before.inside.clients[client_id].access.proxies
        new = self._after.inside.clients[client_id].access.proxies
        for proxy in sorted(old.keys() & new.keys(), key=lambda one: (len(one), one)):
            before, after = old[proxy].target, new[proxy].target
            if before is not None and after is not None and before != after:
                yield Move(ip_address(proxy), ip_address(before), ip_address(after))


def _order(box: tuple[int, int, _Key]) -> tuple[object, ...]:
    first, _, key = box
    return first, *key.facet.sorts_as()


def _side(area: Area | None) -> Side:
    return _NOT_AREA if area is None else Side(area.shape, area.would)


def _resource_id(area: Area | None, place: int) -> str | None:
    """Return who answers; nobody, if the area has no candidates."""
    if area is None or not area.coverage.candidates:
        return None
    return area.resource_id(place)


def _sample(version: int, facet: Facet) -> tuple[int, int]:
    """Return a protocol and number of a facet: an ordinary one, where there is a choice."""
    protocol = facet.protocol
    if protocol is None:
        # Where all protocols are named, there is no such box.
        protocol = cast("int", first_unnamed(version, facet.others))
    if protocol == ICMP_OF[version]:
        types = ICMP_TYPES[version] if facet.types is None else facet.types
        request = ECHO_REQUEST[protocol]
        return protocol, request if request in types else types[0]
    first, after = facet.ports or (0, MAX_PORT + 1)
    return protocol, _SOME_PORT if first <= _SOME_PORT < after else first or after - 1


def _overlay(
    old: list[Area], new: list[Area]
) -> Iterator[tuple[int, int, Area | None, Area | None]]:
    """Yield (first, last, old area, new area) for each stretch that at least one list has.

    The areas of each list are ascending and disjoint.
    """
    i = j = position = 0
    while i < len(old) or j < len(new):
        before = old[i] if i < len(old) else None
        after = new[j] if j < len(new) else None
        both = [one for one in (before, after) if one is not None]
        first = min(max(one.first, position) for one in both)
        last = min(one.last if one.first <= first else one.first - 1 for one in both)
        here = [one if one is not None and one.first <= first else None for one in (before, after)]
        yield first, last, here[0], here[1]
        i += here[0] is not None and here[0].last == last
        j += here[1] is not None and here[1].last == last
        position = last + 1
