"""What decides about the packets of a flow in one direction, and lets each prolong it.

Theory of operation. The judge makes a `TrackedFlow` for a packet that belongs to a live flow, or
would begin one; `commit` writes, once the packet is allowed: it begins a proposed flow, and lets
the packet confirm, prolong or end it. From then on the `TrackedFlow` is the handler of the flow's
next packets: `handle` does it in one call, and asks for no permission again. That is safe because
the flow cache, which stores it, is invalidated with every change of the client's permissions,
and because `handle` looks at the flow's time and end with every packet.

`handle` has a quick way for the packets of a steady flow (`TrackedSession.is_steady`) at a time
before which none of the client's can be gone (`ClientSessions.next`): it only notes the time, as
far as that counts. There is one class for each way in which it may count, written out in full,
since each call in between would add a tenth. Connections that the client has closed from its
side, while the far end still sends, have one too, and so have datagrams that are never answered
(syslog): either would cost four to five times as much as without `stateful`.

Where another handler decides about the flow too, since it is translated or counted, `Tracking`
asks it as well: a packet passes only if both let it.
"""

from typing import cast

from firezone_filter.packet.numbers import STATE_FLAGS, TCP_FLAGS_AT
from firezone_filter.stateful.flows import ClientFlows, Flow
from firezone_filter.structures.generation import NEVER_OUTDATED, Generation
from firezone_filter.structures.heaps import NO_PLACE
from firezone_filter.tracking.handlers import FlowHandler
from firezone_filter.tracking.lifetimes import UNCAPPED
from firezone_filter.values.decisions import Forward, Translate


class TrackedFlow:
    """The packets of one flow in one direction."""

    __slots__ = (
        "_born",
        "_flags_at",
        "_flows",
        "_forward",
        "_generation",
        "_resource_id",
        "client_id",
        "flow",
    )

    is_tcp: bool
    is_outbound: bool

    def __init__(
        self,
        flows: ClientFlows,
        flow: Flow,
        transport: int,
        permitted: Forward,
        generation: Generation,
    ) -> None:
        self.client_id = permitted.client_id
        self.flow = flow
        self._flows = flows
        self._flags_at = transport + TCP_FLAGS_AT
        self._forward = permitted
        # The gateway itself is exempt, and everything else is permitted by a resource.
        self._resource_id = cast("str", permitted.resource_id)
        self._generation, self._born = generation, generation.number

    def commit(self, packet: bytes, now: float) -> bool:
        """Apply an allowed packet to its flow, and begin that if it is new; return whether."""
        flags = packet[self._flags_at] if self.is_tcp else 0
        if self.flow.is_open:
            self._flows.follow(self.flow, self._resource_id, flags, now, outbound=self.is_outbound)
            return False
        self._flows.open(self.flow, flags, now)
        return True

    def lives(self, now: float) -> bool:
        """Tell whether the flow lives."""
        return self._flows.lives(self.flow, now)

    def handle(self, packet: bytes, now: float) -> Forward | None:
        """Let one of the flow's next packets pass, and apply it to the flow.

        Returns:
            The decision; `None` if the flow is gone: then the packet is judged like the first
            of a flow.
        """
        if not self._flows.lives(self.flow, now):
            return None
        self.commit(packet, now)
        return self._forward


class _TcpOutbound(TrackedFlow):
    __slots__ = ()

    is_tcp = True
    is_outbound = True

    def handle(self, packet: bytes, now: float) -> Forward | None:
        flow, flows = self.flow, self._flows
        if now < flows.next and not packet[self._flags_at] & STATE_FLAGS:
            if flow.is_steady:
                # Within a burst at one `now` only the first of its packets counts.
                if now != flow.last_outbound:
                    flow.last_outbound = now
                    lane = flows.established
                    if flow.after is not lane:
                        if flow.place == NO_PLACE:
                            lane.append(flow)
                        else:
                            flows.prolong(flow, lane)
                return self._forward
            if flow.is_half_closed:
                flows.see_half_closed(flow, now, outbound=True)
                return self._forward
        return super().handle(packet, now)


class _TcpInbound(TrackedFlow):
    __slots__ = ()

    is_tcp = True
    is_outbound = False

    def handle(self, packet: bytes, now: float) -> Forward | None:
        # A translated flow may have taken it over since the judge permitted it.
        if self._born != self._generation.number:
            return None
        flow, flows = self.flow, self._flows
        if now < flows.next and not packet[self._flags_at] & STATE_FLAGS:
            # What comes in does not prolong TCP.
            if flow.is_steady:
                return self._forward
            # A download over a connection that the client has closed from its side.
            if flow.is_half_closed:
                flows.see_half_closed(flow, now, outbound=False)
                return self._forward
        return super().handle(packet, now)


class _DatagramOutbound(TrackedFlow):
    __slots__ = ()

    is_tcp = False
    is_outbound = True

    def handle(self, packet: bytes, now: float) -> Forward | None:
        flow, flows = self.flow, self._flows
        if flow.is_steady and now < flows.next:
            if now != flow.last_outbound:
                flow.last = flow.last_outbound = now
                lane = flows.datagrams
                if flow.after is not lane:
                    if flow.place == NO_PLACE:
                        lane.append(flow)
                    else:
                        flows.prolong(flow, lane)
            return self._forward
        # But for TCP, what is not steady was never answered: syslog, say, goes one way only. (Each
        # packet counts, also at one `now`: they are the order in which such flows give way.)
        if flow.is_open and now < flows.next:
            flow.last = flow.last_outbound = now
            unanswered = flows.unanswered
            if flow.after is not unanswered:
                unanswered.append(flow)
            return self._forward
        return super().handle(packet, now)


class _DatagramInbound(TrackedFlow):
    __slots__ = ()

    is_tcp = False
    is_outbound = False

    def handle(self, packet: bytes, now: float) -> Forward | None:
        if self._born != self._generation.number:
            return None
        flow, flows = self.flow, self._flows
        if flow.is_steady and now < flows.next:
            if now == flow.last:
                return self._forward
            if now < flow.last_outbound + UNCAPPED:
                flow.last = now
                lane = flows.datagrams
                # (It is not at the cap, so it stands in this lane.)
                if flow.after is not lane:
                    lane.append(flow)
                return self._forward
        return super().handle(packet, now)


class Tracking:
    """Lets another handler decide about a tracked flow, which is translated or counted."""

    __slots__ = ("_decided", "_tracked", "client_id")

    def __init__(self, tracked: TrackedFlow, decided: FlowHandler) -> None:
        self.client_id = tracked.client_id
        self._tracked = tracked
        self._decided = decided

    def handle(self, packet: bytes, now: float) -> Forward | Translate | None:
        """Decide about a packet, and apply it to its flow; return `None` if that is gone."""
        # Neither may have an effect before both have let the packet pass.
        if not self._tracked.lives(now):
            return None
        decision = self._decided.handle(packet, now)
        if decision is not None:
            self._tracked.handle(packet, now)
        return decision


def track(  # noqa: PLR0913 - the facts about a packet
    flows: ClientFlows,
    flow: Flow,
    transport: int,
    permitted: Forward,
    *,
    outbound: bool,
    is_translated: bool = False,
) -> TrackedFlow:
    """Return what handles the packets of a flow in one direction.

    Args:
        flows: the client's.
        flow: the flow, which may only be proposed.
        transport: the index of the transport header in its packets.
        permitted: the permission for them.
        outbound: whether the client sends them.
        is_translated: whether the NAT translates them: then nothing takes the flow over.
    """
    kind: type[TrackedFlow]
    if flow.is_tcp:
        kind = _TcpOutbound if outbound else _TcpInbound
    else:
        kind = _DatagramOutbound if outbound else _DatagramInbound
    generation = NEVER_OUTDATED if is_translated else flows.generation
    return kind(flows, flow, transport, permitted, generation)
