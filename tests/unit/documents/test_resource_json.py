"""Resources and filters as the portal sends them."""

import json
from collections.abc import Mapping
from typing import cast

import pytest

from firezone_filter.documents.parsing import read_document
from firezone_filter.documents.resource_json import read_resource, write_resource
from firezone_filter.values.errors import InvalidPolicy
from firezone_filter.values.resources import (
    CidrResource,
    DnsResource,
    Filter,
    Icmp,
    InternetResource,
    PortRange,
    Resource,
    Tcp,
    Udp,
)


def read(value: Mapping[str, object]) -> Resource:
    # The type checker makes `object` of a union in a type variable.
    return cast("Resource", read_document(value, lambda node: read_resource(node, among=None)))


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
def test_what_the_portal_sends_is_understood(text: str, resource: Resource) -> None:
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


def test_ports_of_icmp_are_an_unknown_field() -> None:
    assert filters_of({"protocol": "icmp", "port_range_start": "x"}) == (Icmp(),)


def test_filters_keep_their_order() -> None:
    kinds = ["udp", "icmp", "tcp", "icmp"]
    assert filters_of(*({"protocol": kind} for kind in kinds)) == (Udp(), Icmp(), Tcp(), Icmp())


def test_an_empty_list_of_filters_permits_everything() -> None:
    assert filters_of() == ()


@pytest.mark.parametrize("slip", [{}, {"filters": None}, {"filters": {}}, {"filters": ""}])
@pytest.mark.parametrize("kind", ["cidr", "dns"])
def test_nothing_but_an_empty_list_permits_everything(kind: str, slip: dict[str, object]) -> None:
    resource = {"type": kind, "id": "db", "address": "10.0.0.0/24" if kind == "cidr" else "a.b"}
    with pytest.raises(InvalidPolicy, match=r"^filters: "):
        read(resource | slip)


@pytest.mark.parametrize("name", [{}, {"name": None}, {"name": ""}])
def test_a_name_may_be_missing(name: dict[str, object]) -> None:
    assert read(cidr(**name)).name == ""


def test_what_else_an_internet_resource_has_is_ignored() -> None:
    value = {"type": "internet", "id": "net", "address": 5, "filters": [{"protocol": "tcp"}]}
    assert read(value) == InternetResource("net")


def test_an_internet_resource_may_exclude_networks() -> None:
    value = {"type": "internet", "id": "net", "exclude": ["203.0.113.0/24", "2001:db8::/32"]}
    assert read(value) == InternetResource("net", "", ["203.0.113.0/24", "2001:db8::/32"])


def test_a_pattern_is_kept_as_it_is_written() -> None:
    resource = read({"type": "dns", "id": "git", "address": "**.Example.COM.", "filters": []})
    assert isinstance(resource, DnsResource)
    assert resource.address == "**.Example.COM."


def test_ports_are_written_unless_there_are_all() -> None:
    resource = CidrResource("db", "10.0.0.0/24", [Tcp(), Tcp("0-9"), Udp(53), Icmp()])
    assert write_resource(resource)["filters"] == [
        {"protocol": "tcp"},
        {"protocol": "tcp", "port_range_start": 0, "port_range_end": 9},
        {"protocol": "udp", "port_range_start": 53, "port_range_end": 53},
        {"protocol": "icmp"},
    ]


def test_an_internet_resource_is_written_as_the_portal_does() -> None:
    assert write_resource(InternetResource("net")) == {"type": "internet", "id": "net", "name": ""}
