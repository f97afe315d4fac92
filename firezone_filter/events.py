"""What happened by itself: events that a host fetches with `Gateway.poll_event`."""

from collections import OrderedDict

from attrs import frozen


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


Event = AuthorizationExpired | AccessExhausted
"""What `Gateway.poll_event` returns."""


class EventQueue:
    """Events that wait for the host, in the order in which they took effect.

    At most one of a kind waits per client and resource, so that renewing and expiring over
    and over costs nothing; what makes the queue grow are new ids, and only the host has those.
    """

    __slots__ = ("_by_client", "_events")

    def __init__(self) -> None:
        self._events: OrderedDict[_Key, Event] = OrderedDict()
        self._by_client: dict[str, set[_Key]] = {}

    def put(self, event: Event) -> None:
        """Queue *event* last, in place of one of the same kind about the same."""
        key = _key(event)
        self._events.pop(key, None)
        self._events[key] = event
        self._by_client.setdefault(event.client_id, set()).add(key)

    def withdraw(self, event: Event) -> None:
        """Take away what waits of the kind of *event*, about the same."""
        key = _key(event)
        if self._events.pop(key, None) is not None:
            self._forget(key)

    def withdraw_all(self, client_id: str) -> None:
        """Take away all that waits about a client."""
        for key in self._by_client.pop(client_id, ()):
            del self._events[key]

    def get(self) -> Event | None:
        """Return the first event and take it away; `None` if none waits."""
        if not self._events:
            return None
        key, event = self._events.popitem(last=False)
        self._forget(key)
        return event

    def _forget(self, key: "_Key") -> None:
        keys = self._by_client[key[1]]
        keys.remove(key)
        if not keys:
            del self._by_client[key[1]]


_Key = tuple[type[Event], str, str | None]


def _key(event: Event) -> _Key:
    return type(event), event.client_id, getattr(event, "resource_id", None)
