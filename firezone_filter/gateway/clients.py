"""The connected clients, their authorizations and deadlines, and what is to be reported.

Arguments are checked above; nothing here can fail, so nothing is ever half done.
"""

from typing import cast

from firezone_filter.access.authorizations import Authorization
from firezone_filter.accounting.refusals import RefusalCounts
from firezone_filter.gateway.client import Client
from firezone_filter.gateway.context import Site
from firezone_filter.nat.proxies import Resolution
from firezone_filter.structures.timers import Deadlines
from firezone_filter.values.addresses import TunnelAddresses
from firezone_filter.values.counters import Counters
from firezone_filter.values.events import AccessExhausted, AuthorizationExpired, FlowEnd
from firezone_filter.values.resources import Resource


class Roster:
    """Who is connected, and what each may reach until when."""

    __slots__ = ("_site", "by_address", "clients", "deadlines", "events")

    def __init__(self, site: Site) -> None:
        self.clients: dict[str, Client] = {}
        self.by_address: dict[bytes, Client] = {}
        self.events = site.events
        self._site = site
        self.deadlines: Deadlines[Authorization] = Deadlines()

    def connect(self, client_id: str, addresses: TunnelAddresses, now: float) -> None:
        """Begin a session, in place of any that the client had."""
        self.disconnect(client_id, now)
        client = Client(client_id, addresses, self._site, now)
        self.clients[client_id] = client
        for packed in client.addresses:
            self.by_address[packed] = client

    def disconnect(self, client_id: str, now: float) -> bool:
        """End a session, queued events included; return whether there was one."""
        client = self.clients.pop(client_id, None)
        if client is None:
            return False
        for packed in client.addresses:
            del self.by_address[packed]
        for authorization in client.access.authorizations.values():
            self.deadlines.set(authorization, None)
        client.close(now)
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
        is_first = not client.access.authorizations
        authorization = client.authorize(resource)
        if is_first:
            self.events.withdraw(AccessExhausted(client.id))
        return authorization

    def end(self, authorization: Authorization, cause: FlowEnd, at: float) -> None:
        """Take an authorization away at a moment, by whatever cause."""
        self.deadlines.set(authorization, None)
        self._end(authorization, cause, at).forget_decisions()

    def _end(self, authorization: Authorization, cause: FlowEnd, at: float) -> Client:
        """Take an authorization away; return the client, whose decisions are to be forgotten."""
        # In the order of their moments: a session whose time was over before that of its
        # resource is remembered as such, whenever both are noticed.
        self._site.lifetimes.forget_old(at)
        client = self.clients[authorization.client_id]
        client.withdraw(authorization, cause, at)
        if not client.access.authorizations:
            self.events.put(AccessExhausted(client.id))
        return client

    def resolve(
        self, client: Client, resource_id: str, resolution: Resolution, now: float
    ) -> None:
        """Let proxy addresses of a client stand for a name."""
        self._site.lifetimes.forget_old(now)
        client.resolve(resource_id, resolution)

    def set_expiry(
        self, authorization: Authorization, expires_at: float | None, now: float
    ) -> None:
        """Change when an authorization ends; one that ends in the past ends here."""
        authorization.expires_at = expires_at
        self.deadlines.set(authorization, expires_at)
        if expires_at is not None and expires_at <= now:
            self.expire(now, now)

    def expire(self, now: float, before: float) -> None:
        """End what has reached its expiry between *before* and *now*.

        An expiry that lies before *before* has only just been set: it takes effect there.
        """
        changed: dict[str, Client] = {}
        for authorization in self.deadlines.due(now):
            # What has no expiry has no deadline that could be due.
            at = cast("float", authorization.expires_at)
            self.events.put(
                AuthorizationExpired(authorization.client_id, authorization.resource.id, at)
            )
            client = self._end(authorization, FlowEnd.EXPIRED, max(at, before))
            changed[client.id] = client
        # Once for each client: often all that one has ends at one moment.
        for client in changed.values():
            client.forget_decisions()

    def earliest(self) -> float | None:
        """Return the earliest moment at which there is something to report, if there is any."""
        moments = (self.deadlines.earliest(), *(log.earliest() for log in self._site.logs))
        return min((at for at in moments if at is not None), default=None)

    def forget_old(self, now: float) -> None:
        """Forget what has been kept for its time, and report flows that are over."""
        self._forget_old(now)
        for log in self._site.logs:
            log.forget_old(now)

    def _forget_old(self, now: float) -> None:
        self._site.lifetimes.forget_old(now)
        for keeper in self._site.reminders.due(now):
            self._site.reminders.set(keeper, keeper.forget_old(now))

    def counters(self, refusals: RefusalCounts, now: float) -> Counters:
        """Return how many there are of everything; it walks over all clients."""
        # What is over counts no more, whether or not anybody has looked.
        self._forget_old(now)
        site, log = self._site, self._site.flow_log
        clients = self.clients.values()
        traffic = {} if log is None else log.traffic._asdict()
        return Counters(
            refusals=refusals.by_direction(),
            clients=len(clients),
            authorizations=sum(len(client.access.authorizations) for client in clients),
            cached_flows=len(site.flows),
            nat_sessions=len(site.lifetimes),
            fragments=sum(len(client.fragments) for client in clients),
            recorded_flows=None if log is None else len(log),
            **traffic,
            flow_events_lost=self.events.flow_events_lost,
        )

    def start_clock(self, now: float) -> None:
        """Count what began before the first `now` from there."""
        self.deadlines.start_clock()
        self._site.reminders.start_clock()
        self._site.lifetimes.start_clock(now)
        for log in self._site.logs:
            log.start_clock(now)
        self.events.start_clock(now)
        for client in self.clients.values():
            client.start_clock(now)
