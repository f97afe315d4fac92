"""A partition that decides packet by packet."""

from collections.abc import Callable
from typing import Final, cast

import numpy as np
from attrs import define, evolve

from firezone_filter.capture.stream import NS_PER_S
from firezone_filter.replay.by_packet import Moment, Run
from firezone_filter.replay.clock import CaptureClock
from firezone_filter.replay.direction import ClientAddresses
from firezone_filter.replay.partitions.appearances import Appearances
from firezone_filter.replay.partitions.piece import Answer, Order, Piece, Reported, Share
from firezone_filter.replay.partitions.rendering import Renderer
from firezone_filter.replay.refused_by import RefusedBy
from firezone_filter.replay.report_feed import ReportFeed
from firezone_filter.replay.summary import Decided, Summary
from firezone_filter.report.data import ReportData
from firezone_filter.values.events import FlowEvent, FlowRefused

_LAST: Final = 2


class PacketPart:
    """Decides about one packet after the other, for whatever outputs there are."""

    def __init__(self, order: Order) -> None:
        """Begin, before the first piece."""
        options = evolve(order.policy.options, flow_records=order.flows)
        gateway = order.policy.gateway(order.start_ns / NS_PER_S, options=options)
        summary = Summary()
        self._appearances = Appearances()
        self._flow_events = _FlowEvents(lambda: self._run.moment)
        self._report = ReportData() if order.report else None
        self._renderers = [cast("Renderer", renderer()) for renderer in order.renderers]
        self._run = Run(
            gateway=gateway,
            clock=CaptureClock(order.start_ns),
            clients=ClientAddresses(order.policy),
            refused_by=RefusedBy(gateway, stateful=options.stateful),
            writers=[_Observer(summary, self._appearances), *self._renderers],
            flows=self._flow_events if order.flows else None,
            asking=None,
            events=None,
            report=None if self._report is None else ReportFeed(gateway, self._report),
            summary=summary,
            names_refusers=bool(self._renderers) or order.report,
        )

    def take(self, piece: Piece) -> Answer:
        """Decide about the frames of the next piece."""
        run, clock = self._run, self._run.clock
        if piece.clock_set_ns is not None:
            clock.latest_ns = piece.clock_set_ns
            run.set_clock()
        odd = np.zeros(len(piece), np.bool_) if piece.is_odd is None else piece.is_odd
        for number, record, now_ns, is_odd in zip(
            piece.frames.numbers.tolist(),
            piece.frames.records(),
            piece.now_ns.tolist(),
            odd.tolist(),
            strict=True,
        ):
            clock.latest_ns = now_ns
            run.handle(number, record, is_odd=is_odd)
        if run.flows is not None:
            run.let_flows_end(piece.end_ns / NS_PER_S)
        counters = run.gateway.counters()
        return Answer(
            piece.chunk,
            [renderer.taken() for renderer in self._renderers],
            self._flow_events.taken(),
            counters.nat_sessions,
            counters.flows,
        )

    def finish(self, last_ns: int) -> Share:
        """Return the counts of all pieces; the capture ends at *last_ns*."""
        self._run.clock.latest_ns = last_ns
        self._run.finish()
        return Share(self._run.summary, self._appearances, self._flow_events.taken(), self._report)


@define
class _Observer:
    """Takes note of what is counted for the first time."""

    summary: Summary
    appearances: Appearances

    def add(self, decided: Decided) -> None:
        self.appearances.add(decided, self.summary)


class _FlowEvents:
    """Collects events of flow records, with the moments at which they are reported."""

    def __init__(self, moment: Callable[[], Moment]) -> None:
        self._moment = moment
        self._events: list[Reported] = []

    def add(self, event: FlowEvent) -> None:
        time, kind, number = self._moment()
        # In the end, refusals are reported together, in the order of their first packets.
        place: float = number
        if kind == _LAST and isinstance(event, FlowRefused):
            place = event.first_packet
        self._events.append(((time, kind, place), event))

    def taken(self) -> list[Reported]:
        events, self._events = self._events, []
        return events
