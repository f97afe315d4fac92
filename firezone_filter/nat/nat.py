"""The NAT of one client: translates packets to proxy addresses, and their replies.

`proxies` knows the real address behind a proxy address, `sessions` which flows are alive, and
`packet.rewrite` how bytes change; this module brings a packet and its session together.

Theory of operation. Looking up and changing are apart, so that a packet can be judged without
any effect. `outbound` and `inbound` return the `TranslatedFlow` of a packet that the filters
permit; its session may be one that does not exist yet. `translate` gives the packet that goes
on. Nothing has changed by then. `commit` does the rest for a packet that is really allowed:
it opens a proposed session, and lets it be confirmed, prolonged or ended.

The same `TranslatedFlow` then handles the flow's next packets, both steps in one call. It
asks no filter again: whoever remembers it must invalidate it with everything that could
change the judgement, and its session tells when it has ended.
"""

from collections.abc import Callable
from functools import partial
from struct import Struct
from typing import Final, cast

from firezone_filter.nat.proxies import ProxyTable, Resolution
from firezone_filter.nat.sessions import ReverseKey, Session, SessionTable
from firezone_filter.packet.headers import Headers
from firezone_filter.packet.icmp import ECHO_REPLY, ECHO_REQUEST
from firezone_filter.packet.numbers import IPV4_LENGTH, STATE_FLAGS, TCP, UDP
from firezone_filter.packet.rewrite import (
    ECHO_ID_AT,
    FlowRewriting,
    prepare,
    rewrite,
    rewrite_error,
)
from firezone_filter.structures.timers import Expirable, TimerQueue
from firezone_filter.tracking.lifetimes import SessionTimers
from firezone_filter.values.decisions import Forward, Reason, Translate, make_translate

_ID = Struct("!H")
_PORTS = Struct("!HH")
_TCP_FLAGS_AT: Final = 13


class TranslatedFlow:
    """The packets of one session in one direction, to or from one port of the resource."""

    __slots__ = (
        "_flags_at",
        "_outbound",
        "_port",
        "_resource_id",
        "_rewrite",
        "_sessions",
        "_timers",
        "client_id",
        "permitted",
        "session",
    )

    def __init__(  # noqa: PLR0913 - what is known of the first packet
        self,
        sessions: SessionTable,
        session: Session,
        headers: Headers,
        key: bytes | None,
        permitted: Forward,
        *,
        outbound: bool,
    ) -> None:
        self.client_id = permitted.client_id
        self.permitted = permitted
        """What permits its packets: the decision about them, translation aside."""
        self.session = session
        self._resource_id = cast("str", permitted.resource_id)
        self._sessions = sessions
        self._timers = sessions.timers
        self._outbound = outbound
        self._port = headers.destination_port if outbound else headers.source_port
        self._flags_at = headers.transport + _TCP_FLAGS_AT if headers.protocol == TCP else None
        self._rewrite = _rewriter(session, headers, key, outbound=outbound)

    def translate(self, packet: bytes) -> Translate:
        """Return the decision about a packet of the flow, without any effect."""
        return Translate(self._rewrite(packet), self.client_id, self._resource_id)

    def note(self, packet: bytes, now: float) -> None:
        """Let an allowed packet of the flow confirm, prolong or end its session."""
        flags = 0 if self._flags_at is None else packet[self._flags_at]
        session = self.session
        see = session.see_outbound if self._outbound else session.see_inbound
        if see(self._port, flags):
            self._sessions.end(session, now)
        else:
            self._timers.prolong(session, now)

    def handle(self, packet: bytes, now: float) -> Translate | None:
        """Translate one of the flow's next packets, and prolong its session.

        `None` if the session has ended: then the packet is judged like the first of a flow.
        """
        session = self.session
        if now >= self._timers.next_expiry:
            self._timers.sweep(now)
        if session.ended:
            return None
        # A packet without state flags only prolongs a steady session; so do nearly all. The
        # call that weighs everything else takes 300 ns more.
        flags = 0 if self._flags_at is None else packet[self._flags_at]
        if (
            session.is_steady
            and not flags & STATE_FLAGS
            and (self._port == session.resource_port or not self._outbound)
        ):
            session.since = now
            session.queue.move_to_end(session)
        else:
            self.note(packet, now)
        return make_translate(self._rewrite(packet), self.client_id, self._resource_id)


class Nat:
    """The proxy addresses and sessions of one client."""

    __slots__ = ("_sessions", "proxies")

    def __init__(
        self,
        timers: SessionTimers,
        cleanup_timers: TimerQueue[Expirable],
        limits: tuple[int, int],
    ) -> None:
        """Create a NAT without proxy addresses; arguments as `SessionTable`."""
        self.proxies = ProxyTable()
        self._sessions = SessionTable(timers, cleanup_timers, limits)

    # --- Policy ----------------------------------------------------------------------------

    def resolve(self, resource_id: str, resolution: Resolution) -> None:
        """Let proxy addresses stand for a name, in place of any that they stood for."""
        if self.proxies.is_renumbered_by(resolution):
            # The client has begun to count anew: none of its old proxy addresses means
            # what it meant, so no session may go on under one.
            self.proxies.clear()
            self._sessions.drop_all()
        self.proxies.assign(resource_id, resolution)

    def revoke(self, resource_id: str) -> None:
        """Take a resource away, with the proxy addresses that were given for it alone."""
        ended = self.proxies.revoke(resource_id)
        if ended:
            self._sessions.drop_proxies(set(ended))

    def close(self) -> None:
        """Remove everything from the timers that all clients share: the client has gone."""
        self._sessions.close()

    def start_clock(self, now: float) -> None:
        """Count the ends before the first `now` from there."""
        self._sessions.start_clock(now)

    # --- Reading ---------------------------------------------------------------------------

    def outbound(
        self,
        headers: Headers,
        key: bytes | None,
        packet: bytes,
        permitted: Forward,
        now: float,
    ) -> TranslatedFlow | Reason:
        """Return the flow of a permitted packet to a proxy address, or why it has none.

        Its session may be a new one, which `commit` opens. *key* is its flow key, if it has
        one: such flows are rewritten in a third of the time.
        """
        port = port_or_echo_id(headers, packet, outbound=True)
        if port is None:
            return Reason.PROTOCOL
        forward_key = (headers.protocol, port, headers.destination)
        session = self._sessions.find_outbound(forward_key, now)
        if session is None:
            proxy = self.proxies.by_address.get(headers.destination)
            if proxy is None or proxy.target is None:
                return Reason.NO_TRANSLATION
            session = self._sessions.new_session(forward_key, proxy.target, now)
            if session is None:
                return Reason.NAT_EXHAUSTED
        return TranslatedFlow(self._sessions, session, headers, key, permitted, outbound=True)

    def inbound(
        self, session: Session, headers: Headers, key: bytes | None, permitted: Forward
    ) -> TranslatedFlow:
        """Return the flow of a permitted packet that belongs to a live session."""
        return TranslatedFlow(self._sessions, session, headers, key, permitted, outbound=False)

    def session_inbound(self, headers: Headers, packet: bytes, now: float) -> Session | None:
        """Return the live session that an inbound packet belongs to."""
        port = port_or_echo_id(headers, packet, outbound=False)
        if port is None:
            return None
        return self._sessions.find_inbound((headers.protocol, port, headers.source), now)

    def may_match(self, key: ReverseKey) -> bool:
        """Tell whether an inbound packet may belong to a session, or have done so lately."""
        return self._sessions.may_match(key)

    def expired_recently(self, headers: Headers, packet: bytes, now: float) -> bool:
        """Tell whether an inbound packet belonged to a session that ended not long ago."""
        port = port_or_echo_id(headers, packet, outbound=False)
        if port is None:
            return False
        return self._sessions.expired_recently((headers.protocol, port, headers.source), now)

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
        port = port_or_echo_id(quoted, quote, outbound=outbound)
        if port is None:
            return None
        if outbound:
            return self._sessions.find_inbound((quoted.protocol, port, quoted.destination), now)
        return self._sessions.find_outbound((quoted.protocol, port, quoted.source), now)

    # --- Changing --------------------------------------------------------------------------

    def commit(self, flow: TranslatedFlow, packet: bytes, now: float) -> bool:
        """Do what an allowed packet of *flow* does to its session.

        Returns:
            Whether that is a new session: then it takes over inbound packets that were
            judged as they came until now.
        """
        # Sessions that are over have no place in the table any more: the new one may need
        # their port, or their place under a limit.
        timers = self._sessions.timers
        if now >= timers.next_expiry:
            timers.sweep(now)
        is_new = not flow.session.is_open
        if is_new:
            self._sessions.open(flow.session, now)
        flow.note(packet, now)
        return is_new


def translate_error(
    session: Session, error: Headers, quoted: Headers, packet: bytes, *, outbound: bool
) -> bytes:
    """Translate an ICMP error about a packet of *session*, together with its quote.

    Inbound the quote becomes the packet that the client sent, and the proxy address appears
    as the source, whoever sent the error: the client knows no other. Outbound is the reverse.
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


def port_or_echo_id(headers: Headers, packet: bytes, *, outbound: bool) -> int | None:
    """Return the client's side of a packet: its port or echo id; `None` if it has none.

    Echo requests go out and echo replies come back; no other ICMP message has a session.
    """
    protocol = headers.protocol
    if protocol in (TCP, UDP):
        return headers.source_port if outbound else headers.destination_port
    expected = (ECHO_REQUEST if outbound else ECHO_REPLY).get(protocol)
    if expected is None or headers.icmp_type != expected:
        return None
    number: int = _ID.unpack_from(packet, headers.transport + ECHO_ID_AT)[0]
    return number


def _rewriter(
    session: Session, headers: Headers, key: bytes | None, *, outbound: bool
) -> Callable[[bytes], bytes]:
    """Return the quickest function that rewrites packets like this one of a session."""
    (protocol, port, proxy), (_, translated, resolved) = session.forward_key, session.reverse_key
    if outbound:
        addresses, ports = (proxy, resolved), (port, translated)
    else:
        addresses, ports = (resolved, proxy), (translated, port)
    rewriting = prepare(
        protocol, addresses, ports, source_address=not outbound, source_port=outbound
    )
    if key is None:
        return partial(rewrite, transport=headers.transport, rewriting=rewriting)
    if outbound:
        ends, end_ports = headers.source + resolved, (translated, headers.destination_port)
    else:
        ends, end_ports = proxy + headers.destination, (headers.source_port, port)
    if protocol in (TCP, UDP):
        quick = FlowRewriting(ends + _PORTS.pack(*end_ports), b"", rewriting)
    else:
        quick = FlowRewriting(ends, rewriting.port, rewriting)
    return quick.ipv4 if len(proxy) == IPV4_LENGTH else quick.ipv6
