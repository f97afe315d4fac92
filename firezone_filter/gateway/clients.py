"""The table of connected clients, with the expiries of their authorizations.

`Gateway` has checked all arguments by then. Nothing here may raise, or a hook could leave a
change half done.
"""

from typing import cast

from firezone_filter.access.authorizations import Authorization
from firezone_filter.accounting.refusals import RefusalCounts
from firezone_filter.gateway.client import Client
from firezone_filter.gateway.context import GatewayContext
from firezone_filter.nat.proxies import Resolution
from firezone_filter.structures.timers import TimerQueue
from firezone_filter.values.addresses import TunnelAddresses
from firezone_filter.values.counters import Counters
from firezone_filter.values.events import AccessExhausted, AuthorizationExpired, FlowEnd
from firezone_filter.values.resources import Resource


class ClientTable:
    """The connected clients by id and by tunnel address, and their expiry timers."""

    __slots__ = ("_context", "by_address", "by_id", "events", "expiry_timers")

    def __init__(self, context: GatewayContext) -> None:
        self.by_id: dict[str, Client] = {}
        self.by_address: dict[bytes, Client] = {}
        self.events = context.events
        self._context = context
        self.expiry_timers: TimerQueue[Authorization] = TimerQueue()

    def connect(self, client_id: str, addresses: TunnelAddresses, now: float) -> None:
        """Begin a tunnel session; an earlier one of the same client ends first."""
        self.disconnect(client_id, now)
        client = Client(client_id, addresses, self._context, now)
        self.by_id[client_id] = client
        for packed in client.addresses:
            self.by_address[packed] = client

    def disconnect(self, client_id: str, now: float) -> bool:
        """End a tunnel session and withdraw its access events; return whether there was one."""
        client = self.by_id.pop(client_id, None)
        if client is None:
            return False
        for packed in client.addresses:
            del self.by_address[packed]
        for authorization in client.access.authorizations.values():
            self.expiry_timers.set(authorization, None)
        client.close(now)
        self.events.withdraw_all(client_id)
        return True

    def authorization(self, client_id: str, resource_id: str) -> Authorization | None:
        """Return a client's authorization for a resource, or `None`."""
        client = self.by_id.get(client_id)
        return None if client is None else client.access.authorizations.get(resource_id)

    def holders(self, resource_id: str) -> list[tuple[Client, Authorization]]:
        """Return the clients authorized for a resource, each with its authorization."""
        return [
            (client, authorization)
            for client in self.by_id.values()
            if (authorization := client.access.authorizations.get(resource_id)) is not None
        ]

    def authorize(self, client: Client, resource: Resource) -> Authorization:
        """Authorize a client for a resource, or update it; return the authorization."""
        is_first = not client.access.authorizations
        authorization = client.authorize(resource)
        if is_first:
            self.events.withdraw(AccessExhausted(client.id))
        return authorization

    def revoke(self, authorization: Authorization, cause: FlowEnd, at: float) -> None:
        """Remove an authorization at time *at*, for whatever cause."""
        self.expiry_timers.set(authorization, None)
        self._revoke(authorization, cause, at).invalidate()

    def _revoke(self, authorization: Authorization, cause: FlowEnd, at: float) -> Client:
        """Remove an authorization; return its client, which the caller must invalidate."""
        # Order matters when both are noticed late: a session that timed out before its
        # authorization ended leaves a remembered end, and one cut off by it does not.
        self._context.session_timers.sweep(at)
        client = self.by_id[authorization.client_id]
        client.revoke(authorization, cause, at)
        if not client.access.authorizations:
            self.events.put(AccessExhausted(client.id))
        return client

    def resolve(
        self, client: Client, resource_id: str, resolution: Resolution, now: float
    ) -> None:
        """Assign a client's proxy addresses to a name."""
        # Renumbering removes sessions without a trace; those that have timed out by now must
        # leave a remembered end first.
        self._context.session_timers.sweep(now)
        client.resolve(resource_id, resolution)

    def set_expiry(
        self, authorization: Authorization, expires_at: float | None, now: float
    ) -> None:
        """Change the expiry of an authorization; one that has passed takes effect at once."""
        authorization.expires_at = expires_at
        self.expiry_timers.set(authorization, expires_at)
        if expires_at is not None and expires_at <= now:
            self.expire(now, now)

    def expire(self, now: float, before: float) -> None:
        """End the authorizations whose expiry lies at or before *now*.

        Flow records end at the expiry, but never before *before*, the previous `now`: an
        earlier expiry has only just been set, and packets have been counted since.
        """
        changed: dict[str, Client] = {}
        for authorization in self.expiry_timers.due(now):
            # An authorization without an expiry has no deadline, so it is never due.
            at = cast("float", authorization.expires_at)
            self.events.put(
                AuthorizationExpired(authorization.client_id, authorization.resource.id, at)
            )
            client = self._revoke(authorization, FlowEnd.EXPIRED, max(at, before))
            changed[client.id] = client
        # Once for each client: its authorizations often end all at the same time.
        for client in changed.values():
            client.invalidate()

    def earliest(self) -> float | None:
        """Return the earliest time at which there may be an event to report, or `None`."""
        moments = (self.expiry_timers.earliest(), *(log.earliest() for log in self._context.logs))
        return min((at for at in moments if at is not None), default=None)

    def cleanup(self, now: float) -> None:
        """Sweep out everything that is over, and report flows that have ended."""
        self._cleanup(now)
        for log in self._context.logs:
            log.forget_old(now)

    def _cleanup(self, now: float) -> None:
        self._context.session_timers.sweep(now)
        for keeper in self._context.cleanup_timers.due(now):
            self._context.cleanup_timers.set(keeper, keeper.forget_old(now))

    def counters(self, refusals: RefusalCounts, now: float) -> Counters:
        """Return counts of everything; this walks over all clients."""
        # Counts must not depend on when somebody last swept.
        self._cleanup(now)
        context, log = self._context, self._context.flow_log
        clients = self.by_id.values()
        traffic = {} if log is None else log.traffic._asdict()
        return Counters(
            refusals=refusals.by_direction(),
            clients=len(clients),
            authorizations=sum(len(client.access.authorizations) for client in clients),
            cached_flows=len(context.flow_cache),
            nat_sessions=context.session_timers.count,
            fragments=sum(len(client.fragments) for client in clients),
            recorded_flows=None if log is None else len(log),
            **traffic,
            flow_events_lost=self.events.flow_events_lost,
        )

    def start_clock(self, now: float) -> None:
        """Restart at *now* every period that began before the first `now`."""
        self.expiry_timers.start_clock()
        self._context.cleanup_timers.start_clock()
        self._context.session_timers.start_clock(now)
        for log in self._context.logs:
            log.start_clock(now)
        self.events.start_clock(now)
        for client in self.by_id.values():
            client.start_clock(now)
