"""DNS resources of one client: translating what goes to proxy addresses and comes back.

`ProxyTable` knows what is behind a proxy address, `SessionTable` which flows are alive, and
`packet.rewrite` how bytes change; this room finds the session of a packet.
"""

from collections.abc import Callable
from functools import partial
from struct import Struct
from typing import Final, cast

from firezone_filter.accounting.flow_counting import FlowRecorder
from firezone_filter.gateway.flow_cache import FlowMemory, PreparedFlow, flow_of
from firezone_filter.nat.proxies import Proxy, ProxyTable, Resolution
from firezone_filter.nat.sessions import TURNS, Lifetimes, ReverseKey, Session, SessionTable
from firezone_filter.packet.headers import Headers
from firezone_filter.packet.icmp import ECHO_REPLY, ECHO_REQUEST
from firezone_filter.packet.numbers import IPV4_LENGTH, TCP, UDP
from firezone_filter.packet.rewrite import (
    ECHO_ID_AT,
    FlowRewriting,
    prepare,
    rewrite,
    rewrite_error,
)
from firezone_filter.values.decisions import Forward, Reason, Translate, translation

_ID = Struct("!H")
_PORTS = Struct("!HH")
_TCP_FLAGS_AT: Final = 13


class NatFlow:
    """The packets of one session in one direction, to or from one port of the resource.

    Prepared with the first of them; the next ones only have to be of the same flow.
    """

    __slots__ = (
        "_flags_at",
        "_lifetimes",
        "_outbound",
        "_port",
        "_resource_id",
        "_rewrite",
        "_session",
        "_sessions",
        "client_id",
    )

    def __init__(  # noqa: PLR0913 - what is known of the first packet
        self,
        sessions: SessionTable,
        session: Session,
        headers: Headers,
        packet: bytes,
        permitted: Forward,
        *,
        outbound: bool,
    ) -> None:
        self.client_id = permitted.client_id
        self._resource_id = cast("str", permitted.resource_id)
        self._session = session
        self._sessions = sessions
        self._lifetimes = sessions.lifetimes
        self._outbound = outbound
        self._port = headers.destination_port if outbound else headers.source_port
        self._flags_at = headers.transport + _TCP_FLAGS_AT if headers.protocol == TCP else None
        self._rewrite = _rewriting(session, headers, packet, outbound=outbound)

    def decide(self, packet: bytes, now: float) -> Translate | None:
        """Translate a packet of the flow, and let its session live on.

        `None` if the session has ended: then the packet is judged like the first of a flow.
        """
        session = self._session
        if now >= self._lifetimes.wake:
            self._lifetimes.forget_old(now)
        if session.ended:
            return None
        flags = 0 if self._flags_at is None else packet[self._flags_at]
        # What nearly all packets do, prolong their session, is told by these. The call that
        # goes through all that a packet may do takes 300 ns more.
        if (
            session.is_steady
            and not flags & TURNS
            and (self._port == session.resource_port or not self._outbound)
        ):
            session.since = now
            session.queue.move_to_end(session)
        elif self._outbound:
            self._sessions.see_outbound(session, self._port, flags, now)
        else:
            self._sessions.see_inbound(session, self._port, flags, now)
        return translation(self._rewrite(packet), self.client_id, self._resource_id)


class Nat:
    """The translations of one client."""

    __slots__ = ("_flows", "_recorder", "_sessions", "proxies")

    def __init__(
        self,
        lifetimes: Lifetimes,
        limits: tuple[int, int],
        flows: FlowMemory,
        recorder: FlowRecorder | None = None,
    ) -> None:
        """Create a NAT without translations.

        Args:
            lifetimes: of the sessions of all clients.
            limits: how many sessions this client may have, and all together.
            flows: what is remembered of the client. A new session takes over inbound
                flows that went around the NAT until then, so those are forgotten.
            recorder: what counts the client's packets, if flows are recorded.
        """
        self.proxies = ProxyTable()
        self._sessions = SessionTable(lifetimes, limits)
        self._flows = flows
        self._recorder = recorder

    # --- Policy ----------------------------------------------------------------------------

    def resolve(self, resource_id: str, resolution: Resolution) -> None:
        """Let proxy addresses stand for a name, in place of what they stood for."""
        if self.proxies.is_renumbered_by(resolution):
            # The client has begun to count anew: none of its old proxy addresses means
            # what it meant, so no session may go on under one.
            self.proxies.clear()
            self._sessions.forget_all()
        self.proxies.assign(resource_id, resolution)

    def withdraw(self, resource_id: str) -> None:
        """Take a resource away, and the translations that were made for it alone."""
        ended = self.proxies.withdraw(resource_id)
        if ended:
            self._sessions.forget_proxies(set(ended))

    def close(self) -> None:
        """Leave nothing behind in what all clients share: the client has gone."""
        self._sessions.close()

    # --- Packets ---------------------------------------------------------------------------

    def outbound(
        self, headers: Headers, packet: bytes, permitted: Forward, now: float
    ) -> PreparedFlow | Reason:
        """Return the flow of a permitted packet to a proxy address, or why it has none."""
        number = _number(headers, packet, outbound=True)
        if number is None:
            return Reason.PROTOCOL
        session = self._session_outbound((headers.protocol, number, headers.destination), now)
        if isinstance(session, Reason):
            return session
        return self._flow(session, headers, packet, permitted, outbound=True)

    def inbound(
        self, session: Session, headers: Headers, packet: bytes, permitted: Forward
    ) -> PreparedFlow:
        """Return the flow of a permitted packet that belongs to a live session."""
        return self._flow(session, headers, packet, permitted, outbound=False)

    def _flow(
        self,
        session: Session,
        headers: Headers,
        packet: bytes,
        permitted: Forward,
        *,
        outbound: bool,
    ) -> PreparedFlow:
        flow: PreparedFlow
        flow = NatFlow(self._sessions, session, headers, packet, permitted, outbound=outbound)
        if self._recorder is not None:
            # What is permitted is so by way of its proxy address.
            domain = cast("Proxy", self.proxies.get(session.proxy)).domain
            flow = self._recorder.through_nat(
                flow, headers, session.reverse_key, permitted, domain, outbound=outbound
            )
        self._flows.remember_prepared(headers, packet, flow, outbound=outbound)
        return flow

    def _session_outbound(self, key: tuple[int, int, bytes], now: float) -> Session | Reason:
        session = self._sessions.find_outbound(key, now)
        if session is not None:
            return session
        proxy = self.proxies.get(key[2])
        if proxy is None or proxy.target is None:
            return Reason.NO_TRANSLATION
        session = self._sessions.open(key, proxy.target, now)
        if session is None:
            return Reason.NAT_EXHAUSTED
        self._flows.forget_inbound()
        return session

    def session_inbound(self, headers: Headers, packet: bytes, now: float) -> Session | None:
        """Return the live session that an inbound packet belongs to."""
        number = _number(headers, packet, outbound=False)
        if number is None:
            return None
        return self._sessions.find_inbound((headers.protocol, number, headers.source), now)

    def knows(self, key: ReverseKey) -> bool:
        """Tell whether an inbound packet may belong to a session, or have done so lately."""
        return self._sessions.knows(key)

    def has_ended(self, headers: Headers, packet: bytes, now: float) -> bool:
        """Tell whether an inbound packet belonged to a session that was forgotten lately."""
        number = _number(headers, packet, outbound=False)
        if number is None:
            return False
        return self._sessions.has_ended((headers.protocol, number, headers.source), now)

    def session_quoted(
        self, quoted: Headers, quote: bytes, now: float, *, outbound: bool
    ) -> Session | None:
        """Return the live session of a packet that an ICMP error quotes.

        Args:
            quoted: the headers of the quote.
            quote: the quote itself.
            now: the time.
            outbound: whether the *quoted* packet is one that the client sent.
        """
        number = _number(quoted, quote, outbound=outbound)
        if number is None:
            return None
        if outbound:
            return self._sessions.find_inbound((quoted.protocol, number, quoted.destination), now)
        return self._sessions.find_outbound((quoted.protocol, number, quoted.source), now)

    # --- Memory ----------------------------------------------------------------------------

    def start_clock(self, now: float) -> None:
        """Count what ended before the first `now` from there."""
        self._sessions.start_clock(now)


def translate_error(
    session: Session, error: Headers, quoted: Headers, packet: bytes, *, outbound: bool
) -> bytes:
    """Translate an ICMP error about a packet of *session*, together with its quote.

    Inbound the quote becomes what the client sent, and the proxy address appears as the
    source, whoever sent the error: the client knows no other. Outbound is the reverse.
    """
    (protocol, port, proxy), (_, translated, resolved) = session.forward_key, session.reverse_key
    if outbound:
        addresses, ports = (proxy, resolved), (port, translated)
    else:
        addresses, ports = (resolved, proxy), (translated, port)
    rewriting = prepare(
        protocol, addresses, ports, source_address=outbound, source_port=not outbound
    )
    return rewrite_error(packet, error, quoted, rewriting, source=not outbound)


def _number(headers: Headers, packet: bytes, *, outbound: bool) -> int | None:
    """Return the client's side of a packet: its port or echo id; `None` if it has none.

    Echo requests go out and echo replies come back; nothing else of ICMP has a session.
    """
    protocol = headers.protocol
    if protocol in (TCP, UDP):
        return headers.source_port if outbound else headers.destination_port
    expected = (ECHO_REQUEST if outbound else ECHO_REPLY).get(protocol)
    if expected is None or headers.icmp_type != expected:
        return None
    number: int = _ID.unpack_from(packet, headers.transport + ECHO_ID_AT)[0]
    return number


def _rewriting(
    session: Session, headers: Headers, packet: bytes, *, outbound: bool
) -> Callable[[bytes], bytes]:
    """Return what rewrites packets of a session, in the quickest way there is for them."""
    rewriting = session.outward if outbound else session.inward
    if flow_of(headers, packet) is None:
        return partial(rewrite, transport=headers.transport, rewriting=rewriting)
    (_, port, proxy), (_, translated_port, resolved) = session.forward_key, session.reverse_key
    if outbound:
        ends, ports = headers.source + resolved, (translated_port, headers.destination_port)
    else:
        ends, ports = proxy + headers.destination, (headers.source_port, port)
    if headers.protocol in (TCP, UDP):
        quick = FlowRewriting(ends + _PORTS.pack(*ports), b"", rewriting)
    else:
        quick = FlowRewriting(ends, rewriting.port, rewriting)
    return quick.ipv4 if len(proxy) == IPV4_LENGTH else quick.ipv6


def translated(packet: bytes, permitted: Forward) -> Translate:
    """Return the decision for a translated packet that is *permitted*."""
    return Translate(packet, permitted.client_id, cast("str", permitted.resource_id))
