"""The replay loop: each packet of a capture through a policy's gateway, at the captured time.

It opens and prints nothing, and keeps no packet after deciding about it.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count
from typing import cast

from attrs import define, evolve, field

from firezone_filter.accounting.refusals import PERIOD
from firezone_filter.capture.damage import DamagedCaptureError
from firezone_filter.capture.link import link_reader
from firezone_filter.capture.stream import NS_PER_S, TIME_END_NS, Record
from firezone_filter.gateway.gateway import Gateway
from firezone_filter.policy import Policy
from firezone_filter.replay.captured_packet import CapturedPacket, read_packet
from firezone_filter.replay.clock import WINDOW, CaptureClock, begin, earliest_begin
from firezone_filter.replay.direction import ClientAddresses
from firezone_filter.replay.refused_by import RefusedBy
from firezone_filter.replay.summary import Decided, Summary
from firezone_filter.replay.writers import FlowWriter, Writer
from firezone_filter.values.decisions import Decision, Direction, Forward, Translate
from firezone_filter.values.events import AuthorizationExpired, FlowEvent

Asking = Callable[[Gateway, int, Direction, bytes, float], None]
"""Asks the gateway about a packet before that is decided: with the number of its frame, its
direction, the whole packet and the time. It changes nothing."""


def replay(
    records: Iterable[Record],
    policy: Policy,
    writers: Sequence[Writer] = (),
    flows: FlowWriter | None = None,
    asking: Asking | None = None,
) -> Summary:
    """Decide about every packet of *records*, pass each on to *writers*, and count them all.

    The gateway's clock starts with the first records; if none of their time stamps can be right,
    as early as *policy* can begin, and it is set by the first that can. Time never runs
    backwards: a record with an earlier time stamp than one before it, or with one that cannot
    be right, is decided at the latest time so far. Flow records go to *flows*, if given; the
    flows still open at the end are closed as if their clients disconnected.

    The gateway has the policy's options, but for `flow_records`, which *flows* decides. *asking*
    is called before each decision.

    Returns:
        The counts; with `damage` if *records* ended in a `DamagedCaptureError`, and
        `interrupted` if they ended in a `KeyboardInterrupt`.

    Raises:
        FirezoneFilterError: The policy can begin at no time of a capture.
        Exception: Anything else that *records*, *writers* or *asking* raise.
    """
    run = _Replay(policy, writers, flows, asking)
    try:
        for record in _until_interrupted(records, run.summary):
            run.add(record)
    except DamagedCaptureError as damage:
        run.summary.damage = str(damage)
    run.finish()
    return run.summary


def _until_interrupted(records: Iterable[Record], summary: Summary) -> Iterator[Record]:
    # Only while it waits for a packet: one that is being decided is not half counted.
    iterator = iter(records)
    while True:
        try:
            record = next(iterator)
        except StopIteration:
            return
        except KeyboardInterrupt:
            summary.interrupted = True
            return
        yield record


@define
class _Replay:
    """Collects the first packets, until they have decided when the capture begins."""

    _policy: Policy
    _writers: Sequence[Writer]
    _flows: FlowWriter | None
    _asking: Asking | None
    _waiting: list[Record] = field(init=False, factory=list)
    _run: "_Run | None" = field(init=False, default=None)
    summary: Summary = field(init=False, factory=Summary)

    def add(self, record: Record) -> None:
        if self._run is not None:
            self._run.add(record)
            return
        self._waiting.append(record)
        if len(self._waiting) == WINDOW:
            self._run = self._begun()

    def finish(self) -> None:
        """Handle everything that expires by the end of the capture, after its last packet."""
        if self._run is None and self._waiting:
            self._run = self._begun()
        if self._run is not None:
            self._run.finish()

    def _begun(self) -> "_Run":
        expiries = [
            authorization.expires_at
            for client in self._policy.clients
            for authorization in client.authorizations
            if authorization.expires_at is not None
        ]
        earliest_ns = earliest_begin(expiries)
        begin_ns = begin([record.time_ns for record in self._waiting], expiries)
        start_ns = earliest_ns if begin_ns is None else begin_ns
        # Records change no decision, and without a writer nobody reads them.
        options = evolve(self._policy.options, flow_records=self._flows is not None)
        gateway = self._policy.gateway(start_ns / NS_PER_S, options=options)
        run = _Run(
            gateway=gateway,
            clock=CaptureClock(start_ns, earliest_ns, is_set=begin_ns is not None),
            clients=ClientAddresses(self._policy),
            refused_by=RefusedBy(gateway, stateful=options.stateful),
            writers=self._writers,
            flows=self._flows,
            asking=self._asking,
            summary=self.summary,
        )
        for record in self._waiting:
            run.add(record)
        self._waiting.clear()
        return run


@define
class _Run:
    """A replay from the moment at which the time is known."""

    gateway: Gateway
    clock: CaptureClock
    clients: ClientAddresses
    refused_by: RefusedBy
    writers: Sequence[Writer]
    flows: FlowWriter | None
    asking: Asking | None
    summary: Summary
    _numbers: Iterator[int] = field(init=False, factory=lambda: count(1))

    def add(self, record: Record) -> None:
        was_set = self.clock.is_set
        is_odd = self.clock.advance(record.time_ns)
        if self.clock.is_set and not was_set:
            self.gateway.clock_set(self.clock.seconds)
            self._take_events()
        number, size = next(self._numbers), len(record.frame)
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
        clock, last = self.clock, self.clock.seconds
        self.summary.odd_times = clock.odd
        self.summary.out_of_order = clock.earlier
        self.summary.out_of_order_by_ns = clock.earlier_by_ns
        if self.flows is not None:
            self._let_flows_end(last)
        self.gateway.handle_timeout(last)
        self._take_events()
        if self.flows is not None:
            self._close_flows(last)

    def _let_flows_end(self, now: float) -> None:
        """Report what a host's timer would have reported by *now*, each at its own time."""
        while (due := self.gateway.poll_timeout()) is not None and due <= now:
            self.gateway.handle_timeout(due)
            self._take_events()

    def _close_flows(self, last: float) -> None:
        for client_id in self.gateway.clients():
            self.gateway.client_disconnected(client_id)
            self._take_events()
        # Refused packets are reported a minute after the first of them.
        self.gateway.handle_timeout(last + PERIOD)
        self._take_events()

    def _decide(
        self, number: int, record: Record, direction: Direction, packet: CapturedPacket
    ) -> None:
        now = self.clock.seconds
        if self.flows is not None:
            self._let_flows_end(now)
        if self.asking is not None:
            self.asking(self.gateway, number, direction, packet.whole, now)
        # A capture names no authenticated peer, so the source address has to identify it.
        decision = self.gateway.handle_packet(direction, packet.whole, now)
        self._take_events()
        decided = Decided(
            frame=number,
            time_ns=self._writable(record.time_ns),
            direction=direction,
            packet=packet,
            wire_length=max(record.wire_length, len(record.frame)),
            decision=decision,
            resource_id=self._resource_of(direction, packet, now, decision),
        )
        self.summary.add(decided)
        for writer in self.writers:
            writer.add(decided)

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
        if not self.writers:
            return None
        return self.refused_by.find(direction, packet.whole, now, decision)

    def _take_events(self) -> None:
        while (event := self.gateway.poll_event()) is not None:
            if isinstance(event, FlowEvent):
                # The gateway records flows only if there is a writer for them.
                cast("FlowWriter", self.flows).add(event)
            else:
                self.summary.add_events([event])
                if isinstance(event, AuthorizationExpired):
                    self.refused_by.expired()
