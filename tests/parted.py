"""Replays in parts of whatever yields frames, and partitions in this process."""

from collections.abc import Callable, Iterable, Sequence

from firezone_filter.capture.frames import Frames
from firezone_filter.policy import Policy
from firezone_filter.replay.engine import steps
from firezone_filter.replay.partitions.part import Part
from firezone_filter.replay.partitions.piece import Answer, End, Order, Piece, Share
from firezone_filter.replay.partitions.run import PartedReplay
from firezone_filter.replay.partitions.team import Team
from firezone_filter.replay.sinks import FlowSink, Writer
from firezone_filter.report.data import ReportData


def replay_in_parts(  # noqa: PLR0913 - all that a replay has
    read: Callable[[], Iterable[Frames]],
    policy: Policy,
    team: Team,
    partitions: int,
    *,
    writers: Sequence[Writer] = (),
    flows: FlowSink | None = None,
    report: ReportData | None = None,
) -> PartedReplay:
    engine = PartedReplay(
        policy, team, partitions, read, writers=writers, flows=flows, report=report
    )
    for _ in steps(engine, read()):
        pass
    return engine


class HereTeam:
    """All partitions in this process."""

    def settle(self, number: int, order: Order) -> "HereHome":  # noqa: ARG002 - all are here
        """Begin a partition."""
        return HereHome(order)

    def close(self) -> None:
        """Do nothing: what is here goes with its references."""


class HereHome:
    """A partition in this process."""

    def __init__(self, order: Order) -> None:
        self._part = Part(order)
        self._answers: list[Answer] = []

    def send(self, piece: Piece) -> None:
        """Decide at once."""
        self._answers.append(self._part.take(piece))

    def answer(self) -> Answer:
        """Return the earliest answer."""
        return self._answers.pop(0)

    def finish(self, end: End) -> Share:
        """Return the counts."""
        return self._part.finish(end)

    def leave(self) -> None:
        """Do nothing."""
