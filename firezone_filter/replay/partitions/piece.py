"""What the reader and partitions say to each other; all of it can be sent to other machines."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from attrs import evolve, frozen
from numpy.typing import NDArray

from firezone_filter.capture.frames import Frames, joined
from firezone_filter.policy import Policy
from firezone_filter.replay.partitions.appearances import Appearances
from firezone_filter.replay.partitions.rendering import ColumnRenderer, Renderer
from firezone_filter.replay.summary import Summary
from firezone_filter.report.data import ReportData
from firezone_filter.values.events import FlowEvent

Reported = tuple[tuple[float, int, float], FlowEvent]
"""A moment, by which the events of all partitions are sorted, and an event."""


@frozen
class Order:
    """What a partition has to know before its first packet."""

    policy: Policy
    """All of it, in every partition: which clients are whose is settled as they appear."""

    start_ns: int
    """The time with which the capture begins."""

    renderers: tuple[type[Renderer | ColumnRenderer], ...] = ()
    """What to make of packets."""

    by_columns: bool = True
    """Whether to decide by columns, of which the renderers make something then."""

    flows: bool = False
    """Whether to record flows."""

    report: bool = False
    """Whether to count for a report."""


@frozen(eq=False)
class Piece:
    """The frames of one partition in one chunk, in order."""

    chunk: int
    """The number of the chunk, from 0. A partition gets a piece of each, also an empty one."""

    frames: Frames
    """The frames. Of some there are only the headers: what stands behind these in the data is
    not theirs, and nothing depends on it."""

    now_ns: NDArray[np.int64]
    """The settled times."""

    is_odd: NDArray[np.bool_] | None
    """Which of the frames have a time stamp that cannot be right; `None` if none of them has."""

    end_ns: int
    """The settled time of the last frame of the chunk."""

    clock_set_ns: int | None = None
    """To which time the first frame of the chunk has set the clock, if it has."""

    def __len__(self) -> int:
        return len(self.frames)


def together(pieces: Sequence[Piece]) -> Piece:
    """Return pieces of one partition that follow each other as one; the first may set a clock."""
    if len(pieces) == 1:
        return pieces[0]
    filled = [piece.frames for piece in pieces if len(piece)]
    frames = pieces[0].frames
    if filled:
        numbers = np.concatenate([each.numbers for each in filled])
        frames = evolve(joined(filled), kept_numbers=numbers)
    is_odd = None
    if any(piece.is_odd is not None for piece in pieces):
        is_odd = np.concatenate(
            [
                np.zeros(len(piece), np.bool_) if piece.is_odd is None else piece.is_odd
                for piece in pieces
            ]
        )
    return evolve(
        pieces[0],
        frames=frames,
        now_ns=np.concatenate([piece.now_ns for piece in pieces]),
        is_odd=is_odd,
        end_ns=pieces[-1].end_ns,
    )


@frozen
class Answer:
    """What a partition returns for a piece."""

    chunk: int
    """The number of the chunk."""

    made: list[Any]
    """What each of `Order.renderers` has made."""

    flow_events: list[Reported]
    """Events of flow records, in order."""

    sessions: int = 0
    """NAT sessions behind the piece."""

    flows: int = 0
    """Flows of `stateful` behind the piece."""


@frozen
class End:
    """What a partition has to know when the capture is over."""

    chunks: int
    """How many chunks there were."""

    last_ns: int
    """The settled time of the last frame."""


@frozen
class Share:
    """The counts of a partition, when the capture is over."""

    summary: Summary
    """Its counts."""

    appearances: Appearances
    """When what it counts has appeared first."""

    flow_events: list[Reported]
    """The last events of flow records."""

    report: ReportData | None = None
    """What it counted for a report, if there is to be one."""
