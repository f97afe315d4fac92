"""The replay loop: each packet of a capture through a policy's gateway, at the captured time.

It opens and prints nothing, and keeps no packet after deciding about it.
"""

from collections.abc import Iterable, Sequence
from typing import cast

from attrs import define, field

from firezone_filter.accounting.refusals import PERIOD
from firezone_filter.capture.errors import DamagedCaptureError
from firezone_filter.capture.link import link_reader
from firezone_filter.capture.stream import NS_PER_S, Record
from firezone_filter.gateway.gateway import Gateway
from firezone_filter.policy import Policy
from firezone_filter.replay.direction import ClientAddresses
from firezone_filter.replay.summary import Decided, Summary
from firezone_filter.replay.writers import FlowWriter, Writer
from firezone_filter.values.decisions import Direction
from firezone_filter.values.events import FlowEvent
from firezone_filter.values.options import GatewayOptions


def replay(
    records: Iterable[Record],
    policy: Policy,
    writers: Sequence[Writer] = (),
    flows: FlowWriter | None = None,
) -> Summary:
    """Decide about every packet of *records*, pass each on to *writers*, and count them all.

    The gateway's clock starts with the first record. Time never runs backwards: a record with
    an earlier time stamp than one before it is decided at the latest time so far. Flow records
    go to *flows*, if given; the flows still open at the end are closed as if their clients
    disconnected.

    Returns:
        The counts; with `damage` if *records* ended in a `DamagedCaptureError`.

    Raises:
        FirezoneFilterError: The policy cannot begin at the time of the first record.
        UnreadableCaptureError: A record has a link type that is not supported.
        Exception: Anything else that *records* or *writers* raise.
    """
    run = _Replay(policy, writers, flows, ClientAddresses(policy))
    try:
        for record in records:
            run.add(record)
    except DamagedCaptureError as damage:
        run.summary.damage = str(damage)
    run.finish()
    return run.summary


@define
class _Replay:
    _policy: Policy
    _writers: Sequence[Writer]
    _flows: FlowWriter | None
    _clients: ClientAddresses
    _gateway: Gateway | None = field(init=False, default=None)
    summary: Summary = field(init=False, factory=Summary)

    def add(self, record: Record) -> None:
        self.summary.add_frame(record.time_ns, len(record.frame))
        if self._gateway is None:
            options = GatewayOptions(flow_records=self._flows is not None)
            self._gateway = self._policy.gateway(record.seconds, options=options)
        packet = link_reader(record.link_type)(record.frame)
        if packet is None:
            self.summary.not_ip.add(len(record.frame))
        elif (direction := self._clients.direction(packet)) is None:
            self.summary.not_ours.add(len(packet))
        else:
            self._decide(self._gateway, record, direction, packet)

    def finish(self) -> None:
        """Handle everything that expires by the end of the capture, after its last packet."""
        if self._gateway is None or self.summary.last_ns is None:
            return
        last = self.summary.last_ns / NS_PER_S
        if self._flows is not None:
            self._let_flows_end(self._gateway, last)
        self._gateway.handle_timeout(last)
        self._take_events(self._gateway)
        if self._flows is not None:
            self._close_flows(self._gateway, last)

    def _let_flows_end(self, gateway: Gateway, now: float) -> None:
        """Report what a host's timer would have reported by *now*, each at its own time."""
        while (due := gateway.poll_timeout()) is not None and due <= now:
            gateway.handle_timeout(due)
            self._take_events(gateway)

    def _close_flows(self, gateway: Gateway, last: float) -> None:
        for client_id in gateway.clients():
            gateway.client_disconnected(client_id)
            self._take_events(gateway)
        # Refused packets are reported a minute after the first of them.
        gateway.handle_timeout(last + PERIOD)
        self._take_events(gateway)

    def _decide(
        self, gateway: Gateway, record: Record, direction: Direction, packet: bytes
    ) -> None:
        if self._flows is not None:
            self._let_flows_end(gateway, record.seconds)
        # A capture names no authenticated peer, so the source address has to identify it.
        decision = gateway.handle_packet(direction, packet, record.seconds)
        decided = Decided(record.time_ns, direction, packet, decision, record.is_cut)
        self.summary.add(decided)
        self._take_events(gateway)
        for writer in self._writers:
            writer.add(decided)

    def _take_events(self, gateway: Gateway) -> None:
        while (event := gateway.poll_event()) is not None:
            if isinstance(event, FlowEvent):
                # The gateway records flows only if there is a writer for them.
                cast("FlowWriter", self._flows).add(event)
            else:
                self.summary.add_events([event])
