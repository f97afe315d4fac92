"""The table of connected clients, with the expiries of their authorizations.

`Gateway` has checked all arguments by then. Nothing here may raise, or a hook could leave a
change half done.
"""

import math
from collections.abc import Mapping
from itertools import count
from typing import cast

from firezone_filter.access.authorizations import Authorization
from firezone_filter.accounting.refusals import RefusalCounts
from firezone_filter.gateway.client import Client
from firezone_filter.gateway.context import GatewayContext
from firezone_filter.nat.proxies import Resolution
from firezone_filter.structures.timers import TimerQueue
from firezone_filter.values.addresses import TunnelAddresses
from firezone_filter.values.counters import AllowedKind, Counters
from firezone_filter.values.decisions import Direction
from firezone_filter.values.events import AccessExhausted, AuthorizationExpired, FlowEnd
from firezone_filter.values.resources import Resource
from firezone_filter.values.times import MAX_AHEAD, TOO_LATE


class ClientTable:
    """The connected clients by id and by tunnel address, and their expiry timers."""

    __slots__ = ("_context", "_numbers", "by_address", "by_id", "events", "expiry_timers")

    def __init__(self, context: GatewayContext) -> None:
        self.by_id: dict[str, Client] = {}
        self.by_address: dict[bytes, Client] = {}
        self.events = context.events
        self._context = context
        self._numbers = count()
        self.expiry_timers: TimerQueue[Authorization] = TimerQueue()
        # Until the first `now`, so that it takes the slow path, where the clock starts.
        self.expiry_timers.next = -math.inf

    def connect(self, client_id: str, addresses: TunnelAddresses, now: float) -> None:
        """Begin a tunnel session; an earlier one of the same client ends first."""
        self.disconnect(client_id, now)
        client = Client(client_id, addresses, self._context, next(self._numbers), now)
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
        """Take an authorization away; return the client, whose decisions are to be forgotten."""
        # In the order of their moments: a session whose time was over before that of its
        # resource is remembered as such, whenever both are noticed.
        self._context.session_pool.sweep(at)
        client = self.by_id[authorization.client_id]
        client.revoke(authorization, cause, at)
        if not client.access.authorizations:
            self.events.put(AccessExhausted(client.id))
        return client

    def resolve(
        self, client: Client, resource_id: str, resolution: Resolution, now: float
    ) -> None:
        """Let proxy addresses of a client stand for a name."""
        self._context.session_pool.sweep(now)
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
        # Packets whose time lies before `next` skip the checks of a new `now`.
        self.expiry_timers.next = min(self.expiry_timers.next, now + MAX_AHEAD, TOO_LATE)

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
        self._context.session_pool.sweep(now)
        for keeper in self._context.cleanup_timers.due(now):
            self._context.cleanup_timers.set(keeper, keeper.forget_old(now))

    def counters(
        self,
        refusals: RefusalCounts,
        now: float,
        *,
        allowed: Mapping[tuple[Direction, AllowedKind], int],
        clock_steps_back: int,
        clock_step_back_max: float,
    ) -> Counters:
        """Return how many there are of everything; it walks over all clients."""
        # What is over counts no more, whether or not anybody has looked.
        self._cleanup(now)
        context, log = self._context, self._context.flow_log
        clients = self.by_id.values()
        traffic = {} if log is None else log.traffic._asdict()
        return Counters(
            allowed=allowed,
            refusals=refusals.by_direction(),
            clients=len(clients),
            authorizations=sum(len(client.access.authorizations) for client in clients),
            cached_flows=len(context.flow_cache),
            nat_sessions=context.session_pool.count,
            fragments=sum(len(client.fragments) for client in clients),
            recorded_flows=None if log is None else len(log),
            **traffic,
            flow_events_lost=self.events.flow_events_lost,
            clock_steps_back=clock_steps_back,
            clock_step_back_max=clock_step_back_max,
        )

    def start_clock(self, now: float) -> None:
        """Begin the clock: everything that exists by now counts from here."""
        self.events.start_clock(now)
        self.shift_clock(now)
        # No authorization can have had an expiry before.
        self.expiry_timers.next = math.inf
        self.expire(now, now)

    def set_clock(self, before: float, now: float) -> None:
        """Set the clock from *before* to *now*: lifetimes keep what they had left of them."""
        self._cleanup(before)
        self.shift_clock(now - before)
        self.expire(now, now)

    def shift_clock(self, by: float) -> None:
        """Move every moment but the expiries, which mean the host's clock."""
        self._context.cleanup_timers.shift(by)
        self._context.session_pool.shift(by)
        for log in self._context.logs:
            log.shift_clock(by)
        for client in self.by_id.values():
            client.shift_clock(by)

    def latest_expiry(self) -> float | None:
        """Return the latest `expires_at` of all authorizations, if any has one."""
        expiries = (
            authorization.expires_at
            for client in self.by_id.values()
            for authorization in client.access.authorizations.values()
            if authorization.expires_at is not None
        )
        return max(expiries, default=None)
