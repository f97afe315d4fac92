"""The connected clients, their authorizations and deadlines, and what is to be reported.

Arguments are checked above; nothing here can fail, so nothing is ever half done.
"""

from typing import cast

from firezone_filter.access import Authorization
from firezone_filter.addresses import TunnelAddresses
from firezone_filter.client import Client
from firezone_filter.clock import Deadlines
from firezone_filter.events import AccessExhausted, AuthorizationExpired, EventQueue
from firezone_filter.resources import Resource
from firezone_filter.site import Site


class Roster:
    """Who is connected, and what each may reach until when."""

    __slots__ = ("_deadlines", "_site", "_with_fragments", "by_address", "clients", "events")

    def __init__(self, site: Site) -> None:
        self.clients: dict[str, Client] = {}
        self.by_address: dict[bytes, Client] = {}
        self.events = EventQueue()
        self._site = site
        self._deadlines: Deadlines[Authorization] = Deadlines()
        # Whose fragments may need forgetting: a walk over all clients would cost more.
        self._with_fragments: dict[str, Client] = {}

    def connect(self, client_id: str, addresses: TunnelAddresses, now: float) -> None:
        """Begin a session, in place of any that the client had."""
        self.disconnect(client_id)
        client = Client(client_id, addresses, self._site, now)
        self.clients[client_id] = client
        for packed in client.addresses:
            self.by_address[packed] = client

    def disconnect(self, client_id: str) -> bool:
        """End a session, queued events included; return whether there was one."""
        client = self.clients.pop(client_id, None)
        if client is None:
            return False
        for packed in client.addresses:
            del self.by_address[packed]
        for authorization in client.access.authorizations.values():
            self._deadlines.set(authorization, None)
        self._with_fragments.pop(client_id, None)
        self.events.withdraw_all(client_id)
        return True

    def authorization(self, client_id: str, resource_id: str) -> Authorization | None:
        """Return a client's authorization for a resource, if there is one."""
        client = self.clients.get(client_id)
        return None if client is None else client.access.authorizations.get(resource_id)

    def holders(self, resource_id: str) -> list[tuple[Client, Authorization]]:
        """Return the clients that have a resource, each with its authorization."""
        return [
            (client, authorization)
            for client in self.clients.values()
            if (authorization := client.access.authorizations.get(resource_id)) is not None
        ]

    def authorize(self, client: Client, resource: Resource) -> Authorization:
        """Give a client a resource, or the one it has a new form; return its authorization."""
        authorization = client.authorize(resource)
        self.events.withdraw(AccessExhausted(client.id))
        return authorization

    def end(self, authorization: Authorization) -> None:
        """Take an authorization away, by whatever cause."""
        self._deadlines.set(authorization, None)
        client = self.clients[authorization.client_id]
        client.withdraw(authorization)
        if not client.access.authorizations:
            self.events.put(AccessExhausted(client.id))

    def set_expiry(
        self, authorization: Authorization, expires_at: float | None, now: float
    ) -> None:
        """Change when an authorization ends; one that ends in the past ends here."""
        authorization.expires_at = expires_at
        self._deadlines.set(authorization, expires_at)
        self.expire(now)

    def expire(self, now: float) -> None:
        """End what has reached its expiry."""
        for authorization in self._deadlines.due(now):
            self.events.put(
                AuthorizationExpired(
                    authorization.client_id,
                    authorization.resource.id,
                    # What has no expiry has no deadline that could be due.
                    cast("float", authorization.expires_at),
                )
            )
            self.end(authorization)

    def next_expiry(self) -> float | None:
        """Return when the next authorization ends by itself, if any does."""
        return self._deadlines.earliest()

    def note_fragment(self, client: Client) -> None:
        """Remember that a client may have fragments to forget."""
        self._with_fragments[client.id] = client

    def forget_old(self, now: float) -> None:
        """Forget what has been kept for its time."""
        for client in list(self._with_fragments.values()):
            client.fragments.forget_old(now)
            if not client.fragments:
                del self._with_fragments[client.id]

    def start_clock(self, now: float) -> None:
        """Count what began before the first `now` from there."""
        for client in self.clients.values():
            client.start_clock(now)
