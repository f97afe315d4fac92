"""Resources and filters as JSON: read as the portal sends them, their faults, and written."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, cast

import pytest

from firezone_filter.documents.nodes import Node
from firezone_filter.documents.parsing import read_document
from firezone_filter.documents.resource_json import peek_kind, read_resource, write_resource
from firezone_filter.values.domains import DomainPattern
from firezone_filter.values.errors import InvalidPolicy
from firezone_filter.values.filters import Filter, Icmp, PortRange, Protocol, Tcp, Udp
from firezone_filter.values.resources import (
    CidrResource,
    DnsResource,
    InternetResource,
    Resource,
)


def read(value: Mapping[str, object], *, from_portal: bool = False) -> Resource:
    # The type checker makes `object` of a union in a type variable.
    return cast(
        "Resource",
        read_document(
            value, lambda node: read_resource(node, among=None, from_portal=from_portal)
        ),
    )


Json: TypeAlias = Any

TCP = {"protocol": "tcp", "port_range_start": 80, "port_range_end": 90}


def faults_of(value: Json, *, from_portal: bool = False) -> tuple[str, ...]:
    with pytest.raises(InvalidPolicy) as caught:
        read(value, from_portal=from_portal)
    return caught.value.faults


def dns(**fields: object) -> dict[str, object]:
    return {"type": "dns", "id": "git", "address": "a.b", "filters": []} | fields


def internet(**fields: object) -> dict[str, object]:
    return {"type": "internet", "id": "web"} | fields


def without(value: dict[str, object], field: str) -> dict[str, object]:
    return {name: one for name, one in value.items() if name != field}


def cidr(**fields: object) -> dict[str, object]:
    return {"type": "cidr", "id": "db", "address": "10.0.0.0/24", "filters": []} | fields


def filters_of(*filters: Mapping[str, object]) -> tuple[Filter, ...]:
    resource = read(cidr(filters=list(filters)))
    assert isinstance(resource, CidrResource)
    return resource.filters


# As the portal's own documentation of its messages shows them.
FROM_THE_PORTAL: list[tuple[str, Resource]] = [
    (
        """{"id":"c7793628-8579-465b-83e3-1a5d4af4db3b","type":"cidr","name":"MyCorp Network",
            "address":"172.20.0.0/16","filters":[]}""",
        CidrResource(
            "c7793628-8579-465b-83e3-1a5d4af4db3b", "172.20.0.0/16", (), "MyCorp Network"
        ),
    ),
    (
        """{"id":"57f9ebbb-21d5-4f9f-bf86-b25122fc7a43","type":"dns","name":"httpbin",
            "address":"?.httpbin","filters":[{"protocol":"icmp"},{"protocol":"tcp"},
            {"protocol":"udp","port_range_start":10,"port_range_end":20}]}""",
        DnsResource(
            "57f9ebbb-21d5-4f9f-bf86-b25122fc7a43",
            "?.httpbin",
            [Icmp(), Tcp(), Udp("10-20")],
            "httpbin",
        ),
    ),
    (
        '{"id":"1106047c-cd5d-4151-b679-96b93da7383b","type":"internet"}',
        InternetResource("1106047c-cd5d-4151-b679-96b93da7383b"),
    ),
]


@pytest.mark.parametrize(("text", "resource"), FROM_THE_PORTAL)
def test_resources_of_the_portal_are_read(text: str, resource: Resource) -> None:
    assert read(json.loads(text)) == resource


@pytest.mark.parametrize(
    ("ports", "expected"),
    [
        ({}, PortRange(0, 65535)),
        ({"port_range_start": 443}, PortRange(443, 65535)),
        ({"port_range_end": 443}, PortRange(0, 443)),
        ({"port_range_start": 443, "port_range_end": 443}, PortRange(443)),
        ({"port_range_start": 0, "port_range_end": 65535}, PortRange(0, 65535)),
    ],
)
@pytest.mark.parametrize(("protocol", "kind"), [("tcp", Tcp), ("udp", Udp)])
def test_a_missing_port_is_the_first_or_the_last(
    protocol: str, kind: type[Tcp | Udp], ports: dict[str, int], expected: PortRange
) -> None:
    assert filters_of({"protocol": protocol, **ports}) == (kind(expected),)


def test_filters_keep_their_order() -> None:
    kinds = ["udp", "icmp", "tcp", "icmp"]
    assert filters_of(*({"protocol": kind} for kind in kinds)) == (Udp(), Icmp(), Tcp(), Icmp())


def test_an_empty_list_of_filters_permits_everything() -> None:
    assert filters_of() == ()


@pytest.mark.parametrize("name", [{}, {"name": None}, {"name": ""}])
def test_a_name_may_be_missing(name: dict[str, object]) -> None:
    assert read(cidr(**name)).name == ""


def test_an_internet_resource_may_exclude_networks() -> None:
    value = {"type": "internet", "id": "net", "exclude": ["203.0.113.0/24", "2001:db8::/32"]}
    assert read(value) == InternetResource("net", "", ["203.0.113.0/24", "2001:db8::/32"])


def test_a_cidr_resource_may_exclude_parts_of_its_network() -> None:
    value = cidr(exclude=["10.0.0.128/25", "10.0.0.1/32"])
    expected = CidrResource("db", "10.0.0.0/24", exclude=["10.0.0.128/25", "10.0.0.1/32"])
    assert read(value) == expected
    assert read(cidr(exclude=[])) == CidrResource("db", "10.0.0.0/24")


def test_a_pattern_is_kept_as_it_is_written() -> None:
    resource = read({"type": "dns", "id": "git", "address": "**.Example.COM.", "filters": []})
    assert isinstance(resource, DnsResource)
    assert resource.address == "**.Example.COM."


# --- Faults -------------------------------------------------------------------------------

KINDS = "is not 'cidr', 'dns' or 'internet'"
PROTOCOLS = "is not 'tcp', 'udp', 'icmp' or the number of another protocol"
SENT_PROTOCOLS = "is not 'tcp', 'udp' or 'icmp'"
NOT_NETWORK = "is not a network with a prefix length"
NOT_PATTERN = "is not a domain pattern"
OF_CIDR = "type, id, name, address, filters, exclude"
OF_DNS = "type, id, name, address, filters"
OF_INTERNET = "type, id, name, exclude"
OF_PORTS = "protocol, port_range_start, port_range_end"
OF_ICMP = "protocol, types, types_v6"

FAULTS: list[tuple[Json, str]] = [
    ('"db"', "document: 'db' is not an object"),
    *[
        (without(resource, field), f"{field}: is missing")
        for resource, fields in (
            (cidr(), ("type", "id", "address", "filters")),
            (dns(), ("address", "filters")),
            (internet(), ("id",)),
        )
        for field in fields
    ],
    (cidr(type="cdir"), f"type: 'cdir' {KINDS}"),
    (cidr(type="CIDR"), f"type: 'CIDR' {KINDS}"),
    (cidr(type=["cidr"]), f"type: a list {KINDS}"),
    (cidr(id=""), "id: an id is not empty"),
    (cidr(id=7), "id: 7 is not a text"),
    (cidr(name=7), "name: 7 is not a text"),
    # Nothing but an empty list permits everything.
    (cidr(filters=None), "filters: null is not a list"),
    (dns(filters=None), "filters: null is not a list"),
    (cidr(filters={}), "filters: an object is not a list"),
    (dns(filters=""), "filters: '' is not a list"),
    (cidr(filters=["tcp"]), "filters[0]: 'tcp' is not an object"),
    (cidr(filters=[{}]), "filters[0].protocol: is missing"),
    (cidr(filters=[{"protocol": 6}]), "filters[0].protocol: 6 is written 'tcp'"),
    (cidr(filters=[{"protocol": "sctp"}]), f"filters[0].protocol: 'sctp' {PROTOCOLS}"),
    (cidr(filters=[{"protocol": "TCP"}]), f"filters[0].protocol: 'TCP' {PROTOCOLS}"),
    # Nothing but a missing list excludes nothing.
    *[
        (resource(exclude=exclude), f"exclude{fault}")
        for resource in (cidr, internet)
        for exclude, fault in (
            (None, ": null is not a list"),
            ("10.0.0.0/25", ": '10.0.0.0/25' is not a list"),
            (["10.0.0.1"], f"[0]: '10.0.0.1' {NOT_NETWORK}"),
            ([7], "[0]: 7 is not a text"),
        )
    ],
    # What lies outside would exclude nothing.
    *[
        (
            cidr(exclude=["10.0.0.0/25", outside]),
            f"exclude[1]: {outside} is not inside 10.0.0.0/24, or is all of it",
        )
        for outside in ("10.0.1.0/25", "10.0.0.0/24", "10.0.0.0/8", "fd00::/25")
    ],
    # Networks have prefix lengths.
    *[
        (cidr(address=text), f"address: {text!r} {NOT_NETWORK}")
        for text in (
            "10.0.0.0",
            "10.0.0.0/",
            "10.0.0.0/255.0.0.0",
            "10.0.0.0/0.255.255.255",
            "fe80::%eth0/64",
            "10.0.0.0/24\n",
            "all",
        )
    ],
    (dns(address="a..b"), f"address: 'a..b' {NOT_PATTERN}"),
    (dns(address=""), f"address: '' {NOT_PATTERN}"),
    # Ports, of either bound and either protocol.
    *[
        (
            cidr(filters=[TCP | {"protocol": protocol, bound: value}]),
            f"filters[0].{bound}: {shown}",
        )
        for protocol, bound in (("tcp", "port_range_start"), ("udp", "port_range_end"))
        for value, shown in (
            (70000, "70000 is not a port"),
            (65536, "65536 is not a port"),
            (-1, "-1 is not a port"),
            (80.5, "80.5 is not a port"),
            ("80", "'80' is not a port (write a number)"),
            ("https", "'https' is not a port"),
            (True, "true is not a port"),
            (None, "null is not a port"),
        )
    ],
    (
        cidr(filters=[TCP | {"port_range_end": 79}]),
        "filters[0].port_range_end: 79 is below port_range_start, 80",
    ),
]


# Fields that neither the library nor the portal knows at this place.
UNKNOWN: list[tuple[Json, str]] = [
    (cidr(filter=[]), "filter: unknown field, did you mean 'filters'?"),
    (cidr(nmae="db"), "nmae: unknown field, did you mean 'name'?"),
    (cidr(exlude=["10.0.0.0/25"]), "exlude: unknown field, did you mean 'exclude'?"),
    (cidr(x=1), f"x: unknown field, known are {OF_CIDR}"),
    (dns(adress="a.b"), "adress: unknown field, did you mean 'address'?"),
    (dns(exclude=[]), f"exclude: unknown field, known are {OF_DNS}"),
    (internet(exlude=["192.0.2.0/24"]), "exlude: unknown field, did you mean 'exclude'?"),
    # Whoever writes them believes that they restrict something.
    (internet(filters=[TCP]), f"filters: unknown field, known are {OF_INTERNET}"),
    (internet(address="10.0.0.0/8"), f"address: unknown field, known are {OF_INTERNET}"),
    (
        cidr(filters=[{"protocol": "tcp", "port_range_ends": 80}]),
        "filters[0].port_range_ends: unknown field, did you mean 'port_range_end'?",
    ),
    *[
        (
            cidr(filters=[{"protocol": protocol, "ports": [80]}]),
            f"filters[0].ports: unknown field, known are {OF_PORTS}",
        )
        for protocol in ("tcp", "udp")
    ],
    (
        dns(filters=[{"protocol": "icmp", "port_range_start": 8}]),
        f"filters[0].port_range_start: unknown field, known are {OF_ICMP}",
    ),
    (
        dns(filters=[{"protocol": "icmp", "code": 0}]),
        f"filters[0].code: unknown field, known are {OF_ICMP}",
    ),
]


@pytest.mark.parametrize(("resource", "fault"), FAULTS + UNKNOWN)
def test_a_fault_has_its_place_and_value(resource: Json, fault: str) -> None:
    assert faults_of(resource) == (fault,)


@pytest.mark.parametrize("address", ["10.0.0.5/24", "10.0.0.0/33", "fd00::/129", "10.0.0.0.0/8"])
def test_a_fault_of_a_network_says_why_it_is_none(address: str) -> None:
    (fault,) = faults_of(cidr(address=address))
    assert fault.startswith(f"address: '{address}' is not a network: ")


def test_no_network_is_outside_one_that_is_faulty_itself() -> None:
    faulty = cidr(address="10.0.0.0", exclude=["10.0.1.0/25", "x"])
    assert faults_of(faulty) == (
        f"address: '10.0.0.0' {NOT_NETWORK}",
        f"exclude[1]: 'x' {NOT_NETWORK}",
    )


@pytest.mark.parametrize("wrong", ["type", "address", "filters"])
def test_a_faulty_field_hides_no_fault_of_another(wrong: str) -> None:
    faults = faults_of(cidr(id="", name=5) | {wrong: 5})
    assert {fault.partition(":")[0] for fault in faults} == {wrong, "id", "name"}


@pytest.mark.parametrize(
    ("resource", "places"),
    [
        (cidr(type="cdir", exclude=[], adress="x"), {"type", "adress"}),
        (dns(type=None, x=1), {"type", "x"}),
        (
            cidr(filters=[TCP | {"protocol": "tpc", "port_range_strat": 1}]),
            {"filters[0].protocol", "filters[0].port_range_strat"},
        ),
        (cidr(filters=[{"port_range_end": 1, "x": 1}]), {"filters[0].protocol", "filters[0].x"}),
    ],
)
def test_of_an_unknown_kind_only_those_fields_are_faults_that_no_kind_has(
    resource: Json, places: set[str]
) -> None:
    assert {fault.partition(": ")[0] for fault in faults_of(resource)} == places


def test_two_resources_of_one_scope_have_different_ids() -> None:
    def each(node: Node) -> object:
        return node.each(lambda one: read_resource(one, among="here"))

    with pytest.raises(InvalidPolicy, match=r"^\[1\]\.id: 'db' is already \[0\]\.id$"):
        read_document(json.dumps([cidr(), dns(id="db"), dns()]), each)


# --- Of the portal ------------------------------------------------------------------------


@pytest.mark.parametrize("resource", [cidr(filters=[TCP | {"y": 1}]), dns(), internet()])
def test_unknown_fields_that_the_portal_sends_are_ignored(resource: dict[str, object]) -> None:
    unknown: Json = {"x": {"y": [None]}, "ip_stack": "dual"}
    assert read(resource | unknown, from_portal=True) == read(resource, from_portal=True)


@pytest.mark.parametrize("name", [5, ["x"], "\ud800", {}])
@pytest.mark.parametrize("resource", [cidr, dns])
def test_a_name_that_is_no_text_is_none_if_the_portal_sends_it(
    resource: Callable[..., Json], name: Json
) -> None:
    assert read(resource(name=name), from_portal=True) == read(resource())


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (internet(name=5, exclude=5, address=5, filters=5), InternetResource("web")),
        (
            cidr(
                filters=[{"protocol": "icmp", "port_range_start": "x", "types": [8]}],
                exclude=["10.0.0.0/25"],
            ),
            CidrResource("db", "10.0.0.0/24", [Icmp()]),
        ),
        (cidr(exclude=5), CidrResource("db", "10.0.0.0/24")),
        (dns(exclude=["10.0.0.0/25"]), DnsResource("git", "a.b")),
    ],
)
def test_extensions_of_this_library_are_ignored_if_the_portal_sends_them(
    sent: Json, expected: Resource
) -> None:
    assert read(sent, from_portal=True) == expected


@pytest.mark.parametrize("protocol", ["sctp", "TCP", 47, 6, None, ["tcp"]])
@pytest.mark.parametrize("resource", [cidr, dns])
def test_an_unknown_protocol_refuses_the_resource_that_the_portal_sends(
    resource: Callable[..., Json], protocol: Json
) -> None:
    sent = resource(filters=[TCP, {"protocol": protocol}])
    (fault,) = faults_of(sent, from_portal=True)
    assert re.fullmatch(rf"filters\[1\]\.protocol: .* {SENT_PROTOCOLS}", fault)


# --- Peeking ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("resource", "expected"),
    [
        (dns(id=5, filters=5), ("dns", DomainPattern.parse("a.b"))),
        (dns(address="a..b"), ("dns", None)),
        (dns(address=5), ("dns", None)),
        (without(dns(), "address"), ("dns", None)),
        (cidr(), ("cidr", None)),
        (cidr(type="dsn"), (None, None)),
        ({}, (None, None)),
        (5, (None, None)),
    ],
)
def test_kind_and_pattern_are_known_whatever_else_is_faulty(
    resource: Json, expected: tuple[str | None, DomainPattern | None]
) -> None:
    assert read_document(json.dumps(resource), peek_kind) == expected


# --- Writing ------------------------------------------------------------------------------


def test_ports_are_written_unless_there_are_all() -> None:
    resource = CidrResource("db", "10.0.0.0/24", [Tcp(), Tcp("0-9"), Udp(53), Icmp()])
    assert write_resource(resource)["filters"] == [
        {"protocol": "tcp"},
        {"protocol": "tcp", "port_range_start": 0, "port_range_end": 9},
        {"protocol": "udp", "port_range_start": 53, "port_range_end": 53},
        {"protocol": "icmp"},
    ]


def test_a_filter_of_several_ranges_is_written_as_the_portal_does_one_for_each() -> None:
    several = CidrResource("web", "10.0.0.0/24", [Tcp("443,8000-8100,80")])
    written = write_resource(several)
    assert written["filters"] == [
        {"protocol": "tcp", "port_range_start": 80, "port_range_end": 80},
        {"protocol": "tcp", "port_range_start": 443, "port_range_end": 443},
        {"protocol": "tcp", "port_range_start": 8000, "port_range_end": 8100},
    ]
    assert read(written) == several


def test_an_internet_resource_is_written_as_the_portal_does() -> None:
    assert write_resource(InternetResource("net")) == {"type": "internet", "id": "net", "name": ""}


@pytest.mark.parametrize(
    "resource",
    [
        CidrResource("db", "fd00:5::/64", [Tcp("8000-8100"), Udp(53), Icmp()], "Zürich"),
        CidrResource(
            "lab", "fd00:5::/64", [Icmp.echo(), Protocol(47)], "", ["fd00:5::/65", "fd00:5::1/128"]
        ),
        DnsResource("git", "*.Example.com", [Tcp(443)], "Git"),
        InternetResource("web", "Web", ["203.0.113.0/24", "2001:db8::/32"]),
    ],
    ids=["cidr", "cidr with extensions", "dns", "internet"],
)
def test_a_resource_is_read_as_it_was_written(resource: Resource) -> None:
    assert read(write_resource(resource)) == resource
