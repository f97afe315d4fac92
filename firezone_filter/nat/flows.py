"""The flows of a session: each packet is rewritten, and prolongs the session.

Theory of operation. `Nat` makes a `TranslatedFlow` for a packet that it can translate;
`translate` returns the decision, and changes nothing. `commit` writes, once the packet is
allowed: it opens a proposed session, and lets the packet confirm, prolong or end it.

From then on the `TranslatedFlow` is the flow's handler: `handle` does both steps in one call. It
asks for no permission again. That is safe because the flow cache, which stores it, is
invalidated with every change of the client's permissions, and because `handle` looks at the
session's time and end with every packet.

`handle` has a quick way for the packets of a steady session (`TrackedSession.is_steady`) at a
time before which none of the client's can be gone (`ClientSessions.next`): it only notes the
time, as far as that counts. There is one class for each way in which it may count. The call that
weighs everything else takes 300 ns more.
"""

from collections.abc import Callable
from functools import partial
from struct import Struct
from typing import cast

from firezone_filter.nat.ends import ReverseKey
from firezone_filter.nat.sessions import ForwardKey, Session, SessionTable
from firezone_filter.packet.headers import Headers
from firezone_filter.packet.numbers import IPV4_LENGTH, STATE_FLAGS, TCP, TCP_FLAGS_AT, UDP
from firezone_filter.packet.rewrite import FlowRewriting, Rewriting, prepare, rewrite
from firezone_filter.tracking.lifetimes import UNCAPPED
from firezone_filter.values.decisions import Forward, Translate, make_translate

_PORTS = Struct("!HH")


class TranslatedFlow:
    """The packets of one session in one direction, to or from one port of the resource."""

    __slots__ = (
        "_flags_at",
        "_port",
        "_resource_id",
        "_rewrite",
        "_sessions",
        "client_id",
        "permitted",
        "session",
    )

    is_tcp: bool
    is_outbound: bool

    def __init__(
        self,
        sessions: SessionTable,
        session: Session,
        headers: Headers,
        key: bytes | None,
        permitted: Forward,
    ) -> None:
        self.client_id = permitted.client_id
        self.permitted = permitted
        """The permission for its packets: the decision about them, translation aside."""
        self.session = session
        self._resource_id = cast("str", permitted.resource_id)
        self._sessions = sessions
        outbound = self.is_outbound
        self._port = headers.destination_port if outbound else headers.source_port
        self._flags_at = headers.transport + TCP_FLAGS_AT
        self._rewrite = _rewriter(session, headers, key, outbound=outbound)

    def translate(self, packet: bytes) -> Translate:
        """Return the decision about a packet of the flow. This has no effect."""
        return Translate(self._rewrite(packet), self.client_id, self._resource_id)

    def commit(self, packet: bytes, now: float) -> bool:
        """Apply an allowed packet of the flow to its session, and open that if it is new.

        Returns:
            Whether the session is new. Then the caller must invalidate the client's inbound
            flows that went around the NAT, since they may belong to the session now.
        """
        flags = packet[self._flags_at] if self.is_tcp else 0
        if self.session.is_open:
            self._sessions.see(self.session, self._port, flags, now, outbound=self.is_outbound)
            return False
        self._sessions.open(self.session, self._port, flags, now)
        return True

    def handle(self, packet: bytes, now: float) -> Translate | None:
        """Translate one of the flow's next packets, and apply it to the session.

        Returns:
            The decision; `None` if the session is gone: then the packet is judged like the
            first of a flow.
        """
        if not self._sessions.lives(self.session, now):
            return None
        flags = packet[self._flags_at] if self.is_tcp else 0
        self._sessions.see(self.session, self._port, flags, now, outbound=self.is_outbound)
        return make_translate(self._rewrite(packet), self.client_id, self._resource_id)


class _TcpOutbound(TranslatedFlow):
    __slots__ = ()

    is_tcp = True
    is_outbound = True

    def handle(self, packet: bytes, now: float) -> Translate | None:
        session, sessions = self.session, self._sessions
        if (
            session.is_steady
            and now < sessions.next
            and not packet[self._flags_at] & STATE_FLAGS
            # Another port would make it a session of several.
            and self._port == session.resource_port
        ):
            session.last_outbound = now
            lane = sessions.established
            if session.after is not lane:
                sessions.prolong(session, lane)
            return make_translate(self._rewrite(packet), self.client_id, self._resource_id)
        return super().handle(packet, now)


class _TcpInbound(TranslatedFlow):
    __slots__ = ()

    is_tcp = True
    is_outbound = False

    def handle(self, packet: bytes, now: float) -> Translate | None:
        # What comes in does not prolong TCP.
        if (
            self.session.is_steady
            and now < self._sessions.next
            and not packet[self._flags_at] & STATE_FLAGS
        ):
            return make_translate(self._rewrite(packet), self.client_id, self._resource_id)
        return super().handle(packet, now)


class _DatagramOutbound(TranslatedFlow):
    __slots__ = ()

    is_tcp = False
    is_outbound = True

    def handle(self, packet: bytes, now: float) -> Translate | None:
        session, sessions = self.session, self._sessions
        if session.is_steady and now < sessions.next:
            session.last = session.last_outbound = now
            lane = sessions.datagrams
            if session.after is not lane:
                sessions.prolong(session, lane)
            return make_translate(self._rewrite(packet), self.client_id, self._resource_id)
        return super().handle(packet, now)


class _DatagramInbound(TranslatedFlow):
    __slots__ = ()

    is_tcp = False
    is_outbound = False

    def handle(self, packet: bytes, now: float) -> Translate | None:
        session, sessions = self.session, self._sessions
        if session.is_steady and now < sessions.next and now < session.last_outbound + UNCAPPED:
            session.last = now
            lane = sessions.datagrams
            if session.after is not lane:
                sessions.prolong(session, lane)
            return make_translate(self._rewrite(packet), self.client_id, self._resource_id)
        return super().handle(packet, now)


def translated_flow(  # noqa: PLR0913 - the facts about the first packet
    sessions: SessionTable,
    session: Session,
    headers: Headers,
    key: bytes | None,
    permitted: Forward,
    *,
    outbound: bool,
) -> TranslatedFlow:
    """Return the flow of a packet of *session*.

    Args:
        sessions: the client's.
        session: the packet's.
        headers: those of the packet.
        key: its flow key; `None` if it has none.
        permitted: the permission for it.
        outbound: whether the client sends it.
    """
    kind: type[TranslatedFlow]
    if session.is_tcp:
        kind = _TcpOutbound if outbound else _TcpInbound
    else:
        kind = _DatagramOutbound if outbound else _DatagramInbound
    return kind(sessions, session, headers, key, permitted)


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


def _rewriter(
    session: Session, headers: Headers, key: bytes | None, *, outbound: bool
) -> Callable[[bytes], bytes]:
    """Return the quickest function that rewrites the packets of a flow of *session*."""
    forward, reverse = session.forward_key, session.reverse_key
    rewriting = _rewriting(forward, reverse, outbound=outbound, source_address=not outbound)
    if key is None:
        return partial(rewrite, transport=headers.transport, rewriting=rewriting)
    (protocol, port, proxy), (_, translated, resolved) = forward, reverse
    if outbound:
        ends, end_ports = headers.source + resolved, (translated, headers.destination_port)
    else:
        ends, end_ports = proxy + headers.destination, (headers.source_port, port)
    if protocol in (TCP, UDP):
        quick = FlowRewriting(ends + _PORTS.pack(*end_ports), b"", rewriting)
    else:
        quick = FlowRewriting(ends, rewriting.port, rewriting)
    return quick.ipv4 if len(proxy) == IPV4_LENGTH else quick.ipv6
