"""The memory of first fragments, whose decisions their later fragments follow.

Later fragments carry no ports. Passing them unseen is the classic bypass (RFC 1858,
section 3); refusing them breaks large datagrams. So what the first fragment got is kept
for a while, and nothing that could change what was judged passes (RFC 3128, RFC 5722).
"""

from collections import OrderedDict
from typing import Final, NamedTuple

from attrs import define

from firezone_filter.accounting.flow_records import OpenFlow
from firezone_filter.packet.headers import Fragment, Headers
from firezone_filter.packet.numbers import IPV4_LENGTH
from firezone_filter.structures.timers import NO_DEADLINE, Deadlines, Keeper
from firezone_filter.values.decisions import Forward

LIFETIME: Final = 30
"""Seconds that a decision is kept: the least reassembly time of RFC 1122, section 3.3.2
(60 to 120 s) is longer, but a sender puts all fragments of a packet on the wire at once."""

MAX_KEPT: Final = 1_024
"""Decisions of one client, both directions together. With the 30 s that is 34 fragmented
packets a second; beyond, the oldest go first. At about 500 bytes each, 512 KiB a client."""

_Key = tuple[bool, bytes, bytes, int, int]
_Kind = tuple[int, int, int, int]


class Verdict(NamedTuple):
    """What the fragments of one packet get."""

    decision: Forward
    """Who may pass, and why."""

    address: bytes | None
    """The address that the NAT puts at the far end; `None` if it changes nothing."""

    flow: OpenFlow | None = None
    """The record that they are counted for, if flows are recorded."""


@define(eq=False)
class _Kept:
    verdict: Verdict
    kind: _Kind
    judged: int
    started: float


class FragmentMemory:
    """The decisions that one client's later fragments follow, oldest first."""

    __slots__ = ("_kept", "_reminders", "deadline")

    def __init__(self, reminders: Deadlines[Keeper]) -> None:
        self._kept: OrderedDict[_Key, _Kept] = OrderedDict()
        self._reminders = reminders
        self.deadline = NO_DEADLINE

    def __len__(self) -> int:
        return len(self._kept)

    def follow(
        self, headers: Headers, fragment: Fragment, now: float, *, outbound: bool
    ) -> Verdict | None:
        """Return what a later fragment gets; `None` if there is no first one to follow.

        One that starts before the end of what was judged would replace it on reassembly
        (RFC 1858, section 4; RFC 5722): it is refused, and so is all that comes after it.
        """
        key = _key(headers, fragment, outbound=outbound)
        kept = self._live(key, now)
        if kept is None:
            return None
        if fragment.start < kept.judged:
            del self._kept[key]
            return None
        return kept.verdict

    def contradicts(
        self, headers: Headers, fragment: Fragment, now: float, *, outbound: bool
    ) -> bool:
        """Tell whether a first fragment differs from one that was judged before it.

        Which of the two a host would keep on reassembly is its own affair (RFC 5722), so
        the second decides only if it says the same; else neither does.
        """
        key = _key(headers, fragment, outbound=outbound)
        kept = self._live(key, now)
        if kept is None or kept.kind == _kind(headers):
            return False
        del self._kept[key]
        return True

    def keep(
        self,
        headers: Headers,
        fragment: Fragment,
        verdict: Verdict,
        now: float,
        *,
        outbound: bool,
    ) -> None:
        """Keep what an allowed first fragment got from *now* on."""
        key = _key(headers, fragment, outbound=outbound)
        judged = fragment.judged
        before = self._kept.pop(key, None)
        if before is not None:
            judged = max(judged, before.judged)
        elif len(self._kept) >= MAX_KEPT:
            self._kept.popitem(last=False)
        self._kept[key] = _Kept(verdict, _kind(headers), judged, now)
        if self.deadline == NO_DEADLINE:
            self._reminders.set(self, now + LIFETIME)

    def forget(self, headers: Headers, fragment: Fragment, *, outbound: bool) -> None:
        """Forget the decision about a packet: another first fragment of it was refused."""
        self._kept.pop(_key(headers, fragment, outbound=outbound), None)

    def forget_all(self) -> None:
        """Forget everything: what the client may do has changed."""
        self._kept.clear()
        self._reminders.set(self, None)

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
        self._reminders.set(self, now + LIFETIME if self._kept else None)

    def _live(self, key: _Key, now: float) -> _Kept | None:
        self.forget_old(now)
        return self._kept.get(key)


def _key(headers: Headers, fragment: Fragment, *, outbound: bool) -> _Key:
    """Return what the fragments of one packet share (RFC 791, section 3.2; RFC 8200, 4.5).

    In IPv6 the first fragment alone tells the protocol: later ones may name an extension
    header instead.
    """
    protocol = headers.protocol if len(headers.source) == IPV4_LENGTH else -1
    return outbound, headers.source, headers.destination, fragment.identification, protocol


def _kind(headers: Headers) -> _Kind:
    return headers.protocol, headers.source_port, headers.destination_port, headers.icmp_type
