"""What is wrong with the resolved names of DNS resources."""

from typing import Final, NamedTuple, final

from firezone_filter.access.candidates import covering
from firezone_filter.documents.faults import Place
from firezone_filter.policy.analysis.lint_claims import Claim, Claims
from firezone_filter.policy.analysis.lint_report import (
    listed,
    name_address_place,
    name_place,
)
from firezone_filter.policy.parts import PolicyDomain
from firezone_filter.values.addresses import Address
from firezone_filter.values.resources import CidrResource

_FOREVER: Final = 0.0
"""The gateway that is asked has no expiries, so that any time will do."""


class NameFaults(NamedTuple):
    """The findings about a resource's names."""

    found: list[tuple[str, Place, str]]
    """Code, place and message of each."""

    explain: bool
    """Whether there are names, and each has a finding that says why it leads nowhere."""


@final
class NameLint:
    """Looks at the names of one client."""

    def __init__(self, claims: Claims, *, stateful: bool) -> None:
        self._claims = claims
        self._stateful = stateful
        # Where each proxy address is named last: that decides what it leads to.
        self._last: dict[Address, tuple[Place, int, int]] = {
            proxy: (claim.place, n, m)
            for claim in claims.all
            for n, name in enumerate(claim.one.domains or ())
            for m, proxy in enumerate(name.proxy_addresses)
        }

    def look_at(self, claim: Claim) -> NameFaults:
        """Look at the names of a DNS resource."""
        names = claim.one.domains or ()
        found: list[tuple[str, Place, str]] = []
        explained = [self._look_at(claim, n, name, found) for n, name in enumerate(names)]
        return NameFaults(found, bool(names) and all(explained))

    def _look_at(
        self, claim: Claim, number: int, name: PolicyDomain, found: list[tuple[str, Place, str]]
    ) -> bool:
        """Look at one name; tell whether a finding says why it leads nowhere."""
        left_out = self._look_at_resolved(claim, number, name, found)
        place = name_place(claim.place, number)
        if not name.proxy_addresses:
            found.append(("FZ503", place, f"{name.name!r} has no proxy addresses"))
            return True
        leading, dead = 0, []
        for m, proxy in enumerate(name.proxy_addresses):
            if self._claims.target(proxy.packed) is not None:
                leading += 1
            elif self._last[proxy] == (claim.place, number, m):
                dead.append((m, proxy))
        if not leading:
            if not left_out and dead:
                found.append(("FZ504", place, _no_address(name)))
            return bool(left_out or dead)
        for m, proxy in dead:
            if proxy.version not in left_out:
                found.append(
                    (
                        "FZ505",
                        name_address_place(claim.place, number, "proxy_addresses", m),
                        f"{proxy} leads nowhere: {name.name!r} has no IPv{proxy.version} address",
                    )
                )
        return False

    def _look_at_resolved(
        self, claim: Claim, number: int, name: PolicyDomain, found: list[tuple[str, Place, str]]
    ) -> set[int]:
        """Look at the real addresses; return the IP versions of which some are left out."""
        left_out: set[int] = set()
        for n, address in enumerate(name.resolved_addresses):
            place = name_address_place(claim.place, number, "resolved_addresses", n)
            if self._claims.is_left_out(address.packed):
                left_out.add(address.version)
                what = f"{address} is left out: no name may lead to a special address"
                found.append(("FZ501", place, what))
            elif not self._stateful and (ids := self._covering(address)):
                what = f"{address} is covered by {listed(ids)} too"
                found.append(("FZ502", place, what))
        return left_out

    def _covering(self, address: Address) -> list[str]:
        """Return the ids of the CIDR resources that cover a real address."""
        claims, packed = self._claims, address.packed
        if address.version not in claims.versions:
            return []
        coverage = covering(claims.access, packed, claims.ranges.flags(packed), _FOREVER)
        return [
            one.authorization.resource.id
            for one in coverage.candidates
            if isinstance(one.authorization.resource, CidrResource)
        ]


def _no_address(name: PolicyDomain) -> str:
    families = sorted({f"IPv{proxy.version}" for proxy in name.proxy_addresses})
    return f"{name.name!r} leads nowhere: it has no {' or '.join(families)} address"
