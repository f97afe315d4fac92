"""Packets that are part of, or about, others: fragments and ICMP errors."""

from itertools import pairwise
from struct import pack
from typing import Final, Unpack

from attrs import evolve
from hypothesis import strategies as st

from firezone_filter.packet.numbers import ICMPV4, ICMPV6, IPV4, IPV6_HEADER, TCP, UDP
from firezone_filter.testing.builders import icmp_error
from firezone_filter.testing.extensions import HOP_BY_HOP, transport_of
from firezone_filter.testing.fragments import UNIT, fragment
from firezone_filter.testing.strategies.ends import (
    ANYWHERE,
    Address,
    Choices,
    Ends,
    Targets,
    addresses,
    ends,
)
from firezone_filter.testing.strategies.named import named
from firezone_filter.testing.strategies.whole import LAYOUTS, build, built

_FIXED_PART: Final = {TCP: 20, UDP: 8, ICMPV4: 8, ICMPV6: 8}
_QUOTED_PART: Final = 8

# Type and code: unreachable, for several reasons; too big; out of time; a wrong header.
_ERRORS: Final = {
    4: ((3, 1), (3, 3), (3, 4), (11, 0), (12, 0), (3, 13)),
    6: ((1, 0), (1, 4), (2, 0), (3, 0), (4, 0), (1, 1)),
}

_identifications = st.integers(0, 0xFFFF)


def packets(
    sources: Targets = ANYWHERE, destinations: Targets = ANYWHERE, **choices: Unpack[Choices]
) -> st.SearchStrategy[bytes]:
    """Draw any well-formed packet: a whole one, a fragment, or an ICMP error with a quote.

    It shrinks towards a bare TCP SYN over IPv4, from the first source to the first destination.

    Args:
        sources: addresses and networks that it comes from.
        destinations: addresses and networks that it goes to.
        choices: protocols and ports; of ICMP errors, those of the packet that is quoted.

    Raises:
        ValueError: there is no such packet.
    """
    drawn = any_packets(ends(sources, destinations, choices), addresses(sources))
    return named("packets", drawn)


def any_packets(
    between: st.SearchStrategy[Ends], routers: st.SearchStrategy[Address]
) -> st.SearchStrategy[bytes]:
    """Draw any packet between drawn ends; errors also from *routers*."""
    return st.one_of(
        built(between), fragmented(between).flatmap(st.sampled_from), errors(between, routers)
    )


def fragmented_packets(
    sources: Targets = ANYWHERE, destinations: Targets = ANYWHERE, **choices: Unpack[Choices]
) -> st.SearchStrategy[tuple[bytes, ...]]:
    """Draw the fragments of one packet: two to four, in their order.

    The first has all headers that decisions depend on, as far as the transport's fixed part.

    Args:
        sources: addresses and networks that the packet comes from.
        destinations: addresses and networks that it goes to.
        choices: protocols and ports.

    Raises:
        ValueError: there is no such packet.
    """
    return named("fragmented_packets", fragmented(ends(sources, destinations, choices)))


@st.composite
def fragmented(draw: st.DrawFn, between: st.SearchStrategy[Ends]) -> tuple[bytes, ...]:
    """Draw the fragments of one packet between drawn ends."""
    whole = build(draw, draw(between), least=3 * UNIT)
    protocol, transport = transport_of(whole)
    if whole[0] >> 4 == IPV4:
        before, begin = 0, transport
    else:
        # Hop-by-hop options are for every router, and stand before the fragment header.
        before = int(whole[6] == HOP_BY_HOP)
        begin = IPV6_HEADER + 8 * before
    judged = transport - begin + _FIXED_PART.get(protocol, 0)
    size = len(whole) - begin
    first = max(UNIT, -(-judged // UNIT) * UNIT)
    places = range(first, size, UNIT)
    cuts = draw(st.lists(st.sampled_from(places), min_size=1, max_size=3, unique=True))
    identification = draw(_identifications)
    return tuple(
        fragment(whole, start, stop, identification=identification, before=before)
        for start, stop in pairwise([0, *sorted(cuts), size])
    )


def icmp_errors(
    sources: Targets = ANYWHERE, destinations: Targets = ANYWHERE, **choices: Unpack[Choices]
) -> st.SearchStrategy[bytes]:
    """Draw an ICMP error that quotes a packet of the opposite direction, or its beginning.

    The error goes to the source of the quoted packet, from the quoted packet's destination or
    from another of the *sources*, such as a router on the way.

    Args:
        sources: addresses and networks that the error comes from.
        destinations: addresses and networks that it goes to.
        choices: the quoted packet's protocols, and its ports: *source_ports* are those at the
            end of *sources*, although the quoted packet goes to there.

    Raises:
        ValueError: there is no such packet.
    """
    drawn = errors(ends(sources, destinations, choices), addresses(sources))
    return named("icmp_errors", drawn)


@st.composite
def errors(
    draw: st.DrawFn, between: st.SearchStrategy[Ends], routers: st.SearchStrategy[Address]
) -> bytes:
    """Draw an error with drawn ends, or from one of *routers*."""
    one = draw(between)
    back = Ends(one.destination, one.source, one.kind, one.destination_port, one.source_port)
    quote = build(draw, back)
    _, transport = transport_of(quote)
    least = min(transport + _QUOTED_PART, len(quote))
    cut = draw(st.none() | st.integers(least, len(quote)))
    router = draw(st.just(one.source) | routers)
    sender = router if router.version == one.version else one.source
    kind, code = draw(st.sampled_from(_ERRORS[one.version]))
    return icmp_error(
        evolve(one, source=sender).flow(),
        kind,
        code,
        quoting=quote[:cut],
        rest=pack("!I", draw(st.sampled_from((0, 1280)))),
        **draw(LAYOUTS[one.version]),
    )
