"""The rules that hold for every policy, checked alike for files and for policies by hand."""

from firezone_filter.documents.nodes import Node
from firezone_filter.nat.proxies import MAX_PROXIES
from firezone_filter.values.addresses import Address, AddressPlan
from firezone_filter.values.domains import DomainPattern


def check_tunnel_address(node: Node, address: Address, plan: AddressPlan | None) -> None:
    """Report an address that is outside the tunnel ranges, or belongs to another peer.

    Without a *plan*, because the plan is faulty itself, no address counts as outside.
    """
    if plan is not None and not any(address in network for network in plan.tunnel):
        node.refuse("is outside the tunnel ranges")
    node.require_unique("tunnel address", address)


def refuse_domains(node: Node) -> None:
    """Report the domains of a resource that is not a DNS resource; an empty list is no fault."""
    if isinstance(node.value, list | tuple) and node.value:
        node.fault("only a DNS resource has domains")


def check_name(node: Node, name: str, pattern: DomainPattern | None) -> None:
    """Report a name that does not match the resource's pattern.

    Without a *pattern*, because it is faulty itself or the resource has none, any name will do.
    """
    if pattern is not None and not pattern.matches(name):
        node.refuse(f"is not a name that {'.'.join(pattern.labels)!r} stands for")


class ProxyCheck:
    """Checks the proxy addresses of one client: their ranges, their names and their number."""

    def __init__(self, client: Node, plan: AddressPlan | None) -> None:
        """Begin with a client that has no proxy addresses.

        Args:
            client: where the client stands.
            plan: the plan; `None` if it is faulty itself, so that no address is outside it.
        """
        self._client = client
        self._plan = plan
        self._addresses: set[Address] = set()

    def add(self, node: Node, address: Address, name: str | None) -> None:
        """Report an address that is outside the DNS ranges, twice in a list, or another name's.

        Args:
            node: where the address stands, in the list of one name.
            address: the address.
            name: the name that it is given to; `None` if that is faulty.
        """
        plan = self._plan
        if plan is not None and not any(address in network for network in plan.dns_resources):
            node.refuse("is outside the DNS ranges")
        node.require_unique(node.place.parent, address)
        if name is not None:
            # Resources may share an address. Two names may not: to a gateway the second would
            # mean that the client has renumbered, so that the first loses its translations.
            node.require_unique(self._client.place, address, name)
        self._addresses.add(address)

    def check_number(self) -> None:
        """Report a client with more addresses than a gateway keeps for it."""
        if len(self._addresses) > MAX_PROXIES:
            self._client.fault(
                f"has {len(self._addresses)} proxy addresses, more than {MAX_PROXIES}"
            )
