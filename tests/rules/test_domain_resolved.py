"""Sections 3 and 6, `domain_resolved`: what raises, and then changes nothing."""

import ipaddress
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Final

import pytest

from firezone_filter import (
    FirezoneFilterError,
    Forward,
    Gateway,
    InternetResource,
    InvalidAddress,
    InvalidPolicy,
    Udp,
    UnknownClient,
    UnknownResource,
)
from tests.scenes import ALICE, INBOUND, OUTBOUND, V4, V6, gateway_for_alice
from tests.translations import N4, N6, NAME, app, resolve, through

# Arguments of a call that would renumber, and so end the sessions and every translation.
PROPER: Final[dict[str, Any]] = {
    "client_id": "alice",
    "resource_id": "app",
    "domain": "db.example.com",
    "proxy_addresses": [*N4.proxies, *N6.proxies],
    "resolved_addresses": [N4.real[2], N6.real[2]],
}


def call(gateway: Gateway, **changed: Any) -> None:  # noqa: ANN401 - anything at all
    arguments = PROPER | changed
    ids = [arguments.pop(name) for name in ("client_id", "resource_id", "domain")]
    gateway.domain_resolved(*ids, **arguments)


def in_use() -> Gateway:
    """Have both families translated, with a session in each, beside other resources."""
    gateway = gateway_for_alice(V4.db(Udp(53)), app(Udp()), InternetResource("web"))
    resolve(gateway, N4, proxies=[*N4.proxies, *N6.proxies], real=[N4.real[0], N6.real[0]])
    for names in (N4, N6):
        assert gateway.handle_packet(OUTBOUND, names.sent()).allowed
    return gateway


def is_unchanged(gateway: Gateway) -> bool:
    """Tell whether authorizations, translations and sessions are as they were."""
    decisions = [gateway.handle_packet(INBOUND, V4.udp(INBOUND))]
    expected: list[object] = [Forward("alice", "db")]
    for names in (N4, N6):
        decisions.append(gateway.handle_packet(INBOUND, names.came()))
        expected.append(through(names.came(far=names.proxies[0])))
        # Another port: a new session.
        sent = names.sent(number=6, far=names.proxies[3])
        decisions.append(gateway.handle_packet(OUTBOUND, sent))
        expected.append(through(names.sent(number=6, far=names.real[0])))
    granted = gateway.authorizations("alice") == {"db": None, "app": None, "web": None}
    return granted and gateway.poll_event() is None and decisions == expected


def many(count: int) -> list[str]:
    return [str(IPv4Address("100.97.0.0") + number) for number in range(count)]


def test_the_proper_call_changes_what_the_others_must_not() -> None:
    gateway = in_use()
    assert is_unchanged(gateway)
    call(gateway)
    assert not is_unchanged(gateway)


WRONG_VALUES: Final[Sequence[tuple[str, object, type[FirezoneFilterError], object]]] = [
    ("client_id", "nobody", UnknownClient, "nobody"),
    ("client_id", "", UnknownClient, ""),
    ("client_id", "bob", UnknownResource, "app"),
    ("resource_id", "nothing", UnknownResource, "nothing"),
    ("resource_id", "", UnknownResource, ""),
    ("resource_id", "db", InvalidPolicy, V4.db(Udp(53))),
    ("resource_id", "web", InvalidPolicy, InternetResource("web")),
    *(
        ("domain", name, InvalidPolicy, name)
        for name in (
            "example.org",
            "app.example.com.evil.org",
            "notexample.com",
            "",
            ".",
            "*.example.com",
            "a..example.com",
            "bücher.example.com",
        )
    ),
    *(
        ("proxy_addresses", [text], InvalidAddress, text)
        for text in ("bogus", "", "100.96.0.1/32", "fd00:2021:1111:8000::1%eth0")
    ),
    ("proxy_addresses", [N4.proxies[0]] * 2, InvalidAddress, IPv4Address(N4.proxies[0])),
    (
        "proxy_addresses",
        [N6.proxies[0], "fd00:2021:1111:8000:0::1"],
        InvalidAddress,
        IPv6Address(N6.proxies[0]),
    ),
    # Beside the 8 that there are.
    ("proxy_addresses", many(1_017), InvalidPolicy, 1_025),
    ("resolved_addresses", ["bogus"], InvalidAddress, "bogus"),
    ("resolved_addresses", [N4.real[0], "10.0.0.256"], InvalidAddress, "10.0.0.256"),
]


@pytest.mark.parametrize(
    ("name", "wrong", "error", "value"),
    WRONG_VALUES,
    ids=[f"{name}-{number}" for number, (name, *_) in enumerate(WRONG_VALUES)],
)
def test_a_wrong_value_raises_and_changes_nothing(
    name: str, wrong: object, error: type[FirezoneFilterError], value: object
) -> None:
    gateway = in_use()
    with pytest.raises(error) as caught:
        call(gateway, **{name: wrong})
    assert caught.value.value == value
    assert is_unchanged(gateway)


def test_a_proxy_address_is_in_the_dns_ranges() -> None:
    for proxy in (
        *("100.95.255.255", "100.128.0.0", V4.client, V4.gateway, V4.host, V4.public),
        *("fd00:2021:1111:7fff:ffff:ffff:ffff:ffff", "fd00:2021:1111:8000:0:0:20:0", V6.gateway),
    ):
        gateway = in_use()
        with pytest.raises(InvalidAddress) as caught:
            call(gateway, proxy_addresses=[*N4.proxies, proxy])
        assert caught.value.value == ipaddress.ip_address(proxy)
        assert is_unchanged(gateway)
    for proxy in (
        *("100.96.0.0", "100.127.255.255"),
        *("fd00:2021:1111:8000::", "fd00:2021:1111:8000:0:0:1f:ffff"),
    ):
        call(gateway, domain=NAME, proxy_addresses=[proxy])
        assert is_unchanged(gateway)


ADDRESSES_THEMSELVES: Final[tuple[object, ...]] = (
    "100.96.0.1",
    b"\x64\x60\x00\x01",
    IPv4Address("100.96.0.1"),
    IPv6Address(N6.proxies[0]),
    ipaddress.ip_network("100.96.0.0/30"),
    {"100.96.0.1": "100.96.0.2"},
)
WRONG_TYPES: Final[dict[str, Sequence[object]]] = {
    "client_id": [None, 7, b"alice"],
    "resource_id": [None, 7, app()],
    "domain": [None, 7, b"db.example.com"],
    "proxy_addresses": [
        *(None, 7, [None], [7], [b"\x64\x60\x00\x01"]),
        *([ipaddress.ip_network("100.96.0.1")], [ipaddress.ip_interface("100.96.0.1")]),
        *ADDRESSES_THEMSELVES,
    ],
    "resolved_addresses": [
        *(None, 7, [None], [7], [N4.real[0], True], [b"\xc6\x33\x64\x09"]),
        *ADDRESSES_THEMSELVES,
    ],
}


@pytest.mark.parametrize("name", WRONG_TYPES)
def test_a_wrong_type_raises_and_changes_nothing(name: str) -> None:
    for wrong in WRONG_TYPES[name]:
        gateway = in_use()
        with pytest.raises(TypeError):
            call(gateway, **{name: wrong})
        assert is_unchanged(gateway)


@pytest.mark.parametrize(
    "changed",
    [
        {"proxy_addresses": [*N4.proxies, "bogus", V4.host, None]},
        {"proxy_addresses": [*N4.proxies, *N4.proxies], "resolved_addresses": ["bogus"]},
        {"client_id": "nobody", "resource_id": "nothing", "domain": "??"},
        {"domain": "example.org", "proxy_addresses": [V4.host], "resolved_addresses": ["x"]},
        {"resource_id": "db", "proxy_addresses": many(2_000) * 2},
        {"resolved_addresses": [N4.real[0], "fe80::1%eth0", "127.0.0.1", "", object()]},
    ],
    ids=range(6),
)
def test_mixed_garbage_raises_and_changes_nothing(changed: dict[str, Any]) -> None:
    gateway = in_use()
    with pytest.raises((FirezoneFilterError, TypeError)):
        call(gateway, **changed)
    assert is_unchanged(gateway)


def test_an_iterable_that_raises_half_way_changes_nothing() -> None:
    gateway = in_use()
    with pytest.raises(ZeroDivisionError):
        call(gateway, proxy_addresses=(N4.proxies[1 // place] for place in (1, 0)))
    assert is_unchanged(gateway)


def test_a_resource_is_known_while_its_client_has_it() -> None:
    gateway = in_use()
    gateway.revoke("alice", "app")
    with pytest.raises(UnknownResource):
        call(gateway)
    gateway = in_use()
    gateway.client_connected("alice", ALICE)
    with pytest.raises(UnknownResource):
        call(gateway)
    gateway.client_disconnected("alice")
    with pytest.raises(UnknownClient):
        call(gateway)
