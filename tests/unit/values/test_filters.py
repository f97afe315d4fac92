"""Ports and filters, as users hand them in."""

import pickle
import re
from collections.abc import Callable, Iterable, Sequence
from enum import IntEnum
from functools import partial
from types import MappingProxyType
from typing import Any, TypeAlias

import attrs
import pytest

from firezone_filter.values.errors import InvalidPolicy
from firezone_filter.values.filters import (
    ALL_PORTS,
    Filter,
    Icmp,
    PortRange,
    Protocol,
    Tcp,
    Udp,
    to_filters,
)
from firezone_filter.values.resources import (
    CidrResource,
    DnsResource,
)

Given: TypeAlias = Any

BEYOND = [
    pytest.param(-1, id="negative"),
    pytest.param(65_536, id="17 bits"),
    # Python does not write this out, so no message can show it.
    pytest.param(10**5_000, id="5001 digits"),
]


def shown(value: object) -> str:
    """Return an id that is the same in every process."""
    return re.sub(" at 0x[0-9a-f]*", "", repr(value))


class WellKnown(IntEnum):
    ECHO = 8
    GRE = 47
    HTTPS = 443


# --- PortRange ---------------------------------------------------------------------------


def test_a_range_of_one_port_ends_where_it_begins() -> None:
    assert PortRange(443) == PortRange(443, 443)


def test_a_port_may_be_an_int_enum() -> None:
    assert PortRange(WellKnown.HTTPS) == PortRange(443)


@pytest.mark.parametrize("port", [0, 1, 65_534, 65_535])
def test_ports_go_from_0_to_65535(port: int) -> None:
    assert PortRange(port).first == port


AS_FIRST_OR_LAST = pytest.mark.parametrize(
    "make", [PortRange, partial(PortRange, 0)], ids=["first", "last"]
)


@AS_FIRST_OR_LAST
@pytest.mark.parametrize("port", BEYOND)
def test_numbers_out_of_range_are_not_ports(make: Callable[[int], PortRange], port: int) -> None:
    with pytest.raises(InvalidPolicy) as caught:
        make(port)
    assert caught.value.value == port


@AS_FIRST_OR_LAST
@pytest.mark.parametrize("port", [True, False, "443", 443.0, b"\x01\xbb", PortRange(443)])
def test_a_port_of_another_type_is_a_type_error(
    make: Callable[[object], PortRange], port: object
) -> None:
    with pytest.raises(TypeError):
        make(port)


def test_a_first_port_is_required() -> None:
    with pytest.raises(TypeError):
        PortRange(None)  # type: ignore[arg-type]


def test_the_first_port_may_be_the_last() -> None:
    assert PortRange(8_000, 8_000).last == 8_000


def test_the_first_port_is_not_behind_the_last() -> None:
    with pytest.raises(InvalidPolicy):
        PortRange(8_001, 8_000)


def test_a_range_contains_its_ports_both_ends_included() -> None:
    ports = range(65_536)
    assert [port for port in ports if port in PortRange(8_000, 8_100)] == [*range(8_000, 8_101)]
    assert WellKnown.HTTPS in PortRange(443)


@pytest.mark.parametrize("thing", ["443", 443.0, None, PortRange(443), True, False])
def test_a_range_contains_only_integers(thing: object) -> None:
    assert thing not in ALL_PORTS


@pytest.mark.parametrize(
    ("ports", "text"),
    [
        pytest.param(PortRange(0, 65_535), "*", id="all"),
        pytest.param(PortRange(443), "443", id="one"),
        pytest.param(PortRange(23, 24), "23-24", id="two"),
        pytest.param(PortRange(0), "0", id="zero"),
        pytest.param(PortRange(1, 65_535), "1-65535", id="all but the first"),
        pytest.param(PortRange(0, 65_534), "0-65534", id="all but the last"),
    ],
)
def test_a_range_prints_as_people_write_it(ports: PortRange, text: str) -> None:
    assert str(ports) == text


def test_ranges_are_ordered_by_their_first_port_then_by_their_last() -> None:
    ranges = [PortRange(2), PortRange(1, 9), PortRange(1, 3), PortRange(0, 65_535)]
    assert sorted(ranges) == [PortRange(0, 65_535), PortRange(1, 3), PortRange(1, 9), PortRange(2)]


def test_a_range_can_be_changed_into_another() -> None:
    assert attrs.evolve(PortRange(1, 2), last=9) == PortRange(1, 9)


# --- Tcp, Udp ----------------------------------------------------------------------------

BOTH = pytest.mark.parametrize("kind", [Tcp, Udp])


@BOTH
def test_without_ports_a_filter_has_all(kind: type[Tcp | Udp]) -> None:
    assert kind().ports == PortRange(0, 65_535)


@BOTH
@pytest.mark.parametrize(
    ("given", "ports"),
    [
        pytest.param(443, PortRange(443), id="int"),
        pytest.param(0, PortRange(0), id="port 0"),
        pytest.param("443", PortRange(443), id="text"),
        pytest.param("0", PortRange(0), id="port 0 as text"),
        pytest.param("8000-8100", PortRange(8_000, 8_100), id="range as text"),
        pytest.param("0-65535", ALL_PORTS, id="all as text"),
        pytest.param("443-443", PortRange(443), id="range of one as text"),
        pytest.param(PortRange(1, 9), PortRange(1, 9), id="PortRange"),
    ],
)
def test_ports_can_be_given_in_each_form(
    kind: type[Tcp | Udp], given: int | str | PortRange, ports: PortRange
) -> None:
    assert kind(given).ports == ports


@BOTH
@pytest.mark.parametrize(
    "given",
    [
        pytest.param(-1, id="negative"),
        pytest.param(65_536, id="beyond"),
        pytest.param("", id="empty"),
        pytest.param("65536", id="beyond as text"),
        pytest.param("100000", id="six digits"),
        pytest.param("-1", id="negative as text"),
        pytest.param("1-", id="no last"),
        pytest.param("-", id="hyphen alone"),
        pytest.param("1-2-3", id="three"),
        pytest.param("8100-8000", id="backwards"),
        pytest.param("1-65536", id="last beyond"),
        pytest.param(" 443", id="space before"),
        pytest.param("443 ", id="space behind"),
        pytest.param("443\n", id="line feed"),
        pytest.param("1 - 2", id="spaces inside"),
        pytest.param("+443", id="sign"),
        pytest.param("4_43", id="underscore"),
        pytest.param("0x1bb", id="hexadecimal"),
        pytest.param("80,", id="nothing behind the comma"),
        pytest.param(",80", id="nothing before the comma"),
        pytest.param("80,,443", id="nothing between commas"),
        pytest.param("80 ,443", id="space before the comma"),
        pytest.param("80,  443", id="two spaces"),
        pytest.param("80;443", id="semicolon"),
        pytest.param("80,x", id="name among ports"),
        pytest.param("80,443-80", id="backwards among ports"),
        pytest.param([], id="empty list"),
        pytest.param((), id="empty tuple"),
        pytest.param(range(0), id="empty range"),
        pytest.param([80, 65_536], id="beyond among ports"),
        pytest.param(["80", ""], id="empty among ports"),
        pytest.param("*", id="star"),
        pytest.param("https", id="name"),
        pytest.param("\u0664\u0664\u0663", id="digits of another script"),
    ],
)
def test_values_that_are_not_port_ranges_are_refused(
    kind: type[Tcp | Udp], given: int | str | Sequence[int]
) -> None:
    with pytest.raises(InvalidPolicy):
        kind(given)


@BOTH
@pytest.mark.parametrize(
    "given",
    [
        *(None, True, False, 443.0, b"443", b"", bytearray(b"443"), memoryview(b"443"), Tcp()),
        *({}, {80: 443}, [True], [443.0], [None], [[443]], [(80, 443)], [b"443"], [Tcp(443)]),
    ],
)
def test_ports_of_another_type_are_a_type_error(kind: type[Tcp | Udp], given: object) -> None:
    with pytest.raises(TypeError):
        kind(given)  # type: ignore[arg-type]


SEVERAL: dict[str, tuple[Any, list[PortRange]]] = {
    "list": ([80, 443], [PortRange(80), PortRange(443)]),
    "text": ("80,443", [PortRange(80), PortRange(443)]),
    "text with a space": ("80, 443", [PortRange(80), PortRange(443)]),
    "not in order": ("443,80", [PortRange(80), PortRange(443)]),
    "twice": ([443, "443", 80, PortRange(443)], [PortRange(80), PortRange(443)]),
    "ranges": ("1-9,20-29", [PortRange(1, 9), PortRange(20, 29)]),
    "every form": (
        [80, "443,1-9", PortRange(20)],
        [*map(PortRange, (1, 20, 80, 443), (9, 20, 80, 443))],
    ),
    "one apart": ("1-9,11", [PortRange(1, 9), PortRange(11)]),
    "touching": ("1-9,10", [PortRange(1, 10)]),
    "overlapping": ("1-9,5-20", [PortRange(1, 20)]),
    "one inside another": ("1-9,2-3", [PortRange(1, 9)]),
    "one in a list": ([443], [PortRange(443)]),
    "a tuple is no range": ((1, 9), [PortRange(1), PortRange(9)]),
    "a set": ({80, 443}, [PortRange(80), PortRange(443)]),
    "a Python range": (range(8_000, 8_101), [PortRange(8_000, 8_100)]),
    "the ends": ("0,65535", [PortRange(0), PortRange(65_535)]),
    "all in two": ("0-79,80-65535", [ALL_PORTS]),
    "all in all": ([*range(0, 65_536, 2), *range(1, 65_536, 2)], [ALL_PORTS]),
}


@BOTH
@pytest.mark.parametrize(("given", "ranges"), SEVERAL.values(), ids=SEVERAL.keys())
def test_several_ports_are_ranges_in_order_of_which_no_two_touch(
    kind: type[Tcp | Udp], given: Given, ranges: list[PortRange]
) -> None:
    made = kind(given)
    assert made.ranges == tuple(ranges)
    assert made.ports == (ranges[0] if len(ranges) == 1 else tuple(ranges))
    assert {made} == {kind(ranges)}
    assert attrs.evolve(made) == made
    assert pickle.loads(pickle.dumps(made)) == made  # noqa: S301 - our own


@BOTH
def test_an_iterator_of_ports_is_read_once(kind: type[Tcp | Udp]) -> None:
    made = kind(port for port in (80, 443))
    assert (made.ranges, made.ranges) == ((PortRange(80), PortRange(443)),) * 2


@pytest.mark.parametrize("given", [443, "440-445", [80, 443], "80,440-445"])
def test_in_tells_of_a_port_whether_there_is_one_range_or_several(given: Given) -> None:
    ports = Tcp(given).ports
    assert 443 in ports
    assert 79 not in ports
    assert 446 not in ports
    assert "443" not in ports


def test_ranges_are_in_several_ports_too() -> None:
    assert PortRange(80) in Tcp([80, 443]).ports
    assert PortRange(80, 443) not in Tcp([80, 443]).ports


def test_a_filter_of_several_ranges_is_kept_as_one_for_each() -> None:
    several = to_filters(
        [Udp("53,443"), Icmp.echo(), Protocol(47), Tcp([80, "443"]), Tcp(22), Tcp("1,2")]
    )
    assert several == (
        *(Udp(53), Udp(443), Icmp.echo(), Protocol(47)),
        *(Tcp(80), Tcp(443), Tcp(22), Tcp("1-2")),
    )
    resource = CidrResource("web", "10.0.0.0/8", [Tcp([80, 443])])
    assert resource == CidrResource("web", "10.0.0.0/8", [Tcp(80), Tcp(443)])


def test_tcp_and_udp_on_the_same_ports_differ() -> None:
    assert len({Tcp(53), Udp(53)}) == 2


def test_filters_of_the_same_ports_are_equal_whatever_form_they_were_given_in() -> None:
    assert len({Tcp(443), Tcp("443"), Tcp(PortRange(443)), Tcp("443-443")}) == 1


# --- Icmp, Protocol ----------------------------------------------------------------------

TYPES: dict[str, tuple[Given, Given, Given]] = {
    "every type": (Icmp(), None, None),
    "every type, given": (Icmp(None, None), None, None),
    "pings": (Icmp.echo(), (0, 8), (128, 129)),
    "IPv4 alone": (Icmp([8]), (0, 8), ()),
    "IPv6 alone": (Icmp(types_v6=[128]), (), (128, 129)),
    "none of IPv4": (Icmp((), [128]), (), (128, 129)),
    "none of IPv6": (Icmp([8], ()), (0, 8), ()),
    "ascending, each once": (Icmp([255, 0, 8, 0, 1], [200, 1]), (0, 1, 8, 255), (1, 200)),
    "a set": (Icmp({8}, frozenset({128})), (0, 8), (128, 129)),
    "an iterator": (Icmp(iter([8]), iter([128])), (0, 8), (128, 129)),
    "all in a range": (Icmp(range(256)), tuple(range(256)), ()),
    "an int enum": (Icmp([WellKnown.ECHO]), (0, 8), ()),
}


@pytest.mark.parametrize(("made", "types", "types_v6"), TYPES.values(), ids=TYPES)
def test_icmp_types_are_ascending_and_one_family_given_leaves_none_of_the_other(
    made: Icmp, types: object, types_v6: object
) -> None:
    assert (made.types, made.types_v6) == (types, types_v6)
    assert all(type(one) is int for one in (*(made.types or ()), *(made.types_v6 or ())))
    assert {made} == {attrs.evolve(made), eval(repr(made))}  # noqa: S307 - our own text
    assert pickle.loads(pickle.dumps(made)) == made  # noqa: S301 - our own


PAIRS = {
    "types": ((8, 0), (13, 14), (15, 16), (17, 18), (42, 43)),
    "types_v6": ((128, 129), (139, 140), (160, 161)),
}


@pytest.mark.parametrize("family", PAIRS)
def test_of_a_request_and_its_answer_either_names_both_and_no_other_type_has_a_partner(
    family: str,
) -> None:
    partners = {one: tuple(sorted(pair)) for pair in PAIRS[family] for one in pair}
    for one in range(256):
        assert getattr(Icmp(**{family: [one]}), family) == partners.get(one, (one,))


@pytest.mark.parametrize("family", PAIRS)
@pytest.mark.parametrize("number", [-1, 256, pytest.param(10**5_000, id="5001 digits")], ids=repr)
def test_icmp_types_go_from_0_to_255(family: str, number: int) -> None:
    with pytest.raises(InvalidPolicy) as caught:
        Icmp(**{family: [0, number]})
    assert caught.value.value == number


@pytest.mark.parametrize(
    "none",
    [{"types": ()}, {"types_v6": []}, {"types": iter(()), "types_v6": set()}],
    ids=shown,
)
def test_no_type_of_either_family_is_refused(none: dict[str, Given]) -> None:
    with pytest.raises(InvalidPolicy):
        Icmp(**none)


@pytest.mark.parametrize("family", PAIRS)
@pytest.mark.parametrize(
    "given",
    [
        *(8, True, 8.0, "", "8", b"", b"\x08", bytearray(), memoryview(b""), {}, {8: 0}, Icmp),
        *([True], [False], [8.0], ["8"], [None], [[8]], [PortRange(8)], [Icmp.echo()]),
    ],
    ids=shown,
)
def test_icmp_types_of_another_type_are_a_type_error(family: str, given: Given) -> None:
    with pytest.raises(TypeError):
        Icmp(**{family: given})


def test_icmp_is_written_with_the_types_it_names_alone() -> None:
    made = [Icmp(), Icmp([8]), Icmp(types_v6=[1]), Icmp.echo()]
    assert [*map(repr, made)] == [
        "Icmp()",
        "Icmp(types=(0, 8))",
        "Icmp(types_v6=(1,))",
        "Icmp(types=(0, 8), types_v6=(128, 129))",
    ]


def test_icmp_filters_of_different_types_differ() -> None:
    assert len({Icmp(), Icmp(), Icmp.echo(), Icmp([0]), Icmp([8]), Icmp(range(256))}) == 4


def test_every_protocol_without_a_filter_of_its_own_has_this_one() -> None:
    others = {number: Protocol(number) for number in range(256) if number not in {1, 6, 17, 58}}
    assert [one.number for one in others.values()] == [*others]
    assert len({*others.values(), Protocol(WellKnown.GRE)}) == 252
    assert repr(Protocol(47)) == "Protocol(number=47)"


@pytest.mark.parametrize("number", [1, 6, 17, 58, -1, 256, pytest.param(10**5_000, id="long")])
def test_tcp_udp_icmp_and_no_number_are_no_other_protocol(number: int) -> None:
    with pytest.raises(InvalidPolicy) as caught:
        Protocol(number)
    assert caught.value.value == number


@pytest.mark.parametrize("number", [None, True, False, 47.0, "47", b"/", [47], Protocol(47)])
def test_a_protocol_number_of_another_type_is_a_type_error(number: Given) -> None:
    with pytest.raises(TypeError):
        Protocol(number)


# --- Filters, never by a slip ------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "filters"),
    [
        pytest.param((), (), id="empty tuple"),
        pytest.param([], (), id="empty list"),
        pytest.param(set(), (), id="empty set"),
        pytest.param(iter(()), (), id="empty iterator"),
        pytest.param([Tcp(443), Icmp()], (Tcp(443), Icmp()), id="list"),
        pytest.param({Udp(53)}, (Udp(53),), id="set"),
        pytest.param(iter([Tcp(1), Udp(1)]), (Tcp(1), Udp(1)), id="iterator"),
        pytest.param([Tcp(1), Tcp(1)], (Tcp(1), Tcp(1)), id="twice the same"),
    ],
)
def test_filters_are_any_iterable_of_filters(
    values: Iterable[Filter], filters: tuple[Filter, ...]
) -> None:
    assert to_filters(values) == filters


def test_filters_are_read_once() -> None:
    resource = CidrResource("web", "10.0.0.0/8", (Tcp(port) for port in (80, 443)))
    assert (resource.filters, resource.filters) == ((Tcp(80), Tcp(443)), (Tcp(80), Tcp(443)))


NO_FILTERS = [
    pytest.param(None, id="None"),
    pytest.param(False, id="False"),
    pytest.param(0, id="zero"),
    pytest.param("", id="empty text"),
    pytest.param("tcp", id="text"),
    pytest.param(b"", id="empty bytes"),
    pytest.param(bytearray(), id="empty bytearray"),
    pytest.param(memoryview(b""), id="empty memoryview"),
    pytest.param({}, id="empty mapping"),
    pytest.param(MappingProxyType({}), id="empty mapping proxy"),
    pytest.param({Tcp(443): True}, id="mapping of filters"),
    pytest.param(Tcp(443), id="Tcp by itself"),
    pytest.param(Udp(), id="Udp by itself"),
    pytest.param(Icmp(), id="Icmp by itself"),
    pytest.param(Protocol(47), id="Protocol by itself"),
    pytest.param(PortRange(443), id="PortRange by itself"),
    pytest.param(Tcp, id="class by itself"),
    pytest.param([None], id="None among them"),
    pytest.param([Tcp], id="class among them"),
    pytest.param([Tcp(443), "udp"], id="text among them"),
    pytest.param([443], id="port among them"),
    pytest.param([[Tcp(443)]], id="list of lists"),
    pytest.param([PortRange(443)], id="PortRange among them"),
]


@pytest.mark.parametrize("values", NO_FILTERS)
@pytest.mark.parametrize(
    "make",
    [
        pytest.param(to_filters, id="filters"),
        pytest.param(partial(CidrResource, "db", "10.0.0.0/8"), id="CidrResource"),
        pytest.param(partial(DnsResource, "db", "db.example.com"), id="DnsResource"),
    ],
)
def test_nothing_else_is_taken_for_filters(
    make: Callable[[object], object], values: object
) -> None:
    with pytest.raises(TypeError):
        make(values)
