"""Refused packets next to first packets that are permitted.

A port scan, or a host that is gone, refuses packet after packet, each of another host here. The
pathological case is one that is answered, with an ICMP error that quotes the packet; a token
bucket bounds those.
"""

import pytest
from attrs import frozen

from benches.conftest import Measure
from benches.loops import timed
from benches.scenes import (
    FAMILIES,
    INBOUND,
    NOW,
    OUTBOUND,
    REFUSED_PORT,
    Family,
    Flow,
    forget_flows,
    gateway_for_alice,
    give_name,
    many_hosts,
)
from firezone_filter import Decision, Drop, Forward, Gateway, GatewayOptions, Reason, Reject

_FEW = 200

_SILENT = GatewayOptions(reject=False)
_NO_TOKEN = GatewayOptions(reject_rate=0.0, reject_burst=0)
_ALWAYS = GatewayOptions(reject_rate=1e9, reject_burst=1_000_000_000)


@frozen
class Traffic:
    """What comes, in one direction, to or from many hosts."""

    flow: Flow
    has_names: bool = False

    def __str__(self) -> str:
        whose = "refused, client with names" if self.has_names else "refused"
        return f"{whose}: {self.flow.family} {self.flow.direction.name.lower()}"

    def gateway(self, options: GatewayOptions = _SILENT) -> Gateway:
        gateway = gateway_for_alice(options=options)
        if self.has_names:
            give_name(gateway)
        return gateway


def _kinds(family: Family) -> list[Traffic]:
    return [
        Traffic(Flow(family, OUTBOUND)),
        Traffic(Flow(family, INBOUND)),
        Traffic(Flow(family, INBOUND), has_names=True),
    ]


# Of the module, so that those that are compared run one after the other.
_KINDS = [kind for family in FAMILIES for kind in _kinds(family)]
_OUTBOUND = [kind for kind in _KINDS if kind.flow.direction is OUTBOUND]

each_kind = pytest.mark.parametrize("traffic", _KINDS, ids=str, scope="module")
each_kind_outbound = pytest.mark.parametrize("traffic", _OUTBOUND, ids=str, scope="module")


@each_kind
def test_a_first_packet_that_is_permitted(traffic: Traffic, measure: Measure) -> None:
    packets = many_hosts(traffic.flow)
    gateway = traffic.gateway()
    decision = measure(
        str(traffic),
        "first packet",
        timed(gateway, traffic.flow.direction, packets, NOW),
        count=len(packets),
        setup=lambda: forget_flows(gateway, traffic.flow.family),
        rounds=60,
    )
    assert decision == Forward("alice", traffic.flow.family.resource_id)


def _measure(
    measure: Measure, side: str, traffic: Traffic, gateway: Gateway, packets: list[bytes]
) -> Decision:
    return measure(
        str(traffic),
        side,
        timed(gateway, traffic.flow.direction, packets, NOW),
        count=len(packets),
        rounds=60,
    )


@each_kind
def test_a_port_that_is_not_permitted(traffic: Traffic, measure: Measure) -> None:
    packets = many_hosts(traffic.flow, port=REFUSED_PORT)
    decision = _measure(measure, "port", traffic, traffic.gateway(), packets)
    assert decision == Drop(Reason.TCP_PORT, "alice")


@each_kind
def test_a_host_of_no_resource(traffic: Traffic, measure: Measure) -> None:
    gateway = traffic.gateway()
    gateway.revoke("alice", traffic.flow.family.resource_id)
    packets = many_hosts(traffic.flow)
    decision = _measure(measure, "no resource", traffic, gateway, packets)
    assert decision == Drop(Reason.NO_RESOURCE, "alice")


@each_kind_outbound
def test_more_than_the_token_bucket_lets_be_answered(traffic: Traffic, measure: Measure) -> None:
    packets = many_hosts(traffic.flow, port=REFUSED_PORT)
    decision = _measure(measure, "no token", traffic, traffic.gateway(_NO_TOKEN), packets)
    assert decision == Drop(Reason.TCP_PORT, "alice")


@each_kind_outbound
def test_with_a_reply(traffic: Traffic, measure: Measure) -> None:
    packets = many_hosts(traffic.flow, port=REFUSED_PORT)[:_FEW]
    decision = _measure(measure, "reply", traffic, traffic.gateway(_ALWAYS), packets)
    assert isinstance(decision, Reject)
    assert decision.reason is Reason.TCP_PORT
