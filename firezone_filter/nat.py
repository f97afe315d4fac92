"""DNS resources of one client: translating what goes to proxy addresses and comes back.

`ProxyTable` knows what is behind a proxy address, `SessionTable` which flows are alive, and
`packet.rewrite` how bytes change; this room finds the session of a packet.
"""

from struct import Struct
from typing import Final

from firezone_filter.decisions import Reason
from firezone_filter.flowcache import FlowMemory
from firezone_filter.packet.headers import Headers
from firezone_filter.packet.numbers import ICMPV4, ICMPV6, TCP, UDP
from firezone_filter.packet.rewrite import ECHO_ID_AT, prepare, rewrite, rewrite_error
from firezone_filter.proxies import ProxyTable, Resolution
from firezone_filter.sessions import Lifetimes, Session, SessionTable

_ID = Struct("!H")
_TCP_FLAGS_AT: Final = 13

# Echo request and reply (RFC 792, RFC 4443).
_ECHO_REQUEST: Final = {ICMPV4: 8, ICMPV6: 128}
_ECHO_REPLY: Final = {ICMPV4: 0, ICMPV6: 129}


class Nat:
    """The translations of one client."""

    __slots__ = ("_flows", "_sessions", "proxies")

    def __init__(self, lifetimes: Lifetimes, limits: tuple[int, int], flows: FlowMemory) -> None:
        """Create a NAT without translations.

        Args:
            lifetimes: of the sessions of all clients.
            limits: how many sessions this client may have, and all together.
            flows: what is remembered of the client. A new session takes over inbound
                flows that went around the NAT until then, so those are forgotten.
        """
        self.proxies = ProxyTable()
        self._sessions = SessionTable(lifetimes, limits)
        self._flows = flows

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

    def translate_outbound(self, headers: Headers, packet: bytes, now: float) -> bytes | Reason:
        """Translate a permitted packet to a proxy address, or say why it cannot be."""
        number = _number(headers, packet, outbound=True)
        if number is None:
            return Reason.PROTOCOL
        session = self._session_outbound((headers.protocol, number, headers.destination), now)
        if isinstance(session, Reason):
            return session
        translated = rewrite(packet, headers.transport, session.outward)
        flags = _tcp_flags(headers, packet)
        self._sessions.see_outbound(session, headers.destination_port, flags, now)
        return translated

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

    def translate_inbound(
        self, session: Session, headers: Headers, packet: bytes, now: float
    ) -> bytes:
        """Translate a permitted inbound packet of a live session."""
        translated = rewrite(packet, headers.transport, session.inward)
        flags = _tcp_flags(headers, packet)
        self._sessions.see_inbound(session, headers.source_port, flags, now)
        return translated

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
    expected = (_ECHO_REQUEST if outbound else _ECHO_REPLY).get(protocol)
    if expected is None or headers.icmp_type != expected:
        return None
    number: int = _ID.unpack_from(packet, headers.transport + ECHO_ID_AT)[0]
    return number


def _tcp_flags(headers: Headers, packet: bytes) -> int:
    return packet[headers.transport + _TCP_FLAGS_AT] if headers.protocol == TCP else 0
