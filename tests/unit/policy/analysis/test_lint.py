"""Each code of lint: a smallest policy that has it, and one step away one that has not."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from firezone_filter.policy import (
    Policy,
    PolicyAuthorization,
    PolicyClient,
    PolicyDomain,
    load_policy,
)
from firezone_filter.policy.analysis import lint_filters, packet_sets
from firezone_filter.policy.analysis.findings import CODES, Finding
from firezone_filter.values.addresses import AddressPlan, TunnelAddresses
from firezone_filter.values.errors import InvalidTime
from firezone_filter.values.filters import Filter, Icmp, Protocol, Tcp, Udp
from firezone_filter.values.options import GatewayOptions
from firezone_filter.values.resources import (
    CidrResource,
    DnsResource,
    InternetResource,
    Resource,
)

ROOT = Path(__file__).parents[4]

AT = 1_000.0

FIRST = "clients[0].authorizations[0]"
SECOND = "clients[0].authorizations[1]"

PROXIES = ["100.96.0.1", "fd00:2021:1111:8000::1"]
NAME = "git.example.com"

DEFAULT = GatewayOptions()

Given = Resource | PolicyAuthorization


def authorization(given: Given) -> PolicyAuthorization:
    return given if isinstance(given, PolicyAuthorization) else PolicyAuthorization(given)


def client(*given: Given, id: str = "alice", families: str = "46") -> PolicyClient:  # noqa: A002
    last = 2 if id == "alice" else 3
    addresses = TunnelAddresses(
        f"100.64.0.{last}" if "4" in families else None,
        f"fd00:2021:1111::{last}" if "6" in families else None,
    )
    return PolicyClient(id, addresses, [authorization(one) for one in given])


def policy(*clients: PolicyClient, options: GatewayOptions = DEFAULT) -> Policy:
    gateway = TunnelAddresses("100.64.0.1", "fd00:2021:1111::1")
    return Policy(gateway, clients=clients, options=options)


def of(*given: Given, families: str = "46") -> Policy:
    """Return the policy of one client."""
    return policy(client(*given, families=families))


def planned(dns: str, *given: Given) -> Policy:
    """Return the policy of a client with IPv4 alone, of which the tunnel has half."""
    plan = AddressPlan(["0.0.0.0/1"], [dns])
    return Policy(TunnelAddresses("100.64.0.1"), plan, [client(*given, families="4")])


def cidr(
    network: str = "10.0.0.0/24",
    *filters: Filter,
    id: str = "db",  # noqa: A002
    exclude: Sequence[str] = (),
) -> CidrResource:
    return CidrResource(id, network, filters or [Tcp(5432)], exclude=exclude)


def until(end: float, resource: Resource) -> PolicyAuthorization:
    return PolicyAuthorization(resource, end)


def internet(*exclude: str) -> InternetResource:
    return InternetResource("internet", exclude=exclude)


def named(
    *resolved: str,
    proxies: Sequence[str] = PROXIES[:1],
    filters: Sequence[Filter] = (Tcp(443),),
    id: str = "git",  # noqa: A002
) -> PolicyAuthorization:
    name = PolicyDomain(NAME, proxies, resolved)
    return PolicyAuthorization(DnsResource(id, NAME, filters), domains=[name])


def unnamed(*filters: Filter) -> DnsResource:
    """Return a DNS resource of whose names the policy says nothing."""
    return DnsResource("git", NAME, filters)


NOT_GLOBAL = ["::/3", "4000::/2", "8000::/1"]

OPEN = GatewayOptions(own_filters=[])
EVERYTHING: list[Filter] = [
    Tcp(),
    Udp(),
    Icmp(),
    *(Protocol(number) for number in range(256) if number not in {1, 6, 17, 58}),
]
ODD = cidr("192.0.2.0/24", id="other")
"""Something else that a client may reach."""


class Case(NamedTuple):
    code: str
    what: str
    place: str
    having: Policy
    lacking: Policy
    at: float | None = None


CASES = (
    # --- FZ1 ------------------------------------------------------------------------------
    Case(
        "FZ101",
        "a network of a family that the client has not",
        FIRST,
        of(cidr("fd10::/64"), ODD, families="4"),
        of(cidr("fd10::/64"), ODD, families="46"),
    ),
    Case(
        "FZ101",
        "no names at all, and nothing else is said of it",
        FIRST,
        of(PolicyAuthorization(DnsResource("git", NAME), domains=[]), ODD),
        of(PolicyAuthorization(unnamed(Tcp(443))), ODD),
    ),
    Case(
        "FZ101",
        "a name that leads somewhere in the other family alone",
        FIRST,
        of(named("fd20::1", proxies=PROXIES[1:]), ODD, families="4"),
        of(named("fd20::1", proxies=PROXIES[1:]), ODD, families="46"),
    ),
    Case(
        "FZ102",
        "a network in another, with the same filters",
        SECOND,
        of(cidr("10.0.0.0/24"), cidr("10.0.0.0/25", id="part")),
        of(cidr("10.0.0.0/24"), cidr("10.0.0.0/25", Tcp("5432-5433"), id="part")),
    ),
    Case(
        "FZ101",
        "the Internet, of which the plan leaves nothing in the client's family",
        FIRST,
        planned("128.0.0.0/1", internet(), PolicyAuthorization(unnamed(Tcp(443)))),
        planned("192.0.0.0/2", internet(), PolicyAuthorization(unnamed(Tcp(443)))),
    ),
    Case(
        "FZ102",
        "equals: the later",
        SECOND,
        of(cidr(id="zz"), cidr(id="aa")),
        of(cidr(id="zz"), cidr("10.0.1.0/24", id="aa")),
    ),
    Case(
        "FZ102",
        "what ends first",
        FIRST,
        of(until(AT, cidr()), until(AT + 1, cidr(id="longer"))),
        of(until(AT, cidr()), until(AT + 1, cidr("10.0.0.0/25", id="longer"))),
    ),
    Case(
        "FZ102",
        "what ends with the other, and is the later",
        SECOND,
        of(until(AT, cidr()), until(AT, cidr("10.0.0.0/25", id="part"))),
        of(until(AT, cidr()), until(AT + 1, cidr("10.0.0.0/25", id="part"))),
    ),
    Case(
        "FZ102",
        "through a proxy address that two resources share",
        SECOND,
        of(named("10.0.0.1"), named("10.0.0.1", id="also")),
        of(named("10.0.0.2"), named("10.0.0.1", id="also", filters=[Tcp(22)])),
    ),
    Case(
        "FZ102",
        "the earlier, where the later decides what a proxy address leads to",
        FIRST,
        of(named("10.0.0.2"), named("10.0.0.1", id="also")),
        of(named("10.0.0.2", filters=[Tcp(22)]), named("10.0.0.1", id="also")),
    ),
    Case(
        "FZ103",
        "types of the other family than the network's",
        f"{FIRST}.resource.filters[1]",
        of(cidr("10.0.0.0/24", Tcp(1), Icmp(types_v6=[128]))),
        of(cidr("10.0.0.0/24", Tcp(1), Icmp([8], types_v6=[128]))),
    ),
    Case(
        "FZ103",
        "types of a family in which a name leads nowhere",
        f"{FIRST}.resource.filters[1]",
        of(named("10.0.0.1", filters=[Tcp(1), Icmp(types_v6=[128])])),
        of(named("10.0.0.1", "fd20::1", proxies=PROXIES, filters=[Tcp(1), Icmp([], [128])])),
    ),
    Case(
        "FZ103",
        "types of a family that the client has not, whatever its names will be",
        f"{FIRST}.resource.filters[1]",
        of(unnamed(Tcp(1), Icmp(types_v6=[128])), families="4"),
        of(unnamed(Tcp(1), Icmp(types_v6=[128]))),
    ),
    Case(
        "FZ104",
        "ports that another filter has",
        f"{FIRST}.resource.filters[0]",
        of(cidr("10.0.0.0/24", Tcp(443), Tcp("400-500"))),
        of(cidr("10.0.0.0/24", Tcp(443), Tcp("444-500"))),
    ),
    Case(
        "FZ104",
        "equals at an IPv4 address: the later",
        f"{FIRST}.resource.filters[1]",
        of(cidr("10.0.0.0/24", Icmp([8]), Icmp.echo())),
        of(cidr("10.0.0.0/24", Icmp([13]), Icmp.echo())),
    ),
    Case(
        "FZ105",
        "a protocol of several that a wider network has",
        f"{FIRST}.resource.filters[1]",
        of(cidr("10.0.0.0/24", Tcp(1), Icmp()), cidr("10.0.0.0/8", Icmp(), id="all")),
        of(cidr("10.0.0.0/24", Tcp(1), Icmp()), cidr("10.0.0.0/8", Icmp.echo(), id="all")),
    ),
    Case(
        "FZ105",
        "equals in two resources: the later",
        f"{SECOND}.resource.filters[0]",
        of(
            cidr("10.0.0.0/24", Tcp(1), Udp(1)),
            cidr("10.0.0.0/24", Tcp(1), Udp(2), id="also"),
        ),
        of(
            cidr("10.0.0.0/24", Tcp(1), Udp(1)),
            cidr("10.0.0.0/24", Tcp(2), Udp(2), id="also"),
        ),
    ),
    Case(
        "FZ105",
        "where the other ends no earlier",
        f"{FIRST}.resource.filters[1]",
        of(
            until(AT, cidr("10.0.0.0/24", Tcp(1), Icmp())),
            until(AT, cidr("10.0.0.0/8", Icmp(), id="all")),
        ),
        of(
            until(AT + 1, cidr("10.0.0.0/24", Tcp(1), Icmp())),
            until(AT, cidr("10.0.0.0/8", Icmp(), id="all")),
        ),
    ),
    Case(
        "FZ106",
        "at its end",
        f"{FIRST}.expires_at",
        of(until(AT, cidr()), ODD),
        of(until(AT + 1, cidr()), ODD),
        at=AT,
    ),
    Case("FZ107", "no authorizations", "clients[0]", of(), of(cidr())),
    # --- FZ2 ------------------------------------------------------------------------------
    Case(
        "FZ201",
        "another network permits it",
        f"{FIRST}.resource.exclude[0]",
        of(cidr(exclude=["10.0.0.128/25"]), cidr("10.0.0.128/25", id="rest")),
        of(cidr(exclude=["10.0.0.128/25"]), cidr("10.0.0.128/25", Tcp(22), id="rest")),
    ),
    Case(
        "FZ201",
        "a name leads to the only address",
        f"{FIRST}.resource.exclude[0]",
        of(cidr("10.0.0.0/24", Tcp(443), exclude=["10.0.0.1"]), named("10.0.0.1")),
        of(cidr("10.0.0.0/24", Tcp(443), exclude=["10.0.0.1"]), named("10.0.1.1")),
    ),
    Case(
        "FZ201",
        "of the Internet",
        f"{FIRST}.resource.exclude[0]",
        of(internet("9.9.9.0/24"), cidr("9.9.9.0/24", *EVERYTHING)),
        of(internet("9.9.9.0/24"), cidr("10.9.9.0/24", *EVERYTHING)),
    ),
    Case(
        "FZ202",
        "a part of it",
        f"{FIRST}.resource.exclude[0]",
        of(cidr(exclude=["10.0.0.128/25"]), cidr("10.0.0.128/26", id="rest")),
        of(cidr(exclude=["10.0.0.192/26"]), cidr("10.0.0.128/26", Tcp(1), id="rest")),
    ),
    Case(
        "FZ202",
        "a name leads to one of two addresses",
        f"{FIRST}.resource.exclude[0]",
        of(cidr("10.0.0.0/24", Tcp(443), exclude=["10.0.0.0/31"]), named("10.0.0.1")),
        of(cidr("10.0.0.0/24", Tcp(444), exclude=["10.0.0.0/31"]), named("10.0.0.1")),
    ),
    Case(
        "FZ202",
        "not as long",
        f"{FIRST}.resource.exclude[0]",
        of(cidr(exclude=["10.0.0.128/25"]), until(AT, cidr("10.0.0.128/25", id="rest"))),
        of(cidr(exclude=["10.0.0.128/25"]), until(AT, cidr("10.0.0.128/25", Tcp(1), id="rest"))),
    ),
    Case(
        "FZ203",
        "two halves",
        f"{FIRST}.resource.exclude",
        of(cidr(exclude=["10.0.0.0/25", "10.0.0.128/25"]), ODD),
        of(cidr(exclude=["10.0.0.0/25", "10.0.0.128/26"]), ODD),
    ),
    Case(
        "FZ203",
        "of the Internet, in the client's family",
        f"{FIRST}.resource.exclude",
        of(internet("0.0.0.0/0"), ODD, families="4"),
        of(internet("0.0.0.0/0"), ODD),
    ),
    Case(
        "FZ204",
        "of IPv4",
        f"{FIRST}.resource.address",
        of(cidr("0.0.0.0/0")),
        of(cidr("0.0.0.0/1")),
    ),
    Case(
        "FZ204",
        "of IPv6, unless all that is not public is excluded",
        f"{FIRST}.resource.address",
        of(cidr("::/0", exclude=NOT_GLOBAL)),
        of(
            cidr(
                "::/0",
                exclude=[*NOT_GLOBAL, "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"],
            )
        ),
    ),
    Case(
        "FZ205",
        "over the tunnel and DNS ranges",
        f"{FIRST}.resource.address",
        of(cidr("100.64.0.0/10"), ODD),
        of(cidr("100.0.0.0/8"), ODD),
    ),
    Case(
        "FZ206",
        "loopback",
        f"{FIRST}.resource.address",
        of(cidr("127.0.0.0/8"), ODD),
        of(cidr("126.0.0.0/7"), ODD),
    ),
    # --- FZ3 ------------------------------------------------------------------------------
    Case(
        "FZ301",
        "of a network",
        f"{FIRST}.resource.filters",
        of(CidrResource("db", "10.0.0.0/24")),
        of(CidrResource("db", "10.0.0.0/24", EVERYTHING)),
    ),
    Case(
        "FZ301",
        "of a name",
        f"{FIRST}.resource.filters",
        of(unnamed()),
        of(unnamed(Tcp())),
    ),
    Case(
        "FZ302",
        "of errors, among others",
        f"{FIRST}.resource.filters[0]",
        of(cidr("10.0.0.0/24", Icmp([3, 8]))),
        of(cidr("10.0.0.0/24", Icmp([8]))),
    ),
    Case(
        "FZ302",
        "that stay on their link, alone: so the filter permits nothing",
        f"{FIRST}.resource.filters[1]",
        of(cidr("fd10::/64", Tcp(1), Icmp(types_v6=[133, 134, 135, 136]))),
        of(cidr("fd10::/64", Tcp(1), Icmp(types_v6=[132]))),
    ),
    Case(
        "FZ302",
        "of a name, no echo",
        f"{FIRST}.resource.filters[0]",
        of(unnamed(Icmp([8, 13]))),
        of(unnamed(Icmp([8]))),
    ),
    Case(
        "FZ303",
        "an extension header, over IPv6",
        f"{FIRST}.resource.filters[1]",
        of(cidr("fd10::/64", Tcp(1), Protocol(51))),
        of(cidr("10.0.0.0/24", Tcp(1), Protocol(51))),
    ),
    Case(
        "FZ303",
        "that is not translated",
        f"{FIRST}.resource.filters[1]",
        of(unnamed(Tcp(1), Protocol(47))),
        of(cidr("10.0.0.0/24", Tcp(1), Protocol(47))),
    ),
    Case(
        "FZ304",
        "an empty list",
        "options.own_filters",
        policy(options=OPEN),
        policy(),
    ),
    Case(
        "FZ304",
        "all there is",
        "options.own_filters",
        policy(options=GatewayOptions(own_filters=EVERYTHING)),
        policy(options=GatewayOptions(own_filters=EVERYTHING[:-1])),
    ),
    Case(
        "FZ103",
        "own filters of a family that the gateway has not",
        "options.own_filters[0]",
        Policy(
            TunnelAddresses("100.64.0.1"), options=GatewayOptions(own_filters=[Icmp([], [128])])
        ),
        policy(options=GatewayOptions(own_filters=[Icmp([], [128])])),
    ),
    # --- FZ4 ------------------------------------------------------------------------------
    Case(
        "FZ401",
        "other filters",
        "clients[1].authorizations[0].resource.id",
        policy(client(cidr()), client(cidr("10.0.0.0/24", Tcp(1)), id="bob")),
        policy(client(cidr()), client(cidr("10.0.0.0/24", Tcp(5432)), id="bob")),
    ),
    Case(
        "FZ401",
        "another kind",
        "clients[1].authorizations[0].resource.id",
        policy(client(cidr(id="internet")), client(internet(), id="bob")),
        policy(client(internet()), client(InternetResource("internet", "Net"), id="bob")),
    ),
    Case(
        "FZ401",
        "other excludes",
        "clients[1].authorizations[0].resource.id",
        policy(
            client(cidr(exclude=["10.0.0.0/25"])), client(cidr(exclude=["10.0.0.0/26"]), id="bob")
        ),
        policy(
            client(cidr(exclude=["10.0.0.0/25"])),
            client(cidr(exclude=["10.0.0.0/26", "10.0.0.64/26"]), id="bob"),
        ),
    ),
    Case(
        "FZ401",
        "another pattern",
        "clients[1].authorizations[0].resource.id",
        policy(
            client(DnsResource("git", "git.example.com", [Tcp(443)])),
            client(DnsResource("git", "*.example.com", [Tcp(443)]), id="bob"),
        ),
        policy(
            client(DnsResource("git", "git.example.com", [Tcp(443)])),
            client(DnsResource("git", "GIT.example.com.", [Tcp(443)]), id="bob"),
        ),
    ),
    # --- FZ5 ------------------------------------------------------------------------------
    Case(
        "FZ501",
        "beside another address",
        f"{FIRST}.domains[0].resolved_addresses[1]",
        of(named("10.0.0.1", "127.0.0.1")),
        of(named("10.0.0.1", "128.0.0.1")),
    ),
    Case(
        "FZ501",
        "alone: so the name leads nowhere",
        f"{FIRST}.domains[0].resolved_addresses[0]",
        of(named("169.254.169.254"), ODD),
        of(named("169.253.169.254"), ODD),
    ),
    Case(
        "FZ502",
        "by a network, whatever it permits",
        f"{FIRST}.domains[0].resolved_addresses[0]",
        of(named("10.0.0.1"), cidr("10.0.0.0/24")),
        of(named("10.0.1.1"), cidr("10.0.0.0/24")),
    ),
    Case(
        "FZ502",
        "not by the Internet",
        f"{FIRST}.domains[0].resolved_addresses[0]",
        of(named("9.9.9.9"), cidr("9.9.9.0/24")),
        of(named("9.9.9.9"), internet()),
    ),
    Case(
        "FZ502",
        "not with `stateful`",
        f"{FIRST}.domains[0].resolved_addresses[0]",
        of(named("10.0.0.1"), cidr("10.0.0.0/24")),
        policy(
            client(named("10.0.0.1"), cidr("10.0.0.0/24")), options=GatewayOptions(stateful=True)
        ),
    ),
    Case(
        "FZ503",
        "a name that no packet reaches",
        f"{FIRST}.domains[0]",
        of(named("10.0.0.1", proxies=[]), ODD),
        of(named("10.0.0.1"), ODD),
    ),
    Case(
        "FZ504",
        "addresses of the other family alone",
        f"{FIRST}.domains[0]",
        of(named("fd20::1"), ODD),
        of(named("10.0.0.1"), ODD),
    ),
    Case(
        "FZ505",
        "one of two",
        f"{FIRST}.domains[0].proxy_addresses[1]",
        of(named("10.0.0.1", proxies=PROXIES)),
        of(named("10.0.0.1", "fd20::1", proxies=PROXIES)),
    ),
)


def found(one: Policy, at: float | None = None) -> list[tuple[str, str]]:
    return [(finding.code, finding.place) for finding in one.lint(at)]


@pytest.mark.parametrize("case", CASES, ids=[f"{case.code}: {case.what}" for case in CASES])
def test_a_smallest_policy_has_this_and_nothing_else_and_its_neighbour_not(case: Case) -> None:
    assert found(case.having, case.at) == [(case.code, case.place)]
    assert found(case.lacking, case.at) == []


def test_every_code_has_a_smallest_policy() -> None:
    assert {case.code for case in CASES} == set(CODES)


# --- Which code is found where several would say the same -----------------------------------


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param(
            [until(AT, CidrResource("db", "0.0.0.0/0")), ODD],
            [("FZ106", f"{FIRST}.expires_at")],
            id="nothing-else-of-what-has-expired",
        ),
        pytest.param(
            [until(AT, cidr()), cidr(id="same")],
            [("FZ106", f"{FIRST}.expires_at")],
            id="what-has-expired-makes-nothing-redundant",
        ),
        pytest.param(
            [cidr("10.0.0.0/24", *EVERYTHING), CidrResource("all", "10.0.0.0/24")],
            [("FZ102", SECOND)],
            id="nothing-else-of-what-is-redundant",
        ),
        pytest.param(
            [cidr("127.0.0.0/8", Icmp([3])), ODD],
            [("FZ206", f"{FIRST}.resource.address")],
            id="a-network-that-none-covers-says-why-nothing-is-permitted",
        ),
        pytest.param(
            [cidr("10.0.0.0/24", Icmp([3])), ODD],
            [("FZ302", f"{FIRST}.resource.filters[0]")],
            id="filters-that-never-match-say-why-nothing-is-permitted",
        ),
        pytest.param(
            [named("10.0.0.1", filters=[Protocol(47)]), ODD],
            [("FZ303", f"{FIRST}.resource.filters[0]")],
            id="filters-that-are-not-translated-say-why-no-name-can-be-reached",
        ),
        pytest.param(
            [named("127.0.0.1", "10.0.0.1", proxies=PROXIES), ODD],
            [
                ("FZ505", f"{FIRST}.domains[0].proxy_addresses[1]"),
                ("FZ501", f"{FIRST}.domains[0].resolved_addresses[0]"),
            ],
            id="an-address-left-out-says-nothing-of-the-other-family",
        ),
        pytest.param(
            [named("10.0.0.1", "::1", proxies=PROXIES), ODD],
            [("FZ501", f"{FIRST}.domains[0].resolved_addresses[1]")],
            id="an-address-left-out-says-why-a-proxy-address-leads-nowhere",
        ),
        pytest.param(
            [named("10.0.0.1"), named("fd20::1", id="also"), ODD],
            [("FZ101", FIRST), ("FZ504", f"{SECOND}.domains[0]")],
            id="the-call-that-names-a-proxy-address-last-decides",
        ),
        pytest.param(
            [cidr("10.0.0.0/24", Tcp(1), Icmp()), cidr("10.0.0.0/24", Icmp(), id="also")],
            [("FZ102", SECOND)],
            id="an-equal-authorization-that-is-redundant-says-it-of-a-filter",
        ),
        pytest.param(
            [cidr("10.0.0.0/24", Tcp(1), Tcp(1)), ODD],
            [("FZ104", f"{FIRST}.resource.filters[1]")],
            id="of-equal-filters-the-later-alone",
        ),
        pytest.param(
            [until(AT, cidr())],
            [("FZ107", "clients[0]"), ("FZ106", f"{FIRST}.expires_at")],
            id="that-nothing-is-left-is-said-of-the-client",
        ),
    ],
)
def test_one_thing_is_not_said_twice(
    given: Sequence[Given], expected: list[tuple[str, str]]
) -> None:
    assert found(of(*given), AT) == expected


def test_three_resources_of_which_any_two_permit_all_are_redundant_each_by_itself() -> None:
    ports = ([1, 2], [2, 3], [1, 3])
    three = [cidr("10.0.0.0/24", Tcp(two), id=f"{two}") for two in ports]
    codes = {place: code for code, place in found(of(*three))}
    assert [codes[f"clients[0].authorizations[{n}]"] for n in range(3)] == ["FZ102"] * 3


def test_equals_that_others_make_redundant_are_redundant_both() -> None:
    whole = cidr("10.0.0.0/8", id="whole")
    assert found(of(cidr(), cidr(id="same"), whole)) == [("FZ102", FIRST), ("FZ102", SECOND)]


def test_what_ends_before_several_equals_is_redundant_beside_those_but_the_first() -> None:
    one = of(until(AT, cidr(id="a")), cidr(id="b"), cidr(id="c"))
    redundant = [place for code, place in found(one) if code == "FZ102"]
    assert redundant == [FIRST, "clients[0].authorizations[2]"]


def test_a_client_whose_names_may_still_come_is_not_without_access() -> None:
    assert found(of(unnamed(Tcp(443)))) == []


@pytest.mark.parametrize("case", CASES, ids=[f"{case.code}: {case.what}" for case in CASES])
def test_sets_that_are_forgotten_are_made_again(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (packet_sets, lint_filters):
        monkeypatch.setattr(module, "MOST_KEPT", 1)
    assert found(case.having, case.at) == [(case.code, case.place)]


# --- What a finding says ------------------------------------------------------------------


def test_a_finding_is_one_line_with_place_and_code() -> None:
    (finding,) = of(cidr(), cidr("10.0.0.0/25", id="part")).lint()
    assert str(finding) == (
        "clients[0].authorizations[1]: FZ102 'part' permits only what 'db' permits anyway"
    )
    assert finding == Finding("FZ102", "warning", SECOND, str(finding).partition("FZ102 ")[2])
    assert finding.name == "redundant-authorization"


def test_a_message_names_a_few_and_the_number_of_the_others() -> None:
    five = [cidr(f"10.0.0.{n}", id=f"host-{n}") for n in range(5)]
    findings = of(cidr(exclude=["10.0.0.0/29"]), *five).lint()
    assert [one.message for one in findings] == [
        "'host-0', 'host-1', 'host-2' and 2 more permit some of what 10.0.0.0/29 takes away"
    ]


@pytest.mark.parametrize(
    ("types", "types_v6", "message"),
    [
        ([3, 8], [128], "ICMP type 3 never matches here"),
        ([3, 8, 9], [128], "ICMP types 3, 9 never match here"),
        ([3, 8], [1, 128], "ICMP type 3 and ICMPv6 type 1 never match here"),
    ],
    ids=["one", "two", "one-of-each-family"],
)
def test_a_message_names_the_types_that_never_match(
    types: list[int], types_v6: list[int], message: str
) -> None:
    (finding,) = of(cidr("10.0.0.0/24", Icmp(types, types_v6))).lint()
    assert finding.message == message


def test_findings_come_in_the_order_of_a_policy_file() -> None:
    one = policy(client(cidr("127.0.0.0/8")), client(id="bob"), options=OPEN)
    assert found(one) == [
        ("FZ107", "clients[0]"),
        ("FZ206", f"{FIRST}.resource.address"),
        ("FZ107", "clients[1]"),
        ("FZ304", "options.own_filters"),
    ]


def test_the_moment_is_a_time() -> None:
    with pytest.raises(InvalidTime, match="nan"):
        of(cidr()).lint(float("nan"))
    with pytest.raises(TypeError, match="a time is a number"):
        of(cidr()).lint("now")  # type: ignore[arg-type]


OFFICE_BEGINS = 1_795_434_667.0
"""Before its first permission ends."""


@pytest.mark.parametrize("at", [None, OFFICE_BEGINS])
def test_the_policy_of_the_office_example_is_clean(at: float | None) -> None:
    text = (ROOT / "examples/office/policy.json").read_text()
    assert load_policy(text).lint(at) == ()


# --- The table of codes -------------------------------------------------------------------


def test_codes_and_names_are_unique_and_of_one_form() -> None:
    assert list(CODES) == sorted(CODES)
    assert len({one.name for one in CODES.values()}) == len(CODES)
    for one in CODES.values():
        assert re.fullmatch(r"FZ[1-5]\d\d", one.code)
        assert re.fullmatch(r"[a-z]+(-[a-z]+)+", one.name)
