"""The queue of events that wait for the host (rules.md, section 3, rule 8).

Theory of operation. Events come in the order in which they took effect, but they are not all
made in that order: what a moment ends at once may be taken apart over many calls. So there are
two lines. *Other* events, those of hooks and packets, take effect in the call that puts them:
a FIFO, in which marks tell the `now` of what stands behind them. Events of *expiries* took
effect at an `expires_at`, whenever they are made: a heap. An expiry comes before what was done
at that `now` or later.

The logs notice in one call that something is due and report it in later ones. They reserve a
place in the FIFO, into which they put their events in order, and release it at the end. What
stands behind an unfinished place waits.

Access events may be withdrawn. The queue then forgets which event waits for the client and
resource; the entry in its line is outdated, and skipped when its turn comes. Hooks rebuild
the lines once most of them is outdated; packet calls never do.
"""

import heapq
import math
from collections import deque
from itertools import count
from typing import Final, NamedTuple, cast

from attrs import evolve

from firezone_filter.structures.shards import ShardedDict
from firezone_filter.values.events import (
    AccessEvent,
    AuthorizationExpired,
    Event,
    FlowEnded,
    FlowEvent,
    FlowStarted,
)

MAX_FLOW_EVENTS: Final = 65_536
"""Flow events that may wait. Traffic creates them, and a host that does not poll must not run
out of memory: at about 600 bytes each, 40 MiB. Further ones are lost, and counted as
`Counters.flow_events_lost`."""

_FEW: Final = 64
"""So many outdated entries are not worth rebuilding the lines."""


class Expiry(NamedTuple):
    """The place of an expiry in the order of events."""

    moment: float
    """Its `expires_at`."""

    number: int
    """Expiries of one moment come in the order in which they were set."""


class Place:
    """A place in the FIFO for events that are still to be made."""

    __slots__ = ("events", "is_open")

    def __init__(self) -> None:
        self.events: deque[FlowEvent] | None = None
        self.is_open: bool = True


# The order of the events of one expiry: itself, the flows that it ends, and `AccessExhausted`
# at the end. Flows are numbered, from 1.
_FIRST: Final = 0
_LAST: Final = math.inf

_Ended = tuple[float, int, float, Event]
"""Moment and number of the expiry, order among its events, event."""

_Entry = float | Event | Place


class EventQueue:
    """Events in the order in which they took effect. Each is an object of its own.

    At most one access event of a kind waits for a client and resource, so renewing and expiring
    an authorization over and over needs no more memory; only new ids do, and the host hands
    those out. Flow events are an account: each of them counts, so none replaces or withdraws
    another, and their number is limited.
    """

    __slots__ = (
        "_by_client",
        "_ended",
        "_flow_events",
        "_flow_numbers",
        "_last_now",
        "_others",
        "_outdated",
        "_reached",
        "flow_events_lost",
    )

    def __init__(self) -> None:
        self._ended: list[_Ended] = []
        # A number among the others is the `now` of those behind it: a pair for each event
        # would double what it takes.
        self._others: deque[_Entry] = deque()
        self._reached = -math.inf  # the mark before the first of the others
        self._last_now = -math.inf  # the mark before the next one
        # The waiting access events, by client id and `_subject`. An entry of a line that is
        # not in here is outdated.
        self._by_client: ShardedDict[ShardedDict[AccessEvent]] = ShardedDict()
        self._outdated = 0
        self._flow_numbers = count(1)
        self._flow_events = 0
        self.flow_events_lost: int = 0

    # --- Putting ---------------------------------------------------------------------------

    def put(self, event: AccessEvent, now: float) -> None:
        """Queue an access event that a hook causes at *now*.

        It replaces a waiting one of its kind, client and resource. For hooks only, since it
        may rebuild the lines.
        """
        self._await(event)
        self._append(event, now)
        self.tidy()

    def put_expiry(self, event: AccessEvent, expiry: Expiry) -> None:
        """Queue an access event that *expiry* causes; it replaces as with `put`."""
        self._await(event)
        order = _FIRST if isinstance(event, AuthorizationExpired) else _LAST
        heapq.heappush(self._ended, (*expiry, order, event))

    def put_flow(self, event: FlowEvent, now: float) -> None:
        """Queue a flow event that a packet or hook causes at *now*.

        Without room it is lost, and counted; so are those of the other methods.
        """
        if self._has_room():
            self._append(event, now)

    def put_flow_of_expiry(self, event: FlowEvent, expiry: Expiry) -> None:
        """Queue a flow event that *expiry* causes, behind its `AuthorizationExpired`."""
        if self._has_room():
            heapq.heappush(self._ended, (*expiry, next(self._flow_numbers), event))

    # --- Places ----------------------------------------------------------------------------

    def reserve(self, now: float) -> Place:
        """Reserve a place for flow events that take effect at *now* and are made later."""
        place = Place()
        self._append(place, now)
        return place

    def put_in(self, place: Place, event: FlowEvent) -> None:
        """Queue a flow event in a place."""
        if self._has_room():
            if place.events is None:
                place.events = deque()
            place.events.append(event)

    def release(self, place: Place) -> None:
        """Take note that all events of a place have been made."""
        place.is_open = False
        # As the last one it needs no place of its own, as mostly: it is reported in one call.
        if self._others and self._others[-1] is place:
            self._others.pop()
            self._others.extend(place.events or ())

    # --- Withdrawing -----------------------------------------------------------------------

    def withdraw(self, event: AccessEvent) -> None:
        """Remove a waiting event of the same kind, client and resource as *event*.

        This and `withdraw_all` are for hooks only, since they may rebuild the lines.
        """
        events = self._by_client.get(event.client_id)
        if events is not None and events.get(_subject(event)) is not None:
            self._forget(event)
            self._outdated += 1
        self.tidy()

    def withdraw_all(self, client_id: str) -> None:
        """Remove all waiting access events of a client. Its flow events stay."""
        events = self._by_client.get(client_id)
        if events is not None:
            self._by_client.remove(client_id)
            self._outdated += len(events)
        self.tidy()

    def is_waiting(self, event: AccessEvent) -> bool:
        """Tell whether an event of the same kind, client and resource as *event* waits."""
        events = self._by_client.get(event.client_id)
        return events is not None and events.get(_subject(event)) is not None

    def tidy(self) -> None:
        """Rebuild the lines if two in three events are outdated; for hooks only."""
        # (Each may have a mark of its own.)
        if self._outdated > _FEW and self._outdated * 3 > len(self._ended) + len(self._others):
            self._ended = [entry for entry in self._ended if self._waits(entry[3])]
            heapq.heapify(self._ended)
            entries, self._others = self._others, deque()
            for entry in entries:
                if isinstance(entry, float | int):
                    self._mark(entry)
                elif isinstance(entry, Place) or self._waits(entry):
                    self._others.append(entry)
            self._outdated = 0

    # --- Getting ---------------------------------------------------------------------------

    def get(self) -> Event | None:
        """Remove and return the first event; `None` if none waits, or a place `is_blocked`.

        Expiries that are still to be withdrawn may come before it: ask `comes_first`.
        """
        self._skip_outdated()
        event: Event
        if self._expiry_is_first():
            event = heapq.heappop(self._ended)[3]
        elif not self._others:
            return None
        elif isinstance(first := self._others[0], Place):
            if not first.events:
                return None
            event = first.events.popleft()
        else:
            # Marks have been skipped.
            event = self._others.popleft()  # type: ignore[assignment]
        if isinstance(event, AccessEvent):
            self._forget(event)
        else:
            self._flow_events -= 1
        return event

    def comes_first(self, expiry: Expiry, *, has_begun: bool) -> bool:
        """Tell whether an expiry whose withdrawal is unfinished comes before what waits.

        If so, `get` would return an event out of its turn.

        Args:
            expiry: the first such expiry.
            has_begun: whether its `AuthorizationExpired` has been put, so that those of its
                events that wait may go.
        """
        self._skip_outdated()
        if self._ended:
            key = (*expiry, _LAST if has_begun else _FIRST)
            if self._ended[0][:3] <= key:
                return False
        return not self._others or expiry.moment <= self._reached

    @property
    def is_blocked(self) -> bool:
        """Whether the next event is one that a log has still to make."""
        self._skip_outdated()
        if not self._others or self._expiry_is_first():
            return False
        first = self._others[0]
        return isinstance(first, Place) and not first.events

    def _expiry_is_first(self) -> bool:
        return bool(self._ended) and (not self._others or self._ended[0][0] <= self._reached)

    def _skip_outdated(self) -> None:
        """Remove from the front of both lines what is no event that waits."""
        ended, others = self._ended, self._others
        while ended and not self._waits(ended[0][3]):
            heapq.heappop(ended)
            self._outdated -= 1
        while others:
            first = others[0]
            if isinstance(first, Place):
                if first.is_open or first.events:
                    break
            elif isinstance(first, float | int):
                self._reached = first
            elif self._waits(first):
                break
            else:
                self._outdated -= 1
            others.popleft()

    def waiting(self) -> list[Event]:
        """Return the events that wait, in their order, and leave them; it walks over all."""
        ended = deque(entry for entry in sorted(self._ended) if self._waits(entry[3]))
        events: list[Event] = []
        reached = self._reached
        for entry in self._others:
            if isinstance(entry, float | int):
                reached = entry
                continue
            while ended and ended[0][0] <= reached:
                events.append(ended.popleft()[3])
            if isinstance(entry, Place):
                events += entry.events or ()
            elif self._waits(entry):
                events.append(entry)
        return events + [entry[3] for entry in ended]

    # --- The clock -------------------------------------------------------------------------

    def start_clock(self, now: float) -> None:
        """Set the times in events from before the first `now` to *now*."""
        before = self._drain()
        for event in before:
            if isinstance(event, FlowEnded):
                dated: Event = evolve(event, flow_start=now, last_packet=now, flow_end=now)
            elif isinstance(event, FlowStarted):
                dated = evolve(event, flow_start=now)
            else:
                dated = event
            self._put_back(dated, now)

    def set_clock(self) -> None:
        """Keep the order of what waits, since moments of another clock follow.

        Nothing may be unfinished: neither an expiry nor a place.
        """
        for event in self._drain():
            self._put_back(event, -math.inf)

    def _drain(self) -> list[Event]:
        events = self.waiting()
        self._ended, self._others = [], deque()
        self._reached = self._last_now = -math.inf
        self._by_client = ShardedDict()
        self._outdated = self._flow_events = 0
        return events

    def _put_back(self, event: Event, now: float) -> None:
        if isinstance(event, AccessEvent):
            self._await(event)
        else:
            self._flow_events += 1
        self._append(event, now)

    # --- Inside ----------------------------------------------------------------------------

    def _append(self, entry: Event | Place, now: float) -> None:
        if now != self._last_now:
            self._last_now = now
            self._mark(now)
        self._others.append(entry)

    def _mark(self, now: float) -> None:
        # A mark with nothing behind it is replaced, or marks alone would fill the memory.
        if self._others and isinstance(self._others[-1], float | int):
            self._others.pop()
        self._others.append(now)

    def _has_room(self) -> bool:
        if self._flow_events >= MAX_FLOW_EVENTS:
            self.flow_events_lost += 1
            return False
        self._flow_events += 1
        return True

    def _waits(self, event: Event) -> bool:
        if not isinstance(event, AccessEvent):
            return True
        events = self._by_client.get(event.client_id)
        return events is not None and events.get(_subject(event)) is event

    def _await(self, event: AccessEvent) -> None:
        events = self._by_client.get(event.client_id)
        if events is None:
            events = ShardedDict()
            self._by_client.set(event.client_id, events)
        subject = _subject(event)
        if events.get(subject) is not None:
            self._outdated += 1
        events.set(subject, event)

    def _forget(self, event: AccessEvent) -> None:
        events = cast("ShardedDict[AccessEvent]", self._by_client.get(event.client_id))
        events.remove(_subject(event))
        if not events:
            self._by_client.remove(event.client_id)


def _subject(event: AccessEvent) -> str:
    """Return a key for an access event among those of its client."""
    # No resource id is empty, so an empty key is free for `AccessExhausted`.
    return event.resource_id if isinstance(event, AuthorizationExpired) else ""
