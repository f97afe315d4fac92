"""The way of a chunk through the replay by columns, and why the result is that of `by_packet`.

Theory of operation. The headers of a chunk are taken apart at once (`links`, `headers`), and its
times settled (`times`), as neither depends on a decision. Then its packets of clients are decided
in the order of the capture, but not all by asking the gateway. Of a plain packet `flows` tells
whether its outcome is known until the client's next expiry; such a packet changes nothing that
another decision depends on, so that leaving it out is not noticed. All others are handed in one by
one, in order, each at its own time.

What a packet that is left out would have done, apart from deciding about itself:

- Let time pass. The gateway learns it from the next packet that is asked about. An expiry is the
  only thing that time changes for a known outcome, so a *stretch* of packets ends before the next
  (`Inside.expiries.next`), and the packet that reaches it, and every one while anything that is
  over waits to be taken apart, is handed in. So events are found after the same packets and in
  the same order. The last packet of every stretch and every chunk is handed in too: so the
  gateway's clock is never far behind, and a jump that is too far is too far from the same time.
- Do upkeep. What is over counts for nothing in any decision, whether or not it was forgotten; a
  stretch ends with the upkeep that is due by then, so that it does not pile up.
- Be remembered in the flow cache, or counted by the gateway: neither changes a decision.
- Take a reply token, which is the one thing that is done in its place (`Flows.refused`), in its
  order.

Of the half second that a million packets take, most is for the tenth of them that are looked at
one by one.

To hand in a packet that might be left out changes nothing either: if a report is to explain
refusals, the first packet of each kind of them is handed in.

With `stateful` or flow records each packet prolongs and counts; then all packets are handed in,
and events are polled after each.
"""

from typing import ClassVar, Protocol

from attrs import evolve

from firezone_filter.capture.frames import Frames, sliced
from firezone_filter.capture.stream import NS_PER_S
from firezone_filter.policy import Policy
from firezone_filter.replay.clock import WINDOW, CaptureClock, started_clock
from firezone_filter.replay.columns.chunk import Chunk, read_chunk
from firezone_filter.replay.columns.collector import paused_collector
from firezone_filter.replay.columns.counting import count_chunk, count_frames
from firezone_filter.replay.columns.decider import Decider
from firezone_filter.replay.columns.decisions import columns_of
from firezone_filter.replay.columns.refused_flows import Key, RefusedFlows
from firezone_filter.replay.columns.report_feed import ReportColumns
from firezone_filter.replay.columns.times import Settled, first_right, settle
from firezone_filter.replay.direction import ClientAddresses
from firezone_filter.replay.engine import in_steps
from firezone_filter.replay.explained import ExplainedRefusals
from firezone_filter.replay.five_tuple import FiveTuple
from firezone_filter.replay.sinks import DecisionSink, EventSink, FlowSink, to_all
from firezone_filter.replay.summary import Summary
from firezone_filter.report.data import ReportData


class ColumnReplay:
    """A replay that takes chunks of frames: an `Engine`."""

    step: ClassVar[int] = 1 << 15
    """So few that what is computed of them stays near to the CPU, and so many that calls of numpy
    take little of the time."""

    def __init__(
        self,
        policy: Policy,
        decisions: DecisionSink | None = None,
        flows: FlowSink | None = None,
        events: EventSink | None = None,
        report: ReportData | None = None,
    ) -> None:
        """Begin before the first frame.

        Args:
            policy: what the gateway is told; it has the policy's options, but for
                `flow_records`, which *flows* decides.
            decisions: receives the columns of decisions, if given. The first few frames wait for
                others, since they decide together when the capture begins.
            flows: receives flow records, if given.
            events: receives all other events, if given; the summary keeps but the first of them.
            report: counts the packets for a report, if given, with refusals explained.
        """
        self.summary: Summary = Summary()
        """The counts; complete after `finish`."""
        self._policy = policy
        self._report = report
        if report is not None:
            counting = ReportColumns(report).add
            decisions = counting if decisions is None else to_all([counting, decisions])
        self._decisions = decisions
        self._flows = flows
        self._events = events
        self._waiting: list[Frames] = []
        self._run: Run | None = None

    def add(self, frames: Frames) -> None:
        """Decide about the next frames.

        Raises:
            FirezoneFilterError: The policy can begin at no time of a capture.
        """
        if self._run is not None:
            with paused_collector():
                self._run.add(frames)
            return
        self._waiting.append(frames)
        if sum(map(len, self._waiting)) >= WINDOW:
            self._begin()

    def finish(self) -> None:
        """Handle everything that expires by the end of the capture, after its last packet."""
        if self._run is None and any(map(len, self._waiting)):
            self._begin()
        if self._run is not None:
            self._run.finish()

    def _begin(self) -> None:
        waiting, self._waiting = self._waiting, []
        self._run = self._begun(waiting)
        for frames in waiting:
            self.add(frames)

    def _begun(self, waiting: list[Frames]) -> "Run":
        times = [time_ns for frames in waiting for time_ns in frames.time_ns[:WINDOW].tolist()]
        clock = started_clock(times[:WINDOW], self._policy)
        # Records change no decision, and without a writer nobody reads them.
        options = evolve(self._policy.options, flow_records=self._flows is not None)
        gateway, report = self._policy.gateway(clock.seconds, options=options), self._report
        decider = Decider(
            gateway,
            clock.seconds,
            options,
            self.summary,
            self._flows,
            self._events,
            with_decisions=self._decisions is not None,
            refusals=None if report is None else ExplainedRefusals(gateway, report),
        )
        return Run(clock, decider, ClientAddresses(self._policy), self._decisions)


class Observer(Protocol):
    """Sees what is counted, with the chunks that it is counted of."""

    def chunk(self, chunk: Chunk) -> None:
        """See a chunk that has been decided."""

    def refused_flow(self, key: Key, flow: FiveTuple, row: int) -> None:
        """See a refused flow of that chunk, with the row of its first frame there."""


class Run:
    """A replay from the moment at which the time is known."""

    def __init__(
        self,
        clock: CaptureClock,
        decider: Decider,
        clients: ClientAddresses,
        decisions: DecisionSink | None,
        observer: "Observer | None" = None,
    ) -> None:
        """Begin; *observer* sees what is counted."""
        self._clock = clock
        self._decider = decider
        self._clients = clients
        self._decisions = decisions
        self._observer = observer
        self._summary = decider.summary
        self._flows = decider.flows
        self._outcomes = decider.outcomes
        self._refused_flows = RefusedFlows(
            self._summary,
            self._outcomes,
            self._flows,
            None if observer is None else observer.refused_flow,
        )

    def add(self, frames: Frames) -> None:
        """Decide about *frames*."""
        for part in in_steps([frames], ColumnReplay.step):
            if self._clock.is_set:
                self._add(part)
                continue
            # The clock is set between two frames.
            right = first_right(self._clock, part.time_ns)
            self._add(sliced(part, 0, right))
            self._add(sliced(part, right, len(part)))

    def _add(self, frames: Frames) -> None:
        if not len(frames):
            return
        was_set = self._clock.is_set
        settled = settle(self._clock, frames.time_ns)
        if self._clock.is_set and not was_set:
            self._decider.set_clock(int(settled.latest_ns[0]) / NS_PER_S)
        self.add_settled(frames, settled)

    def add_settled(self, frames: Frames, settled: Settled) -> None:
        """Decide about *frames* whose times are *settled*, not too many of them."""
        count_frames(self._summary, frames, settled)
        self._flows.make_room()
        chunk = read_chunk(frames, settled.latest_ns, self._flows, self._clients)
        if len(chunk.ours):
            self._decider.decide(chunk)
        is_any_refused = count_chunk(self._summary, self._outcomes, self._flows, chunk)
        if self._observer is not None:
            self._observer.chunk(chunk)
        if is_any_refused:
            self._refused_flows.count(chunk)
        if self._decisions is not None and self._flows.ends is not None and len(chunk.ours):
            self._decisions(columns_of(chunk, self._outcomes, self._flows.ends))

    def finish(self) -> None:
        """Let the time of the last frame come, and fill the summary."""
        clock, summary = self._clock, self._summary
        summary.odd_times = clock.odd
        summary.out_of_order = clock.earlier
        summary.out_of_order_by_ns = clock.earlier_by_ns
        self._decider.finish(clock.seconds)
        self._outcomes.fill(summary)
