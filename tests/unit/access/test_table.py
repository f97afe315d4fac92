"""Filter tables: which entry answers for an address, and how trees keep entries.

A state machine in `tests/property/test_tables.py` compares tables with a linear scan.
"""

from collections.abc import Iterable
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from unittest.mock import Mock, call

import pytest

from firezone_filter.access.table import ClientFilterTable, Match
from firezone_filter.packet.numbers import ICMPV4, ICMPV6, TCP, UDP
from firezone_filter.values.addresses import Network
from firezone_filter.values.decisions import Reason
from firezone_filter.values.errors import InvalidAddress, InvalidPolicy
from firezone_filter.values.filters import Filter, Icmp, Protocol, Tcp, Udp

Given = tuple[str, str, Iterable[Filter]]

GRE = 47
LAST_IPV6 = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"
NONE: Iterable[Filter] = ()


def table_of(*entries: Given) -> ClientFilterTable:
    table = ClientFilterTable()
    for network, resource_id, filters in entries:
        table.allow(network, resource_id, filters)
    return table


def permitting(resource_id: str, network: str) -> Match:
    return Match(resource_id, ip_network(network), None)


def refusing(resource_id: str, network: str, reason: Reason) -> Match:
    return Match(resource_id, ip_network(network), reason)


# --- What covers an address --------------------------------------------------------------


# Network, addresses that it covers, neighbours that it does not cover.
COVERED = [
    ("10.0.0.0/24", "10.0.0.0 10.0.0.255", "9.255.255.255 10.0.1.0"),
    ("10.0.0.5/32", "10.0.0.5", "10.0.0.4 10.0.0.6"),
    ("10.0.0.4/31", "10.0.0.5", "10.0.0.6"),
    ("0.0.0.0/1", "127.255.255.255", "128.0.0.0"),
    ("128.0.0.0/1", "128.0.0.0", "127.255.255.255"),
    # One family is nothing to the other.
    ("0.0.0.0/0", "0.0.0.1 255.255.255.255", ":: ::ffff:10.0.0.5"),
    ("::/0", f":: {LAST_IPV6}", "10.0.0.5"),
    ("::ffff:0:0/96", "::ffff:10.0.0.5", "10.0.0.5"),
    (
        "fd00::/64",
        "fd00:: fd00::ffff:ffff:ffff:ffff",
        "fcff:ffff:ffff:ffff:ffff:ffff:ffff:ffff fd00:0:0:1::",
    ),
    ("fd00::5/128", "fd00::5", "fd00::4 fd00::6"),
    ("fd00::4/127", "fd00::5", "fd00::6"),
    # A table by itself knows no special addresses.
    ("0.0.0.0/0", "127.0.0.1 224.0.0.1 255.255.255.255 100.96.0.1", "::1"),
]


@pytest.mark.parametrize(("network", "inside", "outside"), COVERED)
def test_a_network_covers_its_addresses_and_not_its_neighbours(
    network: str, inside: str, outside: str
) -> None:
    table = table_of((network, "db", NONE))
    answers = {address: table.match(address, TCP, 443) for address in inside.split()}
    assert answers == dict.fromkeys(answers, permitting("db", network))
    assert [address for address in outside.split() if table.match(address, TCP, 443)] == []


@pytest.mark.parametrize(
    ("given", "address"),
    [
        pytest.param(IPv4Network("10.0.0.0/24"), IPv4Address("10.0.0.5"), id="IPv4 objects"),
        pytest.param(IPv6Network("fd00::/64"), IPv6Address("fd00::5"), id="IPv6 objects"),
        pytest.param(IPv4Address("10.0.0.5"), "10.0.0.5", id="address object"),
        pytest.param("10.0.0.5", IPv4Address("10.0.0.5"), id="address text"),
    ],
)
def test_networks_and_addresses_may_be_text_or_objects(
    given: str | Network | IPv4Address, address: str | IPv4Address
) -> None:
    table = ClientFilterTable()
    table.allow(given, "db")
    assert table.permits(address, TCP, 443)


# --- What is permitted -------------------------------------------------------------------

FILTERS: list[Filter] = [Tcp("443"), Udp("8000-8100"), Icmp()]
QUESTIONS = [
    pytest.param("10.0.0.5", TCP, 443, None, id="TCP"),
    pytest.param("10.0.0.5", TCP, 442, Reason.TCP_PORT, id="TCP port below"),
    pytest.param("10.0.0.5", TCP, 444, Reason.TCP_PORT, id="TCP port above"),
    pytest.param("10.0.0.5", TCP, None, Reason.TCP_PORT, id="TCP without a port"),
    pytest.param("10.0.0.5", UDP, 8_000, None, id="first UDP port"),
    pytest.param("10.0.0.5", UDP, 8_100, None, id="last UDP port"),
    pytest.param("10.0.0.5", UDP, 7_999, Reason.UDP_PORT, id="UDP port below"),
    pytest.param("10.0.0.5", UDP, 8_101, Reason.UDP_PORT, id="UDP port above"),
    pytest.param("10.0.0.5", UDP, None, Reason.UDP_PORT, id="UDP without a port"),
    pytest.param("10.0.0.5", ICMPV4, 7, None, id="ICMPv4, port ignored"),
    pytest.param("10.9.0.5", GRE, 7, Reason.PROTOCOL, id="GRE, port ignored"),
    pytest.param("10.0.0.5", ICMPV6, None, Reason.PROTOCOL, id="ICMPv6 over IPv4"),
    pytest.param("10.0.0.5", GRE, None, Reason.PROTOCOL, id="GRE"),
    pytest.param("10.0.0.5", 0, None, Reason.PROTOCOL, id="protocol 0"),
    pytest.param("10.0.0.5", 255, None, Reason.PROTOCOL, id="protocol 255"),
    pytest.param("fd00::5", TCP, 443, None, id="TCP over IPv6"),
    pytest.param("fd00::5", TCP, 444, Reason.TCP_PORT, id="TCP port above, over IPv6"),
    pytest.param("fd00::5", ICMPV6, None, None, id="ICMPv6"),
    pytest.param("fd00::5", ICMPV4, None, Reason.PROTOCOL, id="ICMPv4 over IPv6"),
    # Without an ICMP filter, ICMP is refused as such.
    pytest.param("10.9.0.5", ICMPV4, None, Reason.ICMP, id="ICMPv4, TCP alone"),
    pytest.param("fd09::5", ICMPV6, None, Reason.ICMP, id="ICMPv6, TCP alone"),
    # All ports in two parts permit TCP whose port is unknown, as all ports in one do.
    pytest.param("10.9.0.5", TCP, None, None, id="all ports in parts, without a port"),
    pytest.param("fd09::5", TCP, None, None, id="all ports, without a port"),
]


@pytest.mark.parametrize(("address", "protocol", "port", "reason"), QUESTIONS)
def test_a_table_permits_what_its_filters_permit_and_names_the_reason_of_a_refusal(
    address: str, protocol: int, port: int | None, reason: Reason | None
) -> None:
    table = table_of(
        ("10.0.0.0/24", "web", FILTERS),
        ("fd00::/64", "web", FILTERS),
        ("10.9.0.0/24", "tcp", [Tcp("0-79"), Tcp("80-65535")]),
        ("fd09::/64", "tcp", [Tcp()]),
    )
    found = table.match(address, protocol, port)
    assert found is not None
    assert found.reason is reason
    assert table.permits(address, protocol, port) is (reason is None)


@pytest.mark.parametrize("protocol", [0, ICMPV4, TCP, UDP, GRE, ICMPV6, 255])
def test_no_filters_permit_every_protocol(protocol: int) -> None:
    assert table_of(("10.0.0.0/24", "web", NONE)).permits("10.0.0.5", protocol)


def test_an_address_that_nothing_covers_is_not_permitted() -> None:
    assert ClientFilterTable().match("10.0.0.5", TCP, 443) is None
    assert table_of(("10.0.0.0/24", "web", NONE)).permits("10.0.1.0", TCP, 443) is False


# Filters, protocol, ICMP type, and why that is refused; at an address of each family.
OF_TYPES: list[tuple[list[Filter], int, int | None, Reason | None]] = [
    ([Icmp()], ICMPV4, 8, None),
    ([Icmp()], ICMPV4, None, None),
    ([Icmp.echo()], ICMPV4, 8, None),
    ([Icmp.echo()], ICMPV4, 0, None),
    ([Icmp.echo()], ICMPV4, 13, Reason.ICMP),
    ([Icmp.echo()], ICMPV4, None, Reason.ICMP),
    ([Icmp.echo()], ICMPV6, 128, None),
    ([Icmp.echo()], ICMPV6, 129, None),
    ([Icmp.echo()], ICMPV6, 130, Reason.ICMP),
    ([Icmp.echo()], ICMPV6, 8, Reason.ICMP),
    ([Icmp([8])], ICMPV6, 128, Reason.ICMP),
    ([Icmp(types_v6=[128])], ICMPV4, 8, Reason.ICMP),
    ([Icmp([8]), Icmp([13])], ICMPV4, 14, None),
    ([Icmp(range(100)), Icmp(range(100, 256))], ICMPV4, None, None),
    ([Protocol(GRE)], ICMPV4, 8, Reason.ICMP),
    ([Protocol(GRE)], GRE, None, None),
    ([Protocol(GRE)], GRE, 8, None),
    ([Protocol(50)], GRE, None, Reason.PROTOCOL),
    ([Tcp(), Udp(), Icmp()], GRE, None, Reason.PROTOCOL),
]


@pytest.mark.parametrize(("filters", "protocol", "icmp_type", "reason"), OF_TYPES)
def test_a_table_looks_at_icmp_types_and_other_protocols(
    filters: list[Filter], protocol: int, icmp_type: int | None, reason: Reason | None
) -> None:
    table = table_of(("10.0.0.0/24", "a", filters), ("fd00::/64", "a", filters))
    for address, foreign in (("10.0.0.5", ICMPV6), ("fd00::5", ICMPV4)):
        for port in (None, 443):
            found = table.match(address, protocol, port, icmp_type=icmp_type)
            expected = Reason.PROTOCOL if protocol == foreign else reason
            assert found is not None
            assert found.reason is expected
            permits = table.permits(address, protocol, port, icmp_type=icmp_type)
            assert permits is (expected is None)


def test_one_entry_has_to_permit_every_type_if_none_is_named() -> None:
    halves = [[Icmp(range(128))], [Icmp(range(128, 256))]]
    table = table_of(("10.0.0.0/24", "a", halves[0]), ("10.0.0.0/24", "b", halves[1]))
    assert [table.permits("10.0.0.5", ICMPV4, icmp_type=one) for one in (127, 128)] == [True] * 2
    assert table.match("10.0.0.5", ICMPV4) == refusing("b", "10.0.0.0/24", Reason.ICMP)


# --- What is excluded --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("network", "excluded", "last_before", "first", "last", "first_behind"),
    [
        ("10.0.0.0/8", "10.1.0.0/16", "10.0.255.255", "10.1.0.0", "10.1.255.255", "10.2.0.0"),
        ("0.0.0.0/0", "10.0.0.5", "10.0.0.4", "10.0.0.5", "10.0.0.5", "10.0.0.6"),
        ("fd00::/64", "fd00::8/125", "fd00::7", "fd00::8", "fd00::f", "fd00::10"),
    ],
)
def test_what_is_excluded_is_not_covered_and_its_neighbours_are(  # noqa: PLR0913, PLR0917 - a table
    network: str, excluded: str, last_before: str, first: str, last: str, first_behind: str
) -> None:
    table = ClientFilterTable()
    table.allow(network, "a", [Tcp(443)], [excluded])
    for covered in (last_before, first_behind):
        assert table.match(covered, TCP, 443) == permitting("a", network)
        assert table.match(covered, TCP, 22) == refusing("a", network, Reason.TCP_PORT)
    for outside in (first, last):
        assert table.match(outside, TCP, 443) is None
        assert table.match(outside, TCP, 22) is None
        assert table.permits(outside, TCP, 443) is False


# Who has what besides "m", which has 10.0.0.0/16 without 10.0.1.0/24 and permits TCP 443; who
# answers for TCP 443 and 22 at 10.0.1.5; and the same at 10.0.2.5, which "m" covers.
BESIDE: list[tuple[str, list[Given], str, str]] = [
    ("nobody", [], "- -", "+m -m"),
    ("a shorter prefix", [("10.0.0.0/8", "a", [Tcp(443)])], "+a -a", "+m -m"),
    ("a longer one", [("10.0.1.0/24", "a", [Tcp(22)])], "-a +a", "+m -m"),
    ("a lower id", [("10.0.0.0/16", "a", [Tcp(22)])], "-a +a", "+m +a"),
    ("a greater id", [("10.0.0.0/16", "z", [Tcp(22)])], "-z +z", "+m +z"),
    (
        "many others of the network",
        [("10.0.0.0/16", f"a{number}", [Tcp(number)]) for number in range(20, 30)],
        "-a29 +a22",
        "+m +a22",
    ),
    (
        "some below and one behind",
        [("10.0.0.0/16", "a", [Udp()]), ("10.0.0.0/8", "z", [Tcp(443)])],
        "+z -a",
        "+m -m",
    ),
]


@pytest.mark.parametrize(
    ("others", "outside", "inside"), [one[1:] for one in BESIDE], ids=[one[0] for one in BESIDE]
)
def test_others_answer_for_what_one_excludes_as_if_that_were_not_there(
    others: list[Given], outside: str, inside: str
) -> None:
    table = table_of(*others)
    table.allow("10.0.0.0/16", "m", [Tcp(443)], ["10.0.1.0/24"])
    for address, expected in (("10.0.1.5", outside), ("10.0.2.5", inside)):
        found = [table.match(address, TCP, port) for port in (443, 22)]
        told = ["-" if one is None else "-+"[one.permitted] + one.resource_id for one in found]
        assert told == expected.split()


def test_allowing_again_replaces_what_is_excluded_and_one_network_is_nothing_to_another() -> None:
    table = ClientFilterTable()
    table.allow("10.0.0.0/8", "a", exclude=["10.0.1.0/24"])
    table.allow("10.0.0.0/16", "a", exclude=["10.0.1.0/25"])
    addresses = ("10.0.1.5", "10.0.1.200", "10.1.0.5")
    assert [table.permits(one, TCP, 1) for one in addresses] == [False, True, True]
    table.allow("10.0.0.0/16", "a", exclude=["10.0.1.128/25"])
    assert [table.permits(one, TCP, 1) for one in addresses] == [True, False, True]
    table.allow("10.0.0.0/8", "a")
    assert [table.permits(one, TCP, 1) for one in addresses] == [True, True, True]
    assert len(table) == 2


def test_excluded_networks_may_overlap_and_leave_nothing() -> None:
    table = ClientFilterTable()
    table.allow("10.0.0.0/8", "a", exclude=["10.0.0.0/9", "10.0.0.0/10", "10.128.0.0/9"])
    assert [table.match(one, TCP, 1) for one in ("10.0.0.0", "10.255.255.255")] == [None, None]


# --- Who answers -------------------------------------------------------------------------

WINNERS = [
    pytest.param(
        [("10.0.0.0/8", "wide", [Tcp(443)]), ("10.0.0.0/24", "narrow", [Tcp(22)])],
        permitting("wide", "10.0.0.0/8"),
        id="who permits beats the longer prefix",
    ),
    pytest.param(
        [("10.0.0.0/24", "a", [Tcp(443)]), ("10.0.0.0/24", "b", [Tcp(22)])],
        permitting("a", "10.0.0.0/24"),
        id="who permits beats the greater id",
    ),
    pytest.param(
        [("0.0.0.0/0", "all", NONE), ("10.0.0.5/32", "host", [Icmp()])],
        permitting("all", "0.0.0.0/0"),
        id="everything beats a host that refuses",
    ),
    pytest.param(
        [("10.0.0.0/8", "z", NONE), ("10.0.0.0/24", "a", NONE)],
        permitting("a", "10.0.0.0/24"),
        id="the longer prefix beats the greater id",
    ),
    pytest.param(
        [("10.0.0.4/31", "z", NONE), ("10.0.0.5/32", "a", NONE)],
        permitting("a", "10.0.0.5/32"),
        id="the longest prefix",
    ),
    pytest.param(
        [("10.0.0.0/24", "a", NONE), ("10.0.0.0/24", "b", NONE)],
        permitting("b", "10.0.0.0/24"),
        id="the greater id",
    ),
    pytest.param(
        [("10.0.0.0/24", "b", NONE), ("10.0.0.0/24", "a", NONE)],
        permitting("b", "10.0.0.0/24"),
        id="the greater id, whatever the order",
    ),
    pytest.param(
        [("10.0.0.0/24", "r10", NONE), ("10.0.0.0/24", "r9", NONE)],
        permitting("r9", "10.0.0.0/24"),
        id="ids are texts, not numbers",
    ),
    pytest.param(
        [("10.0.0.0/24", "Z", NONE), ("10.0.0.0/24", "a", NONE)],
        permitting("a", "10.0.0.0/24"),
        id="upper case before lower",
    ),
    pytest.param(
        # In UTF-16 the second would begin with a surrogate, which is less.
        [("10.0.0.0/24", "\uffff", NONE), ("10.0.0.0/24", "\U00010000", NONE)],
        permitting("\U00010000", "10.0.0.0/24"),
        id="by code point",
    ),
    pytest.param(
        [("10.0.0.0/24", "db", NONE), ("10.0.0.0/24", "db2", NONE)],
        permitting("db2", "10.0.0.0/24"),
        id="a longer id is greater than its beginning",
    ),
    pytest.param(
        [("10.0.0.0/8", "wide", [Tcp(22)]), ("10.0.0.0/24", "narrow", [Icmp()])],
        refusing("narrow", "10.0.0.0/24", Reason.TCP_PORT),
        id="none permits: the longer prefix refuses",
    ),
    pytest.param(
        [("10.0.0.0/24", "a", [Tcp(22)]), ("10.0.0.0/24", "b", [Tcp(22)])],
        refusing("b", "10.0.0.0/24", Reason.TCP_PORT),
        id="none permits: the greater id refuses",
    ),
    pytest.param(
        [
            ("10.0.0.0/24", "c", [Tcp(22)]),
            ("10.0.0.0/24", "a", NONE),
            ("10.0.0.0/24", "b", NONE),
        ],
        permitting("b", "10.0.0.0/24"),
        id="the greatest id of those that permit",
    ),
    pytest.param(
        [
            ("0.0.0.0/0", "all", NONE),
            ("10.0.0.0/8", "eight", [Udp()]),
            ("10.0.0.0/16", "sixteen", [Tcp(443)]),
            ("10.0.0.0/24", "twenty-four", [Icmp()]),
        ],
        permitting("sixteen", "10.0.0.0/16"),
        id="the longest prefix of those that permit",
    ),
]


@pytest.mark.parametrize(("entries", "winner"), WINNERS)
def test_one_of_several_entries_answers_whatever_the_order_of_allowing(
    entries: list[Given], winner: Match
) -> None:
    assert table_of(*entries).match("10.0.0.5", TCP, 443) == winner
    assert table_of(*reversed(entries)).match("10.0.0.5", TCP, 443) == winner


def test_the_same_rules_hold_in_ipv6() -> None:
    table = table_of(
        ("::/0", "all", [Icmp()]), ("fd00::/8", "eight", NONE), ("fd00::5", "host", [Icmp()])
    )
    assert table.match("fd00::5", TCP, 443) == permitting("eight", "fd00::/8")


def test_the_reason_is_for_the_protocol_asked_for() -> None:
    table = table_of(("10.0.0.0/8", "wide", [Tcp(443)]), ("10.0.0.0/24", "narrow", [Udp(53)]))
    assert table.match("10.0.0.5", UDP, 54) == refusing("narrow", "10.0.0.0/24", Reason.UDP_PORT)


# --- Match -------------------------------------------------------------------------------

YES = permitting("db", "10.0.0.0/24")
NO = refusing("db", "10.0.0.0/24", Reason.TCP_PORT)


def test_a_match_is_true_if_it_permits() -> None:
    assert (bool(YES), YES.permitted) == (True, True)
    assert (bool(NO), NO.permitted) == (False, False)


@pytest.mark.parametrize("address", ["10.0.0.5", "fd00:5::5"])
def test_an_address_object_is_taken_as_it_is_and_text_is_parsed_once(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = ClientFilterTable()
    table.allow("10.0.0.0/8", "db")
    table.allow("fd00:5::/64", "db")
    parsed = Mock(wraps=ip_address)
    monkeypatch.setattr("firezone_filter.values.addresses._read", parsed)
    given = ip_address(address)
    written = Mock(return_value=address)
    for kind in (IPv4Address, IPv6Address):
        # By way of its text an object costs 2 µs.
        monkeypatch.setattr(kind, "__str__", written)
    assert table.permits(given, 6, 443)
    assert (parsed.mock_calls, written.mock_calls) == ([], [])
    assert table.permits(address, 6, 443)
    assert (parsed.mock_calls, written.mock_calls) == ([call(address)], [])


def test_addresses_of_a_class_of_its_own_are_addresses_too() -> None:
    class Own(IPv4Address):
        """As some programs have."""

    table = ClientFilterTable()
    table.allow("10.0.0.0/8", "db")
    assert table.permits(Own("10.0.0.5"), 6, 443)


@pytest.mark.parametrize("port", [5432, 22])
def test_equal_questions_get_the_same_object(port: int) -> None:
    table = table_of(("10.0.0.0/24", "db", [Tcp(5432)]))
    assert table.match("10.0.0.5", TCP, port) is table.match("10.0.0.6", TCP, port)


# --- Changes -----------------------------------------------------------------------------


def test_the_same_network_and_id_replace() -> None:
    table = table_of(("10.0.0.0/24", "db", [Tcp(5432)]), ("10.0.0.0/24", "db", [Tcp(22)]))
    assert [table.permits("10.0.0.5", TCP, port) for port in (22, 5432)] == [True, False]


def test_replacing_changes_the_answer() -> None:
    table = table_of(("10.0.0.0/24", "db", NONE))
    table.match("10.0.0.5", TCP, 443)
    table.allow("10.0.0.0/24", "db", [Udp()])
    assert table.match("10.0.0.5", TCP, 443) == refusing("db", "10.0.0.0/24", Reason.TCP_PORT)


def test_replacing_leaves_others_of_the_same_network() -> None:
    table = table_of(
        ("10.0.0.0/24", "a", [Tcp(1)]), ("10.0.0.0/24", "b", NONE), ("10.0.0.0/24", "c", [Tcp(3)])
    )
    table.allow("10.0.0.0/24", "b", [Tcp(2)])
    assert [table.permits("10.0.0.5", TCP, port) for port in range(5)] == [
        False,
        True,
        True,
        True,
        False,
    ]


def test_one_id_may_have_several_networks() -> None:
    table = table_of(
        ("10.0.0.0/24", "db", [Tcp(1)]),
        ("10.0.1.0/24", "db", [Tcp(2)]),
        ("10.0.0.0/25", "db", NONE),
    )
    assert len(table) == 3
    assert (table.permits("10.0.0.200", TCP, 1), table.permits("10.0.1.5", TCP, 2)) == (True, True)


def test_revoking_removes_all_networks_of_an_id_and_says_whether_there_were_any() -> None:
    table = table_of(
        ("10.0.0.0/24", "db", NONE), ("10.0.0.0/8", "db", NONE), ("fd00::/64", "db", NONE)
    )
    assert [table.revoke(unknown) for unknown in ("web", "", "d", "db ")] == [False] * 4
    assert [table.revoke("db"), table.revoke("db")] == [True, False]
    addresses = ("10.0.0.5", "10.1.0.5", "fd00::5")
    assert [table.match(address, TCP, 1) for address in addresses] == [None] * 3
    table.allow("10.0.0.0/24", "db", [Tcp(1)])
    assert (len(table), table.permits("10.0.0.5", TCP, 1)) == (1, True)


@pytest.mark.parametrize("revoked", ["a", "b", "c"])
def test_revoking_leaves_others_of_the_same_network(revoked: str) -> None:
    table = table_of(
        ("10.0.0.0/24", "a", NONE), ("10.0.0.0/24", "b", NONE), ("10.0.0.0/24", "c", NONE)
    )
    table.revoke(revoked)
    assert {resource_id for _, resource_id, _, _ in table} == {"a", "b", "c"} - {revoked}


def test_revoking_uncovers_the_shorter_prefix() -> None:
    table = table_of(("10.0.0.0/8", "wide", NONE), ("10.0.0.0/24", "narrow", NONE))
    table.revoke("narrow")
    assert table.match("10.0.0.5", TCP, 443) == permitting("wide", "10.0.0.0/8")


def test_revoking_the_shorter_prefix_leaves_the_longer() -> None:
    table = table_of(
        ("10.0.0.0/8", "wide", NONE), ("10.0.0.0/24", "low", NONE), ("10.128.0.0/9", "high", NONE)
    )
    table.revoke("wide")
    assert table.match("10.0.0.5", TCP, 443) == permitting("low", "10.0.0.0/24")


def test_clearing_removes_everything_from_this_table_alone() -> None:
    table, other = (table_of(("10.0.0.0/24", "db", [Udp()]), ("::/0", "all", NONE)) for _ in "12")
    table.clear()
    assert (len(table), list(table), "db" in table) == (0, [], False)
    assert table.match("10.0.0.5", TCP) is None
    assert len(other) == 2
    table.allow("10.0.0.0/24", "db")
    assert table.permits("10.0.0.5", TCP, 443)


# --- What there is -----------------------------------------------------------------------


def test_the_length_counts_every_network_of_every_id() -> None:
    table = ClientFilterTable()
    assert len(table) == 0
    for network, resource_id in (
        ("10.0.0.0/24", "db"),
        ("fd00::/64", "db"),
        ("10.0.0.0/24", "web"),
    ):
        table.allow(network, resource_id)
        table.allow(network, resource_id, [Tcp()])
    assert len(table) == 3
    table.revoke("db")
    assert len(table) == 1


def test_iterating_yields_network_id_filters_and_what_is_excluded() -> None:
    table = table_of(("10.0.0.0/24", "db", iter([Tcp(5432)])))
    table.allow("fd00::/64", "web", exclude=iter(["fd00::8/125", "fd00::"]))
    holes = (IPv6Network("fd00::8/125"), IPv6Network("fd00::/128"))
    entries = sorted(table, key=str)
    assert entries == [
        (IPv4Network("10.0.0.0/24"), "db", (Tcp(5432),), ()),
        (IPv6Network("fd00::/64"), "web", (), holes),
    ]
    assert [one._asdict() for one in entries] == [
        dict(zip(("network", "resource_id", "filters", "exclude"), one, strict=True))
        for one in entries
    ]


def test_a_table_can_be_changed_while_it_is_iterated() -> None:
    table = table_of(("10.0.0.0/24", "a", NONE), ("10.0.1.0/24", "b", NONE))
    assert [table.revoke(resource_id) for _, resource_id, _, _ in table] == [True, True]


def test_a_table_contains_the_ids_that_are_allowed() -> None:
    table = table_of(("10.0.0.0/24", "db", NONE))
    assert "db" in table
    assert [thing for thing in ("web", "", None, 1, "10.0.0.0/24") if thing in table] == []
    table.revoke("db")
    assert "db" not in table


def test_a_table_shows_its_ids_and_networks() -> None:
    table = table_of(("10.0.0.0/24", "db", NONE), ("::/0", "all", NONE))
    assert repr(table) == "<ClientFilterTable db: 10.0.0.0/24, all: ::/0>"
    table.allow("10.0.0.0/24", "db", exclude=["10.0.0.5", "10.0.0.128/25"])
    table.revoke("all")
    without = "10.0.0.0/24 without 10.0.0.5/32 without 10.0.0.128/25"
    assert repr(table) == f"<ClientFilterTable db: {without}>"
    assert repr(ClientFilterTable()) == "<ClientFilterTable empty>"


# --- Mistakes ----------------------------------------------------------------------------


MISTAKES = [
    *[(TypeError, ("allow", one, "db")) for one in (None, 10, b"10.0.0.0/24")],
    (TypeError, ("allow", IPv4Interface("10.0.0.0/24"), "db")),
    *[(InvalidAddress, ("allow", one, "db")) for one in ("10.0.0.5/24", "", "a.b", "10.0.0.0/33")],
    *[(TypeError, ("allow", "10.0.0.0/24", one)) for one in (None, 1, b"db")],
    (InvalidPolicy, ("allow", "10.0.0.0/24", "")),
    # Filters are never missing by a slip.
    *[
        (TypeError, ("allow", "10.0.0.0/24", "db", one))
        for one in (None, "", dict[str, str](), Tcp(443), [None])
    ],
    # An excluded network lies inside, and is not all of it.
    *[
        (InvalidAddress, ("allow", "10.0.0.0/24", "db", (), [one]))
        for one in ("10.0.0.0/24", "10.0.0.0/23", "10.0.1.0/32", "fd00::", "10.0.0.5/31", "x")
    ],
    *[
        (TypeError, ("allow", "10.0.0.0/24", "db", (), one))
        for one in (None, "", "10.0.0.0/25", IPv4Network("10.0.0.0/25"), dict[str, str](), [1])
    ],
    *[(TypeError, ("revoke", one)) for one in (None, 1, b"db", ["db"])],
    *[(TypeError, ("match", one, TCP, 443)) for one in (None, 0, b"\x0a\x00\x00\x05")],
    (TypeError, ("match", IPv4Interface("10.0.0.5/24"), TCP, 443)),
    *[(InvalidAddress, ("match", one, TCP)) for one in ("", "10.0.0.0/24", "a.b", "fe80::1%eth0")],
    *[(InvalidPolicy, ("match", "10.0.0.5", one)) for one in (-1, 256, 10**5_000)],
    *[(TypeError, ("match", "10.0.0.5", one)) for one in (None, True, "tcp", 6.0, Tcp())],
    *[(InvalidPolicy, ("match", "10.0.0.5", TCP, one)) for one in (-1, 65_536)],
    *[(TypeError, ("match", "10.0.0.5", TCP, one)) for one in (True, False, "443", 443.0)],
    (InvalidAddress, ("permits", "", TCP, 1)),
    (InvalidPolicy, ("permits", "10.0.0.5", 256, 1)),
    (InvalidPolicy, ("permits", "10.0.0.5", TCP, -1)),
]


@pytest.mark.parametrize(("error", "call"), MISTAKES)
def test_a_mistake_raises_and_changes_nothing(
    error: type[Exception], call: tuple[str, object]
) -> None:
    table = table_of(("10.0.0.0/24", "db", [Tcp(5432)]))
    name, *arguments = call
    with pytest.raises(error):
        getattr(table, name)(*arguments)
    assert list(table) == [(IPv4Network("10.0.0.0/24"), "db", (Tcp(5432),), ())]


@pytest.mark.parametrize("protocol", [ICMPV4, ICMPV6, TCP, GRE])
def test_an_icmp_type_is_a_number_from_0_to_255_whatever_the_protocol(protocol: int) -> None:
    table = table_of(("10.0.0.0/24", "db", NONE))
    for wrong in (-1, 256, 10**5_000):
        with pytest.raises(InvalidPolicy):
            table.match("10.0.0.5", protocol, icmp_type=wrong)
        with pytest.raises(InvalidPolicy):
            table.permits("10.0.0.5", protocol, icmp_type=wrong)
    for strange in (True, False, 8.0, "8", b"\x08"):
        with pytest.raises(TypeError):
            table.match("10.0.0.5", protocol, icmp_type=strange)  # type: ignore[arg-type]
    assert table.permits("10.0.0.5", protocol, icmp_type=255)
    with pytest.raises(TypeError):
        table.match("10.0.0.5", protocol, None, 8)  # type: ignore[call-arg]


@pytest.mark.parametrize("port", [0, 65_535])
def test_the_first_and_the_last_port_can_be_asked_for(port: int) -> None:
    assert table_of(("10.0.0.0/24", "db", [Tcp(port)])).permits("10.0.0.5", TCP, port)


# --- Many networks -----------------------------------------------------------------------


def host(number: int) -> str:
    return str(ip_address(0x0A000000 + number))


def test_thousands_of_networks_come_and_go_one_by_one() -> None:
    table = table_of(
        ("10.0.0.0/8", "wide", NONE),
        *[(host(number), f"host-{number}", [Tcp(number)]) for number in range(5_000)],
    )
    for number in range(0, 5_000, 2):
        table.revoke(f"host-{number}")
    wide = permitting("wide", "10.0.0.0/8")
    assert [table.match(host(number), TCP, number) for number in range(5_000)] == [
        wide if number % 2 == 0 else permitting(f"host-{number}", host(number))
        for number in range(5_000)
    ]


def test_revoking_leaves_no_nodes_behind() -> None:
    table = table_of(*[(host(number), "db", NONE) for number in range(2_000)])
    table.revoke("db")
    assert (len(table), list(table), table._tree.tree.nodes()) == (0, [], [])


def test_nested_networks_answer_one_inside_the_other() -> None:
    ladder = [f"128.0.0.0/{length}" for length in range(1, 33)]
    table = table_of(*[(network, network, NONE) for network in ladder])
    table.revoke("128.0.0.0/32")
    assert table.match("128.0.0.0", TCP, 1) == permitting("128.0.0.0/31", "128.0.0.0/31")


def test_many_resources_may_share_one_network() -> None:
    table = table_of(*[("10.0.0.0/24", f"r{n:04}", [Tcp(n)]) for n in range(1_000)])
    assert table.match("10.0.0.5", TCP, 7) == permitting("r0007", "10.0.0.0/24")
