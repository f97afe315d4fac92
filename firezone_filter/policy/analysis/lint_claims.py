"""What each authorization of a client permits, beside the others: the sets that lint compares.

Theory of operation. `areas` slices the client's addresses so that one stands for all of an area,
with every candidate. Each area gets the set of packets that each candidate permits there, by
itself (`packet_sets`). Then an authorization permits nothing if it has no set that is not empty,
and is redundant if in every area the others' sets cover its own. Only what ends no earlier
counts for that: what outlasts the others is needed when they are gone.
"""

import math
from collections.abc import Collection, Iterable
from itertools import chain
from typing import final

from firezone_filter.access.authorizations import ClientAccess
from firezone_filter.access.permits import PermitCheck, compile_filters
from firezone_filter.access.special_ranges import NOT_RESOLVED, RangeMap
from firezone_filter.documents.faults import Place
from firezone_filter.nat.proxies import ProxyTable, Resolution
from firezone_filter.packet.numbers import IPV4, IPV4_LENGTH, IPV6
from firezone_filter.policy.analysis.areas import Area, AreaKind, Surveyor
from firezone_filter.policy.analysis.lint_report import authorization_place
from firezone_filter.policy.analysis.packet_sets import PacketSet, PacketSets, Way, outside
from firezone_filter.policy.parts import PolicyAuthorization, PolicyClient
from firezone_filter.values.filters import Filter
from firezone_filter.values.resources import InternetResource

Permitted = dict[int, PacketSet]
"""What is permitted, by the number of the area; only sets that are not empty."""


@final
class Claim:
    """An authorization that has not expired, and what it permits by itself."""

    __slots__ = ("check", "covers", "end", "filters", "one", "permitted", "place")

    def __init__(self, place: Place, one: PolicyAuthorization) -> None:
        self.place: Place = place
        self.one: PolicyAuthorization = one
        self.end: float = math.inf if one.expires_at is None else one.expires_at
        resource = one.resource
        self.filters: tuple[Filter, ...] = (
            () if isinstance(resource, InternetResource) else resource.filters
        )
        self.check: PermitCheck = compile_filters(self.filters)
        self.covers: list[int] = []
        """The numbers of the areas that the resource covers, ascending."""
        self.permitted: Permitted = {}

    @property
    def id(self) -> str:
        """The id of the resource."""
        return self.one.resource.id


@final
class Claims:
    """The authorizations of one client that have not expired, side by side."""

    def __init__(
        self,
        client: PolicyClient,
        place: Place,
        living: Collection[int],
        surveyor: Surveyor,
        sets: PacketSets,
    ) -> None:
        """Compare the authorizations of a client.

        Args:
            client: the client.
            place: where it stands.
            living: the numbers of its authorizations that have not expired, ascending.
            surveyor: slices its addresses; asks a gateway with the living authorizations.
            sets: makes the sets.
        """
        self.ranges: RangeMap = surveyor.inside.context.ranges
        self.access: ClientAccess = surveyor.inside.clients[client.id].access
        self.versions: tuple[int, ...] = tuple(
            address.version for address in client.addresses.present()
        )
        self.sets = sets
        self.all: list[Claim] = [
            Claim(authorization_place(place, number), client.authorizations[number])
            for number in living
        ]
        self._by_id = {claim.id: claim for claim in self.all}
        self.areas: list[Area] = [
            area for area in surveyor.areas(client.id) if area.kind is not AreaKind.OWN
        ]
        self.side_by_side: list[list[tuple[Claim, PacketSet]]] = []
        """Who permits what, by the number of the area."""
        for number, area in enumerate(self.areas):
            way = area.version, area.kind is AreaKind.PROXY
            beside: list[tuple[Claim, PacketSet]] = []
            for candidate in area.coverage.candidates:
                claim = self._by_id[candidate.authorization.resource.id]
                claim.covers.append(number)
                # A proxy address without translation leads nowhere, whatever the filters say.
                if not candidate.is_shut and area.leads:
                    permitted = sets.of(claim.check, way)
                    if permitted:
                        beside.append((claim, permitted))
                        claim.permitted[number] = permitted
            self.side_by_side.append(beside)

    def is_left_out(self, packed: bytes) -> bool:
        """Tell whether a gateway leaves a resolved address out."""
        return bool(self.ranges.flags(packed) & NOT_RESOLVED)

    def target(self, proxy: bytes) -> bytes | None:
        """Return the real address that a proxy address of a name leads to, if any."""
        return self.access.proxies[proxy].target

    def proxies_of(self, claim: Claim) -> dict[bytes, None]:
        """Return the proxy addresses of an authorization's names."""
        addresses = chain.from_iterable(name.proxy_addresses for name in claim.one.domains or ())
        return dict.fromkeys(
            address.packed for address in addresses if address.version in self.versions
        )

    def ways_to(self, claim: Claim) -> tuple[Way, ...]:
        """Return the ways in which a DNS resource is reached.

        While none of its names leads anywhere, these are all that the client has.
        """
        led = {
            IPV4 if len(proxy) == IPV4_LENGTH else IPV6
            for proxy in self.proxies_of(claim)
            if self.target(proxy) is not None
        }
        return tuple((version, True) for version in self.versions if not led or version in led)

    # --- What is permitted anyway -------------------------------------------------------

    def permitted_anyway(
        self, permitted: Permitted, end: float, without: Collection[Claim]
    ) -> bool:
        """Tell whether others permit something as long.

        Args:
            permitted: what is to be permitted.
            end: until when.
            without: those that do not count.
        """
        return not any(
            outside(
                wanted,
                (
                    theirs
                    for other, theirs in self.side_by_side[number]
                    if other.end >= end and other not in without
                ),
            )
            for number, wanted in permitted.items()
        )

    def permitting(
        self, permitted: Permitted, end: float, without: Collection[Claim]
    ) -> list[str]:
        """Return the ids of those that permit some of something as long, in their order."""
        found: set[Claim] = set(without)
        for number, wanted in permitted.items():
            for other, theirs in self.side_by_side[number]:
                # Sets are long numbers, and most resources stand in many areas.
                if other not in found and other.end >= end and wanted & theirs:
                    found.add(other)
        found.difference_update(without)
        return [claim.id for claim in self.all if claim in found]

    def redundant(self) -> list[Claim]:
        """Return the authorizations that are redundant, each by itself; of equals the later."""
        removable = [
            claim
            for claim in self._shadowed()
            if not self._leads_elsewhere_without((claim,), claim)
        ]
        return [
            claim for n, claim in enumerate(removable) if self._goes(claim, removable[n + 1 :])
        ]

    def _shadowed(self) -> Iterable[Claim]:
        """Return the authorizations of which all is permitted by others, in their order."""
        needed: set[Claim] = set()
        for beside in self.side_by_side:
            for claim, permitted in beside:
                # Most areas have one candidate, and most claims are needed in the first of them.
                if claim not in needed and outside(
                    permitted,
                    (
                        theirs
                        for other, theirs in beside
                        if other is not claim and other.end >= claim.end
                    ),
                ):
                    needed.add(claim)
        return [claim for claim in self.all if claim.permitted and claim not in needed]

    def _goes(self, claim: Claim, later: list[Claim]) -> bool:
        """Tell whether an authorization can go with all later ones that are equal to it."""
        equals = [
            one for one in later if one.end == claim.end and one.permitted == claim.permitted
        ]
        if not equals:
            return True
        all_of_them = (claim, *equals)
        return self.permitted_anyway(
            claim.permitted, claim.end, all_of_them
        ) and not self._leads_elsewhere_without(all_of_them, claim)

    def _leads_elsewhere_without(self, removed: Collection[Claim], claim: Claim) -> bool:
        """Tell whether a proxy address of a claim would lead elsewhere without some claims.

        The call of `domain_resolved` that names it last decides about that.
        """
        shared = {
            proxy
            for proxy in self.proxies_of(claim)
            if len(self.access.proxies[proxy].resources) > 1
        }
        if not shared:
            return False
        table = ProxyTable()
        for other in self.all:
            if other not in removed and not shared.isdisjoint(self.proxies_of(other)):
                for resolution in self.resolutions(other):
                    table.assign(other.id, resolution)
        return any(
            self._differs(proxy, table.by_address[proxy].target, removed)
            for proxy in shared
            if proxy in table.by_address
        )

    def _differs(self, proxy: bytes, target: bytes | None, removed: Collection[Claim]) -> bool:
        """Tell whether another translation of a proxy address changes what remains there."""
        if target == self.target(proxy):
            return False
        way = IPV4 if len(proxy) == IPV4_LENGTH else IPV6, True
        remaining = (self._by_id[one] for one in self.access.proxies[proxy].resources)
        return any(self.sets.of(claim.check, way) for claim in remaining if claim not in removed)

    def resolutions(self, claim: Claim) -> Iterable[Resolution]:
        """Return the names of an authorization as a gateway has them."""
        for name in claim.one.domains or ():
            resolved = (address.packed for address in name.resolved_addresses)
            yield Resolution(
                name.name,
                tuple(address.packed for address in name.proxy_addresses),
                tuple(one for one in resolved if not self.is_left_out(one)),
            )
