"""`Resolutions`: the real addresses of names, as upstream says and for as long as it says."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Protocol

import dns.exception
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
from attrs import define, evolve, frozen

from firezone_filter.host.resolver.upstream import NoAnswerError
from firezone_filter.values.addresses import Address, to_address

MOST_NAMES: Final = 16_384
"""Names and versions that are remembered, at 1 KB each. Beyond that the longest unused is
forgotten: it is asked for again."""

STALE: Final = 3_600.0
"""Seconds that an answer counts beyond its end if nobody upstream says anything (RFC 8767)."""

STALE_TTL: Final = 30.0
"""Seconds that such an answer lasts each time (RFC 8767, section 4)."""

MOST_TTL: Final = 86_400.0
"""The longest that an answer is believed, in seconds: a mistake of whoever wrote it must not last
for ever (RFC 8767, section 4)."""

NEGATIVE_TTL: Final = 60.0
"""The longest that it is believed that there is no such name."""

_FAILED: Final = 5.0
"""Seconds until upstream is asked again what it has not answered (RFC 9520, section 3.2)."""

MAX_REAL: Final = 64
"""Real addresses of a name; no more are looked at. Four are used at a time."""

_TYPES: Final = {4: dns.rdatatype.A, 6: dns.rdatatype.AAAA}


class Asks(Protocol):
    """Who asks upstream."""

    async def ask(
        self,
        name: dns.name.Name,
        rdtype: dns.rdatatype.RdataType,
        *,
        dnssec_ok: bool = False,
        checking_disabled: bool = False,
    ) -> dns.message.QueryMessage:
        """Return what upstream says; raises `NoAnswerError`."""


@frozen
class Resolved:
    """What is known of a name and IP version."""

    addresses: tuple[Address, ...]
    """Its real addresses that a name may lead to, in ascending order, as servers rotate them; none
    for a name without any."""

    exists: bool
    """Whether there is such a name at all."""

    ends: float
    """Until when that holds, in seconds on the clock of `Resolutions`."""


@define
class _Entry:
    resolved: Resolved | None = None
    retry_at: float = 0.0


class Resolutions:
    """What upstream has said about names, remembered."""

    def __init__(
        self, upstream: Asks, admits: Callable[[Address], bool], clock: Callable[[], float]
    ) -> None:
        """Ask *upstream*; leave out real addresses that are not to be admitted.

        *clock* returns seconds, and never runs backwards.
        """
        self._upstream = upstream
        self._admits = admits
        self._clock = clock
        self._entries: OrderedDict[tuple[str, int], _Entry] = OrderedDict()
        self._asking: dict[tuple[str, int], asyncio.Task[Resolved | None]] = {}

    def fresh(self, name: str, version: int) -> Resolved | None:
        """Return what is known of a name without asking; `None` if it has to be asked for."""
        entry = self._entries.get((name, version))
        if entry is None or entry.resolved is None or entry.resolved.ends <= self._clock():
            return None
        return entry.resolved

    async def find(self, name: str, version: int) -> Resolved:
        """Return what upstream says about a name; if it says nothing, what it said before.

        Raises:
            NoAnswerError: it says nothing, and what it said is over for `STALE` seconds.
        """
        key = (name, version)
        known = self.fresh(name, version)
        if known is not None:
            self._entries.move_to_end(key)
            return known
        entry = self._entries.get(key)
        if entry is not None and entry.retry_at > self._clock():
            return self._stale(key)
        task = self._asking.get(key)
        if task is None:
            task = self._asking[key] = asyncio.create_task(self._ask(name, version))
            task.add_done_callback(lambda done: self._asked(key, done))
        # Others wait for the same: one who gives up must not end it for them.
        found = await asyncio.shield(task)
        return self._stale(key) if found is None else found

    async def close(self) -> None:
        """Give up what is being asked."""
        tasks = list(self._asking.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _asked(self, key: tuple[str, int], task: "asyncio.Task[Resolved | None]") -> None:
        del self._asking[key]
        if task.cancelled():
            return
        entry = self._entries.setdefault(key, _Entry())
        found = task.result()
        if found is None:
            entry.retry_at = self._clock() + _FAILED
        else:
            entry.resolved, entry.retry_at = found, 0.0
        self._entries.move_to_end(key)
        while len(self._entries) > MOST_NAMES:
            self._entries.popitem(last=False)

    def _stale(self, key: tuple[str, int]) -> Resolved:
        entry = self._entries.get(key)
        now = self._clock()
        if entry is None or entry.resolved is None or entry.resolved.ends + STALE <= now:
            raise NoAnswerError(f"nothing is known of {key[0]}")
        return evolve(entry.resolved, ends=now + STALE_TTL)

    async def _ask(self, name: str, version: int) -> Resolved | None:
        """Return what upstream says, or `None` if it says nothing."""
        try:
            answer = await self._upstream.ask(dns.name.from_text(name), _TYPES[version])
            chain = answer.resolve_chaining()
        except (NoAnswerError, dns.exception.DNSException):
            # dnspython raises for a chain without end, or an address of a name that does not
            # exist.
            return None
        now = self._clock()
        if chain.answer is None:
            exists = answer.rcode() != dns.rcode.NXDOMAIN
            return Resolved((), exists, now + min(chain.minimum_ttl, NEGATIVE_TTL))
        found = (to_address(record.to_text()) for record in list(chain.answer)[:MAX_REAL])
        real = tuple(sorted(filter(self._admits, found), key=int))
        return Resolved(real, exists=True, ends=now + min(chain.minimum_ttl, MOST_TTL))
