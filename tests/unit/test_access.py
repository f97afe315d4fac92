from collections.abc import Callable
from ipaddress import ip_address

import pytest

from firezone_filter.access.authorizations import Access, Authorization, terms_of
from firezone_filter.access.special_ranges import address_flags
from firezone_filter.gateway.flow_cache import FlowMemory, FlowTables
from firezone_filter.nat.nat import Nat
from firezone_filter.nat.proxies import Resolution
from firezone_filter.nat.sessions import Lifetimes
from firezone_filter.packet.numbers import ICMPV4, ICMPV6, TCP, UDP
from firezone_filter.structures.timers import NO_DEADLINE, Deadlines
from firezone_filter.values.addresses import AddressPlan
from firezone_filter.values.decisions import Forward, Reason
from firezone_filter.values.resources import (
    CidrResource,
    DnsResource,
    Icmp,
    InternetResource,
    Resource,
    Tcp,
    Udp,
)

NO_PORT = -1

PLAN = address_flags(AddressPlan())

INTERNET = InternetResource("internet")
PROXY_4, PROXY_6 = "100.96.0.1", "fd00:2021:1111:8000::1"


def access_to(*resources: Resource) -> Access:
    access = Access("alice")
    for resource in resources:
        access.grant(resource)
    return access


def resolved(access: Access, resource_id: str, *proxies: str, domain: str = "a.example") -> None:
    """Let proxy addresses stand for what a DNS resource is about."""
    access.nat = access.nat or Nat(Lifetimes(Deadlines()), (10, 10), FlowMemory(FlowTables()))
    packed = tuple(ip_address(proxy).packed for proxy in proxies)
    access.nat.resolve(resource_id, Resolution(domain, packed, ()))


def asked(
    access: Access, address: str, protocol: int = TCP, port: int = 443
) -> str | Reason | None:
    """Return the id of what permits, or why nothing does."""
    far = ip_address(address).packed
    found = access.permission(far, PLAN.flags(far), protocol, port)
    return found.resource_id if isinstance(found, Forward) else found


# --- Authorizations ----------------------------------------------------------------------


def test_a_new_access_has_no_authorizations() -> None:
    assert Access("alice").authorizations == {}


@pytest.mark.parametrize(
    "resource",
    [CidrResource("a", "10.0.0.0/8"), DnsResource("b", "example.com"), InternetResource("c")],
    ids=["network", "name", "Internet"],
)
def test_granting_makes_an_authorization(resource: Resource) -> None:
    access = Access("alice")
    authorization = access.grant(resource)
    assert (authorization.client_id, authorization.resource, access.authorizations) == (
        "alice",
        resource,
        {resource.id: authorization},
    )


def test_a_new_authorization_ends_never() -> None:
    authorization = Access("alice").grant(INTERNET)
    assert (authorization.expires_at, authorization.deadline) == (None, NO_DEADLINE)


def test_everything_that_an_authorization_permits_gets_one_decision() -> None:
    assert Access("alice").grant(INTERNET).forward == Forward("alice", "internet")


def test_granting_again_keeps_the_authorization_and_gives_it_the_resource() -> None:
    access = access_to(CidrResource("db", "10.0.0.0/8"))
    before = access.authorizations["db"]
    after = access.grant(CidrResource("db", "10.0.0.0/8", [Tcp(5432)]))
    assert (after is before, after.resource) == (
        True,
        CidrResource("db", "10.0.0.0/8", [Tcp(5432)]),
    )


def test_authorizations_are_themselves_not_their_values() -> None:
    terms = terms_of(INTERNET)
    assert Authorization("alice", terms) != Authorization("alice", terms)


# --- Shared terms ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: CidrResource("a", "10.0.0.0/8", [Tcp(443)]), id="network"),
        pytest.param(lambda: DnsResource("b", "example.com", [Tcp(443)]), id="name"),
        pytest.param(lambda: InternetResource("c", exclude=["9.9.9.0/24"]), id="Internet"),
    ],
)
def test_clients_with_equal_resources_share_their_terms(make: Callable[[], Resource]) -> None:
    alice, bob = Access("alice").grant(make()), Access("bob").grant(make())
    assert alice.terms is bob.terms
    assert alice.resource is bob.resource


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(CidrResource("b", "10.0.0.0/8", [Tcp(443)]), id="id"),
        pytest.param(CidrResource("a", "10.0.0.0/9", [Tcp(443)]), id="network"),
        pytest.param(CidrResource("a", "10.0.0.0/8", [Udp(443)]), id="filters"),
        pytest.param(CidrResource("a", "10.0.0.0/8", [Tcp(443)], "A"), id="name"),
    ],
)
def test_resources_that_differ_have_terms_of_their_own(other: CidrResource) -> None:
    granted = Access("alice").grant(CidrResource("a", "10.0.0.0/8", [Tcp(443)]))
    assert Access("bob").grant(other).terms is not granted.terms


def test_clients_that_share_terms_get_decisions_of_their_own() -> None:
    resource = CidrResource("db", "10.0.0.0/8")
    alice, bob = Access("alice").grant(resource), Access("bob").grant(resource)
    assert (alice.forward, bob.forward) == (Forward("alice", "db"), Forward("bob", "db"))


def test_withdrawing_from_one_client_leaves_the_terms_to_the_other() -> None:
    resource = CidrResource("db", "10.0.0.0/8", [Tcp(443)])
    alice, bob = access_to(resource), access_to(resource)
    alice.withdraw("db")
    assert (asked(alice, "10.0.0.5"), asked(bob, "10.0.0.5")) == (Reason.NO_RESOURCE, "db")


def test_changing_the_resource_of_one_client_leaves_that_of_the_other() -> None:
    resource = CidrResource("db", "10.0.0.0/8", [Tcp(443)])
    alice, bob = access_to(resource), access_to(resource)
    alice.grant(CidrResource("db", "10.0.0.0/8", [Tcp(22)]))
    assert (asked(alice, "10.0.0.5"), asked(bob, "10.0.0.5")) == (Reason.TCP_PORT, "db")


def test_terms_are_let_go_when_the_last_client_has_lost_them() -> None:
    resource = CidrResource("db", "10.0.0.0/8", [Tcp(1), Tcp(3), Tcp(5)])
    alice, bob = access_to(resource), access_to(resource)
    alice.withdraw("db")
    assert resource in terms_of
    bob.withdraw("db")
    assert resource not in terms_of


def test_terms_are_let_go_when_the_last_client_has_got_others() -> None:
    resource = CidrResource("db", "10.0.0.0/8", [Tcp(1), Tcp(3), Tcp(7)])
    access = access_to(resource)
    access.grant(CidrResource("db", "10.0.0.0/8"))
    assert resource not in terms_of


# --- Networks ----------------------------------------------------------------------------


def test_what_nothing_covers_has_no_resource() -> None:
    assert asked(Access("alice"), "10.0.0.5") is Reason.NO_RESOURCE


@pytest.mark.parametrize(
    ("network", "address"), [("10.0.0.0/8", "10.0.0.5"), ("fd12::/16", "fd12::5")]
)
def test_a_network_permits_what_it_covers(network: str, address: str) -> None:
    assert asked(access_to(CidrResource("db", network)), address) == "db"


def test_a_network_refuses_with_the_reason_of_its_filters() -> None:
    access = access_to(CidrResource("db", "10.0.0.0/8", [Udp()]))
    assert asked(access, "10.0.0.5") is Reason.TCP_PORT


def test_granting_again_replaces_the_filters() -> None:
    access = access_to(
        CidrResource("db", "10.0.0.0/8"), CidrResource("db", "10.0.0.0/8", [Tcp(22)])
    )
    assert asked(access, "10.0.0.5") is Reason.TCP_PORT


@pytest.mark.parametrize(
    "address",
    [
        pytest.param("127.0.0.1", id="loopback"),
        pytest.param("0.0.0.1", id="this network"),
        pytest.param("224.0.0.1", id="multicast"),
        pytest.param("255.255.255.255", id="broadcast"),
        pytest.param("100.64.0.9", id="tunnel range"),
        pytest.param("100.96.0.9", id="DNS range"),
        pytest.param("::", id="IPv6 unspecified"),
        pytest.param("::1", id="IPv6 loopback"),
        pytest.param("::ffff:10.0.0.5", id="v4-mapped"),
        pytest.param("ff02::1", id="IPv6 multicast"),
        pytest.param("fd00:2021:1111::9", id="IPv6 tunnel range"),
        pytest.param("fd00:2021:1111:8000::9", id="IPv6 DNS range"),
    ],
)
def test_no_network_covers_special_addresses_however_wide_it_is(address: str) -> None:
    access = access_to(CidrResource("v4", "0.0.0.0/0"), CidrResource("v6", "::/0"))
    assert asked(access, address) is Reason.NO_RESOURCE


# --- The Internet ------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["9.9.9.9", "2606:4700::1111"])
@pytest.mark.parametrize("protocol", [TCP, UDP, ICMPV4, ICMPV6, 47])
def test_the_internet_resource_permits_every_protocol(address: str, protocol: int) -> None:
    assert asked(access_to(INTERNET), address, protocol) == "internet"


@pytest.mark.parametrize("address", ["10.0.0.5", "127.0.0.1", "fd12::5", "::ffff:9.9.9.9"])
def test_what_is_not_public_is_not_the_internet(address: str) -> None:
    assert asked(access_to(INTERNET), address) is Reason.NOT_INTERNET


@pytest.mark.parametrize("address", [PROXY_4, PROXY_6])
def test_the_internet_resource_does_not_cover_the_dns_ranges(address: str) -> None:
    assert asked(access_to(INTERNET), address) is Reason.NO_RESOURCE


EXCLUDING = InternetResource("internet", exclude=["9.9.9.0/24", "2606:4700::/32"])


@pytest.mark.parametrize(
    "address",
    [
        "9.9.9.0",
        "9.9.9.255",
        "2606:4700::",
        "2606:4700:ffff:ffff:ffff:ffff:ffff:ffff",
    ],
)
def test_what_is_excluded_is_not_the_internet(address: str) -> None:
    assert asked(access_to(EXCLUDING), address) is Reason.NOT_INTERNET


@pytest.mark.parametrize(
    "address",
    [
        "9.9.8.255",
        "9.9.10.0",
        "2606:46ff:ffff:ffff:ffff:ffff:ffff:ffff",
        "2606:4701::",
    ],
)
def test_neighbours_of_what_is_excluded_are_the_internet(address: str) -> None:
    assert asked(access_to(EXCLUDING), address) == "internet"


def test_granting_again_replaces_what_is_excluded() -> None:
    assert asked(access_to(EXCLUDING, INTERNET), "9.9.9.9") == "internet"


def test_what_one_internet_resource_excludes_another_may_permit() -> None:
    access = access_to(InternetResource("z", exclude=["9.9.9.0/24"]), InternetResource("a"))
    assert asked(access, "9.9.9.9") == "a"


def test_of_two_internet_resources_the_greater_id_answers() -> None:
    access = access_to(InternetResource("b"), InternetResource("a"))
    assert asked(access, "9.9.9.9") == "b"


COMPETING = [
    pytest.param("9.9.9.0/24", [], "a", id="permitting longer prefix wins"),
    pytest.param("9.9.9.0/24", [Udp()], "m", id="refusing longer prefix loses"),
    pytest.param("0.0.0.0/0", [Udp()], "m", id="refusing network of everything loses"),
    pytest.param("0.0.0.0/1", [], "a", id="prefix of one bit is longer"),
    pytest.param("0.0.0.0/0", [], "m", id="permitting network of everything, lesser id"),
]


@pytest.mark.parametrize(("network", "filters", "winner"), COMPETING)
def test_an_internet_resource_has_prefix_length_0(
    network: str, filters: list[Tcp | Udp], winner: str
) -> None:
    access = access_to(InternetResource("m"), CidrResource("a", network, filters))
    assert asked(access, "9.9.9.9") == winner


def test_a_network_of_everything_with_the_greater_id_beats_the_internet() -> None:
    access = access_to(InternetResource("m"), CidrResource("z", "0.0.0.0/0"))
    assert asked(access, "9.9.9.9") == "z"


def test_a_refusing_network_names_the_reason_before_a_refusing_internet_resource() -> None:
    access = access_to(InternetResource("m"), CidrResource("a", "10.0.0.0/8", [Udp()]))
    assert asked(access, "10.0.0.5") is Reason.TCP_PORT


def test_a_refusing_network_of_everything_with_the_greater_id_names_the_reason() -> None:
    access = access_to(InternetResource("m"), CidrResource("z", "0.0.0.0/0", [Udp()]))
    assert asked(access, "10.0.0.5") is Reason.TCP_PORT


def test_a_refusing_network_of_everything_with_the_lesser_id_does_not() -> None:
    access = access_to(InternetResource("m"), CidrResource("a", "0.0.0.0/0", [Udp()]))
    assert asked(access, "10.0.0.5") is Reason.NOT_INTERNET


def test_the_reason_of_the_internet_resource_stands_where_networks_do_not_cover() -> None:
    access = access_to(InternetResource("m"), CidrResource("z", "0.0.0.0/0"))
    assert asked(access, "127.0.0.1") is Reason.NOT_INTERNET


# --- DNS resources -----------------------------------------------------------------------

WEB = DnsResource("web", "*.example", [Tcp(443), Icmp()])


@pytest.mark.parametrize("proxy", [PROXY_4, PROXY_6])
def test_a_dns_resource_covers_nothing_by_itself(proxy: str) -> None:
    assert asked(access_to(WEB), proxy) is Reason.NO_RESOURCE


@pytest.mark.parametrize("proxy", [PROXY_4, PROXY_6])
def test_a_dns_resource_covers_the_proxies_given_for_it(proxy: str) -> None:
    access = access_to(WEB)
    resolved(access, "web", proxy)
    assert asked(access, proxy) == "web"


@pytest.mark.parametrize("neighbour", ["100.96.0.0", "100.96.0.2", PROXY_6])
def test_a_dns_resource_does_not_cover_the_neighbours_of_its_proxies(neighbour: str) -> None:
    access = access_to(WEB)
    resolved(access, "web", PROXY_4)
    assert asked(access, neighbour) is Reason.NO_RESOURCE


@pytest.mark.parametrize(
    ("proxy", "protocol", "port", "reason"),
    [
        pytest.param(PROXY_4, TCP, 442, Reason.TCP_PORT, id="TCP port"),
        pytest.param(PROXY_4, UDP, 443, Reason.UDP_PORT, id="UDP"),
        pytest.param(PROXY_4, ICMPV6, NO_PORT, Reason.PROTOCOL, id="ICMPv6 over IPv4"),
        pytest.param(PROXY_6, ICMPV4, NO_PORT, Reason.PROTOCOL, id="ICMPv4 over IPv6"),
    ],
)
def test_a_dns_resource_refuses_with_the_reason_of_its_filters(
    proxy: str, protocol: int, port: int, reason: Reason
) -> None:
    access = access_to(WEB)
    resolved(access, "web", proxy)
    assert asked(access, proxy, protocol, port) is reason


@pytest.mark.parametrize(("proxy", "protocol"), [(PROXY_4, ICMPV4), (PROXY_6, ICMPV6)])
def test_a_dns_resource_permits_the_icmp_of_its_family(proxy: str, protocol: int) -> None:
    access = access_to(WEB)
    resolved(access, "web", proxy)
    assert asked(access, proxy, protocol, NO_PORT) == "web"


def test_granting_again_replaces_the_filters_of_a_name_too() -> None:
    access = access_to(WEB)
    resolved(access, "web", PROXY_4)
    access.grant(DnsResource("web", "*.example", [Tcp(80)]))
    assert asked(access, PROXY_4) is Reason.TCP_PORT


SHARING = [
    pytest.param([Tcp(443)], [Tcp(443)], "b", id="both permit: the greater id"),
    pytest.param([Tcp(443)], [Tcp(80)], "a", id="who permits beats the greater id"),
    pytest.param([Udp()], [Tcp(80)], Reason.TCP_PORT, id="none permits"),
]


@pytest.mark.parametrize(("of_a", "of_b", "answer"), SHARING)
def test_of_dns_resources_that_share_a_proxy_one_answers(
    of_a: list[Tcp | Udp], of_b: list[Tcp | Udp], answer: str | Reason
) -> None:
    access = access_to(DnsResource("b", "*.example", of_b), DnsResource("a", "a.example", of_a))
    resolved(access, "a", PROXY_4)
    resolved(access, "b", PROXY_4)
    assert asked(access, PROXY_4) == answer


def test_in_the_dns_ranges_a_network_of_everything_does_not_count() -> None:
    access = access_to(WEB, CidrResource("zzz", "0.0.0.0/0"), InternetResource("zzzz"))
    resolved(access, "web", PROXY_4)
    assert asked(access, PROXY_4, UDP) is Reason.UDP_PORT


# --- Withdrawing -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("resource", "address"),
    [
        pytest.param(CidrResource("a", "9.9.9.0/24"), "9.9.9.9", id="network"),
        pytest.param(InternetResource("a"), "9.9.9.9", id="Internet"),
    ],
)
def test_what_was_withdrawn_permits_nothing(resource: Resource, address: str) -> None:
    access = access_to(resource)
    access.withdraw("a")
    assert asked(access, address) is Reason.NO_RESOURCE


def test_withdrawing_takes_the_authorization_away() -> None:
    access = access_to(INTERNET, WEB)
    access.withdraw("internet")
    assert list(access.authorizations) == ["web"]


def test_a_name_that_was_withdrawn_covers_its_proxies_no_more() -> None:
    access = access_to(WEB)
    resolved(access, "web", PROXY_4)
    access.withdraw("web")
    assert asked(access, PROXY_4) is Reason.NO_RESOURCE


def test_a_name_that_is_granted_anew_has_no_proxies_yet() -> None:
    access = access_to(WEB)
    resolved(access, "web", PROXY_4)
    access.withdraw("web")
    access.grant(WEB)
    assert asked(access, PROXY_4) is Reason.NO_RESOURCE


def test_withdrawing_one_name_leaves_the_other_that_shares_its_proxy() -> None:
    access = access_to(WEB, DnsResource("other", "a.example"))
    resolved(access, "web", PROXY_4)
    resolved(access, "other", PROXY_4)
    access.withdraw("web")
    assert asked(access, PROXY_4, UDP) == "other"
