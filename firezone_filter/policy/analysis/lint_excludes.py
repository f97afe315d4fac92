"""What is wrong with what resources exclude: a part that is permitted all the same."""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import NamedTuple, cast, final

from firezone_filter.access.special_ranges import DNS, NOT_INTERNET
from firezone_filter.packet.numbers import IPV4, IPV4_LENGTH, IPV6_LENGTH
from firezone_filter.policy.analysis.areas import Area, AreaKind
from firezone_filter.policy.analysis.lint_claims import Claim, Claims
from firezone_filter.policy.analysis.lint_report import Report, resource_place, who_permit
from firezone_filter.policy.analysis.packet_sets import PacketSet, outside
from firezone_filter.values.addresses import Network
from firezone_filter.values.resources import InternetResource


class _Taken(NamedTuple):
    """What an exclude takes from an area, to each of its addresses."""

    number: int
    area: Area
    packets: PacketSet


_NamedThere = dict[int, list[tuple[Claim, PacketSet]]]
"""What is permitted through names, by the real address that they lead to."""


@final
class ExcludeLint:
    """Looks at the excludes of one client's resources."""

    def __init__(self, claims: Claims) -> None:
        self._claims = claims

    def look_at(self, claim: Claim, exclude: Iterable[Network], report: Report) -> None:
        """Report what a CIDR or Internet resource excludes, but others permit all the same."""
        for n, network in enumerate(exclude):
            permitting: set[str] = set()
            is_all: bool | None = None
            for taken in self._taken(claim, network):
                is_all = self._is_permitted(taken, claim.end, permitting) and is_all is not False
            if not permitting:
                continue
            who = who_permit([one.id for one in self._claims.all if one.id in permitting])
            place = resource_place(claim.place, "exclude", n)
            if is_all:
                report.add("FZ201", place, f"{who} all that {network} takes away")
            else:
                report.add("FZ202", place, f"{who} some of what {network} takes away")

    def _taken(self, claim: Claim, network: Network) -> Iterator[_Taken]:
        """Yield what an exclude takes away, area by area."""
        claims = self._claims
        is_internet = isinstance(claim.one.resource, InternetResource)
        first, version = int(network.network_address), network.version
        last = first + network.num_addresses - 1
        start = bisect_left(self._starts, (version, first))
        for number in range(start, bisect_right(self._starts, (version, last))):
            area = claims.areas[number]
            if is_internet:
                flags = claims.ranges.flags(area.first.to_bytes(network.max_prefixlen // 8))
                is_taken = not flags & (NOT_INTERNET | DNS)
            else:
                is_taken = claim.id in area.coverage.excluded
            packets = claims.sets.of(claim.check, (version, False))
            if is_taken and packets:
                yield _Taken(number, area, packets)

    def _is_permitted(self, taken: _Taken, end: float, permitting: set[str]) -> bool:
        """Tell whether all of it is permitted until then; note who permits any of it."""
        rest = taken.packets
        for other, theirs in self._claims.side_by_side[taken.number]:
            if theirs & taken.packets:
                permitting.add(other.id)
                if other.end >= end:
                    rest &= ~theirs
        named = self._named_in(taken.area)
        for others in named.values():
            permitting.update(other.id for other, theirs in others if theirs & taken.packets)
        if not rest:
            return True
        size = taken.area.last - taken.area.first + 1
        return len(named) == size and not any(
            outside(rest, (theirs for other, theirs in others if other.end >= end))
            for others in named.values()
        )

    @cached_property
    def _starts(self) -> list[tuple[int, int]]:
        return [(area.version, area.first) for area in self._claims.areas]

    def _named_in(self, area: Area) -> _NamedThere:
        """Return what is permitted through names to real addresses in an area."""
        if not self._named:
            return {}
        return {
            address: others
            for (version, address), others in self._named.items()
            if version == area.version and area.first <= address <= area.last
        }

    @cached_property
    def _named(self) -> dict[tuple[int, int], list[tuple[Claim, PacketSet]]]:
        """What is permitted through names, by the real address that they lead to."""
        claims = self._claims
        named: dict[tuple[int, int], list[tuple[Claim, PacketSet]]] = defaultdict(list)
        for area, beside in zip(claims.areas, claims.side_by_side, strict=True):
            if area.kind is AreaKind.PROXY and beside:
                length = IPV4_LENGTH if area.version == IPV4 else IPV6_LENGTH
                # Without a translation nothing would be permitted.
                target = cast("bytes", claims.target(area.first.to_bytes(length)))
                named[area.version, int.from_bytes(target)] += beside
        return named
