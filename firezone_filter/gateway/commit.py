"""What follows from a ruling: the one place where a judged packet changes anything.

Theory of operation. The judge has decided, and changed nothing. `commit` counts refusals and
takes reply tokens, opens and prolongs NAT sessions, keeps verdicts about fragments, counts
packets for the flow records, and stores into the flow cache, which nothing else does. It
never changes a decision. A packet that hits the flow cache does not come here: its decision
has no effect, or its handler does both.
"""

from typing import cast

from firezone_filter.accounting.flow_counting import FlowRecorder, fragment_counter
from firezone_filter.accounting.refusals import Refusals
from firezone_filter.gateway.client import Client
from firezone_filter.gateway.clients import ClientTable
from firezone_filter.gateway.context import GatewayContext
from firezone_filter.gateway.flow_cache import HANDLERS, INBOUND, OUTBOUND
from firezone_filter.gateway.fragments import Verdict
from firezone_filter.gateway.ruling import Ruling
from firezone_filter.nat.nat import Nat, TranslatedFlow
from firezone_filter.packet.flow_key import flow_key
from firezone_filter.packet.headers import Headers, read_headers
from firezone_filter.packet.numbers import TCP, UDP
from firezone_filter.packet.rewrite import far_address
from firezone_filter.tracking.handlers import FlowHandler
from firezone_filter.values.decisions import (
    Decision,
    Direction,
    Drop,
    Forward,
    Reason,
    Reject,
    Translate,
)

_OUTBOUND = Direction.OUTBOUND


class Committer:
    """Commits rulings."""

    __slots__ = ("_clients", "_session_timers", "refusals")

    def __init__(self, context: GatewayContext, clients: ClientTable) -> None:
        self._clients = clients.by_id
        self._session_timers = context.session_timers
        self.refusals = Refusals(context.refusal_log)

    def commit(  # noqa: PLR0913, PLR0917 - what is known of the packet; keywords take 50 ns
        self,
        ruling: Ruling | Decision,
        direction: Direction,
        packet: bytes,
        now: float,
        protocol: int = 0,
        key: bytes = b"",
    ) -> Decision:
        """Do what follows from a ruling, and return its decision.

        Args:
            ruling: the judge's answer. A bare decision is one about a new TCP or UDP flow,
                from which nothing follows but what its kind tells.
            direction: which way the packet goes.
            packet: the packet.
            now: the time, the same as the judge's.
            protocol: for a bare decision, the packet's protocol.
            key: for a bare decision, the packet's flow key.
        """
        if type(ruling) is Forward:
            client = self._clients[ruling.client_id]
            if client.recorder is None:
                table = OUTBOUND if direction is _OUTBOUND else INBOUND
                client.flow_cache.store(table + protocol, key, ruling)
                return ruling
            self._commit_allowed(
                Ruling(ruling, client, read_headers(packet)), direction, packet, now
            )
            return ruling
        if type(ruling) is not Ruling:
            self.refusals.add(direction, packet, ruling, now)
            if type(ruling) is Reject:
                self._clients[ruling.client_id].reply_tokens.take(now)
            return ruling
        decision = ruling.decision
        if isinstance(decision, Drop | Reject):
            self.refusals.add(direction, packet, decision, now)
            self._commit_refused(ruling, decision, direction, now)
        else:
            self._commit_allowed(ruling, direction, packet, now)
        return decision

    def _commit_refused(
        self, ruling: Ruling, decision: Drop | Reject, direction: Direction, now: float
    ) -> None:
        client, headers = ruling.client, ruling.headers
        if client is None:
            return
        if isinstance(decision, Reject):
            client.reply_tokens.take(now)
        elif decision.reason is Reason.NAT_EXHAUSTED:
            # The judge has walked over the sessions that are over: it must not do so again.
            self._session_timers.sweep(now)
        if headers is not None and headers.fragment is not None:
            client.fragments.forget(headers, headers.fragment, outbound=direction is _OUTBOUND)

    def _commit_allowed(
        self, ruling: Ruling, direction: Direction, packet: bytes, now: float
    ) -> None:
        headers, client = ruling.headers, cast("Client", ruling.client)
        if headers is None:
            return
        outbound = direction is _OUTBOUND
        if ruling.followed is not None:
            if ruling.followed.count_later is not None:
                ruling.followed.count_later(headers, packet, now)
            return
        handler: FlowHandler | None = ruling.flow
        if ruling.flow is not None and cast("Nat", client.nat).commit(ruling.flow, packet, now):
            # The session may take over inbound packets that were judged as they came.
            client.flow_cache.invalidate_inbound()
        if client.recorder is not None:
            handler = self._count(ruling, client.recorder, headers, packet, now, outbound=outbound)
        if headers.fragment is not None:
            verdict = _verdict(ruling, headers, packet, outbound=outbound)
            client.fragments.keep(headers, headers.fragment, verdict, now, outbound=outbound)
            return
        if handler is None and headers.protocol not in (TCP, UDP):
            return
        key = flow_key(headers, packet)
        if key is None:
            return
        table = (OUTBOUND if outbound else INBOUND) + headers.protocol
        if handler is not None:
            client.flow_cache.store(table + HANDLERS, key, handler)
        else:
            client.flow_cache.store(table, key, cast("Forward", ruling.decision))

    @staticmethod
    def _count(  # noqa: PLR0913 - what is known of the packet
        ruling: Ruling,
        recorder: FlowRecorder,
        headers: Headers,
        packet: bytes,
        now: float,
        *,
        outbound: bool,
    ) -> FlowHandler | None:
        """Count a packet for the flow records; return the handler that counts the next ones."""
        client, flow = cast("Client", ruling.client), ruling.flow
        if flow is None:
            forward = cast("Forward", ruling.decision)
            generation = client.flow_cache.inbound_generation
            return recorder.count(headers, packet, forward, now, generation, outbound=outbound)
        proxy = client.access.proxies[flow.session.proxy]
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


def _verdict(ruling: Ruling, headers: Headers, packet: bytes, *, outbound: bool) -> Verdict:
    """Return what the later fragments of an allowed first one get."""
    decision = cast("Forward | Translate", ruling.decision)
    recorder = cast("Client", ruling.client).recorder
    record = None
    if recorder is not None:
        record = recorder.record_of_first_fragment(headers, packet, decision, outbound=outbound)
    count = None if record is None else fragment_counter(record, outbound=outbound)
    if isinstance(decision, Forward):
        return Verdict(decision, None, count)
    permitted = cast("TranslatedFlow", ruling.flow).permitted
    return Verdict(permitted, far_address(decision.packet, outbound=outbound), count)
