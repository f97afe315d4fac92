import json
from collections.abc import Callable
from types import MappingProxyType

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
from firezone_filter.values.decisions import Direction
from firezone_filter.values.errors import FirezoneFilterError, InvalidPolicy, InvalidTime
from firezone_filter.values.events import AccessExhausted, AuthorizationExpired
from firezone_filter.values.options import GatewayOptions
from firezone_filter.values.resources import (
    CidrResource,
    DnsResource,
    Icmp,
    InternetResource,
    Resource,
    Tcp,
    Udp,
)
from tests.builders import tcp

OUTBOUND, INBOUND = Direction.OUTBOUND, Direction.INBOUND

# As it stands in the issue that asked for policy files.
EXAMPLE = """
{"gateway": {"ipv4": "100.64.0.1", "ipv6": "fd00:2021:1111::1"},
 "address_plan": {"tunnel": ["100.64.0.0/11"], "dns_resources": ["100.96.0.0/11"]},
 "clients": [{"id": "alice", "ipv4": "100.64.0.2", "authorizations": [
   {"resource": {"type": "cidr", "id": "db", "name": "Database", "address": "10.0.0.0/24",
                 "filters": [{"protocol": "tcp", "port_range_start": 5432, "port_range_end": 5432}, {"protocol": "icmp"}]},
    "expires_at": 1790000000}]}]}
"""  # noqa: E501 - quoted as it stands

EXPIRY = 1_790_000_000.0

GATEWAY = TunnelAddresses("100.64.0.1")
ALICE = TunnelAddresses("100.64.0.2", "fd00:2021:1111::2")
BOB = TunnelAddresses("100.64.0.3")
DB = CidrResource("db", "10.0.0.0/24", [Tcp(5432)])

FAMILIES = [{"ipv4": "100.64.0.1"}, {"ipv6": "fd00:2021:1111::1"}]


def client(**fields: object) -> dict[str, object]:
    return {"id": "alice", "ipv4": "100.64.0.2", "authorizations": []} | fields


def document(*clients: object, **fields: object) -> dict[str, object]:
    return {"gateway": {"ipv4": "100.64.0.1"}, "clients": list(clients)} | fields


def authorized(*resources: Resource, expires_at: float | None = None) -> PolicyClient:
    return PolicyClient(
        "alice", ALICE, [PolicyAuthorization(one, expires_at) for one in resources]
    )


# --- The example of the issue -------------------------------------------------------------


def test_the_example_loads_as_it_stands() -> None:
    database = CidrResource("db", "10.0.0.0/24", [Tcp(5432), Icmp()], "Database")
    alice = PolicyClient(
        "alice", TunnelAddresses("100.64.0.2"), [PolicyAuthorization(database, EXPIRY)]
    )
    own = TunnelAddresses("100.64.0.1", "fd00:2021:1111::1")
    assert load_policy(EXAMPLE) == Policy(own, AddressPlan(), [alice])


@pytest.mark.parametrize(
    ("direction", "flow"),
    [
        (OUTBOUND, "100.64.0.2:40000 > 10.0.0.5:5432"),
        (INBOUND, "10.0.0.5:5432 > 100.64.0.2:40000"),
    ],
)
@pytest.mark.parametrize(
    ("now", "allowed"),
    [(EXPIRY - 1, True), (EXPIRY - 0.001, True), (EXPIRY, False), (EXPIRY + 1, False)],
)
def test_the_examples_gateway_permits_until_its_expiry(
    direction: Direction, flow: str, now: float, *, allowed: bool
) -> None:
    gateway = load_policy(EXAMPLE).gateway(1_789_999_999.0)
    assert gateway.handle_packet(direction, tcp(flow), now).allowed is allowed


# --- What may be left out -----------------------------------------------------------------


def test_without_a_plan_the_default_one_holds() -> None:
    assert load_policy(document()).address_plan == AddressPlan()


@pytest.mark.parametrize("lists", [{}, {"tunnel": []}, {"dns_resources": []}])
def test_a_list_that_names_nothing_keeps_its_default_ranges(lists: object) -> None:
    assert load_policy(document(address_plan=lists)).address_plan == AddressPlan()


def test_a_family_that_a_list_does_not_name_keeps_its_default_range() -> None:
    plan = {"tunnel": ["100.64.0.0/12"], "dns_resources": ["fd00:5::/64", "fd00:6::/64"]}
    assert load_policy(document(address_plan=plan)).address_plan == AddressPlan(
        tunnel=["100.64.0.0/12", "fd00:2021:1111::/107"],
        dns_resources=["fd00:5::/64", "fd00:6::/64", "100.96.0.0/11"],
    )


@pytest.mark.parametrize("addresses", FAMILIES)
def test_a_gateway_of_one_family_will_do(addresses: dict[str, str]) -> None:
    policy = load_policy(document(gateway=addresses))
    assert policy.addresses == TunnelAddresses(**addresses)


def test_an_address_that_is_null_is_the_same_as_a_missing_one() -> None:
    policy = load_policy(document(client(ipv6=None)))
    assert policy.clients[0].addresses == TunnelAddresses("100.64.0.2")


@pytest.mark.parametrize("expiry", [{}, {"expires_at": None}])
def test_an_authorization_without_an_expiry_never_ends(expiry: dict[str, object]) -> None:
    entry = {"resource": {"type": "internet", "id": "net"}} | expiry
    policy = load_policy(document(client(authorizations=[entry])))
    assert policy.clients[0].authorizations == (
        PolicyAuthorization(InternetResource("net"), None),
    )


def test_unknown_fields_of_the_gateway_and_of_clients_are_ignored() -> None:
    gateway: dict[str, object] = {"ipv4": "100.64.0.1", "upstream_dns": [], "search_domain": None}
    alice = client(public_key="fiAj", device_serial=["x", {"y": 1.5}])
    assert load_policy(document(alice, gateway=gateway)) == load_policy(document(client()))


# --- What keeps its place -----------------------------------------------------------------


def test_clients_and_authorizations_keep_their_order() -> None:
    ids = ["b", "a", "c"]
    entries = [{"resource": {"type": "internet", "id": one}} for one in ids]
    clients = [client(id=one, ipv4=f"100.64.1.{n}") for n, one in enumerate(ids)]
    policy = load_policy(document(client(authorizations=entries), *clients))
    assert [one.id for one in policy.clients] == ["alice", *ids]
    assert [one.resource.id for one in policy.clients[0].authorizations] == ids


def test_one_resource_id_may_mean_different_networks_to_two_clients() -> None:
    entries: list[object] = [
        {"resource": {"type": "cidr", "id": "db", "address": network, "filters": []}}
        for network in ("10.0.0.0/24", "10.9.0.0/24")
    ]
    first = client(authorizations=entries[:1])
    second = client(id="bob", ipv4="100.64.0.3", authorizations=entries[1:])
    assert load_policy(document(first, second)).gateway().clients() == ("alice", "bob")


# --- The types of a source ----------------------------------------------------------------


@pytest.mark.parametrize("form", [EXAMPLE.encode(), json.loads(EXAMPLE)])
def test_bytes_and_parsed_mappings_say_the_same_as_text(form: bytes | dict[str, object]) -> None:
    assert load_policy(form) == load_policy(EXAMPLE)


def test_any_mapping_and_tuples_will_do() -> None:
    policy = MappingProxyType(document() | {"clients": (MappingProxyType(client()),)})
    assert load_policy(policy) == load_policy(document(client()))


# --- The gateway --------------------------------------------------------------------------


def test_the_gateway_has_every_client_with_its_authorizations() -> None:
    web = CidrResource("web", "10.1.0.0/24")
    policy = Policy(GATEWAY, clients=[authorized(DB, web), PolicyClient("bob", BOB)])
    gateway = policy.gateway()
    assert gateway.clients() == ("alice", "bob")
    assert gateway.authorizations("alice") == {"db": None, "web": None}
    assert gateway.authorizations("bob") == {}


def test_the_gateway_has_the_policys_plan() -> None:
    plan = AddressPlan(tunnel=["10.64.0.0/16", "fd64::/64"])
    policy = Policy(
        TunnelAddresses("10.64.0.1"), plan, [PolicyClient("eve", TunnelAddresses("10.64.0.2"))]
    )
    assert policy.gateway().clients() == ("eve",)


def test_the_gateway_has_the_options_that_are_handed_in() -> None:
    packet = tcp("100.64.0.2:40000 > 10.9.9.9:80")
    policy = Policy(GATEWAY, clients=[authorized(DB)])
    silent = policy.gateway(options=GatewayOptions(reject=False))
    assert type(policy.gateway().handle_packet(OUTBOUND, packet)).__name__ == "Reject"
    assert type(silent.handle_packet(OUTBOUND, packet)).__name__ == "Drop"


def test_each_gateway_is_a_new_one() -> None:
    policy = Policy(GATEWAY, clients=[authorized(DB)])
    policy.gateway().client_disconnected("alice")
    assert policy.gateway().clients() == ("alice",)


def test_an_expiry_without_a_now_is_an_invalid_time() -> None:
    # Without a clock the permission would never end.
    with pytest.raises(InvalidTime, match=r"expires_at 1790000000 before any now"):
        load_policy(EXAMPLE).gateway()


def test_a_policy_without_expiries_needs_no_now() -> None:
    gateway = Policy(GATEWAY, clients=[authorized(DB)]).gateway()
    assert gateway.authorizations("alice") == {"db": None}


def test_a_now_starts_the_clock_even_without_clients() -> None:
    gateway = Policy(GATEWAY).gateway(EXPIRY - 1)
    gateway.client_connected("alice", ALICE)
    gateway.authorize("alice", DB, expires_at=EXPIRY)
    assert gateway.poll_timeout() == EXPIRY


@pytest.mark.parametrize("now", [EXPIRY, EXPIRY + 1])
def test_an_expiry_that_has_passed_takes_effect_and_is_told(now: float) -> None:
    gateway = load_policy(EXAMPLE).gateway(now)
    assert gateway.authorizations("alice") == {}
    assert gateway.poll_event() == AuthorizationExpired("alice", "db", EXPIRY)
    assert gateway.poll_event() == AccessExhausted("alice")


def test_a_now_that_is_not_finite_is_an_invalid_time() -> None:
    with pytest.raises(InvalidTime):
        Policy(GATEWAY).gateway(float("nan"))


# --- A policy by hand ---------------------------------------------------------------------


def test_two_clients_of_one_id_are_a_fault_by_hand_too() -> None:
    with pytest.raises(InvalidPolicy) as caught:
        Policy(GATEWAY, clients=[PolicyClient("alice", ALICE), PolicyClient("alice", BOB)])
    assert caught.value.faults == ("clients[1].id: 'alice' is already clients[0].id",)


def test_two_authorizations_of_one_resource_are_a_fault_by_hand_too() -> None:
    first, second = (f"clients[0].authorizations[{n}].resource.id" for n in range(2))
    with pytest.raises(InvalidPolicy) as caught:
        Policy(GATEWAY, clients=[authorized(DB, DB)])
    assert caught.value.faults == (f"{second}: 'db' is already {first}",)


def test_addresses_in_conflict_are_faults_by_hand_too() -> None:
    eve = PolicyClient("eve", TunnelAddresses("100.64.0.1", "2001:db8::1"))
    with pytest.raises(InvalidPolicy) as caught:
        Policy(GATEWAY, clients=[eve])
    assert caught.value.faults == (
        "clients[0].ipv4: '100.64.0.1' is already gateway.ipv4",
        "clients[0].ipv6: '2001:db8::1' is outside the tunnel ranges",
    )


def test_a_gateway_outside_the_tunnel_ranges_is_a_fault_by_hand_too() -> None:
    with pytest.raises(InvalidPolicy) as caught:
        Policy(TunnelAddresses("10.0.0.1"))
    assert caught.value.value == "10.0.0.1"


@pytest.mark.parametrize("expires_at", [float("inf"), float("nan")])
def test_an_expiry_by_hand_is_finite(expires_at: float) -> None:
    with pytest.raises(InvalidTime):
        PolicyAuthorization(DB, expires_at)


def test_a_client_by_hand_has_an_id() -> None:
    with pytest.raises(FirezoneFilterError):
        PolicyClient("", ALICE)


WRONG_TYPES: list[tuple[Callable[..., object], tuple[object, ...]]] = [
    (PolicyAuthorization, ("db",)),
    (PolicyAuthorization, (DB, "tomorrow")),
    (PolicyAuthorization, (DB, True)),
    (PolicyClient, ("alice", "100.64.0.2")),
    (PolicyClient, ("alice", ALICE, None)),
    (PolicyClient, ("alice", ALICE, [DB])),
    (PolicyClient, (b"alice", ALICE)),
    (Policy, ("100.64.0.1",)),
    (Policy, (GATEWAY, None)),
    (Policy, (GATEWAY, AddressPlan(), ["alice"])),
    (Policy(GATEWAY).gateway, ("noon",)),
    (dump_policy, (EXAMPLE,)),
]


@pytest.mark.parametrize(("call", "arguments"), WRONG_TYPES)
def test_a_wrong_type_is_a_type_error(
    call: Callable[..., object], arguments: tuple[object, ...]
) -> None:
    with pytest.raises(TypeError):
        call(*arguments)


TOO_LONG = 10**5000


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        (PolicyAuthorization, (TOO_LONG,)),
        (PolicyAuthorization, ([TOO_LONG],)),
        (PolicyAuthorization, (DB, [TOO_LONG])),
        (PolicyAuthorization, (DB, None, TOO_LONG)),
        (PolicyAuthorization, (DB, None, [TOO_LONG])),
        (PolicyDomain, (TOO_LONG, (), ())),
        (PolicyDomain, ("a.b", TOO_LONG, ())),
        (PolicyDomain, ("a.b", [TOO_LONG], ())),
        (PolicyDomain, ("a.b", (), TOO_LONG)),
        (PolicyDomain, ("a.b", (), [TOO_LONG])),
        (PolicyClient, (TOO_LONG, ALICE)),
        (PolicyClient, ("alice", TOO_LONG)),
        (PolicyClient, ("alice", ALICE, TOO_LONG)),
        (PolicyClient, ("alice", ALICE, [TOO_LONG])),
        (Policy, (TOO_LONG,)),
        (Policy, (GATEWAY, TOO_LONG)),
        (Policy, (GATEWAY, AddressPlan(), TOO_LONG)),
        (Policy, (GATEWAY, AddressPlan(), [TOO_LONG])),
        (dump_policy, (TOO_LONG,)),
        (load_policy, (TOO_LONG,)),
        (load_policy, ([TOO_LONG],)),
    ],
)
def test_a_wrong_type_is_a_type_error_even_if_it_cannot_be_shown(
    call: Callable[..., object], arguments: tuple[object, ...]
) -> None:
    with pytest.raises(TypeError, match=r"\(too long to show\)$"):
        call(*arguments)


# Iterable by accident, and empty: it would be taken for "none".
@pytest.mark.parametrize("nothing", ["", b"", bytearray(), memoryview(b""), {}])
@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda none: PolicyDomain("a.b", none, ()), id="proxy_addresses"),
        pytest.param(lambda none: PolicyDomain("a.b", (), none), id="resolved_addresses"),
        pytest.param(lambda none: PolicyAuthorization(DB, domains=none), id="domains"),
        pytest.param(lambda none: PolicyClient("a", ALICE, none), id="authorizations"),
        pytest.param(lambda none: Policy(GATEWAY, clients=none), id="clients"),
    ],
)
def test_an_empty_text_or_mapping_is_no_list_of_nothing(
    make: Callable[[object], object], nothing: object
) -> None:
    with pytest.raises(TypeError, match=r" are an iterable"):
        make(nothing)


def test_lists_by_hand_may_be_any_iterable_and_are_read_once() -> None:
    alice = PolicyClient("alice", ALICE, (PolicyAuthorization(one) for one in [DB]))
    policy = Policy(GATEWAY, clients=iter([alice]))
    assert policy == Policy(GATEWAY, clients=[authorized(DB)])


# --- Dumping ------------------------------------------------------------------------------

EVERY_KIND: list[Resource] = [
    CidrResource("net4", "10.0.0.0/24"),
    CidrResource("net6", "fd00:5::/64", [Tcp(), Tcp("8000-8100"), Udp(53), Icmp()], "Zürich"),
    DnsResource("git", "*.Example.com", [Tcp(443)]),
    DnsResource("wiki", "wiki.example.com", (), "Wiki"),
    InternetResource("web", "Web", ["203.0.113.0/24", "2001:db8::/32"]),
    InternetResource("all"),
]


def test_the_example_comes_back_as_it_was() -> None:
    policy = load_policy(EXAMPLE)
    assert load_policy(dump_policy(policy)) == policy


@pytest.mark.parametrize("resource", EVERY_KIND, ids=lambda resource: str(resource.id))
@pytest.mark.parametrize("expires_at", [None, 1_790_000_000, 1_790_000_000.25])
def test_every_kind_of_resource_comes_back_as_it_was(
    resource: Resource, expires_at: float | None
) -> None:
    policy = Policy(GATEWAY, clients=[authorized(resource, expires_at=expires_at)])
    assert load_policy(dump_policy(policy)) == policy


def test_a_plan_comes_back_as_it_was() -> None:
    plan = AddressPlan(
        tunnel=["100.64.0.0/16", "100.66.0.0/16", "fd64::/64"],
        dns_resources=["fd65::/64", "100.96.0.0/16"],
    )
    policy = Policy(GATEWAY, plan)
    assert load_policy(dump_policy(policy)) == policy


def test_a_dump_can_be_written_in_any_encoding() -> None:
    assert dump_policy(Policy(GATEWAY, clients=[authorized(EVERY_KIND[1])])).isascii()


def test_a_dump_says_only_what_is_not_understood() -> None:
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


@pytest.mark.parametrize(
    ("tunnel", "dns", "fault"),
    [
        (["100.64.0.0/11"], ["100.96.0.0/11", "fd65::/64"], "address_plan.tunnel: no IPv6 range"),
        (["100.64.0.0/11", "fd64::/64"], [], "address_plan.dns_resources: no IPv4 range"),
    ],
)
def test_a_plan_without_a_family_is_not_dumped(
    tunnel: list[str], dns: list[str], fault: str
) -> None:
    # It would come back with the default ranges of that family.
    with pytest.raises(InvalidPolicy, match=fault):
        dump_policy(Policy(GATEWAY, AddressPlan(tunnel, dns)))


def test_what_could_not_be_read_back_is_not_dumped() -> None:
    with pytest.raises(InvalidPolicy, match=r"clients\[0\]\.id: .* is not Unicode"):
        dump_policy(Policy(GATEWAY, clients=[PolicyClient("\ud800", ALICE)]))
