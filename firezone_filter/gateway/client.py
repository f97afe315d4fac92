"""The state of one connected client. It judges nothing; `judge` reads it."""

from typing import cast

from firezone_filter.access.authorizations import Authorization, ClientAccess
from firezone_filter.accounting.flow_counting import FlowRecorder, fragment_counter
from firezone_filter.gateway.context import GatewayContext
from firezone_filter.gateway.flow_cache import ClientFlowCache
from firezone_filter.gateway.fragments import FragmentMemory, Verdict
from firezone_filter.nat.nat import Nat, TranslatedFlow
from firezone_filter.nat.proxies import Resolution
from firezone_filter.packet.headers import Headers
from firezone_filter.packet.rewrite import far_address
from firezone_filter.structures.token_bucket import TokenBucket
from firezone_filter.tracking.handlers import FlowHandler
from firezone_filter.values.addresses import TunnelAddresses
from firezone_filter.values.decisions import Drop, Forward, Reason, Translate
from firezone_filter.values.events import FlowEnd
from firezone_filter.values.resources import Resource


class Client:
    """A client during one tunnel session: until it disconnects or connects again."""

    __slots__ = (
        "_connected",
        "_context",
        "_drops",
        "access",
        "addresses",
        "flow_cache",
        "forward_own",
        "fragments",
        "id",
        "nat",
        "recorder",
        "reply_tokens",
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
        self.addresses = addresses.packed()
        self.access = ClientAccess(client_id)
        self.flow_cache = ClientFlowCache(context.flow_cache)
        self.fragments = FragmentMemory(context.cleanup_timers)
        self.nat: Nat | None = None
        """`None` until a name has been resolved for the client: most clients of a large
        gateway are idle, and each NAT costs memory."""
        self.recorder: FlowRecorder | None = None
        """Counts its packets; `None` with flow records off."""
        if context.flow_log is not None:
            self.recorder = FlowRecorder(client_id, context.flow_log)
        self.forward_own = Forward(client_id, None)
        """The decision for permitted packets to and from the gateway's own address."""
        self.reply_tokens = TokenBucket(options.reject_rate, options.reject_burst, now)
        """One token for each ICMP error that the client may get."""
        self._connected = connected
        self._context = context
        self._drops: dict[Reason, Drop] = {}

    def invalidate(self) -> None:
        """Invalidate every remembered decision, since the client's permissions have changed.

        Rule 6 of docs/rules.md, section 3: the next packet already feels the change.
        """
        self.fragments.invalidate()
        self.flow_cache.invalidate()

    def authorize(self, resource: Resource) -> Authorization:
        """Permit *resource*, replacing an authorization with its id; return the new one."""
        authorization = self.access.authorize(resource)
        self.invalidate()
        return authorization

    def revoke(self, authorization: Authorization, cause: FlowEnd, at: float) -> None:
        """Remove an authorization with its proxy addresses, and close its flow records.

        The caller must invalidate the remembered decisions afterwards; if it revokes several
        authorizations, once is enough.
        """
        resource_id = authorization.resource.id
        self.access.revoke(resource_id)
        if self.nat is not None:
            self.nat.revoke(resource_id)
        if self.recorder is not None:
            self.recorder.records.end_resource(resource_id, cause, at)

    def proxies_after(self, resolution: Resolution) -> int:
        """Return how many proxy addresses the client would have after *resolution*."""
        if self.nat is None:
            return len(set(resolution.proxies))
        return self.nat.proxies.count_after(resolution)

    def resolve(self, resource_id: str, resolution: Resolution) -> None:
        """Assign proxy addresses to a name of a DNS resource."""
        if self.nat is None:
            context = self._context
            self.nat = Nat(context.session_pool, self._connected, context.cleanup_timers)
            self.access.proxies = self.nat.proxies.by_address
        self.nat.resolve(resource_id, resolution)
        self.invalidate()

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
        record = None
        if self.recorder is not None:
            record = self.recorder.record_of_first_fragment(
                headers, packet, decision, outbound=outbound
            )
        count = None if record is None else fragment_counter(record, outbound=outbound)
        if flow is None or isinstance(decision, Forward):
            return Verdict(cast("Forward", decision), None, count)
        return Verdict(flow.permitted, far_address(decision.packet, outbound=outbound), count)

    def drop(self, reason: Reason) -> Drop:
        """Return this client's shared `Drop` for *reason*."""
        drop = self._drops.get(reason)
        if drop is None:
            drop = self._drops[reason] = Drop(reason, self.id)
        return drop

    def close(self, at: float) -> None:
        """Remove the client's entries from shared structures, and close its flow records."""
        self.invalidate()
        if self.recorder is not None:
            self.recorder.records.end_all(FlowEnd.DISCONNECTED, at)
        if self.nat is not None:
            self.nat.close()

    def shift_clock(self, by: float) -> None:
        """Move every moment: the host's clock has been set, or has begun."""
        self.fragments.shift_clock(by)
        if self.nat is not None:
            self.nat.shift_clock(by)
        self.reply_tokens.shift_clock(by)
