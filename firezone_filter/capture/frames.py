"""Frames of a capture in chunks, as columns: what whole captures are read and replayed in.

A chunk says of each frame what a `Record` says of one, in arrays of numpy: thousands of frames
cost little more than one. The bytes stay where they were read to; nothing is copied.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat
from typing import Final

import numpy as np
from attrs import evolve, field, frozen
from numpy.typing import NDArray

from firezone_filter.capture.interface import Interface
from firezone_filter.capture.stream import Record
from firezone_filter.structures.attribute_docs import documented

CHUNK_BYTES: Final = 8 << 20
"""The size of a chunk, in bytes of the capture; a single larger block is read all the same."""

CHUNK_FRAMES: Final = 1 << 16
"""The most frames of a chunk."""

LEAST_NS: Final = -(1 << 63)
MOST_NS: Final = (1 << 63) - 1


@documented
@frozen(eq=False)
class Frames:
    """Some thousands of frames that follow each other in a capture."""

    data: NDArray[np.uint8]
    """Bytes of the capture. Frame *i* is `data[starts[i]:starts[i] + captured[i]]`."""

    starts: NDArray[np.int64]
    """Where each frame begins in `data`: in any order, with any bytes between two frames."""

    captured: NDArray[np.int64]
    """How many bytes of each were captured."""

    wire: NDArray[np.int64]
    """How long each was on the wire, as the capture says: it may say less than `captured`."""

    time_ns: NDArray[np.int64]
    """Nanoseconds of Unix time, as the capture has them; if they have no 64 bits (the years 1677
    to 2262), the nearest that have."""

    link_type: int | NDArray[np.int32]
    """LINKTYPE number: one for all frames, or one each."""

    first_number: int
    """The number of the first frame in the capture, from 1."""

    interfaces: Sequence[Interface] = field(default=(), kw_only=True)
    """The interfaces on which they were captured; none if the capture does not say."""

    interface: int | NDArray[np.int32] = field(default=0, kw_only=True)
    """The index in `interfaces`: one for all frames, or one each."""

    kept_numbers: NDArray[np.int64] | None = field(default=None, kw_only=True)
    """The numbers of the frames if some between them were left out (`since`, `filter`, …);
    otherwise `None`, since they count up from `first_number`. Read `numbers` for both."""

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def numbers(self) -> NDArray[np.int64]:
        """The number of each frame in the capture."""
        if self.kept_numbers is not None:
            return self.kept_numbers
        return np.arange(self.first_number, self.first_number + len(self), dtype=np.int64)

    @property
    def link_types(self) -> NDArray[np.int32]:
        """The link type of each frame."""
        if isinstance(self.link_type, int):
            return np.full(len(self), self.link_type, dtype=np.int32)
        return self.link_type

    def records(self) -> Iterator[Record]:
        """Yield the frames one by one."""
        view = self.data.data
        rows = (self.starts, self.captured, self.wire, self.time_ns, self.link_types)
        columns = (row.tolist() for row in rows)
        for start, captured, wire, time_ns, link_type, interface in zip(
            *columns, self._interfaces(), strict=True
        ):
            frame = view[start : start + captured].tobytes()
            yield Record(time_ns, link_type, frame, wire, interface)

    def _interfaces(self) -> Iterable[Interface | None]:
        if not self.interfaces:
            return repeat(None, len(self))
        if isinstance(self.interface, int):
            return repeat(self.interfaces[self.interface], len(self))
        return map(self.interfaces.__getitem__, self.interface.tolist())


def clamped(time_ns: int) -> int:
    """Return the nearest time that has 64 bits."""
    return min(max(time_ns, LEAST_NS), MOST_NS)


def sliced(frames: Frames, first: int, end: int) -> Frames:
    """Return the frames from index *first* up to *end*, without copying bytes."""
    if first == 0 and end >= len(frames):
        return frames
    kept = frames.kept_numbers
    return evolve(
        chosen(frames, slice(first, end)),
        first_number=frames.first_number + first,
        kept_numbers=None if kept is None else kept[first:end],
    )


def chosen(frames: Frames, which: slice | NDArray[np.intp] | NDArray[np.bool_]) -> Frames:
    """Return the frames at *which* indexes, without copying bytes; their numbers are not kept."""
    link_type, interface = frames.link_type, frames.interface
    return Frames(
        data=frames.data,
        starts=frames.starts[which],
        captured=frames.captured[which],
        wire=frames.wire[which],
        time_ns=frames.time_ns[which],
        link_type=link_type if isinstance(link_type, int) else link_type[which],
        first_number=1,
        interfaces=frames.interfaces,
        interface=interface if isinstance(interface, int) else interface[which],
    )


def joined(parts: Sequence[Frames]) -> Frames:
    """Return the frames of all *parts* behind each other, numbered from 1; this copies bytes."""
    pieces, starts, size = [], [], 0
    for part in parts:
        first = int(part.starts.min())
        end = int((part.starts + part.captured).max())
        pieces.append(part.data[first:end])
        starts.append(part.starts + (size - first))
        size += end - first
    interfaces, interface = _joined_interfaces(parts)
    link_types = {part.link_type for part in parts if isinstance(part.link_type, int)}
    is_one = len(link_types) == 1 and all(isinstance(part.link_type, int) for part in parts)
    return Frames(
        data=np.concatenate(pieces),
        starts=np.concatenate(starts),
        captured=np.concatenate([part.captured for part in parts]),
        wire=np.concatenate([part.wire for part in parts]),
        time_ns=np.concatenate([part.time_ns for part in parts]),
        link_type=(
            link_types.pop() if is_one else np.concatenate([part.link_types for part in parts])
        ),
        first_number=1,
        interfaces=interfaces,
        interface=interface,
    )


def _joined_interfaces(
    parts: Sequence[Frames],
) -> tuple[Sequence[Interface], int | NDArray[np.int32]]:
    if not all(part.interfaces for part in parts):
        return (), 0
    # Captures of one kind have one interface that says nothing of its own.
    places: dict[Interface, int] = {}
    columns = []
    for part in parts:
        indexes = [places.setdefault(each, len(places)) for each in part.interfaces]
        columns.append(np.broadcast_to(np.array(indexes, np.int32)[part.interface], len(part)))
    return tuple(places), np.concatenate(columns) if len(places) > 1 else 0
