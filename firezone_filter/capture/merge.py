"""Merges captures by time, as `mergecap` does, in chunks.

Theory of operation. Of the next frames of all captures the earliest comes first, and of two at
one time that of the earlier capture. A frame that is earlier than one before it in its capture
therefore follows that at once: its *key* is the latest time so far in its capture, and the merged
order is that of keys, then of captures. Keys only grow, so chunks are merged like sorted lists:
everything up to the first end of a chunk that is loaded can be passed on.

A capture is opened only when its first frame is due: of files that follow each other in time, as
`tcpdump -C` and `-G` write them, one is open, and its chunks are passed on as they are.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final, Literal, Protocol

import numpy as np
from attrs import define, evolve, field
from numpy.typing import NDArray

from firezone_filter.capture.frames import (
    CHUNK_BYTES,
    CHUNK_FRAMES,
    LEAST_NS,
    MOST_NS,
    Frames,
    chosen,
    joined,
    sliced,
)

_LEAST_BYTES: Final = 1 << 16
_ALL_BYTES: Final = 8 * CHUNK_BYTES
"""What the chunks of all captures may hold together, while none holds less than 64 KiB."""

_NEVER: Final = (MOST_NS + 1, 0)

_Keys = NDArray[np.int64]


class Mergeable(Protocol):
    """A capture, as far as merging needs to know it."""

    @property
    def first_ns(self) -> int | None:
        """The time of its first frame; `None` if that is not known before it is read."""

    def chunks(self, size: Callable[[], int]) -> Iterator[Frames]:
        """Yield its frames in chunks, each of about so many bytes as *size* returns then."""


@define(eq=False)
class _Loaded:
    """A capture that is being read, with the rest of its last chunk."""

    place: int
    """Which capture it is."""

    _chunks: Iterator[Frames]
    frames: Frames = field(init=False)
    keys: _Keys = field(init=False)
    at: int = field(init=False, default=0)
    """The first frame of `frames` that was not passed on."""

    _latest: int = field(init=False, default=LEAST_NS)

    def load(self) -> bool:
        """Read the next chunk; return `False` if there is none."""
        for frames in self._chunks:
            self.frames, self.at = frames, 0
            self.keys = np.maximum(np.maximum.accumulate(frames.time_ns), self._latest)
            self._latest = int(self.keys[-1])
            return True
        return False

    @property
    def end(self) -> tuple[int, int]:
        """The last key of the chunk, and the place: no later frame is in order before it."""
        return self._latest, self.place

    def take(self, end: tuple[int, int]) -> tuple[Frames, _Keys]:
        """Return the frames up to *end* that were not passed on, with their keys."""
        side: Literal["left", "right"] = "right" if self.place <= end[1] else "left"
        first = self.at
        self.at = first + int(np.searchsorted(self.keys[first:], end[0], side=side))
        return sliced(self.frames, first, self.at), self.keys[first : self.at]


def merged(captures: Sequence[Mergeable]) -> Iterator[Frames]:
    """Yield the frames of all *captures* in order, numbered from 1.

    Raises:
        Exception: Whatever their `chunks` raise.
    """
    number = 1
    for frames in _merged(captures):
        yield evolve(frames, first_number=number)
        number += len(frames)


def _merged(captures: Sequence[Mergeable]) -> Iterator[Frames]:
    if len(captures) == 1:
        yield from captures[0].chunks(lambda: CHUNK_BYTES)
        return
    # Those that are not open yet, the next one last; an unknown time has to be found out.
    waiting = sorted(
        (
            (LEAST_NS if capture.first_ns is None else capture.first_ns, place)
            for place, capture in enumerate(captures)
        ),
        reverse=True,
    )
    loaded: list[_Loaded] = []

    def share() -> int:
        return max(min(CHUNK_BYTES, _ALL_BYTES // max(len(loaded), 1)), _LEAST_BYTES)

    while waiting or loaded:
        end = min((each.end for each in loaded), default=_NEVER)
        if waiting and waiting[-1] <= end:
            place = waiting.pop()[1]
            opened = _Loaded(place, captures[place].chunks(share))
            if opened.load():
                loaded.append(opened)
            continue
        yield from _passed_on(loaded, end)
        loaded = [each for each in loaded if each.at < len(each.frames) or each.load()]


def _passed_on(loaded: list[_Loaded], end: tuple[int, int]) -> Iterator[Frames]:
    """Yield the frames up to *end*, with those of one capture as they are."""
    parts = [
        part
        for each in sorted(loaded, key=lambda each: each.place)
        if len((part := each.take(end))[0])
    ]
    if len(parts) == 1:
        yield parts[0][0]
        return
    together = joined([frames for frames, _ in parts])
    # Stable: frames with the same key stay in order of their captures, and within each.
    order = np.argsort(np.concatenate([keys for _, keys in parts]), kind="stable")
    for first in range(0, len(order), CHUNK_FRAMES):
        yield chosen(together, order[first : first + CHUNK_FRAMES])
