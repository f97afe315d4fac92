"""What a policy may not contradict: the same checks for one from a file and one by hand."""

from firezone_filter.documents.nodes import Node
from firezone_filter.nat.proxies import MAX_PROXIES
from firezone_filter.values.addresses import Address, AddressPlan
from firezone_filter.values.domains import DomainPattern


def check_tunnel_address(node: Node, address: Address, plan: AddressPlan | None) -> None:
    """Report an address at *node* that is outside the tunnel ranges, or another peer's.

    Without a *plan*, since that is faulty itself, nothing is outside.
    """
    if plan is not None and not any(address in network for network in plan.tunnel):
        node.refuse("is outside the tunnel ranges")
    node.require_unique("tunnel address", address)


def refuse_domains(node: Node) -> None:
    """Report domains of what is no DNS resource; an empty list says nothing."""
    if isinstance(node.value, list | tuple) and node.value:
        node.fault("only a DNS resource has domains")


def check_name(node: Node, name: str, pattern: DomainPattern | None) -> None:
    """Report a name that is not the resource's.

    Without a *pattern*, since that is faulty itself or there is none, every name is.
    """
    if pattern is not None and not pattern.matches(name):
        node.refuse(f"is not a name that {'.'.join(pattern.labels)!r} stands for")


class ProxyCheck:
    """What may not be among the proxy addresses of one client."""

    def __init__(self, client: Node, plan: AddressPlan | None) -> None:
        """Check those of the *client*; without a *plan*, since that is faulty, all are inside."""
        self._client = client
        self._plan = plan
        self._addresses: set[Address] = set()

    def add(self, node: Node, address: Address, name: str | None) -> None:
        """Report an address at *node* that is outside the DNS ranges, or given before.

        Args:
            node: where it stands, in the list of those that were given together.
            address: the address.
            name: what it was given to; `None` if that is faulty.
        """
        plan = self._plan
        if plan is not None and not any(address in network for network in plan.dns_resources):
            node.refuse("is outside the DNS ranges")
        node.require_unique(node.place.parent, address)
        if name is not None:
            # Resources may share an address, but for two names it would mean that the client
            # has renumbered: the first would lose its translations.
            node.require_unique(self._client.place, address, name)
        self._addresses.add(address)

    def check_number(self) -> None:
        """Report more addresses than a gateway keeps for a client."""
        if len(self._addresses) > MAX_PROXIES:
            self._client.fault(
                f"has {len(self._addresses)} proxy addresses, more than {MAX_PROXIES}"
            )
