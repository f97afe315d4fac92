"""Begins replays in parts, for `--workers` and `--scheduler` and for programs alike."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Final

from attrs import frozen

from firezone_filter.capture.frames import Frames
from firezone_filter.policy import Policy
from firezone_filter.replay.partitions import MAX_WORKERS
from firezone_filter.replay.sinks import EventSink, FlowSink, Writer
from firezone_filter.report.data import ReportData

if TYPE_CHECKING:
    from firezone_filter.replay.partitions.dask_team import DaskTeam
    from firezone_filter.replay.partitions.processes import ProcessTeam
    from firezone_filter.replay.partitions.run import PartedReplay


@frozen
class Spread:
    """Where to decide."""

    workers: int | None = None
    """In so many processes of this machine; one is this process."""

    scheduler: str | None = None
    """On the workers of the Dask cluster of this address; then `workers` has to be `None`."""

    forks: bool = False
    """Whether the processes are copies of this one (see `ProcessTeam`)."""

    def __attrs_post_init__(self) -> None:
        """Check both.

        Raises:
            ValueError: they contradict each other, or there are too few or too many workers.
        """
        if self.workers is not None and self.scheduler is not None:
            raise ValueError("workers are of this machine, a scheduler of a cluster: give one")
        if self.workers is not None and not 1 <= self.workers <= MAX_WORKERS:
            raise ValueError(f"workers must be from 1 to {MAX_WORKERS}: {self.workers}")

    @property
    def is_here(self) -> bool:
        """Whether this process decides, alone."""
        return self.scheduler is None and self.workers in {None, 1}

    @contextmanager
    def engine(  # noqa: PLR0913, PLR0917 - all that a replay has
        self,
        policy: Policy,
        writers: Sequence[Writer],
        flows: FlowSink | None,
        events: EventSink | None,
        again: Callable[[], Iterable[Frames]],
        warn: Callable[[str], object],
        report: ReportData | None = None,
    ) -> "Iterator[PartedReplay]":
        """Give an engine with workers, which end with the context.

        Args:
            policy: see `PartedReplay`.
            writers: get all decided packets, in order.
            flows: see `PartedReplay`, as for the rest.
            events: likewise.
            again: likewise.
            warn: is told in the end what was odd about the workers, in a line each.
            report: see `PartedReplay`.

        Raises:
            WorkersError: there are no workers.
            MissingExtraError: Dask is not installed.
        """
        # Whoever spreads nothing does not wait for the import of what that takes.
        from firezone_filter.replay.partitions.run import PartedReplay  # noqa: PLC0415

        with closing(self._team()) as team:
            engine = PartedReplay(
                policy,
                team,
                team.places(),
                again,
                writers=writers,
                flows=flows,
                events=events,
                report=report,
            )
            yield engine
        for remark in _remarks(engine):
            warn(remark)

    def _team(self) -> "ProcessTeam | DaskTeam":
        if self.scheduler is None:
            from firezone_filter.replay.partitions.processes import ProcessTeam  # noqa: PLC0415

            return ProcessTeam(self.workers or 1, forks=self.forks)
        from firezone_filter.replay.partitions.dask_team import DaskTeam  # noqa: PLC0415

        return DaskTeam(self.scheduler)


HERE: Final = Spread()
"""In this process."""


def _remarks(engine: "PartedReplay") -> Iterator[str]:
    if engine.losses:
        yield f"workers were lost, and what they had decided was decided anew: {engine.losses}"
    if engine.over_limits:
        yield (
            "all clients together had more sessions than max_sessions, or more flows than "
            f"max_flows, behind {engine.over_limits:,} chunks; one process might have decided "
            "otherwise (clusters.md)"
        )
