"""The table of connected clients, and what time does to them.

Theory of operation. An authorization is over at its `expires_at`, and whoever asks for a
permission at that time or later does not find it. Everything else follows in steps, so that no
packet has to wait for a million ends of others: `keep_up` takes apart what is over, in the order
of the moments, at most so much in one call. Events do not wait for that: `next_event` first takes
apart what ended before the event that would be next.

`Gateway` has checked all arguments by then. What may raise nevertheless, for want of memory, comes
before the first effect, or is undone; and whatever fails, nothing is permitted that should not be.
"""

import math
from collections.abc import Mapping
from itertools import count
from typing import Final, cast

from firezone_filter.access.authorizations import Authorization
from firezone_filter.accounting.event_queue import EventQueue, Expiry
from firezone_filter.accounting.refusals import RefusalCounts
from firezone_filter.gateway.client import NO_EXPIRY, Client
from firezone_filter.gateway.context import GatewayContext
from firezone_filter.gateway.expiries import Expiries
from firezone_filter.nat.proxies import Resolution
from firezone_filter.values.addresses import TunnelAddresses
from firezone_filter.values.counters import AllowedKind, Counters
from firezone_filter.values.decisions import Direction
from firezone_filter.values.events import (
    AccessExhausted,
    AuthorizationExpired,
    Event,
    FlowEnd,
)
from firezone_filter.values.resources import Resource

STEPS_OF_A_PACKET: Final = 8
"""Steps of upkeep before and after the time of a packet has come, of about 10 µs each: a packet
with a later `now` that is judged may take both."""

STEPS_OF_A_TIMEOUT: Final = 128
"""Steps of upkeep in a call of `handle_timeout`."""

STEPS_OF_A_WITHDRAWAL: Final = 3
"""What taking an authorization apart counts, apart from what hangs on it: where there are a
million, everything that it touches is out of the CPU's caches."""

ALL_STEPS: Final = 2**62
"""For calls that may take as long as there is to do."""


class ClientTable:
    """The connected clients by id and by tunnel address, and the expiries of their access."""

    __slots__ = ("_context", "_numbers", "by_address", "by_id", "events", "expiries")

    def __init__(self, context: GatewayContext) -> None:
        self.by_id: dict[str, Client] = {}
        self.by_address: dict[bytes, Client] = {}
        self.events: EventQueue = context.events
        self._context = context
        self._numbers = count()
        self.expiries: Expiries = Expiries()

    # --- Hooks -----------------------------------------------------------------------------

    def connect(self, client_id: str, addresses: TunnelAddresses, now: float) -> None:
        """Begin a tunnel session; an earlier one of the same client ends first."""
        self.disconnect(client_id, now)
        client = Client(client_id, addresses, self._context, next(self._numbers), now)
        self.by_id[client_id] = client
        for packed in client.addresses:
            self.by_address[packed] = client

    def disconnect(self, client_id: str, now: float) -> bool:
        """End a tunnel session and withdraw its access events; return whether there was one."""
        client = self.by_id.get(client_id)
        if client is None:
            return False
        if client.recorder is not None:
            # Records that ended with an expiry did not end with this.
            self._withdraw_all_over(client, now)
        client.invalidate()
        self.expiries.leave(client)
        # From here on no packet meets what is left of it.
        del self.by_id[client_id]
        for packed in client.addresses:
            del self.by_address[packed]
        client.close(now)
        self.events.withdraw_all(client_id)
        return True

    def authorization(self, client_id: str, resource_id: str, now: float) -> Authorization | None:
        """Return a client's authorization for a resource, or `None`."""
        client = self.by_id.get(client_id)
        held = None if client is None else client.access.authorizations.get(resource_id)
        return None if held is None or held.is_over(now) else held

    def holders(self, resource_id: str, now: float) -> list[tuple[Client, Authorization]]:
        """Return the clients authorized for a resource, each with its authorization."""
        return [
            (client, held)
            for client in self.by_id.values()
            if (held := client.access.authorizations.get(resource_id)) is not None
            and not held.is_over(now)
        ]

    def authorize(
        self, client: Client, resource: Resource, expires_at: float | None, now: float
    ) -> None:
        """Authorize a client for a resource, or update it."""
        held = client.access.authorizations.get(resource.id)
        if held is not None and held.is_over(now):
            self._withdraw_over(client, held, now, ALL_STEPS)
            held = None
        before = None if held is None else held.resource
        if held is None and client.flows is not None:
            # Only a `revoke` that has failed leaves any.
            client.flows.withdraw_resource(resource.id, now)
        authorization = client.authorize(resource)
        try:
            self.expiries.set(client, authorization, expires_at)
        except BaseException:
            # Without its expiry it would stay for ever.
            client.access.take_back(authorization, before)
            raise
        # Even where others are held, they may all be over.
        self.events.withdraw(AccessExhausted(client.id))
        self._follow_expiry(client, authorization, now)

    def revoke(self, client: Client, authorization: Authorization, now: float) -> None:
        """Take an authorization away."""
        client.revoke(authorization, FlowEnd.REVOKED, now)
        self.expiries.set(client, authorization, None)
        client.look_ahead(now)
        self._report_exhausted(client, now)

    def resolve(
        self, client: Client, resource_id: str, resolution: Resolution, now: float
    ) -> None:
        """Let proxy addresses of a client stand for a name."""
        client.resolve(resource_id, resolution, now)
        client.look_ahead(now)

    def withdraw_name(self, client: Client, domain: str, now: float) -> bool:
        """Let no proxy address of a client stand for a name; return whether any did."""
        had_any = client.withdraw_name(domain, now)
        client.look_ahead(now)
        return had_any

    def set_expiry(
        self, client: Client, authorization: Authorization, expires_at: float | None, now: float
    ) -> None:
        """Change the expiry of an authorization; one that has passed takes effect at once."""
        cache = self._context.flow_cache
        is_open = cache.is_open
        if expires_at is not None and expires_at <= now:
            # What is remembered counts no more from here on, also if something fails.
            cache.close()
            client.valid_until = min(client.valid_until, expires_at)
        self.expiries.set(client, authorization, expires_at)
        self._follow_expiry(client, authorization, now)
        if is_open:
            cache.open()

    def _follow_expiry(self, client: Client, authorization: Authorization, now: float) -> None:
        """Do what follows from the expiry that an authorization has got."""
        expires_at = authorization.expires_at
        if now >= client.valid_until:
            client.expire(now)
        client.look_ahead(now)
        client.note_expiry(authorization.resource.id, now)
        if expires_at is not None and expires_at <= now:
            self.events.put(
                AuthorizationExpired(client.id, authorization.resource.id, expires_at), now
            )
            # Its packets have been counted up to now.
            client.revoke(authorization, FlowEnd.EXPIRED, now)
            self.expiries.set(client, authorization, None)
            client.look_ahead(now)
            self._report_exhausted(client, now)

    def _report_exhausted(self, client: Client, now: float) -> None:
        if client.has_no_access:
            self.events.put(AccessExhausted(client.id), now)

    # --- Time ------------------------------------------------------------------------------

    def keep_up(self, now: float, most: int) -> bool:
        """Take apart and forget what is over, in up to *most* steps; return whether all is done.

        While authorizations wait, or decisions that depended on them, the flow cache is closed.
        """
        context = self._context
        steps = self._withdraw_in_steps(now, most)
        if steps < most:
            steps += context.flow_cache.forget(most - steps)
        if steps >= most:
            context.flow_cache.close()
            return False
        context.flow_cache.open()
        steps += self._report(most - steps)
        steps += context.session_pool.forget(now, most - steps)
        steps += context.flow_pool.forget(now, most - steps)
        steps += context.cleanup.forget(now, most - steps)
        return steps < most

    def _report(self, most: int, before: float = math.inf) -> int:
        """Report flow records that have ended, in up to *most* steps of each log.

        What ended with an expiry at *before* or later has to be taken apart first.
        """
        context, steps = self._context, 0
        if context.flow_log is not None:
            steps += context.flow_log.report(most, before)
        if context.refusal_log is not None:
            steps += context.refusal_log.report(most)
        return steps

    def _withdraw_in_steps(self, now: float, most: int, not_before: float = -math.inf) -> int:
        """Take authorizations apart that are over, first things first; return the steps."""
        steps = 0
        while steps < most and (first := self._first_over(now)) is not None:
            client, authorization = first
            steps += self._withdraw_over(
                client, authorization, now, most - steps, not_before=not_before
            )
        return steps

    def _first_over(self, now: float) -> tuple[Client, Authorization] | None:
        if now < self.expiries.next:
            return None
        first = self.expiries.first()
        return None if first is None or not first[1].is_over(now) else first

    def _withdraw_over(
        self,
        client: Client,
        authorization: Authorization,
        now: float,
        most: int,
        *,
        not_before: float = -math.inf,
    ) -> int:
        """Take an authorization apart that is over, in up to *most* steps; return how many.

        Its events say when it ended, not when this is done.
        """
        if now >= client.valid_until:
            client.expire(now)
        resource_id = authorization.resource.id
        if client.access.authorizations.get(resource_id) is not authorization:
            # A hook has failed once it had taken it away.
            self.expiries.remove(client, authorization)
            return 1
        # An authorization without an expiry is never over.
        at = cast("float", authorization.expires_at)
        expiry = Expiry(at, authorization.number)
        if not authorization.is_reported:
            authorization.is_reported = True
            self.events.put_expiry(AuthorizationExpired(client.id, resource_id, at), expiry)
        steps, is_done = client.loosen(resource_id, max(at, not_before), expiry, now, most)
        if not is_done:
            return STEPS_OF_A_WITHDRAWAL + steps
        client.access.revoke(resource_id)
        self.expiries.remove(client, authorization)
        # A hook may have come to a later one before.
        client.latest_end = max(client.latest_end, expiry)
        exhausted = AccessExhausted(client.id)
        if not client.access.authorizations and not self.events.is_waiting(exhausted):
            self.events.put_expiry(exhausted, client.latest_end)
        return STEPS_OF_A_WITHDRAWAL + steps

    def _withdraw_all_over(self, client: Client, now: float) -> None:
        """Take all authorizations of a client apart that are over."""
        while client.agenda is not None:
            first = client.agenda.first()
            if first is None or first[0] > now:
                return
            self._withdraw_over(client, first[2], now, ALL_STEPS)

    def forget_old_proxies(self, client: Client, now: float) -> None:
        """Take the authorizations of a client apart that are over and named proxy addresses."""
        if client.nat is None or now < client.access.first_expiry:
            return
        for resource_id in client.nat.proxies.resources():
            held = client.access.authorizations[resource_id]
            if held.is_over(now):
                self._withdraw_over(client, held, now, ALL_STEPS)

    def next_event(self, now: float) -> Event | None:
        """Return the next event and remove it from the queue.

        `None` if none waits, or if many steps have led to none: then `keep_up` has more to do.
        """
        for _ in range(STEPS_OF_A_TIMEOUT // STEPS_OF_A_PACKET):
            first = self._first_over(now)
            if first is not None and self._comes_first(first[1]):
                self._withdraw_over(*first, now, STEPS_OF_A_PACKET)
                continue
            event = self.events.get()
            if event is None and self.events.is_blocked:
                before = math.inf if first is None else cast("float", first[1].expires_at)
                self._report(STEPS_OF_A_PACKET, before)
            elif event is None or not self._is_superseded(event, now):
                return event
        # Nothing would announce an event that the last step has led to.
        first = self._first_over(now)
        event = None if first is not None and self._comes_first(first[1]) else self.events.get()
        return None if event is None or self._is_superseded(event, now) else event

    def _comes_first(self, authorization: Authorization) -> bool:
        """Tell whether one that is over has to be taken apart before the next event."""
        expiry = Expiry(cast("float", authorization.expires_at), authorization.number)
        return self.events.comes_first(expiry, has_begun=authorization.is_reported)

    def _is_superseded(self, event: Event, now: float) -> bool:
        """Tell whether another event would have replaced it: of a later expiry, which waits."""
        if not isinstance(event, AuthorizationExpired) or event.client_id not in self.by_id:
            return False
        again = self.by_id[event.client_id].access.authorizations.get(event.resource_id)
        return again is not None and again.is_over(now) and not again.is_reported

    # --- What there is ---------------------------------------------------------------------

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
        self.keep_up(now, ALL_STEPS)
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
            flows=context.flow_pool.count,
            fragments=sum(len(client.fragments) for client in clients),
            recorded_flows=None if log is None else len(log),
            **traffic,
            flow_events_lost=self.events.flow_events_lost,
            clock_steps_back=clock_steps_back,
            clock_step_back_max=clock_step_back_max,
        )

    def next_upkeep(self) -> float:
        """Return when there may be more to do for `keep_up`, perhaps too early."""
        context = self._context
        return min(
            self.expiries.next,
            context.session_pool.next,
            context.flow_pool.next,
            context.cleanup.next,
        )

    def earliest(self, now: float) -> float | None:
        """Return the earliest time at which there may be something to do, or `None`.

        Events are announced for the time at which they happen; what is only to be forgotten,
        for the next whole second, so that a host is not woken for each of many ends.
        """
        context = self._context
        first = self.expiries.first()
        moments = [None if first is None else first[1].expires_at]
        if not context.flow_cache.is_open:
            moments.append(now)
        moments += [log.earliest() for log in context.logs]
        moments += [
            None if at is None else math.ceil(at)
            for at in (
                context.session_pool.upkeep.earliest(),
                context.flow_pool.upkeep.earliest(),
                context.cleanup.earliest(),
            )
        ]
        return min((at for at in moments if at is not None), default=None)

    def start_clock(self, now: float) -> None:
        """Begin the clock: everything that exists by now counts from here."""
        self._report(ALL_STEPS)
        self.events.start_clock(now)
        self.shift_clock(now)
        # No authorization can have had an expiry before.
        self.expiries.look_ahead(now)

    def set_clock(self, before: float, now: float) -> None:
        """Set the clock from *before* to *now*: lifetimes keep what they had left of them."""
        self.keep_up(before, ALL_STEPS)
        self.events.set_clock()
        for client in self.by_id.values():
            client.latest_end = NO_EXPIRY
        self.shift_clock(now - before)
        # Packets have been counted until now, whatever the clock shows.
        self._withdraw_in_steps(now, ALL_STEPS, not_before=now)
        self.keep_up(now, ALL_STEPS)
        self.expiries.look_ahead(now)

    def shift_clock(self, by: float) -> None:
        """Move every moment but the expiries, which mean the host's clock."""
        self._context.cleanup.shift(by)
        self._context.session_pool.upkeep.shift(by)
        self._context.flow_pool.upkeep.shift(by)
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
