"""The expiries of all authorizations, in the order in which they take effect.

Theory of operation. An authorization is over once its `expires_at` has come, whether or not
anybody has looked: whoever asks for a permission compares the two (`ClientAccess.permission`).
Taking it apart may come later, step by step, in the order of the moments; for authorizations of
one moment, in the order in which their expiries were set.

Each client has an agenda of its own, so that many ends of one client at one moment are found
together, and the heap of all clients is small: it has the first moment of each.
"""

import math
from itertools import count
from typing import cast

from firezone_filter.access.authorizations import Authorization
from firezone_filter.gateway.client import Client
from firezone_filter.structures.agenda import Agenda
from firezone_filter.structures.deadline import Deadline
from firezone_filter.structures.heaps import PlacedHeap
from firezone_filter.values.times import MAX_AHEAD, TOO_LATE


class Expiries(Deadline):
    """The expiries of all clients. Nothing but this class may change an `expires_at`."""

    __slots__ = ("_heap", "_horizon", "_numbers")

    def __init__(self) -> None:
        super().__init__()
        # The clients that have an expiry, by the moment and number of their first.
        self._heap: PlacedHeap[Client] = PlacedHeap("expiry_place")
        self._numbers = count()
        # Before the first `now` any time takes the slow path, where the clock starts.
        self._horizon = -math.inf
        self.next: float = -math.inf
        """No authorization is over before this moment."""

    def set(self, client: Client, authorization: Authorization, at: float | None) -> None:
        """Set when an authorization of *client* expires; `None` for never. All or nothing."""
        before, number = authorization.expires_at, authorization.number
        try:
            self._place(client, authorization, at, next(self._numbers))
        except BaseException:
            if authorization.number != number:
                self._place(client, authorization, before, number)
            raise

    def _place(
        self, client: Client, authorization: Authorization, at: float | None, number: int
    ) -> None:
        agenda = client.agenda
        if at is not None:
            if agenda is None:
                agenda = client.agenda = Agenda()
            agenda.add(at, number, authorization)
        if authorization.expires_at is not None:
            _agenda(client).remove(authorization.expires_at, authorization.number)
        authorization.expires_at, authorization.number = at, number
        if agenda is not None:
            self._follow(client, agenda)
            access = client.access
            has_lasting = len(agenda) < len(access.authorizations)
            access.last_expiry = math.inf if has_lasting else agenda.last()

    def leave(self, client: Client) -> None:
        """Let a client's expiries count no more."""
        self._heap.remove(client)
        self._find_next()

    def first(self) -> tuple[Client, Authorization] | None:
        """Return the authorization that expires first, with its client; `None` if none does."""
        client = self._heap.first
        if client is None:
            return None
        first = _agenda(client).first()
        return client, cast("tuple[float, int, Authorization]", first)[2]

    def remove(self, client: Client, authorization: Authorization) -> None:
        """Remove the expiry of an authorization that has been taken apart."""
        agenda = _agenda(client)
        agenda.remove(cast("float", authorization.expires_at), authorization.number)
        self._follow(client, agenda)

    def _follow(self, client: Client, agenda: Agenda[Authorization]) -> None:
        """Give a client the place of the first expiry in its agenda."""
        first = agenda.first()
        if first is None:
            client.access.first_expiry = math.inf
            self._heap.remove(client)
        else:
            at, number, _ = first
            client.access.first_expiry = at
            self._heap.put(client, (at, number))
        self._find_next()

    def look_ahead(self, now: float) -> None:
        """Let `next` be no later than the first time that cannot follow *now*.

        So packets with an earlier time than `next` need no check of it.
        """
        self._horizon = min(now + MAX_AHEAD, TOO_LATE)
        self._find_next()

    def _find_next(self) -> None:
        client = self._heap.first
        self.next = self._horizon
        if client is not None:
            self.next = min(self.next, client.access.first_expiry)


def _agenda(client: Client) -> Agenda[Authorization]:
    """Return the agenda of a client that has an expiry."""
    return cast("Agenda[Authorization]", client.agenda)
