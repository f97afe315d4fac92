"""`GatewayNames`: the names of a `Gateway` and its `Policy`, as the resolver asks for them."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from ipaddress import ip_address

from firezone_filter.access.special_ranges import NOT_RESOLVED
from firezone_filter.gateway.client import Client
from firezone_filter.gateway.gateway import Gateway
from firezone_filter.gateway.inside import inside
from firezone_filter.host.resolver.access import NamesFullError, ResolverClient
from firezone_filter.packet.numbers import TCP, UDP
from firezone_filter.policy.policy import Policy
from firezone_filter.values.addresses import Address, Network
from firezone_filter.values.domains import DomainPattern
from firezone_filter.values.errors import InvalidPolicy
from firezone_filter.values.resources import DnsResource

_Given = tuple[tuple[Address, ...], tuple[Address, ...]]


@lru_cache(maxsize=4_096)
def _pattern(text: str) -> DomainPattern:
    """Return a pattern of a resource, which is asked for with every question."""
    return DomainPattern.parse(text)


def _nothing() -> None:
    """Do nothing."""


class GatewayNames:
    """What a gateway permits at this moment, for `Resolver`.

    Nothing of what the gateway knows is kept, but the clients by their addresses: call `refresh`
    after a client has connected or disconnected. (`RunningResolver.changed` does it.)
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
        # By client, what the gateway has been told of a resource, name and IP version.
        self._told: dict[str, dict[tuple[str, str, int], _Given]] = {}
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
        for client_id in self._told.keys() - clients.keys():
            del self._told[client_id]

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
        versions = frozenset(ip_address(packed).version for packed in client.addresses)
        return ResolverClient(client.id, versions)

    def fixed(self, client_id: str, name: str) -> tuple[Address, ...] | None:
        """Return the proxy addresses that the policy itself has given to a name."""
        for resource in self._resources(client_id, name):
            proxies = self._fixed.get((client_id, resource.id), {}).get(name)
            if proxies is not None:
                return proxies
        return None

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
        told = self._told.setdefault(client_id, {})
        try:
            for resource in list(self._open_resources(client_id, name)):
                key, given = (resource.id, name, proxies[0].version), (proxies, real)
                # A hook makes the gateway forget what it remembers of the client's flows.
                if told.get(key) != given or not self._has(client_id, resource.id, name, proxies):
                    self._gateway.domain_resolved(
                        client_id,
                        resource.id,
                        name,
                        proxy_addresses=proxies,
                        resolved_addresses=real,
                    )
                    told[key] = given
        except InvalidPolicy as error:
            raise NamesFullError(str(error)) from error
        finally:
            self._after()

    def _has(
        self, client_id: str, resource_id: str, name: str, proxies: tuple[Address, ...]
    ) -> bool:
        """Tell whether the gateway still has proxy addresses of a name for a resource."""
        client = self._client(client_id)
        if client is None or client.nat is None:
            return False
        known = (client.nat.proxies.by_address.get(address.packed) for address in proxies)
        return all(
            one is not None and one.domain == name and resource_id in one.resources
            for one in known
        )

    def _client(self, client_id: str) -> Client | None:
        return self._inside.clients.get(client_id)

    def _resources(self, client_id: str, name: str) -> Iterator[DnsResource]:
        """Yield the DNS resources of a client that match a name, and have not ended."""
        client = self._client(client_id)
        if client is None:
            return
        living = self._gateway.authorizations(client_id)
        for resource_id, held in client.access.authorizations.items():
            resource = held.resource
            if (
                isinstance(resource, DnsResource)
                and resource_id in living
                and _pattern(resource.address).matches(name)
            ):
                yield resource

    def _open_resources(self, client_id: str, name: str) -> Iterator[DnsResource]:
        for resource in self._resources(client_id, name):
            if (client_id, resource.id) not in self._fixed:
                yield resource
