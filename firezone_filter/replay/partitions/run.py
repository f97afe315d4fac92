"""The run of a replay in parts: hands pieces out, merges what comes back; and recovers.

A partition that is lost with its worker begins anew elsewhere, from the first chunk: the capture
is read again for it alone, up to where the others are, who wait. Answers that it had given before
were used and are not used again; its counts are those of the new one. So nothing is counted twice.
"""

from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from typing import ClassVar, Final, cast

from attrs import define, evolve

from firezone_filter.capture.frames import CHUNK_FRAMES, Frames
from firezone_filter.capture.stream import NS_PER_S
from firezone_filter.policy import Policy
from firezone_filter.replay.columns.collector import paused_collector
from firezone_filter.replay.errors import WorkersError
from firezone_filter.replay.merging import merge
from firezone_filter.replay.partitions.column_rendering import column_outputs_to
from firezone_filter.replay.partitions.piece import Answer, End, Order, Piece, Reported, Share
from firezone_filter.replay.partitions.reading import PieceMaker, chunks_again
from firezone_filter.replay.partitions.rendering import outputs_to
from firezone_filter.replay.partitions.team import (
    Home,
    LostPartitionError,
    Team,
)
from firezone_filter.replay.passing import Passing
from firezone_filter.replay.sinks import EventSink, FlowSink, Writer
from firezone_filter.replay.summary import Summary
from firezone_filter.report.data import ReportData
from firezone_filter.values.events import AccessEvent

AHEAD: Final = 3
"""Pieces that a partition may have before it: one that it decides, one that waits, and one on
its way. At 8 MiB a chunk, all partitions together have at most three chunks."""

MAX_LOSSES: Final = 3
"""How often one partition may be lost: a packet on which workers die would end them all."""

_FIRST: Final = itemgetter(0)


@define
class _Tenant:
    """One partition through all of its homes."""

    number: int
    home: Home
    waiting: int = 0
    """Pieces that its present home has not answered yet."""

    used: int = 0
    """Chunks whose answers have been used, whichever home they came from."""

    losses: int = 0


class PartedReplay:
    """A replay with its clients spread over partitions: an `Engine`."""

    step: ClassVar[int] = CHUNK_FRAMES

    losses: int
    """How often a partition was lost and computed anew."""

    over_limits: int
    """Chunks after which all clients together had more NAT sessions than `max_sessions`, or more
    flows than `max_flows`. From the first on, one process may have decided otherwise."""

    def __init__(  # noqa: PLR0913 - each is independent of the others
        self,
        policy: Policy,
        team: Team,
        partitions: int,
        again: Callable[[], Iterable[Frames]],
        *,
        writers: Sequence[Writer] = (),
        flows: FlowSink | None = None,
        events: EventSink | None = None,
        report: ReportData | None = None,
    ) -> None:
        """Begin before the first frame.

        Args:
            policy: the policy, whose options count, but for `flow_records`.
            team: where partitions live; the caller closes it.
            partitions: how many.
            again: reads the capture from its beginning, for each partition that is lost; it has
                to give the same frames.
            writers: get all decided packets, in order.
            flows: gets the events of flow records, if they are wanted.
            events: gets all other events.
            report: counts the packets for a report, if given.
        """
        self.summary: Summary = Summary()
        """The counts; complete after `finish`."""
        self.losses = 0
        self.over_limits = 0
        self._policy = policy
        self._team = team
        self._partitions = partitions
        self._read_again = again
        by_columns = column_outputs_to(writers) if flows is None else None
        self._by_columns = by_columns is not None
        self._outputs = outputs_to(writers) if by_columns is None else by_columns
        self._flows = flows
        self._event_sink = events
        self._report_data = report
        self._events: _Events | None = None
        self._maker = self._new_maker()
        self._tenants: list[_Tenant] = []
        self._sizes: list[int] = []  # of what was added
        self._chunks = 0  # that were handed out

    def add(self, frames: Frames) -> None:
        """Hand out *frames*, and write what has been made of those before.

        Raises:
            FirezoneFilterError: The policy can begin at no time of a capture.
            WorkersError: A partition was lost `MAX_LOSSES` times, or has no place.
            Exception: What is raised where partitions live, and by *again* and outputs.
        """
        self._sizes.append(len(frames))
        with paused_collector():
            self._hand_out(self._maker.add(frames))

    def finish(self) -> None:
        """Wait for all partitions, and complete the counts.

        Raises:
            Exception: What `add` raises.
        """
        self._hand_out(self._maker.rest())
        while self._tenants and self._tenants[0].used < self._chunks:
            self._use_answers()
        if (clock := self._maker.clock) is None:
            return
        end = End(self._chunks, clock.latest_ns)
        shares = [self._finish(tenant, end) for tenant in self._tenants]
        self._report([event for share in shares for event in share.flow_events])
        self.summary.odd_times = clock.odd
        self.summary.out_of_order = clock.earlier
        self.summary.out_of_order_by_ns = clock.earlier_by_ns
        own = self._maker.share()
        merge(self.summary, shares if own is None else [own, *shares])
        for share in shares:
            if self._report_data is not None and share.report is not None:
                # Which partition decides, the near address of a flow says.
                self._report_data.merge(share.report, apart=True)

    def _new_maker(self) -> PieceMaker:
        whole = any(output.renderer.needs_payload for output in self._outputs)
        flows = self._flows is not None
        alone = self._by_columns and not self._outputs and self._report_data is None
        return PieceMaker(
            self._policy,
            self._partitions,
            flows=flows,
            whole=whole,
            counts_alone=alone and not self._policy.options.stateful,
        )

    def _hand_out(self, chunks: Iterable[list[Piece]]) -> None:
        for pieces in chunks:
            if self._events is None:
                self._events = self._begin()
            self._chunks += 1
            for tenant, piece in zip(self._tenants, pieces, strict=True):
                self._send(tenant, piece)
            self._events.take(pieces[0])
            if self._chunks > AHEAD:
                self._use_answers()

    # --- Partitions ------------------------------------------------------------------------

    def _begin(self) -> "_Events":
        events = _Events(self._policy, self._order().start_ns, self.summary, self._event_sink)
        for number in range(self._partitions):
            try:
                self._tenants.append(_Tenant(number, self._team.settle(number, self._order())))
            except LostPartitionError as loss:
                raise WorkersError(f"a worker ends as soon as it begins: {loss}") from loss
        return events

    def _order(self) -> Order:
        renderers = tuple(output.renderer for output in self._outputs)
        return Order(
            self._policy,
            self._maker.start_ns,
            renderers,
            by_columns=self._by_columns,
            flows=self._flows is not None,
            report=self._report_data is not None,
        )

    def _send(self, tenant: _Tenant, piece: Piece) -> None:
        try:
            tenant.home.send(piece)
        except LostPartitionError as loss:
            self._recover(tenant, loss)
        else:
            tenant.waiting += 1

    def _answer(self, tenant: _Tenant) -> Answer:
        """Return the answer to the first chunk that has not been used."""
        while True:
            try:
                answer = tenant.home.answer()
            except LostPartitionError as loss:
                self._recover(tenant, loss)
                continue
            tenant.waiting -= 1
            if answer.chunk == tenant.used:
                tenant.used += 1
                return answer

    def _finish(self, tenant: _Tenant, end: End) -> Share:
        while True:
            try:
                while tenant.waiting:
                    tenant.home.answer()
                    tenant.waiting -= 1
                return tenant.home.finish(end)
            except LostPartitionError as loss:
                self._recover(tenant, loss)

    def _recover(self, tenant: _Tenant, loss: LostPartitionError) -> None:
        """Begin a partition anew, and bring it to where the others are."""
        while True:
            self.losses += 1
            tenant.losses += 1
            if tenant.losses == MAX_LOSSES:
                raise WorkersError(
                    f"partition {tenant.number} was lost {MAX_LOSSES} times; at last: {loss}"
                ) from loss
            tenant.home.leave()
            tenant.waiting = 0
            try:
                tenant.home = self._team.settle(tenant.number, self._order())
                self._catch_up(tenant)
            except LostPartitionError as another:
                loss = another
            else:
                return

    def _catch_up(self, tenant: _Tenant) -> None:
        maker = self._new_maker()
        for frames in chunks_again(self._read_again(), self._sizes):
            self._send_again(tenant, maker.add(frames))
        self._send_again(tenant, maker.rest())

    def _send_again(self, tenant: _Tenant, chunks: Iterable[list[Piece]]) -> None:
        for pieces in chunks:
            piece = pieces[tenant.number]
            if piece.chunk == self._chunks:
                # It is its turn after those that wait for this partition.
                return
            tenant.home.send(piece)
            tenant.waiting += 1
            while tenant.waiting > AHEAD and piece.chunk - AHEAD < tenant.used:
                tenant.home.answer()
                tenant.waiting -= 1

    # --- What they return ------------------------------------------------------------------

    def _use_answers(self) -> None:
        """Use all answers to the first chunk whose answers have not been used."""
        answers = [self._answer(tenant) for tenant in self._tenants]
        options = self._policy.options
        self.over_limits += (
            sum(answer.sessions for answer in answers) > options.max_sessions
            or sum(answer.flows for answer in answers) > options.max_flows
        )
        for place, output in enumerate(self._outputs):
            output.write([answer.made[place] for answer in answers])
        self._report([event for answer in answers for event in answer.flow_events])

    def _report(self, events: list[Reported]) -> None:
        if self._flows is not None:
            for _, event in sorted(events, key=_FIRST):
                self._flows.add(event)


class _Events:
    """The events about authorizations, which no packet changes: a gateway without any has them."""

    def __init__(
        self, policy: Policy, start_ns: int, summary: Summary, sink: EventSink | None
    ) -> None:
        options = evolve(policy.options, flow_records=False)
        start = start_ns / NS_PER_S
        self._gateway = policy.gateway(start, options=options)
        self._passing = Passing(self._gateway, start)
        self._summary = summary
        self._sink = sink

    def take(self, piece: Piece) -> None:
        """Count what has happened up to the end of a chunk, which any piece of it tells."""
        if piece.clock_set_ns is not None:
            self._passing.set_clock(piece.clock_set_ns / NS_PER_S)
            self._poll()
        end = piece.end_ns / NS_PER_S
        self._passing.reach(end)
        self._gateway.handle_timeout(end)
        self._poll()

    def _poll(self) -> None:
        while (event := self._gateway.poll_event()) is not None:
            # (It records no flows.)
            event = cast("AccessEvent", event)
            self._summary.add_events([event])
            if self._sink is not None:
                self._sink(event)
