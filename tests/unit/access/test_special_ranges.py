"""The flags of every address: what the plan and the standards say of it."""

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firezone_filter.access.special_ranges import (
    DNS,
    LOCAL_SERVICE,
    LOCAL_SERVICES,
    MULTICAST,
    NOT_CIDR,
    NOT_INTERNET,
    NOT_RESOLVED,
    TUNNEL,
    RangeMap,
    address_flags,
    is_local_service,
)
from firezone_filter.values.addresses import Address, AddressPlan, Network
from tests.model import policy as model

LAST = {4: 2**32 - 1, 6: 2**128 - 1}


def flags_of(networks: Iterable[tuple[Network, int]], address: Address) -> int:
    """Add up the flags of all networks that contain an address, one by one."""
    flags = 0
    for network, flag in networks:
        flags |= flag if address in network else 0
    return flags


def edges(networks: Iterable[Network]) -> list[Address]:
    """Return the first and the last address of each network, and their neighbours outside."""
    return sorted(
        {
            type(network.network_address)(number)
            for network in networks
            for end in (int(network.network_address), int(network.broadcast_address))
            for number in (end - 1, end, end + 1)
            if 0 <= number <= LAST[network.version]
        },
        key=lambda address: (address.version, address),
    )


# --- RangeMap -----------------------------------------------------------------------------

# Small networks at either end of the address space, so that they overlap, and all of it.
lengths = st.sampled_from([0, 26, 28, 29, 30, 31, 32])
numbers = st.integers(0, 40)
networks: st.SearchStrategy[Network] = st.one_of(
    st.builds(
        lambda number, length: IPv4Network((number, length), strict=False),
        numbers | numbers.map(lambda number: LAST[4] - number),
        lengths,
    ),
    st.builds(
        lambda number, length: IPv6Network((number, length and 96 + length), strict=False),
        numbers | numbers.map(lambda number: LAST[6] - number),
        lengths,
    ),
)
flagged = st.lists(st.tuples(networks, st.sampled_from([1, 2, 4, 3])), max_size=6)


@given(flagged)
def test_flags_of_networks_that_contain_an_address_add_up(
    flagged: list[tuple[Network, int]],
) -> None:
    ranges = RangeMap(flagged)
    ends: list[Network] = [IPv4Network("0.0.0.0/0"), IPv6Network("::/0")]
    for address in edges([*ends, *(network for network, _ in flagged)]):
        assert ranges.flags(address.packed) == flags_of(flagged, address)


@pytest.mark.parametrize("address", ["::", "10::", "::ffff:10.0.0.1"])
def test_everything_of_one_family_is_nothing_of_the_other(address: str) -> None:
    assert RangeMap([(IPv4Network("0.0.0.0/0"), 1)]).flags(ip_address(address).packed) == 0


def test_every_flag_is_a_bit_of_its_own() -> None:
    flags = (TUNNEL, DNS, MULTICAST, NOT_CIDR, NOT_INTERNET, LOCAL_SERVICE)
    assert sorted(flags) == [1 << bit for bit in range(6)]
    assert NOT_RESOLVED == NOT_CIDR | LOCAL_SERVICE


# --- The plan and the standards -----------------------------------------------------------

DEFAULT = AddressPlan()
ELSEWHERE = AddressPlan(["8.8.8.0/25", "fd08::/64"], ["8.8.8.128/25", "fd08:0:0:1::/64"])

STANDARDS: list[Any] = [
    *model.SPECIAL,
    *model.LOCAL_SERVICES,
    *model.NOT_INTERNET,
    model.PUBLIC_IPV6,
    model.NAT64,
    model.SIX_TO_FOUR,
]
PLANNED: list[Any] = [
    network for plan in (DEFAULT, ELSEWHERE) for network in (*plan.tunnel, *plan.dns_resources)
]


def in_disguise(network: IPv4Network) -> list[IPv6Network]:
    """Return the networks of the NAT64 and 6to4 forms of an IPv4 network."""
    text = network.network_address.packed.hex()
    return [
        IPv6Network(f"64:ff9b::{text[:4]}:{text[4:]}/{96 + network.prefixlen}"),
        IPv6Network(f"2002:{text[:4]}:{text[4:]}::/{16 + network.prefixlen}"),
    ]


DISGUISED: list[Any] = [
    hidden
    for network in (*model.SPECIAL, *model.LOCAL_SERVICES, *PLANNED)
    if isinstance(network, IPv4Network)
    for hidden in in_disguise(network)
]


def expected(address: Address, plan: AddressPlan) -> dict[int, bool]:
    """Say by the model which flags an address has."""
    is_public = address.version == 4 or address in model.PUBLIC_IPV6
    return {
        TUNNEL: model.within(address, plan.tunnel),
        DNS: model.within(address, plan.dns_resources),
        MULTICAST: model.within(address, (*model.MULTICAST, *model.BROADCAST)),
        NOT_CIDR: model.is_special(address, plan),
        LOCAL_SERVICE: model.is_local_service(address),
        NOT_INTERNET: not is_public or model.within(address, model.NOT_INTERNET),
    }


@pytest.mark.parametrize("plan", [DEFAULT, ELSEWHERE], ids=["default", "elsewhere"])
@pytest.mark.parametrize("address", edges(STANDARDS + PLANNED + DISGUISED), ids=str)
def test_flags_begin_and_end_where_the_model_says(address: Address, plan: AddressPlan) -> None:
    flags = address_flags(plan).flags(address.packed)
    assert {flag: bool(flags & flag) for flag in expected(address, plan)} == expected(
        address, plan
    )


# By hand, so that an error that the model shares would be seen.
BY_HAND = [
    ("9.9.9.9", 0),
    ("2606:4700::1111", 0),
    ("10.0.0.1", NOT_INTERNET),
    ("fd00::1", NOT_INTERNET),
    ("64:ff9b::808:808", NOT_INTERNET),
    ("2002:808:808::1", NOT_INTERNET),
    ("192.88.99.1", NOT_INTERNET),
    ("64:ff9b::a00:5", NOT_INTERNET),
    ("2002:a00:5::1", NOT_INTERNET),
    ("64:ff9b::a9fe:a9fe", NOT_INTERNET | NOT_CIDR),
    ("2002:a9fe:a9fe::1", NOT_INTERNET | NOT_CIDR),
    ("64:ff9b::7f00:1", NOT_INTERNET | NOT_CIDR),
    ("2002:7f00:1::", NOT_INTERNET | NOT_CIDR),
    ("64:ff9b::6440:2", NOT_INTERNET | NOT_CIDR),
    ("2002:6440:2::", NOT_INTERNET | NOT_CIDR),
    ("64:ff9b:1::7f00:1", NOT_INTERNET),
    ("::10.0.0.5", NOT_INTERNET | NOT_CIDR),
    ("169.254.169.254", NOT_INTERNET | LOCAL_SERVICE),
    ("fe80::1", NOT_INTERNET | LOCAL_SERVICE),
    ("fd00:ec2::254", NOT_INTERNET | LOCAL_SERVICE),
    ("fd20:ce::254", NOT_INTERNET | LOCAL_SERVICE),
    ("127.0.0.1", NOT_INTERNET | NOT_CIDR),
    ("::1", NOT_INTERNET | NOT_CIDR),
    ("0.0.0.1", NOT_INTERNET | NOT_CIDR),
    ("::ffff:8.8.8.8", NOT_INTERNET | NOT_CIDR),
    ("224.0.0.1", NOT_INTERNET | NOT_CIDR | MULTICAST),
    ("255.255.255.255", NOT_INTERNET | NOT_CIDR | MULTICAST),
    ("ff02::1", NOT_INTERNET | NOT_CIDR | MULTICAST),
    ("240.0.0.1", NOT_INTERNET),
    ("100.64.0.1", NOT_INTERNET | NOT_CIDR | TUNNEL),
    ("fd00:2021:1111::1", NOT_INTERNET | NOT_CIDR | TUNNEL),
    ("100.96.0.1", NOT_INTERNET | NOT_CIDR | DNS),
    ("fd00:2021:1111:8000::1", NOT_INTERNET | NOT_CIDR | DNS),
]


@pytest.mark.parametrize(("address", "flags"), BY_HAND)
def test_well_known_addresses_have_their_flags(address: str, flags: int) -> None:
    assert address_flags(DEFAULT).flags(ip_address(address).packed) == flags


@pytest.mark.parametrize("outer", LOCAL_SERVICES, ids=str)
def test_a_network_is_meant_for_local_services_if_it_lies_inside_their_range(
    outer: Network,
) -> None:
    first, last = outer.network_address, outer.broadcast_address
    assert is_local_service(outer)
    for inside in (first, last):
        assert is_local_service(type(outer)(inside))
    assert all(is_local_service(half) for half in outer.subnets())
    assert not is_local_service(outer.supernet())
    assert not is_local_service(outer.supernet(new_prefix=0))
    for outside in (first - 1, last + 1):
        assert not is_local_service(type(outer)(outside))
        assert not is_local_service(type(outer)((outside, outer.prefixlen), strict=False))


def test_equal_plans_share_their_flags() -> None:
    assert address_flags(AddressPlan()) is address_flags(DEFAULT)
