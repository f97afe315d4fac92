"""The rules that hold for every policy, checked alike for files and for policies by hand."""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Final

from firezone_filter.documents.faults import quoted
from firezone_filter.documents.nodes import Node
from firezone_filter.nat.proxies import MAX_PROXIES
from firezone_filter.policy.parts import PolicyClient
from firezone_filter.policy.targets import Target
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


Names = Mapping[str, AbstractSet[str]]
"""The names that are among the domains of each client, by its id."""


def names_by_client(clients: Iterable[PolicyClient]) -> Names:
    """Return the names that tests may name, by the ids of the clients that they may name."""
    return {
        client.id: {domain.name for one in client.authorizations for domain in one.domains or ()}
        for client in clients
    }


def check_test_client(node: Node, client_id: str, names: Names | None) -> None:
    """Report a client of a test that the policy has not.

    Without *names*, because the clients are faulty themselves, any will do.
    """
    if names is not None and client_id not in names:
        node.refuse("is not the id of a client")


def check_test_target(
    node: Node, target: Target, client_id: str | None, names: Names | None
) -> None:
    """Report a target of a test whose name the client has not.

    Of a client that is faulty or unknown, which has been reported, any will do.
    """
    known = None if names is None or client_id is None else names.get(client_id)
    if known is not None and target.name is not None and target.name not in known:
        what = f"has a name that is not among the domains of client {quoted(client_id)}"
        denied = node.place.parent is not None and node.place.parent.step == "deny"
        node.refuse(f"{what}{_DENY_ALL}" if denied else what)


# A test that promises the absence of a name would pass by a typo.
_DENY_ALL: Final = "; to deny all names, name a DNS range, as in 'tcp 100.96.0.0/11'"


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
