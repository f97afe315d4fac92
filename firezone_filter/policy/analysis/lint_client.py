"""What is wrong with the authorizations of one client.

One finding is not said twice. What is found of an authorization as a whole (that it has expired,
permits nothing or is redundant) stands alone: nothing else is found in it. And where something in
it says already why it permits nothing (each of its filters, or each of its names), that it does
is no finding besides.
"""

from bisect import bisect_right
from typing import final

from firezone_filter.access.special_ranges import DNS, NOT_INTERNET, TUNNEL, RangeMap
from firezone_filter.documents.faults import Place
from firezone_filter.packet.numbers import IPV4
from firezone_filter.policy.analysis.areas import Surveyor
from firezone_filter.policy.analysis.lint_claims import Claim, Claims
from firezone_filter.policy.analysis.lint_elsewhere import ElsewhereLint
from firezone_filter.policy.analysis.lint_excludes import ExcludeLint
from firezone_filter.policy.analysis.lint_filters import FilterLint
from firezone_filter.policy.analysis.lint_names import NameLint
from firezone_filter.policy.analysis.lint_report import (
    CLIENTS,
    Report,
    authorization_place,
    resource_place,
    who_permit,
)
from firezone_filter.policy.analysis.packet_sets import PacketSets, Way
from firezone_filter.policy.parts import PolicyAuthorization, PolicyClient
from firezone_filter.values.addresses import Network
from firezone_filter.values.resources import CidrResource, DnsResource, InternetResource


@final
class ClientLint:
    """Looks at the authorizations of one client after the other."""

    def __init__(
        self,
        surveyor: Surveyor,
        sets: PacketSets,
        filters: FilterLint,
        report: Report,
        *,
        stateful: bool,
    ) -> None:
        """Begin with a policy.

        Args:
            surveyor: slices the clients' addresses; asks a gateway with what has not expired.
            sets: makes the sets of packets that are compared.
            filters: looks at filters by themselves.
            report: takes the findings.
            stateful: whether the policy says so.
        """
        self._surveyor = surveyor
        self._sets = sets
        self._filters = filters
        self._report = report
        self._stateful = stateful

    def look_at(self, number: int, client: PolicyClient, at: float | None) -> None:
        """Look at the client of that number, at a moment."""
        report = self._report
        place = Place(CLIENTS, number, number)
        living: list[int] = []
        for n, one in enumerate(client.authorizations):
            if is_over(one, at):
                expiry = Place(authorization_place(place, n), "expires_at", 1)
                report.add("FZ106", expiry, f"has expired, at {one.expires_at}")
            else:
                living.append(n)
        claims = Claims(client, place, living, self._surveyor, self._sets)
        _OneClient(claims, self._filters, report, stateful=self._stateful).look_at_all()
        if not any(claim.permitted or self._may_come(claim, claims) for claim in claims.all):
            report.add("FZ107", place, f"{client.id!r} may reach no resource")

    def _may_come(self, claim: Claim, claims: Claims) -> bool:
        """Tell whether names may still come, of which the policy says nothing."""
        return (
            isinstance(claim.one.resource, DnsResource)
            and claim.one.domains is None
            and any(self._sets.of(claim.check, way) for way in claims.ways_to(claim))
        )


def is_over(one: PolicyAuthorization, at: float | None) -> bool:
    """Tell whether an authorization has expired at a moment; with `None` nothing has."""
    return at is not None and one.expires_at is not None and at >= one.expires_at


@final
class _OneClient:
    """One client, beside whose authorizations the others stand."""

    def __init__(
        self, claims: Claims, filters: FilterLint, report: Report, *, stateful: bool
    ) -> None:
        self._claims = claims
        self._filters = filters
        self._report = report
        self._names = NameLint(claims, stateful=stateful)
        self._excludes = ExcludeLint(claims)
        self._redundant = set(claims.redundant())
        self._elsewhere = ElsewhereLint(claims, self._redundant)

    def look_at_all(self) -> None:
        """Report what is found of each authorization."""
        for claim in self._claims.all:
            if claim in self._redundant:
                self._report_redundant(claim)
            elif isinstance(claim.one.resource, DnsResource):
                self._look_at_dns(claim)
            elif isinstance(claim.one.resource, CidrResource):
                self._look_at_cidr(claim, claim.one.resource)
            else:
                self._look_at_internet(claim, claim.one.resource)
        self._elsewhere.look_at_all(self._report)

    def _report_redundant(self, claim: Claim) -> None:
        ids = self._claims.permitting(claim.permitted, claim.end, (claim,))
        self._report.add(
            "FZ102", claim.place, f"{claim.id!r} permits only what {who_permit(ids)} anyway"
        )

    # --- Networks -----------------------------------------------------------------------

    def _look_at_cidr(self, claim: Claim, resource: CidrResource) -> None:
        network, claims = resource.network, self._claims
        if network.version not in claims.versions:
            what = f"the client has no IPv{network.version} address, so it cannot reach {network}"
            self._report.add("FZ101", claim.place, what)
        elif not claim.covers:
            self._report_uncovered(claim, network)
        else:
            way = network.version, False
            self._look_at_filters(claim, (way,))
            if claim.permitted:
                self._look_at_width(claim, network)
                self._excludes.look_at(claim, resource.exclude, self._report)

    def _report_uncovered(self, claim: Claim, network: Network) -> None:
        place = resource_place(claim.place, "address")
        if any(claim.id in area.coverage.excluded for area in self._claims.areas):
            place = resource_place(claim.place, "exclude")
            self._report.add("FZ203", place, f"leaves nothing of {network}")
        elif all(flags & (TUNNEL | DNS) for flags in _flags_in(self._claims.ranges, network)):
            what = f"{network} is inside the address plan's ranges, which no network covers"
            self._report.add("FZ205", place, what)
        else:
            what = f"no network covers the addresses of {network}, which are special"
            self._report.add("FZ206", place, what)

    def _look_at_width(self, claim: Claim, network: Network) -> None:
        if network.prefixlen:
            return
        flags = self._claims.ranges.flags
        length = network.max_prefixlen // 8
        if any(
            flags(self._claims.areas[number].first.to_bytes(length)) & NOT_INTERNET
            for number in claim.covers
        ):
            what = f"{network} has private addresses, which an Internet resource has not"
            self._report.add("FZ204", resource_place(claim.place, "address"), what)

    def _look_at_internet(self, claim: Claim, resource: InternetResource) -> None:
        if claim.permitted:
            self._excludes.look_at(claim, resource.exclude, self._report)
        elif resource.exclude and any(
            not flags & (NOT_INTERNET | TUNNEL | DNS)
            for version in self._claims.versions
            for flags in _all_flags(self._claims.ranges, version)
        ):
            place = resource_place(claim.place, "exclude")
            self._report.add("FZ203", place, "leaves nothing of the Internet")
        else:
            what = "the plan leaves nothing of the Internet that the client could reach"
            self._report.add("FZ101", claim.place, what)

    # --- Names --------------------------------------------------------------------------

    def _look_at_dns(self, claim: Claim) -> None:
        ways = self._claims.ways_to(claim)
        names = self._names.look_at(claim)
        looked_at = self._filters.look_at(claim.filters, claim.check, ways)
        leads_nowhere = not claim.permitted and not looked_at.permits_nothing
        # Names that the policy says nothing about may still come.
        if leads_nowhere and claim.one.domains is not None and not names.explain:
            what = f"no name leads anywhere, so that {claim.id!r} cannot be reached"
            self._report.add("FZ101", claim.place, what)
            return
        for fault in names.found:
            self._report.add(*fault)
        self._look_at_filters(claim, ways)

    # --- Filters ------------------------------------------------------------------------

    def _look_at_filters(self, claim: Claim, ways: tuple[Way, ...]) -> None:
        if not claim.filters:
            kind = "that can be translated" if ways[0][1] else "there is"
            place = resource_place(claim.place, "filters")
            self._report.add("FZ301", place, f"no filters, so {claim.id!r} permits all {kind}")
            return
        looked_at = self._filters.look_at(claim.filters, claim.check, ways)
        for fault in looked_at.faults:
            place = resource_place(claim.place, "filters", fault.number)
            self._report.add(fault.code, place, fault.message)
        self._elsewhere.add(claim, looked_at, ways)


def _flags_in(ranges: RangeMap, network: Network) -> list[int]:
    """Return the flags that addresses of a network have."""
    starts, flags = ranges.ipv4 if network.version == IPV4 else ranges.ipv6
    first = bisect_right(starts, network.network_address.packed) - 1
    return flags[first : bisect_right(starts, network.broadcast_address.packed)]


def _all_flags(ranges: RangeMap, version: int) -> list[int]:
    """Return the flags that addresses of a family have."""
    return (ranges.ipv4 if version == IPV4 else ranges.ipv6)[1]
