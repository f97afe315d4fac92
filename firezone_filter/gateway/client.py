"""One client: what the gateway knows of it, and the judgement of one packet.

The checks stand in the order in which they are made; the first that fails decides. What
no line permits is refused.
"""

from typing import Final, assert_never, cast

from firezone_filter.access.authorizations import Access, Authorization
from firezone_filter.access.special_ranges import DNS, TUNNEL
from firezone_filter.accounting.flow_counting import FlowRecorder, count_fragment
from firezone_filter.accounting.flow_records import OpenFlow
from firezone_filter.gateway.context import Site
from firezone_filter.gateway.flow_cache import FlowMemory
from firezone_filter.gateway.fragments import FragmentMemory, Verdict
from firezone_filter.nat.nat import Nat, translate_error, translated
from firezone_filter.nat.proxies import ProxyTable, Resolution
from firezone_filter.packet.headers import (
    NO_PORT,
    Fragment,
    Headers,
    read_quoted_headers,
)
from firezone_filter.packet.icmp import (
    ICMP_HEADER,
    is_icmp_error,
    is_judged_by_quote,
    stays_on_link,
)
from firezone_filter.packet.numbers import ICMPV4, ICMPV6
from firezone_filter.packet.replies import unreachable_reply
from firezone_filter.packet.rewrite import far_address, rewrite_address
from firezone_filter.structures.token_bucket import TokenBucket
from firezone_filter.values.addresses import TunnelAddresses
from firezone_filter.values.decisions import Decision, Drop, Forward, Reason, Reject, Translate
from firezone_filter.values.events import FlowEnd
from firezone_filter.values.resources import Resource

# No way there, as opposed to a way that is forbidden.
_NO_WAY: Final = frozenset({Reason.NO_TRANSLATION, Reason.NOT_INTERNET})


class Client:
    """A connected client, from `client_connected` until it disconnects or comes back."""

    __slots__ = (
        "_bucket",
        "_drops",
        "_own",
        "_site",
        "access",
        "addresses",
        "flows",
        "fragments",
        "id",
        "recorder",
    )

    def __init__(self, client_id: str, addresses: TunnelAddresses, site: Site, now: float) -> None:
        self.id = client_id
        self.addresses = addresses.packed()
        self.access = Access(client_id)
        self.fragments = FragmentMemory(site.reminders)
        self._site = site
        self.flows = FlowMemory(site.flows)
        self.recorder: FlowRecorder | None = None
        if site.flow_log is not None:
            self.recorder = FlowRecorder(client_id, site.flow_log, self.flows)
        self._own = Forward(client_id, None)
        self._drops: dict[Reason, Drop] = {}
        self._bucket = TokenBucket(site.options.reject_rate, site.options.reject_burst, now)

    # --- State ---------------------------------------------------------------------------

    def forget_decisions(self) -> None:
        """Forget every remembered decision: what the client may do has changed."""
        self.fragments.forget_all()
        self.flows.forget()

    def close(self, at: float) -> None:
        """Leave nothing behind in what all clients share; records of flows are closed."""
        self.forget_decisions()
        if self.recorder is not None:
            self.recorder.flows.end_all(FlowEnd.DISCONNECTED, at)
        if self.access.nat is not None:
            self.access.nat.close()

    def authorize(self, resource: Resource) -> Authorization:
        """Permit *resource*, or give it a new form; return the authorization."""
        authorization = self.access.grant(resource)
        self.forget_decisions()
        return authorization

    def withdraw(self, authorization: Authorization, cause: FlowEnd, at: float) -> None:
        """Take an authorization away; the records of its flows are closed.

        What is remembered is for the caller to forget, once if several go.
        """
        self.access.withdraw(authorization.resource.id)
        if self.recorder is not None:
            self.recorder.flows.end_resource(authorization.resource.id, cause, at)

    def proxies_after(self, resolution: Resolution) -> int:
        """Return how many proxy addresses the client would have then."""
        proxies = ProxyTable() if self.access.nat is None else self.access.nat.proxies
        return proxies.count_after(resolution)

    def resolve(self, resource_id: str, resolution: Resolution) -> None:
        """Let proxy addresses stand for a name of a DNS resource."""
        nat = self.access.nat
        if nat is None:
            nat = self.access.nat = Nat(
                self._site.lifetimes, self._site.limits, self.flows, self.recorder
            )
        nat.resolve(resource_id, resolution)
        self.forget_decisions()

    def start_clock(self, now: float) -> None:
        """Count what began before the first `now` from there."""
        self.fragments.start_clock(now)
        if self.access.nat is not None:
            self.access.nat.start_clock(now)
        self._bucket.start_clock(now)

    def is_plain(self, decision: Forward) -> bool:
        """Tell whether nothing has to be done with each packet but to forward it."""
        return self.recorder is None or decision.resource_id is None

    # --- One packet ----------------------------------------------------------------------

    def judge_outbound(  # noqa: PLR0911 - one return for a row of the table
        self, headers: Headers, flags: int, packet: bytes, now: float
    ) -> Decision:
        """Decide about a whole packet or a first fragment from the client.

        Args:
            headers: the packet's; its source is one of the client's addresses.
            flags: what is known of its destination.
            packet: the packet itself.
            now: the time, not before that of any other call.
        """
        is_own = False
        if flags & TUNNEL:
            # Clients never reach each other, only the gateway itself.
            is_own = headers.destination in self._site.own
            if not is_own:
                return self._reject(Reason.PEER_ADDRESS, headers, packet, now)
        if headers.icmp_type != NO_PORT:
            if is_icmp_error(headers.protocol, headers.icmp_type):
                return self._judge_icmp_error(headers, packet, now, outbound=True)
            if stays_on_link(headers.protocol, headers.icmp_type):
                return self.drop(Reason.ICMP)
        if is_own:
            refusal = self._own_refusal(headers.protocol, headers.destination_port)
            return self._reject(refusal, headers, packet, now) if refusal else self._own
        permitted = self.access.permission(
            headers.destination, flags, headers.protocol, headers.destination_port
        )
        if isinstance(permitted, Reason):
            return self._reject(permitted, headers, packet, now)
        if flags & DNS:
            return self._translate_outbound(permitted, headers, packet, now)
        return permitted

    def judge_inbound(self, headers: Headers, flags: int, packet: bytes, now: float) -> Decision:
        """Decide about a whole packet or a first fragment to the client.

        Args:
            headers: the packet's; its destination is one of the client's addresses.
            flags: what is known of its source.
            packet: the packet itself.
            now: the time, not before that of any other call.
        """
        is_own = False
        if flags & (TUNNEL | DNS):
            # Nobody outside may speak with an address from inside.
            is_own = headers.source in self._site.own
            if not is_own:
                return self.drop(Reason.PEER_ADDRESS)
        if headers.icmp_type != NO_PORT:
            if is_icmp_error(headers.protocol, headers.icmp_type):
                return self._judge_icmp_error(headers, packet, now, outbound=False)
            if stays_on_link(headers.protocol, headers.icmp_type):
                return self.drop(Reason.ICMP)
        if is_own:
            refusal = self._own_refusal(headers.protocol, headers.source_port)
            return self.drop(refusal) if refusal else self._own
        if self.access.nat is not None:
            return self._judge_through_nat(self.access.nat, headers, flags, packet, now)
        permitted = self.access.permission(
            headers.source, flags, headers.protocol, headers.source_port
        )
        return self.drop(permitted) if isinstance(permitted, Reason) else permitted

    def _own_refusal(self, protocol: int, port: int) -> Reason | None:
        """Return why a packet to or from the gateway's own address is refused, if it is."""
        # ICMP of the other IP version is malformed: whichever it is, it is the right one.
        icmp = ICMPV6 if protocol == ICMPV6 else ICMPV4
        return self._site.own_check.refusal(protocol, port, icmp)

    # --- Fragments -------------------------------------------------------------------------

    def judge_fragment(
        self, headers: Headers, flags: int, packet: bytes, now: float, *, outbound: bool
    ) -> Decision:
        """Decide about a fragment: the first is judged, and the later ones follow it."""
        fragment = cast("Fragment", headers.fragment)
        if fragment.start:
            return self._judge_later(headers, fragment, packet, now, outbound=outbound)
        if self.fragments.contradicts(headers, fragment, now, outbound=outbound):
            return self.drop(Reason.FRAGMENT)
        judge = self.judge_outbound if outbound else self.judge_inbound
        decision = judge(headers, flags, packet, now)
        if self.recorder is not None and isinstance(decision, Forward):
            self.recorder.see(headers, packet, decision, now, outbound=outbound)
        verdict = self._verdict(headers, packet, decision, outbound=outbound)
        if verdict is None:
            self.fragments.forget(headers, fragment, outbound=outbound)
        else:
            self.fragments.keep(headers, fragment, verdict, now, outbound=outbound)
        return decision

    def _verdict(
        self, headers: Headers, packet: bytes, decision: Decision, *, outbound: bool
    ) -> Verdict | None:
        """Return what those get that follow a first fragment; `None` if it was refused."""
        match decision:
            case Forward():
                flow = self._record_of(headers, packet, decision, outbound=outbound)
                return Verdict(decision, None, flow)
            case Translate():
                permitted = self.access.authorizations[decision.resource_id].forward
                address = far_address(decision.packet, outbound=outbound)
                flow = self._record_of(headers, packet, decision, outbound=outbound)
                return Verdict(permitted, address, flow)
            case Reject() | Drop():
                return None
            case _:
                assert_never(decision)

    def _record_of(
        self, headers: Headers, packet: bytes, decision: Forward | Translate, *, outbound: bool
    ) -> OpenFlow | None:
        if self.recorder is None:
            return None
        return self.recorder.of_fragments(headers, packet, decision, outbound=outbound)

    def _judge_later(
        self, headers: Headers, fragment: Fragment, packet: bytes, now: float, *, outbound: bool
    ) -> Decision:
        """Let a later fragment follow its first, through the NAT if that went through it."""
        verdict = self.fragments.follow(headers, fragment, now, outbound=outbound)
        if verdict is None:
            return self.drop(Reason.FRAGMENT)
        count_fragment(verdict.flow, headers, packet, now, outbound=outbound)
        if verdict.address is None:
            return verdict.decision
        changed = rewrite_address(packet, verdict.address, source=not outbound)
        return translated(changed, verdict.decision)

    # --- Translation -----------------------------------------------------------------------

    def _translate_outbound(
        self, permitted: Forward, headers: Headers, packet: bytes, now: float
    ) -> Decision:
        """Translate a permitted packet to a proxy address, if there is a way."""
        nat = cast("Nat", self.access.nat)  # without one, nothing covers a proxy address
        flow = nat.outbound(headers, packet, permitted, now)
        if flow is Reason.NAT_EXHAUSTED:
            # It may pass in a moment: no reason to tell the client that it never will.
            return self.drop(flow)
        if isinstance(flow, Reason):
            return self._reject(flow, headers, packet, now)
        return cast("Translate", flow.decide(packet, now))  # its session has just been found

    def _judge_through_nat(
        self, nat: Nat, headers: Headers, flags: int, packet: bytes, now: float
    ) -> Decision:
        """Judge what may belong to a session as what the client will see, else as it is."""
        protocol, port = headers.protocol, headers.source_port
        session = nat.session_inbound(headers, packet, now)
        if session is not None:
            permitted = self.access.permission(session.proxy, DNS, protocol, port)
            if isinstance(permitted, Reason):
                return self.drop(permitted)
            flow = nat.inbound(session, headers, packet, permitted)
            return cast("Translate", flow.decide(packet, now))
        permitted = self.access.permission(headers.source, flags, protocol, port)
        if not isinstance(permitted, Reason):
            return permitted
        if nat.has_ended(headers, packet, now):
            return self.drop(Reason.EXPIRED_NAT_SESSION)
        return self.drop(permitted)

    # --- ICMP errors -----------------------------------------------------------------------

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
        quote = packet[headers.transport + ICMP_HEADER :]
        quoted = read_quoted_headers(quote)
        if quoted is None or not _may_be_quoted(quoted, headers, outbound=outbound):
            return refused
        if outbound:
            far, port = quoted.source, quoted.source_port
        else:
            far, port = quoted.destination, quoted.destination_port
        nat = self.access.nat
        session = nat and nat.session_quoted(quoted, quote, now, outbound=not outbound)
        far = session.proxy if session else far
        permitted = self._may_be_told(far, quoted.protocol, port, translated=bool(session))
        if permitted is None:
            return refused
        if session:
            error = translate_error(session, headers, quoted, packet, outbound=outbound)
            return translated(error, permitted)
        return permitted

    def _may_be_told(
        self, far: bytes, protocol: int, port: int, *, translated: bool
    ) -> Forward | None:
        """Return what permits the quoted packet, and so the error; `None` if nothing does."""
        flags = self._site.flags(far)
        if far in self._site.own:
            return None if self._own_refusal(protocol, port) else self._own
        # Inside the tunnel nothing but the gateway answers, and behind a proxy address only
        # what has a session.
        if flags & (TUNNEL | DNS) and not translated:
            return None
        permitted = self.access.permission(far, flags, protocol, port)
        return None if isinstance(permitted, Reason) else permitted

    # --- Refusals ------------------------------------------------------------------------

    def drop(self, reason: Reason) -> Drop:
        """Return the one `Drop` of this client for *reason*."""
        drop = self._drops.get(reason)
        if drop is None:
            drop = self._drops[reason] = Drop(reason, self.id)
        return drop

    def refuse(
        self, reason: Reason, source: bytes, destination: bytes, packet: bytes, now: float
    ) -> Reject | Drop:
        """Refuse a packet of the client, and tell it so if it may be told by now.

        Inbound refusals are silent: a reply would tell the far end that somebody is here.
        """
        if not self._site.options.reject or not self._bucket.take(now):
            return self.drop(reason)
        reply = unreachable_reply(packet, source, destination, prohibited=reason not in _NO_WAY)
        return Reject(reply, reason, self.id)

    def _reject(
        self, reason: Reason, headers: Headers, packet: bytes, now: float
    ) -> Reject | Drop:
        # An error never answers an error, or two hosts could keep each other busy for ever
        # (RFC 1122, section 3.2.2; RFC 4443, section 2.4).
        if is_icmp_error(headers.protocol, headers.icmp_type):
            return self.drop(reason)
        return self.refuse(reason, headers.source, headers.destination, packet, now)


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
