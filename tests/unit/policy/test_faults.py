"""What a policy says wrong: each fault once, at its place, in the order of the document."""

import copy
import json
from typing import Any, TypeAlias

import pytest

from firezone_filter.policy import load_policy
from firezone_filter.values.errors import InvalidPolicy

Json: TypeAlias = Any

REMOVED = object()

DOCUMENT: Json = {
    "gateway": {"ipv4": "100.64.0.1"},
    "address_plan": {"tunnel": ["100.64.0.0/11"], "dns_resources": ["100.96.0.0/11"]},
    "clients": [
        {
            "id": "alice",
            "ipv4": "100.64.0.2",
            "authorizations": [
                {
                    "resource": {
                        "type": "cidr",
                        "id": "db",
                        "address": "10.0.0.0/24",
                        "filters": [
                            {"protocol": "tcp", "port_range_start": 80, "port_range_end": 90}
                        ],
                    },
                    "expires_at": 1790000000,
                },
                {"resource": {"type": "dns", "id": "git", "address": "a.example", "filters": []}},
                {"resource": {"type": "internet", "id": "web", "exclude": ["192.0.2.0/24"]}},
            ],
        },
        {"id": "bob", "ipv4": "100.64.0.3", "authorizations": []},
    ],
}

ALICE = "clients[0]"
AUTHORIZATION = "clients[0].authorizations[0]"
DB = "clients[0].authorizations[0].resource"
GIT = "clients[0].authorizations[1].resource"
WEB = "clients[0].authorizations[2].resource"
FILTER = "clients[0].authorizations[0].resource.filters[0]"


def with_value(path: str, value: object) -> Json:
    """Return the document with another value at *path*, or without any."""
    changed = copy.deepcopy(DOCUMENT)
    *way, last = path.replace("[", ".").replace("]", "").split(".")
    inside = changed
    for step in way:
        inside = inside[int(step) if step.isdigit() else step]
    if value is REMOVED:
        del inside[last]
    else:
        inside[int(last) if last.isdigit() else last] = value
    return changed


def error_of(document: Json) -> InvalidPolicy:
    with pytest.raises(InvalidPolicy) as caught:
        load_policy(document)
    return caught.value


def test_the_document_without_a_change_has_no_fault() -> None:
    assert len(load_policy(DOCUMENT).clients) == 2


# --- Ports --------------------------------------------------------------------------------

NO_PORTS = [
    (70000, "70000"),
    (65536, "65536"),
    (-1, "-1"),
    (80.0, "80.0"),
    ("80", "'80'"),
    (True, "true"),
    (None, "null"),
    ([80], "a list"),
]


@pytest.mark.parametrize("bound", ["port_range_start", "port_range_end"])
@pytest.mark.parametrize(("value", "shown"), NO_PORTS)
def test_what_is_no_port_is_a_fault(bound: str, value: object, shown: str) -> None:
    place = f"{FILTER}.{bound}"
    assert error_of(with_value(place, value)).faults == (f"{place}: {shown} is not a port",)


def test_a_range_that_ends_before_it_begins_is_a_fault() -> None:
    place = f"{FILTER}.port_range_end"
    assert error_of(with_value(place, 79)).faults == (
        f"{place}: 79 is below port_range_start, 80",
    )


# --- Everything else, one fault a row -----------------------------------------------------

NOT_DNS = "is not a domain pattern"
NOT_NETWORK = "is not a network with a prefix length"

FAULTS = [
    # What must stand there
    ("gateway", REMOVED, "is missing"),
    ("clients", REMOVED, "is missing"),
    (f"{ALICE}.id", REMOVED, "is missing"),
    (f"{ALICE}.authorizations", REMOVED, "is missing"),
    (f"{AUTHORIZATION}.resource", REMOVED, "is missing"),
    (f"{DB}.type", REMOVED, "is missing"),
    (f"{DB}.id", REMOVED, "is missing"),
    (f"{DB}.address", REMOVED, "is missing"),
    (f"{DB}.filters", REMOVED, "is missing"),
    (f"{GIT}.address", REMOVED, "is missing"),
    (f"{GIT}.filters", REMOVED, "is missing"),
    (f"{WEB}.id", REMOVED, "is missing"),
    (f"{FILTER}.protocol", REMOVED, "is missing"),
    # `null` never means everything
    (f"{DB}.filters", None, "null is not a list"),
    (f"{GIT}.filters", None, "null is not a list"),
    (f"{WEB}.exclude", None, "null is not a list"),
    ("address_plan", None, "null is not an object"),
    ("address_plan.tunnel", None, "null is not a list"),
    ("address_plan.dns_resources", None, "null is not a list"),
    ("clients", None, "null is not a list"),
    # Other types
    ("gateway", "100.64.0.1", "'100.64.0.1' is not an object"),
    ("gateway.ipv4", 1684275201, "1684275201 is not a text"),
    ("clients", {}, "an object is not a list"),
    ("clients[0]", "alice", "'alice' is not an object"),
    (f"{ALICE}.id", 7, "7 is not a text"),
    (f"{ALICE}.ipv6", False, "false is not a text"),
    (f"{ALICE}.authorizations", "db", "'db' is not a list"),
    (AUTHORIZATION, "db", "'db' is not an object"),
    (f"{AUTHORIZATION}.resource", "db", "'db' is not an object"),
    (f"{DB}.name", 7, "7 is not a text"),
    (f"{DB}.filters", {"protocol": "tcp"}, "an object is not a list"),
    (FILTER, "tcp", "'tcp' is not an object"),
    (f"{FILTER}.protocol", 6, "6 is not 'tcp', 'udp' or 'icmp'"),
    (f"{DB}.type", ["cidr"], "a list is not 'cidr', 'dns' or 'internet'"),
    (f"{ALICE}.id", b"alice", "a Python bytes is not a text"),
    # Ids
    (f"{ALICE}.id", "", "an id is not empty"),
    (f"{DB}.id", "", "an id is not empty"),
    (f"{ALICE}.id", "\ud800", "'\\ud800' is not Unicode: half of a surrogate pair"),
    (f"{DB}.name", "\udc00", "'\\udc00' is not Unicode: half of a surrogate pair"),
    # Names of kinds
    (f"{DB}.type", "cdir", "'cdir' is not 'cidr', 'dns' or 'internet'"),
    (f"{DB}.type", "CIDR", "'CIDR' is not 'cidr', 'dns' or 'internet'"),
    (f"{FILTER}.protocol", "sctp", "'sctp' is not 'tcp', 'udp' or 'icmp'"),
    (f"{FILTER}.protocol", "TCP", "'TCP' is not 'tcp', 'udp' or 'icmp'"),
    # Addresses of peers
    ("gateway.ipv4", "100.64.0.256", "'100.64.0.256' is not an IP address"),
    ("gateway.ipv4", "100.64.0.1/32", "'100.64.0.1/32' is not an IP address"),
    ("gateway.ipv4", "fd00:2021:1111::1", "'fd00:2021:1111::1' is not an IPv4 address"),
    (f"{ALICE}.ipv6", "100.64.0.9", "'100.64.0.9' is not an IPv6 address"),
    (f"{ALICE}.ipv6", "fd00::1%eth0", "'fd00::1%eth0' has a scope, which no packet carries"),
    ("gateway.ipv4", "100.96.0.1", "'100.96.0.1' is outside the tunnel ranges"),
    (f"{ALICE}.ipv4", "10.0.0.1", "'10.0.0.1' is outside the tunnel ranges"),
    (f"{ALICE}.ipv6", "fd00:2022::1", "'fd00:2022::1' is outside the tunnel ranges"),
    # Networks and patterns
    (f"{DB}.address", "10.0.0.0", f"'10.0.0.0' {NOT_NETWORK}"),
    (f"{DB}.address", "10.0.0.0/", f"'10.0.0.0/' {NOT_NETWORK}"),
    (f"{DB}.address", "10.0.0.0/255.0.0.0", f"'10.0.0.0/255.0.0.0' {NOT_NETWORK}"),
    (f"{DB}.address", "10.0.0.0/0.255.255.255", f"'10.0.0.0/0.255.255.255' {NOT_NETWORK}"),
    (f"{DB}.address", "fe80::%eth0/64", f"'fe80::%eth0/64' {NOT_NETWORK}"),
    (f"{DB}.address", "10.0.0.0/24\n", f"'10.0.0.0/24\\n' {NOT_NETWORK}"),
    (f"{WEB}.exclude[0]", "192.0.2.1", f"'192.0.2.1' {NOT_NETWORK}"),
    ("address_plan.tunnel[0]", "all", f"'all' {NOT_NETWORK}"),
    (f"{GIT}.address", "a..b", f"'a..b' {NOT_DNS}"),
    (f"{GIT}.address", "", f"'' {NOT_DNS}"),
    # Times
    (f"{AUTHORIZATION}.expires_at", "soon", "'soon' is not a time"),
    (f"{AUTHORIZATION}.expires_at", "1790000000", "'1790000000' is not a time"),
    (f"{AUTHORIZATION}.expires_at", True, "true is not a time"),
    (f"{AUTHORIZATION}.expires_at", float("nan"), "NaN is outside the range of numbers"),
    (f"{AUTHORIZATION}.expires_at", float("-inf"), "-Infinity is outside the range of numbers"),
    # Where one thing may not stand twice
    (f"{ALICE}.ipv4", "100.64.0.1", "'100.64.0.1' is already gateway.ipv4"),
    ("clients[1].ipv4", "100.64.0.2", "'100.64.0.2' is already clients[0].ipv4"),
    ("clients[1].id", "alice", "'alice' is already clients[0].id"),
    (f"{GIT}.id", "db", f"'db' is already {DB}.id"),
    (f"{WEB}.id", "git", f"'git' is already {GIT}.id"),
]


@pytest.mark.parametrize(("place", "value", "what"), FAULTS)
def test_a_fault_names_its_place(place: str, value: object, what: str) -> None:
    error = error_of(with_value(place, value))
    assert error.faults == (f"{place}: {what}",)
    assert str(error) == f"{place}: {what}"


def test_an_integer_beyond_all_numbers_is_a_fault() -> None:
    # Python refuses to write it out: neither the fault nor the test's name may try to.
    place = f"{AUTHORIZATION}.expires_at"
    error = error_of(with_value(place, 10**5000))
    assert error.faults == (
        f"{place}: an integer of too many digits is outside the range of numbers",
    )


def test_host_bits_are_a_fault() -> None:
    place = f"{DB}.address"
    (fault,) = error_of(with_value(place, "10.0.0.5/24")).faults
    assert fault.startswith(f"{place}: '10.0.0.5/24' is not a network: ")


@pytest.mark.parametrize("address", ["10.0.0.0/33", "fd00::/129", "10.0.0.0.0/8"])
def test_what_only_looks_like_a_network_is_a_fault(address: str) -> None:
    place = f"{DB}.address"
    (fault,) = error_of(with_value(place, address)).faults
    assert fault.startswith(f"{place}: '{address}' is not a network: ")


@pytest.mark.parametrize("peer", ["gateway", "clients[0]"])
def test_a_peer_without_any_address_is_a_fault(peer: str) -> None:
    error = error_of(with_value(f"{peer}.ipv4", REMOVED))
    assert error.faults == (f"{peer}: has neither ipv4 nor ipv6",)


@pytest.mark.parametrize("peer", ["gateway", "clients[0]"])
def test_a_peer_whose_addresses_are_null_is_a_fault(peer: str) -> None:
    error = error_of(with_value(f"{peer}.ipv4", None))
    assert error.faults == (f"{peer}: has neither ipv4 nor ipv6",)


def test_an_address_may_be_written_in_two_ways_and_still_be_one() -> None:
    document = with_value("clients[0].ipv6", "fd00:2021:1111::2")
    document["clients"][1]["ipv6"] = "FD00:2021:1111:0::2"
    assert error_of(document).faults == (
        "clients[1].ipv6: 'FD00:2021:1111:0::2' is already clients[0].ipv6",
    )


def test_what_stands_three_times_is_a_fault_twice() -> None:
    document = with_value(f"{GIT}.id", "db")
    document["clients"][0]["authorizations"][2]["resource"]["id"] = "db"
    assert error_of(document).faults == (
        f"{GIT}.id: 'db' is already {DB}.id",
        f"{WEB}.id: 'db' is already {DB}.id",
    )


def test_a_conflict_is_named_at_the_second_place_of_the_document() -> None:
    document = {"clients": DOCUMENT["clients"], "gateway": {"ipv4": "100.64.0.3"}}
    assert error_of(document).faults == ("gateway.ipv4: '100.64.0.3' is already clients[1].ipv4",)


def test_a_conflict_of_what_has_other_faults_is_found_too() -> None:
    document = with_value(f"{GIT}.id", "db")
    document["clients"][0]["authorizations"][1]["resource"]["filters"] = None
    assert error_of(document).faults == (
        f"{GIT}.id: 'db' is already {DB}.id",
        f"{GIT}.filters: null is not a list",
    )


# --- The plan -----------------------------------------------------------------------------


def test_ranges_that_overlap_are_faults_pair_by_pair() -> None:
    plan = {"tunnel": ["100.64.0.0/10"], "dns_resources": ["100.96.0.0/12", "100.112.0.0/12"]}
    assert error_of(with_value("address_plan", plan)).faults == (
        "address_plan: tunnel range 100.64.0.0/10 and DNS range 100.96.0.0/12 overlap",
        "address_plan: tunnel range 100.64.0.0/10 and DNS range 100.112.0.0/12 overlap",
    )


def test_a_range_that_overlaps_a_default_one_is_a_fault() -> None:
    assert error_of(with_value("address_plan", {"tunnel": ["100.64.0.0/10"]})).faults == (
        "address_plan: tunnel range 100.64.0.0/10 and DNS range 100.96.0.0/11 overlap",
    )


@pytest.mark.parametrize(
    ("place", "value"),
    [("address_plan.tunnel[0]", "10.0.0.1/8"), ("address_plan.dns_resources[0]", "x")],
)
def test_no_address_is_outside_ranges_that_are_faulty_themselves(place: str, value: str) -> None:
    document = with_value(place, value)
    document["clients"][0]["ipv4"] = "10.0.0.1"
    assert len(error_of(document).faults) == 1


# --- Unknown fields -----------------------------------------------------------------------

MISSPELT = [
    ("gatewy", "did you mean 'gateway'?"),
    ("remark", "known are gateway, address_plan, clients"),
    ("address_plan.tunel", "did you mean 'tunnel'?"),
    ("address_plan.x", "known are tunnel, dns_resources"),
    (f"{AUTHORIZATION}.expire_at", "did you mean 'expires_at'?"),
    (f"{AUTHORIZATION}.x", "known are resource, expires_at, domains"),
    (f"{AUTHORIZATION}.domain", "did you mean 'domains'?"),
]


@pytest.mark.parametrize(("place", "what"), MISSPELT)
def test_an_unknown_field_of_our_own_objects_is_a_fault(place: str, what: str) -> None:
    assert error_of(with_value(place, None)).faults == (f"{place}: unknown field, {what}",)


def test_a_field_whose_name_is_no_text_is_unknown() -> None:
    assert error_of({**DOCUMENT, 7: None}).faults == (
        "[7]: unknown field, known are gateway, address_plan, clients",
    )


def test_a_name_that_is_no_word_is_quoted_in_the_place() -> None:
    assert error_of({**DOCUMENT, "a b\n": None}).faults == (
        "['a b\\n']: unknown field, known are gateway, address_plan, clients",
    )


@pytest.mark.parametrize("portal_shaped", ["gateway", ALICE, DB, GIT, WEB, FILTER])
def test_an_unknown_field_of_a_portal_shaped_object_is_ignored(portal_shaped: str) -> None:
    assert load_policy(with_value(f"{portal_shaped}.x", {"y": [None]})) == load_policy(DOCUMENT)


# --- All of them --------------------------------------------------------------------------


def test_all_faults_are_listed_in_the_order_of_the_document() -> None:
    document = {
        "clients": [
            {"ipv4": "100.64.0.2", "id": 5, "authorizations": [{"expire_at": 1}, 3]},
            {"authorizations": None, "id": ""},
        ],
        "address_plan": {"tunnel": ["100.64.0.0/11", "x", 5]},
        "extra": 1,
        "gateway": {"ipv6": "?"},
    }
    error = error_of(document)
    assert error.faults == (
        "clients[0].id: 5 is not a text",
        "clients[0].authorizations[0].expire_at: unknown field, did you mean 'expires_at'?",
        "clients[0].authorizations[0].resource: is missing",
        "clients[0].authorizations[1]: 3 is not an object",
        "clients[1]: has neither ipv4 nor ipv6",
        "clients[1].authorizations: null is not a list",
        "clients[1].id: an id is not empty",
        "address_plan.tunnel[1]: 'x' is not a network with a prefix length",
        "address_plan.tunnel[2]: 5 is not a text",
        "extra: unknown field, known are gateway, address_plan, clients",
        "gateway.ipv6: '?' is not an IP address",
    )
    assert str(error) == "\n".join(error.faults)
    assert error.value == 5


@pytest.mark.parametrize("wrong", ["type", "address", "filters"])
def test_a_faulty_field_hides_no_fault_of_another(wrong: str) -> None:
    document = with_value(f"{DB}.{wrong}", 5)
    document["clients"][0]["authorizations"][0] |= {"expires_at": "soon"}
    document["clients"][0]["authorizations"][0]["resource"] |= {"id": "", "name": 5}
    places = [fault.partition(":")[0] for fault in error_of(document).faults]
    assert set(places) == {
        f"{DB}.{wrong}",
        f"{DB}.id",
        f"{DB}.name",
        f"{AUTHORIZATION}.expires_at",
    }


def test_faults_that_no_reader_shares_are_the_same_from_text() -> None:
    document = with_value(f"{FILTER}.port_range_end", float("inf"))
    assert error_of(json.dumps(document)).faults == error_of(document).faults


# --- Values -------------------------------------------------------------------------------


def test_the_value_of_a_missing_field_is_the_object_without_it() -> None:
    document = with_value(f"{ALICE}.id", REMOVED)
    assert error_of(document).value == document["clients"][0]


def test_the_value_of_an_unknown_field_is_its_name() -> None:
    assert error_of(with_value("gatewy", 5)).value == "gatewy"


def test_a_long_text_is_quoted_in_part() -> None:
    (fault,) = error_of(with_value(f"{FILTER}.protocol", "x" * 81)).faults
    assert fault == f"{FILTER}.protocol: '{'x' * 80}'… is not 'tcp', 'udp' or 'icmp'"


def test_a_text_that_is_just_short_enough_is_quoted_in_full() -> None:
    (fault,) = error_of(with_value(f"{FILTER}.protocol", "x" * 80)).faults
    assert fault == f"{FILTER}.protocol: '{'x' * 80}' is not 'tcp', 'udp' or 'icmp'"


def test_a_long_fault_is_cut() -> None:
    place = f"{DB}.address"
    (fault,) = error_of(with_value(place, "x" * 1_000_000)).faults
    assert fault == f"{place}: '{'x' * 399}…"
