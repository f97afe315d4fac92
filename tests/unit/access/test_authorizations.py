"""`ClientAccess`: which of a client's resources answers for an address, and shared compilation."""

from collections.abc import Callable
from ipaddress import ip_address

import pytest

from firezone_filter.access.authorizations import Authorization, ClientAccess, compile_resource
from firezone_filter.access.special_ranges import address_flags
from firezone_filter.nat.proxies import ProxyTable, Resolution
from firezone_filter.packet.numbers import ICMPV4, ICMPV6, TCP, UDP
from firezone_filter.values.addresses import AddressPlan
from firezone_filter.values.decisions import Forward, Reason
from firezone_filter.values.filters import Icmp, Tcp, Udp
from firezone_filter.values.resources import (
    CidrResource,
    DnsResource,
    InternetResource,
    Resource,
)
from tests.numbers import GRE

NO_PORT = -1

PLAN = address_flags(AddressPlan())

INTERNET = InternetResource("internet")
PROXY_4, PROXY_6 = "100.96.0.1", "fd00:2021:1111:8000::1"

proxies_of_both = pytest.mark.parametrize("proxy", [PROXY_4, PROXY_6], ids=["ipv4", "ipv6"])


class Access(ClientAccess):
    """A client's access together with the proxy addresses that its NAT would keep."""

    __slots__ = ("table",)

    def __init__(self, *resources: Resource, client_id: str = "alice") -> None:
        super().__init__(client_id)
        self.table = ProxyTable()
        self.use_proxies(self.table)
        for resource in resources:
            self.authorize(resource)

    def resolve(self, resource_id: str, *proxies: str) -> None:
        packed = tuple(ip_address(proxy).packed for proxy in proxies)
        self.table.assign(resource_id, Resolution("a.example", packed, ()))

    def revoke(self, resource_id: str) -> None:
        super().revoke(resource_id)
        self.table.withdraw(resource_id)

    def asked(self, address: str, protocol: int = TCP, port: int = 443) -> str | Reason | None:
        """Return the id of the resource that permits, or why none does."""
        far = ip_address(address).packed
        found = self.permission(far, PLAN.flags(far), protocol, port, 0.0)
        return found.resource_id if isinstance(found, Forward) else found


# --- Authorizations ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "resource",
    [CidrResource("a", "10.0.0.0/8"), DnsResource("b", "example.com"), InternetResource("c")],
    ids=["network", "name", "internet"],
)
def test_a_new_authorization_never_ends_and_has_one_decision_for_all_packets(
    resource: Resource,
) -> None:
    access = Access()
    assert access.authorizations == {}
    authorization = access.authorize(resource)
    assert (authorization.client_id, authorization.resource) == ("alice", resource)
    assert (authorization.expires_at, authorization.number) == (None, -1)
    assert access.authorizations == {resource.id: authorization}
    assert authorization.forward == Forward("alice", resource.id)
    assert authorization.forward is authorization.forward


def test_authorizing_again_keeps_the_authorization_and_gives_it_the_new_resource() -> None:
    access = Access(CidrResource("db", "10.0.0.0/8"))
    before, resource = access.authorizations["db"], CidrResource("db", "10.0.0.0/8", [Tcp(5432)])
    assert access.authorize(resource) is before
    assert before.resource == resource


def test_authorizations_are_compared_by_identity() -> None:
    compiled = compile_resource(INTERNET)
    assert Authorization("alice", compiled) != Authorization("alice", compiled)


# --- Shared compilation ------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: CidrResource("a", "10.0.0.0/8", [Tcp(443)]), id="network"),
        pytest.param(lambda: DnsResource("b", "example.com", [Tcp(443)]), id="name"),
        pytest.param(lambda: InternetResource("c", exclude=["9.9.9.0/24"]), id="internet"),
    ],
)
def test_clients_share_what_equal_resources_compile_to_and_not_their_decisions(
    make: Callable[[], Resource],
) -> None:
    alice = Access().authorize(make())
    bob = Access(client_id="bob").authorize(make())
    assert alice.compiled is bob.compiled
    assert alice.resource is bob.resource
    assert (alice.forward.client_id, bob.forward.client_id) == ("alice", "bob")


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(CidrResource("b", "10.0.0.0/8", [Tcp(443)]), id="id"),
        pytest.param(CidrResource("a", "10.0.0.0/9", [Tcp(443)]), id="network"),
        pytest.param(CidrResource("a", "10.0.0.0/8", [Udp(443)]), id="filters"),
        pytest.param(CidrResource("a", "10.0.0.0/8", [Tcp(443)], "A"), id="name"),
    ],
)
def test_resources_that_differ_are_compiled_apart(other: CidrResource) -> None:
    compiled = Access().authorize(CidrResource("a", "10.0.0.0/8", [Tcp(443)])).compiled
    assert Access().authorize(other).compiled is not compiled


def test_a_change_for_one_client_leaves_the_other_as_it_was() -> None:
    resource = CidrResource("db", "10.0.0.0/8", [Tcp(443)])
    revoked, changed, kept = Access(resource), Access(resource), Access(resource)
    revoked.revoke("db")
    changed.authorize(CidrResource("db", "10.0.0.0/8", [Tcp(22)]))
    assert [one.asked("10.0.0.5") for one in (revoked, changed, kept)] == [
        Reason.NO_RESOURCE,
        Reason.TCP_PORT,
        "db",
    ]


def test_a_compiled_resource_goes_with_the_last_client_that_has_it() -> None:
    resource = CidrResource("db", "10.0.0.0/8", [Tcp(1), Tcp(3), Tcp(5)])
    alice, bob = Access(resource), Access(resource)
    alice.revoke("db")
    assert resource in compile_resource
    bob.authorize(CidrResource("db", "10.0.0.0/8"))
    assert resource not in compile_resource


# --- Who answers --------------------------------------------------------------------------
#
# Authorized in this order, then what is asked, and who answers.

NETWORK = CidrResource("db", "10.0.0.0/8")
WEB_ONLY = CidrResource("db", "10.0.0.0/8", [Tcp(443)])
EVERYTHING = (CidrResource("v4", "0.0.0.0/0"), CidrResource("v6", "::/0"))
EXCLUDING = InternetResource("internet", exclude=["9.9.9.0/24", "2606:4700::/32"])

# No network covers these, however wide it is.
SPECIAL = {
    "loopback": "127.0.0.1",
    "this-network": "0.0.0.1",
    "multicast": "224.0.0.1",
    "broadcast": "255.255.255.255",
    "tunnel": "100.64.0.9",
    "dns": "100.96.0.9",
    "unspecified6": "::",
    "loopback6": "::1",
    "v4-mapped": "::ffff:10.0.0.5",
    "multicast6": "ff02::1",
    "tunnel6": "fd00:2021:1111::9",
    "dns6": "fd00:2021:1111:8000::9",
}

Case = tuple[tuple[Resource, ...], str, str | Reason]

ANSWERS: dict[str, Case] = {
    "nothing": ((), "10.0.0.5", Reason.NO_RESOURCE),
    "network": ((NETWORK,), "10.0.0.5", "db"),
    "network6": ((CidrResource("db", "fd12::/16"),), "fd12::5", "db"),
    "beside-the-network": ((NETWORK,), "11.0.0.5", Reason.NO_RESOURCE),
    "network-refuses": (
        (CidrResource("db", "10.0.0.0/8", [Udp()]),),
        "10.0.0.5",
        Reason.TCP_PORT,
    ),
    "filters-replaced": (
        (NETWORK, CidrResource("db", "10.0.0.0/8", [Tcp(22)])),
        "10.0.0.5",
        Reason.TCP_PORT,
    ),
    **{name: (EVERYTHING, special, Reason.NO_RESOURCE) for name, special in SPECIAL.items()},
    # The Internet.
    "not-public": ((INTERNET,), "10.0.0.5", Reason.NOT_INTERNET),
    "not-public-loopback": ((INTERNET,), "127.0.0.1", Reason.NOT_INTERNET),
    "not-public6": ((INTERNET,), "fd12::5", Reason.NOT_INTERNET),
    "not-public-v4-mapped": ((INTERNET,), "::ffff:9.9.9.9", Reason.NOT_INTERNET),
    "dns-range-is-no-internet": ((INTERNET,), PROXY_4, Reason.NO_RESOURCE),
    "dns-range-is-no-internet6": ((INTERNET,), PROXY_6, Reason.NO_RESOURCE),
    "excluded-first": ((EXCLUDING,), "9.9.9.0", Reason.NOT_INTERNET),
    "excluded-last": ((EXCLUDING,), "9.9.9.255", Reason.NOT_INTERNET),
    "excluded-first6": ((EXCLUDING,), "2606:4700::", Reason.NOT_INTERNET),
    "excluded-last6": (
        (EXCLUDING,),
        "2606:4700:ffff:ffff:ffff:ffff:ffff:ffff",
        Reason.NOT_INTERNET,
    ),
    "before-excluded": ((EXCLUDING,), "9.9.8.255", "internet"),
    "behind-excluded": ((EXCLUDING,), "9.9.10.0", "internet"),
    "before-excluded6": (
        (EXCLUDING,),
        "2606:46ff:ffff:ffff:ffff:ffff:ffff:ffff",
        "internet",
    ),
    "behind-excluded6": ((EXCLUDING,), "2606:4701::", "internet"),
    "exclude-replaced": ((EXCLUDING, INTERNET), "9.9.9.9", "internet"),
    "excluded-by-one-of-two": (
        (InternetResource("z", exclude=["9.9.9.0/24"]), InternetResource("a")),
        "9.9.9.9",
        "a",
    ),
    "greater-id-of-two": ((InternetResource("b"), InternetResource("a")), "9.9.9.9", "b"),
    # Networks and the Internet, which has prefix length 0: who permits goes first, then the
    # longer prefix, then the greater id.
    "longer-prefix-permits": (
        (InternetResource("m"), CidrResource("a", "9.9.9.0/24")),
        "9.9.9.9",
        "a",
    ),
    "one-bit-is-longer": ((InternetResource("m"), CidrResource("a", "0.0.0.0/1")), "9.9.9.9", "a"),
    "longer-prefix-refuses": (
        (InternetResource("m"), CidrResource("a", "9.9.9.0/24", [Udp()])),
        "9.9.9.9",
        "m",
    ),
    "everything-refuses": (
        (InternetResource("m"), CidrResource("z", "0.0.0.0/0", [Udp()])),
        "9.9.9.9",
        "m",
    ),
    "everything-of-lesser-id": (
        (InternetResource("m"), CidrResource("a", "0.0.0.0/0")),
        "9.9.9.9",
        "m",
    ),
    "everything-of-greater-id": (
        (InternetResource("m"), CidrResource("z", "0.0.0.0/0")),
        "9.9.9.9",
        "z",
    ),
    # Both refuse: the same order says who names the reason.
    "both-refuse-longer-prefix": (
        (InternetResource("m"), CidrResource("a", "10.0.0.0/8", [Udp()])),
        "10.0.0.5",
        Reason.TCP_PORT,
    ),
    "both-refuse-greater-id": (
        (InternetResource("m"), CidrResource("z", "0.0.0.0/0", [Udp()])),
        "10.0.0.5",
        Reason.TCP_PORT,
    ),
    "both-refuse-lesser-id": (
        (InternetResource("m"), CidrResource("a", "0.0.0.0/0", [Udp()])),
        "10.0.0.5",
        Reason.NOT_INTERNET,
    ),
    "special-address-and-the-internet": (
        (InternetResource("m"), CidrResource("z", "0.0.0.0/0")),
        "127.0.0.1",
        Reason.NOT_INTERNET,
    ),
}


@pytest.mark.parametrize(("resources", "address", "answer"), ANSWERS.values(), ids=ANSWERS)
def test_of_all_resources_one_answers_for_an_address(
    resources: tuple[Resource, ...], address: str, answer: str | Reason
) -> None:
    assert Access(*resources).asked(address) == answer


@pytest.mark.parametrize("address", ["9.9.9.9", "2606:4700::1111"])
@pytest.mark.parametrize("protocol", [TCP, UDP, ICMPV4, ICMPV6, GRE])
def test_the_internet_resource_permits_every_protocol(address: str, protocol: int) -> None:
    assert Access(INTERNET).asked(address, protocol) == "internet"


# --- DNS resources -----------------------------------------------------------------------

WEB = DnsResource("web", "*.example", [Tcp(443), Icmp()])


@proxies_of_both
def test_a_dns_resource_covers_the_proxies_given_for_it_and_nothing_else(proxy: str) -> None:
    access = Access(WEB)
    assert access.asked(proxy) is Reason.NO_RESOURCE
    access.resolve("web", proxy)
    assert access.asked(proxy) == "web"
    for neighbour in (ip_address(proxy) - 1, ip_address(proxy) + 1, "10.0.0.5"):
        assert access.asked(str(neighbour)) is Reason.NO_RESOURCE


@pytest.mark.parametrize(
    ("proxy", "protocol", "port", "answer"),
    [
        pytest.param(PROXY_4, TCP, 442, Reason.TCP_PORT, id="tcp-port"),
        pytest.param(PROXY_4, UDP, 443, Reason.UDP_PORT, id="udp"),
        pytest.param(PROXY_4, GRE, NO_PORT, Reason.PROTOCOL, id="gre"),
        pytest.param(PROXY_4, ICMPV4, 8, "web", id="icmp4"),
        pytest.param(PROXY_6, ICMPV6, 128, "web", id="icmp6"),
        pytest.param(PROXY_4, ICMPV6, 128, Reason.PROTOCOL, id="icmp6-over-ipv4"),
        pytest.param(PROXY_6, ICMPV4, 8, Reason.PROTOCOL, id="icmp4-over-ipv6"),
    ],
)
def test_a_dns_resource_permits_what_its_filters_say(
    proxy: str, protocol: int, port: int, answer: str | Reason
) -> None:
    access = Access(WEB)
    access.resolve("web", proxy)
    assert access.asked(proxy, protocol, port) == answer
    access.authorize(DnsResource("web", "*.example", [Tcp(80)]))
    assert access.asked(proxy) is Reason.TCP_PORT


def test_a_dns_resource_without_any_proxy_can_be_replaced() -> None:
    access = ClientAccess("alice")
    access.authorize(WEB)
    new = DnsResource("web", "*.example", [Tcp(80)])
    assert access.authorize(new).resource == new


@pytest.mark.parametrize(
    ("of_a", "of_b", "answer"),
    [
        pytest.param([Tcp(443)], [Tcp(443)], "b", id="both-permit"),
        pytest.param([Tcp(443)], [Tcp(80)], "a", id="lesser-id-permits"),
        pytest.param([Udp()], [Tcp(80)], Reason.TCP_PORT, id="none-permits"),
    ],
)
def test_of_dns_resources_that_share_a_proxy_the_greatest_id_that_permits_answers(
    of_a: list[Tcp | Udp], of_b: list[Tcp | Udp], answer: str | Reason
) -> None:
    access = Access(DnsResource("b", "*.example", of_b), DnsResource("a", "a.example", of_a))
    access.resolve("a", PROXY_4)
    access.resolve("b", PROXY_4)
    assert access.asked(PROXY_4) == answer


def test_in_the_dns_ranges_neither_a_network_of_everything_nor_the_internet_counts() -> None:
    access = Access(WEB, CidrResource("zzz", "0.0.0.0/0"), InternetResource("zzzz"))
    access.resolve("web", PROXY_4)
    assert access.asked(PROXY_4, UDP) is Reason.UDP_PORT


# --- Local services ----------------------------------------------------------------------

SERVICES = ["169.254.169.254", "fe80::1", "fd00:ec2::254", "fd20:ce::254"]


@pytest.mark.parametrize("service", SERVICES)
def test_local_services_are_covered_by_networks_inside_their_range_alone(service: str) -> None:
    access = Access(CidrResource("all4", "0.0.0.0/0"), CidrResource("all6", "::/0"))
    assert access.asked(service) is Reason.NO_RESOURCE
    access.authorize(CidrResource("host", service, [Tcp(80)]))
    assert (access.asked(service, TCP, 80), access.asked(service)) == ("host", Reason.TCP_PORT)
    access.revoke("host")
    assert access.asked(service, TCP, 80) is Reason.NO_RESOURCE


def test_of_networks_of_local_services_the_rules_choose_as_of_others() -> None:
    access = Access(
        CidrResource("link", "169.254.0.0/16", [Tcp(80)]),
        CidrResource("host", "169.254.169.254", [Udp(53)]),
        CidrResource("all", "0.0.0.0/0"),
    )
    host = "169.254.169.254"
    assert access.asked(host, TCP, 80) == "link"
    assert access.asked(host, UDP, 53) == "host"
    assert access.asked(host, TCP, 81) is Reason.TCP_PORT
    assert access.asked("169.254.1.1", UDP, 53) is Reason.UDP_PORT
    assert access.asked("169.253.255.255", TCP, 81) == "all"


def test_the_internet_competes_for_local_services_and_permits_none() -> None:
    access = Access(INTERNET, CidrResource("all", "0.0.0.0/0"))
    assert access.asked("169.254.169.254") is Reason.NOT_INTERNET
    access.authorize(CidrResource("host", "169.254.169.254", [Tcp(80)]))
    assert access.asked("169.254.169.254", TCP, 80) == "host"
    assert access.asked("169.254.169.254") is Reason.TCP_PORT


def test_a_client_without_local_services_has_no_tree_for_them() -> None:
    access, other = Access(), Access(client_id="bob")
    assert access.local_networks is other.local_networks
    access.authorize(CidrResource("link", "169.254.0.0/16"))
    assert access.local_networks is not other.local_networks
    assert other.asked("169.254.0.1") is Reason.NO_RESOURCE


# --- Revoking ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "resource", [CidrResource("a", "9.9.9.0/24"), InternetResource("a")], ids=["network", "all"]
)
def test_a_revoked_resource_permits_nothing_and_the_others_stay(resource: Resource) -> None:
    access = Access(resource, WEB)
    access.revoke("a")
    assert access.asked("9.9.9.9") is Reason.NO_RESOURCE
    assert list(access.authorizations) == ["web"]


def test_a_revoked_dns_resource_covers_its_proxies_no_more_even_if_it_comes_again() -> None:
    access = Access(WEB, DnsResource("other", "a.example"))
    access.resolve("web", PROXY_4, PROXY_6)
    access.resolve("other", PROXY_4)
    access.revoke("web")
    # The other one shares the first.
    assert access.asked(PROXY_4, UDP) == "other"
    assert access.asked(PROXY_6) is Reason.NO_RESOURCE
    access.authorize(WEB)
    assert access.asked(PROXY_6) is Reason.NO_RESOURCE


# --- Over, and not yet withdrawn ---------------------------------------------------------

# Authorized in this order, each until the moment that is its name's number; what is asked at 5,
# and who answers.
AT_FIVE: dict[str, Case] = {
    "over": ((CidrResource("5", "10.0.0.0/8"),), "10.0.0.5", Reason.NO_RESOURCE),
    "lives": ((CidrResource("6", "10.0.0.0/8"),), "10.0.0.5", "6"),
    "wider-one-lives": (
        (CidrResource("5", "10.0.0.0/8"), CidrResource("6", "0.0.0.0/0", [Udp()])),
        "10.0.0.5",
        Reason.TCP_PORT,
    ),
    "special": ((CidrResource("6", "0.0.0.0/0"),), "127.0.0.1", Reason.NO_RESOURCE),
    "local-service": ((CidrResource("6", "169.254.0.0/16"),), "169.254.1.1", "6"),
    "internet": ((InternetResource("6"), InternetResource("5")), "9.9.9.9", "6"),
    "internet-over": ((InternetResource("5"),), "9.9.9.9", Reason.NO_RESOURCE),
    "internet-over-network-lives": (
        (InternetResource("5"), CidrResource("6", "9.9.9.0/24", [Udp()])),
        "9.9.9.9",
        Reason.TCP_PORT,
    ),
    "name": ((DnsResource("4", "*.example"), DnsResource("6", "*.example")), PROXY_4, "6"),
    "name-over": (
        (DnsResource("7", "*.example", [Udp()]), DnsResource("5", "*.example")),
        PROXY_4,
        Reason.TCP_PORT,
    ),
    "names-over": (
        (DnsResource("4", "*.example"), DnsResource("5", "*.example")),
        PROXY_4,
        Reason.NO_RESOURCE,
    ),
}


@pytest.mark.parametrize(("resources", "address", "answer"), AT_FIVE.values(), ids=AT_FIVE)
def test_from_its_expiry_on_an_authorization_counts_for_nothing(
    resources: tuple[Resource, ...], address: str, answer: str | Reason
) -> None:
    access = Access(*resources)
    for resource_id, authorization in access.authorizations.items():
        authorization.expires_at = float(resource_id)
        if isinstance(authorization.resource, DnsResource):
            access.resolve(resource_id, PROXY_4)
    access.first_expiry = min(map(access.ends_at, access.authorizations))
    far = ip_address(address).packed
    found = access.permission(far, PLAN.flags(far), TCP, 443, 5.0)
    assert (found.resource_id if isinstance(found, Forward) else found) == answer
