"""NAT sessions of one client: the live mappings of its ports, and the ends of past ones.

A session belongs to a port of the client and a proxy address, whatever the resource's port: one
mapping serves all ports of an address (RFC 4787, section 4.1).

Reading and writing are separate. `find_*`, `new_session` and `expired_recently` only read, at
the caller's `now`; a session that is over counts as gone there, whether or not it has been swept
out. `open`, `end` and the `drop_*` methods write, as do the session's `see_*`, and packets get
to these only once they have been allowed.
"""

from collections import OrderedDict
from typing import Final, cast

from firezone_filter.packet.numbers import MAX_PORT
from firezone_filter.structures.timers import NO_DEADLINE, Expirable, TimerQueue
from firezone_filter.tracking.lifetimes import ClientSessions, SessionPool, TrackedSession

PORT_SEARCH: Final = 256
"""Ports tried when the client's own is taken: a bound on the search, which takes 30 µs if all
are. A client with 257 ports in a row in use towards one address gets no more there."""

MAX_REMEMBERED: Final = 4_096
"""Remembered ends of one client: as many as it may have decisions in the flow cache for one
direction."""

REMEMBERED_FOR: Final = 240
"""Seconds for which an end is remembered: TIME-WAIT, twice the maximum segment lifetime
(RFC 9293, section 3.4.2). A later packet does not belong to that connection."""

ForwardKey = tuple[int, int, bytes]
"""Protocol, the client's port or echo id, proxy address."""

ReverseKey = tuple[int, int, bytes]
"""Protocol, the translated port or echo id, real address."""


class Session(TrackedSession):
    """The mapping of a client's port and a proxy address, with its lifetime."""

    __slots__ = ("displaced", "forward_key", "proxy", "reverse_key", "table")

    def __init__(
        self, table: "SessionTable", forward_key: ForwardKey, reverse_key: ReverseKey
    ) -> None:
        super().__init__(table.sessions, forward_key[0])
        self.table = table
        self.proxy = forward_key[2]
        self.forward_key = forward_key
        self.reverse_key = reverse_key
        self.displaced: Session | None = None
        """The session that gives way to it when it is opened."""

    def expire(self, at: float) -> None:
        """End it at the moment at which its time was over."""
        self.table.end(self, at)


class SessionTable:
    """The sessions of one client, and the remembered ends of earlier ones."""

    __slots__ = (
        "_cleanup_timers",
        "_forward",
        "_remembered",
        "_reverse",
        "deadline",
        "sessions",
    )

    def __init__(
        self, pool: SessionPool, connected: int, cleanup_timers: TimerQueue[Expirable]
    ) -> None:
        """Create an empty table.

        Args:
            pool: the sessions of all clients.
            connected: numbers the clients in the order of their coming.
            cleanup_timers: announce remembered ends that are to be forgotten.
        """
        self._forward: dict[ForwardKey, Session] = {}
        self._reverse: dict[ReverseKey, Session] = {}
        self._remembered: OrderedDict[ReverseKey, float] = OrderedDict()
        self._cleanup_timers = cleanup_timers
        self.deadline = NO_DEADLINE
        self.sessions = ClientSessions(pool, connected)

    def __len__(self) -> int:
        return len(self._forward)

    # --- Reading ---------------------------------------------------------------------------

    def find_outbound(self, key: ForwardKey, now: float) -> Session | None:
        """Return the live session of a packet from the client, or `None`."""
        session = self._forward.get(key)
        return session if session is not None and now < session.expires_at else None

    def find_inbound(self, key: ReverseKey, now: float) -> Session | None:
        """Return the live session of a packet to the client, or `None`."""
        session = self._reverse.get(key)
        return session if session is not None and now < session.expires_at else None

    def may_match(self, key: ReverseKey) -> bool:
        """Tell whether a packet to the client may belong to a session or a remembered end.

        It does not look at the time, so it may say yes for one that is over, but it never says
        no for one that is not.
        """
        return key in self._reverse or key in self._remembered

    def expired_recently(self, key: ReverseKey, now: float) -> bool:
        """Tell whether a packet to the client belonged to a session that ended within 240 s."""
        at = self._remembered.get(key)
        session = self._reverse.get(key)
        # A session that is over and not swept out yet will leave this end.
        if session is not None and now >= session.expires_at:
            at = session.expires_at
        return at is not None and now < at + REMEMBERED_FOR

    def new_session(self, key: ForwardKey, resolved: bytes, now: float) -> Session | None:
        """Return the session that `open` would begin; `None` if there is no port or no room."""
        room = self.sessions.room(now)
        if not room.is_there:
            return None
        displaced = cast("Session | None", room.displaced)
        protocol, port, _ = key
        reverse_key = (protocol, port, resolved)
        if not port or reverse_key in self._reverse:
            translated = self._free_port(protocol, port, resolved, now)
            if translated is None:
                return None
            reverse_key = (protocol, translated, resolved)
        session = Session(self, key, reverse_key)
        session.displaced = displaced
        return session

    def _free_port(self, protocol: int, port: int, resolved: bytes, now: float) -> int | None:
        """Return *port* if it is free, otherwise the next free one, or `None`.

        Keeping the client's port where possible is RFC 4787, section 4.2.1.
        """
        # Asking each holder when it is over would double the time of the search.
        may_be_over = now >= self.sessions.pool.next
        for candidate in range(port, port + PORT_SEARCH + 1):
            # 1 comes after 65,535, since port 0 is reserved.
            wrapped = candidate if candidate <= MAX_PORT else candidate - MAX_PORT
            if not wrapped:
                continue
            holder = self._reverse.get((protocol, wrapped, resolved))
            if holder is None or (may_be_over and now >= holder.expires_at):
                return wrapped
        return None

    # --- Changing --------------------------------------------------------------------------

    def open(self, session: Session, port: int, flags: int, now: float) -> None:
        """Begin a session that `new_session` returned, with its first packet, at the same time.

        Arguments as `see`.
        """
        displaced = session.displaced
        if displaced is not None:
            displaced.table.end(displaced, now)
            session.displaced = None
        self._forward[session.forward_key] = session
        self._reverse[session.reverse_key] = session
        self._remembered.pop(session.reverse_key, None)
        is_over = session.see_outbound(port, flags, now)
        self.sessions.add(session)
        if is_over:
            self.end(session, now)

    def see(self, session: Session, port: int, flags: int, now: float, *, outbound: bool) -> None:
        """Let an allowed packet confirm, prolong or end its session.

        Args:
            session: the packet's.
            port: the resource's port; `NO_PORT` for ICMP echo.
            flags: the packet's TCP flags; 0 for other protocols.
            now: the time.
            outbound: whether the client sent it.
        """
        before = session.kind
        see = session.see_outbound if outbound else session.see_inbound
        is_over = see(port, flags, now)
        self.sessions.note(session, before)
        if is_over:
            self.end(session, now)

    def end(self, session: Session, at: float) -> None:
        """End a session at *at*, and remember that end, which names later refusals.

        It is over by its own rules, not by policy (see `drop_proxies`).
        """
        self._remove(session)
        self._remembered[session.reverse_key] = at
        if self.deadline == NO_DEADLINE:
            self._cleanup_timers.set(self, at + REMEMBERED_FOR)
        if len(self._remembered) > MAX_REMEMBERED:
            self._remembered.popitem(last=False)

    def drop_proxies(self, proxies: set[bytes]) -> None:
        """Remove the sessions of some proxy addresses, without remembering their ends.

        Policy has ended them, not time: the reason for refusing their later packets must name
        the policy, not an expired session.
        """
        for session in [held for held in self._forward.values() if held.proxy in proxies]:
            self._remove(session)

    def drop_all(self) -> None:
        """Remove all sessions, without remembering their ends."""
        for session in list(self._forward.values()):
            self._remove(session)

    def forget_old(self, now: float) -> float | None:
        """Sweep out ends older than 240 s; return when the next one will be, or `None`."""
        while self._remembered:
            key, at = next(iter(self._remembered.items()))
            if now < at + REMEMBERED_FOR:
                return at + REMEMBERED_FOR
            del self._remembered[key]
        return None

    def close(self) -> None:
        """Remove everything of this client from the shared timers."""
        self.drop_all()
        self._remembered.clear()
        self._cleanup_timers.set(self, None)

    def shift_clock(self, by: float) -> None:
        """Move every moment by so many seconds: the host's clock has been set, or has begun."""
        for session in self._forward.values():
            session.last += by
            session.last_outbound += by
            session.armed_for += by
        for key in self._remembered:
            self._remembered[key] += by

    def _remove(self, session: Session) -> None:
        del self._forward[session.forward_key]
        del self._reverse[session.reverse_key]
        self.sessions.remove(session)
