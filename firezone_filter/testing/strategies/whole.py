"""Whole packets: no fragments, no ICMP errors."""

from struct import pack
from typing import Final, Unpack

from hypothesis import strategies as st

from firezone_filter.packet.numbers import ACK, FIN, RST, SYN
from firezone_filter.testing.builders import Layout, icmp, ip, tcp, udp
from firezone_filter.testing.extensions import (
    Extension,
    authentication,
    destination_options,
    hop_by_hop,
    routing,
)
from firezone_filter.testing.strategies.ends import ANYWHERE, Choices, Ends, Targets, ends
from firezone_filter.testing.strategies.named import named

_OPTIONS: Final = (
    b"",
    b"\1\1\1\0",  # no operation
    b"\x94\x04\0\0",  # router alert (RFC 2113)
    b"\x07\x07\4" + bytes(5),  # record route
)
_MIDDLE: Final = (destination_options(), destination_options(1), routing(), authentication())

_hops = st.sampled_from((64, 1, 255))
_flags = st.sampled_from((SYN, ACK, SYN | ACK, FIN | ACK, RST, RST | ACK, FIN))
_payloads = st.binary(max_size=40)

# Requests and their answers first; then all that are no errors.
_icmp_types: Final = {
    4: st.sampled_from((8, 0, 13, 14, *sorted({*range(256)} - {0, 3, 4, 5, 8, 11, 12, 13, 14}))),
    6: st.sampled_from((*range(128, 137), *range(138, 256))),
}


def _with_chain(chain: list[Extension], hops: int, *, options: bool) -> Layout:
    return {"extensions": [hop_by_hop(), *chain] if options else chain, "hops": hops}


LAYOUTS: Final[dict[int, st.SearchStrategy[Layout]]] = {
    4: st.builds(Layout, options=st.sampled_from(_OPTIONS), hops=_hops),
    6: st.builds(
        _with_chain, st.lists(st.sampled_from(_MIDDLE), max_size=3), _hops, options=st.booleans()
    ),
}
"""What may stand between the IP header and the transport, all of it well formed, by family."""


def whole_packets(
    sources: Targets = ANYWHERE, destinations: Targets = ANYWHERE, **choices: Unpack[Choices]
) -> st.SearchStrategy[bytes]:
    """Draw a whole packet, well formed and with right checksums.

    TCP, UDP, ICMP messages that are no errors, and other protocols; some with IPv4 options or
    IPv6 extension headers, none of which leads around the policy. It shrinks towards a bare TCP
    SYN over IPv4, from the first source to the first destination.

    Args:
        sources: addresses and networks that it comes from.
        destinations: addresses and networks that it goes to. Only those are drawn together
            that are of one family.
        choices: protocols and ports.

    Raises:
        ValueError: there is no such packet.
    """
    return named("whole_packets", built(ends(sources, destinations, choices)))


@st.composite
def built(draw: st.DrawFn, between: st.SearchStrategy[Ends]) -> bytes:
    """Draw a whole packet between drawn ends."""
    return build(draw, draw(between))


def build(draw: st.DrawFn, drawn: Ends, *, least: int = 0) -> bytes:
    """Draw the rest of a whole packet between these ends, with *least* zeros in its payload."""
    flow, layout = drawn.flow(), draw(LAYOUTS[drawn.version])
    data = bytes(least) + draw(_payloads)
    match drawn.kind:
        case "tcp":
            return tcp(flow, data, flags=draw(_flags), **layout)
        case "udp":
            return udp(flow, data, **layout)
        case "icmp":
            kind = draw(_icmp_types[drawn.version])
            rest = pack("!HH", drawn.source_port, 1)
            return icmp(flow, kind, rest=rest, body=data, **layout)
        case number:
            return ip(flow, number, data, **layout)
