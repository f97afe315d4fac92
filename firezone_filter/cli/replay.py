"""The loop: each packet of a capture through a policy's gateway, at the capture's own time.

It opens nothing, prints nothing, and keeps nothing of a packet that it has done with.
"""

from collections.abc import Iterable, Iterator, Sequence

from attrs import define, field

from firezone_filter.cli.direction import ClientAddresses
from firezone_filter.cli.faults import DamagedCaptureError
from firezone_filter.cli.link import link_reader
from firezone_filter.cli.stream import NS_PER_S, Record
from firezone_filter.cli.summary import Decided, Summary
from firezone_filter.cli.writers import Writer
from firezone_filter.decisions import Direction
from firezone_filter.events import Event
from firezone_filter.gateway import Gateway
from firezone_filter.policy import Policy


def replay(records: Iterable[Record], policy: Policy, writers: Sequence[Writer] = ()) -> Summary:
    """Decide about every packet of *records*, hand each on to *writers*, count them all.

    The gateway's clock starts with the first record; one with an earlier time stamp counts
    as being at the latest (time never runs backwards).

    Returns:
        The counts; with `damage` if the records ended in a `DamagedCaptureError`.

    Raises:
        FirezoneFilterError: The policy cannot begin at the time of the first record.
        UnusableError: A record has a link type that is not supported.
        Exception: Whatever else *records* or *writers* raise.
    """
    run = _Replay(policy, writers, ClientAddresses(policy))
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
    _clients: ClientAddresses
    _gateway: Gateway | None = field(init=False, default=None)
    summary: Summary = field(init=False, factory=Summary)

    def add(self, record: Record) -> None:
        self.summary.add_frame(record.time_ns, len(record.frame))
        if self._gateway is None:
            self._gateway = self._policy.gateway(record.seconds)
        packet = link_reader(record.link_type)(record.frame)
        if packet is None:
            self.summary.not_ip.add(len(record.frame))
        elif (direction := self._clients.direction(packet)) is None:
            self.summary.not_ours.add(len(packet))
        else:
            self._decide(self._gateway, record, direction, packet)

    def finish(self) -> None:
        """Let what expires by the end of the capture expire, with no packet to notice it."""
        if self._gateway is not None and self.summary.last_ns is not None:
            self._gateway.handle_timeout(self.summary.last_ns / NS_PER_S)
            self.summary.add_events(_events(self._gateway))

    def _decide(
        self, gateway: Gateway, record: Record, direction: Direction, packet: bytes
    ) -> None:
        # A capture has no authenticated peer: the source address has to stand for it.
        decision = gateway.handle_packet(direction, packet, record.seconds)
        decided = Decided(record.time_ns, direction, packet, decision, record.is_cut)
        self.summary.add(decided)
        self.summary.add_events(_events(gateway))
        for writer in self._writers:
            writer.add(decided)


def _events(gateway: Gateway) -> Iterator[Event]:
    while (event := gateway.poll_event()) is not None:
        yield event
