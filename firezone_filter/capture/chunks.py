"""Reads one capture in chunks: the same records as one by one, as columns.

A walk over the headers takes whatever is common in one go. What stops it goes to the reader of
single records, which takes it or says what is wrong with it, so both say the same.
"""

from collections.abc import Callable, Iterator
from typing import Final, cast

import numpy as np
from attrs import define, field
from numpy.typing import NDArray

from firezone_filter.capture import formats
from firezone_filter.capture.damage import DamagedCaptureError, UnreadableCaptureError
from firezone_filter.capture.frames import CHUNK_BYTES, CHUNK_FRAMES, MOST_NS, Frames, clamped
from firezone_filter.capture.interface import Interface
from firezone_filter.capture.pcap import Pcap
from firezone_filter.capture.pcapng import MAX_BLOCK, Pcapng, TimedInterface
from firezone_filter.capture.stream import NS_PER_S, ByteStream, Record
from firezone_filter.capture.walk import (
    CAPTURED,
    INTERFACE,
    START,
    TIME,
    WIRE,
    walk_pcap,
    walk_pcapng,
)
from firezone_filter.capture.window import Window

_FULL: Final = 2  # a chunk is copied from its scratch array unless it fills half of that


def chunks(
    stream: ByteStream, reader: Pcap | Pcapng, size: Callable[[], int] | None = None
) -> Iterator[Frames]:
    """Yield what *reader* has not read yet of *stream* (see `Capture.chunks`)."""
    sized = size or (lambda: CHUNK_BYTES)
    window = Window(stream, sized())
    reader.read_ahead(window)
    pieces = _Pieces(window)
    for piece in _pcap(reader, pieces) if isinstance(reader, Pcap) else _pcapng(reader, pieces):
        yield piece
        window.size = sized()


@define(eq=False)
class _Pieces:
    """The columns of a chunk that is being filled."""

    window: Window
    rows: NDArray[np.int64] = field(init=False)
    filled: int = field(init=False, default=0)
    _places: dict[Interface, int] = field(init=False, factory=dict)
    _first_number: int = field(init=False, default=1)

    def __attrs_post_init__(self) -> None:
        self.rows = self._new_rows()

    @property
    def is_full(self) -> bool:
        return self.filled == CHUNK_FRAMES

    def place(self, interface: Interface) -> int:
        """Return the index of *interface* among those of the chunk."""
        return self._places.setdefault(interface, len(self._places))

    def taken(self) -> Iterator[Frames]:
        """Yield the chunk, if there is anything in it, and begin another."""
        if not self.filled:
            return
        rows = self.rows[:, : self.filled]
        if self.filled * _FULL < CHUNK_FRAMES:
            rows = rows.copy()
        else:
            self.rows = self._new_rows()
        interfaces = tuple(self._places)
        interface: int | NDArray[np.int32] = 0
        link_type: int | NDArray[np.int32] = interfaces[0].link_type
        if len(interfaces) > 1:
            interface = rows[INTERFACE].astype(np.int32)
            link_types = np.array([each.link_type for each in interfaces], np.int32)
            if (link_types != link_type).any():
                link_type = link_types[interface]
        frames = Frames(
            data=self.window.data,
            starts=rows[START],
            captured=rows[CAPTURED],
            wire=rows[WIRE],
            time_ns=rows[TIME],
            link_type=link_type,
            first_number=self._first_number,
            interfaces=interfaces,
            interface=interface,
        )
        self._places.clear()
        self._first_number += self.filled
        self.filled = 0
        yield frames

    @staticmethod
    def _new_rows() -> NDArray[np.int64]:
        return np.empty((5, CHUNK_FRAMES), np.int64)


def _pcap(reader: Pcap, pieces: _Pieces) -> Iterator[Frames]:
    window, kind = pieces.window, reader.format
    while True:
        pieces.filled, window.at = walk_pcap(
            window.data,
            window.at,
            window.end,
            pieces.rows,
            0,
            kind.packet_header.size,
            kind.is_big_endian,
            kind.ns_per_tick,
        )
        pieces.place(reader.interface)
        is_full = pieces.is_full
        yield from pieces.taken()
        if not is_full and (_claims_too_much(reader, window) or not window.refill()):
            break
    # Nothing is left, or the reader says what is wrong with that: whole records were walked.
    next(reader.records(), None)


def _claims_too_much(reader: Pcap, window: Window) -> bool:
    layout = reader.format.packet_header
    if window.end - window.at < layout.size:
        return False
    return int(layout.unpack_from(window.data.data, window.at)[2]) > formats.MAX_PACKET


def _pcapng(reader: Pcapng, pieces: _Pieces) -> Iterator[Frames]:
    window = pieces.window
    while True:
        _walk(reader, pieces)
        if pieces.is_full:
            yield from pieces.taken()
            continue
        whole = _next_is_whole(reader, window)
        if not whole:
            # What has come by now is passed on before more is waited for.
            yield from pieces.taken()
            if whole is False and window.refill():
                continue
        try:
            block = reader.next_block()
        except (DamagedCaptureError, UnreadableCaptureError):
            yield from pieces.taken()
            raise
        if block is None:
            return
        if isinstance(block, Record):
            _add(block, reader, pieces)


def _next_is_whole(reader: Pcapng, window: Window) -> bool | None:
    """Tell whether the next block is in the window as a whole, or damaged.

    Returns:
        `None` for the header of a section: only its reader knows how long that is.
    """
    left = window.end - window.at
    layout = reader.format.block
    if left < layout.size:
        return False
    kind, length = layout.unpack_from(window.data.data, window.at)
    if kind == formats.SECTION_BLOCK:
        return None
    return bool(length <= left or length > MAX_BLOCK)


def _walk(reader: Pcapng, pieces: _Pieces) -> None:
    window, before = pieces.window, pieces.filled
    pieces.filled, window.at = walk_pcapng(
        window.data,
        window.at,
        window.end,
        pieces.rows,
        before,
        reader.format.is_big_endian,
        len(reader.interfaces),
    )
    if pieces.filled > before:
        _set_times(pieces.rows[:, before : pieces.filled], pieces, reader.interfaces)
        reader.time_ns = int(pieces.rows[TIME, pieces.filled - 1])


def _add(record: Record, reader: Pcapng, pieces: _Pieces) -> None:
    """Add the record of the block before the window's position, of an uncommon kind."""
    window = pieces.window
    pieces.rows[:, pieces.filled] = (
        window.at - reader.frame_before,
        len(record.frame),
        record.wire_length,
        clamped(record.time_ns),
        pieces.place(cast("Interface", record.interface)),
    )
    pieces.filled += 1


def _set_times(rows: NDArray[np.int64], pieces: _Pieces, interfaces: list[TimedInterface]) -> None:
    """Put times for ticks, and places in the chunk for the numbers of *interfaces*."""
    numbers = rows[INTERFACE].copy()
    for number in np.unique(numbers).tolist():
        which = numbers == number
        rows[TIME, which] = _times(rows[TIME, which].view(np.uint64), interfaces[number])
        rows[INTERFACE, which] = pieces.place(interfaces[number].described)


def _times(ticks: NDArray[np.uint64], interface: TimedInterface) -> NDArray[np.int64]:
    """Return nanoseconds of Unix time, clamped to 64 bits."""
    per_second, offset_ns = interface.ticks_per_second, interface.offset_ns
    factor, rest = divmod(NS_PER_S, per_second)
    most = int(ticks.max()) * max(factor, 1) + abs(offset_ns)
    if most <= MOST_NS and not rest:
        return ticks.astype(np.int64) * factor + offset_ns
    if most <= MOST_NS and per_second % NS_PER_S == 0:
        divisor = per_second // NS_PER_S
        return (ticks // np.uint64(min(divisor, (1 << 64) - 1))).astype(np.int64) + offset_ns
    # Powers of two, and times beyond all years.
    times = [clamped(interface.time_ns(tick)) for tick in ticks.tolist()]
    return np.array(times, np.int64)
