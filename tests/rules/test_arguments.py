"""Section 3: the arguments of calls, their errors, and that a call that raises changes nothing."""

import math
from array import array
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any, Final

import pytest
from attrs import frozen

from firezone_filter import (
    AddressInUse,
    AddressPlan,
    CidrResource,
    Direction,
    DnsResource,
    FirezoneFilterError,
    Forward,
    Gateway,
    GatewayOptions,
    InternetResource,
    InvalidAddress,
    InvalidPolicy,
    InvalidTime,
    Reason,
    Resource,
    Tcp,
    TunnelAddresses,
    Udp,
    UnknownClient,
)
from firezone_filter.testing import fragment
from tests.observed import assert_unchanged, refused_without_effect
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
from tests.translations import N4, app, resolve

Values = dict[str, Any]

NOW: Final = float("1.0")
"""The latest `now`. It is equal to `True`, and comes as the same object again."""

LATER: Final = 5.0
"""A `now` at which the authorization "soon" would expire."""

FIFTY_YEARS: Final = 50 * 365.25 * 24 * 3_600


def busy() -> Gateway:
    """Make a gateway where any change shows: it has state of every kind."""
    options = GatewayOptions(flow_records=True, reject_rate=0, reject_burst=70)
    gateway = gateway_for_alice(
        V4.db(Tcp(443), Udp(53)), app(), InternetResource("web"), options=options, now=NOW
    )
    resolve(gateway, N4)
    gateway.authorize("alice", CidrResource("soon", V6.network), expires_at=2.0)
    gateway.authorize("bob", V4.db())
    gateway.revoke("bob", "db")
    for direction, packet in (
        (OUTBOUND, V4.tcp(OUTBOUND)),
        (INBOUND, V4.tcp(INBOUND)),
        (OUTBOUND, V4.tcp(OUTBOUND, far=V4.gateway)),
        (OUTBOUND, N4.sent()),
        (OUTBOUND, fragment(V4.udp(OUTBOUND, size=40), 0, 16)),
        (OUTBOUND, V4.tcp(OUTBOUND, 444)),
    ):
        gateway.handle_packet(direction, packet, NOW)
    return gateway


# --- Wrong types ------------------------------------------------------------------------------


def released() -> memoryview:
    view = memoryview(bytes(40))
    view.release()
    return view


ANYTHING: Final[Values] = {"none": None, "int": 7, "tuple": ("alice",), "object": object()}
NOT_TEXT: Final[Values] = ANYTHING | {"bytes": b"alice"}
NOT_ADDRESSES: Final[Values] = ANYTHING | {"text": V4.spare}
NOT_RESOURCE: Final[Values] = ANYTHING | {"text": "db", "filter": Tcp(443)}
NOT_DIRECTION: Final[Values] = ANYTHING | {"text": "outbound", "class": Direction, "bool": True}
NOT_PACKET: Final[Values] = ANYTHING | {
    "text": "packet",
    "list": [1, 2],
    "strided": memoryview(bytes(40))[::2],
    "backwards": memoryview(bytes(40))[::-1],
    "released": released(),
}
NOT_PACKETS: Final[Values] = {
    "none": None,
    "int": 7,
    "text": "text",
    "bytes": b"E",
    "no bytes": b"",
    "no text": "",
    "bytearray": bytearray(40),
    "view": memoryview(bytes(40)),
    **{f"last {name}": [V4.tcp(OUTBOUND), packet] for name, packet in NOT_PACKET.items()},
}
NOT_NUMBER: Final[Values] = {
    "bool": True,
    "text": "1",
    "bytes": b"1",
    "complex": 1j,
    "list": [1.0],
}
NOT_TIME: Final[Values] = {
    "inf": math.inf,
    "-inf": -math.inf,
    "nan": math.nan,
    "huge": 10**400,
    "-huge": -(10**400),
    "2242": 2**33,
    "2242.0": 2.0**33,
    "milliseconds": 1_790_000_000_000,
    "nanoseconds": 1.79e18,
}
TOO_FAR: Final[Values] = {
    "unix": 1_790_000_000.0,
    "later": math.nextafter(NOW + FIFTY_YEARS, math.inf),
    "earlier": math.nextafter(NOW - FIFTY_YEARS, -math.inf),
}
"""No `now` of a clock on which it is 1 second."""
NOT_IDS: Final[Values] = {
    "none": None,
    "pairs": [("alice", {"db"})],
    "set": {"alice"},
    "text": {"alice": "db"},
    "bytes": {"alice": b"db"},
    "nothing": {"alice": None},
    "int": {"alice": 7},
    "second": {"alice": {"db"}, "bob": "db"},
    "id": {"alice": {7}},
    "unhashable": {"alice": [["db"]]},
    "client": {7: {"db"}},
}

PACKETS: Final = {
    "established": V4.tcp(OUTBOUND),
    "translated": N4.sent(),
    "new": V4.tcp(OUTBOUND, 445),
    "malformed": b"",
}
"""Arguments are checked on the fast path, on the slow one and for malformed packets alike."""

HERE: Final = object()
"""Where the wrong value stands among the arguments of a call."""


@frozen
class Call:
    """A call with one argument left open, and values that are wrong there."""

    method: str
    arguments: tuple[object, ...]
    wrong: Values
    keyword: str | None = None
    """The argument that is left open, if it is none of *arguments*."""

    def __str__(self) -> str:
        place = self.keyword or self.arguments.index(HERE)
        return f"{self.method}-{place}"

    def __call__(self, gateway: Gateway, wrong: object) -> object:
        arguments = [wrong if one is HERE else one for one in self.arguments]
        keywords = {} if self.keyword is None else {self.keyword: wrong}
        return getattr(gateway, self.method)(*arguments, **keywords)


def without(name: str, values: Values) -> Values:
    return {other: value for other, value in values.items() if other != name}


PASSED_ID: Final = without("none", NOT_TEXT)

# At the moment of the packet before, and at a later one.
WITH_PACKETS: Final = [
    Call("handle_packet", arguments, wrong)
    for packet, now in product(PACKETS.values(), (NOW, LATER))
    for arguments, wrong in (
        ((HERE, packet, now), NOT_DIRECTION),
        ((OUTBOUND, packet, now, HERE), PASSED_ID),
        ((OUTBOUND, packet, HERE), NOT_NUMBER),
        ((OUTBOUND, HERE, now), NOT_PACKET),
    )
]
CALLS: Final = [
    *WITH_PACKETS,
    Call("handle_packets", (HERE, [], LATER), NOT_DIRECTION),
    Call("handle_packets", (OUTBOUND, HERE, LATER), NOT_PACKETS),
    Call("handle_packets", (OUTBOUND, [], HERE), NOT_NUMBER),
    Call("handle_packets", (OUTBOUND, [b""], LATER, HERE), PASSED_ID),
    Call("handle_timeout", (HERE,), NOT_NUMBER | {"none": None}),
    Call("clock_set", (HERE,), NOT_NUMBER | {"none": None}),
    Call("client_connected", (HERE, BOB, LATER), NOT_TEXT),
    Call("client_connected", ("alice", HERE, LATER), NOT_ADDRESSES),
    Call("client_connected", ("alice", ALICE, HERE), NOT_NUMBER),
    Call("client_disconnected", (HERE,), NOT_TEXT),
    Call("authorize", (HERE, V4.db()), NOT_TEXT),
    Call("authorize", ("alice", HERE), NOT_RESOURCE),
    Call("authorize", ("alice", V4.db()), NOT_NUMBER, "expires_at"),
    Call("revoke", (HERE, "db"), NOT_TEXT),
    Call("revoke", ("alice", HERE), NOT_TEXT),
    Call("update_resource", (HERE,), NOT_RESOURCE),
    Call("update_expiry", (HERE, "db", None), NOT_TEXT),
    Call("update_expiry", ("alice", HERE, 0.0), NOT_TEXT),
    Call("update_expiry", ("alice", "db", HERE), NOT_NUMBER),
    Call("retain_authorizations", (HERE,), NOT_IDS),
    Call("set_addresses", (HERE,), NOT_ADDRESSES),
    Call("authorizations", (HERE,), NOT_TEXT),
]


@pytest.mark.parametrize("call", CALLS, ids=str)
def test_a_wrong_type_raises_and_changes_nothing(call: Call) -> None:
    gateway = busy()
    for wrong in call.wrong.values():
        with pytest.raises(TypeError):
            call(gateway, wrong)
    assert_unchanged(gateway, busy)


@pytest.mark.parametrize(
    "call", [one for one in CALLS if NOT_NUMBER.items() <= one.wrong.items()], ids=str
)
def test_what_is_no_time_raises_and_changes_nothing(call: Call) -> None:
    gateway = busy()
    values = [*NOT_TIME.values()]
    if call.keyword is None and call.method not in {"update_expiry", "clock_set"}:
        values += TOO_FAR.values()
    for wrong in values * 2:
        with pytest.raises(InvalidTime) as raised:
            call(gateway, wrong)
        assert raised.value.value is wrong
    assert_unchanged(gateway, busy)


# --- Wrong values -----------------------------------------------------------------------------


def other(resource_id: str, kind: str) -> Resource:
    """Make a resource of another place than those of that id that Alice has."""
    if kind == "network":
        return CidrResource(resource_id, "10.0.0.0/8")
    return DnsResource(resource_id, "example.com") if kind == "name" else InternetResource("app")


class Unhashable(CidrResource):
    """A resource that cannot be a key."""

    __hash__ = None  # type: ignore[assignment]


BEYOND: Final = math.nextafter(NOW + FIFTY_YEARS, math.inf)
OUTSIDE: Final = TunnelAddresses(V4.spare, "fd00:5::5")
TAKEN: Final = TunnelAddresses(V4.spare, V6.neighbour)
OWN: Final = TunnelAddresses(V4.spare, V6.gateway)
OTHER_NETWORK, OTHER_KIND = other("db", "network"), other("db", "name")

REFUSED: Final = [
    (
        Call("client_connected", (HERE, TunnelAddresses(V4.spare), LATER), {"empty": ""}),
        InvalidPolicy,
    ),
    (
        Call("client_connected", ("alice", HERE, LATER), {"outside": OUTSIDE, "own": OWN}),
        InvalidAddress,
    ),
    (Call("client_connected", ("alice", HERE, LATER), {"taken": TAKEN}), AddressInUse),
    (Call("client_connected", ("carol", HERE, LATER), {"taken": TAKEN}), AddressInUse),
    (Call("authorize", (HERE, V4.db()), {"unknown": "carol", "empty": ""}), UnknownClient),
    (
        Call("authorize", ("alice", HERE), {"network": OTHER_NETWORK, "kind": OTHER_KIND}),
        InvalidPolicy,
    ),
    (Call("authorize", ("alice", V4.db(Udp(1))), {"far": BEYOND}, "expires_at"), InvalidTime),
    (Call("authorize", ("bob", V4.db(Udp(1))), {"far": BEYOND}, "expires_at"), InvalidTime),
    (
        Call("update_resource", (HERE,), {"network": OTHER_NETWORK, "kind": OTHER_KIND}),
        InvalidPolicy,
    ),
    (Call("update_expiry", ("alice", "db", HERE), {"far": BEYOND}), InvalidTime),
    (Call("set_addresses", (HERE,), {"outside": OUTSIDE}), InvalidAddress),
    (Call("set_addresses", (HERE,), {"taken": TAKEN}), AddressInUse),
    (Call("authorizations", (HERE,), {"unknown": "carol", "empty": ""}), UnknownClient),
]


@pytest.mark.parametrize(
    ("call", "error"), REFUSED, ids=lambda one: getattr(one, "__name__", str(one))
)
def test_a_wrong_value_raises_with_the_value_and_changes_nothing(
    call: Call, error: type[FirezoneFilterError]
) -> None:
    gateway = busy()
    for wrong in call.wrong.values():
        with pytest.raises(error) as raised:
            call(gateway, wrong)
        # Of two addresses the one that is wrong, here that of IPv6.
        assert raised.value.value == (wrong.ipv6 if isinstance(wrong, TunnelAddresses) else wrong)
        assert getattr(raised.value, "client_id", "bob") == "bob"
    assert_unchanged(gateway, busy)


def test_a_resource_that_cannot_be_kept_changes_nothing() -> None:
    wrong, gateway = Unhashable("net", "10.0.0.0/8"), busy()
    for client_id in ("alice", "bob"):
        with pytest.raises(TypeError):
            gateway.authorize(client_id, wrong)
    assert_unchanged(gateway, busy)


def test_unknown_ids_return_false_and_change_nothing() -> None:
    gateway = busy()
    for client_id, resource_id in product(("alice", "carol", ""), ("other", "")):
        assert gateway.revoke(client_id, resource_id) is False
        assert gateway.update_expiry(client_id, resource_id, 0.0) is False
    assert gateway.client_disconnected("carol") is gateway.client_disconnected("") is False
    assert gateway.update_resource(CidrResource("other", V4.network)) == 0
    assert_unchanged(gateway, busy)


CLOCKLESS: Final[dict[str, Callable[[Gateway], object]]] = {
    "packet": lambda gateway: gateway.handle_packet(OUTBOUND, "text", 0.0),  # type: ignore[arg-type]
    "connect": lambda gateway: gateway.client_connected("carol", BOB, 0.0),
    "authorize": lambda gateway: gateway.authorize("alice", V4.db(), expires_at=1.0),
    "update_expiry": lambda gateway: gateway.update_expiry("alice", "db", 0.0),
}


@pytest.mark.parametrize("call", CLOCKLESS)
def test_a_call_that_raises_does_not_start_the_clock(call: str) -> None:
    refused_without_effect(
        lambda: gateway_for_alice(V4.db(), now=None), CLOCKLESS[call], Exception
    )


@pytest.mark.parametrize(
    "addresses", [OUTSIDE, TunnelAddresses(N4.proxies[0])], ids=["far", "dns"]
)
def test_a_gateway_has_addresses_in_the_tunnel_ranges(addresses: TunnelAddresses) -> None:
    with pytest.raises(InvalidAddress, match="outside"):
        Gateway(addresses)


def test_a_gateway_is_made_of_addresses_a_plan_and_options() -> None:
    for wrong in NOT_ADDRESSES.values():
        with pytest.raises(TypeError):
            Gateway(wrong)
        with pytest.raises(TypeError):
            Gateway(GATEWAY, address_plan=wrong)
        with pytest.raises(TypeError):
            Gateway(GATEWAY, options=wrong)
    assert Gateway(GATEWAY, address_plan=AddressPlan(), options=GatewayOptions()).clients() == ()


# --- Valid arguments ----------------------------------------------------------------------------

FORMS: Final[dict[str, Callable[[bytes], Any]]] = {
    "bytes": bytes,
    "bytearray": bytearray,
    "memoryview": memoryview,
    "writable": lambda packet: memoryview(bytearray(packet)),
    "slice": lambda packet: memoryview(b"before" + packet + b"after")[6:-5],
    "array": lambda packet: array("B", packet),
}


@pytest.mark.parametrize("form", FORMS)
@both_directions
@both_families
def test_a_packet_is_any_contiguous_bytes_like_object(
    family: Family, direction: Direction, form: str
) -> None:
    gateway = gateway_for_alice(family.db(Tcp(443)))
    packet = FORMS[form](family.tcp(direction))
    for _ in range(2):
        decision = gateway.handle_packet(direction, packet)
        assert decision == Forward("alice", "db")
        assert decision.to_send(packet) is packet
        assert gateway.handle_packets(direction, [packet]) == [decision]


def test_a_packet_is_not_kept_after_the_call() -> None:
    buffer = bytearray(V4.tcp(OUTBOUND))
    decision = gateway_for_alice().handle_packet(OUTBOUND, buffer)
    buffer.clear()  # which would raise while somebody looks at it
    assert rejection(decision) is Reason.NO_RESOURCE


def test_packets_are_any_iterable_that_is_read_once() -> None:
    def packets() -> Iterator[bytes]:
        yield V4.tcp(OUTBOUND)
        yield V4.udp(OUTBOUND)

    gateway, expected = gateway_for_alice(V4.db()), [Forward("alice", "db")] * 2
    assert gateway.handle_packets(OUTBOUND, packets()) == expected
    assert gateway.handle_packets(OUTBOUND, tuple(packets())) == expected
    assert gateway.handle_packets(INBOUND, []) == []


class Alias(str):
    """Another class of text, which cannot be a key."""

    __slots__ = ()
    __hash__ = None  # type: ignore[assignment]


def test_an_id_of_another_class_is_taken_as_the_text_that_it_is() -> None:
    gateway = gateway_for_alice(V4.db())
    gateway.client_connected(Alias("carol"), TunnelAddresses(V4.spare), 1.0)
    assert [type(client_id) for client_id in gateway.clients()] == [str] * 3
    gateway.authorize(Alias("carol"), V4.db())
    assert gateway.authorizations(Alias("carol")) == {"db": None}
    assert gateway.update_expiry(Alias("carol"), Alias("db"), None)
    assert gateway.revoke(Alias("carol"), Alias("db"))
    packet = V4.tcp(OUTBOUND)
    assert gateway.handle_packet(OUTBOUND, packet, client_id=Alias("alice")).allowed
    assert gateway.client_disconnected(Alias("carol"))


class Disguised(str):
    """A text that is equal to itself, and found in no set or mapping of texts."""

    __slots__ = ()

    def __hash__(self) -> int:
        return super().__hash__() + 1


def test_ids_with_a_hash_of_their_own_are_retained() -> None:
    gateway = gateway_for_alice(V4.db())
    gateway.retain_authorizations({Disguised("alice"): [Disguised("db")]})
    assert gateway.authorizations("alice") == {"db": None}


def test_nothing_in_a_packet_raises() -> None:
    gateway = gateway_for_alice(CidrResource("all", "0.0.0.0/0"))
    for size, first in product(range(80), (0x00, 0x45, 0x4F, 0x60, 0xFF)):
        packet = bytes([first] * size)
        assert not gateway.handle_packet(OUTBOUND, packet, client_id="alice").allowed


def test_the_representation_tells_addresses_clients_and_time() -> None:
    gateway = gateway_for_alice(now=None)
    assert repr(gateway) == "<Gateway 100.64.0.1, fd00:2021:1111::1: 2 clients, no time yet>"
    gateway.handle_timeout(5.0)
    assert repr(gateway).endswith("2 clients, now 5.0>")
