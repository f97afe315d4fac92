"""Packets through the NAT, next to the floor and dpkt; what a new session costs, and many.

The first packet of a session stands next to the first one of a flow that is not translated;
10,000 sessions of one client next to 100, each packet of another than the one before. The
pathological case is the port search: all 257 ports that it tries are taken, and every
packet of the client that would open a session searches them all again.
"""

from ipaddress import ip_address
from itertools import cycle, islice
from typing import Final

import pytest
from attrs import frozen

from benches import by_hand, scenes
from benches.conftest import Measure, Scaled
from benches.loops import each, timed
from benches.scenes import (
    FAMILIES,
    FLOWS,
    GATEWAY,
    INBOUND,
    NOW,
    OUTBOUND,
    PORT,
    V4,
    Family,
    packet,
    resolve,
    second_proxy,
)
from firezone_filter import Direction, Drop, Forward, Gateway, Reason, Translate

_ROUND: Final = 200
_PORT: Final = 5401
_SEARCHED: Final = 257
_NUMBER: Final = {"tcp": {4: 6, 6: 6}, "udp": {4: 17, 6: 17}, "echo": {4: 1, 6: 58}}
_FULL_SIZE: Final = 1_400
_MANY: Final = 10_000


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


def test_the_floor(flow: Flow, measure: Measure) -> None:
    packets = flow.packets
    run = each(by_hand.floor(flow.family.version, packets[0]), packets)
    assert measure(flow.group, "floor", run, count=_ROUND, rounds=200) == "permitted"


def test_by_the_gateway(flow: Flow, gateway: Gateway, measure: Measure) -> None:
    gateway.handle_packet(OUTBOUND, flow.packet(OUTBOUND))
    gateway.handle_packet(INBOUND, flow.packet(INBOUND))
    run = timed(gateway, flow.direction, flow.packets, NOW)
    decision = measure(flow.group, "gateway", run, count=_ROUND, rounds=200)
    assert decision == Translate(flow.translated(), "alice", "wiki")


# --- New sessions ------------------------------------------------------------------------


@pytest.mark.parametrize("is_translated", [False, True], ids=["first-packet", "translated"])
@pytest.mark.parametrize("protocol", PORT)
@pytest.mark.parametrize("family", FAMILIES, ids=str)
def test_first_packets(
    family: Family, protocol: str, measure: Measure, *, is_translated: bool
) -> None:
    gateway = Gateway(GATEWAY)
    far = family.proxy if is_translated else family.host
    packets = [
        packet(family, OUTBOUND, protocol, client_port=port, far=far)
        for port in range(_PORT, _PORT + _ROUND)
    ]

    def setup() -> None:
        resolve(gateway)
        gateway.authorize("alice", family.resource())

    decision = measure(
        f"new session: {family} {protocol}",
        "translated" if is_translated else "first packet",
        timed(gateway, OUTBOUND, packets, NOW),
        count=_ROUND,
        setup=setup,
        rounds=200,
    )
    assert isinstance(decision, Translate if is_translated else Forward)


def _from_port(port: int, proxy: str) -> bytes:
    return packet(V4, OUTBOUND, client_port=port, far=proxy)


def test_a_port_of_its_own_for_a_new_session(gateway: Gateway, measure: Measure) -> None:
    packets = [_from_port(port, V4.proxy) for port in range(_PORT, _PORT + _ROUND)]
    run = timed(gateway, OUTBOUND, packets, NOW)

    def setup() -> None:
        resolve(gateway)

    decision = measure("ports", "own port", run, count=_ROUND, setup=setup, rounds=100)
    assert isinstance(decision, Translate)


def test_no_port_left_for_a_new_session(gateway: Gateway, measure: Measure) -> None:
    for port in range(_PORT, _PORT + _SEARCHED):
        assert gateway.handle_packet(OUTBOUND, _from_port(port, V4.proxy)).allowed
    # Another proxy address for the same host: a session of its own, in the same ports.
    packets = [_from_port(_PORT, second_proxy(V4))] * _ROUND
    run = timed(gateway, OUTBOUND, packets, NOW)
    decision = measure("ports", "no port left", run, count=_ROUND, rounds=50)
    assert decision == Drop(Reason.NAT_EXHAUSTED, "alice")


# --- Many sessions -----------------------------------------------------------------------


@pytest.fixture(scope="module", params=FLOWS, ids=str)
def kind(request: pytest.FixtureRequest) -> scenes.Flow:
    chosen: scenes.Flow = request.param
    return chosen


@pytest.mark.parametrize("size", [100, 10_000])
def test_sessions_in_turn(
    kind: scenes.Flow, size: int, scaled: Scaled, gateway: Gateway, measure: Measure
) -> None:
    most = scaled(_MANY)
    sessions: dict[Direction, list[bytes]] = {}
    for direction, far in ((OUTBOUND, kind.family.proxy), (INBOUND, kind.family.resolved)):
        sessions[direction] = [
            packet(kind.family, direction, kind.protocol, client_port=10_000 + number, far=far)
            for number in range(min(size, most))
        ]
        for one in sessions[direction]:
            assert gateway.handle_packet(direction, one, NOW).allowed
    # As many packets in both, so that only the number of sessions differs.
    packets = list(islice(cycle(sessions[kind.direction]), most))
    run = timed(gateway, kind.direction, packets, NOW)
    group = f"sessions in turn: {kind}"
    decision = measure(group, f"{size:,}", run, count=len(packets), rounds=20)
    assert isinstance(decision, Translate)
