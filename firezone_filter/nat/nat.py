"""The NAT of one client: translates packets to proxy addresses, and their answers.

`proxies` maps proxy addresses to real ones, `sessions` keeps the live mappings of ports, and
`packet.rewrite` changes bytes; this module finds the session of a packet and combines the three
(docs/rules.md, section 6).

Theory of operation. Reading and writing are separate, so that a packet can be judged without
any effect. The judge asks for the `TranslatedFlow` of a packet whose headers are well formed and
which a resource permits: `outbound` finds a session or proposes a new one, and `inbound`
continues a live one. `TranslatedFlow.translate` returns the decision. Up to here nothing has
changed. `TranslatedFlow.commit` writes, once the packet is allowed: it opens a proposed session,
and lets the packet confirm, prolong or end it.

From then on the `TranslatedFlow` is the flow's handler: `handle` does both steps in one call. It
asks for no permission again. That is safe because the flow cache, which stores it, is
invalidated with every change of the client's permissions, and because `handle` looks at the
session's time and end with every packet.

The NAT knows neither the flow cache nor the accounting.
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
    Rewriting,
    prepare,
    rewrite,
    rewrite_error,
)
from firezone_filter.structures.timers import Expirable, TimerQueue
from firezone_filter.tracking.lifetimes import SessionPool
from firezone_filter.values.decisions import Forward, Reason, Translate, make_translate

_ID = Struct("!H")
_PORTS = Struct("!HH")
_TCP_FLAGS_AT: Final = 13


class TranslatedFlow:
    """The packets of one session in one direction, to or from one port of the resource."""

    __slots__ = (
        "_flags_at",
        "_outbound",
        "_pool",
        "_port",
        "_resource_id",
        "_rewrite",
        "_sessions",
        "client_id",
        "permitted",
        "session",
    )

    def __init__(  # noqa: PLR0913 - the facts about the first packet
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
        """The permission for its packets: the decision about them, translation aside."""
        self.session = session
        self._resource_id = cast("str", permitted.resource_id)
        self._sessions = sessions
        self._pool = sessions.sessions.pool
        self._outbound = outbound
        self._port = headers.destination_port if outbound else headers.source_port
        self._flags_at = headers.transport + _TCP_FLAGS_AT if headers.protocol == TCP else None
        self._rewrite = _rewriter(session, headers, key, outbound=outbound)

    def translate(self, packet: bytes) -> Translate:
        """Return the decision about a packet of the flow. This has no effect."""
        return Translate(self._rewrite(packet), self.client_id, self._resource_id)

    def _apply(self, packet: bytes, now: float) -> None:
        """Let an allowed packet of the flow open, confirm, prolong or end its session."""
        # Sessions that are over have no place in the table any more: a new one may need their
        # port or their place under a limit, and ends are remembered in the order of their times.
        if now >= self._pool.next:
            self._pool.sweep(now)
        flags = 0 if self._flags_at is None else packet[self._flags_at]
        session = self.session
        if session.is_open:
            self._sessions.see(session, self._port, flags, now, outbound=self._outbound)
        else:
            self._sessions.open(session, self._port, flags, now)

    def commit(self, packet: bytes, now: float) -> bool:
        """Apply an allowed packet of the flow to its session, and open that if it is new.

        Returns:
            Whether the session is new. Then the caller must invalidate the client's inbound
            flows that went around the NAT, since they may belong to the session now.
        """
        is_new = not self.session.is_open
        self._apply(packet, now)
        return is_new

    def handle(self, packet: bytes, now: float) -> Translate | None:
        """Translate one of the flow's next packets, and apply it to the session.

        Returns:
            The decision; `None` if the session is over or has been removed: then the packet is
            judged like the first of a flow.
        """
        session = self.session
        if session.ended:
            return None
        if now >= session.armed_for and self._pool.is_over(session, now):
            return None
        # A packet without state flags only prolongs a steady session; so do nearly all. The
        # call that weighs everything else takes 300 ns more.
        flags = 0 if self._flags_at is None else packet[self._flags_at]
        if (
            session.is_steady
            and not flags & STATE_FLAGS
            and (self._port == session.resource_port or not self._outbound)
        ):
            session.last = now
            if self._outbound:
                session.last_outbound = now
        else:
            self._apply(packet, now)
        return make_translate(self._rewrite(packet), self.client_id, self._resource_id)


class Nat:
    """The proxy addresses and sessions of one client."""

    __slots__ = ("_sessions", "proxies")

    def __init__(
        self,
        pool: SessionPool,
        connected: int,
        cleanup_timers: TimerQueue[Expirable],
    ) -> None:
        """Create a NAT without proxy addresses; arguments as `SessionTable`."""
        self.proxies = ProxyTable()
        self._sessions = SessionTable(pool, connected, cleanup_timers)

    # --- Policy ----------------------------------------------------------------------------

    def resolve(self, resource_id: str, resolution: Resolution) -> None:
        """Assign proxy addresses to a name, and the name's real addresses to them."""
        if self.proxies.is_renumbered_by(resolution):
            # The client numbers from the start again, so all its old proxy addresses have lost
            # their meaning: a session under one could reach a host of another name.
            self.proxies.clear()
            self._sessions.drop_all()
        self.proxies.assign(resource_id, resolution)

    def revoke(self, resource_id: str) -> None:
        """Remove a resource, the proxy addresses assigned for it alone, and their sessions."""
        ended = self.proxies.revoke(resource_id)
        if ended:
            self._sessions.drop_proxies(set(ended))

    def close(self) -> None:
        """Remove everything of this client from the shared timers."""
        self._sessions.close()

    def shift_clock(self, by: float) -> None:
        """Move every moment: the host's clock has been set, or has begun."""
        self._sessions.shift_clock(by)

    # --- Reading ---------------------------------------------------------------------------

    def outbound(
        self,
        headers: Headers,
        key: bytes | None,
        packet: bytes,
        permitted: Forward,
        now: float,
    ) -> TranslatedFlow | Reason:
        """Return the flow of a permitted packet to a proxy address, or why there is none.

        Args:
            headers: those of the packet.
            key: its flow key; `None` if it has none. With a key it is rewritten in a third of
                the time.
            packet: the packet.
            permitted: the permission for it, translation aside.
            now: the time, in seconds.

        Returns:
            The flow, perhaps with a new session that `commit` must open. Otherwise `PROTOCOL`
            for a packet that cannot be translated, `NO_TRANSLATION` without a real address,
            `NAT_EXHAUSTED` without a free port or room.
        """
        port = port_or_echo_id(headers, packet, outbound=True)
        if port is None:
            return Reason.PROTOCOL
        forward_key = (headers.protocol, port, headers.destination)
        session = self._sessions.find_outbound(forward_key, now)
        # A live session keeps its real address even if the name resolves to another by now.
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
        """Return the flow of a permitted packet to the client, of a live session."""
        return TranslatedFlow(self._sessions, session, headers, key, permitted, outbound=False)

    def session_inbound(self, headers: Headers, packet: bytes, now: float) -> Session | None:
        """Return the live session that an inbound packet belongs to, or `None`."""
        port = port_or_echo_id(headers, packet, outbound=False)
        if port is None:
            return None
        return self._sessions.find_inbound((headers.protocol, port, headers.source), now)

    def may_match(self, key: ReverseKey) -> bool:
        """Tell whether an inbound packet may belong to a live session or a remembered end.

        It may say yes wrongly, never no: the judge's fast path leaves such packets to the table.
        """
        return self._sessions.may_match(key)

    def expired_recently(self, headers: Headers, packet: bytes, now: float) -> bool:
        """Tell whether an inbound packet belonged to a session that ended within 240 s."""
        port = port_or_echo_id(headers, packet, outbound=False)
        if port is None:
            return False
        return self._sessions.expired_recently((headers.protocol, port, headers.source), now)

    def session_quoted(
        self, quoted: Headers, quote: bytes, now: float, *, outbound: bool
    ) -> Session | None:
        """Return the live session of a packet that an ICMP error quotes, or `None`.

        A quote shows the packet as the sender of the error saw it: one that the client sent,
        after translation; one that the client received, after translation too.

        Args:
            quoted: the headers of the quote.
            quote: the quote.
            now: the time, in seconds.
            outbound: whether the client sent the *quoted* packet.
        """
        port = port_or_echo_id(quoted, quote, outbound=outbound)
        if port is None:
            return None
        if outbound:
            return self._sessions.find_inbound((quoted.protocol, port, quoted.destination), now)
        return self._sessions.find_outbound((quoted.protocol, port, quoted.source), now)


def translate_error(
    session: Session, error: Headers, quoted: Headers, packet: bytes, *, outbound: bool
) -> bytes:
    """Translate an ICMP error about a packet of *session*, together with its quote.

    Inbound, the quote becomes the packet as the client sent it, and the proxy address becomes
    the error's source, whichever router sent it: the client knows no other address. Outbound,
    the quote becomes the packet as the resource sent it, and the real address the destination.
    """
    rewriting = _rewriting(session, outbound=outbound, source_address=outbound)
    return rewrite_error(packet, error, quoted, rewriting, source=not outbound)


def port_or_echo_id(headers: Headers, packet: bytes, *, outbound: bool) -> int | None:
    """Return the client's port or echo id; `None` for a packet that cannot be translated.

    Of ICMP, echo requests are translated on the way out and echo replies on the way back; no
    other message belongs to a session (RFC 5508).
    """
    protocol = headers.protocol
    if protocol in (TCP, UDP):
        return headers.source_port if outbound else headers.destination_port
    expected = (ECHO_REQUEST if outbound else ECHO_REPLY).get(protocol)
    if expected is None or headers.icmp_type != expected:
        return None
    number: int = _ID.unpack_from(packet, headers.transport + ECHO_ID_AT)[0]
    return number


def _rewriting(session: Session, *, outbound: bool, source_address: bool) -> Rewriting:
    """Return how addresses and ports of a session's packets change in one direction.

    Args:
        session: the session.
        outbound: whether the proxy becomes the real address, else the reverse.
        source_address: whether that is the source address. An ICMP error quotes a packet that
            went the other way, where it is the destination.
    """
    (protocol, port, proxy), (_, translated, resolved) = session.forward_key, session.reverse_key
    if outbound:
        addresses, ports = (proxy, resolved), (port, translated)
    else:
        addresses, ports = (resolved, proxy), (translated, port)
    return prepare(protocol, addresses, ports, source_address=source_address)


def _rewriter(
    session: Session, headers: Headers, key: bytes | None, *, outbound: bool
) -> Callable[[bytes], bytes]:
    """Return the quickest function that rewrites the packets of a flow of *session*."""
    rewriting = _rewriting(session, outbound=outbound, source_address=not outbound)
    if key is None:
        return partial(rewrite, transport=headers.transport, rewriting=rewriting)
    (protocol, port, proxy), (_, translated, resolved) = session.forward_key, session.reverse_key
    if outbound:
        ends, end_ports = headers.source + resolved, (translated, headers.destination_port)
    else:
        ends, end_ports = proxy + headers.destination, (headers.source_port, port)
    if protocol in (TCP, UDP):
        quick = FlowRewriting(ends + _PORTS.pack(*end_ports), b"", rewriting)
    else:
        quick = FlowRewriting(ends, rewriting.port, rewriting)
    return quick.ipv4 if len(proxy) == IPV4_LENGTH else quick.ipv6
