"""The flows of a session: each packet is rewritten, and prolongs the session.

Theory of operation. `Nat` makes a `TranslatedFlow` for a packet that it can translate.
`translate` returns the decision and changes nothing. `commit` writes, once the packet is
allowed: it opens a proposed session, or lets the packet confirm, prolong or end an open one. It
returns whether the session is new; then the caller must invalidate the client's inbound flows
that went around the NAT, since they may belong to the session now.

From then on the `TranslatedFlow` is the handler of the flow's next packets, in the direction for
which it was made. How it handles them it shares with `stateful` (`tracking.handlers`); its own
is the rewriting, prepared once for all packets with the same flow key.
"""

from firezone_filter.nat.ends import ReverseKey
from firezone_filter.nat.sessions import PORT, PORT_BITS, ForwardKey, Session, SessionTable
from firezone_filter.packet.numbers import TCP
from firezone_filter.packet.rewrite import FlowRewriting, Rewriting, prepare, rewrite
from firezone_filter.structures.generation import NEVER_OUTDATED
from firezone_filter.tracking.handlers import AppliesRewriting, SessionFlow
from firezone_filter.values.decisions import Forward


class TranslatedFlow(SessionFlow):
    """The packets of one session in one direction, to or from one port of the resource."""

    __slots__ = ()

    session: Session
    sessions: SessionTable
    rewriting: AppliesRewriting


class _AnyRewriting:
    """Rewrites packets that have no flow key, such as those with options."""

    __slots__ = ("_rewriting", "_transport")

    def __init__(self, rewriting: Rewriting, transport: int) -> None:
        self._rewriting = rewriting
        self._transport = transport

    def apply(self, packet: bytes) -> bytes:
        return rewrite(packet, self._transport, self._rewriting)


def translated_flow(  # noqa: PLR0913, PLR0917 - the facts about the first packet
    sessions: SessionTable,
    session: Session,
    resource_port: int,
    transport: int,
    key: bytes | None,
    permitted: Forward,
    *,
    outbound: bool,
) -> TranslatedFlow:
    """Return the flow of a packet of *session*.

    Args:
        sessions: the client's.
        session: the packet's.
        resource_port: the resource's port; `NO_PORT` for ICMP echo.
        transport: the index of its transport header.
        key: its flow key; `None` if it has none.
        permitted: the permission for it.
        outbound: whether the client sends it.
    """
    group, own = session.group, session.key
    protocol = own >> PORT_BITS
    rewriting: AppliesRewriting
    if key is None:
        change = rewriting_of(session, outbound=outbound, source_address=not outbound)
        rewriting = _AnyRewriting(change, transport)
    elif outbound:
        rewriting = FlowRewriting(
            key, protocol, session.resolved, session.outside & PORT, outbound
        )
    else:
        rewriting = FlowRewriting(key, protocol, group.proxy, own & PORT, outbound)
    return TranslatedFlow(
        sessions,
        session,
        transport,
        resource_port,
        permitted,
        rewriting,
        # It notices itself when the session is over.
        NEVER_OUTDATED,
        protocol == TCP,
        outbound,
    )


def rewriting_of(session: Session, *, outbound: bool, source_address: bool) -> Rewriting:
    """Return how addresses and ports of a session's packets change in one direction.

    Args:
        session: the session.
        outbound: whether the proxy becomes the real address, else the reverse.
        source_address: whether that is the source address. An ICMP error quotes a packet that
            went the other way, where it is the destination.
    """
    forward, reverse = session.forward_key, session.reverse_key
    return _rewriting(forward, reverse, outbound=outbound, source_address=source_address)


def _rewriting(
    forward: ForwardKey, reverse: ReverseKey, *, outbound: bool, source_address: bool
) -> Rewriting:
    (protocol, port, proxy), (_, translated, resolved) = forward, reverse
    if outbound:
        addresses, ports = (proxy, resolved), (port, translated)
    else:
        addresses, ports = (resolved, proxy), (translated, port)
    return prepare(protocol, addresses, ports, source_address=source_address)
