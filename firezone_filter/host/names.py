"""Names for clients: the resolver of a gateway, beside its packets.

What the gateway hears of clients and their permissions, the resolver hears next.
"""

from collections.abc import Callable, Iterator
from typing import Final

from attrs import asdict

from firezone_filter import Gateway, Policy
from firezone_filter.host.resolver.gateway_names import GatewayNames
from firezone_filter.host.resolver.options import ResolverOptions
from firezone_filter.host.resolver.running import RunningResolver
from firezone_filter.host.watch import LOG, report

_PREFIX: Final = "firezone_filter_resolver"

_HELP: Final = {
    "questions": "Questions that were looked at.",
    "own": "Questions for names of DNS resources.",
    "forwarded": "Questions that were passed on as they were.",
    "refused": "Questions for other names that were refused.",
    "wrong": "Messages that were no question.",
    "failed": "Questions that were answered with SERVFAIL.",
    "limited": "Questions and connections beyond what one client may ask.",
    "strangers": "Questions and connections of nobody's addresses.",
    "upstream_asked": "Exchanges with name servers behind.",
    "upstream_failed": "Exchanges without a usable answer.",
    "upstream_spoofed": "Exchanges in which something came that was no answer.",
}


class Names:
    """Answers clients' questions for names, from `start` to `close`.

    Args:
        gateway: the gateway.
        policy: the policy that holds.
        options: the settings of the resolver.
        after: called after the gateway has been told of a name.
    """

    def __init__(
        self,
        gateway: Gateway,
        policy: Policy,
        options: ResolverOptions,
        after: Callable[[], object],
    ) -> None:
        self._addresses: Final = gateway.addresses
        self._names: Final = GatewayNames(gateway, policy, after)
        self._options: Final = options
        self._resolver: RunningResolver | None = None

    async def start(self) -> None:
        """Begin to listen on the gateway's tunnel addresses.

        Raises:
            LeaseFileError: the file with the proxy addresses cannot be used.
            OSError: an address is not there, the port is taken or not allowed, or there are no
                servers to be read.
        """
        own = self._addresses.present()
        self._resolver = await RunningResolver.start(self._names, self._options, own)
        self._warn_about_servers()
        for protocol in self._names.closed(self.port):
            LOG.warning(
                "own_filters of the policy's options do not permit %s to port %d: clients cannot "
                "ask for names",
                protocol,
                self.port,
            )

    @property
    def port(self) -> int:
        """The port that it listens on; 0 before it does."""
        return 0 if self._resolver is None else self._resolver.port

    def changed(self, policy: Policy) -> None:
        """Say that clients or their permissions are others now, by this policy."""
        self._names.policy = policy
        if self._resolver is not None:
            self._resolver.changed()

    def read_servers(self) -> None:
        """Ask the name servers that the system has now; if it does not say, those of before."""
        if self._resolver is None:
            return
        try:
            self._resolver.read_servers()
        except OSError as error:
            report("The old name servers stay", error)
        self._warn_about_servers()

    def _warn_about_servers(self) -> None:
        if self._resolver is not None and not self._resolver.upstream.servers:
            LOG.warning("There is no name server to ask: no name can be resolved")

    def text(self) -> str:
        """Return counts for Prometheus."""
        return "".join(f"{line}\n" for line in self._lines())

    def _lines(self) -> Iterator[str]:
        if self._resolver is None:
            return
        upstream = self._resolver.upstream
        counts = asdict(self._resolver.counters) | {
            f"upstream_{what}": getattr(upstream, what) for what in ("asked", "failed", "spoofed")
        }
        for what, count in counts.items():
            name = f"{_PREFIX}_{what}_total"
            yield from (
                f"# HELP {name} {_HELP[what]}",
                f"# TYPE {name} counter",
                f"{name} {count}",
            )

    async def close(self) -> None:
        """Listen no more."""
        if self._resolver is not None:
            await self._resolver.close()
