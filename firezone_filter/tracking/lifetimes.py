"""How long a tracked session lives, by its protocol and by the TCP flags seen in it.

Theory of operation. A session carries the time of its last packet and a state; the state
alone says how long it may be silent. So sessions of one state expire in the order of their
last packets: one FIFO queue a state keeps all of them sorted, a packet moves its session to
the end of its queue, and the next session to expire is at the head of one of four.

A session is over once its time has passed, whether or not it has been swept out of the
queues: readers compare `expires_at` with their `now` and never rely on a sweep.
"""

import math
from collections import OrderedDict
from collections.abc import Iterator
from typing import Final

from firezone_filter.packet.numbers import ACK, FIN, RST, SYN, TCP

UNANSWERED: Final = 0
ESTABLISHED: Final = 1
DATAGRAM: Final = 2
CLOSING: Final = 3

LIFETIMES: Final = (
    60,  # after the last packet out, while nothing has come back
    7_440,  # TCP: 2 h 4 min after the last packet (RFC 5382, REQ-5)
    120,  # UDP and ICMP echo: after the last packet (RFC 4787, REQ-5; RFC 5508, REQ-2)
    5,  # TCP: after FINs both ways, for segments still under way
)
"""Seconds of silence after which a session is over, by state."""

_STEADY: Final = (ESTABLISHED, DATAGRAM)


class TrackedSession:
    """The state of one session between a client and a far end. It knows no addresses."""

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
        """Whether packets without state flags do nothing but prolong it."""
        self.queue: OrderedDict[TrackedSession, None]
        """The FIFO queue that it expires from, once it is open."""
        self.is_open = False
        """Whether it lives by now: a session that the judge proposes does not."""
        self.since = 0.0
        """When the packet was seen that its lifetime counts from."""
        self.ended = False
        self._begin()

    def _begin(self) -> None:
        self._answered = self._fin_inbound = self._fin_outbound = self._several = False
        self.resource_port: int | None = None

    @property
    def expires_at(self) -> float:
        """When it is over if no packet comes."""
        return self.since + LIFETIMES[self.state]

    def expire(self) -> None:
        """Remove it from everything that refers to it: its time is over."""
        raise NotImplementedError

    def next_state(self) -> int:
        """Return the state that the packets seen so far amount to."""
        # The FINs of one connection end it; a session that spoke to several ports may carry
        # several connections, and ends by time.
        if self._fin_outbound and self._fin_inbound and not self._several:
            return CLOSING
        if not self._answered:
            return UNANSWERED
        return ESTABLISHED if self.protocol == TCP else DATAGRAM

    def see_outbound(self, resource_port: int, flags: int) -> bool:
        """Take note of an allowed packet from the client; return whether it ends the session.

        Args:
            resource_port: its destination port; `NO_PORT` for ICMP echo.
            flags: its TCP flags; 0 for other protocols.
        """
        if self.state == CLOSING and flags & (SYN | ACK) == SYN:
            # The client reuses its port: a new connection in the place of one that had
            # ended (RFC 9293, section 3.6.1).
            self._begin()
        if self.resource_port is None:
            self.resource_port = resource_port
        elif self.resource_port != resource_port:
            self._several = True
        self._fin_outbound |= bool(flags & FIN)
        return bool(flags & RST) and not self._several

    def see_inbound(self, resource_port: int, flags: int) -> bool:
        """Take note of an allowed packet to the client; return whether it ends the session."""
        self._answered = True
        if self.resource_port != resource_port:
            return False
        self._fin_inbound |= bool(flags & FIN)
        return bool(flags & RST) and not self._several


class SessionTimers:
    """The expiry queues of all clients' sessions together, one for each state."""

    __slots__ = ("_queues", "count", "next_expiry")

    def __init__(self) -> None:
        self._queues: tuple[OrderedDict[TrackedSession, None], ...] = tuple(
            OrderedDict() for _ in LIFETIMES
        )
        self.count = 0
        """How many sessions there are, those not swept out yet included."""
        self.next_expiry = math.inf
        """Nothing is over before this moment; it may be early, so that a packet that only
        prolongs its session need not touch it."""

    def add(self, session: TrackedSession, now: float) -> None:
        """Let a session live from *now* on, in the state that it has."""
        session.is_open = True
        session.since = now
        session.is_steady = session.state in _STEADY
        session.queue = self._queues[session.state]
        session.queue[session] = None
        self.count += 1
        self.next_expiry = min(self.next_expiry, now + LIFETIMES[session.state])

    def prolong(self, session: TrackedSession, now: float) -> None:
        """Let a session live on after a packet, in the state that it has by now."""
        state = session.next_state()
        if state != session.state:
            self.remove(session)
            session.state = state
            self.add(session, now)
        elif state != CLOSING:
            # The time after the FINs is for stragglers, and they do not prolong it.
            session.since = now
            session.queue.move_to_end(session)

    def remove(self, session: TrackedSession) -> None:
        """Remove a session: it has ended."""
        del session.queue[session]
        self.count -= 1

    def over(self, now: float) -> Iterator[TrackedSession]:
        """Yield the sessions that are over at *now* and have not been swept out yet."""
        for queue in self._queues:
            for session in queue:
                if now < session.expires_at:
                    break
                yield session

    def sweep(self, now: float) -> None:
        """Expire every session that is over, in the order of the moments at which it was."""
        while now >= self.next_expiry:
            heads = [next(iter(queue)) for queue in self._queues if queue]
            first = min(heads, key=_expires_at, default=None)
            self.next_expiry = math.inf if first is None else first.expires_at
            if first is not None and now >= self.next_expiry:
                first.expire()

    def start_clock(self, now: float) -> None:
        """Count the lifetimes that began before the first `now` from there."""
        for queue in self._queues:
            for session in queue:
                session.since = now
        self.next_expiry = now


def _expires_at(session: TrackedSession) -> float:
    return session.expires_at
