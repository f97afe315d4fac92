"""The sessions of each client, in the order of their ends, and the limits that all share.

Theory of operation. What is over is over when looked at (`lifetimes`); here it is forgotten, a
few sessions at a time, by `ClientSessions.forget`, which the pool's upkeep queue calls. So that
no look has to walk, a client's sessions stand by the moments at which they end:

- in a lane where a packet can only move a session to its end: those never answered by their
  last packet out, established TCP too, datagrams by their last packet;
- in a heap where their order is another: those that are closing or to which the client has
  said FIN (their lanes have the order in which they give way: by their last packet), TCP of
  which the first answer came just now, and datagrams that have reached the cap.

The first of the lanes and of the heap are all that can end first.

Two limits hold: one for each client, one for all together. At the first a session of the
client's own gives way to a new one, at the second one of the client that has most: a session
that is closing, else one to which the client has said FIN, else one that was never answered;
of these the one that has been without a packet for longest. An established session never
gives way, so nobody can end another's connections, or its own, by opening more. What is gone
counts towards no limit: while any waits, that is taken apart for the new one instead. So there
are never more in memory than may live.

The clients need an order only near the limit of all, and keeping it takes a microsecond a session.
So a client gets its place once half of that many sessions are there: with each that begins from
then on, the client of that one and another. There are no more clients without a place than half
the limit by then, so all have one at the limit.
"""

import math
from collections import OrderedDict
from itertools import islice
from typing import Any, Final, Generic, NamedTuple, TypeVar, cast

from firezone_filter.compiled.twins import compiled
from firezone_filter.structures.deadline import Deadline
from firezone_filter.structures.heaps import NO_PLACE, PlacedHeap
from firezone_filter.structures.lanes import Lane
from firezone_filter.structures.upkeep import UpkeepQueue
from firezone_filter.tracking.lifetimes import (
    DATAGRAM,
    HAS_SAID_FIN,
    IS_UNANSWERED,
    STAYS,
    UNANSWERED,
    Group,
    TrackedSession,
)

MAX_LOOKS: Final = 512
"""Clients that are asked for a session that is gone, at the limit of all. Each whose earliest
end is not as early as was announced is asked in vain, until upkeep corrects that. If so many
were, which takes as many clients at that limit and no upkeep for a minute, the new session is
refused: bounded work is worth more than a place in a state that hardly exists."""

_ONE_SESSION: Final = 1 << 40
"""How far one session more moves a client in the order of those that have most: further than
there are clients, whose numbers decide among equals."""

S = TypeVar("S", bound=TrackedSession)


class Room(NamedTuple, Generic[S]):
    """Whether there is room for another session."""

    is_there: bool
    """Whether another may be opened."""

    client: "ClientSessions[S] | None" = None
    """The client of which one must go first, if any must."""

    displaced: S | None = None
    """That session: one that is gone, or one that gives way."""


_ROOM: Final[Room[Any]] = Room(is_there=True)
_NO_ROOM: Final[Room[Any]] = Room(is_there=False)


class SessionPool(Generic[S]):
    """The sessions of all clients: their upkeep, and the limits that they share."""

    __slots__ = (
        "_unranked",
        "count",
        "in_all",
        "most",
        "per_client",
        "ranked_above",
        "upkeep",
        "withdrawn",
    )

    def __init__(self, per_client: int, in_all: int) -> None:
        """Allow *per_client* sessions of each client, and *in_all* of all together."""
        self.per_client: int = per_client
        self.in_all: int = in_all
        self.count: int = 0
        """How many sessions there are, those that are gone and wait to be forgotten included."""
        self.ranked_above: int = in_all // 2
        """With more sessions than these, clients get places among those that have most."""
        self.most: PlacedHeap[ClientSessions[S]] = PlacedHeap()
        """The clients with sessions that have a place; the one that has most first, of equals the
        one that connected first."""
        self._unranked: dict[ClientSessions[S], None] = {}
        self.withdrawn: OrderedDict[ClientSessions[S], None] = OrderedDict()
        """The clients of which groups wait that policy has withdrawn."""
        self.upkeep: UpkeepQueue[ClientSessions[S]] = UpkeepQueue()
        """The clients by the earliest end of their sessions, or an earlier moment."""

    @property
    def next(self) -> float:
        """Nothing is to be forgotten before this moment, which may be early."""
        return self.upkeep.next

    def forget(self, now: float, most: int) -> int:
        """Forget sessions that are gone, in up to *most* steps; return how many it took."""
        return self.upkeep.forget(now, most)

    def room(self, now: float) -> Room[S]:
        """Tell whose session has to go for another, at the limit of all."""
        for client in self.withdrawn:
            return Room(is_there=True, client=client, displaced=client.first_gone(now))
        due = self.upkeep.waiting(now)
        for client in islice(due, MAX_LOOKS):
            gone = client.first_gone(now)
            if gone is not None:
                return Room(is_there=True, client=client, displaced=gone)
        greatest = self.most.first
        if greatest is None or next(due, None) is not None:
            return _NO_ROOM
        return greatest.yielding()

    def rank(self, client: "ClientSessions[S]") -> None:
        """Let the number of a client's sessions count, and that of one that has no place yet."""
        self._unranked.pop(client, None)
        self.most.put(client, client.rank)
        if self._unranked:
            other, _ = self._unranked.popitem()
            self.most.put(other, other.rank)

    def expect(self, client: "ClientSessions[S]") -> None:
        """Take note of a client with a first session, which needs no place yet."""
        self._unranked[client] = None

    def leave(self, client: "ClientSessions[S]") -> None:
        """Take note that a client has no sessions any more."""
        self._unranked.pop(client, None)
        self.most.remove(client)


@compiled
class SessionLanes(Deadline):
    """Where the sessions of a client stand that its packets prolong in the usual way.

    Nothing else of a client's sessions is needed for the packets of a steady one.
    """

    __slots__ = ("datagrams", "established", "unanswered")

    def __init__(self) -> None:
        self.next: float = math.inf
        """No session is gone before this moment, which may be early."""
        # As the theory above has it.
        self.unanswered: Lane[Any] = Lane()
        self.established: Lane[Any] = Lane()
        self.datagrams: Lane[Any] = Lane()


class ClientSessions(SessionLanes, Generic[S]):
    """The sessions of one client in a pool, which keeps them for their owner, a subclass."""

    __slots__ = (
        "_closing",
        "_connected",
        "_ending",
        "_ends",
        "_said_fin",
        "_withdrawn",
        "count",
        "deadline",
        "place",
        "pool",
    )

    next: float

    def __init__(self, pool: SessionPool[S], connected: int) -> None:
        """Begin without any; *connected* numbers the clients in the order of their coming."""
        super().__init__()
        self.pool: SessionPool[S] = pool
        self._connected = connected
        self.count: int = 0
        """How many there are, those that are gone and wait to be forgotten included."""
        self.place: int = NO_PLACE
        self.deadline: int = NO_PLACE
        # As the theory above has it.
        self._closing: Lane[S] = Lane()
        self._said_fin: Lane[S] = Lane()
        self._ends: PlacedHeap[S] = PlacedHeap()
        # Groups that have sessions, and of which the end is known and has not been carried out.
        self._ending: PlacedHeap[Group] = PlacedHeap()
        # Never an empty one.
        self._withdrawn: dict[Group, None] = {}

    @property
    def rank(self) -> int:
        """Its key among the clients that have most."""
        return self._connected - self.count * _ONE_SESSION

    def ended(self, session: S, at: float | None) -> None:
        """Remove a session from what its owner has of it; it has left its group.

        Args:
            session: the session.
            at: when it ended by its own rules; `None` if policy ended it.
        """
        raise NotImplementedError

    # --- Reading ---------------------------------------------------------------------------

    def first_gone(self, now: float) -> S | None:
        """Return the session that is to be forgotten first, if any is gone."""
        if self._withdrawn:
            return self._last(next(reversed(self._withdrawn)))
        if now < self.next:
            return None
        ending = self._ending.first
        if ending is not None and now >= ending.ends_at:
            return self._last(ending)
        first = self._first()
        return first if first is not None and now >= first.expires_at else None

    def _last(self, group: Group) -> S:
        held = group.held
        return held[next(reversed(held))]  # type: ignore[no-any-return]

    def _look_ahead(self) -> None:
        """Find out until when no session is gone."""
        first, ending = self._first(), self._ending.first
        self.next = math.inf if first is None else first.expires_at
        if ending is not None and ending.ends_at < self.next:
            self.next = ending.ends_at

    def _first(self) -> S | None:
        """Return the session whose time is over first."""
        heads = (
            self._ends.first,
            self.unanswered.first,
            self.datagrams.first,
            self.established.first,
        )
        first, at = None, math.inf
        for head in heads:
            if head is not None and (its_end := head.expires_at) < at:
                first, at = head, its_end
        return first

    def room(self, now: float) -> Room[S]:
        """Tell whether there is room for another session, and which one has to go for it.

        Only live sessions count: as long as any is gone, such a one goes. (Callers may compare
        both counts with their limits first, which takes less than a call.)
        """
        pool = self.pool
        if self.count < pool.per_client:
            return _ROOM if pool.count < pool.in_all else pool.room(now)
        gone = self.first_gone(now)
        if gone is None:
            return self.yielding()
        return Room(is_there=True, client=self, displaced=gone)

    def yielding(self) -> Room[S]:
        """Return which session gives way to another where none is gone."""
        for lane in (self._closing, self._said_fin, self.unanswered):
            if lane.first is not None:
                return Room(is_there=True, client=self, displaced=lane.first)
        return _NO_ROOM

    def lives(self, session: S, now: float) -> bool:
        """Tell whether a session lives, and note until when none of the client's can be gone."""
        if now < self.next:
            return session.is_open
        if not self._withdrawn:
            self._look_ahead()
        return session.is_open and not session.is_gone(now)

    # --- Changing --------------------------------------------------------------------------

    def add(self, session: S) -> None:
        """Begin a session that has seen its first packet, in its group."""
        session.is_open = True
        group = session.group
        group.held[session.key] = session
        if group.place == NO_PLACE and group.ends_at < math.inf:
            self.set_end(group, group.ends_at)
        pool = self.pool
        self.count += 1
        pool.count += 1
        if self.place != NO_PLACE or pool.count > pool.ranked_above:
            pool.rank(self)
        elif self.count == 1:
            pool.expect(self)
        if session.kind != IS_UNANSWERED:
            self.note(session, outbound=True)
            return
        # As `note` does it, for what is new.
        self.unanswered.append(session)
        at = session.last_outbound + UNANSWERED
        if at < self.next:
            self.next = at
            pool.upkeep.announce(self, at)

    def make_room(self, now: float) -> None:
        """Let another session go for a new one, for which `room` has said yes at a limit."""
        _, client, displaced = self.room(now)
        cast("ClientSessions[S]", client).take_apart(cast("S", displaced), now)

    def see(self, session: S, port: int, flags: int, now: float, *, outbound: bool) -> None:
        """Let an allowed packet confirm, prolong or end its session.

        Args:
            session: the packet's.
            port: the resource's port; where there is but one or none, the same number each time.
            flags: the packet's TCP flags; 0 for other protocols.
            now: the time.
            outbound: whether the client sent it.
        """
        see = session.see_outbound if outbound else session.see_inbound
        if see(port, flags, now):
            self.end(session, now)
        else:
            self.note(session, outbound=outbound)

    def note(self, session: S, *, outbound: bool) -> None:
        """Take note of a packet that a session has seen; *outbound* if the client sent it."""
        kind, at = session.kind, session.expires_at
        was_steady = session.is_steady
        session.is_steady = kind == STAYS
        session.is_half_closed = kind == HAS_SAID_FIN and session.is_answered
        if kind == IS_UNANSWERED:
            # The packet was one out, so it is the last of these to end.
            self.prolong(session, self.unanswered)
        elif kind != STAYS:
            self._ends.put(session, at)
            (self._said_fin if kind == HAS_SAID_FIN else self._closing).append(session)
        elif not session.is_tcp and at == session.last + DATAGRAM:
            self.prolong(session, self.datagrams)
        elif session.is_tcp and outbound:
            self.prolong(session, self.established)
        elif not (session.is_tcp and was_steady):
            # Of the others of its lane some may end later: it was answered long after its last
            # packet out, or what comes in prolongs it no more.
            session.unlink()
            self._ends.put(session, at)
        if at < self.next:
            self.next = at
            self.pool.upkeep.announce(self, at)

    def see_half_closed(self, session: S, now: float, *, outbound: bool) -> None:
        """Let a packet without state flags prolong a session that is half closed."""
        if outbound and now != session.last_outbound:
            session.last = session.last_outbound = now
            self._ends.put(session, session.expires_at)
        lane = self._said_fin
        if session.after is not lane:
            lane.append(session)

    def prolong(self, session: S, lane: Lane[S]) -> None:
        """Put a session where it ends after all others of a lane."""
        if session.place != NO_PLACE:
            self._ends.remove(session)
        lane.append(session)

    def regroup(self, session: S, group: Group) -> None:
        """Let a live session end together with those of another group from here on."""
        before = session.group
        del before.held[session.key]
        if not before.held:
            self._ending.remove(before)
        session.group = group
        group.held[session.key] = session
        if group.ends_at < math.inf:
            self.set_end(group, group.ends_at)

    def set_end(self, group: Group, ends_at: float) -> None:
        """Take note of when policy is going to end a group that has sessions."""
        group.ends_at = ends_at
        if ends_at == math.inf:
            self._ending.remove(group)
            return
        self._ending.put(group, ends_at)
        if ends_at < self.next:
            self.next = ends_at
            self.pool.upkeep.announce(self, ends_at)

    def withdraw(self, group: Group, at: float) -> None:
        """End the sessions of a group at *at* by policy, at once; they are forgotten later."""
        self._ending.remove(group)
        if group.held:
            group.withdrawn_at = group.ends_at = min(group.ends_at, at)
            self._withdrawn[group] = None
            self.pool.withdrawn[self] = None
            self.next = -math.inf
            self.pool.upkeep.announce(self, at)

    def end(self, session: S, at: float) -> None:
        """End a live session at *at*, by its own rules."""
        self._remove(session)
        self.ended(session, at)

    def take_apart(self, session: S, now: float) -> None:
        """Forget a session that is gone; one that lives gives way, and ends at *now*."""
        at = session.ended_at(now)
        if at is None and now < session.group.ends_at:
            at = now
        self._remove(session)
        self.ended(session, at)

    def _remove(self, session: S) -> None:
        group = session.group
        # It has left already where a call before was cut off.
        if group.held.pop(session.key, None) is None:
            return
        session.is_open = session.is_steady = session.is_half_closed = False
        session.unlink()
        self._ends.remove(session)
        if not group.held:
            self._ending.remove(group)
            if group in self._withdrawn:
                del self._withdrawn[group]
                if not self._withdrawn:
                    self.pool.withdrawn.pop(self, None)
        self.count -= 1
        self.pool.count -= 1
        if not self.count:
            self.pool.leave(self)
        elif self.place != NO_PLACE:
            self.pool.rank(self)

    # --- Upkeep ----------------------------------------------------------------------------

    def due(self) -> float | None:
        """Return when there is something to forget; `None` without sessions."""
        if self._withdrawn:
            return next(reversed(self._withdrawn)).withdrawn_at
        self._look_ahead()
        return None if self.next == math.inf else self.next

    def forget(self, now: float, most: int) -> int:
        """Forget up to *most* sessions that are gone; return how many steps it took."""
        steps = 0
        while steps < most and (session := self.first_gone(now)) is not None:
            self.take_apart(session, now)
            steps += 1
        return steps

    def close(self) -> None:
        """Take leave of the pool: the client has gone, and so have its sessions."""
        self.pool.upkeep.set(self, None)
        # Whoever still asks, since something has failed, finds none open, and looks no further.
        self.next = math.inf
        # An empty lane is its own neighbour, a cycle that reference counting does not free.
        for lane in (
            self._closing,
            self._said_fin,
            self.unanswered,
            self.established,
            self.datagrams,
        ):
            lane.unlink()

    def shift_clock(self, by: float) -> None:
        """Move every moment by so many seconds, those of the sessions excepted."""
        # Rounding may have changed what was exact.
        self._ends.renew(lambda session: session.expires_at)
        for group in self._withdrawn:
            group.shift_clock(by)
        # The pool's queue has moved as a whole; the ends that policy has set have not.
        self.pool.upkeep.set(self, self.due())
