"""Stories that are told again, call by call, to gateways that remember more or less."""

import random
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import product
from typing import NamedTuple
from unittest.mock import patch

from attrs import evolve

from firezone_filter import (
    Decision,
    Direction,
    DnsResource,
    Event,
    Gateway,
    GatewayOptions,
    TunnelAddresses,
)
from firezone_filter.values.counters import Counters
from tests.builders import TCP, UDP
from tests.model.packets import parse
from tests.property import story
from tests.property.pools import CLIENTS, DOMAINS, INBOUND, OUTBOUND, OWN, PORTS, PROXIES
from tests.property.story import Story
from tests.property.twins import Twins, outcome
from tests.property.wire import with_word

Clock = Callable[[float | None], float | None]
"""Which object stands for a moment."""


class Teller(NamedTuple):
    """A gateway that a story is told to."""

    gateway: Gateway
    clock: Clock
    remembers: bool
    """Whether anything is remembered from one packet to the next."""

    def forget(self) -> None:
        """Forget every decision, as if there were no memory."""
        if not self.remembers:
            for client in self.gateway._clients.by_id.values():
                client.flow_cache.invalidate()


Call = Callable[[Teller], object]

COUNTED_EVERY = 25
"""Calls between two looks at the counters."""


class Noted(Twins):
    """Twins that note down what they are asked."""

    def __init__(self, addresses: TunnelAddresses, options: GatewayOptions) -> None:
        super().__init__(addresses, options)
        self.options = options
        self.calls: list[Call] = []

    def call(self, name: str, *args: object, **kwargs: object) -> object:
        self.calls.append(lambda teller: getattr(teller.gateway, name)(*args, **kwargs))
        return super().call(name, *args, **kwargs)

    def packet(
        self,
        direction: Direction,
        packet: bytes,
        now: float | None = None,
        client_id: str | None = None,
    ) -> Decision:
        def again(teller: Teller) -> Decision:
            teller.forget()
            return teller.gateway.handle_packet(
                direction, packet, teller.clock(now), client_id=client_id
            )

        self.calls.append(again)
        return super().packet(direction, packet, now, client_id)

    def packets(
        self,
        direction: Direction,
        packets: Sequence[bytes],
        now: float | None = None,
        client_id: str | None = None,
    ) -> list[Decision]:
        def again(teller: Teller) -> list[Decision]:
            together = partial(
                teller.gateway.handle_packets,
                direction,
                now=teller.clock(now),
                client_id=client_id,
            )
            if teller.remembers:
                return together(packets)
            # They come together also if there are none of them.
            decisions = together([])
            for packet in packets:
                teller.forget()
                decisions += together([packet])
            return decisions

        self.calls.append(again)
        return super().packets(direction, packets, now, client_id)


class ManyFlows(Story):
    """A story with few names, and many flows to the same ports, permitted or refused."""

    def begin(self) -> None:
        self.tried: dict[Direction, list[bytes]] = {OUTBOUND: [], INBOUND: []}
        super().begin()
        for client_id, resource in product(CLIENTS, self.resources):
            if not isinstance(resource, DnsResource) and self.sometimes(0.3):
                self.twins.call("authorize", client_id, resource, expires_at=None)

    def resolve(self, client_id: str | None = None) -> None:
        # Once a name has resolved, there is a NAT to ask about what comes in.
        if self.sometimes(0.1):
            super().resolve(client_id)

    def hook(self) -> None:
        # Each empties the memory of a client, mostly.
        if self.sometimes(0.4):
            super().hook()

    def build(self, direction: Direction) -> bytes:
        tried = self.tried[direction]
        passed = [one for way, one in self.seen if way is direction and has_ports(one)]
        if passed and self.sometimes(0.4):
            return self.from_another_port(self.draw.choice(passed), direction)
        if tried and self.sometimes(0.5):
            return self.from_another_port(self.draw.choice(tried), direction)
        packet = super().build(direction)
        if has_ports(packet):
            self.tried[direction] = [*tried[-5:], packet]
        return packet

    def from_another_port(self, packet: bytes, direction: Direction) -> bytes:
        """Let a packet have another port at the client's end."""
        read = parse(packet)
        assert read is not None
        place = read.transport_at + (0 if direction is OUTBOUND else 2)
        checksum = read.transport_at + (16 if read.protocol == TCP else 6) - place
        return with_word(packet, place, checksum, self.draw.choice(PORTS).to_bytes(2))


class Vanishing(ManyFlows):
    """A story whose names resolve to nothing every other time, while their flows go on."""

    def hook(self) -> None:
        if self.sometimes(0.5):
            self.resolve()
        else:
            super().hook()

    def resolve(self, client_id: str | None = None) -> None:
        if self.sometimes(0.5):
            Story.resolve(self, client_id)
            return
        client_id = client_id or self.client()
        for resource_id in self.twins.held(client_id):
            number = self.draw.randrange(2)
            mine = slice(2 * number, 2 * number + 2)
            self.twins.call(
                "domain_resolved",
                client_id,
                resource_id,
                DOMAINS[number],
                proxy_addresses=[*PROXIES[4][mine], *PROXIES[6][mine]],
                resolved_addresses=[],
            )


def has_ports(packet: bytes) -> bool:
    read = parse(packet)
    return read is not None and not read.is_later_fragment and read.protocol in (TCP, UDP)


def noted(kind: type[Story], seed: int, steps: int) -> Noted:
    """Tell a story to twins, and return them with what they noted down."""
    with patch.object(story, "Twins", Noted):
        one = kind(random.Random(seed))
    twins = one.twins
    assert isinstance(twins, Noted)
    twins.log.insert(0, f"{kind.__name__} {seed}")
    one.tell(steps)
    return twins


class Told(NamedTuple):
    """What a gateway has to say after a call."""

    decided: object
    events: list[Event]
    counters: Counters | None
    poll_timeout: float | None


def retold(twins: Noted, *, clock: Clock, remembers: bool, flow_records: bool) -> Iterator[Told]:
    """Tell a story again, from its beginning; return what is said after each of its calls.

    Args:
        twins: with what they noted down.
        clock: which object stands for a moment.
        remembers: whether anything is remembered from one packet to the next.
        flow_records: whether flows are recorded.
    """
    gateway = Gateway(OWN[0], options=evolve(twins.options, flow_records=flow_records))
    teller = Teller(gateway, clock, remembers)
    for number, call in enumerate(twins.calls, 1):
        decided = outcome(partial(call, teller))
        events: list[Event] = list(iter(gateway.poll_event, None))
        counters = None
        # Who counts looks what is over: not always, so that it is noticed by others as well.
        if number % COUNTED_EVERY == 0 or number == len(twins.calls):
            # What is remembered is all that may differ.
            counters = evolve(gateway.counters(), cached_flows=0)
        yield Told(decided, events, counters, gateway.poll_timeout())
