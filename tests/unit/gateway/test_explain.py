"""Asking why leaves no trace in anything that can be reached from a gateway."""

from collections.abc import Callable

import pytest
from attrs import evolve

from firezone_filter import CidrResource, DnsResource, Gateway, GatewayOptions, InternetResource
from tests.scenes import OUTBOUND, V4
from tests.translations import N4, N6, NAME
from tests.unit.gateway.everything import (
    NOT_RECORDED,
    NOW,
    RECORDED,
    cases,
    gateway_with_everything,
)
from tests.unit.gateway.test_judge import State

CASES = cases()[::5]
MOMENTS = (None, NOW, NOW + 29.0, NOW + 119.0, NOW + 10_000.0)
STATEFUL = evolve(RECORDED, stateful=True)

CROWD = 8
"""So many resources of one place are indexed."""


def crowded(options: GatewayOptions) -> Gateway:
    """Let each place have many resources, which end one after the other; some have already."""
    gateway = gateway_with_everything(options)
    for number in range(CROWD):
        ends = {"expires_at": NOW + 15.0 * (number + 1)}
        gateway.authorize("alice", CidrResource(f"net-{number}", V4.network), **ends)
        excluding = CidrResource(f"ex-{number}", V4.network, exclude=["10.0.0.9/32"])
        gateway.authorize("alice", excluding, **ends)
        gateway.authorize("alice", InternetResource(f"public-{number}"), **ends)
        gateway.authorize("alice", DnsResource(f"name-{number}", "**.example.com"), **ends)
        for names in (N4, N6):
            gateway.domain_resolved(
                "alice",
                f"name-{number}",
                NAME,
                proxy_addresses=names.proxies,
                resolved_addresses=names.real[:2],
            )
    # Nothing takes apart what has ended by now, and nobody has asked for it.
    gateway.handle_packet(OUTBOUND, b"", NOW + 20.0)
    return gateway


@pytest.mark.parametrize(
    "options", [NOT_RECORDED, RECORDED, STATEFUL], ids=["plain", "recorded", "stateful"]
)
@pytest.mark.parametrize("make", [gateway_with_everything, crowded])
def test_nothing_that_can_be_reached_from_a_gateway_changes(
    make: Callable[[GatewayOptions], Gateway], options: GatewayOptions
) -> None:
    gateway = make(options)
    before = State(gateway).told
    for now in MOMENTS:
        for case in CASES:
            gateway.explain(case.direction, case.packet, now, case.client_id)
    assert State(gateway).told == before
