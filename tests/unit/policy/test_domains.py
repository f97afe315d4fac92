"""What names have resolved to, in a policy: read, checked, written, and told to a gateway."""

import copy
import json
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, TypeAlias

import pytest

from firezone_filter.nat.proxies import MAX_PROXIES
from firezone_filter.policy import (
    Policy,
    PolicyAuthorization,
    PolicyClient,
    PolicyDomain,
    dump_policy,
    load_policy,
)
from firezone_filter.values.addresses import Address, AddressPlan, TunnelAddresses
from firezone_filter.values.decisions import Direction, Reason, Reject, Translate
from firezone_filter.values.errors import InvalidAddress, InvalidPolicy
from firezone_filter.values.resources import CidrResource, DnsResource, InternetResource, Resource
from tests.builders import tcp

Json: TypeAlias = Any

OUTBOUND = Direction.OUTBOUND
EXPIRY = 1_790_000_000.0

# As it stands in the issue that asked for it.
DOMAIN: Json = {
    "name": "git.example.com",
    "proxy_addresses": ["100.96.0.1", "fd00:2021:1111:8000::1"],
    "resolved_addresses": ["10.20.0.10"],
}
GIT = PolicyDomain("git.example.com", ["100.96.0.1", "fd00:2021:1111:8000::1"], ["10.20.0.10"])
WIKI = PolicyDomain("wiki.example.com", ["100.96.0.2"], ["10.20.0.11"])

AUTHORIZATION = "clients[0].authorizations[0]"
DOMAINS = f"{AUTHORIZATION}.domains"
NAME = f"{DOMAINS}[0].name"
PROXY = f"{DOMAINS}[0].proxy_addresses[0]"
RESOLVED = f"{DOMAINS}[0].resolved_addresses[0]"

GATEWAY = TunnelAddresses("100.64.0.1")
ALICE = TunnelAddresses("100.64.0.2", "fd00:2021:1111::2")
BOB = TunnelAddresses("100.64.0.3")
EXAMPLES = DnsResource("examples", "*.example.com")
ALSO_EXAMPLES = DnsResource("also-examples", "**.example.com")


def resource(kind: str = "dns", **fields: object) -> Json:
    kinds: Json = {
        "dns": {"address": "*.example.com", "filters": []},
        "cidr": {"address": "10.0.0.0/24", "filters": []},
        "internet": {},
    }
    return {"type": kind, "id": kind, **kinds[kind], **fields}


def authorization(*domains: object, **fields: object) -> Json:
    return {"resource": resource(), "domains": list(domains)} | fields


def document(*authorizations: object, **fields: object) -> Json:
    alice = {"id": "alice", "ipv4": "100.64.0.2", "authorizations": list(authorizations)}
    return {"gateway": {"ipv4": "100.64.0.1"}, "clients": [alice]} | fields


def domain(**fields: object) -> Json:
    return copy.deepcopy(DOMAIN) | fields


def read(*domains: object) -> tuple[PolicyDomain, ...]:
    return load_policy(document(authorization(*domains))).clients[0].authorizations[0].domains


def faults_of(source: Json) -> tuple[str, ...]:
    with pytest.raises(InvalidPolicy) as caught:
        load_policy(source)
    return caught.value.faults


def faults_by_hand(*authorizations: PolicyAuthorization) -> tuple[str, ...]:
    with pytest.raises(InvalidPolicy) as caught:
        Policy(GATEWAY, clients=[PolicyClient("alice", ALICE, authorizations)])
    return caught.value.faults


def granted(*domains: PolicyDomain, to: Resource = EXAMPLES) -> PolicyAuthorization:
    return PolicyAuthorization(to, domains=domains)


def proxies(first: int, count: int) -> list[Address]:
    return [IPv4Address("100.96.0.0") + first + n for n in range(count)]


# --- Reading ------------------------------------------------------------------------------


def test_a_domain_is_read_as_it_stands() -> None:
    assert read(DOMAIN) == (GIT,)


def test_addresses_are_objects_in_their_order() -> None:
    (one,) = read(DOMAIN)
    assert one.proxy_addresses == (
        IPv4Address("100.96.0.1"),
        IPv6Address("fd00:2021:1111:8000::1"),
    )
    assert one.resolved_addresses == (IPv4Address("10.20.0.10"),)


def test_the_documented_example_is_read() -> None:
    example = str(load_policy.__doc__).split("```")[1].removeprefix("json")
    assert load_policy(example).clients[0].authorizations[1].domains == (GIT,)


def test_an_address_of_a_faulty_name_is_nobody_elses() -> None:
    assert len(faults_of(document(authorization(DOMAIN, domain(name="?"))))) == 1


@pytest.mark.parametrize("fields", [{}, {"domains": []}])
def test_domains_may_be_missing_or_empty(fields: Json) -> None:
    entry = {"resource": resource()} | fields
    assert load_policy(document(entry)).clients[0].authorizations[0].domains == ()


@pytest.mark.parametrize("kind", ["cidr", "internet"])
def test_an_empty_list_of_domains_does_no_harm_to_any_resource(kind: str) -> None:
    entry = {"resource": resource(kind), "domains": []}
    assert load_policy(document(entry)).clients[0].authorizations[0].domains == ()


def test_either_list_of_addresses_may_be_empty() -> None:
    assert read(domain(proxy_addresses=[], resolved_addresses=[])) == (
        PolicyDomain("git.example.com", (), ()),
    )


def test_a_name_is_written_in_any_case_and_with_a_final_dot() -> None:
    (one,) = read(domain(name="GIT.Example.com."))
    assert one.name == "git.example.com"


@pytest.mark.parametrize("scoped", ["fe80::1%eth0", "fe80::2%1"])
def test_a_resolved_address_with_a_scope_is_left_out(scoped: str) -> None:
    (one,) = read(domain(resolved_addresses=[scoped, "10.20.0.10"]))
    assert one.resolved_addresses == (IPv4Address("10.20.0.10"),)


REBINDING = ["127.0.0.1", "100.64.0.3", "100.96.0.1", "fe80::1", "::ffff:10.0.0.1", "224.0.0.1"]


def test_a_resolved_address_that_a_gateway_leaves_out_may_stand_there() -> None:
    (one,) = read(domain(resolved_addresses=REBINDING))
    assert one.resolved_addresses == tuple(ip_address(text) for text in REBINDING)


def test_a_name_may_stand_there_again_with_other_addresses() -> None:
    again = domain(proxy_addresses=["100.96.0.2"], resolved_addresses=["10.20.0.11"])
    assert len(read(DOMAIN, again)) == 2


def test_a_name_may_stand_there_again_with_the_same_addresses() -> None:
    assert len(read(DOMAIN, domain(name="GIT.example.com"))) == 2


def test_resources_may_share_the_proxy_addresses_of_a_name() -> None:
    other = authorization(DOMAIN, resource=resource(id="other", address="git.example.com"))
    policy = load_policy(document(authorization(DOMAIN), other))
    assert [one.domains for one in policy.clients[0].authorizations] == [(GIT,), (GIT,)]


def test_two_clients_may_give_one_address_to_different_names() -> None:
    source = document(authorization(DOMAIN))
    theirs = [authorization(domain(name="wiki.example.com"))]
    source["clients"] += [{"id": "bob", "ipv4": "100.64.0.3", "authorizations": theirs}]
    assert load_policy(source).gateway().clients() == ("alice", "bob")


def test_the_ranges_are_those_of_the_documents_plan() -> None:
    source = document(
        authorization(domain(proxy_addresses=["10.96.0.1", "fd00:2021:1111:8000::1"])),
        address_plan={"dns_resources": ["10.96.0.0/16"]},
    )
    assert load_policy(source).clients[0].authorizations[0].domains[0].name == "git.example.com"


# --- What is wrong, one fault a row -------------------------------------------------------

FAULTS = [
    # The list and what is in it
    (authorization(domains=None), DOMAINS, "null is not a list"),
    (authorization(domains={}), DOMAINS, "an object is not a list"),
    (authorization("git.example.com"), f"{DOMAINS}[0]", "'git.example.com' is not an object"),
    # Names
    (authorization(domain(name=None)), NAME, "null is not a text"),
    (authorization(domain(name="")), NAME, "'' is not a domain name"),
    (authorization(domain(name="git..com")), NAME, "'git..com' is not a domain name"),
    (authorization(domain(name="*.example.com")), NAME, "'*.example.com' is not a domain name"),
    (
        authorization(domain(name="Git.example.org")),
        NAME,
        "'Git.example.org' is not a name that '*.example.com' stands for",
    ),
    (
        authorization(domain(name="a.b.example.com")),
        NAME,
        "'a.b.example.com' is not a name that '*.example.com' stands for",
    ),
    # Proxy addresses
    (
        authorization(domain(proxy_addresses=None)),
        f"{DOMAINS}[0].proxy_addresses",
        "null is not a list",
    ),
    (authorization(domain(proxy_addresses=[7])), PROXY, "7 is not a text"),
    (
        authorization(domain(proxy_addresses=["100.96.0.0/32"])),
        PROXY,
        "'100.96.0.0/32' is not an IP address",
    ),
    (
        authorization(domain(proxy_addresses=["fd00:2021:1111:8000::1%eth0"])),
        PROXY,
        "'fd00:2021:1111:8000::1%eth0' has a scope, which no packet carries",
    ),
    (
        authorization(domain(proxy_addresses=["100.95.255.255"])),
        PROXY,
        "'100.95.255.255' is outside the DNS ranges",
    ),
    (
        authorization(domain(proxy_addresses=["100.128.0.0"])),
        PROXY,
        "'100.128.0.0' is outside the DNS ranges",
    ),
    (
        authorization(domain(proxy_addresses=["fd00:2021:1111::1"])),
        PROXY,
        "'fd00:2021:1111::1' is outside the DNS ranges",
    ),
    (
        authorization(domain(proxy_addresses=["100.96.0.1", "100.96.0.2", "100.96.0.1"])),
        f"{DOMAINS}[0].proxy_addresses[2]",
        f"'100.96.0.1' is already {PROXY}",
    ),
    (
        authorization(DOMAIN, domain(name="wiki.example.com", proxy_addresses=["100.96.0.1"])),
        f"{DOMAINS}[1].proxy_addresses[0]",
        f"'100.96.0.1' is already {PROXY}, for 'git.example.com'",
    ),
    # Resolved addresses
    (
        authorization(domain(resolved_addresses="10.20.0.10")),
        f"{DOMAINS}[0].resolved_addresses",
        "'10.20.0.10' is not a list",
    ),
    (authorization(domain(resolved_addresses=[None])), RESOLVED, "null is not a text"),
    (
        authorization(domain(resolved_addresses=["10.20.0.0/24"])),
        RESOLVED,
        "'10.20.0.0/24' is not an IP address",
    ),
    (
        authorization(domain(resolved_addresses=["git.example.com"])),
        RESOLVED,
        "'git.example.com' is not an IP address",
    ),
    # Fields that are not known
    (
        authorization(domain(resolved=[])),
        f"{DOMAINS}[0].resolved",
        "unknown field, did you mean 'resolved_addresses'?",
    ),
    (
        authorization(domain(ttl=60)),
        f"{DOMAINS}[0].ttl",
        "unknown field, known are name, proxy_addresses, resolved_addresses",
    ),
    # Other kinds of resources
    (
        authorization(DOMAIN, resource=resource("cidr")),
        DOMAINS,
        "only a DNS resource has domains",
    ),
    (
        authorization(DOMAIN, resource=resource("internet")),
        DOMAINS,
        "only a DNS resource has domains",
    ),
    (authorization(resource=resource("cidr"), domains="x"), DOMAINS, "'x' is not a list"),
]


@pytest.mark.parametrize(("entry", "place", "what"), FAULTS)
def test_a_fault_names_its_place(entry: Json, place: str, what: str) -> None:
    assert faults_of(document(entry)) == (f"{place}: {what}",)


@pytest.mark.parametrize("missing", ["name", "proxy_addresses", "resolved_addresses"])
def test_all_three_fields_are_required(missing: str) -> None:
    rest = {name: value for name, value in DOMAIN.items() if name != missing}
    assert faults_of(document(authorization(rest))) == (f"{DOMAINS}[0].{missing}: is missing",)


def test_an_address_written_in_two_ways_is_given_twice() -> None:
    twice = domain(proxy_addresses=["fd00:2021:1111:8000::1", "FD00:2021:1111:8000:0::1"])
    assert faults_of(document(authorization(twice))) == (
        f"{DOMAINS}[0].proxy_addresses[1]: 'FD00:2021:1111:8000:0::1' is already {PROXY}",
    )


def test_two_names_have_no_address_in_common_across_resources_either() -> None:
    wiki = domain(name="wiki.example.com", proxy_addresses=["100.96.0.2", "100.96.0.1"])
    source = document(authorization(DOMAIN), authorization(wiki, resource=resource(id="other")))
    place = "clients[0].authorizations[1].domains[0].proxy_addresses[1]"
    assert faults_of(source) == (
        f"{place}: '100.96.0.1' is already {PROXY}, for 'git.example.com'",
    )


def test_a_third_place_with_the_first_name_is_no_fault() -> None:
    wiki = domain(name="wiki.example.com", proxy_addresses=["100.96.0.1"])
    assert faults_of(document(authorization(DOMAIN, wiki, DOMAIN))) == (
        f"{DOMAINS}[1].proxy_addresses[0]: '100.96.0.1' is already {PROXY}, for 'git.example.com'",
    )


def test_all_faults_are_listed_in_the_order_of_the_document() -> None:
    entry = {
        "domains": [
            {"resolved_addresses": ["?"], "name": "a.example.org", "proxy_addresses": ["1.1.1.1"]},
            5,
            {"name": "", "proxy_addresses": ["100.96.0.1"] * 2, "resolved_addresses": []},
        ],
        "resource": resource(),
        "expires_at": "soon",
    }
    twice = f"{DOMAINS}[2].proxy_addresses"
    assert faults_of(document(entry)) == (
        f"{RESOLVED}: '?' is not an IP address",
        f"{NAME}: 'a.example.org' is not a name that '*.example.com' stands for",
        f"{PROXY}: '1.1.1.1' is outside the DNS ranges",
        f"{DOMAINS}[1]: 5 is not an object",
        f"{DOMAINS}[2].name: '' is not a domain name",
        f"{twice}[1]: '100.96.0.1' is already {twice}[0]",
        f"{AUTHORIZATION}.expires_at: 'soon' is not a time",
    )


@pytest.mark.parametrize("wrong", ["id", "name", "filters"])
def test_what_else_is_wrong_with_the_resource_hides_no_name_that_is_not_its_own(
    wrong: str,
) -> None:
    foreign = domain(name="git.example.org")
    entry = authorization(foreign, resource=resource() | {wrong: 5})
    assert [fault.partition(":")[0] for fault in faults_of(document(entry))] == [
        f"{AUTHORIZATION}.resource.{wrong}",
        NAME,
    ]


def test_what_else_is_wrong_with_the_resource_hides_no_domains_of_another_kind() -> None:
    entry = authorization(DOMAIN, resource=resource("cidr", address="10.0.0.1/8"))
    assert len(faults_of(document(entry))) == 2


@pytest.mark.parametrize(
    "faulty",
    [5, resource(type="dsn"), resource(type=5), resource(address="a..b"), resource(address=5)],
)
def test_no_name_is_foreign_to_a_resource_whose_names_nobody_knows(faulty: object) -> None:
    assert len(faults_of(document(authorization(DOMAIN, resource=faulty)))) == 1


def test_domains_of_no_resource_at_all_are_one_fault() -> None:
    assert faults_of(document({"domains": [DOMAIN]})) == (f"{AUTHORIZATION}.resource: is missing",)


def test_no_proxy_is_outside_ranges_that_are_faulty_themselves() -> None:
    plan = {"dns_resources": ["x"]}
    far = domain(proxy_addresses=["10.0.0.1"])
    assert len(faults_of(document(authorization(far), address_plan=plan))) == 1


# --- How many -----------------------------------------------------------------------------


def many(*counts: int) -> list[Json]:
    """Return domains with so many proxy addresses each, all of them different."""
    return [
        domain(
            name=f"n{n}.example.com",
            proxy_addresses=[str(one) for one in proxies(sum(counts[:n]), count)],
        )
        for n, count in enumerate(counts)
    ]


def test_a_client_may_have_as_many_proxy_addresses_as_a_gateway_keeps() -> None:
    policy = load_policy(document(authorization(*many(1000, 24))))
    assert policy.gateway().clients() == ("alice",)


def test_one_proxy_address_more_is_a_fault_of_the_client() -> None:
    first, *others = many(1000, 24, 1)
    source = document(authorization(first), authorization(*others, resource=resource(id="other")))
    assert faults_of(source) == ("clients[0]: has 1025 proxy addresses, more than 1024",)


def test_a_shared_proxy_address_counts_once() -> None:
    domains = many(MAX_PROXIES)
    source = document(
        authorization(*domains), authorization(*domains, resource=resource(id="other"))
    )
    assert load_policy(source).gateway().clients() == ("alice",)


def test_each_client_has_its_own_room() -> None:
    source = document(authorization(*many(MAX_PROXIES)))
    source["clients"] += [source["clients"][0] | {"id": "bob", "ipv4": "100.64.0.3"}]
    assert load_policy(source).gateway().clients() == ("alice", "bob")


def test_proxy_addresses_of_faulty_names_count_too() -> None:
    first, second = many(MAX_PROXIES, 1)
    source = document(authorization(first, second | {"name": "?"}))
    assert faults_of(source) == (
        "clients[0]: has 1025 proxy addresses, more than 1024",
        f"{DOMAINS}[1].name: '?' is not a domain name",
    )


# --- By hand ------------------------------------------------------------------------------


def test_texts_will_do_by_hand() -> None:
    by_hand = PolicyDomain("GIT.example.com.", ["100.96.0.1"], iter(["fe80::1%eth0", "10.0.0.1"]))
    assert by_hand == PolicyDomain(
        "git.example.com", (IPv4Address("100.96.0.1"),), (IPv4Address("10.0.0.1"),)
    )


def test_domains_by_hand_are_those_of_the_file() -> None:
    entry = PolicyAuthorization(DnsResource("dns", "*.example.com"), domains=[GIT])
    alice = PolicyClient("alice", TunnelAddresses("100.64.0.2"), [entry])
    assert load_policy(document(authorization(DOMAIN))) == Policy(GATEWAY, clients=[alice])


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        (InvalidPolicy, ("a..b", (), ())),
        (InvalidAddress, ("a.b", ["x"], ())),
        (InvalidAddress, ("a.b", ["fd00:2021:1111:8000::1%eth0"], ())),
        (InvalidAddress, ("a.b", (), ["10.0.0.0/8"])),
        (TypeError, (5, (), ())),
        (TypeError, ("a.b", "100.96.0.1", ())),
        (TypeError, ("a.b", (), None)),
    ],
)
def test_what_is_no_domain_is_refused_by_hand(
    kind: type[Exception], arguments: tuple[Json, Json, Json]
) -> None:
    with pytest.raises(kind):
        PolicyDomain(*arguments)


@pytest.mark.parametrize("domains", [None, "git.example.com", GIT, [DOMAIN]])
def test_what_are_no_domains_is_a_type_error_by_hand(domains: Json) -> None:
    with pytest.raises(TypeError):
        PolicyAuthorization(EXAMPLES, domains=domains)


@pytest.mark.parametrize("other", [CidrResource("db", "10.0.0.0/24"), InternetResource("all")])
def test_only_a_dns_resource_has_domains_by_hand_too(other: Resource) -> None:
    assert faults_by_hand(granted(GIT, to=other)) == (
        f"{DOMAINS}: only a DNS resource has domains",
    )


def test_a_name_of_another_resource_is_a_fault_by_hand_too() -> None:
    elsewhere = PolicyDomain("git.example.org", (), ())
    assert faults_by_hand(granted(GIT, elsewhere)) == (
        f"{DOMAINS}[1].name: 'git.example.org' is not a name that '*.example.com' stands for",
    )


def test_proxies_outside_or_twice_are_faults_by_hand_too() -> None:
    wrong = PolicyDomain("git.example.com", ["100.96.0.1", "100.64.0.9", "100.96.0.1"], ())
    assert faults_by_hand(granted(wrong)) == (
        f"{DOMAINS}[0].proxy_addresses[1]: '100.64.0.9' is outside the DNS ranges",
        f"{DOMAINS}[0].proxy_addresses[2]: '100.96.0.1' is already {PROXY}",
    )


def test_a_proxy_of_two_names_is_a_fault_by_hand_too() -> None:
    wiki = PolicyDomain("wiki.example.com", ["100.96.0.1"], ())
    place = "clients[0].authorizations[1].domains[0].proxy_addresses[0]"
    assert faults_by_hand(granted(GIT), granted(wiki, to=ALSO_EXAMPLES)) == (
        f"{place}: '100.96.0.1' is already {PROXY}, for 'git.example.com'",
    )


def test_too_many_proxies_are_a_fault_by_hand_too() -> None:
    full = PolicyDomain("a.example.com", proxies(0, MAX_PROXIES), ())
    one_more = PolicyDomain("b.example.com", proxies(MAX_PROXIES, 1), ())
    assert faults_by_hand(granted(full), granted(one_more, to=ALSO_EXAMPLES)) == (
        "clients[0]: has 1025 proxy addresses, more than 1024",
    )


def test_the_ranges_are_those_of_the_plan_by_hand_too() -> None:
    near = PolicyDomain("git.example.com", ["10.96.0.1"], ())
    alice = PolicyClient("alice", ALICE, [granted(near)])
    plan = AddressPlan(dns_resources=["10.96.0.0/16"])
    assert Policy(GATEWAY, plan, [alice]).gateway().clients() == ("alice",)


# --- Writing ------------------------------------------------------------------------------


def written(*authorizations: PolicyAuthorization) -> Json:
    policy = Policy(GATEWAY, clients=[PolicyClient("alice", ALICE, authorizations)])
    return json.loads(dump_policy(policy))["clients"][0]["authorizations"]


def test_domains_are_written_as_they_are_read() -> None:
    (entry,) = written(granted(GIT))
    assert entry["domains"] == [DOMAIN]


def test_where_there_are_no_domains_none_are_written() -> None:
    (entry,) = written(granted())
    assert "domains" not in entry


@pytest.mark.parametrize(
    "domains",
    [
        [GIT, WIKI],
        [WIKI, GIT, WIKI],
        [PolicyDomain("a.example.com", (), ())],
        [PolicyDomain("a.example.com", (), REBINDING)],
    ],
)
def test_domains_come_back_as_they_were(domains: list[PolicyDomain]) -> None:
    entry = PolicyAuthorization(EXAMPLES, EXPIRY, domains)
    policy = Policy(GATEWAY, clients=[PolicyClient("alice", ALICE, [entry])])
    assert load_policy(dump_policy(policy)) == policy


# --- The gateway --------------------------------------------------------------------------

TO_GIT = tcp("100.64.0.2:40000 > 100.96.0.1:443")


def policy_of(*authorizations: PolicyAuthorization) -> Policy:
    return Policy(GATEWAY, clients=[PolicyClient("alice", ALICE, authorizations)])


def target(policy: Policy, packet: bytes = TO_GIT) -> str:
    """Return where a packet of alice's goes on to."""
    decision = policy.gateway().handle_packet(OUTBOUND, packet)
    assert isinstance(decision, Translate)
    return str(ip_address(decision.packet[16:20]))


def test_the_gateway_translates_from_the_start() -> None:
    assert target(policy_of(granted(GIT))) == "10.20.0.10"


def test_every_domain_is_told_to_the_gateway() -> None:
    to_wiki = tcp("100.64.0.2:40000 > 100.96.0.2:443")
    assert target(policy_of(granted(GIT, WIKI)), to_wiki) == "10.20.0.11"


def test_proxy_addresses_take_resolved_ones_in_their_order() -> None:
    two = PolicyDomain("a.example.com", ["100.96.0.2", "100.96.0.1"], ["10.20.0.2", "10.20.0.1"])
    assert target(policy_of(granted(two))) == "10.20.0.2"


def test_of_a_proxy_address_that_stands_there_twice_the_last_one_decides() -> None:
    moved = PolicyDomain("git.example.com", ["100.96.0.1"], ["10.20.0.99"])
    assert target(policy_of(granted(GIT), granted(moved, to=ALSO_EXAMPLES))) == "10.20.0.99"


def test_names_are_told_to_the_gateway_client_by_client() -> None:
    elsewhere = PolicyDomain("wiki.example.com", ["100.96.0.1"], ["10.20.0.11"])
    bob = PolicyClient("bob", BOB, [granted(elsewhere)])
    policy = Policy(GATEWAY, clients=[PolicyClient("alice", ALICE, [granted(GIT)]), bob])
    of_bob = tcp("100.64.0.3:40000 > 100.96.0.1:443")
    assert (target(policy), target(policy, of_bob)) == ("10.20.0.10", "10.20.0.11")


def test_what_a_name_server_must_not_open_is_left_out() -> None:
    rebound = PolicyDomain("git.example.com", ["100.96.0.1"], [*REBINDING, "10.20.0.10"])
    assert target(policy_of(granted(rebound))) == "10.20.0.10"


def expiring(*domains: PolicyDomain) -> Policy:
    return policy_of(PolicyAuthorization(EXAMPLES, EXPIRY, domains))


@pytest.mark.parametrize(("now", "expected"), [(EXPIRY - 0.001, True), (EXPIRY, False)])
def test_the_names_of_what_has_expired_are_not_told(now: float, *, expected: bool) -> None:
    gateway = expiring(GIT).gateway(now)
    decision = gateway.handle_packet(OUTBOUND, TO_GIT)
    assert isinstance(decision, Translate) is expected


def test_an_authorization_that_has_expired_keeps_none_of_another_from_the_gateway() -> None:
    old = PolicyAuthorization(ALSO_EXAMPLES, EXPIRY, [WIKI])
    gateway = policy_of(old, granted(GIT)).gateway(EXPIRY + 1)
    assert isinstance(gateway.handle_packet(OUTBOUND, TO_GIT), Translate)


def test_a_name_without_addresses_is_told_too() -> None:
    nowhere = PolicyDomain("git.example.com", ["100.96.0.1"], ())
    decision = policy_of(granted(nowhere)).gateway().handle_packet(OUTBOUND, TO_GIT)
    assert isinstance(decision, Reject)
    assert decision.reason is Reason.NO_TRANSLATION
