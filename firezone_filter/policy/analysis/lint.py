"""`Policy.lint`: what in a policy is not as it should be, or as it seems.

Theory of operation. What is found of sets of packets is computed from the compiled filters and
the areas of a gateway that is made of what has not expired (`lint_claims`); the rest from the
values. One module for each subject: `lint_client` for the authorizations of a client, in it
`lint_filters`, `lint_excludes` and `lint_names`; here what concerns the policy as a whole.
"""

from collections.abc import Hashable
from ipaddress import IPv4Network, IPv6Network, collapse_addresses
from typing import Final

from firezone_filter.access.permits import compile_filters
from firezone_filter.documents.faults import Place
from firezone_filter.policy.analysis.areas import HasPolicy, Surveyor, gateway_to_ask
from firezone_filter.policy.analysis.findings import Finding
from firezone_filter.policy.analysis.lint_client import ClientLint, is_over
from firezone_filter.policy.analysis.lint_filters import FilterLint
from firezone_filter.policy.analysis.lint_report import (
    CLIENTS,
    OWN_FILTERS,
    Report,
    authorization_place,
    resource_place,
)
from firezone_filter.policy.analysis.packet_sets import PacketSets
from firezone_filter.values.addresses import Network, TunnelAddresses
from firezone_filter.values.filters import Filter
from firezone_filter.values.resources import CidrResource, DnsResource, Resource
from firezone_filter.values.times import to_time

_AT_ONCE: Final = 64
"""Clients of one gateway that is asked: one of all clients would take more memory than the policy
itself, and be needed for one client at a time."""


def lint(policy: HasPolicy, at: float | None = None) -> tuple[Finding, ...]:
    """Return what is found in a policy. Arguments and errors are those of `Policy.lint`."""
    moment = None if at is None else to_time(at)
    report = Report()
    sets = PacketSets()
    filters = FilterLint(sets)
    _look_at_own_filters(policy.addresses, policy.options.own_filters, filters, report)
    _look_at_meanings(policy, moment, report)
    for start in range(0, len(policy.clients), _AT_ONCE):
        some = policy.clients[start : start + _AT_ONCE]
        surveyor = Surveyor(gateway_to_ask(policy, moment, some))
        clients = ClientLint(surveyor, sets, filters, report, stateful=policy.options.stateful)
        for number, client in enumerate(some, start):
            clients.look_at(number, client, moment)
    return report.in_order()


def _look_at_own_filters(
    addresses: TunnelAddresses, own: tuple[Filter, ...], filters: FilterLint, report: Report
) -> None:
    ways = tuple((address.version, False) for address in addresses.present())
    check = compile_filters(own)
    if filters.permits_everything(check, ways):
        report.add("FZ304", OWN_FILTERS, "permit everything to the gateway's own address")
    for fault in filters.look_at(own, check, ways).faults:
        place = Place(OWN_FILTERS, fault.number, fault.number)
        report.add(fault.code, place, fault.message)


# --- Ids ----------------------------------------------------------------------------------


def _look_at_meanings(policy: HasPolicy, at: float | None, report: Report) -> None:
    """Report ids under which a client has another resource than the first that has the id."""
    first: dict[str, tuple[str, Resource]] = {}
    for number, client in enumerate(policy.clients):
        for n, one in enumerate(client.authorizations):
            if is_over(one, at):
                continue
            resource = one.resource
            holder, known = first.setdefault(resource.id, (client.id, resource))
            # Nearly always they are equal, and mostly even one object.
            if known is resource or known == resource or _meaning(known) == _meaning(resource):
                continue
            place = Place(CLIENTS, number, number)
            report.add(
                "FZ401",
                resource_place(authorization_place(place, n), "id"),
                f"{resource.id!r} is another resource for {holder!r}",
            )


def _meaning(resource: Resource) -> Hashable:
    """Return what a resource permits, in a form in which equal ones are equal."""
    if isinstance(resource, DnsResource):
        return "dns", resource.pattern(), _permitted(resource.filters)
    exclude = _collapsed(resource.exclude)
    if isinstance(resource, CidrResource):
        return "cidr", resource.network, _permitted(resource.filters), exclude
    return "internet", exclude


def _permitted(filters: tuple[Filter, ...]) -> Hashable:
    check = compile_filters(filters)
    return check.everything, *(
        frozenset((protocol, bounds) for protocol, bounds in of_family.items() if bounds)
        for of_family in (check.ipv4, check.ipv6)
    )


def _collapsed(networks: tuple[Network, ...]) -> frozenset[Network]:
    ipv4 = (one for one in networks if isinstance(one, IPv4Network))
    ipv6 = (one for one in networks if isinstance(one, IPv6Network))
    return frozenset((*collapse_addresses(ipv4), *collapse_addresses(ipv6)))
