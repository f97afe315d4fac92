"""Resources, as users hand them in."""

from collections.abc import Callable
from functools import partial
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from typing import Any, TypeAlias

import attrs
import pytest

from firezone_filter.values.addresses import Network
from firezone_filter.values.domains import DomainPattern
from firezone_filter.values.errors import InvalidAddress, InvalidPolicy
from firezone_filter.values.filters import (
    Icmp,
    Tcp,
    Udp,
)
from firezone_filter.values.resources import (
    CidrResource,
    DnsResource,
    InternetResource,
    Resource,
    same_place,
    to_id,
)

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
def test_a_resource_has_an_id_and_may_have_a_name(
    place: dict[str, Any], kind: type[InternetResource]
) -> None:
    assert kind(id="db", **place).name == ""
    with pytest.raises(InvalidPolicy):
        kind(id="", **place)
    for wrong in (None, False, b"", 1):
        with pytest.raises(TypeError):
            kind(id=wrong, **place)  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            kind(id="db", name=wrong, **place)  # type: ignore[arg-type]


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
def test_a_cidr_resource_needs_a_network(network: str) -> None:
    with pytest.raises(InvalidAddress):
        CidrResource("db", network)


@pytest.mark.parametrize("network", [None, 1, b"10.0.0.0/8", ["10.0.0.0/8"]])
def test_a_network_of_another_type_is_a_type_error(network: object) -> None:
    with pytest.raises(TypeError):
        CidrResource("db", network)  # type: ignore[arg-type]


def test_a_resource_has_no_filters_unless_they_are_given() -> None:
    assert CidrResource("db", "10.0.0.0/8").filters == ()
    assert DnsResource("db", "db.example.com").filters == ()


def test_a_dns_resource_keeps_its_address_as_it_was_written() -> None:
    assert DnsResource("web", "*.Example.COM.").address == "*.Example.COM."


def test_a_dns_resource_has_the_pattern_of_its_address() -> None:
    assert DnsResource("web", "*.Example.COM.").pattern() == DomainPattern.parse("*.example.com")


@pytest.mark.parametrize("address", ["", "example..com", "a**.example.com", "b\u00fccher.example"])
def test_a_dns_resource_needs_a_pattern(address: str) -> None:
    with pytest.raises(InvalidPolicy):
        DnsResource("web", address)


@pytest.mark.parametrize("address", [None, b"example.com", 1])
def test_an_address_of_another_type_is_a_type_error(address: object) -> None:
    with pytest.raises(TypeError):
        DnsResource("web", address)  # type: ignore[arg-type]


WITH_EXCLUDE = pytest.mark.parametrize(
    "make",
    [partial(InternetResource, "internet"), partial(CidrResource, "db", "8.0.0.0/7")],
    ids=["InternetResource", "CidrResource"],
)
Excluding: TypeAlias = Callable[..., CidrResource | InternetResource]


@WITH_EXCLUDE
def test_nothing_is_excluded_by_default(make: Excluding) -> None:
    assert make().exclude == ()


@WITH_EXCLUDE
def test_excluded_networks_are_kept_as_objects_in_their_order(make: Excluding) -> None:
    resource = make(exclude=iter(["9.9.9.0/24", "8.8.8.8"]))
    assert resource.exclude == (IPv4Network("9.9.9.0/24"), IPv4Network("8.8.8.8/32"))
    assert {resource} == {attrs.evolve(resource)} != {make()}


@WITH_EXCLUDE
@pytest.mark.parametrize("network", ["8.8.8.8/24", "8.8.8.8/255.255.255.255", "example.com", ""])
def test_an_excluded_network_is_one_without_host_bits(make: Excluding, network: str) -> None:
    with pytest.raises(InvalidAddress):
        make(exclude=["9.0.0.0/8", network])


@WITH_EXCLUDE
@pytest.mark.parametrize(
    "exclude",
    [
        *(None, False, "", "8.8.8.0/24", b"", {}, IPv4Network("8.8.8.0/24"), [1], [None]),
        *(IPv4Address("8.8.8.8"), [["8.8.8.0/24"]]),
    ],
    ids=repr,
)
def test_excluded_networks_of_another_type_are_a_type_error(
    make: Excluding, exclude: object
) -> None:
    with pytest.raises(TypeError):
        make(exclude=exclude)


def test_both_families_may_be_excluded_from_the_internet() -> None:
    exclude = (IPv4Network("8.8.8.0/24"), IPv6Network("2606:4700::/32"))
    assert InternetResource("internet", exclude=exclude).exclude == exclude


@pytest.mark.parametrize(
    ("network", "excluded", "is_inside"),
    [
        pytest.param("10.0.0.0/8", "10.0.0.0/9", True, id="first half"),
        pytest.param("10.0.0.0/8", "10.128.0.0/9", True, id="second half"),
        pytest.param("10.0.0.0/8", "10.0.0.0/32", True, id="first address"),
        pytest.param("10.0.0.0/8", "10.255.255.255/32", True, id="last address"),
        pytest.param("10.0.0.0/8", "9.255.255.255/32", False, id="address before"),
        pytest.param("10.0.0.0/8", "11.0.0.0/32", False, id="address behind"),
        pytest.param("10.0.0.0/8", "10.0.0.0/8", False, id="all of it"),
        pytest.param("10.0.0.0/8", "10.0.0.0/7", False, id="more than it"),
        pytest.param("10.0.0.5/32", "10.0.0.5/32", False, id="all of one address"),
        pytest.param("0.0.0.0/0", "128.0.0.0/1", True, id="half of everything"),
        pytest.param("0.0.0.0/0", "::/96", False, id="IPv6 in IPv4"),
        pytest.param("::/0", "10.0.0.0/8", False, id="IPv4 in IPv6"),
        pytest.param("fd00::/64", "fd00::/65", True, id="IPv6 half"),
        pytest.param("fd00::/64", "fd00::ffff:ffff:ffff:ffff/128", True, id="last IPv6 address"),
        pytest.param("fd00::/64", "fd00:0:0:1::/128", False, id="IPv6 address behind"),
        pytest.param("fd00::/64", "fd00::/64", False, id="all of it, IPv6"),
    ],
)
def test_a_cidr_resource_excludes_what_lies_inside_it_and_is_not_all_of_it(
    network: str, excluded: str, *, is_inside: bool
) -> None:
    if is_inside:
        assert str(*CidrResource("db", network, exclude=[excluded]).exclude) == excluded
        return
    with pytest.raises(InvalidAddress) as caught:
        CidrResource("db", network, exclude=[excluded])
    assert str(caught.value.value) == excluded


def test_excluded_networks_may_overlap_and_leave_nothing() -> None:
    halves = ("10.0.0.0/9", "10.128.0.0/9", "10.0.0.0/9", "10.0.0.0/10")
    assert [*map(str, CidrResource("db", "10.0.0.0/8", exclude=halves).exclude)] == [*halves]


# --- Texts of subclasses ------------------------------------------------------------------

CIDR = CidrResource("db", "10.0.0.0/8", [Tcp(5432)], "Database")
DNS = DnsResource("web", "*.example.com", [Udp(443), Icmp()], "Web")
INTERNET = InternetResource("internet", "Internet", ["8.8.8.0/24"])


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
def test_texts_of_a_subclass_become_plain_texts(given: Resource, taken: Resource) -> None:
    assert len({given, taken}) == 1


# --- The same place ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(CIDR, CidrResource("db", "10.0.0.0/8"), id="network"),
        pytest.param(
            CIDR, CidrResource("db", "10.0.0.0/8", exclude=["10.1.0.0/16"]), id="without a part"
        ),
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
