"""`GatewayNames`: the names of a `Gateway` and its `Policy`, as the resolver asks for them."""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from ipaddress import ip_address
from itertools import chain
from typing import Final

from firezone_filter.access.authorizations import Authorization
from firezone_filter.access.special_ranges import NOT_RESOLVED
from firezone_filter.gateway.client import Client
from firezone_filter.gateway.gateway import Gateway
from firezone_filter.gateway.inside import inside
from firezone_filter.host.resolver.access import NamesFullError, ResolverClient
from firezone_filter.nat.proxies import MAX_PROXIES, Resolution
from firezone_filter.packet.numbers import TCP, UDP
from firezone_filter.policy.policy import Policy
from firezone_filter.values.addresses import Address, Network
from firezone_filter.values.domains import DomainPattern
from firezone_filter.values.resources import DnsResource

LEFT_TO_THE_POLICY: Final = 64
"""So many of a client's proxy addresses are not given here: by asking for ever new names, nobody
may have a policy refused that gives him some itself."""


class _Known:
    """What is remembered of one client, as long as it has just these authorizations."""

    def __init__(self, authorizations: Mapping[str, Authorization]) -> None:
        self.authorizations = dict(authorizations)
        # The DNS resources: a client may have thousands, and a question must not look at each.
        # By what every name that a pattern matches ends with: all behind its last wildcard.
        self._by_end: dict[str, list[tuple[DomainPattern, DnsResource]]] = {}
        for held in authorizations.values():
            if isinstance(held.resource, DnsResource):
                pattern = DomainPattern.parse(held.resource.address)
                end = re.split(r"[^.]*[*?][^.]*\.?", ".".join(pattern.labels))[-1]
                self._by_end.setdefault(end, []).append((pattern, held.resource))

    def matching(self, name: str) -> Iterator[DnsResource]:
        labels = name.split(".")
        for first in range(len(labels) + 1):
            for pattern, resource in self._by_end.get(".".join(labels[first:]), ()):
                if pattern.matches(name):
                    yield resource


def _nothing() -> None:
    """Do nothing."""


class GatewayNames:
    """What a gateway permits at this moment, for `Resolver`.

    Call `refresh` after a client has connected or disconnected: clients by their addresses are
    kept. (`RunningResolver.changed` does it.) Whatever else is kept is compared with what the
    gateway has, each time.
    """

    def __init__(
        self,
        gateway: Gateway,
        policy: Policy | None = None,
        after: Callable[[], object] = _nothing,
    ) -> None:
        """Ask *gateway*.

        Args:
            gateway: the gateway.
            policy: the policy that the gateway has, for the names that it has itself given proxy
                addresses to; `None` if it comes from a portal.
            after: called after hooks, to fetch the gateway's events; it changes nothing of the
                gateway.
        """
        self._gateway = gateway
        self._inside = inside(gateway)
        self._after = after
        self._by_address: dict[bytes, str] = {}
        self._versions = {network.version for network in self.ranges}
        self._known: dict[str, _Known] = {}
        self._fixed: dict[tuple[str, str], dict[str, tuple[Address, ...]]] = {}
        self.policy = policy
        self.refresh()

    @property
    def policy(self) -> Policy | None:
        """The policy that the gateway has. Set it when `Policy.apply` has brought another one."""
        return self._policy

    @policy.setter
    def policy(self, policy: Policy | None) -> None:
        self._policy = policy
        self._fixed = {
            (client.id, one.resource.id): {
                domain.name: domain.proxy_addresses for domain in one.domains
            }
            for client in (() if policy is None else policy.clients)
            for one in client.authorizations
            if one.domains is not None
        }

    def refresh(self) -> None:
        """Learn which clients are connected."""
        clients = self._inside.clients
        self._by_address = {
            packed: client_id
            for client_id, client in clients.items()
            for packed in client.addresses
        }
        for client_id in self._known.keys() - clients.keys():
            del self._known[client_id]

    @property
    def ranges(self) -> Sequence[Network]:
        """The networks of proxy addresses."""
        return self._gateway.address_plan.dns_resources

    def clients(self) -> Iterable[str]:
        """Return the ids of the connected clients."""
        return self._gateway.clients()

    def client_of(self, source: Address) -> ResolverClient | None:
        """Return the client whose tunnel address this is; `None` if it is nobody's."""
        client = self._client(self._by_address.get(source.packed, ""))
        if client is None or source.packed not in client.addresses:
            return None
        versions = self._versions & {ip_address(packed).version for packed in client.addresses}
        return ResolverClient(client.id, frozenset(versions))

    def fixed(self, client_id: str, name: str) -> tuple[Address, ...] | None:
        """Return the proxy addresses that the policy itself has given to a name."""
        listed = [
            proxies
            for resource in self._resources(client_id, name)
            if (proxies := self._fixed.get((client_id, resource.id), {}).get(name)) is not None
        ]
        return tuple(dict.fromkeys(chain(*listed))) if listed else None

    def is_open(self, client_id: str, name: str) -> bool:
        """Tell whether a resource whose names are the resolver's to give matches a name."""
        return any(self._open_resources(client_id, name))

    def holder(self, client_id: str, address: Address) -> str | None:
        """Return the name that the gateway has a proxy address for; `None` for none."""
        client = self._client(client_id)
        if client is None or client.nat is None:
            return None
        proxy = client.nat.proxies.by_address.get(address.packed)
        return None if proxy is None else proxy.domain

    def admits(self, address: Address) -> bool:
        """Tell whether a name may lead to a real address at all."""
        return not self._inside.context.flags(address.packed) & NOT_RESOLVED

    def closed(self, port: int) -> list[str]:
        """Return by which protocols clients cannot reach a port of the gateway itself."""
        refusal = self._inside.context.own_refusal
        protocols = {"UDP": UDP, "TCP": TCP}
        return [name for name, number in protocols.items() if refusal(number, port) is not None]

    def tell(
        self,
        client_id: str,
        name: str,
        proxies: tuple[Address, ...],
        real: tuple[Address, ...],
    ) -> None:
        """Tell the gateway where proxy addresses lead, for each resource that matches the name."""
        resolution = Resolution(
            name, tuple(one.packed for one in proxies), tuple(one.packed for one in real)
        )
        try:
            for resource in list(self._open_resources(client_id, name)):
                # A hook makes the gateway forget what it remembers of the client's flows.
                if self._is_new(client_id, resource.id, resolution):
                    self._gateway.domain_resolved(
                        client_id,
                        resource.id,
                        name,
                        proxy_addresses=proxies,
                        resolved_addresses=real,
                    )
        finally:
            self._after()

    def take_back(self, client_id: str, name: str, keep: Collection[Address]) -> bool:
        """Take proxy addresses of a name from a client, without those that the policy gives."""
        client = self._client(client_id)
        if client is None or client.nat is None:
            return True
        fixed = self.fixed(client_id, name)
        had = map(ip_address, client.nat.proxies.of_name(name))
        rest = tuple(one for one in had if one not in keep and one not in (fixed or ()))
        if rest and not keep and fixed is None and not client.nat.is_in_use(name):
            self._gateway.domain_withdrawn(client_id, name)
            self._after()
            return True
        if rest:
            self.tell(client_id, name, rest, ())
        # What the policy gives now may be left when it does not any more.
        return not rest and not fixed

    def _is_new(self, client_id: str, resource_id: str, resolution: Resolution) -> bool:
        """Tell whether the gateway does not know that yet.

        Raises:
            NamesFullError: it has no room for it.
        """
        nat = self._inside.clients[client_id].nat
        before, after = 0, len(resolution.proxies)
        if nat is not None:
            if nat.proxies.has(resource_id, resolution):
                return False
            before, after = len(nat.proxies), nat.proxies.count_after(resolution)
        most = MAX_PROXIES - LEFT_TO_THE_POLICY
        if after > max(before, most):
            raise NamesFullError(
                f"client {client_id!r} would have {after} proxy addresses, more than {most}"
            )
        return True

    def _client(self, client_id: str) -> Client | None:
        return self._inside.clients.get(client_id)

    def _resources(self, client_id: str, name: str) -> Iterator[DnsResource]:
        """Yield the DNS resources of a client that match a name, and have not ended."""
        client = self._client(client_id)
        if client is None:
            return
        authorizations = client.access.authorizations
        known = self._known.get(client_id)
        if known is None or known.authorizations != authorizations:
            known = self._known[client_id] = _Known(authorizations)
        found = list(known.matching(name))
        living = self._gateway.authorizations(client_id) if found else {}
        yield from (resource for resource in found if resource.id in living)

    def _open_resources(self, client_id: str, name: str) -> Iterator[DnsResource]:
        for resource in self._resources(client_id, name):
            if (client_id, resource.id) not in self._fixed:
                yield resource
