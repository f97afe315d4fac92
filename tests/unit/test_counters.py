"""`Gateway.counters`: how many there are of everything, and what was refused."""

import pickle

import pytest
from attrs.exceptions import FrozenInstanceError

from firezone_filter import (
    CidrResource,
    Counters,
    Direction,
    Gateway,
    GatewayOptions,
    Icmp,
    Reason,
    Tcp,
    Udp,
)
from tests.builders import fragment, udp
from tests.records import RECORDING, fetched, recording
from tests.scenes import (
    ALICE,
    GATEWAY,
    INBOUND,
    OUTBOUND,
    V4,
    V6,
    Family,
    both_directions,
    both_families,
    gateway_for_alice,
)
from tests.translations import N4, N6, TICK, app, gateway_with, resolve

both_options = pytest.mark.parametrize("options", [GatewayOptions(), RECORDING], ids=["off", "on"])

TRAFFIC = ("recorded_flows", "tx_packets", "tx_bytes", "rx_packets", "rx_bytes")


def refused(gateway: Gateway) -> dict[tuple[Direction, Reason], int]:
    """Return the refusals that are not 0."""
    return {key: count for key, count in gateway.counters().refusals.items() if count}


# --- The value --------------------------------------------------------------------------------


def test_a_new_gateway_has_nothing() -> None:
    assert Gateway(GATEWAY).counters() == Counters(
        refusals={(way, reason): 0 for way in Direction for reason in Reason},
        clients=0,
        authorizations=0,
        cached_flows=0,
        nat_sessions=0,
        fragments=0,
    )


def test_counters_are_frozen_and_have_slots() -> None:
    counters = Gateway(GATEWAY).counters()
    with pytest.raises(FrozenInstanceError):
        counters.clients = 1  # type: ignore[misc]
    assert not hasattr(counters, "__dict__")


def test_counters_survive_pickle() -> None:
    counters = recording(V4.db()).counters()
    assert pickle.loads(pickle.dumps(counters)) == counters  # noqa: S301 - our own bytes


@both_options
def test_counters_stay_as_they_were(options: GatewayOptions) -> None:
    gateway = gateway_for_alice(V4.db(), options=options)
    before, again = gateway.counters(), gateway.counters()
    gateway.handle_packet(OUTBOUND, V4.udp(OUTBOUND))
    gateway.handle_packet(OUTBOUND, b"")
    gateway.client_disconnected("bob")
    assert before == again != gateway.counters()


@both_options
def test_to_ask_changes_nothing(options: GatewayOptions) -> None:
    gateway = gateway_for_alice(V4.db(), options=options)
    gateway.handle_packet(OUTBOUND, V4.udp(OUTBOUND))
    due = gateway.poll_timeout()
    assert gateway.counters() == gateway.counters()
    assert gateway.poll_timeout() == due


# --- Refusals -----------------------------------------------------------------------------------


@both_options
@both_directions
def test_refused_packets_are_counted_by_direction_and_reason(
    direction: Direction, options: GatewayOptions
) -> None:
    gateway = gateway_for_alice(V4.db(Tcp(443), Icmp()), options=options)
    for packet in (V4.udp(direction), V4.udp(direction), V4.tcp(direction, 22), b""):
        gateway.handle_packet(direction, packet)
    assert refused(gateway) == {
        (direction, Reason.UDP_PORT): 2,
        (direction, Reason.TCP_PORT): 1,
        (direction, Reason.MALFORMED): 1,
    }


@both_options
def test_rejections_and_drops_count_alike(options: GatewayOptions) -> None:
    gateway = gateway_for_alice(options=options)
    kinds = {type(gateway.handle_packet(OUTBOUND, V4.udp(OUTBOUND))) for _ in range(200)}
    assert len(kinds) == 2
    assert refused(gateway) == {(OUTBOUND, Reason.NO_RESOURCE): 200}


@both_options
def test_packets_of_a_batch_count_each(options: GatewayOptions) -> None:
    gateway = gateway_for_alice(options=options)
    gateway.handle_packets(INBOUND, [V4.udp(INBOUND), b"", V6.udp(INBOUND)])
    assert refused(gateway) == {
        (INBOUND, Reason.NO_RESOURCE): 2,
        (INBOUND, Reason.MALFORMED): 1,
    }


@both_options
def test_allowed_packets_are_no_refusals(options: GatewayOptions) -> None:
    gateway = gateway_for_alice(V4.db(), options=options)
    for _ in range(3):
        gateway.handle_packet(OUTBOUND, V4.udp(OUTBOUND))
        gateway.handle_packet(INBOUND, V4.udp(INBOUND))
    assert refused(gateway) == {}


@both_options
def test_refusals_outlive_their_client(options: GatewayOptions) -> None:
    gateway = gateway_for_alice(options=options)
    gateway.handle_packet(OUTBOUND, V4.udp(OUTBOUND))
    gateway.client_disconnected("alice")
    assert refused(gateway) == {(OUTBOUND, Reason.NO_RESOURCE): 1}


# --- What there is ------------------------------------------------------------------------------


@both_options
def test_clients_and_authorizations_are_those_of_now(options: GatewayOptions) -> None:
    gateway = gateway_for_alice(V4.db(), options=options)
    gateway.authorize("alice", CidrResource("six", V6.network), expires_at=5.0)
    gateway.authorize("bob", V4.db())
    counters = gateway.counters()
    assert (counters.clients, counters.authorizations) == (2, 3)
    gateway.handle_timeout(5.0)
    assert gateway.counters().authorizations == 2
    gateway.client_disconnected("bob")
    counters = gateway.counters()
    assert (counters.clients, counters.authorizations) == (1, 1)


@both_options
@both_directions
def test_flows_are_cached_each_direction_for_itself(
    direction: Direction, options: GatewayOptions
) -> None:
    gateway = gateway_for_alice(V4.db(), options=options)
    for packet in (V4.udp(direction), V4.tcp(direction), V4.udp(direction), V4.tcp(direction)):
        gateway.handle_packet(direction, packet)
    assert gateway.counters().cached_flows == 2
    gateway.authorize("alice", V4.db())
    assert gateway.counters().cached_flows == 0


@both_options
def test_what_is_not_remembered_is_no_cached_flow(options: GatewayOptions) -> None:
    gateway = gateway_for_alice(V4.db(Udp(53)), options=options)
    for packet in (
        V4.udp(OUTBOUND, 54),
        udp(V4.flow(OUTBOUND, 53), options=b"\x01"),
        fragment(udp(V4.flow(OUTBOUND, 53), bytes(64)), 0, 24),
    ):
        gateway.handle_packet(OUTBOUND, packet)
    assert gateway.counters().cached_flows == 0


@both_options
def test_translated_flows_are_cached_too(options: GatewayOptions) -> None:
    gateway = gateway_with(N4, options=options)
    gateway.handle_packet(OUTBOUND, N4.sent("tcp"))
    gateway.handle_packet(INBOUND, N4.came("tcp"))
    counters = gateway.counters()
    assert (counters.cached_flows, counters.nat_sessions) == (2, 1)


@both_options
def test_sessions_of_all_clients_count(options: GatewayOptions) -> None:
    gateway = gateway_with(N4, options=options)
    resolve(gateway, N6)
    gateway.authorize("bob", app())
    for packet in (N4.sent("tcp"), N4.sent("udp"), N6.sent("echo"), N4.sent("udp", 1)):
        gateway.handle_packet(OUTBOUND, packet)
    assert gateway.counters().nat_sessions == 4
    gateway.client_disconnected("alice")
    assert gateway.counters().nat_sessions == 0


@both_options
def test_a_session_whose_time_is_over_does_not_count_whoever_has_noticed(
    options: GatewayOptions,
) -> None:
    gateway = gateway_with(N4, options=options)
    gateway.handle_packet(OUTBOUND, N4.sent("udp"), 0.0)
    gateway.handle_packet(OUTBOUND, b"", 60.0 - TICK)
    assert gateway.counters().nat_sessions == 1
    gateway.handle_packet(OUTBOUND, b"", 60.0)
    assert gateway.counters().nat_sessions == 0


@both_options
@both_families
def test_first_fragments_count_until_their_time_is_over(
    family: Family, options: GatewayOptions
) -> None:
    gateway = gateway_for_alice(family.db(), options=options)
    for way in (OUTBOUND, INBOUND):
        whole = udp(family.flow(way, 53), bytes(64))
        gateway.handle_packet(way, fragment(whole, 0, 24), 0.0)
        gateway.handle_packet(way, fragment(whole, 24), 0.0)
    assert gateway.counters().fragments == 2
    gateway.handle_packet(OUTBOUND, b"", 30.0 - TICK)
    assert gateway.counters().fragments == 2
    gateway.handle_packet(OUTBOUND, b"", 30.0)
    assert gateway.counters().fragments == 0


# --- With flow records --------------------------------------------------------------------------


def test_without_records_there_is_nothing_to_count_of_flows() -> None:
    gateway = gateway_for_alice(V4.db())
    gateway.handle_packet(OUTBOUND, V4.udp(OUTBOUND))
    counters = gateway.counters()
    assert [getattr(counters, name) for name in TRAFFIC] == [None] * 5
    assert counters.flow_events_lost == 0


def test_with_records_packets_and_bytes_are_counted_from_zero() -> None:
    counters = recording().counters()
    assert [getattr(counters, name) for name in TRAFFIC] == [0] * 5


def test_packets_and_bytes_are_those_of_open_and_of_ended_records() -> None:
    gateway = recording(V4.db())
    gateway.handle_packet(OUTBOUND, V4.udp(OUTBOUND, size=1))
    gateway.handle_packet(INBOUND, V4.udp(INBOUND, size=20))
    gateway.revoke("alice", "db")
    gateway.authorize("alice", V6.db())
    gateway.handle_packet(OUTBOUND, V6.udp(OUTBOUND, size=300))
    counters = gateway.counters()
    assert [getattr(counters, name) for name in TRAFFIC] == [1, 2, 301, 1, 20]


def test_what_is_in_no_record_is_not_counted() -> None:
    gateway = recording(V4.db())
    gateway.handle_packet(INBOUND, V4.udp(INBOUND, size=20))
    gateway.handle_packet(OUTBOUND, V4.udp(OUTBOUND, far=V4.gateway))
    gateway.handle_packet(OUTBOUND, V4.tcp(OUTBOUND))
    counters = gateway.counters()
    assert [getattr(counters, name) for name in TRAFFIC] == [0] * 5


def test_totals_never_go_down() -> None:
    gateway = recording(V4.db())
    gateway.handle_packet(OUTBOUND, V4.udp(OUTBOUND, size=1))
    gateway.client_connected("alice", ALICE)
    gateway.client_disconnected("alice")
    fetched(gateway)
    gateway.handle_timeout(1_000.0)
    counters = gateway.counters()
    assert [getattr(counters, name) for name in TRAFFIC] == [0, 1, 1, 0, 0]
