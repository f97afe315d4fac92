"""Policy files: what may be left out, the fault of every mistake, and writing them."""

import json
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest

from firezone_filter.policy import (
    Policy,
    PolicyAuthorization,
    PolicyClient,
    PolicyDomain,
    dump_policy,
    load_policy,
)
from firezone_filter.values.addresses import AddressPlan, TunnelAddresses
from firezone_filter.values.errors import InvalidPolicy
from firezone_filter.values.resources import (
    CidrResource,
    DnsResource,
    Icmp,
    InternetResource,
    Resource,
    Tcp,
    Udp,
)
from tests.unit.policy.documents import (
    DOMAIN,
    EXAMPLE,
    EXPIRY,
    REBINDING,
    REMOVED,
    Json,
    authorization,
    bob,
    client,
    document,
    domain,
    domains,
    error_of,
    faults_of,
    resource,
    with_value,
)

GATEWAY = TunnelAddresses("100.64.0.1")
PEER = TunnelAddresses("100.64.0.2", "fd00:2021:1111::2")
GIT = PolicyDomain("git.example.com", ["100.96.0.1", "fd00:2021:1111:8000::1"], ["10.20.0.10"])


def read(*domains: object) -> tuple[PolicyDomain, ...]:
    policy = load_policy(document(client(authorization(*domains))))
    return policy.clients[0].authorizations[0].domains


# --- Reading ------------------------------------------------------------------------------


def test_the_example_is_read() -> None:
    database = CidrResource("db", "10.0.0.0/24", [Tcp(5432), Icmp()], "Database")
    alice = PolicyClient(
        "alice", TunnelAddresses("100.64.0.2"), [PolicyAuthorization(database, EXPIRY)]
    )
    own = TunnelAddresses("100.64.0.1", "fd00:2021:1111::1")
    assert load_policy(EXAMPLE) == Policy(own, AddressPlan(), [alice])


@pytest.mark.parametrize("form", [EXAMPLE.encode(), json.loads(EXAMPLE)], ids=["bytes", "mapping"])
def test_bytes_and_parsed_mappings_say_the_same_as_text(form: bytes | dict[str, object]) -> None:
    assert load_policy(form) == load_policy(EXAMPLE)


def test_the_documented_example_is_read() -> None:
    example = str(load_policy.__doc__).split("```")[1].removeprefix("json")
    assert load_policy(example).clients[0].authorizations[1].domains == (GIT,)


@pytest.mark.parametrize(
    ("plan", "expected"),
    [
        (REMOVED, AddressPlan()),
        ({}, AddressPlan()),
        ({"tunnel": []}, AddressPlan()),
        ({"dns_resources": []}, AddressPlan()),
        (
            {"tunnel": ["100.64.0.0/12"], "dns_resources": ["fd00:5::/64", "fd00:6::/64"]},
            AddressPlan(
                tunnel=["100.64.0.0/12", "fd00:2021:1111::/107"],
                dns_resources=["fd00:5::/64", "fd00:6::/64", "100.96.0.0/11"],
            ),
        ),
    ],
    ids=["missing", "empty", "no tunnel ranges", "no DNS ranges", "one family each"],
)
def test_a_family_that_a_list_does_not_name_keeps_its_default_ranges(
    plan: object, expected: AddressPlan
) -> None:
    source = document() if plan is REMOVED else document(address_plan=plan)
    assert load_policy(source).address_plan == expected


@pytest.mark.parametrize("addresses", [{"ipv4": "100.64.0.1"}, {"ipv6": "fd00:2021:1111::1"}])
def test_a_peer_may_have_one_address_and_null_is_none(addresses: dict[str, str]) -> None:
    both = {"ipv4": None, "ipv6": None} | addresses
    expected = TunnelAddresses(**addresses)
    assert load_policy(document(gateway=addresses)).addresses == expected
    assert load_policy(document(gateway=both)).addresses == expected


@pytest.mark.parametrize("expiry", [{}, {"expires_at": None}])
def test_an_authorization_without_an_expiry_never_ends(expiry: dict[str, object]) -> None:
    policy = load_policy(document(client(authorization(**expiry))))
    assert policy.clients[0].authorizations[0].expires_at is None


def test_unknown_fields_of_the_gateway_and_of_clients_are_ignored() -> None:
    gateway: Json = {"ipv4": "100.64.0.1", "upstream_dns": [], "search_domain": None}
    alice = client(public_key="fiAj", device_serial=["x", {"y": 1.5}])
    assert load_policy(document(alice, gateway=gateway)) == load_policy(document(client()))


def test_clients_and_authorizations_keep_their_order() -> None:
    entries = [authorization(resource=resource("internet", id=one)) for one in "bac"]
    policy = load_policy(document(bob(), client(*entries)))
    assert [one.id for one in policy.clients] == ["bob", "alice"]
    assert [one.resource.id for one in policy.clients[1].authorizations] == ["b", "a", "c"]


# --- Domains ------------------------------------------------------------------------------


def test_a_domain_is_read_with_its_addresses_in_their_order() -> None:
    (one,) = read(DOMAIN)
    assert one == GIT
    assert one.proxy_addresses == (
        IPv4Address("100.96.0.1"),
        IPv6Address("fd00:2021:1111:8000::1"),
    )
    assert one.resolved_addresses == (IPv4Address("10.20.0.10"),)


@pytest.mark.parametrize("kind", ["dns", "cidr", "internet"])
@pytest.mark.parametrize("fields", [{}, {"domains": []}])
def test_domains_may_be_missing_or_empty(kind: str, fields: Json) -> None:
    entry = {"resource": resource(kind)} | fields
    assert load_policy(document(client(entry))).clients[0].authorizations[0].domains == ()


def test_either_list_of_addresses_may_be_empty() -> None:
    assert read(domain(proxy_addresses=[], resolved_addresses=[])) == (
        PolicyDomain("git.example.com", (), ()),
    )


def test_a_name_may_be_written_in_any_case_and_with_a_final_dot() -> None:
    (one,) = read(domain(name="GIT.Example.com."))
    assert one.name == "git.example.com"


@pytest.mark.parametrize("scoped", ["fe80::1%eth0", "fe80::2%1"])
def test_a_resolved_address_with_a_scope_is_left_out(scoped: str) -> None:
    (one,) = read(domain(resolved_addresses=[scoped, "10.20.0.10"]))
    assert one.resolved_addresses == (IPv4Address("10.20.0.10"),)


def test_resolved_addresses_that_a_gateway_leaves_out_are_read() -> None:
    (one,) = read(domain(resolved_addresses=REBINDING))
    assert one.resolved_addresses == tuple(ip_address(text) for text in REBINDING)


# --- Faults -------------------------------------------------------------------------------

ALICE = "clients[0]"
DNS = f"{ALICE}.authorizations[0]"
CIDR = f"{ALICE}.authorizations[1]"
NAME = f"{DNS}.domains[0].name"
PROXIES = f"{DNS}.domains[0].proxy_addresses"
RESOLVED = f"{DNS}.domains[0].resolved_addresses"
DOMAIN_FIELDS = "name, proxy_addresses, resolved_addresses"

DOCUMENT: Json = document(
    client(
        authorization(DOMAIN),
        {"resource": resource("cidr", filters=[{"protocol": "tcp"}]), "expires_at": EXPIRY},
        {"resource": resource("internet")},
    ),
    bob(),
    address_plan={"tunnel": ["100.64.0.0/11"], "dns_resources": ["100.96.0.0/11"]},
)

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
    (f"{CIDR}.expires_at", "1790000000", "'1790000000' is not a time"),
    (f"{CIDR}.expires_at", True, "true is not a time"),
    (f"{CIDR}.expires_at", float("nan"), "NaN is outside the range of numbers"),
    # Unknown fields of our own objects
    ("gatewy", None, "unknown field, did you mean 'gateway'?"),
    ("remark", None, "unknown field, known are gateway, address_plan, clients"),
    ("address_plan.tunel", None, "unknown field, did you mean 'tunnel'?"),
    ("address_plan.x", None, "unknown field, known are tunnel, dns_resources"),
    (f"{CIDR}.expire_at", None, "unknown field, did you mean 'expires_at'?"),
    (f"{CIDR}.x", None, "unknown field, known are resource, expires_at, domains"),
    (f"{DNS}.domains[0].resolved", [], "unknown field, did you mean 'resolved_addresses'?"),
    (f"{DNS}.domains[0].ttl", 60, f"unknown field, known are {DOMAIN_FIELDS}"),
]


def test_without_a_change_the_document_has_no_fault() -> None:
    assert len(load_policy(DOCUMENT).clients) == 2


@pytest.mark.parametrize(("place", "value", "what"), FAULTS)
def test_a_fault_has_its_place(place: str, value: object, what: str) -> None:
    error = error_of(with_value(DOCUMENT, place, value))
    assert error.faults == (f"{place}: {what}",)
    assert str(error) == f"{place}: {what}"


@pytest.mark.parametrize(("text", "shown"), [("[]", "a list"), ("null", "null"), ("5", "5")])
def test_a_policy_is_an_object(text: str, shown: str) -> None:
    assert faults_of(text) == (f"document: {shown} is not an object",)


@pytest.mark.parametrize("value", [REMOVED, None], ids=["missing", "null"])
@pytest.mark.parametrize("peer", ["gateway", ALICE])
def test_a_peer_without_any_address_is_a_fault(peer: str, value: object) -> None:
    source = with_value(DOCUMENT, f"{peer}.ipv4", value)
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
    assert faults_of(with_value(DOCUMENT, "address_plan", plan)) == tuple(
        f"address_plan: tunnel range 100.64.0.0/10 and DNS range {one} overlap" for one in dns
    )


def test_an_address_written_in_two_ways_is_one_address() -> None:
    alice, other = "fd00:2021:1111::2", "FD00:2021:1111:0::2"
    source = with_value(DOCUMENT, f"{ALICE}.ipv6", alice)
    assert faults_of(with_value(source, "clients[1].ipv6", other)) == (
        f"clients[1].ipv6: {other!r} is already clients[0].ipv6",
    )
    twice = ["fd00:2021:1111:8000::1", "FD00:2021:1111:8000:0::1"]
    assert faults_of(with_value(DOCUMENT, PROXIES, twice)) == (
        f"{PROXIES}[1]: {twice[1]!r} is already {PROXIES}[0]",
    )


def test_a_conflict_is_a_fault_of_the_later_place_in_the_document() -> None:
    source = {"clients": DOCUMENT["clients"], "gateway": {"ipv4": "100.64.0.3"}}
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
        "extra: unknown field, known are gateway, address_plan, clients",
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
        f"{DNS}.expires_at: 'soon' is not a time",
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
    source = with_value(DOCUMENT, place, value)
    source = with_value(source, f"{ALICE}.ipv4", "10.0.0.1")
    source = with_value(source, f"{PROXIES}[0]", "10.0.0.1")
    assert [fault.partition(": ")[0] for fault in faults_of(source)] == [place]


def test_faults_of_text_are_those_of_the_mapping() -> None:
    source = with_value(DOCUMENT, f"{CIDR}.expires_at", float("inf"))
    assert faults_of(json.dumps(source)) == faults_of(source)


# --- Writing ------------------------------------------------------------------------------

EVERY_KIND: list[Resource] = [
    CidrResource("net4", "10.0.0.0/24"),
    CidrResource("net6", "fd00:5::/64", [Tcp(), Tcp("8000-8100"), Udp(53), Icmp()], "Zürich"),
    DnsResource("git", "*.Example.com", [Tcp(443)]),
    DnsResource("wiki", "wiki.example.com", (), "Wiki"),
    InternetResource("web", "Web", ["203.0.113.0/24", "2001:db8::/32"]),
    InternetResource("all"),
]
WIKI = PolicyDomain("wiki.example.com", ["100.96.0.2"], ["10.20.0.11"])
EXAMPLES = DnsResource("examples", "*.example.com")


def authorized(*authorizations: PolicyAuthorization) -> Policy:
    return Policy(GATEWAY, clients=[PolicyClient("alice", PEER, authorizations)])


@pytest.mark.parametrize(
    "policy",
    [
        load_policy(EXAMPLE),
        load_policy(DOCUMENT),
        *[
            authorized(*[PolicyAuthorization(one, expires_at) for one in EVERY_KIND])
            for expires_at in (None, 1_790_000_000, 1_790_000_000.25)
        ],
        *[
            authorized(PolicyAuthorization(EXAMPLES, EXPIRY, several))
            for several in (
                [GIT, WIKI],
                [WIKI, GIT, WIKI],
                [PolicyDomain("a.example.com", (), ())],
                [PolicyDomain("a.example.com", (), REBINDING)],
            )
        ],
        Policy(
            GATEWAY,
            AddressPlan(
                tunnel=["100.64.0.0/16", "100.66.0.0/16", "fd64::/64"],
                dns_resources=["fd65::/64", "100.96.0.0/16"],
            ),
        ),
    ],
)
def test_a_policy_is_read_as_it_was_written(policy: Policy) -> None:
    text = dump_policy(policy)
    assert load_policy(text) == policy
    assert text.isascii()


def test_fields_that_are_known_without_them_are_not_written() -> None:
    alice = PolicyClient(
        "alice", TunnelAddresses("100.64.0.2"), [PolicyAuthorization(InternetResource("all"))]
    )
    assert json.loads(dump_policy(Policy(GATEWAY, clients=[alice])))["clients"] == [
        {
            "id": "alice",
            "ipv4": "100.64.0.2",
            "authorizations": [{"resource": {"type": "internet", "id": "all", "name": ""}}],
        }
    ]


def test_domains_are_written_as_they_are_read() -> None:
    text = dump_policy(authorized(PolicyAuthorization(EXAMPLES, domains=[GIT])))
    assert json.loads(text)["clients"][0]["authorizations"][0]["domains"] == [DOMAIN]


@pytest.mark.parametrize(
    ("tunnel", "dns", "fault"),
    [
        (["100.64.0.0/11"], ["100.96.0.0/11", "fd65::/64"], "address_plan.tunnel: no IPv6 range"),
        (["100.64.0.0/11", "fd64::/64"], [], "address_plan.dns_resources: no IPv4 range"),
    ],
)
def test_a_plan_without_a_family_is_not_written(
    tunnel: list[str], dns: list[str], fault: str
) -> None:
    # It would be read with the default ranges of that family.
    with pytest.raises(InvalidPolicy, match=fault):
        dump_policy(Policy(GATEWAY, AddressPlan(tunnel, dns)))


def test_a_text_that_could_not_be_read_back_is_not_written() -> None:
    with pytest.raises(InvalidPolicy, match=r"clients\[0\]\.id: .* is not Unicode"):
        dump_policy(Policy(GATEWAY, clients=[PolicyClient("\ud800", PEER)]))
