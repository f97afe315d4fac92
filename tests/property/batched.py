"""Packets may come one by one, several at one moment, or with a moment each: one answer.

A story is told to a gateway and its model. What it says of packets is kept, and told to three
more gateways when something else happens, to each in another way. A digest of all that they
show tells whether two such stories went alike.
"""

from collections.abc import Callable, Sequence
from hashlib import sha256
from itertools import groupby
from typing import ClassVar, Final, NamedTuple

from attrs import evolve

from firezone_filter import Decision, Direction, Gateway, GatewayOptions, TunnelAddresses
from firezone_filter.values.counters import Counters
from tests.property.twins import Twins, outcome

COUNTED_EVERY: Final = 5
"""Batches between two looks at the counters. `counters` sweeps out what is over, which would
hide it if nothing else did."""


class Given(NamedTuple):
    """The arguments of `handle_packet`."""

    direction: Direction
    packet: bytes
    now: float | None
    client_id: str | None


def alone(gateway: Gateway, several: Sequence[Given]) -> list[Decision]:
    return [gateway.handle_packet(*one) for one in several]


def together(gateway: Gateway, several: Sequence[Given]) -> list[Decision]:
    """Hand in what comes at one moment, from one side, with one call of `handle_packets`."""
    decisions: list[Decision] = []
    for (direction, now, client_id), group in groupby(
        several, lambda one: (one.direction, one.now, one.client_id)
    ):
        packets = [one.packet for one in group]
        decisions += gateway.handle_packets(direction, packets, now, client_id)
    return decisions


def as_they_come(gateway: Gateway, several: Sequence[Given]) -> list[Decision]:
    """Hand in all with one call of `handle_batch`; without ids, if none is named."""
    directions, packets, nows, client_ids = zip(*several, strict=True)
    if any(one is not None for one in client_ids):
        return gateway.handle_batch(directions, packets, nows, client_ids)
    return gateway.handle_batch(directions, packets, nows)


HOSTS: Final[tuple[Callable[[Gateway, Sequence[Given]], list[Decision]], ...]] = (
    alone,
    as_they_come,
    together,
)


class Batched(Twins):
    """What is asked of one gateway is asked of those of all hosts, packets a little later."""

    flow_records: ClassVar[bool] = False

    def __init__(self, addresses: TunnelAddresses, options: GatewayOptions) -> None:
        super().__init__(addresses, options)
        recording = evolve(options, flow_records=self.flow_records)
        self.gateways = [Gateway(addresses, options=recording) for _ in HOSTS]
        self.waiting: list[tuple[Given, Decision]] = []
        self.batches = self.longest = 0
        self.digest = sha256()

    def see(self, *seen: object) -> None:
        self.digest.update(repr(seen).encode())

    def call(self, name: str, *args: object, **kwargs: object) -> object:
        self.hand_in()
        ours = super().call(name, *args, **kwargs)
        for gateway in self.gateways:
            theirs = outcome(lambda one=gateway: getattr(one, name)(*args, **kwargs))  # type: ignore[misc]
            assert theirs == ours, self.explain(theirs, ours)
        self.see(name, ours)
        return ours

    def packet(
        self,
        direction: Direction,
        packet: bytes,
        now: float | None = None,
        client_id: str | None = None,
    ) -> Decision:
        ours = super().packet(direction, packet, now, client_id)
        self.waiting.append((Given(direction, packet, now, client_id), ours))
        return ours

    def packets(
        self,
        direction: Direction,
        packets: Sequence[bytes],
        now: float | None = None,
        client_id: str | None = None,
    ) -> list[Decision]:
        if not packets:
            # It brings a moment all the same.
            self.hand_in()
            for gateway in self.gateways:
                assert gateway.handle_packets(direction, [], now, client_id) == []
        ours = super().packets(direction, packets, now, client_id)
        self.waiting += [
            (Given(direction, packet, now, client_id), decision)
            for packet, decision in zip(packets, ours, strict=True)
        ]
        return ours

    def hand_in(self) -> None:
        """Let all decide about what has waited, and compare what they say and show."""
        if not self.waiting:
            return
        several = [given for given, _ in self.waiting]
        ours = [decision for _, decision in self.waiting]
        self.waiting.clear()
        self.batches += 1
        self.longest = max(self.longest, len(several))
        for gateway, host in zip(self.gateways, HOSTS, strict=True):
            theirs = host(gateway, several)
            assert theirs == ours, self.explain(theirs, ours)
        first, *others = ([*iter(one.poll_event, None)] for one in self.gateways)
        for other in others:
            assert other == first, self.explain(other, first)
        self.see(ours, first, [one.poll_timeout() for one in self.gateways])
        if self.batches % COUNTED_EVERY == 0:
            self.compare_counters(*(one.counters() for one in self.gateways))

    def compare_counters(self, single: Counters, batched: Counters, grouped: Counters) -> None:
        assert batched == single, self.explain(batched, single)
        # A `now` of many packets steps back once.
        grouped = evolve(grouped, clock_steps_back=single.clock_steps_back)
        assert grouped == single, self.explain(grouped, single)
        self.see(single)


class Recording(Batched):
    """The same with flow records."""

    flow_records = True
