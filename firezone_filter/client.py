"""One client: what the gateway knows of it, and the judgement of one packet.

The checks stand in the order in which they are made; the first that fails decides. What
reaches the end of `_judge` without being permitted is refused.
"""

from typing import Final

from firezone_filter.access import Access, Authorization
from firezone_filter.addresses import DNS, TUNNEL, TunnelAddresses
from firezone_filter.bucket import TokenBucket
from firezone_filter.decisions import Decision, Drop, Forward, Reason, Reject
from firezone_filter.fragments import FragmentMemory
from firezone_filter.packet.headers import NO_PORT, Headers, read_quoted_headers
from firezone_filter.packet.icmp import is_icmp_error, is_judged_by_quote, stays_on_link
from firezone_filter.packet.numbers import ICMPV4, ICMPV6, IPV4_LENGTH
from firezone_filter.packet.replies import unreachable_reply
from firezone_filter.resources import Resource
from firezone_filter.site import Site

_ICMP_HEADER: Final = 8

# No way there, as opposed to a way that is forbidden.
_NO_WAY: Final = frozenset({Reason.NO_TRANSLATION, Reason.NOT_INTERNET})


class Client:
    """A connected client, from `client_connected` until it disconnects or comes back."""

    __slots__ = ("_bucket", "_drops", "_own", "_site", "access", "addresses", "fragments", "id")

    def __init__(self, client_id: str, addresses: TunnelAddresses, site: Site, now: float) -> None:
        self.id = client_id
        self.addresses = addresses.packed()
        self.access = Access(client_id)
        self.fragments = FragmentMemory()
        self._site = site
        self._own = Forward(client_id, None)
        self._drops: dict[Reason, Drop] = {}
        self._bucket = TokenBucket(site.options.reject_rate, site.options.reject_burst, now)

    # --- State ---------------------------------------------------------------------------

    def forget_decisions(self) -> None:
        """Forget every remembered decision: what the client may do has changed."""
        self.fragments.forget_all()

    def authorize(self, resource: Resource) -> Authorization:
        """Permit *resource*, or give it a new form; return the authorization."""
        authorization = self.access.grant(resource)
        self.forget_decisions()
        return authorization

    def withdraw(self, authorization: Authorization) -> None:
        """Take an authorization away."""
        self.access.withdraw(authorization.resource.id)
        self.forget_decisions()

    def start_clock(self, now: float) -> None:
        """Count what began before the first `now` from there."""
        self.fragments.start_clock(now)
        self._bucket.start_clock(now)

    # --- One packet ----------------------------------------------------------------------

    def judge(self, headers: Headers, packet: bytes, now: float, *, outbound: bool) -> Decision:
        """Decide about a packet from this client, or to it.

        Args:
            headers: the packet's; its near address is one of the client's.
            packet: the packet itself.
            now: the time, not before that of any other call.
            outbound: whether the packet comes from the client.
        """
        fragment = headers.fragment
        if fragment is None:
            return self._judge(headers, packet, now, outbound=outbound)
        if fragment.start:
            followed = self.fragments.follow(headers, fragment, now, outbound=outbound)
            return followed or self.drop(Reason.FRAGMENT)
        if self.fragments.contradicts(headers, fragment, now, outbound=outbound):
            return self.drop(Reason.FRAGMENT)
        decision = self._judge(headers, packet, now, outbound=outbound)
        if isinstance(decision, Forward):
            self.fragments.keep(headers, fragment, decision, now, outbound=outbound)
        else:
            self.fragments.forget(headers, fragment, outbound=outbound)
        return decision

    def _judge(self, headers: Headers, packet: bytes, now: float, *, outbound: bool) -> Decision:
        """Judge what has ports and types to judge: a whole packet or a first fragment."""
        site = self._site
        if outbound:
            far, port, inside = headers.destination, headers.destination_port, TUNNEL
        else:
            far, port, inside = headers.source, headers.source_port, TUNNEL | DNS
        flags = site.flags(far)
        is_own = far in site.own
        if flags & inside and not is_own:
            # Clients never reach each other, and nobody outside may speak from within.
            return self._refuse(Reason.PEER_ADDRESS, headers, packet, now, outbound=outbound)
        if headers.icmp_type != NO_PORT:
            if is_icmp_error(headers.protocol, headers.icmp_type):
                return self._judge_icmp_error(headers, packet, outbound=outbound)
            if stays_on_link(headers.protocol, headers.icmp_type):
                return self.drop(Reason.ICMP)
        permitted = self._permission(far, flags, headers.protocol, port)
        if isinstance(permitted, Forward):
            return permitted
        return self._refuse(permitted, headers, packet, now, outbound=outbound)

    def _permission(self, far: bytes, flags: int, protocol: int, port: int) -> Forward | Reason:
        """Return what permits to exchange such packets with a far address, or why not."""
        if far in self._site.own:
            icmp = ICMPV4 if len(far) == IPV4_LENGTH else ICMPV6
            return self._site.own_check.refusal(protocol, port, icmp) or self._own
        match = self.access.match(far, flags, protocol, port)
        if match is None:
            return Reason.NO_RESOURCE
        if match.reason is not None:
            return match.reason
        return self.access.authorizations[match.resource_id].forward

    def _judge_icmp_error(self, headers: Headers, packet: bytes, *, outbound: bool) -> Decision:
        """Pass an ICMP error if the packet that it quotes would be permitted the other way.

        Whoever may send a packet may be told what became of it, also by a router that no
        resource covers: path-MTU discovery depends on it. But an error about anything else
        is a way past the filters, or an attack on a flow (RFC 5927).
        """
        refused = self.drop(Reason.ICMP_ERROR)
        # A fragment of an error hides part of its quote.
        if headers.fragment is not None or not is_judged_by_quote(
            headers.protocol, headers.icmp_type
        ):
            return refused
        quoted = read_quoted_headers(packet[headers.transport + _ICMP_HEADER :])
        if quoted is None or not _may_be_quoted(quoted, headers, outbound=outbound):
            return refused
        if outbound:
            far, port = quoted.source, quoted.source_port
        else:
            far, port = quoted.destination, quoted.destination_port
        flags = self._site.flags(far)
        if flags & (TUNNEL | DNS) and far not in self._site.own:
            return refused
        permitted = self._permission(far, flags, quoted.protocol, port)
        return permitted if isinstance(permitted, Forward) else refused

    # --- Refusals ------------------------------------------------------------------------

    def drop(self, reason: Reason) -> Drop:
        """Return the one `Drop` of this client for *reason*."""
        drop = self._drops.get(reason)
        if drop is None:
            drop = self._drops[reason] = Drop(reason, self.id)
        return drop

    def _refuse(
        self, reason: Reason, headers: Headers, packet: bytes, now: float, *, outbound: bool
    ) -> Reject | Drop:
        """Refuse a packet; tell the client if the packet came from it and a reply may go."""
        # Inbound refusals are silent: a reply would tell the far end that somebody is here.
        if not outbound or not self._may_reply(headers, now):
            return self.drop(reason)
        reply = unreachable_reply(
            packet, headers.source, headers.destination, prohibited=reason not in _NO_WAY
        )
        return Reject(reply, reason, self.id)

    def _may_reply(self, headers: Headers, now: float) -> bool:
        # An error never answers an error, or two hosts could keep each other busy for ever
        # (RFC 1122, section 3.2.2; RFC 4443, section 2.4).
        if not self._site.options.reject or is_icmp_error(headers.protocol, headers.icmp_type):
            return False
        return self._bucket.take(now)


def _may_be_quoted(quoted: Headers, error: Headers, *, outbound: bool) -> bool:
    """Tell whether an error may quote such a packet, by headers and addresses."""
    # A later fragment has no ports to judge by; errors are never answered with errors.
    if quoted.is_later_fragment or is_icmp_error(quoted.protocol, quoted.icmp_type):
        return False
    # Only what the client itself sent, or what was sent to it by the host that the error
    # goes to. Addresses of the other IP version never equal these.
    if not outbound:
        return quoted.source == error.destination
    return quoted.destination == error.source and quoted.source == error.destination
