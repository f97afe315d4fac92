"""Walks the headers of frames that are in memory: the inner loop of reading in chunks.

Both functions fill the columns of an array, one for each frame, from *filled* on. They stop at
whatever is not the common case: the end of the bytes, a frame that is not whole or claims too
much, a block of another kind. What that is, the readers of single records find out.
"""

import struct
from contextlib import suppress
from typing import Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from firezone_filter.capture.formats import ENHANCED_PACKET_BLOCK, MAX_PACKET
from firezone_filter.capture.pcapng import MAX_BLOCK
from firezone_filter.compiled.twins import compiled

START, CAPTURED, WIRE, TIME, INTERFACE = range(5)
"""The rows. Times of pcapng are ticks of the interface, unsigned; pcap has no interface."""

_NS_PER_S: Final = 1_000_000_000
_CAPTURED_AT: Final = 8
_PCAP_FIELDS: Final = 16
_BLOCK_HEADER: Final = 28
_BLOCK_LEAST: Final = 32
_LENGTH: Final = 4
_LENGTHS: Final = (struct.Struct("<I").unpack_from, struct.Struct(">I").unpack_from)
_BLOCKS: Final = (struct.Struct("<II").unpack_from, struct.Struct(">II").unpack_from)
_WORDS: Final = (np.dtype("<u4"), np.dtype(">u4"))


def _check(
    data: NDArray[np.uint8], at: int, end: int, rows: NDArray[np.int64], filled: int
) -> None:
    if not (0 <= at <= end <= len(data) and 0 <= filled <= rows.shape[1]):
        raise ValueError("there are not so many bytes or frames")


@compiled
def walk_pcap(  # noqa: PLR0913, PLR0917 - the loop of the inner loop
    data: NDArray[np.uint8],
    at: int,
    end: int,
    rows: NDArray[np.int64],
    filled: int,
    header: int,
    is_big_endian: bool,  # noqa: FBT001
    ns_per_tick: int,
) -> tuple[int, int]:
    """Walk the packets of a pcap from *at* on, whose packet headers have *header* bytes.

    Returns:
        How many columns are filled now, and where the next packet header begins.
    """
    _check(data, at, end, rows, filled)
    view, length, place = data[:end].data, _LENGTHS[is_big_endian], at + _CAPTURED_AT
    places: list[int] = []
    add = places.append
    # As little as possible for each: whatever is wrong with the last ones is found below.
    with suppress(struct.error):
        for _ in range(rows.shape[1] - filled):
            add(place)
            place += header + length(view, place)[0]
    heads = np.array(places, np.int64) - _CAPTURED_AT
    heads = heads[: int(np.searchsorted(heads, end - header, side="right"))]
    words = _words(data, heads, _PCAP_FIELDS, is_big_endian)
    starts, captured = heads + header, words[:, 2].astype(np.int64)
    good = _good((captured <= MAX_PACKET) & (captured <= end - starts))
    if good:
        out, words = rows[:, filled : filled + good], words[:good]
        out[START], out[CAPTURED], out[WIRE] = starts[:good], captured[:good], words[:, 3]
        out[TIME] = words[:, 0]
        out[TIME] *= _NS_PER_S
        out[TIME] += words[:, 1] * np.int64(ns_per_tick)
        at = int(starts[good - 1] + captured[good - 1])
    return filled + good, at


@compiled
def walk_pcapng(  # noqa: PLR0913, PLR0917 - as above
    data: NDArray[np.uint8],
    at: int,
    end: int,
    rows: NDArray[np.int64],
    filled: int,
    is_big_endian: bool,  # noqa: FBT001
    interfaces: int,
) -> tuple[int, int]:
    """Walk enhanced packet blocks from *at* on, of the first so many *interfaces*.

    Returns:
        How many columns are filled now, and where the next block begins.
    """
    _check(data, at, end, rows, filled)
    view, kind_and_size = data.data, _BLOCKS[is_big_endian]
    heads: list[int] = []
    add = heads.append
    with suppress(struct.error):
        for _ in range(rows.shape[1] - filled):
            kind, size = kind_and_size(view, at)
            following = at + size
            if kind != ENHANCED_PACKET_BLOCK or size < _BLOCK_LEAST or following > end:
                break
            add(at)
            at = following
    if not heads:
        return filled, at
    starts = np.array(heads, np.int64)
    words = _words(data, starts, _BLOCK_HEADER, is_big_endian)
    sizes, captured = words[:, 1].astype(np.int64), words[:, 5].astype(np.int64)
    repeated = _words(data, starts + sizes - _LENGTH, _LENGTH, is_big_endian)[:, 0]
    good = _good(
        (sizes % 4 == 0)
        & (sizes <= MAX_BLOCK)
        & (repeated == sizes)
        & (captured <= np.minimum(sizes - _BLOCK_LEAST, MAX_PACKET))
        & (words[:, 2] < interfaces)
    )
    out, words = rows[:, filled : filled + good], words[:good]
    out[START] = starts[:good] + _BLOCK_HEADER
    out[CAPTURED], out[WIRE], out[INTERFACE] = captured[:good], words[:, 6], words[:, 2]
    out[TIME].view(np.uint64)[:] = words[:, 3].astype(np.uint64) << np.uint64(32) | words[:, 4]
    return filled + good, at if good == len(heads) else heads[good]


def _words(
    data: NDArray[np.uint8],
    starts: NDArray[np.int64],
    size: int,
    is_big_endian: bool,  # noqa: FBT001
) -> NDArray[np.uint32]:
    """Return the numbers in so many bytes behind each of *starts*, a row for each."""
    if not len(starts):
        return np.empty((0, size // _LENGTH), np.uint32)
    return sliding_window_view(data, size)[starts].view(_WORDS[is_big_endian])


def _good(checks: NDArray[np.bool_]) -> int:
    """Return how many are good before the first that is not."""
    return len(checks) if checks.all() else int(checks.argmin())
