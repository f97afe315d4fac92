"""The memory of first fragments, whose decisions their later fragments follow.

Theory of operation. Later fragments carry no ports. Passing them unseen is the classic bypass
(RFC 1858, section 3); refusing them breaks large datagrams. So the decision about an allowed
first fragment is kept for a while, and later fragments follow it. Nothing that could replace
on reassembly what was judged passes: no later fragment that overlaps the judged headers
(RFC 3128), no second first fragment that differs from the one judged before (RFC 5722).

`find` and `contradicts` only look; `keep` and `forget` change, when a ruling is committed. An
entry is over 30 s after it was kept, swept out or not.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final, NamedTuple

from attrs import define

from firezone_filter.packet.headers import Fragment, Headers
from firezone_filter.packet.numbers import IPV4_LENGTH
from firezone_filter.structures.timers import NO_DEADLINE, Expirable, TimerQueue
from firezone_filter.values.decisions import Forward

LIFETIME: Final = 30
"""Seconds that a decision is kept: the least reassembly time of RFC 1122, section 3.3.2
(60 to 120 s) is longer, but a sender puts all fragments of a packet on the wire at once."""

MAX_KEPT: Final = 1_024
"""Decisions of one client, both directions together. With the 30 s that is 34 fragmented
packets a second; beyond, the oldest go first. At about 500 bytes each, 512 KiB a client."""

_Key = tuple[bool, bytes, bytes, int, int]
_Signature = tuple[int, int, int, int]

CountFragment = Callable[[Headers, bytes, float], None]
"""Counts a later fragment, given its headers, the packet and the time."""


class Verdict(NamedTuple):
    """The decision that the fragments of one packet share."""

    decision: Forward
    """Who may pass, and why."""

    address: bytes | None
    """The address that the NAT puts at the far end; `None` if it changes nothing."""

    count_later: CountFragment | None = None
    """Counts the later fragments, if anything does."""


@define(eq=False)
class _Kept:
    verdict: Verdict
    signature: _Signature
    judged: int
    started: float


class FragmentMemory:
    """The decisions that one client's later fragments follow, oldest first."""

    __slots__ = ("_cleanup_timers", "_kept", "deadline")

    def __init__(self, cleanup_timers: TimerQueue[Expirable]) -> None:
        self._kept: OrderedDict[_Key, _Kept] = OrderedDict()
        self._cleanup_timers = cleanup_timers
        self.deadline = NO_DEADLINE

    def __len__(self) -> int:
        return len(self._kept)

    # --- Reading ---------------------------------------------------------------------------

    def find(
        self, headers: Headers, fragment: Fragment, now: float, *, outbound: bool
    ) -> Verdict | None:
        """Return the verdict that a later fragment follows, if it may follow one.

        A fragment that starts before the end of the judged headers would replace them on
        reassembly (RFC 1858, section 4; RFC 5722): it follows none, and refusing it forgets
        the verdict, so neither does any fragment after it.
        """
        kept = self._live(headers, fragment, now, outbound=outbound)
        return None if kept is None or fragment.start < kept.judged else kept.verdict

    def contradicts(
        self, headers: Headers, fragment: Fragment, now: float, *, outbound: bool
    ) -> bool:
        """Tell whether a first fragment differs from one that was judged before it.

        A host may keep either of the two on reassembly (RFC 5722), so the second decides
        only if it says the same; else neither does.
        """
        kept = self._live(headers, fragment, now, outbound=outbound)
        return kept is not None and kept.signature != _signature(headers)

    def _live(
        self, headers: Headers, fragment: Fragment, now: float, *, outbound: bool
    ) -> _Kept | None:
        kept = self._kept.get(_key(headers, fragment, outbound=outbound))
        return kept if kept is not None and now < kept.started + LIFETIME else None

    # --- Changing --------------------------------------------------------------------------

    def keep(
        self,
        headers: Headers,
        fragment: Fragment,
        verdict: Verdict,
        now: float,
        *,
        outbound: bool,
    ) -> None:
        """Keep the verdict about an allowed first fragment from *now* on."""
        self.forget_old(now)
        key = _key(headers, fragment, outbound=outbound)
        judged = fragment.judged
        before = self._kept.pop(key, None)
        if before is not None:
            judged = max(judged, before.judged)
        elif len(self._kept) >= MAX_KEPT:
            self._kept.popitem(last=False)
        self._kept[key] = _Kept(verdict, _signature(headers), judged, now)
        if self.deadline == NO_DEADLINE:
            self._cleanup_timers.set(self, now + LIFETIME)

    def forget(self, headers: Headers, fragment: Fragment, *, outbound: bool) -> None:
        """Forget the verdict about a packet: one of its fragments was refused."""
        self._kept.pop(_key(headers, fragment, outbound=outbound), None)

    def invalidate(self) -> None:
        """Forget everything: what the client may do has changed."""
        self._kept.clear()
        if self.deadline != NO_DEADLINE:
            self._cleanup_timers.set(self, None)

    def forget_old(self, now: float) -> float | None:
        """Forget what has been kept for its time; return when to come again, if at all."""
        while self._kept:
            key, kept = next(iter(self._kept.items()))
            if now < kept.started + LIFETIME:
                return kept.started + LIFETIME
            del self._kept[key]
        return None

    def start_clock(self, now: float) -> None:
        """Count what began before the first `now` from there."""
        for kept in self._kept.values():
            kept.started = now
        self._cleanup_timers.set(self, now + LIFETIME if self._kept else None)


def _key(headers: Headers, fragment: Fragment, *, outbound: bool) -> _Key:
    """Return what the fragments of one packet share (RFC 791, section 3.2; RFC 8200, 4.5).

    In IPv6 the first fragment alone tells the protocol: later ones may name an extension
    header instead.
    """
    protocol = headers.protocol if len(headers.source) == IPV4_LENGTH else -1
    return outbound, headers.source, headers.destination, fragment.identification, protocol


def _signature(headers: Headers) -> _Signature:
    return headers.protocol, headers.source_port, headers.destination_port, headers.icmp_type
