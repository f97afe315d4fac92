"""Lifetimes of sessions, by protocol and by the TCP flags seen in them.

Theory of operation. Only allowed packets come in here, one call each; ICMP errors and later
fragments do not, and so can neither prolong nor end a session (docs/rules.md, section 6).

A session has a state and the time of its last packet; the state alone says how long it may
stay silent. So the sessions of one state expire in the order of their last packets: a FIFO
queue for each state keeps them sorted, each packet moves its session to the end of its queue,
and the next session to expire is at the head of one of the four queues.

A session is over as soon as its lifetime has passed, whether or not it has been swept out of
the queues: readers compare `expires_at` with their `now`, and never rely on a sweep.
"""

import math
from collections import OrderedDict
from collections.abc import Iterator
from typing import Final

from firezone_filter.packet.numbers import ACK, FIN, RST, SYN, TCP

# The states of a session, each an index of `LIFETIMES`.
UNANSWERED: Final = 0
ESTABLISHED: Final = 1
DATAGRAM: Final = 2
CLOSING: Final = 3

LIFETIMES: Final = (
    60,  # UNANSWERED: a scan or a dead server must not hold ports for long
    7_440,  # ESTABLISHED, TCP: 2 h 4 min (RFC 5382, REQ-5)
    120,  # DATAGRAM, UDP and ICMP echo (RFC 4787, REQ-5; RFC 5508, REQ-2)
    5,  # CLOSING, TCP: for segments under way after FINs in both directions
)
"""Seconds of silence after which a session is over, by state."""

_STEADY: Final = (ESTABLISHED, DATAGRAM)


class TrackedSession:
    """The state of one session of a client. It knows no addresses."""

    __slots__ = (
        "_answered",
        "_fin_inbound",
        "_fin_outbound",
        "_several",
        "ended",
        "is_open",
        "is_steady",
        "protocol",
        "queue",
        "resource_port",
        "since",
        "state",
    )

    def __init__(self, protocol: int) -> None:
        self.protocol = protocol
        self.state = UNANSWERED
        self.is_steady = False
        """Whether a packet without state flags only prolongs it."""
        self.queue: OrderedDict[TrackedSession, None]
        """The FIFO queue that it expires from, once it is open."""
        self.is_open = False
        """Whether it has been opened; a session that the judge proposes has not."""
        self.since = 0.0
        """The time from which its lifetime counts."""
        self.ended = False
        """Whether it has been removed, over or not."""
        self._begin()

    def _begin(self) -> None:
        self._answered = self._fin_inbound = self._fin_outbound = self._several = False
        self.resource_port: int | None = None

    @property
    def expires_at(self) -> float:
        """The time at which it is over if no packet prolongs it."""
        return self.since + LIFETIMES[self.state]

    def expire(self) -> None:
        """Remove the session, whose lifetime has passed, from everything that refers to it."""
        raise NotImplementedError

    def next_state(self) -> int:
        """Return the state that follows from the packets seen so far."""
        # A session that has sent to several ports may carry several connections, and the FINs
        # of one must not end the others: it ends by time.
        if self._fin_outbound and self._fin_inbound and not self._several:
            return CLOSING
        if not self._answered:
            return UNANSWERED
        return ESTABLISHED if self.protocol == TCP else DATAGRAM

    def see_outbound(self, resource_port: int, flags: int) -> bool:
        """Note an allowed packet from the client; return whether it ends the session.

        Args:
            resource_port: its destination port; `NO_PORT` for ICMP echo.
            flags: its TCP flags; 0 for other protocols.
        """
        if self.state == CLOSING and flags & (SYN | ACK) == SYN:
            # The client reuses its port for a new connection after one that both sides have
            # closed (RFC 9293, section 3.6.1).
            self._begin()
        if self.resource_port is None:
            self.resource_port = resource_port
        elif self.resource_port != resource_port:
            self._several = True
        self._fin_outbound |= bool(flags & FIN)
        return bool(flags & RST) and not self._several

    def see_inbound(self, resource_port: int, flags: int) -> bool:
        """Note an allowed packet to the client; return whether it ends the session.

        Args:
            resource_port: its source port; `NO_PORT` for ICMP echo.
            flags: its TCP flags; 0 for other protocols.
        """
        self._answered = True
        # FIN and RST from another port of the resource are not of the client's connection.
        if self.resource_port != resource_port:
            return False
        self._fin_inbound |= bool(flags & FIN)
        return bool(flags & RST) and not self._several


class SessionTimers:
    """The expiry queues of all clients' sessions, one for each state."""

    __slots__ = ("_queues", "count", "next_expiry")

    def __init__(self) -> None:
        self._queues: tuple[OrderedDict[TrackedSession, None], ...] = tuple(
            OrderedDict() for _ in LIFETIMES
        )
        self.count = 0
        """Number of sessions, including those that are over and not swept out yet."""
        self.next_expiry = math.inf
        """No session is over before this time. It may be too early, so that packets need not
        move it when they prolong a session."""

    def add(self, session: TrackedSession, now: float) -> None:
        """Start the lifetime of a session at *now*, in its present state."""
        session.is_open = True
        session.since = now
        session.is_steady = session.state in _STEADY
        session.queue = self._queues[session.state]
        session.queue[session] = None
        self.count += 1
        self.next_expiry = min(self.next_expiry, now + LIFETIMES[session.state])

    def prolong(self, session: TrackedSession, now: float) -> None:
        """Prolong a session after a packet, in the state that follows from that."""
        state = session.next_state()
        if state != session.state:
            self.remove(session)
            session.state = state
            self.add(session, now)
        elif state != CLOSING:
            # In CLOSING nothing prolongs: the 5 s after the FINs are for stragglers.
            session.since = now
            session.queue.move_to_end(session)

    def remove(self, session: TrackedSession) -> None:
        """Remove a session from its queue."""
        del session.queue[session]
        self.count -= 1

    def over(self, now: float) -> Iterator[TrackedSession]:
        """Yield the sessions that are over at *now* but not swept out yet."""
        for queue in self._queues:
            for session in queue:
                if now < session.expires_at:
                    break
                yield session

    def sweep(self, now: float) -> None:
        """Expire the sessions that are over, in the order in which their lifetimes ended."""
        while now >= self.next_expiry:
            heads = [next(iter(queue)) for queue in self._queues if queue]
            first = min(heads, key=_expires_at, default=None)
            self.next_expiry = math.inf if first is None else first.expires_at
            if first is not None and now >= self.next_expiry:
                first.expire()

    def start_clock(self, now: float) -> None:
        """Restart at *now* the lifetimes that began before the first `now`."""
        for queue in self._queues:
            for session in queue:
                session.since = now
        self.next_expiry = now


def _expires_at(session: TrackedSession) -> float:
    return session.expires_at
