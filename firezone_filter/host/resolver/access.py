"""What the resolver asks of a gateway, and tells it."""

from collections.abc import Collection, Iterable, Sequence
from typing import Protocol

from attrs import frozen

from firezone_filter.values.addresses import Address, Network


@frozen
class ResolverClient:
    """A connected client, as the resolver sees it."""

    id: str
    """Names the client."""

    versions: frozenset[int]
    """The IP versions, 4 and 6, of which its tunnel has an address, and the gateway's plan has
    proxy addresses."""


class NamesFullError(Exception):
    """The client has all the proxy addresses that it may have."""


class Access(Protocol):
    """Who may reach which names. Every answer is about this moment."""

    @property
    def ranges(self) -> Sequence[Network]:
        """The networks of proxy addresses."""

    def refresh(self) -> None:
        """Learn which clients are connected."""

    def clients(self) -> Iterable[str]:
        """Return the ids of the connected clients."""

    def client_of(self, source: Address) -> ResolverClient | None:
        """Return the client whose tunnel address this is; `None` if it is nobody's."""

    def fixed(self, client_id: str, name: str) -> tuple[Address, ...] | None:
        """Return the proxy addresses that the policy itself has given to a name.

        `None` if the policy leaves the name to the resolver, or the client has no access to it.
        """

    def is_open(self, client_id: str, name: str) -> bool:
        """Tell whether a resource whose names are the resolver's to give matches a name."""

    def holder(self, client_id: str, address: Address) -> str | None:
        """Return the name that the gateway has a proxy address for; `None` for none."""

    def admits(self, address: Address) -> bool:
        """Tell whether a name may lead to a real address at all."""

    def tell(
        self,
        client_id: str,
        name: str,
        proxies: tuple[Address, ...],
        real: tuple[Address, ...],
    ) -> None:
        """Tell the gateway where the proxy addresses of a name lead, if it does not know that yet.

        Args:
            client_id: the client; nothing is told of one that is not connected.
            name: the name, in lower case and without a final dot.
            proxies: proxy addresses of one IP version.
            real: the real addresses of the same version; without any, they lead nowhere.

        Raises:
            NamesFullError: the client would have too many proxy addresses.
        """

    def take_back(self, client_id: str, name: str, keep: Collection[Address]) -> bool:
        """Take proxy addresses of a name from a client, without those that the policy gives.

        A name goes as a whole. While it has others, or sessions, what is to go leads nowhere.

        Args:
            client_id: the client; one that is not connected has none.
            name: the name, in lower case and without a final dot.
            keep: the proxy addresses that it keeps.

        Returns:
            Whether it has no others any more; if not, call again some time later.
        """
