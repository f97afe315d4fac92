"""Packets of which nothing is remembered: finds the client, lets it judge, remembers.

The headers are read here, once. Whatever is remembered of a decision is remembered under all
that it depended on (`flowcache`).
"""

from typing import cast

from firezone_filter.addresses import MULTICAST, TUNNEL
from firezone_filter.decisions import Decision, Direction, Drop, Forward, Reason, Reject
from firezone_filter.packet.headers import plain_headers, read_headers
from firezone_filter.refusals import Refusals
from firezone_filter.roster import Roster
from firezone_filter.site import Site

_OUTBOUND = Direction.OUTBOUND

_MALFORMED = Drop(Reason.MALFORMED, None)
_MULTICAST = Drop(Reason.MULTICAST, None)
_NOT_A_PEER = Drop(Reason.NOT_A_PEER, None)
_UNKNOWN_CLIENT = Drop(Reason.UNKNOWN_CLIENT, None)


class FreshDecisions:
    """Decides about packets for the first time, and counts those that are refused."""

    __slots__ = ("_flows", "_roster", "_site", "refusals")

    def __init__(self, site: Site, roster: Roster) -> None:
        self._site = site
        self._roster = roster
        self._flows = site.flows
        self.refusals = Refusals(site.refusal_log)

    def plain(  # noqa: PLR0913, PLR0917 - what is known of the packet; keywords take 50 ns
        self,
        direction: Direction,
        protocol: int,
        flow: bytes,
        packet: bytes,
        now: float,
        client_id: str | None,
    ) -> Decision:
        """Decide about a new flow by what is known of others of the client to the same service."""
        if direction is _OUTBOUND:
            known = self._flows.services_outbound[protocol].get(flow[:-4] + flow[-2:])
        else:
            known = self._flows.services_inbound[protocol].get(flow[:-2])
        if known is None or (client_id is not None and client_id != known.client_id):
            return self.any(direction, flow, packet, now, client_id)
        client = self._roster.clients[cast("str", known.client_id)]
        if type(known) is Forward:
            if direction is _OUTBOUND:
                client.flows.remember_outbound(protocol, flow, known)
            else:
                client.flows.remember_inbound(protocol, flow, known)
            return known
        refused = cast("Drop", known)
        decision = (
            client.refuse_again(refused, flow, packet, now) if direction is _OUTBOUND else refused
        )
        self.refusals.add(direction, packet, decision, now)
        return decision

    def any(
        self,
        direction: Direction,
        flow: bytes | None,
        packet: bytes,
        now: float,
        client_id: str | None,
    ) -> Decision:
        """Decide about a packet without any memory; *flow* of one that is plain."""
        if direction is _OUTBOUND:
            decision = self._outbound(flow, packet, now, client_id)
        else:
            decision = self._inbound(flow, packet, now, client_id)
        if type(decision) is Drop or type(decision) is Reject:
            self.refusals.add(direction, packet, decision, now)
        return decision

    def _outbound(
        self, flow: bytes | None, packet: bytes, now: float, client_id: str | None
    ) -> Decision:
        headers = read_headers(packet) if flow is None else plain_headers(packet, flow)
        if headers is None:
            return _MALFORMED
        flags = self._site.flags(headers.destination)
        if flags & MULTICAST:
            return _MULTICAST
        if client_id is None:
            client = self._roster.by_address.get(headers.source)
        else:
            client = self._roster.clients.get(client_id)
            # A client sends from its own addresses only; otherwise it could borrow
            # another's access.
            if client is not None and headers.source not in client.addresses:
                return client.drop(Reason.SOURCE_NOT_ALLOWED)
        if client is None:
            return _UNKNOWN_CLIENT
        if headers.fragment is not None:
            return client.judge_fragment(headers, flags, packet, now, outbound=True)
        decision = client.judge_outbound(headers, flags, packet, now)
        if flow is not None:
            client.learn_outbound(headers.protocol, flow, decision)
        if client.recorder is not None and decision.__class__ is Forward:
            client.recorder.see(headers, packet, decision, now, outbound=True)
        return decision

    def _inbound(
        self, flow: bytes | None, packet: bytes, now: float, client_id: str | None
    ) -> Decision:
        headers = read_headers(packet) if flow is None else plain_headers(packet, flow)
        if headers is None:
            return _MALFORMED
        client = self._roster.by_address.get(headers.destination)
        if client is None and not self._site.flags(headers.destination) & TUNNEL:
            return _NOT_A_PEER
        if client is None or (client_id is not None and client_id != client.id):
            return _UNKNOWN_CLIENT
        flags = self._site.flags(headers.source)
        if headers.fragment is not None:
            return client.judge_fragment(headers, flags, packet, now, outbound=False)
        decision = client.judge_inbound(headers, flags, packet, now)
        if flow is not None:
            client.learn_inbound(headers.protocol, flow, decision)
        if client.recorder is not None and decision.__class__ is Forward:
            client.recorder.see(headers, packet, decision, now, outbound=False)
        return decision
