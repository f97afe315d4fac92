import pickle
from collections.abc import Iterable
from enum import IntEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from types import MappingProxyType

import attrs
import pytest
from attrs.exceptions import FrozenInstanceError

from firezone_filter.access.permits import PermitCheck, compile_filters
from firezone_filter.packet.numbers import ICMPV4, ICMPV6, TCP, UDP
from firezone_filter.values.addresses import Network
from firezone_filter.values.decisions import Reason
from firezone_filter.values.domains import DomainPattern
from firezone_filter.values.errors import InvalidAddress, InvalidPolicy
from firezone_filter.values.resources import (
    ALL_PORTS,
    CidrResource,
    DnsResource,
    Filter,
    Icmp,
    InternetResource,
    PortRange,
    Resource,
    Tcp,
    Udp,
    same_place,
    to_filters,
    to_id,
)

GRE = 47
BEYOND = [
    pytest.param(-1, id="negative"),
    pytest.param(65_536, id="17 bits"),
    # Python does not write this out, so no message can show it.
    pytest.param(10**5_000, id="5001 digits"),
]


class WellKnown(IntEnum):
    HTTPS = 443


# --- PortRange ---------------------------------------------------------------------------


def test_a_range_of_one_port_ends_where_it_begins() -> None:
    assert PortRange(443) == PortRange(443, 443)


def test_a_port_may_be_an_int_enum() -> None:
    assert PortRange(WellKnown.HTTPS) == PortRange(443)


@pytest.mark.parametrize("port", [0, 1, 65_534, 65_535])
def test_ports_go_from_0_to_65535(port: int) -> None:
    assert PortRange(port).first == port


@pytest.mark.parametrize("port", BEYOND)
def test_what_is_beyond_is_no_first_port(port: int) -> None:
    with pytest.raises(InvalidPolicy):
        PortRange(port)


@pytest.mark.parametrize("port", BEYOND)
def test_what_is_beyond_is_no_last_port(port: int) -> None:
    with pytest.raises(InvalidPolicy):
        PortRange(0, port)


def test_the_error_carries_what_is_no_port() -> None:
    with pytest.raises(InvalidPolicy) as caught:
        PortRange(0, 65_536)
    assert caught.value.value == 65_536


@pytest.mark.parametrize("port", [True, False, None, "443", 443.0, b"\x01\xbb", PortRange(443)])
def test_a_first_port_of_another_type_is_a_type_error(port: object) -> None:
    with pytest.raises(TypeError):
        PortRange(port)  # type: ignore[arg-type]


@pytest.mark.parametrize("port", [True, False, "443", 443.0])
def test_a_last_port_of_another_type_is_a_type_error(port: object) -> None:
    with pytest.raises(TypeError):
        PortRange(0, port)  # type: ignore[arg-type]


def test_the_first_port_may_be_the_last() -> None:
    assert PortRange(8_000, 8_000).last == 8_000


def test_the_first_port_is_not_behind_the_last() -> None:
    with pytest.raises(InvalidPolicy):
        PortRange(8_001, 8_000)


@pytest.mark.parametrize("port", [8_000, 8_001, 8_100, WellKnown.HTTPS + 7_600])
def test_a_range_has_its_ports_both_ends_included(port: int) -> None:
    assert port in PortRange(8_000, 8_100)


@pytest.mark.parametrize("port", [7_999, 8_101, 0, 65_535])
def test_a_range_does_not_have_its_neighbours(port: int) -> None:
    assert port not in PortRange(8_000, 8_100)


@pytest.mark.parametrize("thing", ["443", 443.0, None, PortRange(443)])
def test_a_range_has_only_numbers(thing: object) -> None:
    assert thing not in PortRange(443)


@pytest.mark.parametrize("thing", [True, False])
def test_a_bool_is_in_no_range(thing: object) -> None:
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


# --- Tcp, Udp, Icmp ----------------------------------------------------------------------

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
        pytest.param("1,2", id="list"),
        pytest.param("*", id="star"),
        pytest.param("https", id="name"),
        pytest.param("\u0664\u0664\u0663", id="digits of another script"),
    ],
)
def test_what_is_no_range_of_ports_is_refused(kind: type[Tcp | Udp], given: int | str) -> None:
    with pytest.raises(InvalidPolicy):
        kind(given)


@BOTH
@pytest.mark.parametrize("given", [None, True, False, 443.0, (1, 9), [443], b"443", Tcp()])
def test_ports_of_another_type_are_a_type_error(kind: type[Tcp | Udp], given: object) -> None:
    with pytest.raises(TypeError):
        kind(given)  # type: ignore[arg-type]


def test_tcp_and_udp_on_the_same_ports_differ() -> None:
    assert len({Tcp(53), Udp(53)}) == 2


def test_filters_of_the_same_ports_are_equal_whatever_form_they_were_given_in() -> None:
    assert len({Tcp(443), Tcp("443"), Tcp(PortRange(443)), Tcp("443-443")}) == 1


def test_icmp_equals_icmp() -> None:
    assert len({Icmp(), Icmp()}) == 1


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
def test_nothing_else_passes_for_filters(values: object) -> None:
    with pytest.raises(TypeError):
        to_filters(values)  # type: ignore[arg-type]


@pytest.mark.parametrize("values", NO_FILTERS)
def test_nothing_else_passes_for_the_filters_of_a_network(values: object) -> None:
    with pytest.raises(TypeError):
        CidrResource("db", "10.0.0.0/8", values)  # type: ignore[arg-type]


@pytest.mark.parametrize("values", NO_FILTERS)
def test_nothing_else_passes_for_the_filters_of_a_name(values: object) -> None:
    with pytest.raises(TypeError):
        DnsResource("db", "db.example.com", values)  # type: ignore[arg-type]


# --- Ids and names -----------------------------------------------------------------------


@pytest.mark.parametrize("value", ["db", " ", "\x00", "2b7d3f3e-58f1-4d0c-a8a4-e5b7a60fc8ad"])
def test_an_id_is_any_text_that_is_not_empty(value: str) -> None:
    assert to_id(value) == value


def test_an_empty_id_is_refused() -> None:
    with pytest.raises(InvalidPolicy):
        to_id("")


@pytest.mark.parametrize("value", [None, 1, b"db", False])
def test_an_id_of_another_type_is_a_type_error(value: object) -> None:
    with pytest.raises(TypeError):
        to_id(value)  # type: ignore[arg-type]


OF_EACH_KIND = [
    pytest.param({"network": "10.0.0.0/8"}, CidrResource, id="CidrResource"),
    pytest.param({"address": "example.com"}, DnsResource, id="DnsResource"),
    pytest.param({}, InternetResource, id="InternetResource"),
]


@pytest.mark.parametrize(("place", "kind"), OF_EACH_KIND)
def test_a_resource_has_an_id(place: dict[str, str], kind: type[InternetResource]) -> None:
    with pytest.raises(InvalidPolicy):
        kind(id="", **place)


@pytest.mark.parametrize(("place", "kind"), OF_EACH_KIND)
def test_a_resource_id_of_another_type_is_a_type_error(
    place: dict[str, str], kind: type[InternetResource]
) -> None:
    with pytest.raises(TypeError):
        kind(id=1, **place)  # type: ignore[arg-type]


@pytest.mark.parametrize(("place", "kind"), OF_EACH_KIND)
def test_a_resource_has_no_name_unless_one_is_given(
    place: dict[str, str], kind: type[InternetResource]
) -> None:
    assert kind(id="db", **place).name == ""


@pytest.mark.parametrize("name", [None, False, b"", 1])
@pytest.mark.parametrize(("place", "kind"), OF_EACH_KIND)
def test_a_name_of_another_type_is_a_type_error(
    place: dict[str, str], kind: type[InternetResource], name: object
) -> None:
    with pytest.raises(TypeError):
        kind(id="db", name=name, **place)  # type: ignore[arg-type]


# --- The three resources -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "network"),
    [
        pytest.param("10.0.0.0/8", IPv4Network("10.0.0.0/8"), id="IPv4 text"),
        pytest.param("fd00::/64", IPv6Network("fd00::/64"), id="IPv6 text"),
        pytest.param(IPv4Network("10.0.0.0/8"), IPv4Network("10.0.0.0/8"), id="object"),
        pytest.param("10.0.0.5", IPv4Network("10.0.0.5/32"), id="address"),
        pytest.param(IPv4Address("10.0.0.5"), IPv4Network("10.0.0.5/32"), id="address object"),
        pytest.param("0.0.0.0/0", IPv4Network("0.0.0.0/0"), id="everything"),
    ],
)
def test_a_network_is_kept_as_an_object(given: str, network: Network) -> None:
    assert CidrResource("db", given).network == network


@pytest.mark.parametrize("network", ["10.0.0.5/8", "fd00::1/64", "", "example.com"])
def test_what_is_no_network_makes_no_cidr_resource(network: str) -> None:
    with pytest.raises(InvalidAddress):
        CidrResource("db", network)


@pytest.mark.parametrize("network", [None, 1, b"10.0.0.0/8", ["10.0.0.0/8"]])
def test_a_network_of_another_type_makes_no_cidr_resource(network: object) -> None:
    with pytest.raises(TypeError):
        CidrResource("db", network)  # type: ignore[arg-type]


def test_without_filters_a_network_has_none() -> None:
    assert CidrResource("db", "10.0.0.0/8").filters == ()


def test_without_filters_a_name_has_none() -> None:
    assert DnsResource("db", "db.example.com").filters == ()


def test_a_dns_resource_keeps_its_address_as_it_was_written() -> None:
    assert DnsResource("web", "*.Example.COM.").address == "*.Example.COM."


def test_a_dns_resource_stands_for_the_names_of_its_pattern() -> None:
    assert DnsResource("web", "*.Example.COM.").pattern() == DomainPattern.parse("*.example.com")


@pytest.mark.parametrize("address", ["", "example..com", "a**.example.com", "b\u00fccher.example"])
def test_what_is_no_pattern_makes_no_dns_resource(address: str) -> None:
    with pytest.raises(InvalidPolicy):
        DnsResource("web", address)


@pytest.mark.parametrize("address", [None, b"example.com", 1])
def test_an_address_of_another_type_makes_no_dns_resource(address: object) -> None:
    with pytest.raises(TypeError):
        DnsResource("web", address)  # type: ignore[arg-type]


def test_nothing_is_excluded_from_the_internet_unless_it_is_said() -> None:
    assert InternetResource("internet").exclude == ()


def test_excluded_networks_are_kept_as_objects() -> None:
    resource = InternetResource("internet", exclude=iter(["8.8.8.0/24", "2606:4700::/32"]))
    assert resource.exclude == (IPv4Network("8.8.8.0/24"), IPv6Network("2606:4700::/32"))


def test_an_excluded_network_has_no_host_bits() -> None:
    with pytest.raises(InvalidAddress):
        InternetResource("internet", exclude=["8.8.8.8/24"])


@pytest.mark.parametrize("exclude", [None, "", "8.8.8.0/24", {}, IPv4Network("8.8.8.0/24"), [1]])
def test_excluded_networks_of_another_type_are_a_type_error(exclude: object) -> None:
    with pytest.raises(TypeError):
        InternetResource("internet", exclude=exclude)  # type: ignore[arg-type]


# --- All are values ----------------------------------------------------------------------

CIDR = CidrResource("db", "10.0.0.0/8", [Tcp(5432)], "Database")
DNS = DnsResource("web", "*.example.com", [Udp(443), Icmp()], "Web")
INTERNET = InternetResource("internet", "Internet", ["8.8.8.0/24"])

VALUES = [
    pytest.param(PortRange(1, 9), "first", id="PortRange"),
    pytest.param(Tcp(443), "ports", id="Tcp"),
    pytest.param(Udp(53), "ports", id="Udp"),
    pytest.param(Icmp(), "anything", id="Icmp"),
    pytest.param(CIDR, "filters", id="CidrResource"),
    pytest.param(DNS, "filters", id="DnsResource"),
    pytest.param(INTERNET, "exclude", id="InternetResource"),
]


@pytest.mark.parametrize(("value", "attribute"), VALUES)
def test_values_are_frozen(value: object, attribute: str) -> None:
    with pytest.raises(FrozenInstanceError):
        setattr(value, attribute, ())


@pytest.mark.parametrize(("value", "_attribute"), VALUES)
def test_values_have_slots(value: object, _attribute: str) -> None:
    assert not hasattr(value, "__dict__")


@pytest.mark.parametrize(("value", "_attribute"), VALUES)
def test_values_survive_pickle(value: object, _attribute: str) -> None:
    assert pickle.loads(pickle.dumps(value)) == value  # noqa: S301 - our own bytes


@pytest.mark.parametrize(("value", "_attribute"), VALUES)
def test_values_that_are_equal_hash_alike(value: object, _attribute: str) -> None:
    again = pickle.loads(pickle.dumps(value))  # noqa: S301 - our own bytes
    assert hash(again) == hash(value)


@pytest.mark.parametrize("resource", [CIDR, DNS, INTERNET], ids=lambda resource: resource.id)
def test_a_hash_stays_behind_when_a_resource_is_pickled(resource: Resource) -> None:
    # Another process hashes texts in another way.
    fresh = pickle.dumps(attrs.evolve(resource))
    hash(resource)
    assert pickle.dumps(resource) == fresh


class Unhashable(str):
    """A text that cannot be a key."""

    __slots__ = ()

    __hash__ = None  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        (
            CidrResource(Unhashable("db"), "10.0.0.0/8", name=Unhashable("Database")),
            CidrResource("db", "10.0.0.0/8", name="Database"),
        ),
        (
            DnsResource(Unhashable("web"), Unhashable("example.com"), name=Unhashable("Web")),
            DnsResource("web", "example.com", name="Web"),
        ),
        (
            InternetResource(Unhashable("internet"), Unhashable("Internet")),
            InternetResource("internet", "Internet"),
        ),
    ],
    ids=["network", "name", "Internet"],
)
def test_texts_of_another_class_are_taken_as_the_texts_that_they_are(
    given: Resource, taken: Resource
) -> None:
    assert len({given, taken}) == 1


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (PortRange(1, 9), "PortRange(first=1, last=9)"),
        (Tcp(443), "Tcp(ports=PortRange(first=443, last=443))"),
        (Icmp(), "Icmp()"),
        (
            CidrResource("db", "10.0.0.0/8", name="DB"),
            "CidrResource(id='db', network=IPv4Network('10.0.0.0/8'), filters=(), name='DB')",
        ),
    ],
)
def test_values_show_their_fields(value: object, text: str) -> None:
    assert repr(value) == text


# --- The same place ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(CIDR, CidrResource("db", "10.0.0.0/8"), id="network"),
        pytest.param(DNS, DnsResource("web", "*.example.com"), id="pattern"),
        pytest.param(DNS, DnsResource("web", "*.EXAMPLE.com."), id="pattern written otherwise"),
        pytest.param(INTERNET, InternetResource("internet"), id="Internet"),
    ],
)
def test_filters_names_and_exclusions_move_no_resource(one: Resource, other: Resource) -> None:
    assert same_place(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(CIDR, CidrResource("db", "10.0.0.0/9"), id="longer prefix"),
        pytest.param(
            CidrResource("db", "0.0.0.0/0"), CidrResource("db", "::/0"), id="other family"
        ),
        pytest.param(DNS, DnsResource("web", "**.example.com"), id="other pattern"),
        pytest.param(CIDR, DNS, id="network and name"),
        pytest.param(DNS, INTERNET, id="name and Internet"),
        pytest.param(INTERNET, CIDR, id="Internet and network"),
        pytest.param(CidrResource("all", "0.0.0.0/0"), INTERNET, id="everything and Internet"),
    ],
)
def test_another_kind_network_or_pattern_is_another_place(one: Resource, other: Resource) -> None:
    assert not same_place(one, other)


# --- Compiled filters --------------------------------------------------------------------

PERMITTED = [
    pytest.param((), TCP, 443, ICMPV4, id="no filters: TCP"),
    pytest.param((), UDP, None, ICMPV4, id="no filters: UDP without a port"),
    pytest.param((), ICMPV4, None, ICMPV4, id="no filters: ICMP"),
    pytest.param((), ICMPV4, None, ICMPV6, id="no filters: ICMPv4 over IPv6"),
    pytest.param((), GRE, None, ICMPV4, id="no filters: GRE"),
    pytest.param((), 0, None, ICMPV6, id="no filters: protocol 0"),
    pytest.param((), 255, None, ICMPV6, id="no filters: protocol 255"),
    pytest.param((Tcp(443),), TCP, 443, ICMPV4, id="one TCP port"),
    pytest.param((Udp(53),), UDP, 53, ICMPV4, id="one UDP port"),
    pytest.param((Tcp("80-90"),), TCP, 80, ICMPV4, id="first of a range"),
    pytest.param((Tcp("80-90"),), TCP, 90, ICMPV4, id="last of a range"),
    pytest.param((Tcp(0),), TCP, 0, ICMPV4, id="port 0"),
    pytest.param((Udp(65_535),), UDP, 65_535, ICMPV4, id="port 65535"),
    pytest.param((Tcp(),), TCP, 0, ICMPV4, id="all ports: first"),
    pytest.param((Tcp(),), TCP, 65_535, ICMPV4, id="all ports: last"),
    pytest.param((Tcp(),), TCP, None, ICMPV4, id="all ports: no port"),
    pytest.param((Udp(),), UDP, None, ICMPV4, id="all UDP ports: no port"),
    pytest.param((Tcp("0-9"), Tcp("10-65535")), TCP, None, ICMPV4, id="all ports in two parts"),
    pytest.param((Tcp("9-65535"), Tcp("0-20")), TCP, None, ICMPV4, id="all ports overlapping"),
    pytest.param((Tcp(80), Tcp(443)), TCP, 443, ICMPV4, id="the second of two"),
    pytest.param((Tcp("1-9"), Tcp("3-4")), TCP, 9, ICMPV4, id="behind a range within a range"),
    pytest.param((Icmp(),), ICMPV4, None, ICMPV4, id="ICMPv4 over IPv4"),
    pytest.param((Icmp(),), ICMPV6, None, ICMPV6, id="ICMPv6 over IPv6"),
    pytest.param((Tcp(1), Udp(2), Icmp()), UDP, 2, ICMPV6, id="one of each: UDP"),
]
REFUSED = [
    pytest.param((Tcp(443),), TCP, 442, ICMPV4, Reason.TCP_PORT, id="port before"),
    pytest.param((Tcp(443),), TCP, 444, ICMPV4, Reason.TCP_PORT, id="port behind"),
    pytest.param((Tcp("80-90"),), TCP, 79, ICMPV4, Reason.TCP_PORT, id="before a range"),
    pytest.param((Tcp("80-90"),), TCP, 91, ICMPV4, Reason.TCP_PORT, id="behind a range"),
    pytest.param((Tcp(80), Tcp(82)), TCP, 81, ICMPV4, Reason.TCP_PORT, id="between two"),
    pytest.param((Tcp("1-9"), Tcp("3-4")), TCP, 10, ICMPV4, Reason.TCP_PORT, id="behind both"),
    pytest.param((Udp(443),), TCP, 443, ICMPV4, Reason.TCP_PORT, id="TCP, only UDP there"),
    pytest.param((Icmp(),), TCP, 443, ICMPV4, Reason.TCP_PORT, id="TCP, only ICMP there"),
    pytest.param((Icmp(),), TCP, None, ICMPV4, Reason.TCP_PORT, id="TCP without port, no Tcp"),
    pytest.param((Tcp("1-65535"),), TCP, None, ICMPV4, Reason.TCP_PORT, id="all but port 0"),
    pytest.param((Tcp("0-65534"),), TCP, None, ICMPV4, Reason.TCP_PORT, id="all but the last"),
    pytest.param((Tcp(443),), TCP, None, ICMPV4, Reason.TCP_PORT, id="TCP without port"),
    pytest.param((Udp(53),), UDP, 52, ICMPV4, Reason.UDP_PORT, id="UDP port before"),
    pytest.param((Udp(53),), UDP, 54, ICMPV4, Reason.UDP_PORT, id="UDP port behind"),
    pytest.param((Tcp(53),), UDP, 53, ICMPV4, Reason.UDP_PORT, id="UDP, only TCP there"),
    pytest.param((Udp(53),), UDP, None, ICMPV4, Reason.UDP_PORT, id="UDP without port"),
    pytest.param((Tcp(),), ICMPV4, None, ICMPV4, Reason.ICMP, id="ICMPv4, no Icmp"),
    pytest.param((Udp(),), ICMPV6, None, ICMPV6, Reason.ICMP, id="ICMPv6, no Icmp"),
    pytest.param((Icmp(),), ICMPV4, None, ICMPV6, Reason.PROTOCOL, id="ICMPv4 over IPv6"),
    pytest.param((Icmp(),), ICMPV6, None, ICMPV4, Reason.PROTOCOL, id="ICMPv6 over IPv4"),
    pytest.param((Tcp(), Udp(), Icmp()), GRE, None, ICMPV4, Reason.PROTOCOL, id="GRE"),
    pytest.param((Tcp(), Udp(), Icmp()), 0, None, ICMPV4, Reason.PROTOCOL, id="protocol 0"),
]


@pytest.mark.parametrize(("filters", "protocol", "port", "icmp"), PERMITTED)
def test_filters_permit(
    filters: tuple[Filter, ...], protocol: int, port: int | None, icmp: int
) -> None:
    assert compile_filters(filters).refusal(protocol, port, icmp) is None


@pytest.mark.parametrize(("filters", "protocol", "port", "icmp", "reason"), REFUSED)
def test_filters_refuse_and_say_why(
    filters: tuple[Filter, ...], protocol: int, port: int | None, icmp: int, reason: Reason
) -> None:
    assert compile_filters(filters).refusal(protocol, port, icmp) is reason


@pytest.mark.parametrize(
    ("filters", "bounds"),
    [
        pytest.param((), (0, 65_536), id="no filters permit every port"),
        pytest.param((Udp(), Icmp()), (), id="filters of others permit none"),
        pytest.param((Tcp(443),), (443, 444), id="one port"),
        pytest.param((Tcp(2), Tcp(1)), (1, 3), id="neighbours merge"),
        pytest.param((Tcp(1), Tcp(3)), (1, 2, 3, 4), id="apart stay apart"),
        pytest.param((Tcp("1-5"), Tcp("3-9")), (1, 10), id="overlapping merge"),
        pytest.param((Tcp("1-9"), Tcp("3-4")), (1, 10), id="within vanishes"),
        pytest.param((Tcp(1), Tcp(1)), (1, 2), id="twice is once"),
        pytest.param((Tcp("0-9"), Tcp("10-65535")), (0, 65_536), id="parts of all make all"),
        pytest.param((Tcp(9), Udp(1), Icmp()), (9, 10), id="others do not count"),
    ],
)
def test_ranges_are_compiled_to_bounds_that_lie_apart(
    filters: tuple[Filter, ...], bounds: tuple[int, ...]
) -> None:
    assert PermitCheck(filters).bounds[TCP] == bounds


def test_without_filters_every_port_of_tcp_and_udp_is_within_bounds() -> None:
    assert PermitCheck(()).bounds == PermitCheck((Tcp(), Udp())).bounds
    # Whatever has no ports has no bounds.
    assert set(PermitCheck(()).bounds) == {TCP, UDP}


def test_the_same_filters_share_one_check() -> None:
    assert compile_filters((Tcp(443), Icmp())) is compile_filters((Tcp("443"), Icmp()))
