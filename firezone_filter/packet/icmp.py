"""ICMP and ICMPv6 types, in the classes that matter to a filter (RFC 792, RFC 4443, RFC 4861)."""

from typing import Final

from firezone_filter.packet.numbers import ICMPV4, ICMPV6, IPV4, IPV6

ICMP_OF: Final = {IPV4: ICMPV4, IPV6: ICMPV6}
"""The protocol number of ICMP, by IP version."""

ICMP_CODE_AT: Final = 1
"""Index of the code in an ICMP header, behind the type (RFC 792, RFC 4443)."""

ICMP_HEADER: Final = 8
"""Bytes of an ICMP header; in an ICMP error, the quote follows (RFC 792, RFC 4443)."""

# Source quench and redirect report no error but count as ICMP errors, since they quote a packet
# and must never be answered with an error (RFC 1122, section 3.2.2).
_V4_ERRORS: Final = frozenset({3, 4, 5, 11, 12})
_V6_REDIRECT: Final = 137
_V6_FIRST_INFORMATIONAL: Final = 128

# Source quench is deprecated (RFC 6633); redirects are for one link, and a forged one is a way
# to take a flow over. Only the other types are worth judging by their quote.
_JUDGED: Final = {ICMPV4: frozenset({3, 11, 12}), ICMPV6: frozenset({1, 2, 3, 4})}

# Router and neighbour discovery means nothing beyond its link; from a tunnel it could only be
# forged (RFC 1256; RFC 4861, section 3.1).
_STAYS_ON_LINK: Final = {ICMPV4: frozenset({9, 10}), ICMPV6: frozenset({133, 134, 135, 136})}


# Echo request and reply (RFC 792, RFC 4443).
ECHO_REQUEST: Final = {ICMPV4: 8, ICMPV6: 128}
ECHO_REPLY: Final = {ICMPV4: 0, ICMPV6: 129}

# Requests and their answers (RFC 792, RFC 950, RFC 8335; RFC 4443, RFC 4620, RFC 8335).
ICMP_ANSWERS: Final = {
    ICMPV4: {8: 0, 13: 14, 15: 16, 17: 18, 42: 43},
    ICMPV6: {128: 129, 139: 140, 160: 161},
}
"""The type of the answer by the type of the request, by protocol."""

ICMP_PARTNERS: Final = {
    protocol: answers | {answer: request for request, answer in answers.items()}
    for protocol, answers in ICMP_ANSWERS.items()
}
"""The other type of each pair of request and answer, by protocol."""


def is_echo(protocol: int, icmp_type: int) -> bool:
    """Tell whether a message is an echo request or reply, which have an echo id."""
    return icmp_type in (ECHO_REQUEST.get(protocol), ECHO_REPLY.get(protocol))


def is_icmp_error(protocol: int, icmp_type: int) -> bool:
    """Tell whether a message is an ICMP error, or counts as one.

    In ICMPv6 all types below 128 are errors, even undefined ones (RFC 4443, section 2.1). A later
    fragment, which has no type (`NO_PORT`), is none.
    """
    if protocol == ICMPV4:
        return icmp_type in _V4_ERRORS
    if protocol == ICMPV6:
        return 0 <= icmp_type < _V6_FIRST_INFORMATIONAL or icmp_type == _V6_REDIRECT
    return False


def is_judged_by_quote(protocol: int, icmp_type: int) -> bool:
    """Tell whether an ICMP error is of a type that may pass if the quoted packet may."""
    return icmp_type in _JUDGED[protocol]


def stays_on_link(protocol: int, icmp_type: int) -> bool:
    """Tell whether a message must never be forwarded from one link to another."""
    return icmp_type in _STAYS_ON_LINK.get(protocol, ())


ECHO_ID_AT: Final = 4
"""Index of the echo id in an ICMP header."""

ORDINARY: Final = 0
ERROR: Final = 1
"""An ICMP error, or counted as one: `is_icmp_error`."""
ON_LINK: Final = 2
"""A message that is never forwarded: `stays_on_link`."""

ICMP_KINDS: Final = {
    protocol: tuple(
        ERROR
        if is_icmp_error(protocol, icmp_type)
        else ON_LINK
        if stays_on_link(protocol, icmp_type)
        else ORDINARY
        for icmp_type in range(256)
    )
    for protocol in (ICMPV4, ICMPV6)
}
"""Kinds by protocol and type. Asking both functions for every message takes 300 ns, this 50."""
