"""Packets through the NAT, next to dpkt; and what a new session costs.

The pathological case is the port search: all 257 ports that it tries are taken, and every
packet of the client that would open a session searches them all again.
"""

from ipaddress import ip_address
from typing import Final

import pytest
from attrs import frozen

from benches import by_hand
from benches.conftest import Measure
from benches.loops import each, timed
from benches.scenes import (
    FAMILIES,
    GATEWAY,
    INBOUND,
    NOW,
    OUTBOUND,
    V4,
    Family,
    packet,
    resolve,
    second_proxy,
)
from firezone_filter import Direction, Drop, Gateway, Reason, Translate

_ROUND: Final = 200
_PORT: Final = 5401
_SEARCHED: Final = 257
_NUMBER: Final = {"tcp": {4: 6, 6: 6}, "udp": {4: 17, 6: 17}, "echo": {4: 1, 6: 58}}
_FULL_SIZE: Final = 1_400


@frozen
class Flow:
    family: Family
    direction: Direction
    protocol: str
    size: int = 64

    def __str__(self) -> str:
        return f"{self.protocol}: {self.family} {self.direction.name.lower()} {self.size} bytes"

    @property
    def group(self) -> str:
        return f"translated {self}"

    def packet(self, direction: Direction) -> bytes:
        far = self.family.proxy if direction is OUTBOUND else self.family.resolved
        return packet(self.family, direction, self.protocol, far=far, size=self.size)

    @property
    def packets(self) -> list[bytes]:
        return [self.packet(self.direction)] * _ROUND

    def translated(self) -> bytes:
        """Return what its packet becomes: built, not translated."""
        far = self.family.resolved if self.direction is OUTBOUND else self.family.proxy
        return packet(self.family, self.direction, self.protocol, far=far, size=self.size)


# Of the module, so that those that are compared run one after the other.
@pytest.fixture(
    scope="module",
    params=[
        *(
            Flow(family, direction, protocol)
            for family in FAMILIES
            for direction in (OUTBOUND, INBOUND)
            for protocol in ("tcp", "udp", "echo")
        ),
        Flow(V4, OUTBOUND, "tcp", _FULL_SIZE),
        Flow(V4, INBOUND, "tcp", _FULL_SIZE),
    ],
    ids=str,
)
def flow(request: pytest.FixtureRequest) -> Flow:
    chosen: Flow = request.param
    return chosen


@pytest.fixture
def gateway() -> Gateway:
    gateway = Gateway(GATEWAY)
    resolve(gateway)
    return gateway


def test_by_hand_with_dpkt(flow: Flow, measure: Measure) -> None:
    family = flow.family
    nat = by_hand.Nat()
    proxy, resolved = (ip_address(text).packed for text in (family.proxy, family.resolved))
    nat.add(_NUMBER[flow.protocol][family.version], _PORT, proxy, resolved)
    packets = flow.packets[:50]
    run = each(nat.translate(flow.direction), packets)
    found = measure(flow.group, "dpkt", run, count=len(packets), rounds=200)
    assert found == flow.translated()


def test_by_the_gateway(flow: Flow, gateway: Gateway, measure: Measure) -> None:
    gateway.handle_packet(OUTBOUND, flow.packet(OUTBOUND))
    gateway.handle_packet(INBOUND, flow.packet(INBOUND))
    run = timed(gateway, flow.direction, flow.packets, NOW)
    decision = measure(flow.group, "gateway", run, count=_ROUND, rounds=200)
    assert decision == Translate(flow.translated(), "alice", "wiki")


def _from_port(port: int, proxy: str) -> bytes:
    return packet(V4, OUTBOUND, client_port=port, far=proxy)


def test_new_sessions(gateway: Gateway, measure: Measure) -> None:
    packets = [_from_port(port, V4.proxy) for port in range(_PORT, _PORT + _ROUND)]
    decision = measure(
        "new session",
        "own port",
        timed(gateway, OUTBOUND, packets, NOW),
        count=_ROUND,
        setup=lambda: resolve(gateway),
        rounds=100,
    )
    assert isinstance(decision, Translate)


def test_no_port_left_for_a_new_session(gateway: Gateway, measure: Measure) -> None:
    for port in range(_PORT, _PORT + _SEARCHED):
        assert gateway.handle_packet(OUTBOUND, _from_port(port, V4.proxy)).allowed
    # Another proxy address for the same host: a session of its own, in the same ports.
    packets = [_from_port(_PORT, second_proxy(V4))] * _ROUND
    run = timed(gateway, OUTBOUND, packets, NOW)
    decision = measure("new session", "no port left", run, count=_ROUND, rounds=50)
    assert decision == Drop(Reason.NAT_EXHAUSTED, "alice")
