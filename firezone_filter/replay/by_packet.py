"""The replay loop: each packet of a capture through a policy's gateway, at the captured time.

It opens and prints nothing, and keeps no packet after deciding about it.
"""

from collections.abc import Callable, Iterable, Sequence
from math import inf
from typing import ClassVar, cast

from attrs import define, evolve, field

from firezone_filter.accounting.refusals import PERIOD
from firezone_filter.capture.damage import DamagedCaptureError
from firezone_filter.capture.frames import Frames
from firezone_filter.capture.link import link_reader
from firezone_filter.capture.stream import TIME_END_NS, Record
from firezone_filter.gateway.gateway import Gateway
from firezone_filter.policy import Policy
from firezone_filter.replay.captured_packet import CapturedPacket, read_packet
from firezone_filter.replay.clock import WINDOW, CaptureClock, started_clock
from firezone_filter.replay.direction import ClientAddresses
from firezone_filter.replay.engine import until_interrupted
from firezone_filter.replay.passing import Passing
from firezone_filter.replay.refused_by import RefusedBy
from firezone_filter.replay.report_feed import ReportFeed
from firezone_filter.replay.sinks import EventSink, FlowSink, Writer
from firezone_filter.replay.summary import Decided, Summary
from firezone_filter.report.data import ReportData
from firezone_filter.values.decisions import Decision, Direction, Forward, Translate
from firezone_filter.values.events import AuthorizationExpired, FlowEvent

Asking = Callable[[Gateway, int, Direction, bytes, float], None]
"""Asks the gateway about a packet before that is decided: with the number of its frame, its
direction, the whole packet and the time. It changes nothing."""

Moment = tuple[float, int, int]
"""Time, what comes first at that time (timers, then packets), and the number of the frame; behind
the last packet, the place of the client that is disconnected."""


def replay_packets(  # noqa: PLR0913, PLR0917 - what a pass may be asked for
    records: Iterable[Record],
    policy: Policy,
    writers: Sequence[Writer] = (),
    flows: FlowSink | None = None,
    asking: Asking | None = None,
    events: EventSink | None = None,
    *,
    report: ReportData | None = None,
) -> Summary:
    """Decide about every packet of *records*, pass each on to *writers*, and count them all.

    The gateway's clock starts with the first records; if none of their time stamps can be right,
    as early as *policy* can begin, and it is set by the first that can. Time never runs
    backwards: a record with an earlier time stamp than one before it, or with one that cannot
    be right, is decided at the latest time so far. Flow records go to *flows*, if given; the
    flows still open at the end are closed as if their clients disconnected. All other events go
    to *events*; the summary keeps but the first of them.

    The gateway has the policy's options, but for `flow_records`, which *flows* decides. *asking*
    is called before each decision. *report*, if given, counts the packets for a report, and asks
    why some are refused.

    Returns:
        The counts; with `damage` if *records* ended in a `DamagedCaptureError`, and
        `interrupted` if they ended in a `KeyboardInterrupt`.

    Raises:
        FirezoneFilterError: The policy can begin at no time of a capture.
        Exception: Anything else that *records*, *writers* or *asking* raise.
    """
    replay = PacketReplay(policy, writers, flows, asking, events, report)
    summary = replay.summary
    try:
        for number, record in enumerate(until_interrupted(records, summary), 1):
            replay.add_record(number, record)
    except DamagedCaptureError as damage:
        summary.damage = str(damage)
    replay.finish()
    return summary


@define
class PacketReplay:
    """A replay that is given the frames of a capture as they come; see `replay_packets`.

    It collects the first ones, until they have decided when the capture begins.
    """

    _policy: Policy
    _writers: Sequence[Writer] = ()
    _flows: FlowSink | None = None
    _asking: Asking | None = None
    _events: EventSink | None = None
    _report: ReportData | None = None
    step: ClassVar[int] = 1024
    _waiting: list[tuple[int, Record]] = field(init=False, factory=list)
    _run: "Run | None" = field(init=False, default=None)
    summary: Summary = field(init=False, factory=Summary)
    """The counts so far; those of the clock come in the end."""

    def add(self, frames: Frames) -> None:
        """Decide about *frames*, one by one."""
        for number, record in zip(frames.numbers.tolist(), frames.records(), strict=True):
            self.add_record(number, record)

    def add_record(self, number: int, record: Record) -> None:
        """Decide about *record*, which has this *number* in the capture."""
        if self._run is not None:
            self._run.add(number, record)
            return
        self._waiting.append((number, record))
        if len(self._waiting) == WINDOW:
            self._run = self._begun()

    def finish(self) -> None:
        """Handle everything that expires by the end of the capture, after its last packet."""
        if self._run is None and self._waiting:
            self._run = self._begun()
        if self._run is not None:
            self._run.finish()

    def _begun(self) -> "Run":
        clock = started_clock([record.time_ns for _, record in self._waiting], self._policy)
        # Records change no decision, and without a writer nobody reads them.
        options = evolve(self._policy.options, flow_records=self._flows is not None)
        gateway = self._policy.gateway(clock.seconds, options=options)
        run = Run(
            gateway=gateway,
            clock=clock,
            clients=ClientAddresses(self._policy),
            refused_by=RefusedBy(gateway, stateful=options.stateful),
            writers=self._writers,
            flows=self._flows,
            asking=self._asking,
            events=self._events,
            report=None if self._report is None else ReportFeed(gateway, self._report),
            summary=self.summary,
            names_refusers=bool(self._writers) or self._report is not None,
        )
        for number, record in self._waiting:
            run.add(number, record)
        self._waiting.clear()
        return run


@define
class Run:
    """A replay from the moment at which the time is known."""

    gateway: Gateway
    clock: CaptureClock
    clients: ClientAddresses
    refused_by: RefusedBy
    writers: Sequence[Writer]
    flows: FlowSink | None
    asking: Asking | None
    events: EventSink | None
    report: ReportFeed | None
    summary: Summary
    names_refusers: bool
    """Whether the resources that refuse packets are looked up, which takes time."""

    moment: Moment = field(init=False, default=(0.0, 0, 0))
    """When the next events are reported: the order of those of several gateways."""

    passing: Passing = field(init=False)
    """Tells the gateway of times between its packets."""

    def __attrs_post_init__(self) -> None:
        self.passing = Passing(self.gateway, self.clock.seconds)

    def add(self, number: int, record: Record) -> None:
        """Handle the next record of the capture."""
        was_set = self.clock.is_set
        is_odd = self.clock.advance(record.time_ns)
        if self.clock.is_set and not was_set:
            self.set_clock()
        self.handle(number, record, is_odd=is_odd)

    def set_clock(self) -> None:
        """Set the gateway's clock to the time of ours."""
        self.passing.set_clock(self.clock.seconds)
        self.take_events()

    def handle(self, number: int, record: Record, *, is_odd: bool) -> None:
        """Handle a record at the time of the clock, which knows it already."""
        size = len(record.frame)
        self.summary.add_frame(None if is_odd else record.time_ns, size)
        read = link_reader(record.link_type)
        if read is None:
            self.summary.unsupported[record.link_type].add(size)
        elif isinstance(found := read(record.frame), str):
            self.summary.add_not_ip(found, size)
        else:
            packet = read_packet(record.frame[found:], record.wire_length - found)
            direction = self.clients.direction(packet.captured)
            if direction is None:
                self.summary.add_not_ours(packet.captured, packet.length)
            else:
                self._decide(number, record, direction, packet)

    def finish(self) -> None:
        """Handle everything that expires by the end of the capture, after its last packet."""
        clock, last = self.clock, self.clock.seconds
        self.summary.odd_times = clock.odd
        self.summary.out_of_order = clock.earlier
        self.summary.out_of_order_by_ns = clock.earlier_by_ns
        if self.flows is not None:
            self.let_flows_end(last)
        self.moment = (inf, 0, 0)
        self.passing.reach(last)
        self.gateway.handle_timeout(last)
        self.take_events()
        if self.flows is not None:
            self._close_flows(last)

    def let_flows_end(self, now: float) -> None:
        """Report what a host's timer would have reported by *now*, each at its own time."""
        while (due := self.gateway.poll_timeout()) is not None and due <= now:
            self.moment = (due, 0, 0)
            self.passing.reach(due)
            self.gateway.handle_timeout(due)
            self.take_events()

    def _close_flows(self, last: float) -> None:
        for place, client_id in enumerate(self.gateway.clients()):
            self.moment = (inf, 1, place)
            self.gateway.client_disconnected(client_id)
            self.take_events()
        # Refused packets are reported a minute after the first of them.
        self.moment = (inf, 2, 0)
        self.gateway.handle_timeout(last + PERIOD)
        self.take_events()

    def _decide(
        self, number: int, record: Record, direction: Direction, packet: CapturedPacket
    ) -> None:
        now = self.clock.seconds
        if self.flows is not None:
            self.let_flows_end(now)
            self.moment = (now, 1, number)
        self.passing.reach(now)
        if self.asking is not None:
            self.asking(self.gateway, number, direction, packet.whole, now)
        if self.report is not None:
            self.report.ask(direction, packet.whole, now)
        # A capture names no authenticated peer, so the source address has to identify it.
        decision = self.gateway.handle_packet(direction, packet.whole, now)
        self.take_events()
        decided = Decided(
            frame=number,
            time_ns=self._writable(record.time_ns),
            direction=direction,
            packet=packet,
            wire_length=max(record.wire_length, len(record.frame)),
            decision=decision,
            resource_id=self._resource_of(direction, packet, now, decision),
            record=record,
        )
        self.summary.add(decided)
        for writer in self.writers:
            writer.add(decided)
        if self.report is not None:
            self.report.add(decided, self.clock.latest_ns, now)

    def _writable(self, time_ns: int) -> int:
        # Neither a capture nor RFC 3339 has room for every time stamp of a pcapng file.
        return time_ns if 0 <= time_ns < TIME_END_NS else self.clock.latest_ns

    def _resource_of(
        self, direction: Direction, packet: CapturedPacket, now: float, decision: Decision
    ) -> str | None:
        if isinstance(decision, Forward | Translate):
            if isinstance(decision, Translate) and direction is Direction.OUTBOUND:
                self.refused_by.session_began()
            return decision.resource_id
        # The summary counts refusals by their reasons.
        if not self.names_refusers:
            return None
        return self.refused_by.find(direction, packet.whole, now, decision)

    def take_events(self) -> None:
        """Fetch the gateway's events, and pass them on or count them."""
        while (event := self.gateway.poll_event()) is not None:
            if isinstance(event, FlowEvent):
                # The gateway records flows only if there is a writer for them.
                cast("FlowSink", self.flows).add(event)
            else:
                self.summary.add_events([event])
                if self.events is not None:
                    self.events(event)
                if isinstance(event, AuthorizationExpired):
                    self.refused_by.expired()
