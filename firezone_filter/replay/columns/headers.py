"""The headers of many packets, taken apart at once.

Only *plain* packets are told: TCP and UDP over IPv4 without options or over IPv6 without extension
headers, no fragments, with lengths that agree, whole or cut by the snap length behind their
fixed headers. Exactly these are, after `read_packet`, what `handle_packet` takes a flow key of:

- The length field is at least that of the fixed headers, so `read_packet` trusts it if the frame
  was that long on the wire. If it was captured so far too, the packet is whole, and its length is
  that of the field.
- If it was cut, but behind the fixed headers, `read_packet` fills it up with zeros, since a plain
  packet of that length is well formed whatever its payload. It is no ICMP error.
- The bits of a fragment, the first byte and the protocol are compared as `handle_packet` does.

All other packets are read one by one.

All that is looked at of a packet is copied out of the data first, in one go of 7 ns: its way to
the frame in memory is the dear part of it, and every field is then 0.7 ns away.
"""

from typing import Any, Final

import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray

from firezone_filter.capture.frames import Frames
from firezone_filter.packet.numbers import IPV6_HEADER, TCP, UDP
from firezone_filter.replay.columns.links import view_at_any

_MOST: Final = 44
"""The bytes of a packet that are looked at: an IPv6 header and two ports."""

# Addresses and ports are but compared, so their bytes are read in the order that is cheapest.
_FIRST = np.dtype({"names": ["first"], "formats": ["u1"], "offsets": [0], "itemsize": _MOST})
_IPV4 = np.dtype(
    {
        "names": ["length", "fragment", "protocol", "addresses", "ports"],
        "formats": [">u2", "<u2", "u1", "<u8", "<u4"],
        "offsets": [2, 6, 9, 12, 20],
        "itemsize": _MOST,
    }
)
_IPV6 = np.dtype(
    {
        "names": ["length", "protocol", "a", "b", "c", "d", "ports"],
        "formats": [">u2", "u1", "<u8", "<u8", "<u8", "<u8", "<u4"],
        "offsets": [4, 6, 8, 16, 24, 32, 40],
        "itemsize": _MOST,
    }
)
_FRAGMENT_BITS: Final = 0xFF3F  # 0x3FFF, the first byte being the lowest
_NO_OPTIONS: Final = 0x45

Words = tuple[NDArray[np.uint64], ...]


@frozen(eq=False)
class PlainPackets:
    """The plain packets of one IP version among the packets of a chunk."""

    version: int
    """4 or 6."""

    rows: NDArray[np.int64]
    """The indices of their frames in the chunk, ascending."""

    lengths: NDArray[np.int64]
    """Their lengths on the wire."""

    is_cut: NDArray[np.bool_] = field(repr=False)
    """Whether the snap length cut them."""

    key: Words = field(repr=False)
    """The 5-tuple: the addresses as they stand in the packet, in words, and a last word with
    the ports in its lower half and the protocol above."""


def read_plain(frames: Frames, places: NDArray[np.int64]) -> list[PlainPackets]:
    """Find the plain packets among those that begin at *places* in the data of *frames*."""
    windows = view_at_any(frames.data, f"V{_MOST}")
    # What begins too near to the end of the data is read one by one, as is what has no place.
    is_within = (places >= 0) & (places < len(windows))
    if is_within.all():
        return _read(windows[places], frames, places, None)
    rows = np.flatnonzero(is_within)
    return _read(windows[places[rows]], frames, places, rows)


def five_tuple_words(
    data: NDArray[np.uint8], places: NDArray[np.int64]
) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    """Return what the 5-tuples of plain packets are, in words, and which are of IPv6.

    Returns:
        Rows with both words of the source address, both of the destination address (the second
        is 0 of IPv4), and the last word of the key.
    """
    bytes_ = view_at_any(data, f"V{_MOST}")[places]
    is_ipv6 = bytes_.view(_FIRST)["first"] != _NO_OPTIONS
    words = np.zeros((5, len(places)), dtype=np.uint64)
    fields = bytes_[~is_ipv6].view(_IPV4)
    addresses = fields["addresses"]
    of_ipv4 = np.zeros((5, len(fields)), dtype=np.uint64)
    of_ipv4[0], of_ipv4[2] = addresses & np.uint64(0xFFFF_FFFF), addresses >> np.uint64(32)
    of_ipv4[4] = _last_word(fields, fields["protocol"])
    words[:, ~is_ipv6] = of_ipv4
    fields = bytes_[is_ipv6].view(_IPV6)
    words[:, is_ipv6] = (
        *(fields[name] for name in ("a", "b", "c", "d")),
        _last_word(fields, fields["protocol"]),
    )
    return words, is_ipv6


def _read(
    bytes_: NDArray[Any], frames: Frames, places: NDArray[np.int64], rows: NDArray[np.int64] | None
) -> list[PlainPackets]:
    """Read packets of which the first *bytes_* are given, of all frames or those of *rows*."""
    found = []
    first = bytes_.view(_FIRST)["first"]
    is_ipv4 = first == _NO_OPTIONS
    is_ipv6 = None if is_ipv4.all() else (first & 0xF0) == 0x60  # noqa: PLR2004 - IP version 6
    for version, of_version in ((4, is_ipv4), (6, is_ipv6)):
        if of_version is None or not of_version.any():
            continue
        if of_version.all():
            of_rows, picked = rows, bytes_
        else:
            indices = np.flatnonzero(of_version)
            of_rows, picked = (indices if rows is None else rows[indices]), bytes_[indices]
        read = _ipv4 if version == 4 else _ipv6  # noqa: PLR2004 - IP version
        found.append(read(picked, frames, places, of_rows))
    return found


def _ipv4(
    bytes_: NDArray[Any], frames: Frames, places: NDArray[np.int64], rows: NDArray[np.int64] | None
) -> PlainPackets:
    fields = bytes_.view(_IPV4)
    protocols = fields["protocol"]
    lengths = fields["length"].astype(np.int64)
    least = np.where(protocols == TCP, 40, 28)
    is_plain = (protocols == TCP) | (protocols == UDP)
    is_plain &= (fields["fragment"] & _FRAGMENT_BITS) == 0
    key = fields["addresses"].copy(), _last_word(fields, protocols)
    return _plain(4, frames, places, rows, lengths, least, is_plain, key)


def _ipv6(
    bytes_: NDArray[Any], frames: Frames, places: NDArray[np.int64], rows: NDArray[np.int64] | None
) -> PlainPackets:
    fields = bytes_.view(_IPV6)
    protocols = fields["protocol"]
    lengths = fields["length"].astype(np.int64) + IPV6_HEADER
    least = np.where(protocols == TCP, 60, 48)
    is_plain = (protocols == TCP) | (protocols == UDP)
    addresses = (fields[name].copy() for name in ("a", "b", "c", "d"))
    key = (*addresses, _last_word(fields, protocols))
    return _plain(6, frames, places, rows, lengths, least, is_plain, key)


def _last_word(fields: NDArray[Any], protocols: NDArray[np.uint8]) -> NDArray[np.uint64]:
    word = protocols.astype(np.uint64)
    word <<= np.uint64(32)
    word |= fields["ports"]
    return word


def _plain(  # noqa: PLR0913, PLR0917 - all that tells a plain packet
    version: int,
    frames: Frames,
    places: NDArray[np.int64],
    rows: NDArray[np.int64] | None,
    lengths: NDArray[np.int64],
    least: NDArray[np.int64],
    is_plain: NDArray[np.bool_],
    key: Words,
) -> PlainPackets:
    if rows is None:
        before, captured, wire = places - frames.starts, frames.captured, frames.wire
        rows = np.arange(len(places))
    else:
        before = places[rows] - frames.starts[rows]
        captured, wire = frames.captured[rows], frames.wire[rows]
    there = captured - before
    is_cut = lengths > there
    is_plain &= (lengths >= least) & (there >= least)
    if is_cut.any():
        is_plain &= ~is_cut | (lengths <= wire - before)
    if not is_plain.all():
        kept = np.flatnonzero(is_plain)
        rows, lengths, is_cut = rows[kept], lengths[kept], is_cut[kept]
        key = tuple(word[kept] for word in key)
    return PlainPackets(version, rows, lengths, is_cut, key)
