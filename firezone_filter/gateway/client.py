"""The state of one connected client. It judges nothing; `judge` reads it."""

import math
from collections.abc import Callable, Collection, Iterable
from functools import partial
from typing import Final, TypeVar, cast

from firezone_filter.access.authorizations import Authorization, ClientAccess
from firezone_filter.accounting.event_queue import Expiry
from firezone_filter.accounting.flow_counting import FlowRecorder
from firezone_filter.gateway.context import GatewayContext
from firezone_filter.gateway.first_packets import NearEnd
from firezone_filter.gateway.flow_cache import ClientFlowCache
from firezone_filter.gateway.fragments import FragmentMemory, Verdict
from firezone_filter.nat.flows import TranslatedFlow
from firezone_filter.nat.nat import Nat
from firezone_filter.nat.proxies import Resolution
from firezone_filter.packet.headers import Headers
from firezone_filter.packet.rewrite import far_address
from firezone_filter.stateful.flows import ClientFlows
from firezone_filter.structures.agenda import Agenda
from firezone_filter.structures.heaps import NO_PLACE
from firezone_filter.structures.token_bucket import TokenBucket
from firezone_filter.tracking.handlers import FlowHandler
from firezone_filter.values.addresses import TunnelAddresses
from firezone_filter.values.decisions import Drop, Forward, Reason, Translate
from firezone_filter.values.events import FlowEnd
from firezone_filter.values.resources import Resource

T = TypeVar("T")

NO_EXPIRY: Final = Expiry(-math.inf, 0)
"""Comes before every expiry."""


class Client(NearEnd):
    """A client during one tunnel session: until it disconnects or connects again."""

    __slots__ = (
        "_connected",
        "_context",
        "addresses",
        "agenda",
        "expiry_place",
        "flows",
        "forward_own",
        "fragments",
        "latest_end",
        "recorder",
    )

    def __init__(
        self,
        client_id: str,
        addresses: TunnelAddresses,
        context: GatewayContext,
        connected: int,
        now: float,
    ) -> None:
        """Connect a client at *now*; *connected* numbers clients in the order of their coming."""
        options = context.options
        self.id = client_id
        self.addresses: tuple[bytes, ...] = addresses.packed()
        self.access: ClientAccess = ClientAccess(client_id)
        self.flow_cache: ClientFlowCache = ClientFlowCache(context.flow_cache)
        self.fragments: FragmentMemory = FragmentMemory(context.cleanup)
        self.nat = None
        self.flows: ClientFlows | None = None
        """The flows that it has begun; `None` without `stateful`."""
        if options.stateful:
            cache = self.flow_cache
            self.flows = ClientFlows(
                context.flow_pool,
                connected,
                self.access.ends_at,
                cache.release,
                cache.inbound_generation,
            )
        self.recorder: FlowRecorder | None = None
        """Counts its packets; `None` with flow records off."""
        if context.flow_log is not None:
            self.recorder = FlowRecorder(
                client_id, context.flow_log, partial(_find_over, self.access)
            )
        self.only_remembers: bool = self.flows is None and self.recorder is None
        self.forward_own: Forward = Forward(client_id, None)
        """The decision for permitted packets to and from the gateway's own address."""
        self.reply_tokens: TokenBucket = TokenBucket(
            options.reject_rate, options.reject_burst, now
        )
        self.agenda: Agenda[Authorization] | None = None
        """Its authorizations by expiry, those that are over and not taken apart yet included;
        `None` while none ever had one. `Expiries` owns it."""
        self.expiry_place: int = NO_PLACE
        """Its place in `Expiries`."""
        self.latest_end: Expiry = NO_EXPIRY
        """The latest of the expiries that have been carried out."""
        self.valid_until: float = math.inf
        self._connected = connected
        self._context = context
        self.drops: dict[Reason, Drop] = {}

    def invalidate(self) -> None:
        """Invalidate every remembered decision, since the client's permissions have changed.

        Rule 6 of rules.md, section 3: the next packet already feels the change. If this
        raises, nothing that was remembered is left, of any client.
        """
        try:
            self.fragments.invalidate()
            self.flow_cache.invalidate()
        except BaseException:
            self._context.flow_cache.clear()
            raise

    def _change(self, change: Callable[[], T], follow: Callable[[], object] | None = None) -> T:
        """Change permissions, do what follows, and invalidate what is remembered.

        If *change* raises, nothing has changed. If anything behind it does, nothing that was
        remembered is left, of any client.
        """
        before, cache = self.valid_until, self._context.flow_cache
        is_open = cache.is_open
        self.valid_until = -math.inf
        try:
            cache.close()
            changed = change()
        except BaseException:
            self.valid_until = before
            if is_open:
                cache.open()
            raise
        try:
            if follow is not None:
                follow()
            self.invalidate()
        except BaseException:
            cache.clear()
            raise
        self.valid_until = before
        if is_open:
            cache.open()
        return changed

    def expire(self, now: float) -> None:
        """Take what is remembered for void, since an expiry has come by *now*."""
        self.fragments.invalidate()
        self.flow_cache.mark()
        self.look_ahead(now)

    def look_ahead(self, now: float) -> None:
        """Find out how long what is remembered from *now* on is valid."""
        after = None if self.agenda is None else self.agenda.next_after(now)
        self.valid_until = math.inf if after is None else after

    @property
    def has_no_access(self) -> bool:
        """Whether all its authorizations are over, at the time of the last `look_ahead`."""
        ends = 0 if self.agenda is None else len(self.agenda)
        # None ends later, and none never.
        return self.valid_until == math.inf and ends == len(self.access.authorizations)

    def authorize(self, resource: Resource) -> Authorization:
        """Permit *resource*, replacing an authorization with its id; return the new one."""
        return self._change(partial(self.access.authorize, resource))

    def revoke(self, authorization: Authorization, cause: FlowEnd, at: float) -> None:
        """Remove an authorization with its proxy addresses, and close its flow records."""
        resource_id = authorization.resource.id
        addresses = self._addresses(resource_id)
        self._change(
            partial(self._take_away, resource_id, at), partial(self.end_flows, resource_id, at)
        )
        # Those that others named too.
        self._note_ends(addresses, at)
        if self.recorder is not None:
            self.recorder.records.end_resource(resource_id, cause, at)

    def _take_away(self, resource_id: str, at: float) -> None:
        if self.nat is not None:
            self.nat.withdraw(resource_id, at)
        # If this raises nothing has changed: a network has no proxy addresses.
        self.access.revoke(resource_id)

    def end_flows(self, resource_id: str, at: float) -> None:
        """End the flows that the authorization for a resource permitted, at *at*."""
        if self.flows is not None:
            self.flows.withdraw_resource(resource_id, at)

    def proxies_after(self, resolution: Resolution) -> int:
        """Return how many proxy addresses the client would have after *resolution*."""
        if self.nat is None:
            return len(set(resolution.proxies))
        return self.nat.proxies.count_after(resolution)

    def resolve(self, resource_id: str, resolution: Resolution, now: float) -> None:
        """Assign proxy addresses to a name of a DNS resource."""
        if self.nat is None:
            context = self._context
            self.nat = Nat(
                context.session_pool,
                self._connected,
                context.cleanup,
                self.flow_cache.release,
            )
            self.access.use_proxies(self.nat.proxies)
            self.flow_cache.expect_sessions()
        if self.flows is not None and self.nat.proxies.is_renumbered_by(resolution):
            for other in self.nat.proxies.resources():
                self.flows.withdraw_resource(other, now)
        self.nat.resolve(resource_id, resolution, now)
        self._note_ends(resolution.proxies, now)
        self.invalidate()

    def withdraw_name(self, domain: str, now: float) -> bool:
        """Remove a name with its proxy addresses; return whether it had any."""
        nat = self.nat
        if nat is None or not (addresses := nat.proxies.of_name(domain)):
            return False
        try:
            # The addresses go last, so that a call which fails half-way can be made again.
            if self.flows is not None:
                self.flows.withdraw_far(set(addresses), now)
            nat.withdraw_name(domain, addresses, now)
        finally:
            self.invalidate()
        return True

    def note_expiry(self, resource_id: str, now: float) -> None:
        """Take note that the expiry of an authorization has been set at *now*."""
        if self.nat is not None:
            self._note_ends(self._addresses(resource_id), now)
        if self.flows is not None:
            self.flows.note_expiry(resource_id)

    def _addresses(self, resource_id: str) -> list[bytes]:
        return [] if self.nat is None else self.nat.proxies.addresses(resource_id)

    def _note_ends(self, addresses: Collection[bytes], now: float) -> None:
        """Take note of when proxy addresses end that have been in use until *now*."""
        if self.nat is not None and addresses:
            # Those that are left may all have been over before: it is *now* that they end.
            self.nat.note_ends(addresses, lambda one: max(self.access.ends_at(one), now))

    def loosen(
        self, resource_id: str, at: float, expiry: Expiry, now: float, most: int
    ) -> tuple[int, bool]:
        """Take apart what hangs on an authorization that was over at *at*, in *most* steps.

        Its proxy addresses ended when the last of their authorizations did, which is noted.

        Returns:
            How many steps it took, and whether nothing is left.
        """
        steps = 0
        self.end_flows(resource_id, at)
        if self.recorder is not None:
            steps = self.recorder.records.expire_resource(resource_id, expiry, most, at=at)
        if steps >= most or self.nat is None:
            return steps, steps < most
        withdrawn, is_done = self.nat.withdraw(resource_id, now, most - steps)
        return steps + withdrawn, is_done

    # --- Allowed packets -----------------------------------------------------------------------

    def count(  # noqa: PLR0913 - the facts about a packet
        self,
        decision: Forward | Translate,
        flow: TranslatedFlow | None,
        headers: Headers,
        packet: bytes,
        now: float,
        *,
        outbound: bool,
    ) -> FlowHandler | None:
        """Count an allowed packet for the flow records, which must be on.

        Returns:
            The handler that decides about and counts the flow's next packets; `None` if its
            packets do not count.
        """
        recorder = cast("FlowRecorder", self.recorder)
        if flow is None:
            forward, generation = cast("Forward", decision), self.flow_cache.inbound_generation
            return recorder.count(headers, packet, forward, now, generation, outbound=outbound)
        proxy = self.access.proxies[flow.session.proxy]
        return recorder.counted_translation(
            flow,
            headers,
            packet,
            flow.session.reverse_key,
            flow.permitted,
            proxy.domain,
            now,
            outbound=outbound,
        )

    def verdict(
        self,
        decision: Forward | Translate,
        flow: TranslatedFlow | None,
        headers: Headers,
        packet: bytes,
        *,
        outbound: bool,
    ) -> Verdict:
        """Return the verdict that the later fragments of an allowed first one follow."""
        count = None
        if self.recorder is not None:
            record = self.recorder.record_of_first_fragment(
                headers, packet, decision, outbound=outbound
            )
            if record is not None:
                count = self.recorder.fragment_counter(record, outbound=outbound)
        if flow is None or isinstance(decision, Forward):
            return Verdict(cast("Forward", decision), None, count)
        return Verdict(flow.permitted, far_address(decision.packet, outbound=outbound), count)

    def drop(self, reason: Reason) -> Drop:
        """Return this client's shared `Drop` for *reason*."""
        drop = self.drops.get(reason)
        if drop is None:
            drop = self.drops[reason] = Drop(reason, self.id)
        return drop

    def close(self, at: float) -> None:
        """Remove the client's entries from shared structures, and close its flow records."""
        try:
            self.fragments.invalidate()
            self.flow_cache.close()
        except BaseException:
            self._context.flow_cache.clear()
            raise
        if self.recorder is not None:
            self.recorder.records.end_all(FlowEnd.DISCONNECTED, at)
        if self.flows is not None:
            self.flows.close()
        if self.nat is not None:
            self.nat.close()

    def shift_clock(self, by: float) -> None:
        """Move every moment: the host's clock has been set, or has begun."""
        self.fragments.shift_clock(by)
        if self.flows is not None:
            self.flows.shift_clock(by)
        if self.nat is not None:
            self.nat.shift_clock(by)
        self.reply_tokens.shift_clock(by)


def _find_over(
    access: ClientAccess, resource_ids: Iterable[str], now: float
) -> tuple[str, Expiry] | None:
    """Return one of the resources whose authorization is over, and its expiry, or `None`."""
    if now < access.first_expiry:
        return None
    for resource_id in resource_ids:
        held = access.authorizations.get(resource_id)
        if held is not None and held.expires_at is not None and held.is_over(now):
            return resource_id, Expiry(held.expires_at, held.number)
    return None
