"""What a policy changes for a client that is connected. Nothing is changed here."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping

from attrs import frozen

from firezone_filter.nat.proxies import MAX_PROXIES
from firezone_filter.policy.parts import PolicyAuthorization, PolicyDomain
from firezone_filter.values.addresses import Address
from firezone_filter.values.errors import InvalidPolicy
from firezone_filter.values.resources import same_place
from firezone_filter.values.states import AuthorizationState, ClientState, NameState, ProxyState

Resolved = tuple[str, PolicyDomain]
"""A name that is to be resolved, and for which resource."""


@frozen
class Changes:
    """What is to be done for one client, in this order."""

    revoked: tuple[str, ...]
    """The resources that it loses, those that it gets anew included."""

    authorized: tuple[PolicyAuthorization, ...]
    """What it gets, or what gets other filters, another name or other exclusions."""

    timed: tuple[PolicyAuthorization, ...]
    """What only ends at another time."""

    resolved: tuple[Resolved, ...]
    """The names that are to be resolved (again)."""


def find_changes(
    state: ClientState, wanted: Collection[PolicyAuthorization], said: ClientState | None
) -> Changes:
    """Return how a client gets what it is to have, from what it has.

    Args:
        state: what it has.
        wanted: what it is to have.
        said: the names of that, as a new gateway has them; `None` without any.

    Raises:
        InvalidPolicy: it would have too many proxy addresses, with those that are left alone.
    """
    wants = {one.resource.id: one for one in wanted}
    names = _Names(state, wants, said)
    stay: dict[str, AuthorizationState] = {}
    revoked, renewed = [], []
    for one in state.authorizations:
        want = wants.get(one.resource.id)
        if want is None or not same_place(one.resource, want.resource):
            revoked.append(one.resource.id)
        elif names.end(want):
            revoked.append(one.resource.id)
            if want.domains is None:
                renewed.append(one.resource.id)
        else:
            stay[one.resource.id] = one
    left_alone = names.left_alone(renewed)
    names.check_number(stay, left_alone)
    authorized, timed = [], []
    for resource_id, want in wants.items():
        had = stay.get(resource_id)
        if had is None or had.resource != want.resource:
            authorized.append(want)
        elif had.expires_at != want.expires_at:
            timed.append(want)
    return Changes(
        tuple(revoked),
        tuple(authorized),
        tuple(timed),
        (*left_alone, *names.to_resolve(stay)),
    )


class _Names:
    """The names that a client has, beside those that a policy says."""

    def __init__(
        self,
        state: ClientState,
        wants: Mapping[str, PolicyAuthorization],
        said: ClientState | None,
    ) -> None:
        self._state = state
        self._wants = wants
        self._of_resource: defaultdict[str, list[ProxyState]] = defaultdict(list)
        for one in state.proxies:
            for resource_id in one.resource_ids:
                self._of_resource[resource_id].append(one)
        self._said_proxies = {} if said is None else {one.address: one for one in said.proxies}
        self._had = _by_name(state.names)
        self._said = {} if said is None else _by_name(said.names)

    def end(self, want: PolicyAuthorization) -> bool:
        """Tell whether a resource that a client has must end first, for its names.

        A name that is taken back by itself goes from all resources, and one of them may keep it; a
        proxy address alone cannot be taken back. One that got another name would mean to the
        gateway that the client has numbered all of them anew.
        """
        resource_id = want.resource.id
        of_it = self._of_resource.get(resource_id, ())
        if want.domains is None:
            return any(self._is_given_away(one.address, one.name) for one in of_it)
        had = {(one.name, one.address) for one in of_it}
        said = {(one.name, address) for one in want.domains for address in one.proxy_addresses}
        if not had <= said:
            return True
        names = {one.name for one in want.domains}
        return any(one == resource_id and name not in names for one, name in self._had)

    def _is_given_away(self, address: Address, name: str) -> bool:
        """Tell whether the policy gives a proxy address to another name."""
        said = self._said_proxies.get(address)
        return said is not None and said.name != name

    def to_resolve(self, stay: Collection[str]) -> Iterator[Resolved]:
        """Return the names that are to be resolved (again), given the resources that stay."""
        changed = self._changed(stay)
        for want in self._wants.values():
            for domain in want.domains or ():
                if domain.name in changed:
                    yield want.resource.id, domain

    def _changed(self, stay: Collection[str]) -> set[str]:
        """Return the names of which something changes: how they were given, where they lead to.

        All resources of such a name are told again, in the order of the policy, since the last
        one decides about a proxy address.
        """
        changed = {
            name
            for (resource_id, name), given in self._said.items()
            if resource_id not in stay or self._had.get((resource_id, name)) != given
        }
        leads_to = {one.address: one.real_address for one in self._state.proxies}
        return changed | {
            one.name
            for one in self._said_proxies.values()
            if leads_to.get(one.address) != one.real_address
        }

    def left_alone(self, renewed: Collection[str]) -> list[Resolved]:
        """Return what is left of the names of resources that get anew what they had.

        The policy says nothing of their names, but gives some of their proxy addresses away.
        """
        together: defaultdict[tuple[str, str, Address | None], list[Address]] = defaultdict(list)
        for resource_id in renewed:
            for one in self._of_resource[resource_id]:
                if not self._is_given_away(one.address, one.name):
                    together[resource_id, one.name, one.real_address].append(one.address)
        return [
            (resource_id, PolicyDomain(name, addresses, () if real is None else (real,)))
            for (resource_id, name, real), addresses in together.items()
        ]

    def check_number(self, stay: Collection[str], left_alone: Collection[Resolved]) -> None:
        """Raise `InvalidPolicy` if the client would have too many proxy addresses."""
        addresses = set(self._said_proxies)
        for one in self._state.proxies:
            if any(resource_id in stay for resource_id in one.resource_ids):
                addresses.add(one.address)
        for _, domain in left_alone:
            addresses.update(domain.proxy_addresses)
        number = len(addresses)
        if number > MAX_PROXIES:
            raise InvalidPolicy(
                f"client {self._state.client_id!r} would have {number} proxy addresses, with "
                f"those of which the policy says nothing, more than {MAX_PROXIES}",
                number,
            )


def _by_name(names: tuple[NameState, ...]) -> dict[tuple[str, str], list[NameState]]:
    found: defaultdict[tuple[str, str], list[NameState]] = defaultdict(list)
    for one in names:
        found[one.resource_id, one.name].append(one)
    return dict(found)
