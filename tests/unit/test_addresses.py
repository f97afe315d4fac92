import pickle
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

import pytest
from attrs.exceptions import FrozenInstanceError

from firezone_filter.access.special_ranges import (
    DNS,
    MULTICAST,
    NOT_CIDR,
    NOT_INTERNET,
    NOT_RESOLVED,
    TUNNEL,
    RangeMap,
    address_flags,
)
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

FIRST_IPV4 = "0.0.0.0"  # noqa: S104 - an address to ask about, nothing listens
LAST_IPV6 = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"

NO_ADDRESSES = [
    pytest.param("", id="empty"),
    pytest.param("example.com", id="name"),
    pytest.param("10.0.0.256", id="byte too great"),
    pytest.param("10.0.0", id="byte missing"),
    pytest.param("010.0.0.1", id="leading zero"),
    pytest.param(" 10.0.0.1", id="space"),
    pytest.param("10.0.0.1/32", id="network"),
    pytest.param("::1::", id="two gaps"),
    pytest.param("[::1]", id="brackets"),
]
SCOPED = [
    pytest.param("fe80::1%eth0", id="text"),
    pytest.param(IPv6Address("fe80::1%eth0"), id="object"),
]
SINGLE = [
    pytest.param(None, id="None"),
    pytest.param("10.0.0.1", id="text by itself"),
    pytest.param("", id="empty text"),
    pytest.param(b"", id="empty bytes"),
    pytest.param(bytearray(), id="empty bytearray"),
    pytest.param(memoryview(b""), id="empty memoryview"),
    pytest.param({}, id="empty mapping"),
    # Iterable, but over its addresses.
    pytest.param(IPv4Network("10.0.0.0/30"), id="IPv4 network by itself"),
    pytest.param(IPv6Network("fd00::/126"), id="IPv6 network by itself"),
    pytest.param(IPv4Address("10.0.0.1"), id="IPv4 address by itself"),
    pytest.param(IPv6Address("fd00::1"), id="IPv6 address by itself"),
    pytest.param([None], id="None among them"),
]
NO_ADDRESS_TYPES = [
    pytest.param(None, id="None"),
    pytest.param(0x0A000001, id="int"),
    pytest.param(b"\x0a\x00\x00\x01", id="bytes"),
    pytest.param(IPv4Interface("10.0.0.1/8"), id="IPv4 interface"),
    pytest.param(IPv6Interface("fd00::1/64"), id="IPv6 interface"),
    pytest.param(IPv4Network("10.0.0.1/32"), id="network"),
    pytest.param(["10.0.0.1"], id="list"),
]

# --- One address, one network, many ------------------------------------------------------


@pytest.mark.parametrize("text", ["10.0.0.1", FIRST_IPV4, "255.255.255.255", "::", "fd00::1"])
def test_text_becomes_an_address(text: str) -> None:
    assert to_address(text) == ip_address(text)


@pytest.mark.parametrize("address", [IPv4Address("10.0.0.1"), IPv6Address("fd00::1")])
def test_an_address_stays_an_address(address: IPv4Address | IPv6Address) -> None:
    assert to_address(address) == address


@pytest.mark.parametrize("text", NO_ADDRESSES)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(InvalidAddress):
        to_address(text)


@pytest.mark.parametrize("scoped", SCOPED)
def test_an_address_with_a_scope_is_refused(scoped: str | IPv6Address) -> None:
    with pytest.raises(InvalidAddress):
        to_address(scoped)


@pytest.mark.parametrize("value", NO_ADDRESS_TYPES)
def test_an_address_of_another_type_is_a_type_error(value: object) -> None:
    with pytest.raises(TypeError):
        to_address(value)  # type: ignore[arg-type]


def test_the_error_carries_what_is_no_address() -> None:
    with pytest.raises(InvalidAddress) as caught:
        to_address("10.0.0.256")
    assert caught.value.value == "10.0.0.256"


@pytest.mark.parametrize(
    "text", ["10.0.0.0/8", "0.0.0.0/0", "::/0", "fd00::/107", "10.0.0.1/32", "::1/128"]
)
def test_text_becomes_a_network(text: str) -> None:
    assert to_network(text) == ip_network(text)


@pytest.mark.parametrize("network", [IPv4Network("10.0.0.0/8"), IPv6Network("fd00::/64")])
def test_a_network_stays_the_same_object(network: Network) -> None:
    assert to_network(network) is network


@pytest.mark.parametrize(
    ("address", "network"),
    [
        pytest.param("10.0.0.1", IPv4Network("10.0.0.1/32"), id="IPv4 text"),
        pytest.param("fd00::1", IPv6Network("fd00::1/128"), id="IPv6 text"),
        pytest.param(IPv4Address("10.0.0.1"), IPv4Network("10.0.0.1/32"), id="IPv4 object"),
        pytest.param(IPv6Address("fd00::1"), IPv6Network("fd00::1/128"), id="IPv6 object"),
    ],
)
def test_a_single_address_is_a_network_of_its_own(
    address: str | IPv4Address | IPv6Address, network: Network
) -> None:
    assert to_network(address) == network


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("10.0.0.5/8", id="IPv4"),
        pytest.param("10.0.0.1/31", id="IPv4, last bit"),
        pytest.param("128.0.0.0/0", id="IPv4, first bit"),
        pytest.param("fd00::5/64", id="IPv6"),
        pytest.param("fd00::1/127", id="IPv6, last bit"),
        pytest.param("8000::/0", id="IPv6, first bit"),
    ],
)
def test_a_network_with_host_bits_is_refused(text: str) -> None:
    with pytest.raises(InvalidAddress):
        to_network(text)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("example.com", id="name"),
        pytest.param("10.0.0.0/33", id="IPv4 prefix too long"),
        pytest.param("fd00::/129", id="IPv6 prefix too long"),
        pytest.param("10.0.0.0/-1", id="negative prefix"),
        pytest.param("10.0.0.0/", id="no prefix"),
        pytest.param("10.0.0.0/8/8", id="two prefixes"),
    ],
)
def test_what_is_no_network_is_refused(text: str) -> None:
    with pytest.raises(InvalidAddress):
        to_network(text)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("10.0.0.0/255.0.0.0", id="mask"),
        pytest.param("10.0.0.0/0.255.255.255", id="mask turned round"),
        pytest.param("0.0.0.0/0.0.0.0", id="mask of no bits"),
        pytest.param("10.0.0.0/8.", id="dot"),
        pytest.param("10.0.0.0/8\n", id="line feed"),
        pytest.param("10.0.0.0/\u0668", id="digit of another script"),
    ],
)
def test_a_network_is_given_with_a_prefix_length_and_no_mask(text: str) -> None:
    with pytest.raises(InvalidAddress):
        to_network(text)


@pytest.mark.parametrize(
    "scoped",
    [
        *SCOPED,
        pytest.param("fe80::%eth0/64", id="network text"),
        pytest.param(IPv6Network("fe80::%eth0/64"), id="network object"),
    ],
)
def test_a_network_with_a_scope_is_refused(scoped: str | IPv6Address | IPv6Network) -> None:
    with pytest.raises(InvalidAddress):
        to_network(scoped)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(None, id="None"),
        pytest.param(0x0A000001, id="int"),
        pytest.param(b"\x0a\x00\x00\x01", id="bytes"),
        pytest.param(("10.0.0.0", 8), id="tuple"),
        pytest.param(IPv4Interface("10.0.0.0/8"), id="IPv4 interface"),
        pytest.param(IPv6Interface("fd00::/64"), id="IPv6 interface"),
    ],
)
def test_a_network_of_another_type_is_a_type_error(value: object) -> None:
    with pytest.raises(TypeError):
        to_network(value)  # type: ignore[arg-type]


def test_the_error_carries_what_is_no_network() -> None:
    with pytest.raises(InvalidAddress) as caught:
        to_network("10.0.0.5/8")
    assert caught.value.value == "10.0.0.5/8"


def test_networks_keep_their_order() -> None:
    assert to_networks(["fd00::/64", "10.0.0.0/8"]) == (
        IPv6Network("fd00::/64"),
        IPv4Network("10.0.0.0/8"),
    )


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(["10.0.0.0/8"], id="list"),
        pytest.param({"10.0.0.0/8"}, id="set"),
        pytest.param(iter(["10.0.0.0/8"]), id="iterator"),
        pytest.param([IPv4Network("10.0.0.0/8")], id="list of objects"),
    ],
)
def test_networks_are_given_as_any_iterable(values: Iterable[str | Network]) -> None:
    assert to_networks(values) == (IPv4Network("10.0.0.0/8"),)


@pytest.mark.parametrize("values", SINGLE)
def test_networks_of_another_type_are_a_type_error(values: object) -> None:
    with pytest.raises(TypeError):
        to_networks(values)  # type: ignore[arg-type]


def test_one_bad_network_among_many_is_refused() -> None:
    with pytest.raises(InvalidAddress):
        to_networks(["10.0.0.0/8", "10.0.0.5/8"])


def test_addresses_keep_their_order() -> None:
    values: list[str | Address] = ["fd00::1", IPv4Address("10.0.0.1")]
    assert to_addresses(iter(values)) == (
        IPv6Address("fd00::1"),
        IPv4Address("10.0.0.1"),
    )


@pytest.mark.parametrize("convert", [to_addresses, to_resolved])
@pytest.mark.parametrize("values", SINGLE)
def test_addresses_of_another_type_are_a_type_error(
    values: object, convert: Callable[[object], object]
) -> None:
    with pytest.raises(TypeError):
        convert(values)


@pytest.mark.parametrize("text", NO_ADDRESSES)
def test_one_bad_address_among_many_is_refused(text: str) -> None:
    with pytest.raises(InvalidAddress):
        to_addresses(["10.0.0.1", text])


@pytest.mark.parametrize("text", NO_ADDRESSES)
def test_a_name_does_not_resolve_to_what_is_no_address(text: str) -> None:
    with pytest.raises(InvalidAddress):
        to_resolved(["10.0.0.1", text])


@pytest.mark.parametrize("scoped", SCOPED)
def test_one_address_with_a_scope_among_many_is_refused(scoped: str | IPv6Address) -> None:
    with pytest.raises(InvalidAddress):
        to_addresses(["10.0.0.1", scoped])


@pytest.mark.parametrize("scoped", SCOPED)
def test_a_resolved_address_with_a_scope_is_left_out(scoped: str | IPv6Address) -> None:
    assert to_resolved(["10.0.0.1", scoped, "::1"]) == (
        IPv4Address("10.0.0.1"),
        IPv6Address("::1"),
    )


# --- TunnelAddresses ---------------------------------------------------------------------

BOTH = TunnelAddresses("100.64.0.2", "fd00:2021:1111::2")
ONLY_IPV4 = TunnelAddresses(ipv4="100.64.0.2")
ONLY_IPV6 = TunnelAddresses(ipv6="fd00:2021:1111::2")


def test_tunnel_addresses_are_kept_as_objects() -> None:
    assert (BOTH.ipv4, BOTH.ipv6) == (
        IPv4Address("100.64.0.2"),
        IPv6Address("fd00:2021:1111::2"),
    )


def test_tunnel_addresses_may_be_given_as_objects() -> None:
    assert TunnelAddresses(IPv4Address("100.64.0.2"), IPv6Address("fd00:2021:1111::2")) == BOTH


def test_a_peer_may_have_no_ipv6_address() -> None:
    assert ONLY_IPV4.ipv6 is None


def test_a_peer_may_have_no_ipv4_address() -> None:
    assert ONLY_IPV6.ipv4 is None


def test_a_peer_has_an_address() -> None:
    with pytest.raises(InvalidAddress):
        TunnelAddresses()


def test_a_peers_addresses_come_ipv4_first() -> None:
    assert BOTH.present() == (IPv4Address("100.64.0.2"), IPv6Address("fd00:2021:1111::2"))


@pytest.mark.parametrize(
    ("addresses", "packed"),
    [
        pytest.param(ONLY_IPV4, (bytes([100, 64, 0, 2]),), id="only IPv4"),
        pytest.param(
            ONLY_IPV6, (bytes.fromhex("fd002021111100000000000000000002"),), id="only IPv6"
        ),
        pytest.param(
            BOTH,
            (bytes([100, 64, 0, 2]), bytes.fromhex("fd002021111100000000000000000002")),
            id="both",
        ),
    ],
)
def test_only_what_there_is_is_packed(
    addresses: TunnelAddresses, packed: tuple[bytes, ...]
) -> None:
    assert addresses.packed() == packed


@pytest.mark.parametrize("ipv4", ["fd00:2021:1111::2", IPv6Address("fd00:2021:1111::2"), ""])
def test_what_is_no_ipv4_address_is_refused_as_one(ipv4: str) -> None:
    with pytest.raises(InvalidAddress):
        TunnelAddresses(ipv4=ipv4)


@pytest.mark.parametrize("ipv6", ["100.64.0.2", IPv4Address("100.64.0.2"), "", *SCOPED])
def test_what_is_no_ipv6_address_is_refused_as_one(ipv6: str) -> None:
    with pytest.raises(InvalidAddress):
        TunnelAddresses(ipv6=ipv6)


@pytest.mark.parametrize("value", [False, 0x64400002, b"", IPv4Interface("100.64.0.2/11")])
def test_a_tunnel_ipv4_address_of_another_type_is_a_type_error(value: object) -> None:
    with pytest.raises(TypeError):
        TunnelAddresses(ipv4=value)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [False, 1, b"", IPv6Interface("fd00:2021:1111::2/107")])
def test_a_tunnel_ipv6_address_of_another_type_is_a_type_error(value: object) -> None:
    with pytest.raises(TypeError):
        TunnelAddresses(ipv6=value)  # type: ignore[arg-type]


# --- AddressPlan -------------------------------------------------------------------------


def test_the_default_tunnel_ranges_are_firezones() -> None:
    assert AddressPlan().tunnel == (
        IPv4Network("100.64.0.0/11"),
        IPv6Network("fd00:2021:1111::/107"),
    )


def test_the_default_dns_ranges_are_firezones() -> None:
    assert AddressPlan().dns_resources == (
        IPv4Network("100.96.0.0/11"),
        IPv6Network("fd00:2021:1111:8000::/107"),
    )


@pytest.mark.parametrize(
    ("tunnel", "dns"),
    [
        pytest.param("10.0.0.0/9", "10.128.0.0/9", id="IPv4 neighbours"),
        pytest.param("10.128.0.0/9", "10.0.0.0/9", id="IPv4 neighbours the other way round"),
        pytest.param("fd00::/64", "fd00:0:0:1::/64", id="IPv6 neighbours"),
        pytest.param("0.0.0.0/0", "::/0", id="one family each"),
    ],
)
def test_ranges_that_do_not_overlap_make_a_plan(tunnel: str, dns: str) -> None:
    plan = AddressPlan([tunnel], [dns])
    assert (plan.tunnel, plan.dns_resources) == ((ip_network(tunnel),), (ip_network(dns),))


@pytest.mark.parametrize(
    ("tunnel", "dns"),
    [
        pytest.param(["10.0.0.0/8"], ["10.0.0.0/8"], id="the same"),
        pytest.param(["10.0.0.0/8"], ["10.255.255.255/32"], id="last address"),
        pytest.param(["10.0.0.0/32"], ["10.0.0.0/8"], id="first address"),
        pytest.param(["fd00::/64"], ["::/0"], id="IPv6"),
        pytest.param(
            ["192.168.0.0/16", "fd00::/64", "10.0.0.0/8"],
            ["172.16.0.0/12", "10.1.0.0/16"],
            id="the last of each",
        ),
    ],
)
def test_ranges_that_overlap_make_no_plan(tunnel: list[str], dns: list[str]) -> None:
    with pytest.raises(InvalidAddress):
        AddressPlan(tunnel, dns)


def test_tunnel_ranges_may_overlap_each_other() -> None:
    assert len(AddressPlan(["10.0.0.0/8", "10.1.0.0/16"]).tunnel) == 2


@pytest.mark.parametrize("values", [None, "100.64.0.0/11", IPv4Network("100.64.0.0/30"), {}])
@pytest.mark.parametrize("attribute", ["tunnel", "dns_resources"])
def test_ranges_of_another_type_are_a_type_error(attribute: str, values: object) -> None:
    with pytest.raises(TypeError):
        AddressPlan(**{attribute: values})  # type: ignore[arg-type]


@pytest.mark.parametrize("attribute", ["tunnel", "dns_resources"])
def test_a_range_with_host_bits_is_refused(attribute: str) -> None:
    with pytest.raises(InvalidAddress):
        AddressPlan(**{attribute: ["10.0.0.1/8"]})


# --- Both are values ---------------------------------------------------------------------

VALUES = [pytest.param(BOTH, id="TunnelAddresses"), pytest.param(AddressPlan(), id="AddressPlan")]


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("attribute", ["ipv4", "tunnel"])
def test_addresses_are_frozen(value: object, attribute: str) -> None:
    with pytest.raises(FrozenInstanceError):
        setattr(value, attribute, None)


@pytest.mark.parametrize("value", VALUES)
def test_addresses_have_slots(value: object) -> None:
    assert not hasattr(value, "__dict__")


@pytest.mark.parametrize("value", VALUES)
def test_addresses_survive_pickle(value: object) -> None:
    assert pickle.loads(pickle.dumps(value)) == value  # noqa: S301 - our own bytes


def test_equal_tunnel_addresses_hash_alike() -> None:
    assert hash(TunnelAddresses("100.64.0.2")) == hash(ONLY_IPV4)


def test_equal_plans_hash_alike() -> None:
    assert hash(AddressPlan(["10.0.0.0/8"])) == hash(AddressPlan(iter(["10.0.0.0/8"])))


def test_tunnel_addresses_show_both_families() -> None:
    assert repr(ONLY_IPV4) == "TunnelAddresses(ipv4=IPv4Address('100.64.0.2'), ipv6=None)"


# --- RangeMap ----------------------------------------------------------------------------


def packed(text: str) -> bytes:
    return ip_address(text).packed


@pytest.mark.parametrize(
    "address",
    [
        pytest.param(FIRST_IPV4, id="first IPv4"),
        pytest.param("255.255.255.255", id="last IPv4"),
        pytest.param("::", id="first IPv6"),
        pytest.param(LAST_IPV6, id="last IPv6"),
    ],
)
def test_without_networks_no_address_has_flags(address: str) -> None:
    assert RangeMap([]).flags(packed(address)) == 0


@pytest.mark.parametrize("address", [FIRST_IPV4, "10.0.0.0", "255.255.255.255"])
def test_a_network_of_everything_flags_every_address(address: str) -> None:
    assert RangeMap([(IPv4Network("0.0.0.0/0"), 1)]).flags(packed(address)) == 1


@pytest.mark.parametrize("address", ["::", "10::", LAST_IPV6])
def test_everything_of_one_family_is_nothing_of_the_other(address: str) -> None:
    assert RangeMap([(IPv4Network("0.0.0.0/0"), 1)]).flags(packed(address)) == 0


@pytest.mark.parametrize(
    ("address", "flags"),
    [
        pytest.param("9.255.255.255", 0, id="before both"),
        pytest.param("10.0.0.0", 1, id="first of the wide one"),
        pytest.param("10.0.255.255", 1, id="before the narrow one"),
        pytest.param("10.1.0.0", 3, id="first of the narrow one"),
        pytest.param("10.1.255.255", 3, id="last of the narrow one"),
        pytest.param("10.2.0.0", 1, id="behind the narrow one"),
        pytest.param("10.255.255.255", 1, id="last of the wide one"),
        pytest.param("11.0.0.0", 0, id="behind both"),
    ],
)
def test_flags_of_networks_that_overlap_add_up(address: str, flags: int) -> None:
    ranges = RangeMap([(IPv4Network("10.1.0.0/16"), 2), (IPv4Network("10.0.0.0/8"), 1)])
    assert ranges.flags(packed(address)) == flags


def test_the_same_flag_twice_is_one_flag() -> None:
    ranges = RangeMap([(IPv4Network("10.1.0.0/16"), 4), (IPv4Network("10.0.0.0/8"), 4)])
    assert ranges.flags(packed("10.1.0.0")) == 4


@pytest.mark.parametrize("last", ["255.255.255.255", LAST_IPV6])
def test_the_very_last_address_can_have_flags_of_its_own(last: str) -> None:
    assert RangeMap([(ip_network(last), 8)]).flags(packed(last)) == 8


@pytest.mark.parametrize("first", [FIRST_IPV4, "::"])
def test_the_very_first_address_has_no_flags_of_the_very_last(first: str) -> None:
    ranges = RangeMap([(ip_network("255.255.255.255"), 8), (ip_network(LAST_IPV6), 8)])
    assert ranges.flags(packed(first)) == 0


def test_every_flag_is_a_bit_of_its_own() -> None:
    flags = (TUNNEL, DNS, MULTICAST, NOT_CIDR, NOT_INTERNET, NOT_RESOLVED)
    assert sorted(flags) == [1 << bit for bit in range(6)]


# --- The special ranges ------------------------------------------------------------------
#
# For each list: the first and the last address of each run of networks, and their
# neighbours outside. The plan is the default one, or one that is nowhere near.

DEFAULT = address_flags(AddressPlan())
ELSEWHERE = address_flags(AddressPlan(["8.8.8.0/25"], ["8.8.8.128/25"]))

MULTICAST_INSIDE = [
    "224.0.0.0",
    "239.255.255.255",
    "255.255.255.255",
    "ff00::",
    LAST_IPV6,
]
MULTICAST_OUTSIDE = [
    FIRST_IPV4,
    "223.255.255.255",
    "240.0.0.0",
    "255.255.255.254",
    "::",
    "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
]

NOT_CIDR_INSIDE = [
    FIRST_IPV4,
    "0.255.255.255",
    "127.0.0.0",
    "127.255.255.255",
    *MULTICAST_INSIDE,
    "::",
    "::1",
    "::ffff:0.0.0.0",
    "::ffff:10.0.0.1",
    "::ffff:255.255.255.255",
]
NOT_CIDR_OUTSIDE = [
    "1.0.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "169.254.169.254",
    "223.255.255.255",
    "240.0.0.0",
    "255.255.255.254",
    "::2",
    "::fffe:ffff:ffff",
    "::1:0:0:0",
    "fe80::1",
    "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
]

NOT_RESOLVED_INSIDE = [
    *NOT_CIDR_INSIDE,
    "169.254.0.0",
    "169.254.169.254",
    "169.254.255.255",
    "fe80::",
    "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
]
NOT_RESOLVED_OUTSIDE = [
    "1.0.0.0",
    "10.0.0.1",
    "126.255.255.255",
    "128.0.0.0",
    "169.253.255.255",
    "169.255.0.0",
    "192.168.0.1",
    "223.255.255.255",
    "240.0.0.0",
    "255.255.255.254",
    "::2",
    "::fffe:ffff:ffff",
    "::1:0:0:0",
    "64:ff9b::7f00:1",
    "fd00::1",
    "fe7f:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "fec0::",
    "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
]

NOT_INTERNET_INSIDE = [
    FIRST_IPV4,
    "0.255.255.255",
    "10.0.0.0",
    "10.255.255.255",
    "100.64.0.0",
    "100.127.255.255",
    "127.0.0.0",
    "127.255.255.255",
    "169.254.0.0",
    "169.254.255.255",
    "172.16.0.0",
    "172.31.255.255",
    "192.0.0.0",
    "192.0.0.255",
    "192.0.2.0",
    "192.0.2.255",
    "192.88.99.0",
    "192.88.99.255",
    "192.168.0.0",
    "192.168.255.255",
    "198.18.0.0",
    "198.19.255.255",
    "198.51.100.0",
    "198.51.100.255",
    "203.0.113.0",
    "203.0.113.255",
    "224.0.0.0",
    "239.255.255.255",
    "240.0.0.0",
    "255.255.255.255",
    "::",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
    "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "2001::",
    "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff",
    "2001:db8::",
    "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
    "2002::",
    "2002:808:808::1",
    "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "3fff::",
    "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff",
    "4000::",
    "7fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "8000::",
    "fd00::1",
    "fe80::1",
    LAST_IPV6,
]
NOT_INTERNET_OUTSIDE = [
    "1.0.0.0",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "169.253.255.255",
    "169.255.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "191.255.255.255",
    "192.0.1.0",
    "192.0.1.255",
    "192.0.3.0",
    "192.88.98.255",
    "192.88.100.0",
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "198.51.99.255",
    "198.51.101.0",
    "203.0.112.255",
    "203.0.114.0",
    "223.255.255.255",
    "2000::",
    "2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "2001:200::",
    "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff",
    "2001:db9::",
    "2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "2003::",
    "3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "3fff:1000::",
    "3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
]


@pytest.mark.parametrize("address", MULTICAST_INSIDE)
def test_multicast_and_broadcast_are_no_single_host(address: str) -> None:
    assert ELSEWHERE.flags(packed(address)) & MULTICAST


@pytest.mark.parametrize("address", MULTICAST_OUTSIDE)
def test_neighbours_of_multicast_and_broadcast_are_single_hosts(address: str) -> None:
    assert not ELSEWHERE.flags(packed(address)) & MULTICAST


@pytest.mark.parametrize("address", NOT_CIDR_INSIDE)
def test_special_addresses_are_covered_by_no_cidr_network(address: str) -> None:
    assert ELSEWHERE.flags(packed(address)) & NOT_CIDR


@pytest.mark.parametrize("address", NOT_CIDR_OUTSIDE)
def test_neighbours_of_special_addresses_may_be_covered(address: str) -> None:
    assert not ELSEWHERE.flags(packed(address)) & NOT_CIDR


@pytest.mark.parametrize("address", NOT_RESOLVED_INSIDE)
def test_no_name_resolves_to_an_address_that_rebinding_would_use(address: str) -> None:
    assert ELSEWHERE.flags(packed(address)) & NOT_RESOLVED


@pytest.mark.parametrize("address", NOT_RESOLVED_OUTSIDE)
def test_names_may_resolve_to_any_other_address(address: str) -> None:
    assert not ELSEWHERE.flags(packed(address)) & NOT_RESOLVED


@pytest.mark.parametrize("address", NOT_INTERNET_INSIDE)
def test_what_is_not_public_is_not_the_internet(address: str) -> None:
    assert ELSEWHERE.flags(packed(address)) & NOT_INTERNET


@pytest.mark.parametrize("address", NOT_INTERNET_OUTSIDE)
def test_neighbours_of_what_is_not_public_are_the_internet(address: str) -> None:
    assert not ELSEWHERE.flags(packed(address)) & NOT_INTERNET


@pytest.mark.parametrize("address", ["9.9.9.9", "2606:4700::1111"])
def test_an_ordinary_address_has_no_flags(address: str) -> None:
    assert DEFAULT.flags(packed(address)) == 0


TUNNEL_INSIDE = [
    "100.64.0.0",
    "100.95.255.255",
    "fd00:2021:1111::",
    "fd00:2021:1111::1f:ffff",
]
DNS_INSIDE = [
    "100.96.0.0",
    "100.127.255.255",
    "fd00:2021:1111:8000::",
    "fd00:2021:1111:8000::1f:ffff",
]
OUTSIDE_THE_PLAN = [
    "100.63.255.255",
    "100.128.0.0",
    "fd00:2021:1110:ffff:ffff:ffff:ffff:ffff",
    "fd00:2021:1111::20:0",
    "fd00:2021:1111:7fff:ffff:ffff:ffff:ffff",
    "fd00:2021:1111:8000::20:0",
]


@pytest.mark.parametrize("address", TUNNEL_INSIDE)
def test_tunnel_ranges_are_tunnel_and_not_dns(address: str) -> None:
    assert DEFAULT.flags(packed(address)) & (TUNNEL | DNS) == TUNNEL


@pytest.mark.parametrize("address", DNS_INSIDE)
def test_dns_ranges_are_dns_and_not_tunnel(address: str) -> None:
    assert DEFAULT.flags(packed(address)) & (TUNNEL | DNS) == DNS


@pytest.mark.parametrize("address", OUTSIDE_THE_PLAN)
def test_neighbours_of_the_plans_ranges_are_in_none(address: str) -> None:
    assert not DEFAULT.flags(packed(address)) & (TUNNEL | DNS)


@pytest.mark.parametrize("address", [*TUNNEL_INSIDE, *DNS_INSIDE])
def test_the_plans_ranges_are_covered_by_no_cidr_network(address: str) -> None:
    assert DEFAULT.flags(packed(address)) & NOT_CIDR


@pytest.mark.parametrize("address", OUTSIDE_THE_PLAN)
def test_neighbours_of_the_plans_ranges_may_be_covered(address: str) -> None:
    assert not DEFAULT.flags(packed(address)) & NOT_CIDR


@pytest.mark.parametrize("address", [*TUNNEL_INSIDE, *DNS_INSIDE])
def test_no_name_resolves_into_the_plans_ranges(address: str) -> None:
    assert DEFAULT.flags(packed(address)) & NOT_RESOLVED


@pytest.mark.parametrize("address", OUTSIDE_THE_PLAN)
def test_names_may_resolve_to_neighbours_of_the_plans_ranges(address: str) -> None:
    assert not DEFAULT.flags(packed(address)) & NOT_RESOLVED


@pytest.mark.parametrize("address", [*TUNNEL_INSIDE, *DNS_INSIDE])
def test_another_plan_has_its_own_ranges(address: str) -> None:
    assert not ELSEWHERE.flags(packed(address)) & (TUNNEL | DNS)


def test_equal_plans_share_what_is_compiled() -> None:
    assert address_flags(AddressPlan()) is DEFAULT
