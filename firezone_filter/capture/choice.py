"""What is chosen of the frames of captures: by time, by a filter, the first so many."""

from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import Final

import numpy as np
from attrs import define, evolve, frozen
from numpy.typing import NDArray

from firezone_filter.capture.frames import LEAST_NS, MOST_NS, Frames, chosen, sliced
from firezone_filter.capture.packet_filter import PacketFilter
from firezone_filter.capture.stream import NS_PER_S

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@frozen(kw_only=True)
class FrameSelection:
    """Which frames of captures somebody asks for."""

    since_ns: int | None = None
    """The first nanosecond of Unix time that fits."""

    until_ns: int | None = None
    """The first that does not."""

    count: int | None = None
    """How many frames at most: the first that fit otherwise."""

    filter: str | None = None
    """What they have to match, in tcpdump's language."""

    def __attrs_post_init__(self) -> None:
        """Raise a `ValueError` if *count* is negative."""
        if self.count is not None and self.count < 0:
            raise ValueError(f"count must not be negative: {self.count}")

    @classmethod
    def of(
        cls,
        since: datetime | float | None,
        until: datetime | float | None,
        count: int | None,
        text: str | None,
    ) -> "FrameSelection":
        """Return the selection with times in seconds, or with zones.

        Raises:
            ValueError: A time has no zone or is no number, or *count* is negative.
        """
        return cls(
            since_ns=None if since is None else to_ns(since),
            until_ns=None if until is None else to_ns(until),
            count=count,
            filter=text,
        )

    def choice(self) -> "Choice":
        """Return what chooses the frames, in one pass.

        Raises:
            MissingExtraError: The extra for the filter is missing.
        """
        packet_filter = None if self.filter is None else PacketFilter(self.filter)
        return Choice(self.since_ns, self.until_ns, self.count, packet_filter)


ALL: Final = FrameSelection()


def to_ns(time: datetime | float) -> int:
    """Return nanoseconds of Unix time, for seconds of it or a time with a zone.

    Raises:
        ValueError: It has no zone, or is no finite number.
    """
    if isinstance(time, datetime):
        if time.utcoffset() is None:
            raise ValueError(f"a time without a zone: {time}")
        return (time - _EPOCH) // timedelta(microseconds=1) * 1_000
    if isinstance(time, int):
        return time * NS_PER_S
    if not isfinite(time):
        raise ValueError(f"not a time: {time}")
    return round(time * NS_PER_S)


@define(eq=False)
class Choice:
    """Chooses frames, and counts them."""

    since_ns: int | None
    until_ns: int | None

    left: int | None
    """How many more frames to choose; `None` for all."""

    packet_filter: PacketFilter | None

    def is_done(self) -> bool:
        """Whether nothing more will be chosen."""
        return self.left == 0

    def of(self, frames: Frames) -> Frames:
        """Return what is chosen of *frames*, with the numbers that they have."""
        fits = np.ones(len(frames), np.bool_)
        if self.since_ns is not None:
            fits &= _not_before(frames, self.since_ns)
        if self.until_ns is not None:
            fits &= ~_not_before(frames, self.until_ns)
        if self.packet_filter is not None and fits.any():
            candidates = np.flatnonzero(fits)
            fits[candidates] = self.packet_filter.fitting(chosen(frames, candidates))
        if not fits.all():
            which = np.flatnonzero(fits)
            numbers = frames.numbers[which]
            first = int(numbers[0]) if len(numbers) else 1
            frames = evolve(chosen(frames, which), first_number=first, kept_numbers=numbers)
        if self.left is not None:
            frames = sliced(frames, 0, self.left)
            self.left -= len(frames)
        return frames


def _not_before(frames: Frames, time_ns: int) -> NDArray[np.bool_]:
    return frames.time_ns >= min(max(time_ns, LEAST_NS), MOST_NS)
