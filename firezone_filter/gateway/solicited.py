"""Which flow a packet belongs to, of those that the client has begun (rules.md, section 7).

All of it only reads; committing the ruling writes.
"""

from typing import Literal, cast

from firezone_filter.nat.sessions import Session
from firezone_filter.packet.numbers import RST, SYN, TCP, TCP_FLAGS_AT
from firezone_filter.stateful.flows import ClientFlows, Flow
from firezone_filter.stateful.handlers import TrackedFlow, track
from firezone_filter.stateful.identity import translated
from firezone_filter.values.decisions import Forward, Reason


def find_inbound(
    flows: ClientFlows, identity: bytes | None, session: Session | None, now: float
) -> tuple[Flow | None, Session | None]:
    """Return the live flow that a packet to the client belongs to, and how it is judged.

    The packet may be a quoted one that the client sent: then it is read backwards.

    Args:
        flows: the client's.
        identity: that of the packet as it came.
        session: the live session that matches it, if any does.
        now: the time, in seconds.

    Returns:
        The flow, or `None`; and the session by which the packet is judged. That is `None` for a
        packet that a session matches, but which belongs to a flow only as it came: the client
        has asked the real address itself.
    """
    if session is None or identity is None:
        return flows.find(identity, now), session
    _, port, proxy = session.forward_key
    flow = flows.find(translated(identity, proxy, port), now)
    if flow is not None:
        return flow, session
    flow = flows.find(identity, now)
    return flow, session if flow is None else None


def track_outbound(  # noqa: PLR0913, PLR0917 - the facts about a packet
    flows: ClientFlows,
    identity: bytes | None,
    packet: bytes,
    transport: int,
    permitted: Forward,
    now: float,
) -> TrackedFlow | Literal[Reason.FLOWS_EXHAUSTED] | None:
    """Return the flow of a permitted packet from the client, which may only be proposed.

    Args:
        flows: the client's.
        identity: that of the packet.
        packet: the packet.
        transport: the index of its transport header.
        permitted: the permission for it.
        now: the time, in seconds.

    Returns:
        The flow; `None` if the packet belongs to none and begins none; or why it is refused.
    """
    if identity is None:
        return None
    flow = flows.find(identity, now)
    if flow is None:
        if ends_a_connection(identity, packet, transport):
            return None
        flow = flows.new_flow(identity, cast("str", permitted.resource_id), now)
        if flow is None:
            return Reason.FLOWS_EXHAUSTED
    return track(flows, flow, transport, permitted, outbound=True)


def ends_a_connection(identity: bytes, packet: bytes, transport: int) -> bool:
    """Tell whether a packet is the end of a connection, which begins no flow."""
    return identity[-1] == TCP and packet[transport + TCP_FLAGS_AT] & (RST | SYN) == RST
