"""The faults of policy files: each with its place, all of them, in the order of the document."""

import json

import pytest

from firezone_filter.policy import load_policy
from tests.unit.policy.documents import (
    DOMAIN,
    EVERYTHING,
    EXPIRY,
    REMOVED,
    Json,
    authorization,
    client,
    document,
    domain,
    domains,
    error_of,
    faults_of,
    resource,
    with_value,
)

ALICE = "clients[0]"
DNS = f"{ALICE}.authorizations[0]"
CIDR = f"{ALICE}.authorizations[1]"
NAME = f"{DNS}.domains[0].name"
PROXIES = f"{DNS}.domains[0].proxy_addresses"
RESOLVED = f"{DNS}.domains[0].resolved_addresses"
DOMAIN_FIELDS = "name, proxy_addresses, resolved_addresses"

NO_TIME = "is not a time in Unix seconds, such as 1798761600"

FAULTS = [
    # Required fields; `resource` stands for all that is in a resource.
    *[
        (place, REMOVED, "is missing")
        for place in (
            "gateway",
            "clients",
            f"{ALICE}.id",
            f"{ALICE}.authorizations",
            f"{DNS}.resource",
            f"{DNS}.resource.address",
            f"{CIDR}.resource.filters",
            f"{CIDR}.resource.filters[0].protocol",
            NAME,
            PROXIES,
            RESOLVED,
        )
    ],
    # Other types; `null` never means everything.
    ("gateway", "100.64.0.1", "'100.64.0.1' is not an object"),
    ("gateway.ipv4", 1684275201, "1684275201 is not a text"),
    ("address_plan", None, "null is not an object"),
    ("address_plan.tunnel", None, "null is not a list"),
    ("address_plan.dns_resources", None, "null is not a list"),
    ("clients", None, "null is not a list"),
    ("clients", {}, "an object is not a list"),
    (ALICE, "alice", "'alice' is not an object"),
    (f"{ALICE}.id", 7, "7 is not a text"),
    (f"{ALICE}.ipv6", False, "false is not a text"),
    (f"{ALICE}.authorizations", "db", "'db' is not a list"),
    (CIDR, "db", "'db' is not an object"),
    (f"{CIDR}.resource", "db", "'db' is not an object"),
    (f"{CIDR}.resource.filters", None, "null is not a list"),
    (f"{CIDR}.domains", "x", "'x' is not a list"),
    (f"{DNS}.domains", None, "null is not a list"),
    (f"{DNS}.domains", {}, "an object is not a list"),
    (f"{DNS}.domains[0]", "git.example.com", "'git.example.com' is not an object"),
    (NAME, None, "null is not a text"),
    (PROXIES, None, "null is not a list"),
    (f"{PROXIES}[0]", 7, "7 is not a text"),
    (RESOLVED, "10.20.0.10", "'10.20.0.10' is not a list"),
    (f"{RESOLVED}[0]", None, "null is not a text"),
    # Ids and names
    (f"{ALICE}.id", "", "an id is not empty"),
    (f"{ALICE}.id", "\ud800", "'\\ud800' is not Unicode: half of a surrogate pair"),
    (NAME, "", "'' is not a domain name"),
    (NAME, "git..com", "'git..com' is not a domain name"),
    (NAME, "*.example.com", "'*.example.com' is not a domain name"),
    (NAME, "Git.example.org", "'Git.example.org' is not a name that '*.example.com' stands for"),
    # Addresses
    ("gateway.ipv4", "100.64.0.256", "'100.64.0.256' is not an IP address"),
    ("gateway.ipv4", "100.64.0.1/32", "'100.64.0.1/32' is not an IP address"),
    ("gateway.ipv4", "fd00:2021:1111::1", "'fd00:2021:1111::1' is not an IPv4 address"),
    (f"{ALICE}.ipv6", "100.64.0.9", "'100.64.0.9' is not an IPv6 address"),
    (f"{ALICE}.ipv6", "fd00::1%eth0", "'fd00::1%eth0' has a scope, which no packet carries"),
    (f"{ALICE}.ipv6", "fd00:2022::1", "'fd00:2022::1' is outside the tunnel ranges"),
    ("address_plan.tunnel[0]", "all", "'all' is not a network with a prefix length"),
    (f"{PROXIES}[0]", "100.96.0.0/32", "'100.96.0.0/32' is not an IP address"),
    (f"{PROXIES}[0]", "fd::1%eth0", "'fd::1%eth0' has a scope, which no packet carries"),
    (f"{RESOLVED}[0]", "10.20.0.0/24", "'10.20.0.0/24' is not an IP address"),
    (f"{RESOLVED}[0]", "git.example.com", "'git.example.com' is not an IP address"),
    # Times
    (f"{CIDR}.expires_at", "1790000000", f"'1790000000' {NO_TIME}"),
    (f"{CIDR}.expires_at", True, f"true {NO_TIME}"),
    (f"{CIDR}.expires_at", float("nan"), "NaN is outside the range of numbers"),
    (f"{CIDR}.expires_at", 2**33, "8589934592 is later than any clock in seconds: milliseconds?"),
    (
        f"{CIDR}.expires_at",
        1.79e12,
        "1790000000000.0 is later than any clock in seconds: milliseconds?",
    ),
    # Fields that neither the library nor the portal knows there
    ("option", {}, "unknown field, did you mean 'options'?"),
    ("gatewy", None, "unknown field, did you mean 'gateway'?"),
    ("remark", None, "unknown field, known are gateway, address_plan, clients, options, tests"),
    ("gateway.IPv4", "100.64.0.9", "unknown field, did you mean 'ipv4'?"),
    ("gateway.search_domian", "x", "unknown field, did you mean 'search_domain'?"),
    ("gateway.x", "x", "unknown field, known are ipv4, ipv6"),
    (f"{ALICE}.authorization", [], "unknown field, did you mean 'authorizations'?"),
    (f"{ALICE}.expires_at", EXPIRY, "unknown field, known are id, ipv4, ipv6, authorizations"),
    (f"{CIDR}.resource.filter", [], "unknown field, did you mean 'filters'?"),
    (
        f"{CIDR}.resource.filters[0].port_range_strat",
        80,
        "unknown field, did you mean 'port_range_start'?",
    ),
    (f"{DNS}.resource.adress", "x", "unknown field, did you mean 'address'?"),
    ("clients[0].authorizations[2].resource.exlude", [], "unknown field, did you mean 'exclude'?"),
    ("address_plan.tunel", None, "unknown field, did you mean 'tunnel'?"),
    ("address_plan.x", None, "unknown field, known are tunnel, dns_resources"),
    (f"{CIDR}.expire_at", None, "unknown field, did you mean 'expires_at'?"),
    (f"{CIDR}.x", None, "unknown field, known are resource, expires_at, domains"),
    (f"{DNS}.domains[0].resolved", [], "unknown field, did you mean 'resolved_addresses'?"),
    (f"{DNS}.domains[0].ttl", 60, f"unknown field, known are {DOMAIN_FIELDS}"),
]


def test_without_a_change_the_document_has_no_fault() -> None:
    assert len(load_policy(EVERYTHING).clients) == 2


@pytest.mark.parametrize(("place", "value", "what"), FAULTS)
def test_a_fault_has_its_place(place: str, value: object, what: str) -> None:
    error = error_of(with_value(EVERYTHING, place, value))
    assert error.faults == (f"{place}: {what}",)
    assert str(error) == f"{place}: {what}"


@pytest.mark.parametrize(("text", "shown"), [("[]", "a list"), ("null", "null"), ("5", "5")])
def test_a_policy_is_an_object(text: str, shown: str) -> None:
    assert faults_of(text) == (f"document: {shown} is not an object",)


@pytest.mark.parametrize("value", [REMOVED, None], ids=["missing", "null"])
@pytest.mark.parametrize("peer", ["gateway", ALICE])
def test_a_peer_without_any_address_is_a_fault(peer: str, value: object) -> None:
    source = with_value(EVERYTHING, f"{peer}.ipv4", value)
    assert faults_of(source) == (f"{peer}: has neither ipv4 nor ipv6",)


@pytest.mark.parametrize(
    ("plan", "dns"),
    [
        ({"tunnel": ["100.64.0.0/10"]}, ["100.96.0.0/11"]),
        (
            {"tunnel": ["100.64.0.0/10"], "dns_resources": ["100.96.0.0/12", "100.112.0.0/12"]},
            ["100.96.0.0/12", "100.112.0.0/12"],
        ),
    ],
    ids=["a default range", "two ranges"],
)
def test_ranges_that_overlap_are_faults_pair_by_pair(plan: Json, dns: list[str]) -> None:
    assert faults_of(with_value(EVERYTHING, "address_plan", plan)) == tuple(
        f"address_plan: tunnel range 100.64.0.0/10 and DNS range {one} overlap" for one in dns
    )


def test_an_address_written_in_two_ways_is_one_address() -> None:
    alice, other = "fd00:2021:1111::2", "FD00:2021:1111:0::2"
    source = with_value(EVERYTHING, f"{ALICE}.ipv6", alice)
    assert faults_of(with_value(source, "clients[1].ipv6", other)) == (
        f"clients[1].ipv6: {other!r} is already clients[0].ipv6",
    )
    twice = ["fd00:2021:1111:8000::1", "FD00:2021:1111:8000:0::1"]
    assert faults_of(with_value(EVERYTHING, PROXIES, twice)) == (
        f"{PROXIES}[1]: {twice[1]!r} is already {PROXIES}[0]",
    )


def test_a_conflict_is_a_fault_of_the_later_place_in_the_document() -> None:
    source = {"clients": EVERYTHING["clients"], "gateway": {"ipv4": "100.64.0.3"}}
    assert faults_of(source) == ("gateway.ipv4: '100.64.0.3' is already clients[1].ipv4",)


# --- Several faults -----------------------------------------------------------------------


def test_all_faults_are_listed_in_the_order_of_the_document() -> None:
    error = error_of(
        {
            "clients": [
                {"ipv4": "100.64.0.2", "id": 5, "authorizations": [{"expire_at": 1}, 3]},
                {"authorizations": None, "id": ""},
            ],
            "address_plan": {"tunnel": ["100.64.0.0/11", "x", 5]},
            "extra": 1,
            "gateway": {"ipv6": "?"},
        }
    )
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
        "extra: unknown field, known are gateway, address_plan, clients, options, tests",
        "gateway.ipv6: '?' is not an IP address",
    )
    assert str(error) == "\n".join(error.faults)
    assert error.value == 5


def test_all_faults_of_domains_are_listed_in_the_order_of_the_document() -> None:
    entry = {
        "domains": [
            {"resolved_addresses": ["?"], "name": "a.example.org", "proxy_addresses": ["1.1.1.1"]},
            5,
            {"name": "", "proxy_addresses": ["100.96.0.1"] * 2, "resolved_addresses": []},
        ],
        "resource": resource(),
        "expires_at": "soon",
    }
    twice = f"{DNS}.domains[2].proxy_addresses"
    assert faults_of(document(client(entry))) == (
        f"{RESOLVED}[0]: '?' is not an IP address",
        f"{NAME}: 'a.example.org' is not a name that '*.example.com' stands for",
        f"{PROXIES}[0]: '1.1.1.1' is outside the DNS ranges",
        f"{DNS}.domains[1]: 5 is not an object",
        f"{DNS}.domains[2].name: '' is not a domain name",
        f"{twice}[1]: '100.96.0.1' is already {twice}[0]",
        f"{DNS}.expires_at: 'soon' {NO_TIME}",
    )


FOREIGN = domain(name="git.example.org")
TOO_MANY = domains(1024, 1)

# Authorizations of alice, and the places of all their faults.
TOGETHER: list[tuple[str, list[Json], list[str]]] = [
    # A fault hides no other one.
    *[
        (
            f"{wrong} and a foreign name",
            [authorization(FOREIGN, resource=resource() | {wrong: 5})],
            [f"{DNS}.resource.{wrong}", NAME],
        )
        for wrong in ("id", "name", "filters")
    ],
    (
        "an address and domains of another kind",
        [authorization(DOMAIN, resource=resource("cidr", address="10.0.0.1/8"))],
        [f"{DNS}.resource.address", f"{DNS}.domains"],
    ),
    (
        "filters and an id that is taken",
        [authorization(), authorization(resource=resource(filters=None))],
        [f"{CIDR}.resource.id", f"{CIDR}.resource.filters"],
    ),
    (
        "a name and too many proxy addresses",
        [authorization(TOO_MANY[0], TOO_MANY[1] | {"name": "?"})],
        [ALICE, f"{DNS}.domains[1].name"],
    ),
    # Nor does it cause one: a name is foreign only to a pattern that is known.
    *[
        (f"no pattern: {resource_!r}", [authorization(DOMAIN, resource=resource_)], [place])
        for resource_, place in (
            (5, f"{DNS}.resource"),
            (resource(type="dsn"), f"{DNS}.resource.type"),
            (resource(address="a..b"), f"{DNS}.resource.address"),
            (resource(address=5), f"{DNS}.resource.address"),
        )
    ],
    ("domains without a resource", [{"domains": [DOMAIN]}], [f"{DNS}.resource"]),
    (
        "an address of a faulty name",
        [authorization(DOMAIN, domain(name="?"))],
        [f"{DNS}.domains[1].name"],
    ),
]


@pytest.mark.parametrize(
    ("entries", "places"), [row[1:] for row in TOGETHER], ids=[row[0] for row in TOGETHER]
)
def test_a_fault_neither_hides_another_nor_causes_one(
    entries: list[Json], places: list[str]
) -> None:
    faults = faults_of(document(client(*entries)))
    assert [fault.partition(": ")[0] for fault in faults] == places


@pytest.mark.parametrize(
    ("place", "value"),
    [("address_plan.tunnel[0]", "10.0.0.1/8"), ("address_plan.dns_resources[0]", "x")],
)
def test_no_address_is_outside_ranges_that_are_faulty_themselves(place: str, value: str) -> None:
    source = with_value(EVERYTHING, place, value)
    source = with_value(source, f"{ALICE}.ipv4", "10.0.0.1")
    source = with_value(source, f"{PROXIES}[0]", "10.0.0.1")
    assert [fault.partition(": ")[0] for fault in faults_of(source)] == [place]


def test_faults_of_text_are_those_of_the_mapping() -> None:
    source = with_value(EVERYTHING, f"{CIDR}.expires_at", float("inf"))
    assert faults_of(json.dumps(source)) == faults_of(source)
