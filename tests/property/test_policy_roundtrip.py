"""Policies are read as they were written, and any input is a policy or an `InvalidPolicy`."""

import json
import math
import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from firezone_filter.policy import (
    Policy,
    PolicyAuthorization,
    PolicyClient,
    PolicyDomain,
    PolicyTest,
    dump_policy,
    load_policy,
)
from firezone_filter.values.addresses import AddressPlan, TunnelAddresses
from firezone_filter.values.domains import to_domain
from firezone_filter.values.errors import InvalidPolicy
from firezone_filter.values.filters import Icmp, PortRange, Protocol, Tcp, Udp
from firezone_filter.values.options import GatewayOptions
from firezone_filter.values.resources import (
    CidrResource,
    DnsResource,
    InternetResource,
    Resource,
)
from tests.property.damage import Json, damaged

# --- Policies -----------------------------------------------------------------------------

ids = st.text(min_size=1, max_size=8)
names = st.text(max_size=8)
ports = st.integers(0, 65_535)
ranges = st.tuples(ports, ports).map(lambda pair: PortRange(*sorted(pair)))
given_ports = st.one_of(ranges, st.lists(st.one_of(ports, ranges), min_size=1, max_size=3))
types = st.lists(st.integers(0, 255), min_size=1, max_size=4)
icmp = st.one_of(
    st.just(Icmp()),
    st.builds(Icmp, types, st.one_of(st.none(), types)),
    st.builds(Icmp, types_v6=types),
)
protocols = st.integers(0, 255).filter(lambda number: number not in {1, 6, 17, 58})
filters = st.lists(
    st.one_of(
        st.builds(Tcp, given_ports),
        st.builds(Udp, given_ports),
        icmp,
        st.builds(Protocol, protocols),
    )
)


def network(family: type[IPv4Network] | type[IPv6Network], bits: int) -> st.SearchStrategy[Any]:
    first = st.integers(0, 2**bits - 1)
    length = st.integers(0, bits)
    return st.builds(lambda at, size: family((at, size), strict=False), first, length)


networks = st.one_of(network(IPv4Network, 32), network(IPv6Network, 128))
patterns = st.from_regex(
    r"(\*\*?\.)?[a-zA-Z0-9?_-]{1,9}(\.[a-z*]{1}[a-z]{0,5}){0,2}\.?", fullmatch=True
)


@st.composite
def cidr_resources(draw: st.DrawFn) -> CidrResource:
    whole = draw(networks)
    exclude = []
    for _ in range(draw(st.integers(0, 3)) if whole.prefixlen < whole.max_prefixlen else 0):
        longer = draw(st.integers(whole.prefixlen + 1, whole.max_prefixlen))
        first = int(whole.network_address) + draw(st.integers(0, whole.num_addresses - 1))
        exclude.append(type(whole)((first, longer), strict=False))
    return CidrResource(draw(ids), whole, draw(filters), draw(names), exclude)


resources = st.one_of(
    cidr_resources(),
    st.builds(DnsResource, ids, patterns, filters, names),
    st.builds(InternetResource, ids, names, st.lists(networks, max_size=3)),
)
END_OF_TIME = math.nextafter(2.0**33, 0.0)

expiries = st.one_of(
    st.none(),
    st.integers(-(2**70), 2**33 - 1),
    st.floats(max_value=END_OF_TIME, allow_nan=False, allow_infinity=False),
)

# Replacements for the wildcards of a pattern, which make a name of it.
fillers = st.sampled_from(["a", "B", "x_1", "xn--a"])
resolved = st.lists(
    st.one_of(
        st.ip_addresses(),
        st.sampled_from(
            ["10.20.0.10", "127.0.0.1", "100.64.0.1", "::ffff:10.0.0.1", "fe80::1%eth0"]
        ),
    ),
    max_size=3,
)


@st.composite
def domains_of(draw: st.DrawFn, resource: Resource, known: list[str]) -> list[PolicyDomain]:
    """Draw names of a resource; each of those *known* of a client has its own proxies."""
    if not isinstance(resource, DnsResource):
        return []
    domains = []
    for filler in draw(st.lists(fillers, max_size=3)):
        name = re.sub(r"\*+", filler, resource.address).replace("?", "q")
        normal = to_domain(name)
        if normal not in known:
            known.append(normal)
        domains.append(PolicyDomain(name, draw(proxies(known.index(normal))), draw(resolved)))
    return domains


def proxies(number: int) -> st.SearchStrategy[list[IPv4Address | IPv6Address]]:
    first = 4 * number
    own = [
        base + first + n
        for base in (IPv4Address("100.96.0.0"), IPv6Address("fd00:2021:1111:8000::"))
        for n in range(4)
    ]
    return st.lists(st.sampled_from(own), unique=True, max_size=4)


@st.composite
def authorizations(draw: st.DrawFn) -> list[PolicyAuthorization]:
    known: list[str] = []
    held = draw(st.lists(resources, max_size=4, unique_by=lambda one: one.id))
    return [PolicyAuthorization(one, draw(expiries), draw(domains_of(one, known))) for one in held]


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    own, *peers = draw(
        st.lists(st.integers(1, 2**16), min_size=1, max_size=5, unique=True).map(
            lambda numbers: [addresses(number) for number in numbers]
        )
    )
    client_ids = draw(st.lists(ids, min_size=len(peers), max_size=len(peers), unique=True))
    clients = [
        PolicyClient(client_id, draw(part_of(peer)), draw(authorizations()))
        for client_id, peer in zip(client_ids, peers, strict=True)
    ]
    tests = draw(st.lists(policy_tests(clients), max_size=3)) if clients else []
    return Policy(draw(part_of(own)), draw(plans), clients, draw(options), tests)


@st.composite
def policy_tests(draw: st.DrawFn, clients: list[PolicyClient]) -> PolicyTest:
    client = draw(st.sampled_from(clients))
    resolved_names = [
        domain.name
        for one in client.authorizations
        for domain in one.domains or ()
        # One of digits alone would be meant as an address.
        if not re.fullmatch(r"[0-9.]+", domain.name)
    ]
    places = st.sampled_from(["10.0.0.5", "10.0.0.0/24", "[2001:db8::/32]", *resolved_names])
    targets = st.lists(
        st.one_of(
            st.builds("{} {}".format, st.sampled_from(["tcp", "ping", "icmp", "47"]), places),
            st.builds("udp {}:{}".format, places, st.sampled_from(["53", "8000-8010"])),
        ),
        max_size=3,
    )
    return PolicyTest(draw(names), client.id, draw(expiries), draw(targets), draw(targets))


counts = st.integers(0, 2**70)
rates = st.one_of(counts, st.floats(0, allow_infinity=False))
options = st.builds(
    GatewayOptions,
    reject=st.booleans(),
    reject_rate=rates,
    reject_burst=counts,
    own_filters=filters,
    max_sessions_per_client=counts,
    max_sessions=counts,
    flow_records=st.booleans(),
    max_remembered=counts,
    stateful=st.booleans(),
    max_flows_per_client=counts,
    max_flows=counts,
)


def addresses(number: int) -> TunnelAddresses:
    return TunnelAddresses(
        IPv4Address("100.64.0.0") + number, IPv6Address("fd00:2021:1111::") + number
    )


def part_of(both: TunnelAddresses) -> st.SearchStrategy[TunnelAddresses]:
    return st.sampled_from(
        [both, TunnelAddresses(ipv4=both.ipv4), TunnelAddresses(ipv6=both.ipv6)]
    )


plans = st.builds(
    AddressPlan,
    st.permutations(["100.64.0.0/11", "100.127.0.0/24", "fd00:2021:1111::/107", "fd07::/64"]),
    st.permutations(["100.96.0.0/12", "fd00:2021:1111:8000::/107", "fd08::/64"]),
)


@given(policies())
def test_a_policy_is_read_as_it_was_written(policy: Policy) -> None:
    assert load_policy(dump_policy(policy)) == policy


@given(policies())
def test_text_bytes_and_mapping_say_the_same(policy: Policy) -> None:
    text = dump_policy(policy)
    assert load_policy(text) == load_policy(text.encode()) == load_policy(json.loads(text))


@given(policies())
def test_authorizations_that_never_end_are_those_of_the_gateway(policy: Policy) -> None:
    # At the end of time, since an expiry far ahead of `now` is an error of its own.
    gateway = policy.gateway(END_OF_TIME)
    assert {client.id: endless(client) for client in policy.clients} == {
        client_id: gateway.authorizations(client_id) for client_id in gateway.clients()
    }


def endless(client: PolicyClient) -> dict[str, None]:
    return {one.resource.id: None for one in client.authorizations if one.expires_at is None}


# --- Damaged documents --------------------------------------------------------------------

DOCUMENT: dict[str, object] = {
    "gateway": {"ipv4": "100.64.0.1", "ipv6": "fd00:2021:1111::1"},
    "address_plan": {"tunnel": ["100.64.0.0/11"], "dns_resources": ["100.96.0.0/11"]},
    "options": {
        "stateful": True,
        "reject_rate": 2.5,
        "max_flows": 1000,
        "own_filters": [{"protocol": "icmp", "types_v6": [128]}, {"protocol": 47}],
    },
    "clients": [
        {
            "id": "alice",
            "ipv4": "100.64.0.2",
            "authorizations": [
                {
                    "resource": {
                        "type": "cidr",
                        "id": "db",
                        "name": "Database",
                        "address": "10.0.0.0/24",
                        "filters": [
                            {"protocol": "tcp", "port_range_start": 80, "port_range_end": 90},
                            {"protocol": "udp"},
                            {"protocol": "icmp", "types": [13]},
                            {"protocol": 50},
                        ],
                        "exclude": ["10.0.0.128/25"],
                    },
                    "expires_at": 1790000000,
                },
                {
                    "resource": {"type": "dns", "id": "git", "address": "*.b", "filters": []},
                    "domains": [
                        {
                            "name": "a.b",
                            "proxy_addresses": ["100.96.0.1", "fd00:2021:1111:8000::1"],
                            "resolved_addresses": ["10.20.0.10"],
                        },
                        {
                            "name": "b",
                            "proxy_addresses": ["100.96.0.2"],
                            "resolved_addresses": ["10.20.0.10", "fe80::1%eth0"],
                        },
                    ],
                },
                {"resource": {"type": "internet", "id": "web", "exclude": ["192.0.2.0/24"]}},
            ],
        },
        {"id": "bob", "ipv6": "fd00:2021:1111::3", "authorizations": []},
    ],
    "tests": [
        {
            "name": "alice works",
            "client": "alice",
            "at": 1790000000.5,
            "allow": ["tcp 10.0.0.5:85", "ping b"],
            "deny": ["udp [2001:db8::/32]:53"],
        },
        {"name": "bob does not", "client": "bob"},
    ],
}

WORDS = ["gateway", "clients", "id", "ipv4", "tunnel", "filters", "expires_at", "cidr", "udp", ""]
WORDS += ["domains", "name", "proxy_addresses", "options", "exclude", "types", "stateful"]
WORDS += ["tests", "client", "at", "allow", "deny"]

# From close by, where the next branch is, and from anywhere.
numbers = [True, 0, -1, 65_535, 65_536, 80.0, math.nan, math.inf, 10**400]
texts = ["", "db", "100.64.0.1", "fd00:2021:1111::3", "10.0.0.0/8", "10.0.0.1/8", "*.b", "\ud800"]
texts += ["a.b", "b", "100.96.0.1", "dns", "alice", "tcp 10.0.0.5:80", "icmp a.b", "icmp/3 b"]
near: st.SearchStrategy[Json] = st.sampled_from([None, [], {}, *numbers, *texts])
anything = st.recursive(
    st.one_of(near, st.text(max_size=5), st.floats(), st.integers()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(WORDS), inner, max_size=3)
    ),
    max_leaves=8,
)


def loads_or_names_faults(source: Json) -> None:
    try:
        policy = load_policy(source)
    except InvalidPolicy as error:
        lines = error.faults
        assert lines == tuple(str(error).splitlines())  # noqa: PT017 - it may also load
    else:
        assert load_policy(dump_policy(policy)) == policy
        # At the end of time, since an expiry far ahead of `now` is an error of its own.
        assert policy.gateway(END_OF_TIME).poll_timeout() is None


@given(damaged(st.just(DOCUMENT), WORDS, anything))
def test_a_mutated_document_loads_or_is_an_invalid_policy(document: object) -> None:
    loads_or_names_faults(document if isinstance(document, dict) else json.dumps(document))


@given(st.one_of(st.text(), st.binary()))
@example("\ufeff")
@example(b"\xff")
@example("[" * 100_000)
@example("9" * 10_000)
def test_any_text_loads_or_is_an_invalid_policy(source: str | bytes) -> None:
    loads_or_names_faults(source)


@given(st.data())
def test_a_text_with_a_piece_cut_out_or_doubled_loads_or_is_an_invalid_policy(
    data: st.DataObject,
) -> None:
    text = json.dumps(DOCUMENT)
    first = data.draw(st.integers(0, len(text)))
    last = data.draw(st.integers(first, min(len(text), first + 40)))
    loads_or_names_faults(text[:first] + text[last:])
    loads_or_names_faults(text[:last] + text[first:])
