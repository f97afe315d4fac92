"""Events that wait for the host to fetch them."""

from itertools import count
from typing import Final

from attrs import evolve

from firezone_filter.values.events import (
    AccessEvent,
    AuthorizationExpired,
    Event,
    FlowEnded,
    FlowEvent,
    FlowStarted,
)

MAX_FLOW_EVENTS: Final = 65_536
"""Flow records that wait for the host. Traffic makes them, so a host that does not fetch them
must not run out of memory: at about 600 bytes each, 40 MiB. What comes then is lost, and
counted (`Counters.flow_events_lost`)."""


class EventQueue:
    """Events that wait for the host, in the order in which they took effect.

    Of authorizations at most one of a kind waits per client and resource, so that renewing and
    expiring over and over costs nothing; what makes them more are new ids, and only the host
    has those. Flow events are accounts: each counts, nothing withdraws them, and of them there
    is a maximum.
    """

    __slots__ = (
        "_by_client",
        "_events",
        "_first",
        "_flow_events",
        "_numbers",
        "flow_events_lost",
    )

    def __init__(self) -> None:
        # By number, counting up; what is withdrawn leaves a gap. A million may wait, and an
        # ordered dict would take twice as much for each.
        self._events: dict[int, Event] = {}
        self._numbers = count()
        self._first = 0
        # The numbers of those about a client's authorizations, by `_subject`.
        self._by_client: dict[str, dict[str, int]] = {}
        self._flow_events = 0
        self.flow_events_lost = 0

    def put(self, event: AccessEvent) -> None:
        """Queue *event* last, in place of one of the same kind about the same."""
        numbers = self._by_client.get(event.client_id)
        if numbers is None:
            numbers = self._by_client[event.client_id] = {}
        subject = _subject(event)
        if subject in numbers:
            del self._events[numbers[subject]]
        number = numbers[subject] = next(self._numbers)
        self._events[number] = event

    def put_flow(self, event: FlowEvent) -> None:
        """Queue *event* last, if there is room."""
        if self._flow_events >= MAX_FLOW_EVENTS:
            self.flow_events_lost += 1
            return
        self._flow_events += 1
        self._events[next(self._numbers)] = event

    def withdraw(self, event: AccessEvent) -> None:
        """Take away what waits of the kind of *event*, about the same."""
        number = self._by_client.get(event.client_id, {}).get(_subject(event))
        if number is not None:
            del self._events[number]
            self._forget(event)

    def withdraw_all(self, client_id: str) -> None:
        """Take away all that waits about a client's authorizations."""
        for number in self._by_client.pop(client_id, {}).values():
            del self._events[number]

    def get(self) -> Event | None:
        """Return the first event and take it away; `None` if none waits."""
        if not self._events:
            return None
        # Not `next(iter(…))`: that goes over the places of all that have been taken away.
        while self._first not in self._events:
            self._first += 1
        event = self._events.pop(self._first)
        if isinstance(event, AccessEvent):
            self._forget(event)
        else:
            self._flow_events -= 1
        return event

    def start_clock(self, now: float) -> None:
        """Count what began before the first `now` from there."""
        for number, event in self._events.items():
            if isinstance(event, FlowEnded):
                self._events[number] = evolve(event, flow_start=now, last_packet=now, flow_end=now)
            elif isinstance(event, FlowStarted):
                self._events[number] = evolve(event, flow_start=now)

    def _forget(self, event: AccessEvent) -> None:
        numbers = self._by_client[event.client_id]
        del numbers[_subject(event)]
        if not numbers:
            del self._by_client[event.client_id]


def _subject(event: AccessEvent) -> str:
    """Return what tells an event from the others of its client."""
    # No resource has an empty id.
    return event.resource_id if isinstance(event, AuthorizationExpired) else ""
