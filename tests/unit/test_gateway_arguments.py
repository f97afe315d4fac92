"""Section 3, Errors, and what the calls take: whatever raises has changed nothing."""

from array import array
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from firezone_filter import (
    AddressPlan,
    CidrResource,
    Direction,
    Drop,
    FirezoneFilterError,
    Forward,
    Gateway,
    GatewayOptions,
    InvalidPolicy,
    Reason,
    Tcp,
    TunnelAddresses,
    UnknownClient,
)
from tests.builders import fragment
from tests.scenes import (
    ALICE,
    BOB,
    GATEWAY,
    INBOUND,
    OUTBOUND,
    V4,
    V6,
    Family,
    both_directions,
    both_families,
    gateway_for_alice,
    rejection,
)

ANYTHING: Any = object()
RELEASED = memoryview(bytes(40))
RELEASED.release()

# --- Packets -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "form",
    [
        bytes,
        bytearray,
        memoryview,
        lambda packet: memoryview(bytearray(packet)),
        lambda packet: memoryview(b"before" + packet + b"after")[6:-5],
        lambda packet: array("B", packet),
    ],
    ids=["bytes", "bytearray", "memoryview", "writable view", "slice", "array"],
)
@both_directions
@both_families
def test_a_packet_is_any_contiguous_bytes_like_object(
    family: Family, direction: Direction, form: Callable[[bytes], bytes]
) -> None:
    gateway = gateway_for_alice(family.db(Tcp(443)))
    packet = form(family.tcp(direction))
    decision = gateway.handle_packet(direction, packet)
    assert decision == Forward("alice", "db")
    assert decision.to_send(packet) is packet
    assert gateway.handle_packets(direction, [packet]) == [decision]


def test_a_packet_is_not_kept_after_the_call() -> None:
    gateway = gateway_for_alice()
    buffer = bytearray(V4.tcp(OUTBOUND))
    decision = gateway.handle_packet(OUTBOUND, buffer)
    assert rejection(decision) == Reason.NO_RESOURCE
    before = decision
    buffer.clear()
    assert decision == before


@pytest.mark.parametrize(
    "packet",
    [
        "text",
        None,
        7,
        [1, 2, 3],
        memoryview(bytes(40))[::2],
        memoryview(bytes(40))[::-1],
        ANYTHING,
        RELEASED,
    ],
    ids=["str", "None", "int", "list", "every other byte", "backwards", "object", "released"],
)
@both_directions
def test_what_is_not_contiguous_bytes_is_a_type_error(
    direction: Direction,
    packet: Any,  # noqa: ANN401 - anything at all
) -> None:
    gateway = gateway_for_alice()
    gateway.authorize("alice", V4.db(), expires_at=1.0)
    with pytest.raises(TypeError):
        gateway.handle_packet(direction, packet, 5.0)
    with pytest.raises(TypeError):
        gateway.handle_packets(direction, [V4.tcp(direction), packet], 5.0)
    assert gateway.authorizations("alice") == {"db": 1.0}


@pytest.mark.parametrize("direction", [None, "outbound", 0, True, Direction, ANYTHING])
def test_a_direction_is_a_direction(direction: Any) -> None:  # noqa: ANN401 - anything at all
    gateway = gateway_for_alice()
    gateway.authorize("alice", V4.db(), expires_at=1.0)
    with pytest.raises(TypeError):
        gateway.handle_packet(direction, V4.tcp(OUTBOUND), 5.0)
    with pytest.raises(TypeError):
        gateway.handle_packets(direction, [], 5.0)
    assert gateway.authorizations("alice") == {"db": 1.0}


@pytest.mark.parametrize("client_id", [7, b"alice", ("alice",), ANYTHING])
@both_directions
def test_a_passed_client_id_is_a_str(
    direction: Direction,
    client_id: Any,  # noqa: ANN401 - anything at all
) -> None:
    gateway = gateway_for_alice()
    gateway.authorize("alice", V4.db(), expires_at=1.0)
    with pytest.raises(TypeError):
        gateway.handle_packet(direction, b"", 5.0, client_id=client_id)
    with pytest.raises(TypeError):
        gateway.handle_packets(direction, [b""], 5.0, client_id=client_id)
    assert gateway.authorizations("alice") == {"db": 1.0}


# --- handle_packets ------------------------------------------------------------------------


@both_directions
@both_families
def test_handle_packets_equals_as_many_single_calls(family: Family, direction: Direction) -> None:
    options = GatewayOptions(reject_rate=0, reject_burst=2)
    whole = family.udp(direction, 53, size=40)
    packets = [
        fragment(whole, 16),
        family.tcp(direction),
        fragment(whole, 0, 16),
        fragment(whole, 16),
        b"",
        family.udp(direction, far=family.stranger),
        family.udp(direction, far=family.neighbour),
        family.udp(direction, far=family.stranger),
        family.tcp(direction),
    ]
    single = gateway_for_alice(family.db(), options=options)
    batch = gateway_for_alice(family.db(), options=options)
    for client_id in (None, "alice", "bob", "nobody"):
        expected = [
            single.handle_packet(direction, packet, 5.0, client_id=client_id) for packet in packets
        ]
        decided = batch.handle_packets(direction, packets, 5.0, client_id=client_id)
        assert decided == expected


def test_handle_packets_takes_any_iterable_and_reads_it_once() -> None:
    gateway = gateway_for_alice(V4.db())

    def packets() -> Iterator[bytes]:
        yield V4.tcp(OUTBOUND)
        yield V4.udp(OUTBOUND)

    expected = [Forward("alice", "db")] * 2
    assert gateway.handle_packets(OUTBOUND, packets()) == expected
    assert gateway.handle_packets(OUTBOUND, tuple(packets())) == expected


def test_no_packets_get_no_decisions() -> None:
    assert gateway_for_alice().handle_packets(INBOUND, []) == []


@pytest.mark.parametrize("packets", [b"E", bytearray(40), memoryview(bytes(40)), "text", 7, None])
def test_a_packet_by_itself_is_no_iterable_of_packets(packets: Any) -> None:  # noqa: ANN401
    gateway = gateway_for_alice()
    gateway.authorize("alice", V4.db(), expires_at=1.0)
    with pytest.raises(TypeError):
        gateway.handle_packets(OUTBOUND, packets, 5.0)
    assert gateway.authorizations("alice") == {"db": 1.0}


def test_a_wrong_type_among_the_packets_raises_before_the_first_is_decided() -> None:
    options = GatewayOptions(reject_rate=0, reject_burst=1)
    gateway = gateway_for_alice(options=options)
    wrong: Any = "text"
    with pytest.raises(TypeError):
        gateway.handle_packets(OUTBOUND, [V4.tcp(OUTBOUND), wrong])
    # The token is still there.
    assert rejection(gateway.handle_packet(OUTBOUND, V4.tcp(OUTBOUND))) == Reason.NO_RESOURCE


# --- Hooks ---------------------------------------------------------------------------------

NO_ADDRESSES: list[Any] = [None, "100.64.0.9", ("100.64.0.9", None), V4.client, ANYTHING]


@pytest.mark.parametrize("addresses", NO_ADDRESSES)
def test_addresses_are_tunnel_addresses(addresses: Any) -> None:  # noqa: ANN401
    gateway = gateway_for_alice(V4.db())
    with pytest.raises(TypeError):
        gateway.client_connected("alice", addresses, 5.0)
    with pytest.raises(TypeError):
        gateway.set_addresses(addresses)
    with pytest.raises(TypeError):
        Gateway(addresses)
    assert gateway.authorizations("alice") == {"db": None}


def test_plan_and_options_are_of_their_types() -> None:
    wrong: Any = {}
    with pytest.raises(TypeError):
        Gateway(GATEWAY, address_plan=wrong)
    with pytest.raises(TypeError):
        Gateway(GATEWAY, options=wrong)
    Gateway(GATEWAY, address_plan=AddressPlan(), options=GatewayOptions())


@pytest.mark.parametrize("name", [None, 7, b"alice", ("alice",), ANYTHING])
def test_ids_are_texts(name: Any) -> None:  # noqa: ANN401 - anything at all
    gateway = gateway_for_alice(V4.db())
    calls: list[Callable[[], object]] = [
        lambda: gateway.client_connected(name, BOB),
        lambda: gateway.client_disconnected(name),
        lambda: gateway.authorize(name, V4.db()),
        lambda: gateway.revoke(name, "db"),
        lambda: gateway.revoke("alice", name),
        lambda: gateway.update_expiry(name, "db", None),
        lambda: gateway.update_expiry("alice", name, None),
        lambda: gateway.authorizations(name),
        lambda: gateway.retain_authorizations({name: {"db"}}),
        lambda: gateway.retain_authorizations({"alice": {name}}),
    ]
    for call in calls:
        with pytest.raises(TypeError):
            call()
    assert gateway.clients() == ("alice", "bob")
    assert gateway.authorizations("alice") == {"db": None}


def test_an_empty_client_id_is_invalid() -> None:
    gateway = gateway_for_alice()
    with pytest.raises(InvalidPolicy) as raised:
        gateway.client_connected("", TunnelAddresses(V4.spare))
    assert raised.value.value == ""
    assert gateway.clients() == ("alice", "bob")


def test_an_empty_id_is_unknown_to_every_other_call() -> None:
    gateway = gateway_for_alice(V4.db())
    assert gateway.client_disconnected("") is False
    assert gateway.revoke("", "db") is False
    assert gateway.revoke("alice", "") is False
    assert gateway.update_expiry("alice", "", None) is False
    with pytest.raises(UnknownClient):
        gateway.authorize("", V4.db())
    with pytest.raises(UnknownClient):
        gateway.authorizations("")


@pytest.mark.parametrize("resource", [None, "db", V4.network, Tcp(443), ANYTHING])
def test_a_resource_is_a_resource(resource: Any) -> None:  # noqa: ANN401 - anything at all
    gateway = gateway_for_alice(V4.db())
    with pytest.raises(TypeError):
        gateway.authorize("alice", resource)
    with pytest.raises(TypeError):
        gateway.update_resource(resource)
    assert gateway.authorizations("alice") == {"db": None}


@pytest.mark.parametrize(
    "authorizations",
    [
        None,
        [("alice", {"db"})],
        {"alice"},
        {"alice": "db"},
        {"alice": b"db"},
        {"alice": None},
        {"alice": 7},
        {"alice": [["db"]]},
        {"alice": {"db"}, "bob": "db"},
    ],
)
def test_retained_authorizations_are_a_mapping_to_sets_of_ids(
    authorizations: Any,  # noqa: ANN401 - anything at all
) -> None:
    gateway = gateway_for_alice(V4.db())
    gateway.authorize("bob", V4.db())
    with pytest.raises(TypeError):
        gateway.retain_authorizations(authorizations)
    assert gateway.authorizations("alice") == {"db": None}
    assert gateway.authorizations("bob") == {"db": None}


# --- Time does not move when a call raises -------------------------------------------------


@pytest.mark.parametrize(
    ("client_id", "addresses"),
    [
        ("", TunnelAddresses(V4.spare)),
        ("carol", BOB),
        ("alice", BOB),
        ("carol", GATEWAY),
        ("carol", TunnelAddresses("10.0.0.5")),
    ],
)
def test_a_connection_that_raises_has_changed_nothing_time_included(
    client_id: str, addresses: TunnelAddresses
) -> None:
    gateway = gateway_for_alice()
    gateway.authorize("alice", V4.db(), expires_at=1.0)
    with pytest.raises(FirezoneFilterError):
        gateway.client_connected(client_id, addresses, 5.0)
    assert gateway.authorizations("alice") == {"db": 1.0}
    assert gateway.poll_event() is None
    assert gateway.clients() == ("alice", "bob")
    assert gateway.handle_packet(OUTBOUND, V4.tcp(OUTBOUND)) == Forward("alice", "db")
    assert gateway.handle_packet(INBOUND, V6.tcp(INBOUND, far=V6.stranger)) == Drop(
        Reason.NO_RESOURCE, "alice"
    )


def test_a_connection_that_raises_does_not_start_the_clock() -> None:
    gateway = gateway_for_alice(now=None)
    with pytest.raises(FirezoneFilterError):
        gateway.client_connected("carol", BOB, 5.0)
    with pytest.raises(FirezoneFilterError):
        gateway.authorize("alice", V4.db(), expires_at=6.0)


def test_a_malformed_packet_raises_nothing() -> None:
    gateway = gateway_for_alice(CidrResource("all", "0.0.0.0/0"))
    for size in range(80):
        for byte in (0x00, 0x45, 0x4F, 0x60, 0xFF):
            decision = gateway.handle_packet(OUTBOUND, bytes([byte] * size), client_id="alice")
            assert not decision.allowed


def test_the_same_addresses_again_are_a_reconnect_and_no_error() -> None:
    gateway = gateway_for_alice(V4.db())
    gateway.client_connected("alice", ALICE)
    assert gateway.authorizations("alice") == {}
