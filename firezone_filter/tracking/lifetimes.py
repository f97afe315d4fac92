"""How long a tracked session lives, by its packets and TCP flags.

Theory of operation. A session keeps the times of its last packet and of its last packet out,
and the flags that matter. From these alone follows the moment at which it is over
(`expires_at`), so a packet of an established session costs no more than noting its time.

A session is gone once that moment has come, or the one at which policy ends the group that it
belongs to, whether or not it has been taken apart: readers ask `is_gone` at their `now`, and
never rely on upkeep. What was over by time when its group ended has ended by time.

`sessions` keeps the sessions of each client in the order of their ends, and within limits.
"""

import math
from collections.abc import Hashable
from typing import Any, Final

from firezone_filter.compiled.twins import compiled, supply
from firezone_filter.packet.numbers import ACK, FIN, RST, SYN, TCP
from firezone_filter.structures.heaps import NO_PLACE
from firezone_filter.structures.lanes import Link

UNANSWERED: Final = 60
"""Seconds after the last packet out, while nothing has come back."""

ESTABLISHED: Final = 7_440
"""Seconds after the last packet out that anything may live: 2 h 4 min, for TCP (RFC 5382,
REQ-5). Packets that come in do not count here: else a far end could keep a session alive for
ever, which the client has long forgotten."""

DATAGRAM: Final = 120
"""Seconds after the last packet, either way, of all but TCP (RFC 4787, REQ-5; RFC 5508,
REQ-2)."""

UNCAPPED: Final = ESTABLISHED - 2 * DATAGRAM
"""Seconds after the last packet out within which one that comes in prolongs all but TCP by its
full time, whatever rounding does."""

CLOSING: Final = 240
"""Seconds after the last packet out, once FINs have been seen both ways or a RST has come in:
TIME-WAIT (RFC 5382, REQ-5), and for as long a connection goes on if the RST was forged (RFC
7857, section 2.2)."""

IS_CLOSING: Final = 0
HAS_SAID_FIN: Final = 1
IS_UNANSWERED: Final = 2
STAYS: Final = 3
"""Kinds of session, in the order in which they give way to new ones; `STAYS` never does."""

# What has been seen of a session, in one small number: a slot for each would take 48 bytes.
_ANSWERED: Final = 1
_FIN_OUTBOUND: Final = 2
_FIN_INBOUND: Final = 4
_RST_INBOUND: Final = 8
_SEVERAL: Final = 16
_IS_TCP: Final = 32
_ANY_FIN: Final = _FIN_OUTBOUND | _FIN_INBOUND


def _kind(seen: int) -> int:
    if seen & _RST_INBOUND or seen & _ANY_FIN == _ANY_FIN:
        return IS_CLOSING
    if seen & _FIN_OUTBOUND:
        return HAS_SAID_FIN
    return STAYS if seen & _ANSWERED else IS_UNANSWERED


def _lifetime(seen: int) -> int:
    if _kind(seen) == IS_CLOSING:
        return CLOSING
    return ESTABLISHED if seen & _ANSWERED else UNANSWERED


_KINDS: Final = tuple(map(_kind, range(2 * _IS_TCP)))
_LIFETIMES: Final = tuple(map(_lifetime, range(2 * _IS_TCP)))
"""Seconds after the last packet out, by what has been seen."""

supply(KINDS=_KINDS, LIFETIMES=_LIFETIMES)


class Group:
    """Sessions of a client that policy ends together, such as those of a proxy address."""

    __slots__ = ("ends_at", "held", "place", "withdrawn_at")

    held: dict[Any, Any]

    def __init__(self, ends_at: float = math.inf) -> None:
        self.held = {}
        """The sessions by their keys."""
        self.ends_at: float = ends_at
        """When policy ends them, as far as that is known. It may change until it has come."""
        self.place: int = NO_PLACE
        self.withdrawn_at: float | None = None
        """When policy ended them, of which some wait to be forgotten; `None` if it has not."""

    def shift_clock(self, by: float) -> None:
        """Move the moment at which policy ended them."""
        if self.withdrawn_at is not None:
            self.withdrawn_at += by
            self.ends_at = self.withdrawn_at


NO_RESOURCE_PORT: Final = -1
"""Stands for the resource's port of a session that has seen no packet."""


@compiled
class SessionState(Link):
    """What the packets of a session change, and the moment that follows from it."""

    __slots__ = (
        "group",
        "inbound_key",
        "is_half_closed",
        "is_open",
        "is_steady",
        "key",
        "last",
        "last_outbound",
        "outbound_key",
        "place",
        "resource_port",
        "seen",
    )

    def __init__(self, group: Group, key: Hashable, protocol: int) -> None:
        # (To call `Link`'s would take a third longer.)
        self.before: Link | None = None
        self.after: Link | None = None
        self.group: Any = group
        """Those that policy ends together with it."""
        self.key: Any = key
        """Its key in the group."""
        self.last: float = 0.0
        self.last_outbound: float = 0.0
        """When its last packet was seen, and its last packet out. Of TCP only packets out
        prolong anything, so `last` may be early there."""
        self.resource_port: int = NO_RESOURCE_PORT
        self.is_open: bool = False
        """Whether it is one of its group: neither only proposed by the judge, nor ended."""
        self.is_steady: bool = False
        """Whether packets without state flags do nothing but prolong it."""
        self.is_half_closed: bool = False
        """The same for TCP that was answered, and to which the client, but not the far end, has
        said FIN: such a packet is also its last, in the order in which these give way."""
        self.outbound_key: bytes | None = None
        self.inbound_key: bytes | None = None
        """Under which keys its handlers are stored; the flow cache sets them."""
        self.place: int = NO_PLACE
        """Its place in the heap of those that are in no order."""
        self.seen: int = _IS_TCP if protocol == TCP else 0
        """What has been seen of it, as `lifetimes` counts it."""

    @property
    def kind(self) -> int:
        """How soon it gives way: `IS_CLOSING`, `HAS_SAID_FIN`, `IS_UNANSWERED` or `STAYS`."""
        return _KINDS[self.seen]

    @property
    def expires_at(self) -> float:
        """When it is over if no packet comes."""
        seen = self.seen
        at = self.last_outbound + _LIFETIMES[seen]
        if seen & (_IS_TCP | _ANSWERED) == _ANSWERED:
            return min(self.last + DATAGRAM, at)
        return at

    def see_first(self, resource_port: int, flags: int, now: float) -> bool:
        """Do as `see_outbound` for the first packet of a new session, which is quicker."""
        if flags & (FIN | RST):
            return self.see_outbound(resource_port, flags, now)
        self.last = self.last_outbound = now
        self.resource_port = resource_port
        return False

    def see_outbound(self, resource_port: int, flags: int, now: float) -> bool:
        """Take note of an allowed packet out; a subclass does."""
        raise NotImplementedError


class TrackedSession(SessionState):
    """The state of one session of a client. It knows no addresses."""

    __slots__ = ()

    group: Group
    key: Hashable
    last: float
    last_outbound: float
    resource_port: int
    seen: int

    @property
    def is_tcp(self) -> bool:
        """Whether it is one of TCP."""
        return self.seen >= _IS_TCP

    @property
    def is_answered(self) -> bool:
        """Whether anything came back."""
        return bool(self.seen & _ANSWERED)

    def is_gone(self, now: float) -> bool:
        """Tell whether its time is over, or policy has withdrawn it."""
        return now >= self.group.ends_at or now >= self.expires_at

    @property
    def ends_at(self) -> float:
        """When it is gone if no packet comes and policy changes nothing."""
        return min(self.expires_at, self.group.ends_at)

    def ended_at(self, now: float) -> float | None:
        """Return when its time was over; `None` if it is not, or policy ended it before."""
        at = self.expires_at
        return at if at <= now and at <= self.group.ends_at else None

    def see_outbound(self, resource_port: int, flags: int, now: float) -> bool:
        """Take note of an allowed packet from the client; return whether it ends the session.

        Args:
            resource_port: its destination port; `NO_PORT` for ICMP echo.
            flags: its TCP flags; 0 for other protocols.
            now: the time.
        """
        seen = self.seen
        if flags & (SYN | ACK) == SYN and self.is_restarted_by(resource_port):
            # The client reuses its port: a new connection in the place of one that was over,
            # or of whose end it knows (RFC 9293, section 3.6.1).
            seen &= _IS_TCP
            self.resource_port = NO_RESOURCE_PORT
        # The client goes on, so a RST that came in was none of its connection's.
        seen &= ~_RST_INBOUND
        self.last = self.last_outbound = now
        if self.resource_port == NO_RESOURCE_PORT:
            self.resource_port = resource_port
        elif self.resource_port != resource_port:
            # It may carry several connections now. FINs and RSTs of one must not end the
            # others, so it ends by time.
            seen = (seen | _SEVERAL) & ~_ANY_FIN
        if flags & FIN and not seen & _SEVERAL:
            seen |= _FIN_OUTBOUND
        self.seen = seen
        return bool(flags & RST) and not seen & _SEVERAL

    def see_inbound(self, resource_port: int, flags: int, now: float) -> bool:
        """Take note of an allowed packet to the client; return whether it ends the session."""
        self.last = now
        seen = self.seen | _ANSWERED
        if resource_port == self.resource_port and not seen & _SEVERAL:
            if flags & FIN:
                seen |= _FIN_INBOUND
            if flags & RST:
                seen |= _RST_INBOUND
        self.seen = seen
        # A FIN or RST that comes late makes a moment count that has passed already.
        return _KINDS[seen] == IS_CLOSING and now >= self.expires_at

    def is_restarted_by(self, resource_port: int) -> bool:
        """Tell whether a SYN without ACK to *resource_port* begins another connection."""
        any_fin = bool(self.seen & _ANY_FIN)
        return self.kind == IS_CLOSING or (any_fin and resource_port == self.resource_port)

    def shift_clock(self, by: float) -> None:
        """Move its moments by so many seconds: the host's clock has been set, or has begun."""
        self.last += by
        self.last_outbound += by
