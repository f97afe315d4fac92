"""What decides about the packets of a flow in one direction, and lets each prolong it.

Theory of operation. The judge makes a `TrackedFlow` for a packet that belongs to a live flow, or
would begin one; `commit` writes, once the packet is allowed: it begins a proposed flow, and lets
the packet confirm, prolong or end it. From then on the `TrackedFlow` is the handler of the flow's
next packets (`tracking.handlers`).

Where the flow is translated or counted, another handler decides about it too, and `Tracking`
asks both: a packet passes only if both let it.
"""

from typing import cast

from firezone_filter.stateful.flows import NO_PORT, ClientFlows, Flow
from firezone_filter.structures.generation import NEVER_OUTDATED
from firezone_filter.tracking.handlers import FlowHandler, Joined, SessionFlow
from firezone_filter.values.decisions import Forward


class TrackedFlow(SessionFlow):
    """The packets of one flow in one direction."""

    __slots__ = ()

    session: Flow
    sessions: ClientFlows

    def follow(self, flags: int, now: float) -> None:
        """Apply a packet with such TCP flags (or 0) to its flow, which has begun."""
        # The gateway itself is exempt, and everything else is permitted by a resource.
        resource_id = cast("str", self.permitted.resource_id)
        self.sessions.follow(self.session, resource_id, flags, now, outbound=self.is_outbound)


class Tracking(Joined):
    """Lets another handler decide about a tracked flow, which is translated or counted."""

    __slots__ = ()

    def __init__(self, tracked: TrackedFlow, decides: FlowHandler) -> None:
        super().__init__(decides, tracked, tracked)


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
    # A translated flow may take over a direct one that comes in, once the judge permitted it.
    generation = NEVER_OUTDATED if outbound or is_translated else flows.generation
    return TrackedFlow(
        flows, flow, transport, NO_PORT, permitted, None, generation, flow.is_tcp, outbound
    )
