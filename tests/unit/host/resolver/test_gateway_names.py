"""What the resolver is told of a gateway."""

from contextlib import suppress
from ipaddress import ip_address

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from firezone_filter import (
    CidrResource,
    DnsResource,
    InvalidPolicy,
    PolicyAuthorization,
    PolicyDomain,
)
from firezone_filter.host.resolver.access import NamesFullError
from firezone_filter.host.resolver.gateway_names import GatewayNames
from firezone_filter.values.domains import DomainPattern
from tests.unit.host.resolver.world import ALICE, BOB, GIT, World, world

NAME = "git.example.com"
PROXY = ip_address("100.96.0.1")
REAL = ip_address("10.0.0.80")


def test_a_client_is_known_by_its_tunnel_addresses() -> None:
    names = world().names
    found = [names.client_of(address) for address in (*ALICE.present(), *BOB.present())]
    assert [(one.id, set(one.versions)) for one in found if one] == [
        ("alice", {4, 6}),
        ("alice", {4, 6}),
        ("bob", {4}),
    ]
    assert names.client_of(ip_address("100.64.0.9")) is None


def test_a_client_that_is_gone_or_has_another_address_is_not_known() -> None:
    made = world()
    made.gateway.client_disconnected("bob")
    assert made.names.client_of(BOB.present()[0]) is None
    made.gateway.client_connected("alice", BOB)
    assert made.names.client_of(ALICE.present()[0]) is None
    made.names.refresh()
    client = made.names.client_of(BOB.present()[0])
    assert client is not None
    assert client.id == "alice"


def test_nobody_may_reach_anything_who_is_not_connected() -> None:
    names = world().names
    assert not names.is_open("carol", NAME)
    assert names.fixed("carol", NAME) is None
    assert names.holder("carol", PROXY) is None
    names.tell("carol", NAME, (PROXY,), (REAL,))
    assert names.holder("carol", PROXY) is None


def test_only_dns_resources_have_names() -> None:
    made = World(("alice", ALICE, [PolicyAuthorization(CidrResource("net", "10.0.0.0/8"))]))
    assert not made.names.is_open("alice", NAME)


def test_a_gateway_without_a_policy_has_all_names_open() -> None:
    made = world()
    names = GatewayNames(made.gateway)
    assert names.is_open("alice", NAME)
    assert names.policy is None
    names.tell("alice", NAME, (PROXY,), (REAL,))
    assert names.holder("alice", PROXY) == NAME


def test_a_policy_that_lists_names_closes_the_pattern() -> None:
    made = world()
    listed = [PolicyAuthorization(GIT, domains=[PolicyDomain(NAME, [PROXY], [REAL])])]
    made.names.policy = World(("alice", ALICE, listed)).policy
    assert made.names.fixed("alice", NAME) == (PROXY,)
    assert not made.names.is_open("alice", NAME)
    assert made.names.is_open("bob", NAME)


def test_what_the_gateway_has_forgotten_is_told_again() -> None:
    made = world()
    made.names.tell("alice", NAME, (PROXY,), (REAL,))
    made.names.tell("alice", NAME, (PROXY,), (REAL,))
    assert made.hooks == 1
    made.gateway.revoke("alice", "git")
    made.gateway.authorize("alice", GIT)
    made.names.tell("alice", NAME, (PROXY,), (REAL,))
    assert (made.hooks, made.names.holder("alice", PROXY)) == (2, NAME)
    made.gateway.client_connected("alice", ALICE)
    made.gateway.authorize("alice", GIT)
    made.names.tell("alice", NAME, (PROXY,), (REAL,))
    assert (made.hooks, made.names.holder("alice", PROXY)) == (3, NAME)


def test_what_is_told_of_one_version_leaves_the_other_alone() -> None:
    made = world()
    made.names.tell("alice", NAME, (PROXY,), (REAL,))
    made.names.tell(
        "alice", NAME, (ip_address("fd00:2021:1111:8000::1"),), (ip_address("2001:db8::80"),)
    )
    assert list(made.leads_to("alice").values()) == ["10.0.0.80", "2001:db8::80"]


def test_a_policy_that_is_read_again_leaves_names_alone() -> None:
    made = world()
    made.names.tell("alice", NAME, (PROXY,), (REAL,))
    made.policy.apply(made.gateway, made.clock.now + 1.0, connect=True)
    assert made.leads_to("alice") == {str(PROXY): str(REAL)}


def test_of_a_client_that_is_gone_nothing_is_kept() -> None:
    made = world()
    made.names.tell("alice", NAME, (PROXY,), (REAL,))
    made.gateway.client_disconnected("alice")
    made.names.refresh()
    assert made.names._known == {}


def test_of_a_permission_that_is_gone_nothing_is_kept() -> None:
    made = world()
    made.names.tell("alice", NAME, (PROXY,), (REAL,))
    made.gateway.revoke("alice", "git")
    assert not made.names.is_open("alice", NAME)
    assert made.names.holder("alice", PROXY) is None


@given(
    patterns=st.lists(st.text("ab.*?", min_size=1, max_size=6), max_size=6),
    name=st.lists(st.text("ab", min_size=1, max_size=2), min_size=1, max_size=4).map(".".join),
)
@example(patterns=["**", "*.a", "a.**.b", "?*.b"], name="a.b")
def test_names_belong_to_all_resources_that_match_them(patterns: list[str], name: str) -> None:
    resources = []
    for number, text in enumerate(patterns):
        with suppress(InvalidPolicy):
            resources.append(DnsResource(str(number), text))
    made = World(("alice", ALICE, map(PolicyAuthorization, resources)))
    made.names.tell("alice", name, (PROXY,), (REAL,))
    found = [one for proxy in made.gateway.client("alice").proxies for one in proxy.resource_ids]
    assert found == [one.id for one in resources if DomainPattern.parse(one.address).matches(name)]


def test_the_events_are_fetched_also_where_there_is_no_room() -> None:
    made = world()
    made.gateway.update_expiry("bob", "git", made.clock.now)
    many = tuple(ip_address(f"100.96.{n // 256}.{n % 256}") for n in range(1025))
    with pytest.raises(NamesFullError, match="1025 proxy addresses, more than 960"):
        made.names.tell("alice", NAME, many, (REAL,))
    assert made.events > 0


@pytest.mark.parametrize(
    ("address", "admitted"),
    [("10.0.0.1", True), ("8.8.8.8", True), ("127.0.0.1", False), ("169.254.169.254", False)],
)
def test_addresses_that_no_name_may_lead_to_are_not_admitted(
    address: str,
    admitted: bool,  # noqa: FBT001
) -> None:
    assert world().names.admits(ip_address(address)) is admitted
