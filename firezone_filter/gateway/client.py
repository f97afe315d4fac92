"""One connected client: everything that the gateway keeps of it. It judges nothing."""

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
    """A client, from `client_connected` until it disconnects or connects again."""

    __slots__ = (
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
        self, client_id: str, addresses: TunnelAddresses, context: GatewayContext, now: float
    ) -> None:
        options = context.options
        self.id = client_id
        self.addresses = addresses.packed()
        self.access = ClientAccess(client_id)
        self.flow_cache = ClientFlowCache(context.flow_cache)
        self.fragments = FragmentMemory(context.cleanup_timers)
        self.nat: Nat | None = None
        """Only clients that use DNS resources have one: most clients of a large gateway are
        idle, and each costs memory."""
        self.recorder: FlowRecorder | None = None
        """Counts its packets, where flows are recorded."""
        if context.flow_log is not None:
            self.recorder = FlowRecorder(client_id, context.flow_log)
        self.forward_own = Forward(client_id, None)
        """The decision about permitted packets to and from the gateway's own address."""
        self.reply_tokens = TokenBucket(options.reject_rate, options.reject_burst, now)
        """One token for each ICMP error that the client may get."""
        self._context = context
        self._drops: dict[Reason, Drop] = {}

    def invalidate(self) -> None:
        """Invalidate every remembered decision: what the client may do has changed."""
        self.fragments.invalidate()
        self.flow_cache.invalidate()

    def authorize(self, resource: Resource) -> Authorization:
        """Permit *resource*, or give it a new form; return the authorization."""
        authorization = self.access.authorize(resource)
        self.invalidate()
        return authorization

    def revoke(self, authorization: Authorization, cause: FlowEnd, at: float) -> None:
        """Take an authorization away, with its proxy addresses and the records of its flows.

        The caller invalidates the remembered decisions, once if several go.
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
        """Let proxy addresses stand for a name of a DNS resource."""
        if self.nat is None:
            context = self._context
            self.nat = Nat(context.session_timers, context.cleanup_timers, context.limits)
            self.access.proxies = self.nat.proxies.by_address
        self.nat.resolve(resource_id, resolution)
        self.invalidate()

    # --- Packets that have been allowed --------------------------------------------------------

    def count(  # noqa: PLR0913 - what is known of the packet
        self,
        decision: Forward | Translate,
        flow: TranslatedFlow | None,
        headers: Headers,
        packet: bytes,
        now: float,
        *,
        outbound: bool,
    ) -> FlowHandler | None:
        """Count a packet for the flow records.

        Returns:
            The handler that counts the next packets of its flow; `None` where none count.
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
        """Return what follows from an allowed first fragment for the later ones."""
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
        """Return the one `Drop` of this client for *reason*."""
        drop = self._drops.get(reason)
        if drop is None:
            drop = self._drops[reason] = Drop(reason, self.id)
        return drop

    def close(self, at: float) -> None:
        """Remove everything of it that all clients share; the records of its flows are closed."""
        self.invalidate()
        if self.recorder is not None:
            self.recorder.records.end_all(FlowEnd.DISCONNECTED, at)
        if self.nat is not None:
            self.nat.close()

    def start_clock(self, now: float) -> None:
        """Count what began before the first `now` from there."""
        self.fragments.start_clock(now)
        if self.nat is not None:
            self.nat.start_clock(now)
        self.reply_tokens.start_clock(now)
