"""The row of ICMP errors, which are judged by the packet that they quote."""

from ipaddress import ip_address

from firezone_filter.access.special_ranges import DNS, TUNNEL
from firezone_filter.gateway.explaining.answers import NOBODY, Answer, ask, own_filters
from firezone_filter.gateway.explaining.facts import Facts
from firezone_filter.gateway.explaining.wording import in_words, message_in_words
from firezone_filter.gateway.icmp_errors import Quote, read_quote
from firezone_filter.packet.headers import fault_in, read_quoted_headers
from firezone_filter.packet.icmp import ICMP_HEADER, is_icmp_error, is_judged_by_quote
from firezone_filter.values.explanations import Check


def icmp_error(facts: Facts) -> tuple[Check, Answer]:
    """Describe the row, with the resources that were asked about the quoted packet."""
    quote = read_quote(
        facts.context,
        facts.client,
        facts.headers,
        facts.packet,
        facts.now,
        outbound=facts.outbound,
    )
    if quote is None:
        answer, detail = NOBODY, _unquotable(facts)
    else:
        answer, detail = _quoted(facts, quote)
    return Check("icmp-error", passed=facts.reason is None, detail=detail), answer


def _unquotable(facts: Facts) -> str:  # noqa: PLR0911 - one for each way
    """Tell why an ICMP error never passes, whatever the client may reach."""
    headers = facts.headers
    if headers.fragment is not None:
        return "an ICMP error that is itself a fragment never passes"
    if not is_judged_by_quote(headers.protocol, headers.icmp_type):
        message = message_in_words(headers.protocol, headers.icmp_type)
        return f"{message} never passes, whatever it quotes"
    quote = facts.packet[headers.transport + ICMP_HEADER :]
    quoted = read_quoted_headers(quote)
    if quoted is None:
        return f"the packet that it quotes is malformed: {fault_in(quote, whole=False)}"
    if quoted.is_later_fragment:
        return "it quotes a later fragment, which has no ports"
    if is_icmp_error(quoted.protocol, quoted.icmp_type):
        return "it quotes an ICMP error"
    # Then it is the addresses.
    ends = f"{ip_address(quoted.source)} > {ip_address(quoted.destination)}"
    near, far = facts.near_and_far()
    if facts.outbound:
        return f"it quotes a packet {ends}, and not one {far} > {near}"
    return f"it quotes a packet {ends}, and not one from {near}"


def _quoted(facts: Facts, quote: Quote) -> tuple[Answer, str]:
    """Tell why an ICMP error passes, or does not, by the packet that it quotes."""
    protocol, number = quote.headers.protocol, quote.number
    what = in_words(protocol, number, outbound=not facts.outbound)
    about = f"it quotes {what} of {ip_address(quote.far)}"
    if quote.far in facts.context.own:
        return NOBODY, f"{about}, the gateway's own address: {own_filters(facts, protocol)}"
    flags = facts.context.flags(quote.far)
    if flags & (TUNNEL | DNS) and quote.session is None:
        return NOBODY, f"{about}, which is inside the tunnel, and no live session translates it"
    answer = ask(facts, quote.far, flags, protocol, number)
    if not quote.is_live:
        return answer, f"{about}, which belongs to no live flow that {facts.client.id} began"
    return answer, f"{about}: {answer.words}"
