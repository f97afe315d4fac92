"""Flow records over random stories: those of a naive model, and not one decision different."""

import random
from collections import Counter
from unittest.mock import patch

import dpkt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firezone_filter import (
    CidrResource,
    FlowEnd,
    FlowEnded,
    Gateway,
    GatewayOptions,
    TunnelAddresses,
)
from firezone_filter.gateway.flow_cache import ClientFlowCache
from firezone_filter.testing import SYN
from tests.property import story
from tests.property.pools import CLIENTS, OUTBOUND, OWN, TUNNEL
from tests.property.recorded import RecordedTwins, maxima
from tests.property.story import Story
from tests.property.strategies import kinds, layouts, ports, versions, whole
from tests.scenes import at

STEPS = 200
QUICK, THOROUGH = 60, 240
"""Stories; each has about 175 packets."""

FEW_OPEN, FEW_EVENTS = 3, 12
"""So few that some stories come to the limits."""


def told_story(seed: int, steps: int = STEPS, *, stateful: bool = False) -> RecordedTwins:
    """Tell a story to recorded twins, to its end."""
    with patch.object(story, "Twins", RecordedTwins):
        one = Story(random.Random(seed), stateful=stateful)
    twins = one.twins
    assert isinstance(twins, RecordedTwins)
    twins.log.insert(0, f"seed {seed}")
    one.tell(steps)
    twins.end(one.now)
    return twins


@pytest.fixture(scope="module")
def tally(*, thorough: bool) -> Counter[str]:
    """Tell the stories, a third of them with little room; return what was hit how often."""
    hit: Counter[str] = Counter()
    for seed in range(0, THOROUGH if thorough else QUICK, 3):
        hit.update(told_story(seed).tally)
        hit.update(told_story(seed + 1).tally)
        with maxima(max_open=FEW_OPEN, max_events=FEW_EVENTS):
            twins = told_story(seed + 2)
        hit.update(twins.tally)
        hit["lost"] += twins.gateway.counters().flow_events_lost
    for seed in range(0, THOROUGH if thorough else QUICK, 6):
        hit.update(told_story(seed, stateful=True).tally)
    return hit


def test_a_gateway_and_its_model_keep_the_same_books(
    tally: Counter[str], *, thorough: bool
) -> None:
    packets = sum(n for what, n in tally.items() if what.startswith(("outbound", "inbound")))

    assert packets >= (25_000 if thorough else 6_000)


@pytest.mark.parametrize("cause", FlowEnd)
def test_stories_end_flows_by_each_cause(
    cause: FlowEnd, tally: Counter[str], *, thorough: bool
) -> None:
    assert tally[f"event {cause}"] >= (10 if thorough else 1)


@pytest.mark.parametrize("what", ["event FlowStarted", "event FlowRefused", "lost"])
def test_stories_reach_each_outcome(what: str, tally: Counter[str], *, thorough: bool) -> None:
    assert tally[what] >= (120 if thorough else 10)


@given(st.integers(0, 2**32))
def test_packets_and_bytes_of_all_records_equal_those_decided(seed: int) -> None:
    twins = told_story(seed, 100)
    counters, refused = twins.gateway.counters(), twins.refused()

    for name in ("tx_packets", "tx_bytes", "rx_packets", "rx_bytes"):
        assert sum(getattr(one, name) for one in twins.ended()) == getattr(counters, name)
    assert sum(one.packets for one in refused) == sum(counters.refusals.values())
    assert counters.recorded_flows == counters.flow_events_lost == 0


def forgetful(*_: object, **__: object) -> None:
    """Remember nothing."""


@given(st.integers(0, 2**32), st.booleans())
def test_records_are_the_same_if_nothing_is_remembered(seed: int, stateful: bool) -> None:  # noqa: FBT001
    with patch.object(ClientFlowCache, "store", forgetful):
        told_story(seed, 100, stateful=stateful)


# --- Against dpkt ------------------------------------------------------------------------------


@st.composite
def beginnings(draw: st.DrawFn) -> bytes:
    """Draw a packet of Alice's that goes into a record, whatever came before it."""
    version = draw(versions)
    near, far = at(TUNNEL[version][0], draw(ports)), at("10.0.0.5", 7)
    if version == 6:
        far = at("fd10::5", 7)
    layout = draw(layouts(version))
    return whole(draw(kinds), f"{near} > {far}", draw(st.binary(max_size=64)), flag=SYN, **layout)


def dpkt_payload(packet: bytes) -> int:
    """Return how long the payload is, by another reader of packets."""
    read = dpkt.ip.IP(packet) if packet[0] >> 4 == 4 else dpkt.ip6.IP6(packet)
    transport = read.data
    # Of an echo, the id and the sequence number are header too.
    carried = transport.data
    return len(getattr(carried, "data", carried))


@given(st.lists(st.tuples(beginnings(), st.sampled_from((0.0, 1.0, 121.0))), max_size=12))
def test_what_the_records_count_is_what_another_reader_of_packets_counts(
    packets: list[tuple[bytes, float]],
) -> None:
    gateway = Gateway(OWN[0], options=GatewayOptions(flow_records=True))
    gateway.client_connected(CLIENTS[0], TunnelAddresses(TUNNEL[4][0], TUNNEL[6][0]), 0.0)
    gateway.authorize(CLIENTS[0], CidrResource("four", "10.0.0.0/8"))
    gateway.authorize(CLIENTS[0], CidrResource("six", "fd10::/16"))

    now = 0.0
    for packet, wait in packets:
        now += wait
        gateway.handle_timeout(now)
        assert gateway.handle_packet(OUTBOUND, packet).allowed
    gateway.client_disconnected(CLIENTS[0])

    ended = [event for event in iter(gateway.poll_event, None) if isinstance(event, FlowEnded)]
    assert sum(one.tx_packets for one in ended) == len(packets)
    assert sum(one.tx_bytes for one in ended) == sum(dpkt_payload(one) for one, _ in packets)
