"""A cache is invisible, and packets may come alone or together: twins that must not differ."""

import random
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple
from unittest.mock import patch

import pytest
from attrs import evolve

from firezone_filter import (
    Decision,
    Direction,
    Event,
    Gateway,
    GatewayOptions,
    TunnelAddresses,
)
from firezone_filter.values.counters import Counters
from tests.forgetful import forget_everything_remembered
from tests.property import story
from tests.property.many_flows import ManyFlows, Vanishing
from tests.property.story import Story
from tests.property.twins import Twins, outcome

COUNTED_EVERY: Final = 25
"""Calls between two looks at the counters. `counters` sweeps out sessions that are over, so a
look after every call would hide it if no other call did."""

Decide = Callable[[Gateway, Direction, Sequence[bytes], float | None, str | None], list[Decision]]


# --- How a host may ask -----------------------------------------------------------------------

_MOMENTS: dict[float | None, float | None] = {}


def alone(
    gateway: Gateway,
    direction: Direction,
    packets: Sequence[bytes],
    now: float | None,
    client_id: str | None,
) -> list[Decision]:
    """Hand packets in one by one; equal moments are the same object."""
    now = _MOMENTS.setdefault(now, now)
    if not packets:
        return gateway.handle_packets(direction, [], now, client_id)
    return [gateway.handle_packet(direction, packet, now, client_id) for packet in packets]


def together(
    gateway: Gateway,
    direction: Direction,
    packets: Sequence[bytes],
    now: float | None,
    client_id: str | None,
) -> list[Decision]:
    """Hand packets in together, also where there is one."""
    return gateway.handle_packets(direction, packets, now, client_id)


def forgotten(
    gateway: Gateway,
    direction: Direction,
    packets: Sequence[bytes],
    now: float | None,
    client_id: str | None,
) -> list[Decision]:
    """Let every packet be the first; equal moments are never the same object."""
    if now is not None:
        now = int(now) if now == int(now) else float(repr(now))
    decisions = gateway.handle_packets(direction, [], now, client_id)
    for packet in packets:
        forget_everything_remembered(gateway)
        decisions.append(gateway.handle_packet(direction, packet, now, client_id))
    return decisions


HOSTS: Final[tuple[Decide, ...]] = (alone, together, forgotten)


# --- Twins ------------------------------------------------------------------------------------


class Said(NamedTuple):
    """The answer to a call, and what can be seen after it."""

    decided: object
    events: list[Event]
    counters: Counters | None


class Hosts(Twins):
    """Everything that is asked of one gateway is asked of those of all hosts, and compared."""

    def __init__(self, addresses: TunnelAddresses, options: GatewayOptions) -> None:
        super().__init__(addresses, options)
        # Without flow records, and with them.
        self.gateways = [
            [Gateway(addresses, options=evolve(options, flow_records=one)) for _ in HOSTS]
            for one in (False, True)
        ]
        self.calls = 0
        self.remembered = 0
        """Flows that were, whenever somebody counted."""

    def call(self, name: str, *args: object, **kwargs: object) -> object:
        ours = super().call(name, *args, **kwargs)
        self.compare(ours, lambda gateway, _: getattr(gateway, name)(*args, **kwargs))
        return ours

    def packet(
        self,
        direction: Direction,
        packet: bytes,
        now: float | None = None,
        client_id: str | None = None,
    ) -> Decision:
        ours = super().packet(direction, packet, now, client_id)
        self.compare(
            [ours], lambda gateway, host: host(gateway, direction, [packet], now, client_id)
        )
        return ours

    def packets(
        self,
        direction: Direction,
        packets: Sequence[bytes],
        now: float | None = None,
        client_id: str | None = None,
    ) -> list[Decision]:
        ours = super().packets(direction, packets, now, client_id)
        self.compare(ours, lambda gateway, host: host(gateway, direction, packets, now, client_id))
        return ours

    def compare(self, ours: object, ask: Callable[[Gateway, Decide], object]) -> None:
        self.calls += 1
        for gateways in self.gateways:
            first, *others = [
                self.said(gateway, lambda one=gateway, how=host: ask(one, how))  # type: ignore[misc]
                for gateway, host in zip(gateways, HOSTS, strict=True)
            ]
            assert first.decided == ours, self.explain(first.decided, ours)
            for other in others:
                assert other == first, self.explain(other, first)

    def said(self, gateway: Gateway, call: Callable[[], object]) -> Said:
        decided = outcome(call)
        events: list[Event] = list(iter(gateway.poll_event, None))
        counters = None
        if self.calls % COUNTED_EVERY == 0:
            counters = gateway.counters()
            self.remembered += counters.cached_flows
            # Hosts make different numbers of calls at one moment.
            counters = evolve(counters, cached_flows=0, clock_steps_back=0)
        return Said(decided, events, counters)


@pytest.mark.parametrize("stateful", [False, True], ids=["stateless", "stateful"])
@pytest.mark.parametrize("kind", [Story, ManyFlows, Vanishing])
def test_a_gateway_that_forgets_before_every_packet_says_the_same_as_any_other(
    kind: type[Story], *, stateful: bool, thorough: bool
) -> None:
    remembered = 0
    for seed in range(30_000, 30_040 if thorough else 30_012):
        with patch.object(story, "Twins", Hosts):
            one = kind(random.Random(seed), stateful=stateful)
        assert isinstance(one.twins, Hosts)
        one.twins.log.insert(0, f"{kind.__name__} {seed}")
        one.tell(200)
        remembered += one.twins.remembered
    assert remembered >= 200
