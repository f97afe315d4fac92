"""A gateway as a Python object: it is not copied, and is made anew by `__init__`."""

import copy
import pickle
from collections.abc import Callable

import pytest

from firezone_filter import Drop, Forward, Gateway, GatewayOptions, Reason
from tests.scenes import ALICE, GATEWAY, INBOUND, OUTBOUND, V4, V6, gateway_for_alice
from tests.translations import N4, app, resolve


@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_gateway_cannot_be_copied(way: Callable[[Gateway], object]) -> None:
    gateway = gateway_for_alice(V4.db())
    gateway.handle_packet(OUTBOUND, V4.tcp(OUTBOUND), 1.0, "alice")
    with pytest.raises(TypeError):
        way(gateway)
    assert gateway.handle_packet(INBOUND, V4.tcp(INBOUND)) == Forward("alice", "db")


@pytest.mark.parametrize("recorded", [False, True])
def test_a_gateway_that_is_made_anew_knows_nothing_of_before(*, recorded: bool) -> None:
    options = GatewayOptions(flow_records=recorded)
    gateway, fresh = gateway_for_alice(V4.db(), app(), options=options), Gateway(GATEWAY)
    resolve(gateway, N4)
    for packet in (V4.tcp(OUTBOUND), V6.tcp(OUTBOUND), N4.sent(), b""):
        for _ in range(2):
            gateway.handle_packet(OUTBOUND, packet, 1_000.0, "alice")
    gateway.handle_packet(INBOUND, V4.tcp(INBOUND))
    gateway.handle_timeout(1_000.0)

    gateway.__init__(GATEWAY)  # type: ignore[misc]

    fields = ("_now", "_last_now", "_upkeep_at")
    for one in (gateway, fresh):
        assert one.clients() == fresh.clients()
        assert one.counters() == fresh.counters()
        assert (one.poll_timeout(), one.poll_event()) == (None, None)
        assert [getattr(one, field) for field in fields] == [0.0, None, float("-inf")]
        # Time begins anew, and is earlier.
        assert one.handle_packet(OUTBOUND, V4.tcp(OUTBOUND), 5.0) == Drop(
            Reason.UNKNOWN_CLIENT, None
        )
        one.client_connected("alice", ALICE)
        one.authorize("alice", V4.db())
        assert one.handle_packet(OUTBOUND, V4.tcp(OUTBOUND), 6.0) == Forward("alice", "db")
    assert gateway.counters() == fresh.counters()
