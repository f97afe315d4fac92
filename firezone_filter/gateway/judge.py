"""The judge: both tables of checks, row by row in the order of rules.md, section 4.

Theory of operation. Every packet that is neither of a remembered flow (`lookup`) nor an ordinary
first packet of TCP or UDP (`first_packets`) is judged here, in one of two tables:
`_judge_outbound` for packets from a client, `_judge_inbound` for packets to one. Rows stand in
the order of the rules, and the first check that fails decides. Three rows end the table early
and can allow a packet: later fragments, which follow their first; ICMP errors, which are judged
by their quote; and the gateway's own address, which has its own filters. Any other packet must
pass every row, and is allowed only because a resource permits it.

The headers have been read by then and are well formed (`packet.headers`): no row looks at a
length. The order of rows protects the later ones. The client is known before its permissions
are asked, a spoofed source is refused before it can touch a client's state, later fragments
are split off before a port is read, and tunnel addresses are refused before a resource whose
network covers them could match.

Judging reads, committing writes. The judge changes nothing that a decision depends on (an index
may leave out for good what it has met as over; whoever asks about a moment that may not come
has permissions asked in a way that leaves no trace). It returns a `Ruling`, the decision and what
follows from it, and `Gateway._commit` carries that out: it remembers allowed flows, and
`Client.invalidate` forgets them when permissions change. State that is over at `now` counts as
gone, whether or not it has been forgotten.

`first_packets` says why looking a packet up equals these tables. Where it has found a permission,
and `stateful` or flow records are on, `judge_flow` adds the row of flows and returns the ruling
to commit.
"""

from typing import cast

from firezone_filter.access.authorizations import AsksPermission, ClientAccess
from firezone_filter.access.special_ranges import DNS, MULTICAST, PROXY, TUNNEL
from firezone_filter.gateway.client import Client
from firezone_filter.gateway.clients import ClientTable
from firezone_filter.gateway.context import GatewayContext
from firezone_filter.gateway.first_packets import IPV4_KEY_SIZE, reject
from firezone_filter.gateway.icmp_errors import judge_icmp_error
from firezone_filter.gateway.ruling import Ruling
from firezone_filter.gateway.solicited import find_inbound, track_outbound
from firezone_filter.nat.nat import Nat
from firezone_filter.packet.flow_key import flow_key
from firezone_filter.packet.headers import NO_PORT, Fragment, Headers, read_headers
from firezone_filter.packet.icmp import ERROR, ICMP_KINDS, ON_LINK, is_icmp_error
from firezone_filter.packet.numbers import IPV4_HEADER, IPV6_HEADER
from firezone_filter.packet.rewrite import rewrite_address
from firezone_filter.stateful.handlers import track
from firezone_filter.stateful.identity import identify, identify_key
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

_MALFORMED = Ruling(Drop(Reason.MALFORMED, None))
_MULTICAST = Ruling(Drop(Reason.MULTICAST, None))
_NOT_A_PEER = Ruling(Drop(Reason.NOT_A_PEER, None))
_UNKNOWN_CLIENT = Ruling(Drop(Reason.UNKNOWN_CLIENT, None))

# Makes a `Ruling` in 110 ns, where calling the class takes 300 ns: for the rulings that permit,
# since ICMP echo and other protocols are judged packet by packet.
_new = tuple.__new__


class Judge:
    """Decides about packets that miss the flow cache. It changes nothing."""

    __slots__ = ("_by_address", "_clients", "_context", "_permission")

    def __init__(
        self,
        context: GatewayContext,
        clients: ClientTable,
        permission: AsksPermission = ClientAccess.permission,
    ) -> None:
        """Judge for a gateway's clients, asking for permissions by a method of `ClientAccess`."""
        self._context = context
        self._permission = permission
        self._clients = clients.by_id
        self._by_address = clients.by_address

    def judge_flow(  # noqa: PLR0913, PLR0917 - the facts about a packet; keywords take 50 ns
        self,
        client: Client,
        direction: Direction,
        protocol: int,
        key: bytes,
        packet: bytes,
        permitted: Forward,
        now: float,
    ) -> Ruling:
        """Judge a first packet that a resource permits by the one row that is left: row 10.

        Args:
            client: the client at the near end.
            direction: which way the packet goes.
            protocol: TCP or UDP.
            key: the packet's flow key.
            packet: the packet.
            permitted: the permission for it.
            now: the time, in seconds.
        """
        flows, tracked = client.flows, None
        if flows is not None:
            outbound = direction is _OUTBOUND
            identity = identify_key(key, protocol, outbound=outbound)
            transport = IPV4_HEADER if len(key) == IPV4_KEY_SIZE else IPV6_HEADER
            if outbound:
                found = track_outbound(flows, identity, packet, transport, permitted, now)
                if found is Reason.FLOWS_EXHAUSTED:
                    return Ruling(client.drop(found), client)
                tracked = found
            else:
                live = flows.find(identity, now)
                if live is None:
                    return Ruling(client.drop(Reason.UNSOLICITED), client)
                tracked = track(flows, live, transport, permitted, outbound=False)
        return _new(Ruling, (permitted, client, read_headers(packet), key, None, tracked, None))

    def judge(
        self,
        direction: Direction,
        packet: bytes,
        now: float,
        client_id: str | None,
        key: bytes | None = None,
    ) -> Ruling:
        """Judge a packet of any bytes by the table of its direction.

        Args:
            direction: which way the packet goes.
            packet: the packet; `MALFORMED` if its headers break a rule.
            now: the time, in seconds.
            client_id: the client that the host named; `None` if it named none.
            key: its flow key, if it is known to be TCP or UDP and to have one.
        """
        headers = read_headers(packet)
        if headers is None:
            return _MALFORMED
        # The key of ICMP echo is made where it is needed, for translated or counted packets.
        if key is None and headers.icmp_type == NO_PORT:
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

        # Rows 1 to 11 of section 4, "Outbound".

        # Row 1. A filter decides about one far end, and multicast has many.
        if flags & MULTICAST:
            return _MULTICAST

        # Row 2. Permissions belong to clients, so a packet of no client has none. Without a
        # `client_id` the source address names the client; that is safe only where the tunnel
        # binds inner source addresses to peers, as the contract of `handle_packet` says.
        if client_id is None:
            client = self._by_address.get(headers.source)
        else:
            client = self._clients.get(client_id)
        if client is None:
            return _UNKNOWN_CLIENT

        # Row 3. A client may send only from its own tunnel addresses; otherwise one client
        # could borrow another's access with a spoofed source. It gets no reply, which would
        # go to the address that it claims.
        if client_id is not None and headers.source not in client.addresses:
            return Ruling(client.drop(Reason.SOURCE_NOT_ALLOWED), client)

        # Row 4. Later fragments have no ports for the rows below; their first one has.
        if headers.fragment is not None:
            ruling = self._judge_fragment(
                client, headers, headers.fragment, packet, now, outbound=True
            )
            if ruling is not None:
                return ruling

        # Row 5. Clients never reach each other, only the gateway itself, even if a resource's
        # network covers the tunnel ranges.
        is_own = bool(flags & TUNNEL) and destination in self._context.own
        if flags & TUNNEL and not is_own:
            return self._reject_unless_icmp_error(
                client, Reason.PEER_ADDRESS, headers, packet, now
            )

        # Rows 6 and 7. Errors are judged by their quote. Router and neighbour discovery means
        # nothing beyond its link; from a tunnel it could only be forged.
        number = headers.destination_port
        if headers.icmp_type != NO_PORT:
            number = headers.icmp_type
            kind = ICMP_KINDS[protocol][headers.icmp_type]
            if kind == ERROR:
                return judge_icmp_error(
                    self._context, client, headers, packet, now, self._permission, outbound=True
                )
            if kind == ON_LINK:
                return Ruling(client.drop(Reason.ICMP), client, headers)

        # Row 8. The gateway itself is no resource. Every connected client may reach it, as
        # far as `own_filters` go: they apply to all clients and need no authorization.
        if is_own:
            refusal = self._context.own_refusal(protocol, number)
            if refusal is not None:
                return self._reject_unless_icmp_error(client, refusal, headers, packet, now)
            return Ruling(client.forward_own, client, headers, key)

        # Row 9. Nothing but a resource that the client is authorized for opens a network.
        permitted = self._permission(client.access, destination, flags, protocol, number, now)
        if isinstance(permitted, Reason):
            return self._reject_unless_icmp_error(client, permitted, headers, packet, now)
        # Row 10. With `stateful` the packet belongs to a flow, or begins one, or has no answers.
        tracked = None
        if client.flows is not None:
            identity = identify(headers, packet, outbound=True)
            found = track_outbound(
                client.flows, identity, packet, headers.transport, permitted, now
            )
            if found is Reason.FLOWS_EXHAUSTED:
                # The next attempt may find room, and a reply would tell the client to give up.
                return Ruling(client.drop(found), client, headers)
            tracked = found

        # Safe to forward: the source is the client's own, and a resource permits destination,
        # protocol, and port or ICMP type.
        if not flags & DNS:
            return _new(Ruling, (permitted, client, headers, key, None, tracked, None))

        # Row 11. A proxy address means nothing behind the gateway, so the packet passes only
        # if it can be translated. (A client without a NAT has no proxy addresses, and row 9
        # has refused.)
        key = key or flow_key(headers, packet)
        flow = cast("Nat", client.nat).outbound(headers, key, packet, permitted, now)
        if flow is Reason.NAT_EXHAUSTED:
            # The next attempt may find room, and a reply would tell the client to give up.
            return Ruling(client.drop(flow), client, headers)
        if isinstance(flow, Reason):
            return self._reject_unless_icmp_error(client, flow, headers, packet, now)
        # Safe to translate: a resource that covers the proxy address permits the packet (row 9).
        return Ruling(flow.translate(packet), client, headers, key, flow, tracked)

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

        All refusals are drops: a reply would tell the far end that an address is in use.
        """
        # Rows 1 to 10 of section 4, "Inbound".
        protocol, source = headers.protocol, headers.source

        # Rows 1 and 2. The destination alone names the client whose permissions apply, so it
        # must be the one that the host means to deliver to.
        client = self._by_address.get(headers.destination)
        if client is None and not self._context.flags(headers.destination) & TUNNEL:
            return _NOT_A_PEER
        if client is None or (client_id is not None and client_id != client.id):
            return _UNKNOWN_CLIENT

        # Row 3. Later fragments have no ports for the rows below; their first one has.
        if headers.fragment is not None:
            ruling = self._judge_fragment(
                client, headers, headers.fragment, packet, now, outbound=False
            )
            if ruling is not None:
                return ruling

        # Row 4. Tunnel and proxy addresses exist only inside the tunnel: coming from behind
        # the gateway, such a source is spoofed, unless the gateway itself has sent the packet.
        is_own = bool(flags & (TUNNEL | DNS)) and source in self._context.own
        if flags & (TUNNEL | DNS) and not is_own:
            return Ruling(client.drop(Reason.PEER_ADDRESS), client, headers)

        # Rows 5 and 6. Errors are judged by their quote. Router and neighbour discovery means
        # nothing beyond its link.
        number = headers.source_port
        if headers.icmp_type != NO_PORT:
            number = headers.icmp_type
            kind = ICMP_KINDS[protocol][headers.icmp_type]
            if kind == ERROR:
                return judge_icmp_error(
                    self._context, client, headers, packet, now, self._permission, outbound=False
                )
            if kind == ON_LINK:
                return Ruling(client.drop(Reason.ICMP), client, headers)

        # Row 7. The gateway's answers to its clients pass by the same `own_filters` that let
        # the clients ask; inbound, the gateway's port is the source port.
        if is_own:
            refusal = self._context.own_refusal(protocol, number)
            if refusal is not None:
                return Ruling(client.drop(refusal), client, headers)
            return Ruling(client.forward_own, client, headers, key)

        # Row 8. A packet of a live session is judged as the client will see it, from the proxy
        # address: that is what its DNS resource covers, whatever covers the real address.
        nat = client.nat
        session = None if nat is None else nat.session_inbound(headers, packet, now)
        live = None
        if client.flows is not None:
            identity = identify(headers, packet, outbound=False)
            live, session = find_inbound(client.flows, identity, session, now)
        far, flags = (source, flags) if session is None else (session.proxy, PROXY)

        # Rows 8 and 9. Filters judge packets to a client as strictly as packets from it, by
        # the resource's port, which is the source port here, or by the ICMP type.
        permitted = self._permission(client.access, far, flags, protocol, number, now)
        if isinstance(permitted, Reason):
            # Refused all the same; the reason alone tells the late packets of an ended session
            # from unsolicited ones.
            if session is None and nat is not None and nat.expired_recently(headers, packet, now):
                permitted = Reason.EXPIRED_NAT_SESSION
            return Ruling(client.drop(permitted), client, headers)

        # Row 10. With `stateful`, only what the client has asked for.
        tracked = None
        if client.flows is not None:
            if live is None:
                return Ruling(client.drop(Reason.UNSOLICITED), client, headers)
            tracked = track(
                client.flows,
                live,
                headers.transport,
                permitted,
                outbound=False,
                is_translated=session is not None,
            )
        # Safe to forward: the client may reach this address by this protocol and number. Whether
        # it has asked does not matter unless `stateful` says so (rules.md, section 1).
        if nat is None or session is None:
            return _new(Ruling, (permitted, client, headers, key, None, tracked, None))
        # Safe to translate: the client has opened this session, and may still reach its
        # proxy address by this protocol and port.
        key = key or flow_key(headers, packet)
        flow = nat.inbound(session, headers, key, permitted)
        return Ruling(flow.translate(packet), client, headers, key, flow, tracked)

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
        """Judge a later fragment; return `None` for a first one that the other rows judge."""
        if not headers.is_later_fragment:
            # Two different first fragments of one packet: the receiver may keep either, so
            # neither may stand for the packet (RFC 5722).
            if now < client.valid_until and client.fragments.contradicts(
                headers, fragment, now, outbound=outbound
            ):
                return Ruling(client.drop(Reason.FRAGMENT), client, headers)
            # It has the transport header's fixed part, so the rest of the table can judge it
            # like a whole packet.
            return None
        # Later fragments carry no ports: passing them unseen is the classic bypass (RFC 1858,
        # section 3), so they follow the decision about their first fragment, and pass only if
        # that was allowed within the last 30 s, for this client and between these addresses.
        # An expiry makes them void, whether or not they have been forgotten.
        verdict = None
        if now < client.valid_until:
            verdict = client.fragments.find(headers, fragment, now, outbound=outbound)
        if verdict is None:
            return Ruling(client.drop(Reason.FRAGMENT), client, headers)
        decision: Decision = verdict.decision
        if verdict.address is not None:
            # Its transport header went with the first fragment, so only an address changes.
            changed = rewrite_address(packet, verdict.address, source=not outbound)
            # Only DNS resources are translated, and they have an id.
            resource_id = cast("str", verdict.decision.resource_id)
            decision = Translate(changed, verdict.decision.client_id, resource_id)
        return Ruling(decision, client, headers, followed=verdict)

    # --- Refusals --------------------------------------------------------------------------

    def _reject_unless_icmp_error(
        self, client: Client, reason: Reason, headers: Headers, packet: bytes, now: float
    ) -> Ruling:
        # An error never answers an error, or two hosts could keep each other busy for ever
        # (RFC 1122, section 3.2.2; RFC 4443, section 2.4). Such a packet gets here as an error
        # to another client's address, refused before the row of errors.
        if is_icmp_error(headers.protocol, headers.icmp_type):
            return Ruling(client.drop(reason), client, headers)
        source, destination = headers.source, headers.destination
        refused = self._reject_if_allowed(client, reason, source, destination, packet, now)
        return Ruling(refused, client, headers)

    def _reject_if_allowed(  # noqa: PLR0913, PLR0917 - the facts about a packet; keywords take 50 ns
        self,
        client: Client,
        reason: Reason,
        source: bytes,
        destination: bytes,
        packet: bytes,
        now: float,
    ) -> Reject | Drop:
        """Refuse a client's packet, with a reply if options and rate limit allow one."""
        # The rate limit keeps a client from turning a flood of packets into a flood of
        # replies (RFC 4443, section 2.4). Committing the ruling takes the token.
        if not self._context.options.reject or not client.reply_tokens.has_token(now):
            return client.drop(reason)
        return reject(packet, source, destination, reason, client.id)
