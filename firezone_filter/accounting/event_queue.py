"""The queue of events that wait for the host (docs/rules.md, section 3, rule 8)."""

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
"""Flow events that may wait. Traffic creates them, and a host that does not poll must not run
out of memory: at about 600 bytes each, 40 MiB. Further ones are lost, and counted as
`Counters.flow_events_lost`."""


class EventQueue:
    """Events in the order in which they took effect.

    At most one access event of a kind waits for a client and resource, so renewing and expiring
    an authorization over and over needs no more memory; only new ids do, and the host hands
    those out. Flow events are an account: each of them counts, so none replaces or withdraws
    another, and their number is limited.
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
        # By ascending number, with a gap for each withdrawn event. A million may wait, and an
        # `OrderedDict` would take twice the memory for each.
        self._events: dict[int, Event] = {}
        self._numbers = count()
        self._first = 0
        # The numbers of waiting access events, by client id and `_subject`.
        self._by_client: dict[str, dict[str, int]] = {}
        self._flow_events = 0
        self.flow_events_lost = 0

    def put(self, event: AccessEvent) -> None:
        """Queue an access event; it replaces a waiting one of its kind, client and resource."""
        numbers = self._by_client.get(event.client_id)
        if numbers is None:
            numbers = self._by_client[event.client_id] = {}
        subject = _subject(event)
        if subject in numbers:
            del self._events[numbers[subject]]
        number = numbers[subject] = next(self._numbers)
        self._events[number] = event

    def put_flow(self, event: FlowEvent) -> None:
        """Queue a flow event; without room it is lost, and counted."""
        if self._flow_events >= MAX_FLOW_EVENTS:
            self.flow_events_lost += 1
            return
        self._flow_events += 1
        self._events[next(self._numbers)] = event

    def withdraw(self, event: AccessEvent) -> None:
        """Remove a waiting event of the same kind, client and resource as *event*."""
        number = self._by_client.get(event.client_id, {}).get(_subject(event))
        if number is not None:
            del self._events[number]
            self._forget(event)

    def withdraw_all(self, client_id: str) -> None:
        """Remove all waiting access events of a client. Its flow events stay."""
        for number in self._by_client.pop(client_id, {}).values():
            del self._events[number]

    def get(self) -> Event | None:
        """Remove and return the first event; return `None` if none waits."""
        if not self._events:
            return None
        # Not `next(iter(…))`, which walks over the slots of all events removed before.
        while self._first not in self._events:
            self._first += 1
        event = self._events.pop(self._first)
        if isinstance(event, AccessEvent):
            self._forget(event)
        else:
            self._flow_events -= 1
        return event

    def start_clock(self, now: float) -> None:
        """Set the times in events from before the first `now` to *now*."""
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
    """Return a key for an access event among those of its client."""
    # No resource id is empty, so an empty key is free for `AccessExhausted`.
    return event.resource_id if isinstance(event, AuthorizationExpired) else ""
