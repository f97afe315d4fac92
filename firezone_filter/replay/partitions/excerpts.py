"""Excerpts of frames: as much of each as matters."""

from typing import Final

import numpy as np
from attrs import evolve
from numpy.typing import NDArray

from firezone_filter.capture.frames import Frames
from firezone_filter.compiled.twins import compiled
from firezone_filter.replay.columns.links import view_at_any

_MANY: Final = 64
"""So many frames of one size are copied faster together than one by one."""


def excerpt(frames: Frames, sizes: NDArray[np.int64]) -> Frames:
    """Return *frames* with so many bytes of each; behind them anything may stand."""
    # Nobody reads what frames claim beyond that, but there has to be something to be read.
    claimed = int((frames.captured - sizes).max(initial=0))
    room = np.zeros(int(sizes.sum()) + claimed, np.uint8)
    starts = np.empty(len(frames), np.int64)
    copy_frames(frames, sizes, room, starts)
    return evolve(frames, data=room, starts=starts)


@compiled
def copy_frames(
    frames: Frames, sizes: NDArray[np.int64], room: NDArray[np.uint8], places: NDArray[np.int64]
) -> None:
    """Copy bytes of frames, one behind the other.

    Args:
        frames: The frames.
        sizes: How many bytes of each.
        room: Receives the bytes.
        places: Receives where those of each frame begin there.

    Raises:
        ValueError: There is no room for them.
    """
    ends = sizes.cumsum()
    if len(ends) and ends[-1] > len(room):
        raise ValueError("there is no room for the frames")
    places[:] = ends - sizes
    present, place, counts = np.unique(sizes, return_inverse=True, return_counts=True)
    for index in np.flatnonzero((counts >= _MANY) & (present > 0)).tolist():
        rows = np.flatnonzero(place == index)
        kind = f"V{present[index]}"
        view_at_any(room, kind)[places[rows]] = view_at_any(frames.data, kind)[frames.starts[rows]]
    rows = np.flatnonzero(counts[place] < _MANY)
    for start, size, to in zip(
        frames.starts[rows].tolist(), sizes[rows].tolist(), places[rows].tolist(), strict=True
    ):
        room[to : to + size] = frames.data[start : start + size]
