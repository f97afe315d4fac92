"""ICMP errors: judged by the packet that they quote (docs/rules.md, section 4).

A host that may send a packet may be told what became of it, also by a router that no resource
covers: path-MTU discovery depends on it. An error about anything else is a way past the
filters, or an attack on somebody's connection (RFC 5927). So an error passes if and only if
the quoted packet would be permitted in the other direction.
"""

from firezone_filter.access.special_ranges import DNS, TUNNEL
from firezone_filter.gateway.client import Client
from firezone_filter.gateway.context import GatewayContext
from firezone_filter.gateway.ruling import Ruling
from firezone_filter.nat.nat import translate_error
from firezone_filter.packet.headers import Headers, read_quoted_headers
from firezone_filter.packet.icmp import ICMP_HEADER, is_icmp_error, is_judged_by_quote
from firezone_filter.values.decisions import Forward, Reason, Translate


def judge_icmp_error(  # noqa: PLR0913 - a row of the table, with all that a row may look at
    context: GatewayContext,
    client: Client,
    headers: Headers,
    packet: bytes,
    now: float,
    *,
    outbound: bool,
) -> Ruling:
    """Judge an ICMP error by its quote."""
    refused = Ruling(client.drop(Reason.ICMP_ERROR), client)
    # A fragment of an error hides part of its quote; redirects, quench and undefined types
    # are never worth passing.
    if headers.fragment is not None or not is_judged_by_quote(headers.protocol, headers.icmp_type):
        return refused
    quote = packet[headers.transport + ICMP_HEADER :]
    quoted = read_quoted_headers(quote)
    if quoted is None or not _may_be_quoted(quoted, headers, outbound=outbound):
        return refused
    if outbound:
        far, port = quoted.source, quoted.source_port
    else:
        far, port = quoted.destination, quoted.destination_port
    session = None
    if client.nat is not None:
        session = client.nat.session_quoted(quoted, quote, now, outbound=not outbound)
    if session is not None:
        far = session.proxy
    permitted = _error_permitted(
        context, client, far, quoted.protocol, port, translated=session is not None
    )
    if permitted is None:
        return refused
    if session is None:
        return Ruling(permitted, client)
    error = translate_error(session, headers, quoted, packet, outbound=outbound)
    # Only DNS resources are translated, and they have an id.
    return Ruling(Translate(error, permitted.client_id, str(permitted.resource_id)), client)


def _may_be_quoted(quoted: Headers, error: Headers, *, outbound: bool) -> bool:
    """Tell whether an error may quote such a packet, by headers and addresses."""
    # A later fragment has no ports to judge by; errors are never answered with errors
    # (RFC 1122, section 3.2.2).
    if quoted.is_later_fragment or is_icmp_error(quoted.protocol, quoted.icmp_type):
        return False
    # The quoted packet is one that the client itself sent, or one that was sent to it by the
    # host that the error goes to. Addresses of the other IP version never equal these.
    if not outbound:
        return quoted.source == error.destination
    return quoted.destination == error.source and quoted.source == error.destination


def _error_permitted(  # noqa: PLR0913 - of the quote, not of the error
    context: GatewayContext,
    client: Client,
    far: bytes,
    protocol: int,
    port: int,
    *,
    translated: bool,
) -> Forward | None:
    """Return what permits the quoted packet, and so the error; `None` if nothing does."""
    if far in context.own:
        return None if context.own_refusal(protocol, port) else client.forward_own
    flags = context.flags(far)
    # Only the gateway answers from inside the tunnel, and only a session from behind a
    # proxy address.
    if flags & (TUNNEL | DNS) and not translated:
        return None
    permitted = client.access.permission(far, flags, protocol, port)
    return None if isinstance(permitted, Reason) else permitted
