"""What happened by itself: events that a host fetches with `Gateway.poll_event`."""

import enum
from ipaddress import IPv4Address, IPv6Address
from itertools import count
from typing import Final

from attrs import evolve, frozen

from firezone_filter.decisions import Direction, Reason

MAX_FLOW_EVENTS: Final = 65_536
"""Flow records that wait for the host. Traffic makes them, so a host that does not fetch them
must not run out of memory: at about 600 bytes each, 40 MiB. What comes then is lost, and
counted (`Counters.flow_events_lost`)."""


@frozen
class AuthorizationExpired:
    """An authorization reached its `expires_at` and is gone."""

    client_id: str
    """Whose authorization it was."""

    resource_id: str
    """What it had been for."""

    expired_at: float
    """The `expires_at` that it had, on the host's clock."""


@frozen
class AccessExhausted:
    """The last authorization of a client has gone; it may reach no resource any more.

    Firezone's Gateway closes the client's connection at this point. The library keeps the
    client connected, with nothing allowed, until the host says otherwise.
    """

    client_id: str
    """The client that has nothing left."""


class FlowEnd(enum.StrEnum):
    """Why the record of a flow was closed. The values are stable; logs may rely on them."""

    FIN = "fin"
    """TCP: both ends were done sending."""

    RST = "rst"
    """TCP: one end broke off."""

    IDLE = "idle"
    """No packet for more than two minutes."""

    RESTARTED = "restarted"
    """Another flow with the same ends began, and another record: by a SYN of TCP, or to
    another name with the same address."""

    REVOKED = "revoked"
    """The client is not authorized for the resource any more."""

    EXPIRED = "expired"
    """The authorization expired."""

    DISCONNECTED = "disconnected"
    """The client has gone, or has begun another tunnel session."""

    CROWDED_OUT = "crowded-out"
    """The client has begun more flows than are recorded at a time."""


@frozen(kw_only=True)
class _Flow:
    """What tells one recorded flow from another."""

    client_id: str
    """The client, the initiator of the flow."""

    resource_id: str
    """The resource that permits it."""

    protocol: int
    """IANA protocol number."""

    inner_src_ip: IPv4Address | IPv6Address
    """The client's tunnel address."""

    inner_src_port: int | None
    """The client's port or echo id, as the resource sees it: after translation. `None` where
    the protocol has none."""

    inner_dst_ip: IPv4Address | IPv6Address
    """The resource's real address: after translation."""

    inner_dst_port: int | None
    """The resource's port. `None` where the protocol has none."""

    domain: str | None
    """The name that the client asked for, if the resource is reached by name."""

    flow_start: float
    """When its first packet was decided about."""


@frozen(kw_only=True)
class FlowStarted(_Flow):
    """A client has begun to exchange packets with a resource (`GatewayOptions.flow_records`).

    The fields are those of Firezone's flow record. Times are on the host's clock.
    """


@frozen(kw_only=True)
class FlowEnded(_Flow):
    """A recorded flow is over; what it was, and what went through it."""

    last_packet: float
    """When its last packet was decided about."""

    flow_end: float
    """When it was over."""

    tx_packets: int
    """Packets from the client to the resource."""

    tx_bytes: int
    """Their payload, without IP and transport headers."""

    rx_packets: int
    """Packets from the resource to the client."""

    rx_bytes: int
    """Their payload, without IP and transport headers."""

    cause: FlowEnd
    """Why it is over."""


@frozen(kw_only=True)
class FlowRefused:
    """Packets that were refused for one reason, of one client and far end, within a minute.

    A client that tries many far ends fills a few of these records: from the ninth on they are
    one, with what its packets have in common.
    """

    client_id: str | None
    """The client; `None` where none was found."""

    direction: Direction
    """Which way the packets were going."""

    reason: Reason
    """Why they were refused."""

    far_ip: IPv4Address | IPv6Address | None
    """The other end, as it stood in the packets; `None` for several, or for none that could
    be read."""

    protocol: int | None
    """IANA protocol number; `None` for several, or for none that could be read."""

    far_port: int | None
    """The other end's port; `None` for several, or where the protocol has none."""

    first_packet: float
    """When the first was refused."""

    last_packet: float
    """When the last was refused."""

    packets: int
    """How many were refused."""

    ip_bytes: int
    """Their size, headers included."""


AccessEvent = AuthorizationExpired | AccessExhausted
"""What is reported of authorizations."""

FlowEvent = FlowStarted | FlowEnded | FlowRefused
"""What is reported only with `GatewayOptions(flow_records=True)`."""

Event = AccessEvent | FlowEvent
"""What `Gateway.poll_event` returns."""


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
