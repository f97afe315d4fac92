"""The rules that every policy keeps, whether it is from a file or made by hand."""

from collections.abc import Callable
from typing import TypeAlias

import pytest

from firezone_filter.nat.proxies import MAX_PROXIES
from firezone_filter.policy import (
    Policy,
    PolicyAuthorization,
    PolicyClient,
    PolicyDomain,
    load_policy,
)
from firezone_filter.values.addresses import AddressPlan, TunnelAddresses
from firezone_filter.values.errors import InvalidPolicy
from firezone_filter.values.resources import (
    CidrResource,
    DnsResource,
    InternetResource,
    Resource,
)
from tests.unit.policy.documents import (
    DOMAIN,
    Json,
    authorization,
    bob,
    client,
    document,
    domain,
    domains,
    resource,
)

Make: TypeAlias = Callable[[Json], Policy]

# --- The same policy by hand --------------------------------------------------------------


def by_hand(source: Json) -> Policy:
    """Make the policy of a document out of values."""
    plan = {name: tuple(ranges) for name, ranges in source.get("address_plan", {}).items()}
    return Policy(
        addresses_by_hand(source["gateway"]),
        AddressPlan(**plan),
        [
            PolicyClient(
                one["id"],
                addresses_by_hand(one),
                [authorization_by_hand(each) for each in one["authorizations"]],
            )
            for one in source["clients"]
        ],
    )


def addresses_by_hand(peer: Json) -> TunnelAddresses:
    return TunnelAddresses(peer.get("ipv4"), peer.get("ipv6"))


def authorization_by_hand(one: Json) -> PolicyAuthorization:
    return PolicyAuthorization(
        resource_by_hand(one["resource"]),
        domains=[PolicyDomain(**each) for each in one.get("domains", [])],
    )


def resource_by_hand(one: Json) -> Resource:
    match one["type"]:
        case "cidr":
            return CidrResource(one["id"], one["address"])
        case "dns":
            return DnsResource(one["id"], one["address"])
        case _:
            return InternetResource(one["id"])


from_both = pytest.mark.parametrize("make", [load_policy, by_hand], ids=["file", "by hand"])

# --- What contradicts itself --------------------------------------------------------------

FIRST, SECOND = (f"clients[0].authorizations[{n}]" for n in range(2))
DNS = f"{FIRST}.domains"
NAME = f"{DNS}[0].name"
PROXIES = f"{DNS}[0].proxy_addresses"
WIKI = "wiki.example.com"
ALREADY = f"is already {PROXIES}[0], for 'git.example.com'"
NOT_ITS_NAME = "is not a name that '*.example.com' stands for"
OTHER = resource(id="other", address="**.example.com")


def proxied(*addresses: str, name: str = "git.example.com") -> Json:
    return domain(name=name, proxy_addresses=list(addresses))


BROKEN: list[tuple[str, Json, tuple[str, ...]]] = [
    (
        "ids of clients",
        document(client(), client(ipv4="100.64.0.3"), client(ipv4="100.64.0.4")),
        (
            "clients[1].id: 'alice' is already clients[0].id",
            "clients[2].id: 'alice' is already clients[0].id",
        ),
    ),
    (
        "authorizations of a resource",
        document(client(authorization(), authorization())),
        (f"{SECOND}.resource.id: 'dns' is already {FIRST}.resource.id",),
    ),
    (
        "addresses of a client and the gateway",
        document(client(ipv4="100.64.0.1", ipv6="2001:db8::1")),
        (
            "clients[0].ipv4: '100.64.0.1' is already gateway.ipv4",
            "clients[0].ipv6: '2001:db8::1' is outside the tunnel ranges",
        ),
    ),
    (
        "addresses of clients",
        document(client(), client(id="bob")),
        ("clients[1].ipv4: '100.64.0.2' is already clients[0].ipv4",),
    ),
    (
        "the gateway outside the tunnel ranges",
        document(gateway={"ipv4": "100.96.0.1"}),
        ("gateway.ipv4: '100.96.0.1' is outside the tunnel ranges",),
    ),
    (
        "domains of a network",
        document(client(authorization(DOMAIN, resource=resource("cidr")))),
        (f"{DNS}: only a DNS resource has domains",),
    ),
    (
        "domains of the Internet",
        document(client(authorization(DOMAIN, resource=resource("internet")))),
        (f"{DNS}: only a DNS resource has domains",),
    ),
    (
        "a name that the pattern does not match",
        document(client(authorization(domain(name="git.example.org")))),
        (f"{NAME}: 'git.example.org' {NOT_ITS_NAME}",),
    ),
    (
        "a name of too many labels",
        document(client(authorization(domain(name="a.b.example.com")))),
        (f"{NAME}: 'a.b.example.com' {NOT_ITS_NAME}",),
    ),
    (
        "proxy addresses outside the DNS ranges",
        document(
            client(authorization(proxied("100.95.255.255", "100.128.0.0", "fd00:2021:1111::1")))
        ),
        (
            f"{PROXIES}[0]: '100.95.255.255' is outside the DNS ranges",
            f"{PROXIES}[1]: '100.128.0.0' is outside the DNS ranges",
            f"{PROXIES}[2]: 'fd00:2021:1111::1' is outside the DNS ranges",
        ),
    ),
    (
        "a proxy address twice in a list",
        document(client(authorization(proxied("100.96.0.1", "100.96.0.2", "100.96.0.1")))),
        (f"{PROXIES}[2]: '100.96.0.1' is already {PROXIES}[0]",),
    ),
    (
        "a proxy address of two names",
        document(client(authorization(DOMAIN, proxied("100.96.0.1", name=WIKI), DOMAIN))),
        (f"{DNS}[1].proxy_addresses[0]: '100.96.0.1' {ALREADY}",),
    ),
    (
        "a proxy address of two names of two resources",
        document(
            client(
                authorization(DOMAIN),
                authorization(proxied("100.96.0.2", "100.96.0.1", name=WIKI), resource=OTHER),
            )
        ),
        (f"{SECOND}.domains[0].proxy_addresses[1]: '100.96.0.1' {ALREADY}",),
    ),
    (
        "too many proxy addresses",
        document(
            client(
                authorization(domains(1000, 24, 1)[0]),
                authorization(*domains(1000, 24, 1)[1:], resource=OTHER),
            )
        ),
        (f"clients[0]: has {MAX_PROXIES + 1} proxy addresses, more than {MAX_PROXIES}",),
    ),
]


@from_both
@pytest.mark.parametrize(
    ("source", "faults"), [row[1:] for row in BROKEN], ids=[row[0] for row in BROKEN]
)
def test_a_broken_rule_is_a_fault_at_its_place(
    make: Make, source: Json, faults: tuple[str, ...]
) -> None:
    with pytest.raises(InvalidPolicy) as caught:
        make(source)
    assert caught.value.faults == faults


def test_the_value_of_an_error_is_that_of_its_first_fault() -> None:
    with pytest.raises(InvalidPolicy) as caught:
        Policy(TunnelAddresses("10.0.0.1"))
    assert caught.value.value == "10.0.0.1"


# --- What does not ------------------------------------------------------------------------

KEPT: list[tuple[str, Json]] = [
    (
        "one resource id for different networks of two clients",
        document(
            client(authorization(resource=resource("cidr"))),
            bob(authorization(resource=resource("cidr", address="10.9.0.0/24"))),
        ),
    ),
    (
        "a plan of its own",
        document(
            client(authorization(proxied("10.96.0.1")), ipv4="10.64.0.2"),
            gateway={"ipv4": "10.64.0.1"},
            address_plan={
                "tunnel": ["10.64.0.0/16", "fd00:2021:1111::/107"],
                "dns_resources": ["10.96.0.0/16", "fd00:2021:1111:8000::/107"],
            },
        ),
    ),
    ("an empty list of domains", document(client(authorization(resource=resource("internet"))))),
    (
        "a name again, with other addresses",
        document(client(authorization(DOMAIN, proxied("100.96.0.2")))),
    ),
    (
        "a name again, with the same addresses",
        document(client(authorization(DOMAIN, domain(name="GIT.example.com")))),
    ),
    (
        "a proxy address of one name, shared by two resources",
        document(client(authorization(DOMAIN), authorization(DOMAIN, resource=OTHER))),
    ),
    (
        "a proxy address of different names of two clients",
        document(client(authorization(DOMAIN)), bob(authorization(domain(name=WIKI)))),
    ),
    ("as many proxy addresses as possible", document(client(authorization(*domains(1000, 24))))),
    (
        "as many proxy addresses as possible, shared by two resources",
        document(
            client(
                authorization(*domains(MAX_PROXIES)),
                authorization(*domains(MAX_PROXIES), resource=OTHER),
            )
        ),
    ),
    (
        "as many proxy addresses as possible, of each client",
        document(
            client(authorization(*domains(MAX_PROXIES))), bob(authorization(*domains(MAX_PROXIES)))
        ),
    ),
]


@pytest.mark.parametrize("source", [row[1] for row in KEPT], ids=[row[0] for row in KEPT])
def test_a_policy_that_keeps_the_rules_makes_a_gateway(source: Json) -> None:
    policy = load_policy(source)
    assert by_hand(source) == policy
    assert policy.gateway().clients() == tuple(one["id"] for one in source["clients"])
