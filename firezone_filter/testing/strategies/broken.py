"""Packets that are almost right: one thing is broken, and a gateway refuses them for it."""

from collections.abc import Callable, Iterable
from typing import Final, Unpack

from hypothesis import strategies as st

from firezone_filter.packet.numbers import ICMPV4, ICMPV6, IPV4, IPV6, TCP
from firezone_filter.testing.builders import ip
from firezone_filter.testing.changes import patched, resized
from firezone_filter.testing.extensions import (
    DESTINATION_OPTIONS,
    Extension,
    destination_options,
    fragment_header,
    hop_by_hop,
    routing,
    transport_of,
)
from firezone_filter.testing.fragments import MAX_START, UNIT, ip_fragment
from firezone_filter.testing.strategies.ends import ANYWHERE, Choices, Ends, Targets, ends
from firezone_filter.testing.strategies.named import named
from firezone_filter.testing.strategies.whole import build

_GRE: Final = 47
_VERSIONS: Final = (0, *range(1, 4), 5, *range(7, 16))
_TOO_MANY: Final = 9
"""Extension headers: one more than a packet may have."""

_Break = Callable[[st.DrawFn, Ends], bytes]


def _version(draw: st.DrawFn, between: Ends) -> bytes:
    packet = build(draw, between)
    first = draw(st.sampled_from(_VERSIONS)) << 4 | packet[0] & 0x0F
    return patched(packet, 0, bytes([first]))


def _truncated(draw: st.DrawFn, between: Ends) -> bytes:
    packet = build(draw, between)
    return packet[: draw(st.integers(0, len(packet) - 1))]


def _padded(draw: st.DrawFn, between: Ends) -> bytes:
    return build(draw, between) + draw(st.binary(min_size=1, max_size=8))


def _length(draw: st.DrawFn, between: Ends) -> bytes:
    return resized(build(draw, between), draw(st.sampled_from((1, -1, 8, -8, 256))))


def _transport(draw: st.DrawFn, between: Ends) -> bytes:
    packet = build(draw, between)
    protocol, start = transport_of(packet)
    kept = draw(st.integers(0, 19 if protocol == TCP else 7))
    return ip(between.flow(), protocol, packet[start : start + kept])


def _other_icmp(draw: st.DrawFn, between: Ends) -> bytes:
    other = ICMPV6 if between.version == IPV4 else ICMPV4
    return ip(between.flow(), other, draw(st.binary(min_size=8, max_size=16)))


def _fragment_size(draw: st.DrawFn, between: Ends) -> bytes:
    size = draw(st.integers(1, 47).filter(lambda size: size % UNIT))
    return ip_fragment(between.flow(), _GRE, bytes(size), more=True)


def _fragment_end(draw: st.DrawFn, between: Ends) -> bytes:
    units = draw(st.integers(1, 4))
    return ip_fragment(between.flow(), _GRE, bytes(UNIT * units), start=MAX_START)


def _header_length(draw: st.DrawFn, between: Ends) -> bytes:
    words = draw(st.integers(0, 4))
    return patched(ip(between.flow(), _GRE), 0, bytes([IPV4 << 4 | words]))


def _with_options(*options: bytes) -> _Break:
    def build(draw: st.DrawFn, between: Ends) -> bytes:
        return ip(between.flow(), _GRE, options=draw(st.sampled_from(options)))

    return build


def _with_chain(*chains: tuple[Extension, ...]) -> _Break:
    def build(draw: st.DrawFn, between: Ends) -> bytes:
        return ip(between.flow(), _GRE, extensions=draw(st.sampled_from(chains)))

    return build


_EITHER: Final[dict[str, _Break]] = {
    "truncated": _truncated,
    "padded": _padded,
    "length": _length,
    "version": _version,
    "other-icmp": _other_icmp,
    "fragment-size": _fragment_size,
    "fragment-end": _fragment_end,
}
_TRANSPORT: Final[dict[str, _Break]] = {"transport": _transport}
_IPV4_ALONE: Final[dict[str, _Break]] = {
    "header-length": _header_length,
    # Shorter than its own head; longer than the header; without a length.
    "options": _with_options(b"\7\1\0\0", b"\7\5\0\0", b"\1\1\1\7"),
    # Loose and strict, behind another option or not.
    "source-route": _with_options(b"\x83\3\4\0", b"\x89\3\4\0", b"\1\x83\3\4"),
}
_IPV6_ALONE: Final[dict[str, _Break]] = {
    "extension-length": _with_chain((Extension(DESTINATION_OPTIONS, b"\xff" + bytes(6)),)),
    "extension-count": _with_chain((destination_options(),) * _TOO_MANY),
    "extension-order": _with_chain((destination_options(), hop_by_hop())),
    "fragment-twice": _with_chain((fragment_header(), fragment_header())),
    # Type 0, and others with segments left.
    "routing": _with_chain((routing(0),), (routing(4, 1),), (routing(2, 2),)),
}
_BY_VERSION: Final = {IPV4: _EITHER | _IPV4_ALONE, IPV6: _EITHER | _IPV6_ALONE}

FAULTS: Final = tuple(_EITHER | _TRANSPORT | _IPV4_ALONE | _IPV6_ALONE)


def broken_packets(
    sources: Targets = ANYWHERE,
    destinations: Targets = ANYWHERE,
    *,
    faults: Iterable[str] = FAULTS,
    **choices: Unpack[Choices],
) -> st.SearchStrategy[bytes]:
    """Draw a packet that is almost right: one thing is broken, and makes it malformed.

    Every gateway refuses it as `Reason.MALFORMED` (rules.md, section 4, "The headers"),
    whoever sends it.

    Args:
        sources: addresses and networks that it comes from.
        destinations: addresses and networks that it goes to.
        faults: what may be broken. In both families `"truncated"` and `"padded"` (more or fewer
            bytes than the length field says), `"length"` (that field itself), `"version"`,
            `"transport"` (TCP, UDP or ICMP without its whole fixed part), `"other-icmp"` (that
            of the other family), `"fragment-size"` (no multiple of 8 bytes, although more
            follow), `"fragment-end"` (behind byte 65,535). Of IPv4 `"header-length"`,
            `"options"` (malformed ones) and `"source-route"`. Of IPv6 `"extension-length"` (past
            the end), `"extension-count"` (too many), `"extension-order"` (hop-by-hop options
            that are not the first), `"fragment-twice"`, and `"routing"` (type 0, or with
            segments left). All if not given.
        choices: protocols and ports.

    Raises:
        ValueError: there is no such packet, or a fault has another name.
    """
    wanted = tuple(faults)
    if unknown := set(wanted) - set(FAULTS):
        raise ValueError(f"no faults of packets: {', '.join(sorted(unknown))}")
    between = ends(sources, destinations, choices).filter(lambda one: bool(_fitting(one, wanted)))
    return named("broken_packets", broken(between, wanted))


@st.composite
def broken(
    draw: st.DrawFn, between: st.SearchStrategy[Ends], faults: tuple[str, ...] = FAULTS
) -> bytes:
    """Draw a packet between drawn ends, each of which can have one of the faults."""
    one = draw(between)
    break_it = draw(st.sampled_from(_fitting(one, faults)))
    return break_it(draw, one)


def _fitting(between: Ends, faults: tuple[str, ...]) -> list[_Break]:
    """Return what can break a packet between these ends."""
    can = _BY_VERSION[between.version]
    if isinstance(between.kind, str):
        can = can | _TRANSPORT
    return [can[name] for name in faults if name in can]
