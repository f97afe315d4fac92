"""Keeps the gateway up with what changes around it: the policy file, the peers, the interfaces."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress
from typing import Final

from firezone_filter import FirezoneFilterError, InvalidPolicy, Policy
from firezone_filter.host.aside import aside
from firezone_filter.host.changes import Changes
from firezone_filter.host.guard import keep_out, shut
from firezone_filter.host.links import Links
from firezone_filter.host.peers import Bound, Peer, UnreadablePeersError, bind, parse_dump
from firezone_filter.host.routing import Routing, RoutingError
from firezone_filter.host.sessions import UNCHECKED, Sessions
from firezone_filter.host.switches import early_demux

LOG: Final = logging.getLogger("firezone_filter.gateway")

INTERVAL: Final = 2.0
"""Seconds between two looks. A new key is noticed so late at most, unless SIGHUP says so."""

PAUSE: Final = 0.05
"""Seconds at least between two looks for which something gives a reason. Somebody may remove what
is laid as often as it is laid."""

PATIENCE: Final = 5.0
"""Seconds for `wg` to list peers. A WireGuard in user space may hang, and must not keep a policy
from being read."""

READING: Final = 30.0
"""Seconds for the policy to be read, which a file system that hangs never is. Meanwhile nobody
sees to rules and interfaces."""

ReadPeers = Callable[[str], Awaitable[tuple[Peer, ...]]]
"""Reads the peers of an interface."""


async def read_peers(interface: str) -> tuple[Peer, ...]:
    """Return the peers of a WireGuard interface.

    Raises:
        UnreadablePeersError: `wg` is missing, fails, takes too long, or says something unknown;
            or there is no such interface, or it is not WireGuard's.
    """
    pipe, nothing = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
    command = ("wg", "show", interface, "dump")
    try:
        wg = await asyncio.create_subprocess_exec(
            *command, stdin=nothing, stdout=pipe, stderr=pipe
        )
    except OSError as error:
        raise UnreadablePeersError(f"{interface}: wg: {error.strerror}") from None
    try:
        async with asyncio.timeout(PATIENCE):
            said, errors = await wg.communicate()
    except TimeoutError:
        wg.kill()
        await wg.wait()
        raise UnreadablePeersError(f"{interface}: wg has not answered in time") from None
    if wg.returncode:
        complaint = errors.decode(errors="replace").strip() or f"exit status {wg.returncode}"
        raise UnreadablePeersError(f"{interface}: {complaint}")
    return parse_dump(interface, said.decode(errors="replace"))


class Watch:
    """Looks at the peers and the interfaces from time to time, and at the policy when told so.

    Args:
        load: returns the policy anew, as its file has it now.
        interfaces: the interfaces in which the VPN ends.
        sessions: hears of policy and keys.
        routing: lays rules and routes again that are there no more.
        changed: called when the gateway may have been changed.
        peers: reads the peers; `None` if there are none to read, and all clients are there.
        clock: returns Unix time, in seconds.
    """

    def __init__(  # noqa: PLR0913 - as many as it brings together
        self,
        load: Callable[[], Policy],
        interfaces: tuple[str, ...],
        sessions: Sessions,
        routing: Routing,
        *,
        changed: Callable[[], object],
        peers: ReadPeers | None = read_peers,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._load = load
        self._interfaces = interfaces
        self._sessions = sessions
        self._routing = routing
        self._changed = changed
        self._peers = peers
        self._clock = clock
        self._links: Links | None = None
        self._dump: dict[str, tuple[Peer, ...]] | None = None
        self._said: dict[str, tuple[str, ...]] = {}
        # Of the policy and the peers that hold: what `bind` has said, which is not cheap.
        self._faults: tuple[str, ...] = ()
        self._wake = asyncio.Event()
        self._is_to_read = False
        self._is_to_apply = False

    def read_policy(self) -> None:
        """Have the policy and the peers read again, at once."""
        self._is_to_read = True
        self._wake.set()

    def apply_again(self) -> None:
        """Have the policy applied again, at once: what has ended by a wrong clock comes back."""
        self._is_to_apply = True
        self._wake.set()

    async def run(self) -> None:
        """Look for ever: from time to time, and whenever the kernel gives a reason."""
        loop = asyncio.get_running_loop()
        with closing(Changes(self._interfaces)) as changes:

            def notice() -> None:
                if changes.read():
                    self._wake.set()

            loop.add_reader(changes, notice)
            try:
                await self._run()
            finally:
                loop.remove_reader(changes)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        # What has changed before somebody listened is seen now.
        next_look = loop.time()
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(next_look):
                    await self._wake.wait()
            self._wake.clear()
            if self._is_to_read:
                self._is_to_read = False
                await self._look_at_policy()
            elif self._is_to_apply or loop.time() >= next_look:
                next_look = loop.time() + INTERVAL
                await self.look()
            else:
                await self._look_at_changes()
                await asyncio.sleep(PAUSE)

    async def look(self) -> None:
        """Look at rules, interfaces and peers, and tell the gateway what has changed.

        Raises:
            FirezoneFilterError: the gateway cannot have the clients of the policy.
            RoutingError: there are no routes yet, and the kernel refuses them.
        """
        await self._look_at_links()
        await self._look_at_peers()

    async def _look_at_changes(self) -> None:
        """Look at rules and interfaces, and at the peers if they may be others now."""
        before = self._links
        await self._look_at_links()
        if self._links != before:
            await self._look_at_peers()

    async def _look_at_links(self) -> None:
        """See to it that packets get to the host, whatever has become of interfaces and rules."""
        links = Links.look(self._interfaces)
        is_first = self._links is None
        there = dict(links.there)
        faults = (
            *early_demux(),
            *(
                f"there is no interface {name}: by another name it would not be filtered"
                for name in self._interfaces
                if name not in there
            ),
            *(why for _, why in links.unseen),
        )
        try:
            # It waits for the kernel, and the packets must not wait for it.
            try:
                if is_first:
                    await asyncio.to_thread(self._routing.attach, links.mtu)
                elif laid := await asyncio.to_thread(self._routing.mend, links.mtu):
                    LOG.warning("Somebody has removed what is laid again: %s", ", ".join(laid))
            finally:
                if links.unseen or (self._links and self._links.unseen):
                    await asyncio.to_thread(self._shut, links)
            self._links = links
        except (OSError, RoutingError) as error:
            if is_first:
                raise
            # An interface may have gone just now: the next look is for that.
            faults += (str(error),)
        self._say("machine", faults + self._routing.notes)

    def _shut(self, links: Links) -> None:
        """Let nothing come from where rules do not see it, and again where they do."""
        for index, _ in links.unseen:
            shut(index)
        now = {index for index, _ in links.unseen}
        for index, _ in self._links.unseen if self._links else ():
            if index in dict(links.there).values() and index not in now:
                keep_out(index)

    async def _look_at_peers(self) -> None:
        dump, unreadable = await self._read_peers()
        if dump != self._dump or self._is_to_apply:
            self._is_to_apply = False
            self._update(self._sessions.policy, dump)
        self._say("peers", self._faults + unreadable)

    async def _look_at_policy(self) -> None:
        """Read the policy again; whatever is wrong with it, the old one stays."""
        dump, unreadable = await self._read_peers()
        try:
            self._update(await aside(self._load, READING), dump)
        except (OSError, FirezoneFilterError) as error:
            report("The old policy stays", error)
        else:
            LOG.info("Policy read")
        self._say("peers", self._faults + unreadable)

    async def _read_peers(self) -> tuple[dict[str, tuple[Peer, ...]], tuple[str, ...]]:
        """Return the peers by interface, and what has kept some from being read.

        Then they are those of before: who is there stays, and nobody comes.
        """
        dump, unreadable = dict(self._dump or {}), list[str]()
        if self._peers is None:
            return dump, ()
        for interface in self._interfaces:
            try:
                dump[interface] = await self._peers(interface)
            except UnreadablePeersError as error:
                unreadable.append(f"peers that cannot be read stay as they are: {error}")
        return dump, tuple(unreadable)

    def _update(self, policy: Policy, dump: dict[str, tuple[Peer, ...]]) -> None:
        if self._peers is None:
            bound = Bound({client.id: UNCHECKED for client in policy.clients}, ())
        else:
            bound = bind(policy, dump)
        self._sessions.update(policy, bound.keys, self._clock())
        self._dump, self._faults = dump, bound.faults
        self._changed()

    def _say(self, about: str, faults: tuple[str, ...]) -> None:
        """Log what is new among what is not as it should be."""
        for fault in faults:
            if fault not in self._said.get(about, ()):
                LOG.warning("%s", fault[0].upper() + fault[1:])
        self._said[about] = faults


def report(message: str, error: Exception) -> None:
    """Log an error, each fault of a policy with its place."""
    faults = error.faults if isinstance(error, InvalidPolicy) else (str(error),)
    for fault in faults:
        LOG.error("%s: %s", message, fault)
