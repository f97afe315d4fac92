"""One client: what the gateway knows of it, and the judgement of one packet.

The checks stand in the order in which they are made; the first that fails decides. What
reaches the end of `_judge` without being permitted is refused.
"""

from typing import Final, assert_never, cast

from firezone_filter.access import Access, Authorization
from firezone_filter.addresses import DNS, TUNNEL, TunnelAddresses
from firezone_filter.bucket import TokenBucket
from firezone_filter.decisions import Decision, Drop, Forward, Reason, Reject, Translate
from firezone_filter.flowcache import FlowMemory
from firezone_filter.fragments import FragmentMemory, Verdict
from firezone_filter.nat import Nat, translate_error
from firezone_filter.packet.headers import NO_PORT, Fragment, Headers, read_quoted_headers
from firezone_filter.packet.icmp import is_icmp_error, is_judged_by_quote, stays_on_link
from firezone_filter.packet.numbers import ICMPV4, ICMPV6, IPV4_LENGTH
from firezone_filter.packet.replies import unreachable_reply
from firezone_filter.packet.rewrite import far_address, rewrite_address
from firezone_filter.proxies import ProxyTable, Resolution
from firezone_filter.resources import Resource
from firezone_filter.site import Site

_ICMP_HEADER: Final = 8

# No way there, as opposed to a way that is forbidden.
_NO_WAY: Final = frozenset({Reason.NO_TRANSLATION, Reason.NOT_INTERNET})


class Client:
    """A connected client, from `client_connected` until it disconnects or comes back."""

    __slots__ = (
        "_bucket",
        "_drops",
        "_flows",
        "_own",
        "_site",
        "access",
        "addresses",
        "fragments",
        "id",
    )

    def __init__(self, client_id: str, addresses: TunnelAddresses, site: Site, now: float) -> None:
        self.id = client_id
        self.addresses = addresses.packed()
        self.access = Access(client_id)
        self.fragments = FragmentMemory()
        self._site = site
        self._flows = FlowMemory(site.flows)
        self._own = Forward(client_id, None)
        self._drops: dict[Reason, Drop] = {}
        self._bucket = TokenBucket(site.options.reject_rate, site.options.reject_burst, now)

    # --- State ---------------------------------------------------------------------------

    def forget_decisions(self) -> None:
        """Forget every remembered decision: what the client may do has changed."""
        self.fragments.forget_all()
        self._flows.forget()

    def close(self) -> None:
        """Leave nothing behind in what all clients share."""
        self._flows.forget()
        if self.access.nat is not None:
            self.access.nat.close()

    def authorize(self, resource: Resource) -> Authorization:
        """Permit *resource*, or give it a new form; return the authorization."""
        authorization = self.access.grant(resource)
        self.forget_decisions()
        return authorization

    def withdraw(self, authorization: Authorization) -> None:
        """Take an authorization away."""
        self.access.withdraw(authorization.resource.id)
        self.forget_decisions()

    def has_room_for(self, resolution: Resolution) -> bool:
        """Tell whether the client may have the proxy addresses of a resolution."""
        proxies = ProxyTable() if self.access.nat is None else self.access.nat.proxies
        return proxies.has_room(resolution)

    def forget_old(self, now: float) -> bool:
        """Forget what has been kept for its time; return whether nothing is left."""
        self.fragments.forget_old(now)
        nat = self.access.nat
        if nat is not None:
            nat.forget_old(now)
        # Sessions end by themselves, but their ends are remembered for a while.
        return not self.fragments and nat is None

    def resolve(self, resource_id: str, resolution: Resolution) -> None:
        """Let proxy addresses stand for a name of a DNS resource."""
        nat = self.access.nat
        if nat is None:
            nat = self.access.nat = Nat(self._site.lifetimes, self._site.limits, self._flows)
        nat.resolve(resource_id, resolution)
        self.forget_decisions()

    def start_clock(self, now: float) -> None:
        """Count what began before the first `now` from there."""
        self.fragments.start_clock(now)
        if self.access.nat is not None:
            self.access.nat.start_clock(now)
        self._bucket.start_clock(now)

    # --- One packet ----------------------------------------------------------------------

    def judge(
        self, headers: Headers, far_flags: int, packet: bytes, now: float, *, outbound: bool
    ) -> Decision:
        """Decide about a packet from this client, or to it.

        Args:
            headers: the packet's; its near address is one of the client's.
            far_flags: what is known of its far address.
            packet: the packet itself.
            now: the time, not before that of any other call.
            outbound: whether the packet comes from the client.
        """
        fragment = headers.fragment
        if fragment is None:
            decision = self._judge(headers, far_flags, packet, now, outbound=outbound)
            if headers.plain and isinstance(decision, Forward):
                self._flows.remember(headers, packet, decision, outbound=outbound)
            return decision
        if fragment.start:
            return self._judge_later(headers, fragment, packet, now, outbound=outbound)
        return self._judge_first(headers, far_flags, packet, now, outbound=outbound)

    def _judge_first(
        self, headers: Headers, far_flags: int, packet: bytes, now: float, *, outbound: bool
    ) -> Decision:
        """Judge a first fragment, and keep the decision for those that follow."""
        fragment = cast("Fragment", headers.fragment)
        if self.fragments.contradicts(headers, fragment, now, outbound=outbound):
            return self.drop(Reason.FRAGMENT)
        decision = self._judge(headers, far_flags, packet, now, outbound=outbound)
        match decision:
            case Forward():
                verdict = Verdict(decision, None)
            case Translate():
                permitted = self.access.authorizations[decision.resource_id].forward
                verdict = Verdict(permitted, far_address(decision.packet, outbound=outbound))
            case Reject() | Drop():
                self.fragments.forget(headers, fragment, outbound=outbound)
                return decision
            case _:
                assert_never(decision)
        self.fragments.keep(headers, fragment, verdict, now, outbound=outbound)
        return decision

    def _judge_later(
        self, headers: Headers, fragment: Fragment, packet: bytes, now: float, *, outbound: bool
    ) -> Decision:
        """Let a later fragment follow its first, through the NAT if that went through it."""
        followed = self.fragments.follow(headers, fragment, now, outbound=outbound)
        if followed is None:
            return self.drop(Reason.FRAGMENT)
        permitted, address = followed
        if address is None:
            return permitted
        return _translated(rewrite_address(packet, address, source=not outbound), permitted)

    def _judge(  # noqa: PLR0911 - one return for a row of the table
        self, headers: Headers, flags: int, packet: bytes, now: float, *, outbound: bool
    ) -> Decision:
        """Judge what has ports and types to judge: a whole packet or a first fragment."""
        site = self._site
        if outbound:
            far, port, inside = headers.destination, headers.destination_port, TUNNEL
        else:
            far, port, inside = headers.source, headers.source_port, TUNNEL | DNS
        is_own = far in site.own
        if flags & inside and not is_own:
            # Clients never reach each other, and nobody outside may speak from within.
            return self._refuse(Reason.PEER_ADDRESS, headers, packet, now, outbound=outbound)
        if headers.icmp_type != NO_PORT:
            if is_icmp_error(headers.protocol, headers.icmp_type):
                return self._judge_icmp_error(headers, packet, now, outbound=outbound)
            if stays_on_link(headers.protocol, headers.icmp_type):
                return self.drop(Reason.ICMP)
        nat = self.access.nat
        if nat is not None and not is_own and (flags & DNS or not outbound):
            if outbound:
                return self._judge_proxy(nat, headers, packet, now)
            return self._judge_inbound_through_nat(nat, headers, packet, now, flags)
        permitted = self._permission(far, flags, headers.protocol, port)
        if isinstance(permitted, Forward):
            return permitted
        return self._refuse(permitted, headers, packet, now, outbound=outbound)

    def _permission(self, far: bytes, flags: int, protocol: int, port: int) -> Forward | Reason:
        """Return what permits to exchange such packets with a far address, or why not."""
        if far in self._site.own:
            icmp = ICMPV4 if len(far) == IPV4_LENGTH else ICMPV6
            return self._site.own_check.refusal(protocol, port, icmp) or self._own
        permitted = self.access.permission(far, flags, protocol, port)
        return permitted if isinstance(permitted, Reason) else permitted.forward

    def _judge_proxy(self, nat: Nat, headers: Headers, packet: bytes, now: float) -> Decision:
        """Judge a packet to a proxy address by its resources, and translate it."""
        permitted = self._permission(
            headers.destination, DNS, headers.protocol, headers.destination_port
        )
        if isinstance(permitted, Reason):
            return self._refuse(permitted, headers, packet, now, outbound=True)
        translated = nat.translate_outbound(headers, packet, now)
        if isinstance(translated, bytes):
            return _translated(translated, permitted)
        if translated is Reason.NAT_EXHAUSTED:
            # It may pass in a moment: no reason to tell the client that it never will.
            return self.drop(translated)
        return self._refuse(translated, headers, packet, now, outbound=True)

    def _judge_inbound_through_nat(
        self, nat: Nat, headers: Headers, packet: bytes, now: float, flags: int
    ) -> Decision:
        """Judge what may belong to a session as what the client will see, else as it is."""
        session = nat.session_inbound(headers, packet, now)
        far, known = (headers.source, flags) if session is None else (session.proxy, DNS)
        permitted = self._permission(far, known, headers.protocol, headers.source_port)
        if session is not None and isinstance(permitted, Forward):
            return _translated(nat.translate_inbound(session, headers, packet, now), permitted)
        if isinstance(permitted, Forward):
            return permitted
        if session is None and nat.has_ended(headers, packet, now):
            return self.drop(Reason.EXPIRED_NAT_SESSION)
        return self.drop(permitted)

    def _judge_icmp_error(
        self, headers: Headers, packet: bytes, now: float, *, outbound: bool
    ) -> Decision:
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
        quote = packet[headers.transport + _ICMP_HEADER :]
        quoted = read_quoted_headers(quote)
        if quoted is None or not _may_be_quoted(quoted, headers, outbound=outbound):
            return refused
        if outbound:
            far, port = quoted.source, quoted.source_port
        else:
            far, port = quoted.destination, quoted.destination_port
        nat = self.access.nat
        session = nat and nat.session_quoted(quoted, quote, now, outbound=not outbound)
        if session:
            far, flags = session.proxy, DNS
        else:
            flags = self._site.flags(far)
            if flags & (TUNNEL | DNS) and far not in self._site.own:
                return refused
        permitted = self._permission(far, flags, quoted.protocol, port)
        if isinstance(permitted, Reason):
            return refused
        if session:
            error = translate_error(session, headers, quoted, packet, outbound=outbound)
            return _translated(error, permitted)
        return permitted

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


def _translated(packet: bytes, permitted: Forward) -> Translate:
    return Translate(packet, permitted.client_id, cast("str", permitted.resource_id))


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
