"""Sessions of the NAT: which translated flow is alive, under which port, and how long.

A session belongs to a client's port and a proxy address, whatever the resource's port: one
mapping for each address that the client talks to (RFC 4787, section 4.1). Time comes in with
each call.
"""

import math
from collections import OrderedDict
from typing import Final

from firezone_filter.packet.numbers import MAX_PORT, TCP
from firezone_filter.packet.rewrite import Rewriting, prepare
from firezone_filter.structures.timers import NO_DEADLINE, Deadlines, Keeper

PORT_SEARCH: Final = 256
"""Ports tried when a flow's own is taken. A client that fills 257 in a row towards one
address gets no more there; the search takes 30 µs then."""

MAX_REMEMBERED: Final = 4_096
"""Ends of sessions remembered for one client: as many as it may have flows remembered."""

REMEMBERED_FOR: Final = 240
"""Seconds for which an end is remembered: TIME-WAIT, twice the maximum segment lifetime
(RFC 9293, section 3.4.2). What comes later is not of that flow."""

UNANSWERED: Final = 0
ESTABLISHED: Final = 1
DATAGRAM: Final = 2
CLOSING: Final = 3

LIFETIMES: Final = (
    60,  # after the last packet out, while nothing has come back
    7_440,  # TCP: 2 h 4 min after the last packet (RFC 5382, REQ-5)
    120,  # UDP and ICMP echo: after the last packet (RFC 4787, REQ-5; RFC 5508, REQ-2)
    5,  # TCP: after FINs both ways, for what is still under way
)
"""Seconds, by state."""

_STEADY: Final = (ESTABLISHED, DATAGRAM)

# Flags of TCP (RFC 9293, section 3.1).
FIN: Final = 0x01
SYN: Final = 0x02
RST: Final = 0x04
ACK: Final = 0x10
TURNS: Final = FIN | SYN | RST
"""What may begin, end or restart a session."""

ForwardKey = tuple[int, int, bytes]
"""Protocol, the client's port or echo id, proxy address."""

ReverseKey = tuple[int, int, bytes]
"""Protocol, the translated port or echo id, resolved address."""


class Session:
    """One translated flow of one client."""

    __slots__ = (
        "_answered",
        "_fin_inbound",
        "_fin_outbound",
        "_several",
        "ended",
        "forward_key",
        "inward",
        "is_steady",
        "outward",
        "proxy",
        "queue",
        "resource_port",
        "reverse_key",
        "since",
        "state",
        "table",
    )

    def __init__(
        self,
        table: "SessionTable",
        protocol: int,
        ports: tuple[int, int],
        proxy: bytes,
        resolved: bytes,
    ) -> None:
        port, translated = ports
        self.table = table
        self.proxy = proxy
        self.forward_key: ForwardKey = (protocol, port, proxy)
        self.reverse_key: ReverseKey = (protocol, translated, resolved)
        self.outward: Rewriting = prepare(
            protocol, (proxy, resolved), (port, translated), source_address=False, source_port=True
        )
        self.inward: Rewriting = prepare(
            protocol, (resolved, proxy), (translated, port), source_address=True, source_port=False
        )
        self.state = UNANSWERED
        self.is_steady = False
        """Whether packets that turn nothing only prolong it."""
        self.queue: OrderedDict[Session, None]
        """What it waits in to be forgotten."""
        self.since = 0.0
        self.ended = False
        self._begin()

    def _begin(self) -> None:
        self._answered = self._fin_inbound = self._fin_outbound = self._several = False
        self.resource_port: int | None = None

    @property
    def expires_at(self) -> float:
        """When it is forgotten if no packet comes."""
        return self.since + LIFETIMES[self.state]

    def next_state(self) -> int:
        """Return the state that what was seen amounts to."""
        # FINs of one connection end it; a session that spoke to several ports may carry
        # several connections, and ends by time.
        if self._fin_outbound and self._fin_inbound and not self._several:
            return CLOSING
        if not self._answered:
            return UNANSWERED
        return ESTABLISHED if self.forward_key[0] == TCP else DATAGRAM

    def see_outbound(self, resource_port: int, flags: int) -> bool:
        """Note an allowed packet from the client; return whether it ends the session.

        Args:
            resource_port: where it went; `NO_PORT` for ICMP echo.
            flags: those of TCP; 0 for other protocols.
        """
        if self.state == CLOSING and flags & (SYN | ACK) == SYN:
            # The client uses its port again: a new connection, in the place of one that
            # had ended (RFC 9293, section 3.6.1).
            self._begin()
        if self.resource_port is None:
            self.resource_port = resource_port
        elif self.resource_port != resource_port:
            self._several = True
        self._fin_outbound |= bool(flags & FIN)
        return bool(flags & RST) and not self._several

    def see_inbound(self, resource_port: int, flags: int) -> bool:
        """Note an allowed packet to the client; return whether it ends the session."""
        self._answered = True
        if self.resource_port != resource_port:
            return False
        self._fin_inbound |= bool(flags & FIN)
        return bool(flags & RST) and not self._several


class Lifetimes:
    """When sessions are forgotten: those of all clients, so that they can be counted.

    Sessions of one state live equally long after their last packet, so a queue for each
    state is in the order of expiry, and the next to go is at the head of one of four.
    """

    __slots__ = ("_queues", "reminders", "wake")

    def __init__(self, reminders: Deadlines[Keeper]) -> None:
        """Share *reminders* of what is to be forgotten of sessions that have ended."""
        self.reminders = reminders
        self._queues: tuple[OrderedDict[Session, None], ...] = tuple(
            OrderedDict() for _ in LIFETIMES
        )
        self.wake = math.inf
        """Nothing is due before: a packet costs one comparison, as long as nothing is."""

    def __len__(self) -> int:
        return sum(map(len, self._queues))

    def add(self, session: Session, now: float) -> None:
        """Let a new session live from *now* on."""
        session.since = now
        session.is_steady = session.state in _STEADY
        session.queue = self._queues[session.state]
        session.queue[session] = None
        self.wake = min(self.wake, session.expires_at)

    def prolong(self, session: Session, now: float) -> None:
        """Let a session live on after a packet, in the state that it is in by now."""
        state = session.next_state()
        if state != session.state:
            self.remove(session)
            session.state = state
            self.add(session, now)
        elif state != CLOSING:
            # The time after the FINs is for stragglers, and they do not prolong it.
            session.since = now
            session.queue.move_to_end(session)

    def remove(self, session: Session) -> None:
        """Let go of a session."""
        del session.queue[session]

    def forget_old(self, now: float) -> None:
        """Forget the sessions whose time is over, in the order in which it was."""
        while now >= self.wake:
            heads = [next(iter(queue)) for queue in self._queues if queue]
            first = min(heads, key=_expires_at, default=None)
            self.wake = math.inf if first is None else first.expires_at
            if first is not None and now >= self.wake:
                first.table.end(first, self.wake)

    def start_clock(self, now: float) -> None:
        """Count what began before the first `now` from there."""
        for queue in self._queues:
            for session in queue:
                session.since = now
        self.wake = now


def _expires_at(session: Session) -> float:
    return session.expires_at


class SessionTable:
    """The sessions of one client, and the ends of those that it had."""

    __slots__ = ("_forward", "_limits", "_remembered", "_reverse", "deadline", "lifetimes")

    def __init__(self, lifetimes: Lifetimes, limits: tuple[int, int]) -> None:
        """Share *lifetimes* with all clients; *limits*: sessions of a client, of all."""
        self._forward: dict[ForwardKey, Session] = {}
        self._reverse: dict[ReverseKey, Session] = {}
        self._remembered: OrderedDict[ReverseKey, float] = OrderedDict()
        self.deadline = NO_DEADLINE
        self.lifetimes = lifetimes
        self._limits = limits

    def __len__(self) -> int:
        return len(self._forward)

    def find_outbound(self, key: ForwardKey, now: float) -> Session | None:
        """Return the live session of a packet from the client."""
        self.lifetimes.forget_old(now)
        return self._forward.get(key)

    def find_inbound(self, key: ReverseKey, now: float) -> Session | None:
        """Return the live session of a packet to the client."""
        self.lifetimes.forget_old(now)
        return self._reverse.get(key)

    def knows(self, key: ReverseKey) -> bool:
        """Tell whether a packet to the client may belong to a session, or have done so lately.

        Without the time: what is over may still be known.
        """
        return key in self._reverse or key in self._remembered

    def open(self, key: ForwardKey, resolved: bytes, now: float) -> Session | None:
        """Begin a session; `None` if there is no port or no room for it."""
        protocol, port, proxy = key
        per_client, in_all = self._limits
        if len(self._forward) >= per_client or len(self.lifetimes) >= in_all:
            return None
        translated = self._free_port(protocol, port, resolved)
        if translated is None:
            return None
        session = Session(self, protocol, (port, translated), proxy, resolved)
        self._forward[key] = session
        self._reverse[session.reverse_key] = session
        self._remembered.pop(session.reverse_key, None)
        self.lifetimes.add(session, now)
        return session

    def _free_port(self, protocol: int, port: int, resolved: bytes) -> int | None:
        """Return *port* if it is free, else the next that is (RFC 4787, section 4.2.1)."""
        for candidate in range(port, port + PORT_SEARCH + 1):
            # After 65,535 comes 1: port 0 is reserved.
            wrapped = candidate if candidate <= MAX_PORT else candidate - MAX_PORT
            if wrapped and (protocol, wrapped, resolved) not in self._reverse:
                return wrapped
        return None

    def see_outbound(self, session: Session, port: int, flags: int, now: float) -> None:
        """Let an allowed packet from the client confirm, prolong or end its session."""
        if session.see_outbound(port, flags):
            self.end(session, now)
        else:
            self.lifetimes.prolong(session, now)

    def see_inbound(self, session: Session, port: int, flags: int, now: float) -> None:
        """Let an allowed packet to the client confirm, prolong or end its session."""
        if session.see_inbound(port, flags):
            self.end(session, now)
        else:
            self.lifetimes.prolong(session, now)

    def end(self, session: Session, at: float) -> None:
        """Forget a session whose time was over at *at*; remember that, to name refusals."""
        self._remove(session)
        self._remembered[session.reverse_key] = at
        if self.deadline == NO_DEADLINE:
            self.lifetimes.reminders.set(self, at + REMEMBERED_FOR)
        if len(self._remembered) > MAX_REMEMBERED:
            self._remembered.popitem(last=False)

    def has_ended(self, key: ReverseKey, now: float) -> bool:
        """Tell whether a packet belonged to a session that was forgotten not long ago."""
        self.lifetimes.forget_old(now)
        at = self._remembered.get(key)
        return at is not None and now < at + REMEMBERED_FOR

    def forget_proxies(self, proxies: set[bytes]) -> None:
        """Let the sessions of some proxy addresses go, as if they had not been.

        Their time was not over: what comes of them later is refused because of the policy,
        and that is the reason that it gets.
        """
        for session in [held for held in self._forward.values() if held.proxy in proxies]:
            self._remove(session)

    def forget_all(self) -> None:
        """Let all sessions go, as if they had not been."""
        for session in list(self._forward.values()):
            self._remove(session)

    def forget_old(self, now: float) -> float | None:
        """Forget the ends that have been remembered for their time."""
        while self._remembered:
            key, at = next(iter(self._remembered.items()))
            if now < at + REMEMBERED_FOR:
                return at + REMEMBERED_FOR
            del self._remembered[key]
        return None

    def close(self) -> None:
        """Leave nothing behind in what all clients share."""
        self.forget_all()
        self._remembered.clear()
        self.lifetimes.reminders.set(self, None)

    def start_clock(self, now: float) -> None:
        """Count what ended before the first `now` from there."""
        for key in self._remembered:
            self._remembered[key] = now
        self.lifetimes.reminders.set(self, now + REMEMBERED_FOR if self._remembered else None)

    def _remove(self, session: Session) -> None:
        del self._forward[session.forward_key]
        del self._reverse[session.reverse_key]
        self.lifetimes.remove(session)
        session.ended = True
