"""NAT sessions of one client: the live mappings of its ports, and the ends of past ones.

A session belongs to a port of the client and a proxy address, whatever the resource's port: one
mapping serves all ports of an address (RFC 4787, section 4.1). Those of one proxy address are a
group, which ends at once when policy takes the address away.

Reading and writing are separate. `find_*`, `new_session` and `expired_recently` only read, at
the caller's `now`; a session that is gone counts as gone there, whether or not it has been
forgotten. `open`, `see` and the `withdraw*` methods write, as do the session's `see_*`, and
packets get to these only once they have been allowed.
"""

from collections.abc import Callable, Iterable
from typing import Final

from firezone_filter.nat.ends import REMEMBERED_FOR, RememberedEnds, ReverseKey
from firezone_filter.packet.numbers import MAX_PORT
from firezone_filter.structures.upkeep import Keeper, UpkeepQueue
from firezone_filter.tracking.lifetimes import Group, TrackedSession
from firezone_filter.tracking.sessions import ClientSessions, SessionPool

PORT_SEARCH: Final = 256
"""Ports tried when the client's own is taken: a bound on the search, which takes 30 µs if all
are. A client with 257 ports in a row in use towards one address gets no more there."""

ForwardKey = tuple[int, int, bytes]
"""Protocol, the client's port or echo id, proxy address."""

# Protocol and port stand in one number: as tuples, the two keys of each session took 200 bytes.
PORT_BITS: Final = 16
PORT: Final = (1 << PORT_BITS) - 1
"""The bits of the port."""


class ProxyGroup(Group):
    """The sessions of one proxy address."""

    __slots__ = ("proxy",)

    held: dict[int, "Session"]

    def __init__(self, proxy: bytes, ends_at: float) -> None:
        super().__init__(ends_at)
        self.proxy: bytes = proxy


class Session(TrackedSession):
    """The mapping of a client's port and a proxy address, with its lifetime."""

    __slots__ = ("outside", "resolved")

    group: ProxyGroup
    key: int

    outside: int
    """Protocol and translated port."""
    resolved: bytes
    """The real address."""

    @property
    def proxy(self) -> bytes:
        """The proxy address."""
        return self.group.proxy

    @property
    def forward_key(self) -> ForwardKey:
        """What a packet from the client shows of it."""
        return self.key >> PORT_BITS, self.key & PORT, self.group.proxy

    @property
    def reverse_key(self) -> ReverseKey:
        """What a packet to the client shows of it."""
        return self.outside >> PORT_BITS, self.outside & PORT, self.resolved


Release = Callable[[Session, int], None]
"""Removes what has been prepared for a session, given its protocol."""


class SessionTable(ClientSessions[Session]):
    """The sessions of one client, and the remembered ends of earlier ones."""

    __slots__ = ("_forward", "_release", "_reverse", "ends")

    def __init__(
        self,
        pool: SessionPool[Session],
        connected: int,
        cleanup: UpkeepQueue[Keeper],
        release: Release,
    ) -> None:
        """Create an empty table.

        Args:
            pool: the sessions of all clients.
            connected: numbers the clients in the order of their coming.
            cleanup: has remembered ends forgotten.
            release: removes what has been prepared for a session that has ended.
        """
        super().__init__(pool, connected)
        # By proxy address those that policy has not withdrawn; by real address all. Neither
        # has an address without sessions.
        self._forward: dict[bytes, ProxyGroup] = {}
        self._reverse: dict[bytes, dict[int, Session]] = {}
        self._release = release
        self.ends: RememberedEnds = RememberedEnds(cleanup)
        """Of the sessions that ended by their own rules."""

    # --- Reading ---------------------------------------------------------------------------

    def find_outbound(self, key: ForwardKey, now: float) -> Session | None:
        """Return the live session of a packet from the client, or `None`."""
        protocol, port, proxy = key
        group = self._forward.get(proxy)
        if group is None:
            return None
        session = group.held.get(protocol << PORT_BITS | port)
        return None if session is None or session.is_gone(now) else session

    def find_inbound(self, key: ReverseKey, now: float) -> Session | None:
        """Return the live session of a packet to the client, or `None`."""
        session = self._holder(key)
        return session if session is not None and not session.is_gone(now) else None

    def _holder(self, key: ReverseKey) -> Session | None:
        protocol, port, resolved = key
        held = self._reverse.get(resolved)
        return None if held is None else held.get(protocol << PORT_BITS | port)

    def living(self, now: float) -> list[Session]:
        """Return the sessions that live, those of one proxy address together."""
        groups = self._forward.values()
        held = (session for group in groups for session in group.held.values())
        return [session for session in held if not session.is_gone(now)]

    def has_any(self, proxies: Iterable[bytes]) -> bool:
        """Tell whether proxy addresses have sessions, be it some that wait to be forgotten."""
        return any(proxy in self._forward for proxy in proxies)

    def real_addresses(self) -> set[bytes]:
        """Return the real addresses of sessions and remembered ends, whatever the time."""
        return {*self._reverse, *self.ends.real_addresses()}

    def expired_recently(self, key: ReverseKey, now: float) -> bool:
        """Tell whether a packet to the client belonged to a session that ended within 240 s."""
        session = self._holder(key)
        # A session that is over and has not been forgotten yet will leave this end.
        at = self.ends.moment(key) if session is None else session.ended_at(now)
        return at is not None and now < at + REMEMBERED_FOR

    def new_session(
        self, key: ForwardKey, resolved: bytes, ends_at: float, now: float
    ) -> Session | None:
        """Return the session that `open` would begin; `None` if there is no port or no room.

        Args:
            key: its forward key.
            resolved: the real address.
            ends_at: when policy is going to end the sessions of the proxy address.
            now: the time.
        """
        pool = self.pool
        is_crowded = self.count >= pool.per_client or pool.count >= pool.in_all
        if is_crowded and not self.room(now).is_there:
            return None
        protocol, port, proxy = key
        wanted = outside = protocol << PORT_BITS | port
        held = self._reverse.get(resolved)
        if not port or (held is not None and wanted in held):
            free = self._free_port(wanted, held or {}, now)
            if free is None:
                return None
            outside = free
        group = self._forward.get(proxy) or ProxyGroup(proxy, ends_at)
        # (An `__init__` of its own would take 150 ns more.)
        session = Session(group, wanted, protocol)
        session.outside, session.resolved = outside, resolved
        return session

    def _free_port(self, wanted: int, held: dict[int, Session], now: float) -> int | None:
        """Return the next free port from the wanted one on, or `None`.

        Keeping the client's port where possible is RFC 4787, section 4.2.1.

        Args:
            wanted: protocol and port.
            held: the sessions of the real address.
            now: the time.
        """
        port = wanted & PORT
        protocol = wanted & ~PORT
        # Asking each holder whether it is gone would double the time of the search.
        may_be_gone = now >= self.next
        for candidate in range(port, port + PORT_SEARCH + 1):
            # 1 comes after 65,535, since port 0 is reserved.
            wrapped = protocol | (candidate if candidate <= MAX_PORT else candidate - MAX_PORT)
            if wrapped == protocol:
                continue
            holder = held.get(wrapped)
            if holder is None or (may_be_gone and holder.is_gone(now)):
                return wrapped
        return None

    # --- Changing --------------------------------------------------------------------------

    def open(self, session: Session, port: int, flags: int, now: float) -> None:
        """Begin a session that `new_session` returned, with its first packet, at the same time.

        Arguments as `see`.
        """
        group, outside, resolved = session.group, session.outside, session.resolved
        # What holds one of its keys is gone, or `new_session` would not have returned it.
        if session.key in group.held:
            self.take_apart(group.held[session.key], now)
        held = self._reverse.get(resolved)
        if held is not None and outside in held:
            self.take_apart(held[outside], now)
        pool = self.pool
        if self.count >= pool.per_client or pool.count >= pool.in_all:
            self.make_room(now)
        # (Those may have been the last of their addresses.)
        self._forward[group.proxy] = group
        self._reverse.setdefault(resolved, {})[outside] = session
        if self.ends.moments:
            self.ends.discard(session.reverse_key)
        is_over = session.see_first(port, flags, now)
        self.add(session)
        if is_over:
            self.end(session, now)

    def ended(self, session: Session, at: float | None) -> None:
        """Remember the end of a session that ended at *at* by its own rules.

        Not that of one that policy ended: the reason for refusing its later packets must name
        the policy, not an expired session.
        """
        held = self._reverse[session.resolved]
        del held[session.outside]
        if not held:
            del self._reverse[session.resolved]
        group = session.group
        # (Policy has removed it already if it has withdrawn it; there may be another by now.)
        if not group.held and self._forward.get(group.proxy) is group:
            del self._forward[group.proxy]
        if session.outbound_key is not None or session.inbound_key is not None:
            self._release(session, session.key >> PORT_BITS)
        if at is not None:
            self.ends.remember(session.reverse_key, at)

    def set_ends(self, ends: dict[bytes, float]) -> None:
        """Take note of when policy is going to end the sessions of some proxy addresses."""
        for proxy, ends_at in ends.items():
            group = self._forward.get(proxy)
            if group is not None:
                self.set_end(group, ends_at)

    def withdraw_proxies(self, proxies: list[bytes], at: float) -> None:
        """End the sessions of some proxy addresses at *at*, by policy."""
        for proxy in proxies:
            group = self._forward.pop(proxy, None)
            if group is not None:
                self.withdraw(group, at)

    def withdraw_all(self, at: float) -> None:
        """End all sessions at *at*, by policy."""
        self.withdraw_proxies(list(self._forward), at)

    def close(self) -> None:
        """Remove everything of this client from what all clients share, session by session."""
        for held in self._reverse.values():
            for session in held.values():
                self._remove(session)
        self._forward.clear()
        self._reverse.clear()
        self.ends.close()
        super().close()

    def shift_clock(self, by: float) -> None:
        """Move every moment by so many seconds: the host's clock has been set, or has begun."""
        for held in self._reverse.values():
            for session in held.values():
                session.shift_clock(by)
        self.ends.shift_clock(by)
        super().shift_clock(by)
