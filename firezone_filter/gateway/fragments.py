"""The memory of first fragments, whose decisions their later fragments follow.

Theory of operation. Later fragments carry no ports. Passing them unseen is the classic bypass
(RFC 1858, section 3); refusing them breaks large datagrams. So the decision about an allowed
first fragment is kept for 30 s, and later fragments follow it (rules.md, section 4,
"Fragments"). The judge has found the client and checked the source by then.

The host that reassembles must see the headers that were judged. No fragment passes that could
replace them: no later fragment that overlaps them (RFC 1858, section 4; RFC 3128), and no
second first fragment with other ports or another protocol (RFC 5722).

`find` and `contradicts` only read; `keep` and `forget_packet` write, when a ruling is committed.
An entry is over 30 s after it was kept, whether or not upkeep has forgotten it. A change of the
client's permissions invalidates all its entries (`Client.invalidate`).
"""

from collections import OrderedDict
from typing import Final, NamedTuple

from attrs import define

from firezone_filter.packet.headers import Fragment, Headers
from firezone_filter.packet.numbers import IPV4_LENGTH
from firezone_filter.structures.heaps import NO_PLACE
from firezone_filter.structures.upkeep import Keeper, UpkeepQueue
from firezone_filter.tracking.handlers import CountFragment
from firezone_filter.values.decisions import Forward

LIFETIME: Final = 30
"""Seconds that a decision is kept. Hosts wait 60 to 120 s before they give up reassembly
(RFC 1122, section 3.3.2), but senders put all fragments of a packet on the wire at once."""

MAX_KEPT: Final = 1_024
"""Decisions of one client, both directions together: enough for 34 fragmented packets a
second, at 30 s each. One more evicts the oldest. At about 500 bytes each, 512 KiB a client."""

_Key = tuple[bool, bytes, bytes, int, int]
_Signature = tuple[int, int, int, int]


class Verdict(NamedTuple):
    """The decision that all fragments of one packet share."""

    decision: Forward
    """The decision about the first fragment, translation aside."""

    address: bytes | None
    """The far address after translation; `None` if the packet is not translated."""

    count_later: CountFragment | None = None
    """Counts later fragments for the flow's record; `None` if there is no record."""


@define(eq=False)
class _Kept:
    verdict: Verdict
    signature: _Signature
    judged: int
    started: float

    def is_over(self, now: float) -> bool:
        return now >= self.started + LIFETIME


class FragmentMemory:
    """The verdicts that one client's later fragments follow, oldest first."""

    __slots__ = ("_cleanup", "_kept", "deadline")

    def __init__(self, cleanup: UpkeepQueue[Keeper]) -> None:
        """Begin without any; *cleanup* has those forgotten that are over."""
        self._kept: OrderedDict[_Key, _Kept] = OrderedDict()
        self._cleanup = cleanup
        self.deadline: int = NO_PLACE

    def __len__(self) -> int:
        return len(self._kept)

    # --- Reading ---------------------------------------------------------------------------

    def find(
        self, headers: Headers, fragment: Fragment, now: float, *, outbound: bool
    ) -> Verdict | None:
        """Return the verdict that a later fragment may follow, or `None` to refuse it.

        A fragment that starts before the end of the judged headers would replace them on
        reassembly (RFC 1858, section 4; RFC 5722), so it gets `None`. Committing that refusal
        forgets the verdict, and the packet's other fragments are refused too.
        """
        kept = self._live(headers, fragment, now, outbound=outbound)
        # Safe to pass: the rest of the packet leaves the judged headers as they are, and the
        # receiver can do nothing with it unless the first fragment got through.
        return None if kept is None or fragment.start < kept.judged else kept.verdict

    def contradicts(
        self, headers: Headers, fragment: Fragment, now: float, *, outbound: bool
    ) -> bool:
        """Tell whether a first fragment differs from an earlier one of the same packet.

        The receiver may keep either of the two on reassembly (RFC 5722). If both have the
        same protocol, ports and ICMP type, it does not matter which; otherwise the second is
        refused, and committing that forgets the verdict about the first.
        """
        kept = self._live(headers, fragment, now, outbound=outbound)
        return kept is not None and kept.signature != _signature(headers)

    def judged_until(
        self, headers: Headers, fragment: Fragment, now: float, *, outbound: bool
    ) -> int | None:
        """Return the offset behind what was judged of a packet's first fragment.

        `None` if no verdict about it is kept that a later fragment could follow.
        """
        kept = self._live(headers, fragment, now, outbound=outbound)
        return None if kept is None else kept.judged

    def _live(
        self, headers: Headers, fragment: Fragment, now: float, *, outbound: bool
    ) -> _Kept | None:
        kept = self._kept.get(_key(headers, fragment, outbound=outbound))
        return None if kept is None or kept.is_over(now) else kept

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
        """Keep the verdict about an allowed first fragment for 30 s from *now*."""
        key = _key(headers, fragment, outbound=outbound)
        judged = fragment.judged
        before = self._kept.pop(key, None)
        if before is None:
            # The oldest are over first, so those take no room.
            if len(self._kept) >= MAX_KEPT:
                self._kept.popitem(last=False)
        elif not before.is_over(now):
            # The receiver may have kept either of the two, so protect the longer headers.
            judged = max(judged, before.judged)
        self._kept[key] = _Kept(verdict, _signature(headers), judged, now)
        if self.deadline == NO_PLACE:
            self._cleanup.announce(self, now + LIFETIME)

    def forget_packet(self, headers: Headers, fragment: Fragment, *, outbound: bool) -> None:
        """Forget the verdict about a packet, since one of its fragments was refused."""
        self._kept.pop(_key(headers, fragment, outbound=outbound), None)

    def invalidate(self) -> None:
        """Forget all verdicts, since the client's permissions have changed."""
        self._kept.clear()
        if self.deadline != NO_PLACE:
            self._cleanup.set(self, None)

    def due(self) -> float | None:
        """Return when the oldest entry is over; `None` if there is none."""
        return next(iter(self._kept.values())).started + LIFETIME if self._kept else None

    def forget(self, now: float, most: int) -> int:
        """Forget up to *most* entries that are over; return how many steps it took."""
        steps = 0
        while steps < most and (due := self.due()) is not None and now >= due:
            self._kept.popitem(last=False)
            steps += 1
        if not self._kept:
            self._kept.clear()  # or it would keep the memory of all that it ever had
        return steps

    def shift_clock(self, by: float) -> None:
        """Move every moment: the host's clock has been set, or has begun."""
        for kept in self._kept.values():
            kept.started += by


def _key(headers: Headers, fragment: Fragment, *, outbound: bool) -> _Key:
    """Return the key that the fragments of one packet share.

    That is RFC 791, section 3.2, and RFC 8200, section 4.5. The protocol is part of it in
    IPv4 alone: in IPv6, later fragments may name an extension header instead.
    """
    protocol = headers.protocol if len(headers.source) == IPV4_LENGTH else -1
    return outbound, headers.source, headers.destination, fragment.identification, protocol


def _signature(headers: Headers) -> _Signature:
    return headers.protocol, headers.source_port, headers.destination_port, headers.icmp_type
