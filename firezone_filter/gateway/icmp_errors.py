"""ICMP errors, which are judged by the packet that they quote (rules.md, section 4).

Theory of operation. A host that may send a packet may also learn what became of it, even from
a router that no resource covers: path-MTU discovery depends on that. An error about any other
packet is a way past the filters, or an attack on another host's connection (RFC 5927). So an error
passes if and only if the quoted packet would be permitted in the opposite direction; neither
the error's own source nor what filters say of its type has a say.

The judge has found the client by then, refused spoofed sources and tunnel addresses that are
not the gateway's own, and read the error's headers. Errors have no effect: they are not
remembered, belong to no flow record, and neither prolong nor end a session. A forged one
could otherwise keep a session alive or cut it off.
"""

from typing import NamedTuple, cast, final

from firezone_filter.access.authorizations import AsksPermission
from firezone_filter.access.special_ranges import DNS, TUNNEL
from firezone_filter.gateway.client import Client
from firezone_filter.gateway.context import GatewayContext
from firezone_filter.gateway.ruling import Ruling
from firezone_filter.gateway.solicited import find_inbound
from firezone_filter.nat.nat import translate_error
from firezone_filter.nat.sessions import Session
from firezone_filter.packet.headers import NO_PORT, Headers, read_quoted_headers
from firezone_filter.packet.icmp import ICMP_HEADER, is_icmp_error, is_judged_by_quote
from firezone_filter.stateful.identity import identify
from firezone_filter.values.decisions import Forward, Reason, Translate


@final
class Quote(NamedTuple):
    """A packet that an ICMP error quotes, as far as the error is judged by it."""

    headers: Headers
    """Its headers."""

    far: bytes
    """Its far address as the client knows it: the proxy address of a translated packet."""

    number: int
    """The port at that end, or the ICMP type."""

    session: Session | None
    """The live session that translates it."""

    is_live: bool
    """Whether it belongs to a live flow; always true without `stateful`."""


def judge_icmp_error(  # noqa: PLR0913, PLR0917 - a row, with all that a row may look at
    context: GatewayContext,
    client: Client,
    headers: Headers,
    packet: bytes,
    now: float,
    permission: AsksPermission,
    *,
    outbound: bool,
) -> Ruling:
    """Judge an ICMP error by its quote.

    Args:
        context: the gateway.
        client: the client at the near end of the error.
        headers: those of the error.
        packet: the error.
        now: the time, in seconds.
        permission: how to ask what the client may reach.
        outbound: whether the client sends the error.

    Returns:
        A ruling without headers, so that nothing follows from it: a `Forward`, a `Translate`
        if the quoted packet belongs to a session, or a `Drop` with `ICMP_ERROR`.
    """
    quote = read_quote(context, client, headers, packet, now, outbound=outbound)
    permitted = None
    if quote is not None and quote.is_live:
        permitted = _error_permitted(context, client, quote, now, permission)
    if quote is None or permitted is None:
        return Ruling(client.drop(Reason.ICMP_ERROR), client)
    # The client may exchange packets like the quoted one with this far end, so it may also
    # hear, or report, that one of them failed.
    if quote.session is None:
        return Ruling(permitted, client)
    error = translate_error(quote.session, headers, quote.headers, packet, outbound=outbound)
    # Only DNS resources are translated, and they have an id.
    return Ruling(
        Translate(error, permitted.client_id, cast("str", permitted.resource_id)), client
    )


def read_quote(  # noqa: PLR0913 - as above
    context: GatewayContext,
    client: Client,
    headers: Headers,
    packet: bytes,
    now: float,
    *,
    outbound: bool,
) -> Quote | None:
    """Read the packet that an error quotes; return `None` if such an error never passes.

    Arguments are those of `judge_icmp_error`.
    """
    # A fragmented error may hide part of its quote. Redirects, source quench and undefined
    # types are never worth passing (`packet.icmp`).
    if headers.fragment is not None or not is_judged_by_quote(headers.protocol, headers.icmp_type):
        return None
    quote = packet[headers.transport + ICMP_HEADER :]
    quoted = read_quoted_headers(quote)
    if quoted is None or not _may_be_quoted(quoted, headers, outbound=outbound):
        return None
    if outbound:
        far, port = quoted.source, quoted.source_port
    else:
        far, port = quoted.destination, quoted.destination_port
    # Filters may name types of ICMP, in either direction: of the quote, never of the error.
    number = port if quoted.icmp_type == NO_PORT else quoted.icmp_type
    session = None
    if client.nat is not None:
        session = client.nat.session_quoted(quoted, quote, now, outbound=not outbound)
    is_live = True
    if client.flows is not None and far not in context.own:
        identity = identify(quoted, quote, outbound=not outbound)
        if outbound:
            # The client quotes what it has received, translated if it was.
            flow = client.flows.find(identity, now)
        else:
            flow, session = find_inbound(client.flows, identity, session, now)
        is_live = flow is not None
    # The client knows only the proxy address, and its permission is for that.
    if session is not None:
        far = session.proxy
    return Quote(quoted, far, number, session, is_live)


def _may_be_quoted(quoted: Headers, error: Headers, *, outbound: bool) -> bool:
    """Tell whether an honest error could quote this packet, by its headers and addresses."""
    # A later fragment has no ports to judge by, and an error is never sent about an error
    # (RFC 1122, section 3.2.2).
    if quoted.is_later_fragment or is_icmp_error(quoted.protocol, quoted.icmp_type):
        return False
    # Inbound, the client itself must have sent the quoted packet. Outbound, it must have
    # received it, from the host that the error goes to; otherwise a client could send errors
    # about other hosts' connections. A quote of the other IP version fails here too, since
    # its addresses differ in length.
    if not outbound:
        return quoted.source == error.destination
    return quoted.destination == error.source and quoted.source == error.destination


def _error_permitted(
    context: GatewayContext,
    client: Client,
    quote: Quote,
    now: float,
    permission: AsksPermission,
) -> Forward | None:
    """Return the decision that permits the quoted packet, and thus the error, or `None`."""
    far, protocol, number = quote.far, quote.headers.protocol, quote.number
    # The gateway's own address has its own filters, as for whole packets.
    if far in context.own:
        return None if context.own_refusal(protocol, number) else client.forward_own
    flags = context.flags(far)
    # Apart from the gateway, clients exchange no packets with tunnel addresses, so there can
    # be no error about one; and proxy addresses exist only where a session translates.
    if flags & (TUNNEL | DNS) and quote.session is None:
        return None
    permitted = permission(client.access, far, flags, protocol, number, now)
    return None if isinstance(permitted, Reason) else permitted
