"""Addresses, networks, tunnel addresses and address plans, as users hand them in."""

from collections.abc import Callable, Iterable
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Any, TypeAlias

import pytest

from firezone_filter.values.addresses import (
    Address,
    AddressPlan,
    Network,
    TunnelAddresses,
    to_address,
    to_addresses,
    to_network,
    to_networks,
    to_resolved,
)
from firezone_filter.values.errors import InvalidAddress

Given: TypeAlias = Any
Convert: TypeAlias = Callable[[Given], object]

FIRST_IPV4 = "0.0.0.0"  # noqa: S104 - an address to ask about, nothing listens


def either(*rows: object) -> pytest.MarkDecorator:
    """Parametrize `value` by named rows, or by rows whose text is a name."""
    return pytest.mark.parametrize("value", rows)


# --- One address or network ---------------------------------------------------------------

NOT_ADDRESSES = either(
    pytest.param("", id="empty"),
    pytest.param("example.com", id="name"),
    pytest.param("10.0.0.256", id="byte out of range"),
    pytest.param("10.0.0", id="byte missing"),
    pytest.param("010.0.0.1", id="leading zero"),
    pytest.param(" 10.0.0.1", id="space"),
    pytest.param("10.0.0.1/32", id="network"),
    pytest.param("::1::", id="two gaps"),
    pytest.param("[::1]", id="brackets"),
)
SCOPED = [
    pytest.param("fe80::1%eth0", id="text with a scope"),
    pytest.param(IPv6Address("fe80::1%eth0"), id="object with a scope"),
]
NOT_NETWORKS = [
    pytest.param("", id="empty"),
    pytest.param("example.com", id="name"),
    pytest.param("10.0.0.0/33", id="IPv4 prefix too long"),
    pytest.param("fd00::/129", id="IPv6 prefix too long"),
    pytest.param("10.0.0.0/-1", id="negative prefix"),
    pytest.param("10.0.0.0/", id="no prefix"),
    pytest.param("10.0.0.0/8/8", id="two prefixes"),
    # Host bits.
    pytest.param("10.0.0.1/31", id="IPv4, last bit"),
    pytest.param("128.0.0.0/0", id="IPv4, first bit"),
    pytest.param("fd00::1/127", id="IPv6, last bit"),
    pytest.param("8000::/0", id="IPv6, first bit"),
    # A mask in the place of the prefix length.
    pytest.param("10.0.0.0/255.0.0.0", id="mask"),
    pytest.param("10.0.0.0/0.255.255.255", id="inverted mask"),
    pytest.param("0.0.0.0/0.0.0.0", id="mask of no bits"),
    pytest.param("10.0.0.0/8.", id="dot"),
    pytest.param("10.0.0.0/8\n", id="line feed"),
    pytest.param("10.0.0.0/\u0668", id="digit of another script"),
    *SCOPED,
    pytest.param("fe80::%eth0/64", id="network text with a scope"),
    pytest.param(IPv6Network("fe80::%eth0/64"), id="network object with a scope"),
]
NEITHER = [
    pytest.param(None, id="None"),
    pytest.param(0x0A000001, id="int"),
    pytest.param(b"\x0a\x00\x00\x01", id="bytes"),
    pytest.param(IPv4Interface("10.0.0.1/8"), id="IPv4 interface"),
    pytest.param(IPv6Interface("fd00::1/64"), id="IPv6 interface"),
    pytest.param(["10.0.0.1"], id="list"),
]


def among_addresses(value: Given) -> object:
    return to_addresses(["10.0.0.1", value])


def among_networks(value: Given) -> object:
    return to_networks(["10.0.0.0/8", value])


def among_resolved(value: Given) -> object:
    return to_resolved(["10.0.0.1", value])


@either("10.0.0.1", FIRST_IPV4, "255.255.255.255", "::", "fd00::1")
def test_an_address_is_text_or_an_object(value: str) -> None:
    assert to_address(value) == to_address(ip_address(value)) == ip_address(value)


@pytest.mark.parametrize("convert", [to_address, among_addresses, among_resolved])
@NOT_ADDRESSES
def test_texts_that_are_not_addresses_are_refused(convert: Convert, value: str) -> None:
    with pytest.raises(InvalidAddress) as caught:
        convert(value)
    assert caught.value.value == value


@pytest.mark.parametrize("convert", [to_address, among_addresses])
@either(*SCOPED)
def test_an_address_with_a_scope_is_refused(convert: Convert, value: Given) -> None:
    with pytest.raises(InvalidAddress):
        convert(value)


@either(*SCOPED)
def test_a_resolved_address_with_a_scope_is_left_out(value: Given) -> None:
    assert to_resolved(["10.0.0.1", value, "::1"]) == (
        IPv4Address("10.0.0.1"),
        IPv6Address("::1"),
    )


@pytest.mark.parametrize("convert", [to_address, among_addresses, among_resolved])
@either(*NEITHER, pytest.param(IPv4Network("10.0.0.1/32"), id="network"))
def test_an_address_of_another_type_is_a_type_error(convert: Convert, value: Given) -> None:
    with pytest.raises(TypeError):
        convert(value)


@either("10.0.0.0/8", "0.0.0.0/0", "::/0", "fd00::/107", "10.0.0.1/32", "::1/128")
def test_a_network_is_text_or_an_object(value: str) -> None:
    network = ip_network(value)
    assert to_network(value) == network
    assert to_network(network) is network


@either("10.0.0.1", "fd00::1")
def test_a_single_address_is_a_network_of_its_own(value: str) -> None:
    assert to_network(value) == to_network(ip_address(value)) == ip_network(value)


@pytest.mark.parametrize("convert", [to_network, among_networks])
@either(*NOT_NETWORKS)
def test_values_that_are_not_networks_are_refused(convert: Convert, value: Given) -> None:
    with pytest.raises(InvalidAddress) as caught:
        convert(value)
    assert caught.value.value is value


@pytest.mark.parametrize("convert", [to_network, among_networks])
@either(*NEITHER, pytest.param(("10.0.0.0", 8), id="tuple"))
def test_a_network_of_another_type_is_a_type_error(convert: Convert, value: Given) -> None:
    with pytest.raises(TypeError):
        convert(value)


# --- Several ------------------------------------------------------------------------------


@pytest.mark.parametrize("wrap", [list, tuple, iter])
def test_networks_and_addresses_keep_the_order_of_any_iterable(
    wrap: Callable[[list[Given]], Iterable[Given]],
) -> None:
    networks: list[str | Network] = ["fd00::/64", IPv4Network("10.0.0.0/8")]
    addresses: list[str | Address] = ["fd00::1", IPv4Address("10.0.0.1")]
    assert to_networks(wrap(networks)) == (IPv6Network("fd00::/64"), IPv4Network("10.0.0.0/8"))
    assert to_addresses(wrap(addresses)) == (IPv6Address("fd00::1"), IPv4Address("10.0.0.1"))
    assert to_resolved(wrap(addresses)) == (IPv6Address("fd00::1"), IPv4Address("10.0.0.1"))


@pytest.mark.parametrize("convert", [to_networks, to_addresses, to_resolved])
@either(
    pytest.param(None, id="None"),
    pytest.param("10.0.0.1", id="single text"),
    pytest.param("", id="empty text"),
    pytest.param(b"", id="empty bytes"),
    pytest.param(bytearray(), id="empty bytearray"),
    pytest.param(memoryview(b""), id="empty memoryview"),
    pytest.param({}, id="empty mapping"),
    # Iterable, but over its addresses.
    pytest.param(IPv4Network("10.0.0.0/30"), id="single IPv4 network"),
    pytest.param(IPv6Network("fd00::/126"), id="single IPv6 network"),
    pytest.param(IPv4Address("10.0.0.1"), id="single IPv4 address"),
    pytest.param(IPv6Address("fd00::1"), id="single IPv6 address"),
)
def test_values_that_are_iterable_by_accident_are_a_type_error(
    convert: Convert, value: Given
) -> None:
    with pytest.raises(TypeError):
        convert(value)


# --- TunnelAddresses ----------------------------------------------------------------------

IPV4, IPV6 = IPv4Address("100.64.0.2"), IPv6Address("fd00:2021:1111::2")


@pytest.mark.parametrize(
    ("ipv4", "ipv6"), [(IPV4, IPV6), (IPV4, None), (None, IPV6)], ids=["both", "IPv4", "IPv6"]
)
def test_a_peer_has_an_address_of_one_family_or_of_both(
    ipv4: IPv4Address | None, ipv6: IPv6Address | None
) -> None:
    peer = TunnelAddresses(ipv4, ipv6)
    present = tuple(address for address in (ipv4, ipv6) if address is not None)
    assert (peer.ipv4, peer.ipv6) == (ipv4, ipv6)
    assert peer.present() == present
    assert peer.packed() == tuple(address.packed for address in present)


def test_tunnel_addresses_are_text_or_objects() -> None:
    assert TunnelAddresses(str(IPV4), str(IPV6)) == TunnelAddresses(IPV4, IPV6)


def test_a_peer_without_any_address_is_refused() -> None:
    with pytest.raises(InvalidAddress):
        TunnelAddresses()


@pytest.mark.parametrize(
    ("family", "value"),
    [
        ("ipv4", IPV6),
        ("ipv4", str(IPV6)),
        ("ipv4", ""),
        ("ipv6", IPV4),
        ("ipv6", str(IPV4)),
        ("ipv6", ""),
        ("ipv6", "fe80::1%eth0"),
        ("ipv6", IPv6Address("fe80::1%eth0")),
    ],
)
def test_an_address_that_is_not_of_its_family_is_refused(family: str, value: Given) -> None:
    with pytest.raises(InvalidAddress):
        TunnelAddresses(**{family: value})


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
@either(*NEITHER[1:], pytest.param(False, id="False"))
def test_a_tunnel_address_of_another_type_is_a_type_error(family: str, value: Given) -> None:
    with pytest.raises(TypeError):
        TunnelAddresses(**{family: value})


# --- AddressPlan --------------------------------------------------------------------------


def test_the_default_ranges_are_firezones() -> None:
    plan = AddressPlan()
    assert plan.tunnel == (IPv4Network("100.64.0.0/11"), IPv6Network("fd00:2021:1111::/107"))
    assert plan.dns_resources == (
        IPv4Network("100.96.0.0/11"),
        IPv6Network("fd00:2021:1111:8000::/107"),
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param("10.0.0.0/9", "10.128.0.0/9", id="IPv4 neighbours"),
        pytest.param("fd00::/64", "fd00:0:0:1::/64", id="IPv6 neighbours"),
        pytest.param("0.0.0.0/0", "::/0", id="one family each"),
    ],
)
def test_tunnel_and_dns_ranges_may_be_neighbours(one: str, other: str) -> None:
    for tunnel, dns in ((one, other), (other, one)):
        plan = AddressPlan([tunnel], [dns])
        assert (plan.tunnel, plan.dns_resources) == ((ip_network(tunnel),), (ip_network(dns),))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param("10.0.0.0/8", "10.0.0.0/8", id="equal"),
        pytest.param("10.0.0.0/8", "10.255.255.255/32", id="last address"),
        pytest.param("10.0.0.0/8", "10.0.0.0/32", id="first address"),
        pytest.param("fd00::/64", "::/0", id="IPv6"),
    ],
)
def test_tunnel_and_dns_ranges_must_not_overlap(one: str, other: str) -> None:
    for tunnel, dns in ((one, other), (other, one)):
        with pytest.raises(InvalidAddress):
            AddressPlan(["192.168.0.0/16", tunnel], ["172.16.0.0/12", dns])


def test_tunnel_ranges_may_overlap_each_other() -> None:
    assert len(AddressPlan(["10.0.0.0/8", "10.1.0.0/16"]).tunnel) == 2


@pytest.mark.parametrize("attribute", ["tunnel", "dns_resources"])
@either(None, "100.64.0.0/11", IPv4Network("100.64.0.0/30"), {})
def test_ranges_of_another_type_are_a_type_error(attribute: str, value: Given) -> None:
    with pytest.raises(TypeError):
        AddressPlan(**{attribute: value})


@pytest.mark.parametrize("attribute", ["tunnel", "dns_resources"])
def test_a_range_with_host_bits_is_refused(attribute: str) -> None:
    with pytest.raises(InvalidAddress):
        AddressPlan(**{attribute: ["10.0.0.1/8"]})
