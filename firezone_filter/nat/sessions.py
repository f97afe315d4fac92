"""NAT sessions of one client: which translated flow is alive, under which port.

A session belongs to a client's port and a proxy address, whatever the resource's port: one
mapping for each address that the client talks to (RFC 4787, section 4.1).

Reading and changing are apart. `find_*`, `new_session` and `expired_recently` only look, at a
`now` of the caller's; a session that is over counts as gone there, swept out or not. `open`
and `see_*` change, for packets that have been allowed.
"""

from collections import OrderedDict
from typing import Final

from firezone_filter.packet.numbers import MAX_PORT
from firezone_filter.structures.timers import NO_DEADLINE, Expirable, TimerQueue
from firezone_filter.tracking.lifetimes import SessionTimers, TrackedSession

PORT_SEARCH: Final = 256
"""Ports tried when a flow's own is taken. A client that fills 257 in a row towards one
address gets no more there; the search takes 30 µs then."""

MAX_REMEMBERED: Final = 4_096
"""Ended sessions remembered for one client: as many as it may have flows in the flow cache."""

REMEMBERED_FOR: Final = 240
"""Seconds for which an end is remembered: TIME-WAIT, twice the maximum segment lifetime
(RFC 9293, section 3.4.2). A packet that comes later is not of that connection."""

ForwardKey = tuple[int, int, bytes]
"""Protocol, the client's port or echo id, proxy address."""

ReverseKey = tuple[int, int, bytes]
"""Protocol, the translated port or echo id, resolved address."""


class Session(TrackedSession):
    """One translated flow of one client."""

    __slots__ = ("forward_key", "proxy", "reverse_key", "table")

    def __init__(
        self, table: "SessionTable", forward_key: ForwardKey, reverse_key: ReverseKey
    ) -> None:
        super().__init__(forward_key[0])
        self.table = table
        self.proxy = forward_key[2]
        self.forward_key = forward_key
        self.reverse_key = reverse_key

    def expire(self) -> None:
        """End it at the moment at which its time was over."""
        self.table.end(self, self.expires_at)


class SessionTable:
    """The sessions of one client, and the ends of those that it had."""

    __slots__ = (
        "_cleanup_timers",
        "_forward",
        "_limits",
        "_remembered",
        "_reverse",
        "deadline",
        "timers",
    )

    def __init__(
        self,
        timers: SessionTimers,
        cleanup_timers: TimerQueue[Expirable],
        limits: tuple[int, int],
    ) -> None:
        """Create an empty table.

        Args:
            timers: the expiry queues of all clients' sessions.
            cleanup_timers: announce remembered ends that are to be forgotten.
            limits: how many sessions this client may have, and all clients together.
        """
        self._forward: dict[ForwardKey, Session] = {}
        self._reverse: dict[ReverseKey, Session] = {}
        self._remembered: OrderedDict[ReverseKey, float] = OrderedDict()
        self._cleanup_timers = cleanup_timers
        self._limits = limits
        self.deadline = NO_DEADLINE
        self.timers = timers

    def __len__(self) -> int:
        return len(self._forward)

    # --- Reading ---------------------------------------------------------------------------

    def find_outbound(self, key: ForwardKey, now: float) -> Session | None:
        """Return the live session of a packet from the client."""
        session = self._forward.get(key)
        return session if session is not None and now < session.expires_at else None

    def find_inbound(self, key: ReverseKey, now: float) -> Session | None:
        """Return the live session of a packet to the client."""
        session = self._reverse.get(key)
        return session if session is not None and now < session.expires_at else None

    def may_match(self, key: ReverseKey) -> bool:
        """Tell whether a packet to the client may belong to a session, or have done so lately.

        It asks no time, so it may say yes to a session that is over, but never no to a live
        or remembered one: a screen in front of the judge.
        """
        return key in self._reverse or key in self._remembered

    def expired_recently(self, key: ReverseKey, now: float) -> bool:
        """Tell whether a packet belonged to a session that ended not long ago."""
        at = self._remembered.get(key)
        session = self._reverse.get(key)
        if session is not None and now >= session.expires_at:
            at = session.expires_at
        return at is not None and now < at + REMEMBERED_FOR

    def new_session(self, key: ForwardKey, resolved: bytes, now: float) -> Session | None:
        """Return the session that `open` would begin; `None` if there is no port or no room."""
        per_client, in_all = self._limits
        is_full = len(self._forward) >= per_client or self.timers.count >= in_all
        if is_full and not self._has_room(now):
            return None
        protocol, port, _ = key
        reverse_key = (protocol, port, resolved)
        if not port or reverse_key in self._reverse:
            translated = self._free_port(protocol, port, resolved, now)
            if translated is None:
                return None
            reverse_key = (protocol, translated, resolved)
        return Session(self, key, reverse_key)

    def _has_room(self, now: float) -> bool:
        """Tell whether there is room once the sessions that are over have been swept out.

        The walk is over those alone, and the commit of this very packet sweeps them.
        """
        per_client, in_all = self._limits
        over = list(self.timers.over(now))
        own = sum(isinstance(session, Session) and session.table is self for session in over)
        return len(self._forward) - own < per_client and self.timers.count - len(over) < in_all

    def _free_port(self, protocol: int, port: int, resolved: bytes, now: float) -> int | None:
        """Return *port* if it is free, else the next that is (RFC 4787, section 4.2.1)."""
        for candidate in range(port, port + PORT_SEARCH + 1):
            # After 65,535 comes 1: port 0 is reserved.
            wrapped = candidate if candidate <= MAX_PORT else candidate - MAX_PORT
            if not wrapped:
                continue
            holder = self._reverse.get((protocol, wrapped, resolved))
            if holder is None or now >= holder.expires_at:
                return wrapped
        return None

    # --- Changing --------------------------------------------------------------------------

    def open(self, session: Session, now: float) -> None:
        """Begin a session that `new_session` returned for the same *now*."""
        self._forward[session.forward_key] = session
        self._reverse[session.reverse_key] = session
        self._remembered.pop(session.reverse_key, None)
        self.timers.add(session, now)

    def end(self, session: Session, at: float) -> None:
        """End a session whose time was over at *at*; remember that, to name refusals."""
        self._remove(session)
        self._remembered[session.reverse_key] = at
        if self.deadline == NO_DEADLINE:
            self._cleanup_timers.set(self, at + REMEMBERED_FOR)
        if len(self._remembered) > MAX_REMEMBERED:
            self._remembered.popitem(last=False)

    def drop_proxies(self, proxies: set[bytes]) -> None:
        """Remove the sessions of some proxy addresses as if they had not been.

        Their time was not over: a later packet of theirs is refused because of the policy,
        and that is the reason that it gets.
        """
        for session in [held for held in self._forward.values() if held.proxy in proxies]:
            self._remove(session)

    def drop_all(self) -> None:
        """Remove all sessions as if they had not been."""
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
        """Remove everything from the timers that all clients share."""
        self.drop_all()
        self._remembered.clear()
        self._cleanup_timers.set(self, None)

    def start_clock(self, now: float) -> None:
        """Count the ends before the first `now` from there."""
        for key in self._remembered:
            self._remembered[key] = now
        self._cleanup_timers.set(self, now + REMEMBERED_FOR if self._remembered else None)

    def _remove(self, session: Session) -> None:
        del self._forward[session.forward_key]
        del self._reverse[session.reverse_key]
        self.timers.remove(session)
        session.ended = True
