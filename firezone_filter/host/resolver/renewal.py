"""`Renewal`: keeps what the gateway knows of names up to date, whether anybody asks or not.

A name is looked at when what upstream said about it is over. If no client has a lease of it any
more, it is left alone; else it is resolved anew, and the gateway hears of it. If nobody upstream
knows, its proxy addresses lead nowhere until somebody does.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from attrs import define

from firezone_filter.host.resolver.access import Access, NamesFullError
from firezone_filter.host.resolver.few_warnings import FewWarnings
from firezone_filter.host.resolver.given_names import GivenNames
from firezone_filter.host.resolver.lease_file import LeaseFileError
from firezone_filter.host.resolver.leases import Lease
from firezone_filter.host.resolver.resolutions import Resolutions, Resolved
from firezone_filter.host.resolver.upstream import NoAnswerError
from firezone_filter.values.addresses import Address

_LOG: Final = logging.getLogger(__name__)

LEAST_INTERVAL: Final = 15.0
"""Seconds between two looks at a name that nobody asks for, however short its time is. (Who does
ask gets what upstream says at that moment, and all others with it.)"""

RETRY: Final = 30.0
"""Seconds until upstream is asked again about a name of which it knows nothing."""

_AT_A_TIME: Final = 16
"""Names that are renewed at a time; most of what upstream may be asked is left to clients."""

_STEP: Final = 1.0
"""Seconds between two looks at what is due."""

_FORGET_EVERY: Final = 60.0
"""Seconds between two looks at the leases that are over."""


@define
class _Name:
    due: float
    """When it is looked at, in seconds on the clock of `Resolutions`."""

    real: tuple[Address, ...] | None
    """What the gateway has been told; `None` if it has not been told anything yet."""


class Renewal:
    """Resolves names again, and tells the gateway."""

    def __init__(
        self,
        access: Access,
        given: GivenNames,
        resolutions: Resolutions,
        clock: Callable[[], float],
    ) -> None:
        """Put the parts together; *clock* is that of *resolutions*."""
        self._access = access
        self._given = given
        self._resolutions = resolutions
        self._clock = clock
        self._names: dict[tuple[str, int], _Name] = {}
        self._warnings = FewWarnings(_LOG, clock)
        self._room = asyncio.Semaphore(_AT_A_TIME)

    def note(self, name: str, version: int, resolved: Resolved) -> None:
        """Note what has been found for a client; all other clients of the name get the same."""
        if self._learn(name, version, resolved.addresses, resolved.ends):
            self._retell(self._given.of_name(name, version), resolved.addresses)

    def changed(self, client_ids: Iterable[str] | None = None) -> None:
        """See to the names of some clients, or of all: the gateway may know nothing of them.

        That is so after a client has connected, or has been authorized.
        """
        for client_id in self._access.clients() if client_ids is None else client_ids:
            for lease in self._given.of_client(client_id):
                key = (lease.name, lease.version)
                known = self._names.setdefault(key, _Name(self._clock(), None))
                if known.real is not None:
                    self._retell([lease], known.real)

    async def run(self) -> None:
        """Do what is due, for ever."""
        # Beside each other: after a day off, leases by the thousand may end at one moment.
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_every(_STEP, self.step))
            tasks.create_task(_every(_FORGET_EVERY, self.forget_over))

    async def step(self) -> None:
        """Do what is due now."""
        now = self._clock()
        due = [key for key, known in self._names.items() if known.due <= now]
        await asyncio.gather(*(self._renew(name, version) for name, version in due))

    async def forget_over(self) -> None:
        """End the leases that are over."""
        try:
            await self._given.forget_over()
        except LeaseFileError as error:
            self._warnings.say("Leases not removed", reason=str(error))

    async def _renew(self, name: str, version: int) -> None:
        async with self._room:
            if not self._given.of_name(name, version):
                del self._names[name, version]
                return
            try:
                resolved = await self._resolutions.find(name, version)
                real, ends = resolved.addresses, resolved.ends
            except NoAnswerError:
                real, ends = (), self._clock() + RETRY
            self._learn(name, version, real, ends)
            # Also the same: what the policy had led elsewhere may have ended since.
            self._retell(self._given.of_name(name, version), real)

    def _learn(self, name: str, version: int, real: tuple[Address, ...], ends: float) -> bool:
        """Note where a name leads; return whether that is news."""
        due = max(ends, self._clock() + LEAST_INTERVAL)
        before = self._names.get((name, version))
        self._names[name, version] = _Name(due, real)
        return before is None or before.real != real

    def _retell(self, leases: Iterable[Lease], real: tuple[Address, ...]) -> None:
        for lease in leases:
            try:
                self._given.retell(lease, real)
            except NamesFullError as error:
                self._warnings.say(
                    "Name not resolved",
                    cid=lease.client_id,
                    domain=lease.name,
                    reason=str(error),
                )


async def _every(seconds: float, call: Callable[[], Awaitable[None]]) -> None:
    while True:
        await call()
        await asyncio.sleep(seconds)
