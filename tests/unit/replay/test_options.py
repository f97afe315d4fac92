"""The options of a replay: those of the policy, but for the records of flows."""

import io
from typing import Any, TypeAlias

import pytest
from attrs import evolve

from firezone_filter.gateway.gateway import Gateway
from firezone_filter.policy import Policy
from firezone_filter.replay.by_packet import replay_packets
from firezone_filter.replay.outputs.tables import FlowWriter, JsonLines
from firezone_filter.replay.summary import Tally
from firezone_filter.values.decisions import Direction
from firezone_filter.values.filters import Icmp, Udp
from firezone_filter.values.options import GatewayOptions
from tests.captures import GATEWAY, REFUSED, START_S, ping, policy, record

Given: TypeAlias = Any

RECORDS = [record(REFUSED, START_S)]


def under(**options: Given) -> Policy:
    return evolve(policy(), options=GatewayOptions(**options))


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[GatewayOptions]:
    """Collect the options that gateways are made with."""
    seen: list[GatewayOptions] = []

    class Watched(Gateway):
        def __init__(self, *arguments: Given, options: GatewayOptions, **more: Given) -> None:
            seen.append(options)
            super().__init__(*arguments, options=options, **more)

    monkeypatch.setattr("firezone_filter.policy.building.Gateway", Watched)
    return seen


@pytest.mark.parametrize(
    "options",
    [{}, {"stateful": True, "max_flows": 7}, {"reject_rate": 1, "own_filters": [Icmp([8])]}],
)
def test_the_gateway_has_the_options_of_the_policy(
    options: Given, given: list[GatewayOptions]
) -> None:
    replay_packets(RECORDS, under(**options))
    assert given == [GatewayOptions(**options)]


@pytest.mark.parametrize("in_policy", [False, True])
@pytest.mark.parametrize(
    "flows", [None, FlowWriter(JsonLines(io.BytesIO()))], ids=["no writer", "writer"]
)
def test_flows_are_recorded_where_there_is_a_writer_for_them_whatever_the_policy_says(
    flows: FlowWriter | None, given: list[GatewayOptions], *, in_policy: bool
) -> None:
    summary = replay_packets(RECORDS, under(flow_records=in_policy, stateful=True), flows=flows)
    assert given == [GatewayOptions(flow_records=flows is not None, stateful=True)]
    assert summary == replay_packets(RECORDS, under(stateful=True))


def test_refused_packets_are_dropped_where_the_policy_rejects_none() -> None:
    decisions = replay_packets(RECORDS, under(reject=False)).decisions
    assert decisions[Direction.OUTBOUND, "drop"] == Tally(1, len(REFUSED))
    assert decisions[Direction.OUTBOUND, "reject"] == Tally()


def test_the_gateways_own_address_is_filtered_as_the_policy_says() -> None:
    packets = [record(ping(destination=GATEWAY), START_S)]
    for filters, kind in (([Icmp()], "forward"), ([Udp(53)], "reject")):
        summary = replay_packets(packets, under(own_filters=filters))
        assert summary.decisions[Direction.OUTBOUND, kind].packets == 1
