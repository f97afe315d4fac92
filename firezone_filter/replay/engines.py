"""Which engine decides in a pass: whatever does has the same results."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext

from firezone_filter.capture.frames import Frames
from firezone_filter.policy import Policy
from firezone_filter.replay.columns.engine import ColumnReplay
from firezone_filter.replay.engine import Engine
from firezone_filter.replay.partitions.spread import Spread
from firezone_filter.replay.sinks import (
    ColumnWriter,
    DecisionSink,
    EventSink,
    FlowSink,
    Writer,
    to_all,
)
from firezone_filter.report.data import ReportData


def engine_for(
    policy: Policy,
    writers: Sequence[Writer] = (),
    flows: FlowSink | None = None,
    events: EventSink | None = None,
    report: ReportData | None = None,
) -> Engine:
    """Return an engine whose results *writers* and the others take (see `replay_packets`)."""
    takers: list[DecisionSink] = [
        writer.add_columns for writer in writers if isinstance(writer, ColumnWriter)
    ]
    if len(takers) < len(writers):
        from firezone_filter.replay.by_packet import PacketReplay  # noqa: PLC0415 - rarely needed

        return PacketReplay(policy, writers, flows, events=events, report=report)
    return ColumnReplay(policy, to_all(takers) if takers else None, flows, events, report)


def engine_over(  # noqa: PLR0913, PLR0917 - all that a replay has
    spread: Spread,
    policy: Policy,
    writers: Sequence[Writer] = (),
    flows: FlowSink | None = None,
    events: EventSink | None = None,
    report: ReportData | None = None,
    *,
    again: Callable[[], Iterable[Frames]],
    warn: Callable[[str], object],
) -> AbstractContextManager[Engine]:
    """Do as `engine_for`, with the engine spread over the workers of *spread*, if it names any.

    Args:
        spread: Where to decide.
        policy: The policy.
        writers: See `engine_for`, as for *flows* and *events*.
        flows: Likewise.
        events: Likewise.
        report: Likewise.
        again: Reads the same frames again, from the first one, if a worker is lost.
        warn: Is told what is odd about the workers, a line at a time.

    Returns:
        A context, with which the workers end.

    Raises:
        WorkersError: There are no workers.
        MissingExtraError: What they need is not installed.
    """
    if spread.is_here:
        return nullcontext(engine_for(policy, writers, flows, events, report))
    return spread.engine(policy, writers, flows, events, again, warn, report)
