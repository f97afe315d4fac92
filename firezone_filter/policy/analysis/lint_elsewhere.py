"""Filters of which other authorizations of the client permit everything anyway.

Authorizations that are redundant themselves do not count: of two equal ones the later is
redundant, and to say of each filter of the earlier that the later permits it says the same again.
"""

from collections.abc import Collection, Iterator
from typing import final

from firezone_filter.policy.analysis.areas import AreaKind
from firezone_filter.policy.analysis.lint_claims import Claim, Claims, Permitted
from firezone_filter.policy.analysis.lint_filters import LookedAt
from firezone_filter.policy.analysis.lint_report import Report, resource_place, who_permit
from firezone_filter.policy.analysis.packet_sets import PacketSet, Way, outside


@final
class FilterClaim:
    """One of several filters of an authorization, and what it permits by itself."""

    __slots__ = ("claim", "number", "permitted")

    def __init__(self, claim: Claim, number: int, permitted: Permitted) -> None:
        self.claim: Claim = claim
        self.number: int = number
        self.permitted: Permitted = permitted

    def equals(self, other: "FilterClaim") -> bool:
        """Tell whether two filters permit the same, until the same moment."""
        return self.claim.end == other.claim.end and self.permitted == other.permitted


@final
class ElsewhereLint:
    """Compares the filters of one client's authorizations with the other authorizations."""

    def __init__(self, claims: Claims, redundant: Collection[Claim]) -> None:
        """Begin without filters.

        Args:
            claims: the authorizations.
            redundant: those that are redundant as a whole, which do not count.
        """
        self._claims = claims
        self._redundant = redundant
        self._ways = [(area.version, area.kind is AreaKind.PROXY) for area in claims.areas]
        self._looked_at: dict[Claim, tuple[LookedAt, tuple[Way, ...]]] = {}

    def add(self, claim: Claim, looked_at: LookedAt, ways: tuple[Way, ...]) -> None:
        """Add the filters of an authorization that is not redundant."""
        self._looked_at[claim] = looked_at, ways

    def look_at_all(self, report: Report) -> None:
        """Report the filters that others make redundant."""
        removable = [
            one
            for claim in self._looked_at
            for one in self._filters_of(claim)
            if self._is_permitted_without((one,))
        ]
        for n, one in enumerate(removable):
            if one.number in self._looked_at[one.claim][0].redundant:
                continue
            equals = [later for later in removable[n + 1 :] if one.equals(later)]
            if equals and not self._is_permitted_without((one, *equals)):
                continue
            ids = self._claims.permitting(
                one.permitted, one.claim.end, {one.claim, *self._redundant}
            )
            place = resource_place(one.claim.place, "filters", one.number)
            report.add("FZ105", place, f"permits only what {who_permit(ids)} anyway")

    def _filters_of(self, claim: Claim) -> Iterator[FilterClaim]:
        looked_at, _ = self._looked_at[claim]
        # The only filter of an authorization is as redundant as that.
        if len(looked_at.sets) > 1:
            for number in range(len(looked_at.sets)):
                permitted = {
                    area: packets
                    for area in claim.permitted
                    if (packets := self._set_of(claim, number, area))
                }
                if permitted:
                    yield FilterClaim(claim, number, permitted)

    def _set_of(self, claim: Claim, number: int, area: int) -> PacketSet:
        """Return what a filter permits in an area."""
        looked_at, ways = self._looked_at[claim]
        return looked_at.sets[number][ways.index(self._ways[area])]

    def _is_permitted_without(self, removed: Collection[FilterClaim]) -> bool:
        """Tell whether all that the first of some filters permits is permitted without them."""
        first = next(iter(removed))
        gone = {(one.claim, one.number) for one in removed}
        cut = {one.claim for one in removed}
        return not any(
            outside(
                wanted,
                (
                    self._rest_of(other, area, gone) if other in cut else theirs
                    for other, theirs in self._claims.side_by_side[area]
                    if other.end >= first.claim.end and other not in self._redundant
                ),
            )
            for area, wanted in first.permitted.items()
        )

    def _rest_of(self, claim: Claim, area: int, gone: set[tuple[Claim, int]]) -> PacketSet:
        """Return what an authorization permits in an area without some of its filters."""
        looked_at, _ = self._looked_at[claim]
        rest = 0
        for number in range(len(looked_at.sets)):
            if (claim, number) not in gone:
                rest |= self._set_of(claim, number, area)
        return rest
