"""Policy files: what is read, what may be left out, and how policies are written."""

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
from firezone_filter.values.filters import Icmp, Protocol, Tcp, Udp
from firezone_filter.values.options import GatewayOptions
from firezone_filter.values.resources import (
    CidrResource,
    DnsResource,
    InternetResource,
    Resource,
)
from tests.unit.policy.documents import (
    DOMAIN,
    EVERYTHING,
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
    resource,
)

GATEWAY = TunnelAddresses("100.64.0.1")
PEER = TunnelAddresses("100.64.0.2", "fd00:2021:1111::2")
GIT = PolicyDomain("git.example.com", ["100.96.0.1", "fd00:2021:1111:8000::1"], ["10.20.0.10"])


def read(*domains: object) -> tuple[PolicyDomain, ...]:
    policy = load_policy(document(client(authorization(*domains))))
    return policy.clients[0].authorizations[0].domains or ()


# --- Reading ------------------------------------------------------------------------------

NAMES = [
    "policy.json",
    "my policy.JSON",
    "./policy",
    "/etc/firezone/policy.json",
    "C:\\office\\policy.txt",
    "~/policy.json5",
    "\u00e9.json",
    "a/" * 2_048,
]


@pytest.mark.parametrize("name", NAMES, ids=lambda name: repr(name)[:20])
def test_the_name_of_a_file_is_refused_as_such(name: str) -> None:
    for source in (name, name.encode()):
        with pytest.raises(InvalidPolicy, match="looks like a file's name: hand in the text"):
            load_policy(source)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "line 1, column 1: Expecting value"),
        ("policy", "line 1, column 1: Expecting value"),
        ("1.5", "document: 1.5 is not an object"),
        ('"policy.json"', "document: 'policy.json' is not an object"),
        ('["a/b.json"]', "document: a list is not an object"),
        ("a/b\nc.json", "line 1, column 1: Expecting value"),
        ("{policy.json", "line 1, column 2: Expecting property name"),
        ("a/" * 2_048 + "b", "line 1, column 1: Expecting value"),
        (b"\xff", "line 1, column 1: not UTF-8"),
    ],
    ids=lambda row: repr(row)[:20],
)
def test_another_text_is_no_name(text: str | bytes, fault: str) -> None:
    with pytest.raises(InvalidPolicy) as caught:
        load_policy(text)
    assert str(caught.value).startswith(fault)


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
    policy = load_policy(example)
    assert policy.options == GatewayOptions(stateful=True, own_filters=[Icmp()])
    database, git = policy.clients[0].authorizations
    assert database.resource == CidrResource(
        "db",
        "10.0.0.0/24",
        [Tcp(5432), Icmp.echo(), Protocol(47)],
        "Database",
        ["10.0.0.128/25"],
    )
    assert git.domains == (GIT,)


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


def test_what_the_portal_sends_of_the_gateway_and_of_clients_may_be_pasted_in() -> None:
    interface: Json = {
        "ipv4": "100.64.0.1",
        "ipv6": None,
        "upstream_dns": [],
        "upstream_do53": [{"ip": "9.9.9.9"}],
        "upstream_doh": [],
        "search_domain": None,
    }
    # As docs/how-to/portal.md has them, with what the portal sends besides.
    alice = client(
        ipv6=None,
        public_key="fiAjSBWDgQfD1CFJkTwOf4zg+1QhH0eTT+oLaVIMpH8=",
        preshared_key="BzPiNE9qszKczZcZzGsyieLYeJ2EQfkfdibls/l3beM=",
        version="1.5.0",
        device_serial=["x", {"y": 1.5}],
        device_os_name="Linux",
        device_os_version=None,
        device_uuid=None,
        firebase_installation_id=None,
        identifier_for_vendor=None,
    )
    assert load_policy(document(alice, gateway=interface)) == load_policy(document(client()))


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
@pytest.mark.parametrize("fields", [{}, {"domains": []}], ids=["missing", "empty"])
def test_domains_may_be_missing_or_empty(kind: str, fields: Json) -> None:
    policy = load_policy(document(client({"resource": resource(kind)} | fields)))
    # Missing says nothing about the names of a DNS resource; a list is all that it has.
    says_that_there_are_none = kind == "dns" and "domains" in fields
    expected = () if says_that_there_are_none else None
    assert policy.clients[0].authorizations[0].domains == expected
    assert load_policy(dump_policy(policy)) == policy


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


# --- Writing ------------------------------------------------------------------------------

EVERY_KIND: list[Resource] = [
    CidrResource("net4", "10.0.0.0/24"),
    CidrResource("net6", "fd00:5::/64", [Tcp(), Tcp("8000-8100"), Udp(53), Icmp()], "Zürich"),
    CidrResource("lab", "10.1.0.0/16", [Icmp([13]), Protocol(47)], exclude=["10.1.2.0/24"]),
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
        load_policy(EVERYTHING),
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
