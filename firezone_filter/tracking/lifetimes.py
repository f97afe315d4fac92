"""How long tracked sessions live, by their packets and TCP flags, and which give way.

Theory of operation. A session keeps the times of its last packet and of its last packet out,
and the flags that matter. From these alone follows the moment at which it is over
(`expires_at`), so a packet of an established session costs two assignments and no queue.

A session is over once that moment has come, whether or not it has been swept out: readers
compare `expires_at` with their `now` and never rely on a sweep. The pool's timers find the
sessions to sweep out. Each has one, set for a moment at or before its end: packets that
prolong it leave the timer alone, and a timer that goes off early is set anew. Only a packet
that brings the end forward (a FIN, a RST, a restart) sets it at once.

Two limits hold: one for each client, one for all together. At the first a session of the
client's own gives way to a new one, at the second one of the client that has most: a session
that is closing, else one to which the client has said FIN, else one that was never answered;
of these the one that has been without a packet for longest. An established session never
gives way, so nobody can end another's connections, or its own, by opening more.
"""

from collections import Counter, OrderedDict
from collections.abc import Hashable, Iterator
from typing import Final, NamedTuple

from firezone_filter.packet.numbers import ACK, FIN, RST, SYN, TCP
from firezone_filter.structures.timers import NO_DEADLINE, TimerQueue

UNANSWERED: Final = 60
"""Seconds after the last packet out, while nothing has come back."""

ESTABLISHED: Final = 7_440
"""Seconds after the last packet out that anything may live: 2 h 4 min, for TCP (RFC 5382,
REQ-5). Packets that come in do not count here: else a far end could keep a session alive for
ever, which the client has long forgotten."""

DATAGRAM: Final = 120
"""Seconds after the last packet, either way, of all but TCP (RFC 4787, REQ-5; RFC 5508,
REQ-2)."""

CLOSING: Final = 240
"""Seconds after the last packet out, once FINs have been seen both ways or a RST has come in:
TIME-WAIT (RFC 5382, REQ-5), and for as long a connection goes on if the RST was forged (RFC
7857, section 2.2)."""

IS_CLOSING: Final = 0
HAS_SAID_FIN: Final = 1
IS_UNANSWERED: Final = 2
STAYS: Final = 3
"""Kinds of session, in the order in which they give way to new ones; `STAYS` never does."""


class TrackedSession:
    """The state of one session of a client. It knows no addresses."""

    __slots__ = (
        "_answered",
        "_fin_inbound",
        "_fin_outbound",
        "_rst_inbound",
        "_several",
        "armed_for",
        "deadline",
        "ended",
        "is_open",
        "is_steady",
        "kind",
        "last",
        "last_outbound",
        "member",
        "protocol",
        "resource_port",
    )

    def __init__(self, member: Hashable, protocol: int) -> None:
        self.member = member
        """Whose it is, for the limits of each."""
        self.protocol = protocol
        self.last = self.last_outbound = 0.0
        """When its last packet was seen, and its last packet out."""
        self.is_open = False
        """Whether it lives by now: a session that the judge proposes does not."""
        self.ended = False
        self.deadline = NO_DEADLINE
        self.armed_for = 0.0
        """When its timer goes off."""
        self._begin()

    def _begin(self) -> None:
        self._answered = self._fin_inbound = self._fin_outbound = False
        self._rst_inbound = self._several = False
        self.resource_port: int | None = None
        self.kind = IS_UNANSWERED
        self.is_steady = False
        """Whether packets without state flags do nothing but prolong it."""

    @property
    def expires_at(self) -> float:
        """When it is over if no packet comes."""
        if self.kind == IS_CLOSING:
            return self.last_outbound + CLOSING
        if not self._answered:
            return self.last_outbound + UNANSWERED
        if self.protocol == TCP:
            return self.last_outbound + ESTABLISHED
        return min(self.last + DATAGRAM, self.last_outbound + ESTABLISHED)

    def expire(self, at: float) -> None:
        """Remove it from everything that refers to it: its time was over at *at*."""
        raise NotImplementedError

    def see_outbound(self, resource_port: int, flags: int, now: float) -> bool:
        """Take note of an allowed packet from the client; return whether it ends the session.

        Args:
            resource_port: its destination port; `NO_PORT` for ICMP echo.
            flags: its TCP flags; 0 for other protocols.
            now: the time.
        """
        if flags & (SYN | ACK) == SYN and self._is_restarted_by(resource_port):
            # The client reuses its port: a new connection in the place of one that was over,
            # or of whose end it knows (RFC 9293, section 3.6.1).
            self._begin()
        # The client goes on, so a RST that came in was none of its connection's.
        self._rst_inbound = False
        self.last = self.last_outbound = now
        if self.resource_port is None:
            self.resource_port = resource_port
        elif self.resource_port != resource_port:
            # It may carry several connections now. FINs and RSTs of one must not end the
            # others, so it ends by time.
            self._several = True
            self._fin_inbound = self._fin_outbound = False
        if flags & FIN and not self._several:
            self._fin_outbound = True
        self._classify()
        return bool(flags & RST) and not self._several

    def see_inbound(self, resource_port: int, flags: int, now: float) -> bool:
        """Take note of an allowed packet to the client; return whether it ends the session."""
        self._answered = True
        self.last = now
        if resource_port == self.resource_port and not self._several:
            if flags & FIN:
                self._fin_inbound = True
            if flags & RST:
                self._rst_inbound = True
        self._classify()
        # A FIN or RST that comes late makes a moment count that has passed already.
        return self.kind == IS_CLOSING and now >= self.expires_at

    def _is_restarted_by(self, resource_port: int) -> bool:
        """Tell whether a SYN to *resource_port* begins another connection."""
        any_fin = self._fin_outbound or self._fin_inbound
        return self.kind == IS_CLOSING or (any_fin and resource_port == self.resource_port)

    def _classify(self) -> None:
        if self._rst_inbound or (self._fin_outbound and self._fin_inbound):
            self.kind = IS_CLOSING
        elif self._fin_outbound:
            self.kind = HAS_SAID_FIN
        elif not self._answered:
            self.kind = IS_UNANSWERED
        else:
            self.kind = STAYS
        self.is_steady = self.kind == STAYS


class Room(NamedTuple):
    """Whether there is room for another session."""

    is_there: bool
    """Whether another may be opened."""

    displaced: TrackedSession | None = None
    """The session that gives way to it, if one has to."""


_ROOM: Final = Room(is_there=True)
_NO_ROOM: Final = Room(is_there=False)


class SessionPool(TimerQueue[TrackedSession]):
    """The sessions of all clients: their timers, and the limits that they share."""

    __slots__ = ("count", "in_all", "members", "per_client")

    def __init__(self, per_client: int, in_all: int) -> None:
        """Allow *per_client* sessions of each client, and *in_all* of all together."""
        super().__init__()
        self.per_client = per_client
        self.in_all = in_all
        self.count = 0
        """How many sessions there are, those not swept out yet included."""
        self.members: dict[ClientSessions, None] = {}
        """The clients that have sessions."""

    def over(self, now: float) -> Iterator[TrackedSession]:
        """Yield the sessions that are over at *now* and have not been swept out yet."""
        return (session for session in self.waiting(now) if now >= session.expires_at)

    def is_over(self, session: TrackedSession, now: float) -> bool:
        """Tell whether a session is over whose timer has gone off; set the timer anew if not."""
        at = session.expires_at
        if now >= at:
            return True
        session.armed_for = at
        self.set(session, at)
        return False

    def sweep(self, now: float) -> None:
        """Expire every session that is over, in the order of the moments at which it was."""
        while (session := self.pop(now)) is not None:
            at = session.expires_at
            if at > session.armed_for:
                session.armed_for = at
                self.set(session, at)
            else:
                session.expire(at)


class ClientSessions:
    """The sessions of one client in a pool: how many there are, and which may give way."""

    __slots__ = ("_connected", "_count", "_kinds", "pool")

    def __init__(self, pool: SessionPool, connected: int) -> None:
        """Begin without any; *connected* numbers the clients in the order of their coming."""
        self.pool = pool
        self._connected = connected
        self._count = 0
        # Those that may give way, by kind; the one without a packet for longest first.
        self._kinds: tuple[OrderedDict[TrackedSession, None], ...] = tuple(
            OrderedDict() for _ in range(STAYS)
        )

    def room(self, now: float) -> Room:
        """Tell whether there is room for another session, and which one gives way to it.

        Only live sessions count. The walks are over sessions that are over and wait to be
        swept out, which the commit of this very packet does.
        """
        pool = self.pool
        if self._count < pool.per_client and pool.count < pool.in_all:
            return _ROOM
        over = Counter(session.member for session in pool.over(now))
        if self._count - over[self] >= pool.per_client:
            return self._displaced(now)
        if pool.count - over.total() >= pool.in_all:
            # Of equals the client that connected first.
            most = max(
                pool.members,
                key=lambda member: (member._count - over[member], -member._connected),  # noqa: SLF001 - of this class
                default=self,
            )
            return most._displaced(now)  # noqa: SLF001 - of this class
        return _ROOM

    def _displaced(self, now: float) -> Room:
        for kind in self._kinds:
            for session in kind:
                if now < session.expires_at:
                    return Room(is_there=True, displaced=session)
        return _NO_ROOM

    def add(self, session: TrackedSession) -> None:
        """Begin a session that has seen its first packet."""
        session.is_open = True
        self._count += 1
        self.pool.count += 1
        self.pool.members[self] = None
        # Nothing has come back yet, so it is one that may give way.
        self._kinds[session.kind][session] = None
        session.armed_for = session.expires_at
        self.pool.set(session, session.armed_for)

    def note(self, session: TrackedSession, before: int) -> None:
        """Take note of a packet of a session that was of the kind *before* until then."""
        if session.kind != before:
            if before != STAYS:
                del self._kinds[before][session]
            if session.kind != STAYS:
                self._kinds[session.kind][session] = None
        elif before != STAYS:
            self._kinds[before].move_to_end(session)
        at = session.expires_at
        if at < session.armed_for:
            session.armed_for = at
            self.pool.set(session, at)

    def remove(self, session: TrackedSession) -> None:
        """Remove a session: it has ended."""
        session.ended = True
        self._count -= 1
        self.pool.count -= 1
        if not self._count:
            del self.pool.members[self]
        if session.kind != STAYS:
            del self._kinds[session.kind][session]
        self.pool.set(session, None)
