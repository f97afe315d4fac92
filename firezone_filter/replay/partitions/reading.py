"""Makes pieces of the chunks of a capture, in order: times settled, clients spread."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, cast

import numpy as np
from attrs import evolve

from firezone_filter.capture.frames import CHUNK_BYTES, Frames, chosen, joined, sliced
from firezone_filter.policy import Policy
from firezone_filter.replay.clock import WINDOW, CaptureClock, started_clock
from firezone_filter.replay.columns.times import Settled, first_right, settle
from firezone_filter.replay.errors import WorkersError
from firezone_filter.replay.partitions.cutting import Cutter
from firezone_filter.replay.partitions.permitting import Permitting
from firezone_filter.replay.partitions.piece import Piece, Share, together

FRAMES_AT_ONCE: Final = 1 << 14
"""So many frames for each partition are enough at a time."""

_FULL: Final = CHUNK_BYTES // 2
"""The captured bytes of a chunk behind which there is surely more."""


class PieceMaker:
    """Takes a capture from its beginning, and cuts it."""

    clock: CaptureClock | None
    """The clock; `None` as long as too few frames are there to begin it."""

    start_ns: int
    """The time with which the capture begins, from then on."""

    def __init__(
        self,
        policy: Policy,
        partitions: int,
        *,
        flows: bool,
        whole: bool,
        counts_alone: bool = False,
    ) -> None:
        """Begin before the first frame; see `Cutter`.

        With *counts_alone*, pieces are without packets that are known to be permitted, which are
        counted here (`share`).
        """
        self.clock = None
        self._policy = policy
        self._counts_alone = counts_alone
        self._permitting: Permitting | None = None
        self._cutter = Cutter(policy, partitions, flows=flows, whole=whole)
        self._waiting: list[Frames] = []
        self._chunks = 0
        self._most = partitions * FRAMES_AT_ONCE // (2 if counts_alone else 1)
        self._gathered: list[list[Piece]] = []

    def add(self, frames: Frames) -> Iterator[list[Piece]]:
        """Yield the pieces of each chunk that *frames* complete."""
        self._waiting.append(frames)
        if self.clock is not None or sum(map(len, self._waiting)) >= WINDOW:
            yield from self._cut_waiting()

    def rest(self) -> Iterator[list[Piece]]:
        """Yield the pieces of what waits for more, which will not come."""
        yield from self._cut_waiting()
        yield from self._taken()

    def _cut_waiting(self) -> Iterator[list[Piece]]:
        waiting = [frames for frames in self._waiting if len(frames)]
        self._waiting = []
        if self.clock is None and waiting:
            times = [time_ns for each in waiting for time_ns in each.time_ns[:WINDOW].tolist()]
            self.clock = started_clock(times[:WINDOW], self._policy)
            self.start_ns = self.clock.latest_ns
            if self._counts_alone:
                self._permitting = Permitting(self._policy, self.start_ns)
        for frames in waiting:
            yield from self._cut(frames)

    def _cut(self, frames: Frames) -> Iterator[list[Piece]]:
        clock = cast("CaptureClock", self.clock)
        right = 0 if clock.is_set else first_right(clock, frames.time_ns)
        for first, end in ((0, right), (right, len(frames))):
            if first < end:
                was_set = clock.is_set
                part = sliced(frames, first, end)
                settled = settle(clock, part.time_ns)
                # The clock is set between two frames, and so between two chunks.
                sets_clock = clock.is_set and not was_set
                if sets_clock:
                    yield from self._taken()
                latest_ns = settled.latest_ns
                end_ns, clock_set_ns = (
                    int(latest_ns[-1]),
                    int(latest_ns[0]) if sets_clock else None,
                )
                if self._permitting is not None:
                    part, settled = _left(self._permitting, part, settled, clock_set_ns)
                self._gathered.append(
                    self._cutter.cut(part, settled, self._chunks, end_ns, clock_set_ns)
                )
        count = sum(len(piece) for pieces in self._gathered for piece in pieces)
        if count >= self._most or int(frames.captured.sum()) < _FULL:
            yield from self._taken()

    def share(self) -> Share | None:
        """Return the counts of what is in no piece, when the capture is over."""
        return None if self._permitting is None else self._permitting.share()

    def _taken(self) -> Iterator[list[Piece]]:
        if self._gathered:
            self._chunks += 1
            yield [together(pieces) for pieces in zip(*self._gathered, strict=True)]
            self._gathered.clear()


def _left(
    permitting: Permitting, frames: Frames, settled: Settled, clock_set_ns: int | None
) -> tuple[Frames, Settled]:
    """Return what is not known to be permitted."""
    if clock_set_ns is not None:
        permitting.set_clock(clock_set_ns)
    rows = permitting.take(frames, settled)
    odd = settled.is_odd
    return (
        evolve(chosen(frames, rows), kept_numbers=frames.numbers[rows]),
        Settled(settled.latest_ns[rows], None if odd is None else odd[rows]),
    )


def chunks_again(chunks: Iterable[Frames], sizes: Sequence[int]) -> Iterator[Frames]:
    """Yield the frames of *chunks* in chunks of so many as *sizes* says, and no more.

    Raises:
        WorkersError: There are fewer.
        Exception: What *chunks* raise.
    """
    following = filter(len, chunks)
    rest: Frames | None = None
    for size in sizes:
        parts: list[Frames] = []
        missing = size
        while missing:
            # What is read may have grown, and come in other chunks.
            each = rest if rest is not None else next(following, None)
            if each is None:
                raise WorkersError("a worker was lost, and the capture cannot be read again")
            taken = min(missing, len(each))
            parts.append(sliced(each, 0, taken))
            rest = None if taken == len(each) else sliced(each, taken, len(each))
            missing -= taken
        yield parts[0] if len(parts) == 1 else _together(parts)


def _together(parts: Sequence[Frames]) -> Frames:
    return evolve(joined(parts), kept_numbers=np.concatenate([part.numbers for part in parts]))
