"""The judge: both tables of checks, row by row in the order of docs/rules.md, section 4.

Theory of operation. Every packet that misses the flow cache is judged here, in one of two
tables: `_judge_outbound` for packets from a client, `_judge_inbound` for packets to one. Rows
stand in the order of the rules, and the first that fails decides; no row permits a packet
that a later one would refuse, but the rows of ICMP errors and of the gateway's own address,
which have rules of their own. A packet that reaches the end has been permitted by a resource.

By then its headers have been read and are well formed (`packet.headers`): no row looks at a
length. The order protects the rows from each other: the client is known before its filters
are asked, a spoofed source is refused before it can touch that client's state, fragments are
sorted out before a port is read, and tunnel addresses are refused before a resource that
covers them could match.

Judging reads, committing writes. The judge changes nothing: it returns a `Ruling`, which is the
decision and what follows from it, and `commit` does that. State that is over at `now` counts
as gone, swept out or not.

`judge_new_tcp_or_udp` is the first screen, and the fast path of the tables: it decides about
new TCP and UDP flows between a client and a resource's network, as nearly all new flows are,
in half the time. Why it equals the table stands there.
"""

from bisect import bisect_right
from struct import Struct
from typing import Final, cast

from firezone_filter.access.special_ranges import DNS, MULTICAST, NOT_CIDR, PROXY, TUNNEL
from firezone_filter.gateway.client import Client
from firezone_filter.gateway.clients import ClientTable
from firezone_filter.gateway.context import GatewayContext
from firezone_filter.gateway.icmp_errors import judge_icmp_error
from firezone_filter.gateway.ruling import Ruling
from firezone_filter.nat.nat import Nat
from firezone_filter.packet.flow_key import flow_key
from firezone_filter.packet.headers import NO_PORT, Fragment, Headers, read_headers
from firezone_filter.packet.icmp import is_icmp_error, stays_on_link
from firezone_filter.packet.numbers import IPV4_HEADER, IPV6_HEADER
from firezone_filter.packet.replies import unreachable_reply
from firezone_filter.packet.rewrite import rewrite_address
from firezone_filter.values.decisions import (
    Decision,
    Direction,
    Drop,
    Forward,
    Reason,
    Reject,
    Translate,
)

_OUTBOUND = Direction.OUTBOUND

# A flow key taken apart: both addresses, both ports.
_IPV4_KEY = Struct("!4s4sHH").unpack
_IPV6_KEY = Struct("!16s16sHH").unpack
_IPV4_KEY_SIZE: Final = 12

_MALFORMED = Ruling(Drop(Reason.MALFORMED, None))
_MULTICAST = Ruling(Drop(Reason.MULTICAST, None))
_NOT_A_PEER = Ruling(Drop(Reason.NOT_A_PEER, None))
_UNKNOWN_CLIENT = Ruling(Drop(Reason.UNKNOWN_CLIENT, None))

# Refusals that say "there is no way there"; all others say "the way there is forbidden".
_UNREACHABLE: Final = frozenset({Reason.NO_TRANSLATION, Reason.NOT_INTERNET})


class Judge:
    """Decides about packets that the flow cache does not know. It changes nothing."""

    __slots__ = ("_by_address", "_clients", "_context", "_ipv4", "_ipv6")

    def __init__(self, context: GatewayContext, clients: ClientTable) -> None:
        self._context = context
        self._clients = clients.by_id
        self._by_address = clients.by_address
        # What takes a flow key apart, and the flags of addresses.
        self._ipv4 = (_IPV4_KEY, *context.ranges.ipv4)
        self._ipv6 = (_IPV6_KEY, *context.ranges.ipv6)

    def judge_new_tcp_or_udp(  # noqa: PLR0913, PLR0917 - what is known by then; keywords take 50 ns
        self,
        direction: Direction,
        protocol: int,
        key: bytes,
        packet: bytes,
        now: float,
        client_id: str | None,
    ) -> Ruling | Decision:
        """Judge a whole TCP or UDP packet without options or extension headers.

        Most get here what the table would give them, since its other rows have nothing to
        say: the headers were read on the way here, it is no fragment and no ICMP, a client
        owns the near address, and the far address has not the flag `NOT_CIDR`. Every address
        that an earlier row refuses or treats apart has that flag: multicast, tunnel (the
        gateway's own among them) and proxy addresses. So only the row of resources is left,
        and inbound that of sessions, which is asked first.

        Returns:
            The decision bare, where nothing follows from it but what its kind tells.
        """
        # A call of `flags` would take 50 ns of 1,400 more.
        unpack, starts, flags = self._ipv4 if len(key) == _IPV4_KEY_SIZE else self._ipv6
        if direction is _OUTBOUND:
            near, far, near_port, far_port = unpack(key)
        else:
            far, near, far_port, near_port = unpack(key)
        client = self._by_address.get(near)
        flag = flags[bisect_right(starts, far) - 1]
        if (
            client is None
            or flag & NOT_CIDR
            or (client_id is not None and client_id != client.id)
            or (
                client.nat is not None
                and direction is not _OUTBOUND
                and client.nat.may_match((protocol, near_port, far))
            )
        ):
            transport = IPV4_HEADER if len(key) == _IPV4_KEY_SIZE else IPV6_HEADER
            source, destination, source_port, destination_port = unpack(key)
            headers = Headers(
                source=source,
                destination=destination,
                protocol=protocol,
                source_port=source_port,
                destination_port=destination_port,
                icmp_type=NO_PORT,
                transport=transport,
                fragment=None,
            )
            table = self._judge_outbound if direction is _OUTBOUND else self._judge_inbound
            return table(headers, flag, key, packet, now, client_id)
        permitted = client.access.permission(far, flag, protocol, far_port)
        if type(permitted) is Forward:
            return permitted
        if direction is _OUTBOUND:
            return self._reject_if_allowed(client, permitted, near, far, packet, now)
        return client.drop(permitted)

    def judge(
        self, direction: Direction, packet: bytes, now: float, client_id: str | None
    ) -> Ruling:
        """Judge any packet at all."""
        headers = read_headers(packet)
        if headers is None:
            return _MALFORMED
        key = flow_key(headers, packet)
        if direction is _OUTBOUND:
            flags = self._context.flags(headers.destination)
            return self._judge_outbound(headers, flags, key, packet, now, client_id)
        flags = self._context.flags(headers.source)
        return self._judge_inbound(headers, flags, key, packet, now, client_id)

    # --- The tables ------------------------------------------------------------------------

    def _judge_outbound(  # noqa: C901, PLR0911, PLR0912, PLR0913, PLR0917 - a return for each row
        self,
        headers: Headers,
        flags: int,
        key: bytes | None,
        packet: bytes,
        now: float,
        client_id: str | None,
    ) -> Ruling:
        """Judge a packet from a client; *flags* are those of its destination."""
        protocol, destination = headers.protocol, headers.destination

        # The destination is neither multicast nor broadcast.
        if flags & MULTICAST:
            return _MULTICAST

        # The client is connected.
        if client_id is None:
            client = self._by_address.get(headers.source)
        else:
            client = self._clients.get(client_id)
        if client is None:
            return _UNKNOWN_CLIENT

        # A client may send only from its own tunnel addresses; otherwise one client could
        # borrow another's access with a spoofed source.
        if client_id is not None and headers.source not in client.addresses:
            return Ruling(client.drop(Reason.SOURCE_NOT_ALLOWED), client)

        # Fragments: a first one goes on through the table.
        if headers.fragment is not None:
            ruling = self._judge_fragment(
                client, headers, headers.fragment, packet, now, outbound=True
            )
            if ruling is not None:
                return ruling

        # Clients never reach each other, only the gateway itself.
        is_own = bool(flags & TUNNEL) and destination in self._context.own
        if flags & TUNNEL and not is_own:
            return self._refuse(client, Reason.PEER_ADDRESS, headers, packet, now)

        # ICMP errors have rules of their own; router and neighbour discovery stays on its link.
        if headers.icmp_type != NO_PORT:
            if is_icmp_error(protocol, headers.icmp_type):
                return judge_icmp_error(self._context, client, headers, packet, now, outbound=True)
            if stays_on_link(protocol, headers.icmp_type):
                return Ruling(client.drop(Reason.ICMP), client, headers)

        # The gateway's own address has its own filters.
        if is_own:
            refusal = self._context.own_refusal(protocol, headers.destination_port)
            if refusal is not None:
                return self._refuse(client, refusal, headers, packet, now)
            return Ruling(client.forward_own, client, headers, key)

        # A resource matches and permits.
        permitted = client.access.permission(
            destination, flags, protocol, headers.destination_port
        )
        if isinstance(permitted, Reason):
            return self._refuse(client, permitted, headers, packet, now)
        if not flags & DNS:
            return Ruling(permitted, client, headers, key)

        # A proxy address has a translation. (Without a NAT no resource covers one.)
        flow = cast("Nat", client.nat).outbound(headers, key, packet, permitted, now)
        if flow is Reason.NAT_EXHAUSTED:
            # It may pass in a moment: no reason to tell the client that it never will.
            return Ruling(client.drop(flow), client, headers)
        if isinstance(flow, Reason):
            return self._refuse(client, flow, headers, packet, now)
        return Ruling(flow.translate(packet), client, headers, key, flow)

    def _judge_inbound(  # noqa: C901, PLR0911, PLR0912, PLR0913, PLR0917 - a return for each row
        self,
        headers: Headers,
        flags: int,
        key: bytes | None,
        packet: bytes,
        now: float,
        client_id: str | None,
    ) -> Ruling:
        """Judge a packet to a client; *flags* are those of its source.

        Refusals are silent: a reply would tell the far end that there is somebody here.
        """
        protocol, source = headers.protocol, headers.source

        # The destination is a connected client's.
        client = self._by_address.get(headers.destination)
        if client is None and not self._context.flags(headers.destination) & TUNNEL:
            return _NOT_A_PEER
        if client is None or (client_id is not None and client_id != client.id):
            return _UNKNOWN_CLIENT

        # Fragments: a first one goes on through the table.
        if headers.fragment is not None:
            ruling = self._judge_fragment(
                client, headers, headers.fragment, packet, now, outbound=False
            )
            if ruling is not None:
                return ruling

        # No far end may speak with an address from inside, but the gateway itself.
        is_own = bool(flags & (TUNNEL | DNS)) and source in self._context.own
        if flags & (TUNNEL | DNS) and not is_own:
            return Ruling(client.drop(Reason.PEER_ADDRESS), client, headers)

        # ICMP errors have rules of their own; router and neighbour discovery stays on its link.
        if headers.icmp_type != NO_PORT:
            if is_icmp_error(protocol, headers.icmp_type):
                return judge_icmp_error(
                    self._context, client, headers, packet, now, outbound=False
                )
            if stays_on_link(protocol, headers.icmp_type):
                return Ruling(client.drop(Reason.ICMP), client, headers)

        # The gateway's own address has its own filters.
        if is_own:
            refusal = self._context.own_refusal(protocol, headers.source_port)
            if refusal is not None:
                return Ruling(client.drop(refusal), client, headers)
            return Ruling(client.forward_own, client, headers, key)

        # A packet of a live session is judged as the client will see it: from its proxy
        # address.
        nat = client.nat
        session = None if nat is None else nat.session_inbound(headers, packet, now)
        far, flags = (source, flags) if session is None else (session.proxy, PROXY)

        # A resource matches the source and permits.
        permitted = client.access.permission(far, flags, protocol, headers.source_port)
        if isinstance(permitted, Reason):
            # Late packets of a session that has ended are told from strangers'.
            if session is None and nat is not None and nat.expired_recently(headers, packet, now):
                permitted = Reason.EXPIRED_NAT_SESSION
            return Ruling(client.drop(permitted), client, headers)
        if nat is None or session is None:
            return Ruling(permitted, client, headers, key)
        flow = nat.inbound(session, headers, key, permitted)
        return Ruling(flow.translate(packet), client, headers, key, flow)

    def _judge_fragment(  # noqa: PLR0913 - a row of the table, with all that a row may look at
        self,
        client: Client,
        headers: Headers,
        fragment: Fragment,
        packet: bytes,
        now: float,
        *,
        outbound: bool,
    ) -> Ruling | None:
        """Judge a later fragment; `None` for a first one, which the other rows decide about."""
        if not fragment.start:
            if client.fragments.contradicts(headers, fragment, now, outbound=outbound):
                return Ruling(client.drop(Reason.FRAGMENT), client, headers)
            return None
        # Later fragments carry no ports: passing them unseen is the classic bypass (RFC 1858,
        # section 3), so they follow the decision about their first fragment.
        verdict = client.fragments.find(headers, fragment, now, outbound=outbound)
        if verdict is None:
            return Ruling(client.drop(Reason.FRAGMENT), client, headers)
        decision: Decision = verdict.decision
        if verdict.address is not None:
            changed = rewrite_address(packet, verdict.address, source=not outbound)
            # Only DNS resources are translated, and they have an id.
            resource_id = cast("str", verdict.decision.resource_id)
            decision = Translate(changed, verdict.decision.client_id, resource_id)
        return Ruling(decision, client, headers, followed=verdict)

    # --- Refusals --------------------------------------------------------------------------

    def _refuse(
        self, client: Client, reason: Reason, headers: Headers, packet: bytes, now: float
    ) -> Ruling:
        decision = self._reject_unless_icmp_error(client, reason, headers, packet, now)
        return Ruling(decision, client, headers)

    def _reject_unless_icmp_error(
        self, client: Client, reason: Reason, headers: Headers, packet: bytes, now: float
    ) -> Reject | Drop:
        # An error never answers an error, or two hosts could keep each other busy for ever
        # (RFC 1122, section 3.2.2; RFC 4443, section 2.4).
        if is_icmp_error(headers.protocol, headers.icmp_type):
            return client.drop(reason)
        return self._reject_if_allowed(
            client, reason, headers.source, headers.destination, packet, now
        )

    def _reject_if_allowed(  # noqa: PLR0913, PLR0917 - what is known by then; keywords take 50 ns
        self,
        client: Client,
        reason: Reason,
        source: bytes,
        destination: bytes,
        packet: bytes,
        now: float,
    ) -> Reject | Drop:
        """Refuse a packet of a client, with a reply if it may get one by now."""
        if not self._context.options.reject or not client.reply_tokens.has_token(now):
            return client.drop(reason)
        reply = unreachable_reply(
            packet, source, destination, prohibited=reason not in _UNREACHABLE
        )
        return Reject(reply, reason, client.id)
