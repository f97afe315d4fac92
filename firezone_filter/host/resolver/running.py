"""`RunningResolver`: all parts of the resolver, put together and listening."""

import asyncio
import time
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack

from firezone_filter.host.resolver.access import Access
from firezone_filter.host.resolver.answering import Resolver, ResolverCounters
from firezone_filter.host.resolver.given_names import GivenNames
from firezone_filter.host.resolver.lease_file import LeaseFile
from firezone_filter.host.resolver.leases import Leases
from firezone_filter.host.resolver.limits import Limits
from firezone_filter.host.resolver.options import (
    ResolverOptions,
    ServerAddress,
    system_servers,
)
from firezone_filter.host.resolver.renewal import Renewal
from firezone_filter.host.resolver.resolutions import Resolutions
from firezone_filter.host.resolver.serving import Server
from firezone_filter.host.resolver.upstream import Upstream
from firezone_filter.values.addresses import Address


class RunningResolver:
    """A resolver that listens. Make it by `start`, in the loop that it is to run in."""

    def __init__(  # noqa: PLR0913, PLR0917 - the parts that it is made of
        self,
        access: Access,
        options: ResolverOptions,
        addresses: Sequence[Address],
        upstream: Upstream,
        resolver: Resolver,
        renewal: Renewal,
    ) -> None:
        """Take the parts; `start` makes them."""
        self._access = access
        self._options = options
        self._addresses = addresses
        self._limits = Limits()
        self._resolver = resolver
        self._renewal = renewal
        self._exits = AsyncExitStack()
        self.upstream = upstream
        """The name servers behind, with counts of what they were asked."""
        self.port = 0
        """The port that it listens on, of every address."""

    @classmethod
    async def start(
        cls, access: Access, options: ResolverOptions, addresses: Sequence[Address]
    ) -> "RunningResolver":
        """Begin to listen on the gateway's tunnel addresses.

        Raises:
            LeaseFileError: the file of `ResolverOptions.file` cannot be used.
            OSError: an address is not there, the port is taken or not allowed, or there are no
                servers to be read.
        """
        # Setting the clock must not end leases; what it means for those of the run before is the
        # file's to say.
        began = time.time() - time.monotonic()
        async with AsyncExitStack() as exits:
            file = None if options.file is None else LeaseFile(options.file)
            if file is not None:
                exits.callback(file.close)
            kept = () if file is None else file.load(time.time())
            leases = Leases(access.ranges, file, kept)
            given = GivenNames(access, leases, lambda: began + time.monotonic())
            upstream = Upstream(_servers(options, addresses))
            resolutions = Resolutions(upstream, access.admits, time.monotonic)
            exits.push_async_callback(resolutions.close)
            renewal = Renewal(access, given, resolutions, time.monotonic)
            resolver = Resolver(
                access,
                given,
                resolutions,
                renewal,
                upstream,
                others=options.others,
                clock=time.monotonic,
            )
            running = cls(access, options, addresses, upstream, resolver, renewal)
            await running._listen(exits)
            running._exits = exits.pop_all()
            return running

    async def _listen(self, exits: AsyncExitStack) -> None:
        self.port = self._options.port
        for address in self._addresses:
            server = Server(self._resolver, self._access, self._limits, time.monotonic)
            exits.push_async_callback(server.close)
            self.port = await server.start(address, self.port)
        task = asyncio.create_task(self._renewal.run())
        task.add_done_callback(_report)
        exits.push_async_callback(_cancel, task)
        self.changed()

    def read_servers(self) -> None:
        """Ask the name servers that /etc/resolv.conf has now, if it is them that are asked.

        Raises:
            OSError: it cannot be read; those of before are asked.
        """
        self.upstream.servers = _servers(self._options, self._addresses)

    def changed(self, client_ids: Iterable[str] | None = None) -> None:
        """Say that clients have connected or disconnected, or that permissions have changed.

        Until then, a client that connects is not known. Names whose answers clients may still have
        are told to the gateway (again).

        Args:
            client_ids: the clients that are concerned; `None` for all.
        """
        self._access.refresh()
        self._limits.retain(set(self._access.clients()))
        self._renewal.changed(client_ids)

    @property
    def counters(self) -> ResolverCounters:
        """Counts since the start."""
        return self._resolver.counters

    async def close(self) -> None:
        """Stop listening, and close the file."""
        await self._exits.aclose()


def _servers(options: ResolverOptions, addresses: Sequence[Address]) -> list[ServerAddress]:
    """Return the servers to ask, without this one: it would ask itself for ever."""
    servers = system_servers() if options.servers is None else options.servers
    return [one for one in servers if one not in {(own, options.port) for own in addresses}]


def _report(task: "asyncio.Task[None]") -> None:
    """Let the loop hear of an error that nobody has foreseen, as of those in its own calls."""
    if not task.cancelled():
        task.get_loop().call_exception_handler(
            {"message": "Names are not renewed any more", "exception": task.exception()}
        )


async def _cancel(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
