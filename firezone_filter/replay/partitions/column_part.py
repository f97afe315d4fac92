"""A partition that decides by columns, where nothing takes single decisions."""

from typing import cast

from attrs import evolve

from firezone_filter.capture.frames import sliced
from firezone_filter.capture.stream import NS_PER_S
from firezone_filter.gateway.gateway import Gateway
from firezone_filter.replay.clock import CaptureClock
from firezone_filter.replay.columns.collector import paused_collector
from firezone_filter.replay.columns.decider import Decider
from firezone_filter.replay.columns.decisions import DecisionColumns
from firezone_filter.replay.columns.engine import ColumnReplay, Run
from firezone_filter.replay.columns.report_feed import ReportColumns
from firezone_filter.replay.columns.times import Settled
from firezone_filter.replay.direction import ClientAddresses
from firezone_filter.replay.explained import ExplainedRefusals
from firezone_filter.replay.partitions.first_seen import FirstSeen
from firezone_filter.replay.partitions.piece import Answer, Order, Piece, Share
from firezone_filter.replay.partitions.rendering import ColumnRenderer
from firezone_filter.replay.sinks import DecisionSink
from firezone_filter.replay.summary import Summary
from firezone_filter.report.data import ReportData


class ColumnPart:
    """Decides about many packets at a time."""

    def __init__(self, order: Order) -> None:
        """Begin, before the first piece."""
        options = evolve(order.policy.options, flow_records=False)
        self._clock = CaptureClock(order.start_ns)
        self._gateway: Gateway = order.policy.gateway(self._clock.seconds, options=options)
        self._summary = Summary()
        self._report = report = ReportData() if order.report else None
        self._decider = Decider(
            self._gateway,
            self._clock.seconds,
            options,
            self._summary,
            None,
            None,
            with_decisions=bool(order.renderers) or order.report,
            refusals=None if report is None else ExplainedRefusals(self._gateway, report),
        )
        self._observer = FirstSeen(self._summary, self._decider.outcomes)
        self._renderers = [cast("ColumnRenderer", renderer()) for renderer in order.renderers]
        self._takers: list[DecisionSink] = [one.add_columns for one in self._renderers]
        if report is not None:
            self._takers.append(ReportColumns(report).add)
        self._run = Run(
            self._clock,
            self._decider,
            ClientAddresses(order.policy),
            self._take_columns if self._takers else None,
            self._observer,
        )

    def take(self, piece: Piece) -> Answer:
        """Decide about the frames of the next piece."""
        with paused_collector():
            if piece.clock_set_ns is not None:
                self._decider.set_clock(piece.clock_set_ns / NS_PER_S)
            for first in range(0, len(piece), ColumnReplay.step):
                end = first + ColumnReplay.step
                is_odd = None if piece.is_odd is None else piece.is_odd[first:end]
                settled = Settled(piece.now_ns[first:end], is_odd)
                self._run.add_settled(sliced(piece.frames, first, end), settled)
        counters = self._gateway.counters()
        made = [renderer.taken() for renderer in self._renderers]
        return Answer(piece.chunk, made, [], counters.nat_sessions, counters.flows)

    def _take_columns(self, columns: DecisionColumns) -> None:
        for take in self._takers:
            take(columns)

    def finish(self, last_ns: int) -> Share:
        """Return the counts of all pieces; the capture ends at *last_ns*."""
        self._clock.latest_ns = last_ns
        self._run.finish()
        return Share(self._summary, self._observer.appearances, [], self._report)
