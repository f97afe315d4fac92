"""The NAT of one client: translates packets to proxy addresses, and their answers.

`proxies` maps proxy addresses to real ones, `sessions` keeps the live mappings of ports, and
`packet.rewrite` changes bytes; this module finds the session of a packet and combines the three
(rules.md, section 6).

Theory of operation. Reading and writing are separate, so that a packet can be judged without
any effect. The caller asks for the `TranslatedFlow` of a packet whose headers are well formed and
which a resource permits: `outbound` (for first packets that are not judged, `flow_to`) finds a
session or proposes a new one, and `inbound` continues a live one. Nothing changes until the flow
is committed (`flows`).

The NAT knows neither the flow cache nor the accounting.
"""

from collections.abc import Callable, Iterable
from struct import Struct
from typing import Final, Literal

from firezone_filter.nat.flows import TranslatedFlow, rewriting_of, translated_flow
from firezone_filter.nat.given import GivenNames
from firezone_filter.nat.proxies import ProxyTable, Resolution
from firezone_filter.nat.sessions import ForwardKey, Release, Session, SessionTable
from firezone_filter.packet.headers import Headers
from firezone_filter.packet.icmp import ECHO_ID_AT, ECHO_REPLY, ECHO_REQUEST
from firezone_filter.packet.numbers import TCP, UDP
from firezone_filter.packet.rewrite import rewrite_error
from firezone_filter.structures.upkeep import Keeper, UpkeepQueue
from firezone_filter.tracking.sessions import SessionPool
from firezone_filter.values.decisions import Forward, Reason

_ID = Struct("!H")

_REAL_AT_LEAST: Final = 64
"""So few real addresses are kept whether or not they still mean anything."""


class Nat:
    """The proxy addresses and sessions of one client."""

    __slots__ = ("_real_at_most", "_sessions", "given", "proxies", "real")

    def __init__(
        self,
        pool: SessionPool[Session],
        connected: int,
        cleanup: UpkeepQueue[Keeper],
        release: Release,
    ) -> None:
        """Create a NAT without proxy addresses; arguments as `SessionTable`."""
        self.proxies: ProxyTable = ProxyTable()
        self.given: GivenNames = GivenNames()
        """What `resolve` has been told, to be told again."""
        self._sessions = SessionTable(pool, connected, cleanup, release)
        self.real: set[bytes] = set()
        """The real addresses of all that an inbound packet may belong to: of proxy addresses, of
        sessions and of remembered ends; perhaps others too, never fewer. A packet from another
        address has nothing to do with the NAT, now and until the next `resolve`."""
        self._real_at_most = _REAL_AT_LEAST

    # --- Policy ----------------------------------------------------------------------------

    def resolve(self, resource_id: str, resolution: Resolution, now: float) -> None:
        """Assign proxy addresses to a name, and the name's real addresses to them."""
        if self.proxies.is_renumbered_by(resolution):
            # The client numbers from the start again, so all its old proxy addresses have lost
            # their meaning: a session under one could reach a host of another name.
            self.given.clear()
            self.proxies.clear()
            self._sessions.withdraw_all(now)
        self._note_real(resolution.resolved)
        self.proxies.assign(resource_id, resolution)
        self.given.add(resource_id, resolution)

    def _note_real(self, addresses: Iterable[bytes]) -> None:
        """Take note of real addresses, and at times forget those that mean nothing any more."""
        if len(self.real) > self._real_at_most:
            real = self._sessions.real_addresses()
            real.update(self.proxies.targets())
            # In place, so that who sees fewer sees no more than that.
            self.real &= real
            self._real_at_most = max(2 * len(real), _REAL_AT_LEAST)
        self.real.update(addresses)

    def withdraw(self, resource_id: str, at: float, most: int | None = None) -> tuple[int, bool]:
        """Remove a resource at *at*, with the proxy addresses assigned for it alone.

        Their sessions end at that moment; those that were over by then had ended by time.

        Returns:
            How many steps it took, up to *most*, and whether that was all.
        """
        self.given.forget(resource_id)
        withdrawal = self.proxies.withdraw(resource_id, most)
        self._sessions.withdraw_proxies(withdrawal.ended, at)
        return withdrawal.steps, withdrawal.is_done

    def withdraw_name(self, domain: str, addresses: list[bytes], at: float) -> None:
        """Remove a name with its proxy *addresses*, whose sessions end at *at*."""
        self._sessions.withdraw_proxies(addresses, at)
        self.given.forget_name(domain)
        self.proxies.remove(addresses)

    def note_ends(self, addresses: Iterable[bytes], ends_at: Callable[[str], float]) -> None:
        """Take note of when some proxy addresses end.

        Args:
            addresses: the proxy addresses; those that are unknown are ignored.
            ends_at: returns when the authorization for a resource ends; infinity for never.
        """
        self._sessions.set_ends(self.proxies.note_ends(addresses, ends_at))

    def close(self) -> None:
        """Remove everything of this client from what all clients share."""
        self._sessions.close()

    def shift_clock(self, by: float) -> None:
        """Move every moment: the host's clock has been set, or has begun."""
        self._sessions.shift_clock(by)

    # --- Reading ---------------------------------------------------------------------------

    def is_in_use(self, domain: str) -> bool:
        """Tell whether a name has sessions, be it some that wait to be forgotten."""
        return self._sessions.has_any(self.proxies.of_name(domain))

    def live_sessions(self, now: float) -> list[Session]:
        """Return the sessions that live."""
        return self._sessions.living(now)

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
        ends = (headers.protocol, port, headers.destination)
        return self.flow_to(ends, headers.destination_port, headers.transport, key, permitted, now)

    def flow_to(  # noqa: PLR0913, PLR0917 - the facts about a packet
        self,
        ends: ForwardKey,
        resource_port: int,
        transport: int,
        key: bytes | None,
        permitted: Forward,
        now: float,
    ) -> TranslatedFlow | Literal[Reason.NO_TRANSLATION, Reason.NAT_EXHAUSTED]:
        """Do as `outbound`, given what it looks at of the packet.

        Args:
            ends: protocol, the client's port or echo id, and the proxy address.
            resource_port: the destination port; `NO_PORT` for ICMP echo.
            transport: the index of the transport header.
            key: as for `outbound`, like `permitted` and `now`.
            permitted: the permission.
            now: the time.
        """
        sessions = self._sessions
        session = sessions.find_outbound(ends, now)
        # A live session keeps its real address even if the name resolves to another by now.
        if session is None:
            proxy = self.proxies.by_address.get(ends[2])
            if proxy is None or proxy.target is None:
                return Reason.NO_TRANSLATION
            session = sessions.new_session(ends, proxy.target, proxy.ends_at, now)
            if session is None:
                return Reason.NAT_EXHAUSTED
        return translated_flow(
            sessions, session, resource_port, transport, key, permitted, outbound=True
        )

    def inbound(
        self, session: Session, headers: Headers, key: bytes | None, permitted: Forward
    ) -> TranslatedFlow:
        """Return the flow of a permitted packet to the client, of a live session."""
        port, transport = headers.source_port, headers.transport
        return translated_flow(
            self._sessions, session, port, transport, key, permitted, outbound=False
        )

    def session_inbound(self, headers: Headers, packet: bytes, now: float) -> Session | None:
        """Return the live session that an inbound packet belongs to, or `None`."""
        port = port_or_echo_id(headers, packet, outbound=False)
        if port is None:
            return None
        return self._sessions.find_inbound((headers.protocol, port, headers.source), now)

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
    rewriting = rewriting_of(session, outbound=outbound, source_address=outbound)
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
