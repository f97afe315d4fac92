"""Where two policies can differ for a client: the addresses that a change touches.

How an address is treated depends on the resources that cover it, beside what all clients share.
So where none of those has changed, nothing has, and the areas there need not be compared: most
changes touch few of a client's resources.
"""

from collections.abc import Iterator
from typing import NamedTuple

from firezone_filter.packet.numbers import IPV4, IPV6
from firezone_filter.policy.analysis.areas import Within
from firezone_filter.policy.analysis.shapes import Range
from firezone_filter.policy.parts import PolicyAuthorization, PolicyClient
from firezone_filter.values.resources import CidrResource, DnsResource, InternetResource


class Pair(NamedTuple):
    """A client as both policies have it; at least one has."""

    id: str
    before: PolicyClient | None
    after: PolicyClient | None


def lives(one: PolicyAuthorization, at: float | None) -> bool:
    """Tell whether an authorization is not over at a moment; with `None` none is."""
    return at is None or one.expires_at is None or at < one.expires_at


def touched(pair: Pair, at: float | None) -> Within | None:
    """Return the addresses at which a client may be treated differently; `None` for all.

    That is said of policies with the same plan, own addresses and own filters.
    """
    before, after = pair.before, pair.after
    if before is None or after is None or before.addresses != after.addresses:
        return None
    old, new = ([one for one in side.authorizations if lives(one, at)] for side in (before, after))
    changed = list(_changed(old, new))
    if any(isinstance(one.resource, InternetResource) for one in changed):
        return None
    ranges: dict[int, list[Range]] = {IPV4: [], IPV6: []}
    for one in changed:
        if isinstance(one.resource, CidrResource):
            network = one.resource.network
            first = int(network.network_address)
            ranges[network.version].append((first, first + network.num_addresses))
    # Names that share a proxy address depend on each other, and on their order.
    if _names(old) != _names(new):
        for address in {
            address
            for one in (*old, *new)
            for domain in one.domains or ()
            for address in domain.proxy_addresses
        }:
            ranges[address.version].append((int(address), int(address) + 1))
    return {version: _merged(several) for version, several in ranges.items()}


def _changed(
    old: list[PolicyAuthorization], new: list[PolicyAuthorization]
) -> Iterator[PolicyAuthorization]:
    """Yield the authorizations of both sides for what is not the same resource in both."""
    befores = {one.resource.id: one for one in old}
    afters = {one.resource.id: one for one in new}
    for resource_id in befores | afters:
        before, after = befores.get(resource_id), afters.get(resource_id)
        if before is None or after is None or before.resource != after.resource:
            yield from (one for one in (before, after) if one is not None)


def _names(several: list[PolicyAuthorization]) -> list[tuple[object, ...]]:
    return [
        (one.resource, one.domains or ())
        for one in several
        if isinstance(one.resource, DnsResource)
    ]


def _merged(ranges: list[Range]) -> list[Range]:
    merged: list[Range] = []
    for first, after in sorted(ranges):
        if merged and first <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(merged[-1][1], after)
        else:
            merged.append((first, after))
    return merged
