"""Section 7: what ends a flow beside its time, and what leaves it alone."""

from collections.abc import Callable
from typing import Final

import pytest
from attrs import evolve

from firezone_filter import (
    CidrResource,
    DnsResource,
    Drop,
    Forward,
    Gateway,
    Reason,
    Tcp,
    TunnelAddresses,
    Udp,
)
from firezone_filter.testing import RST, fragment
from tests.rules.solicited import STATEFUL, UNSOLICITED, live_flows, solicited, talks
from tests.rules.ways import Way, both_ways, direct_ways, nat_ways
from tests.scenes import (
    ALICE,
    BOB,
    INBOUND,
    OUTBOUND,
    Family,
    both_families,
    gateway_for_alice,
    reasons,
)
from tests.translations import TICK, resolve

OTHER_NAME: Final = "db.example.com"
PASSES: Final = Forward("alice", "db")

Hook = Callable[[Gateway, Way], object]


def talking(family: Family) -> Gateway:
    """Let Alice have one answered flow of each kind; all decisions are remembered."""
    gateway = gateway_for_alice(family.db(), options=STATEFUL)
    for _, sent, came in talks(family):
        for _ in range(2):
            assert gateway.handle_packet(OUTBOUND, sent) == PASSES
            assert gateway.handle_packet(INBOUND, came) == PASSES
    return gateway


def answers(family: Family) -> list[bytes]:
    return [came for _, _, came in talks(family)]


def reconnect(gateway: Gateway) -> None:
    gateway.client_connected("alice", ALICE)


def disconnect(gateway: Gateway) -> None:
    assert gateway.client_disconnected("alice")
    reconnect(gateway)


def move_away_and_back(gateway: Gateway) -> None:
    elsewhere = TunnelAddresses("100.64.0.77", "fd00:2021:1111::77")
    gateway.client_connected("alice", elsewhere)
    reconnect(gateway)


def expire(gateway: Gateway) -> None:
    gateway.handle_timeout(1.0)
    gateway.update_expiry("alice", "db", 2.0)
    gateway.handle_timeout(2.0)


def expire_at_once(gateway: Gateway) -> None:
    gateway.handle_timeout(1.0)
    gateway.update_expiry("alice", "db", 1.0)


def expire_by_clock(gateway: Gateway) -> None:
    gateway.handle_timeout(1.0)
    gateway.update_expiry("alice", "db", 500.0)
    gateway.clock_set(500.0)


ENDS: Final[dict[str, Callable[[Gateway], object]]] = {
    "revoke": lambda gateway: gateway.revoke("alice", "db"),
    "retain-nothing": lambda gateway: gateway.retain_authorizations({}),
    "retain-another": lambda gateway: gateway.retain_authorizations({"alice": {"other"}}),
    "expire": expire,
    "expire-at-once": expire_at_once,
    "expire-by-clock": expire_by_clock,
    "reconnect": reconnect,
    "disconnect": disconnect,
    "move": move_away_and_back,
}


@pytest.mark.parametrize("end", ENDS)
@both_families
def test_flows_end_with_their_authorization_and_with_the_tunnel_session(
    family: Family, end: str
) -> None:
    gateway = talking(family)
    count = len(answers(family))
    assert gateway.counters().flows == count
    ENDS[end](gateway)
    assert gateway.counters().flows == 0
    gone = [Reason.NO_RESOURCE] * count
    assert reasons(gateway, INBOUND, answers(family)) == gone
    # Given again at once, nothing of before comes back to life.
    gateway.authorize("alice", family.db())
    assert gateway.handle_packets(INBOUND, answers(family)) == [UNSOLICITED] * count
    for _, sent, came in talks(family):
        assert gateway.handle_packet(OUTBOUND, sent) == PASSES
        assert gateway.handle_packet(INBOUND, came) == PASSES
    assert gateway.counters().flows == count


@both_families
def test_renewing_by_an_expiry_that_has_passed_ends_them_too(family: Family) -> None:
    gateway = talking(family)
    gateway.handle_timeout(1.0)
    gateway.authorize("alice", family.db(), expires_at=1.0)
    assert gateway.counters().flows == 0
    gateway.authorize("alice", family.db())
    count = len(answers(family))
    assert gateway.handle_packets(INBOUND, answers(family)) == [UNSOLICITED] * count


@both_families
def test_flows_end_at_the_moment_of_expiry_and_not_before(family: Family) -> None:
    for now, expected in ((10.0 - TICK, PASSES), (10.0, UNSOLICITED)):
        gateway = gateway_for_alice(options=STATEFUL)
        gateway.authorize("alice", family.db(), expires_at=10.0)
        assert gateway.handle_packet(OUTBOUND, family.udp(OUTBOUND), 0.0) == PASSES
        assert gateway.handle_packet(INBOUND, family.udp(INBOUND), 1.0) == PASSES
        # Time passes with any packet.
        gateway.handle_packet(INBOUND, b"", now)
        gateway.authorize("alice", family.db())
        assert gateway.handle_packet(INBOUND, family.udp(INBOUND)) == expected


# --- What leaves them alone ---------------------------------------------------------------------


def narrow_and_widen(gateway: Gateway, family: Family) -> None:
    gateway.update_resource(family.db(Tcp(1)))
    [first, *others] = reasons(gateway, INBOUND, answers(family))
    assert first == Reason.TCP_PORT
    assert None not in others
    gateway.update_resource(family.db())


def give_and_take_another(gateway: Gateway, family: Family) -> None:
    gateway.authorize("alice", family.everything())
    assert gateway.revoke("alice", "all")


LEAVES: Final[dict[str, Callable[[Gateway, Family], object]]] = {
    "update-resource": narrow_and_widen,
    "authorize": lambda gateway, family: gateway.authorize("alice", family.db()),
    "authorize-with-expiry": lambda gateway, family: gateway.authorize(
        "alice", family.db(), expires_at=1_000.0
    ),
    "update-expiry": lambda gateway, _: gateway.update_expiry("alice", "db", 1_000.0),
    "no-expiry": lambda gateway, _: gateway.update_expiry("alice", "db", None),
    "retain": lambda gateway, _: gateway.retain_authorizations({"alice": {"db"}}),
    "other-resource": give_and_take_another,
    "unknown-resource": lambda gateway, _: gateway.revoke("alice", "other"),
    "other-client": lambda gateway, _: gateway.client_connected("bob", BOB),
    "own-addresses": lambda gateway, _: gateway.set_addresses(
        TunnelAddresses("100.64.0.200", "fd00:2021:1111::200")
    ),
    "clock": lambda gateway, _: gateway.clock_set(-50.0),
}


@pytest.mark.parametrize("hook", LEAVES)
@both_families
def test_renewing_and_what_concerns_others_leaves_flows_alone(family: Family, hook: str) -> None:
    gateway = talking(family)
    LEAVES[hook](gateway, family)
    assert gateway.counters().flows == len(answers(family))
    assert gateway.handle_packets(INBOUND, answers(family)) == [PASSES] * len(answers(family))


@both_families
def test_a_renewal_before_the_expiry_carries_flows_over_it(family: Family) -> None:
    for authorize in (False, True):
        gateway = gateway_for_alice(options=STATEFUL)
        gateway.authorize("alice", family.db(), expires_at=10.0)
        assert gateway.handle_packet(OUTBOUND, family.udp(OUTBOUND), 0.0) == PASSES
        gateway.handle_timeout(9.0)
        if authorize:
            gateway.authorize("alice", family.db(), expires_at=100.0)
        else:
            assert gateway.update_expiry("alice", "db", 100.0)
        came = family.udp(INBOUND)
        assert gateway.handle_packet(INBOUND, came, 10.0) == PASSES
        assert gateway.handle_packet(INBOUND, came, 100.0 - TICK) == PASSES
        assert gateway.handle_packet(INBOUND, came, 100.0) == Drop(Reason.NO_RESOURCE, "alice")


# --- The authorization that permitted the first packet -----------------------------------------


@both_families
def test_a_flow_is_of_the_authorization_that_permitted_its_first_packet(family: Family) -> None:
    for first, revoked, expected in (
        ("db", "db", UNSOLICITED),
        ("db", "all", PASSES),
        ("all", "all", UNSOLICITED),
        ("all", "db", Forward("alice", "all")),
    ):
        gateway = gateway_for_alice(family.db(), family.everything(), options=STATEFUL)
        sent, came = family.tcp(OUTBOUND), family.tcp(INBOUND)
        # The longer prefix answers, unless only the other permits it.
        if first == "all":
            gateway.update_resource(family.db(Udp()))
        assert gateway.handle_packet(OUTBOUND, sent) == Forward("alice", first)
        # From here on it is the other that permits its packets.
        gateway.update_resource(family.db(Udp()) if first == "db" else family.db())
        second = "all" if first == "db" else "db"
        for _ in range(2):
            assert gateway.handle_packet(OUTBOUND, sent) == Forward("alice", second)
            assert gateway.handle_packet(INBOUND, came) == Forward("alice", second)
        gateway.revoke("alice", revoked)
        gateway.update_resource(family.db())
        assert gateway.handle_packet(INBOUND, came) == expected
        assert gateway.counters().flows == (expected != UNSOLICITED)
        # If it ended, the client's next packet begins another, of the one that is left.
        assert gateway.handle_packet(OUTBOUND, sent).allowed
        assert gateway.handle_packet(INBOUND, came).allowed


@both_families
def test_flows_of_other_authorizations_and_clients_go_on(family: Family) -> None:
    single = CidrResource("other", family.stranger)
    gateway = gateway_for_alice(family.db(), single, options=STATEFUL)
    gateway.authorize("bob", family.db())
    for far in (family.host, family.stranger):
        assert gateway.handle_packet(OUTBOUND, family.udp(OUTBOUND, far=far)).allowed
    of_bob = evolve(family, client=family.neighbour)
    bobs = [of_bob.udp(way) for way in (OUTBOUND, INBOUND)]
    assert gateway.handle_packet(OUTBOUND, bobs[0]) == Forward("bob", "db")
    assert live_flows(gateway) == 3
    gateway.revoke("alice", "db")
    assert live_flows(gateway) == 2
    other = gateway.handle_packet(INBOUND, family.udp(INBOUND, far=family.stranger))
    assert other == Forward("alice", "other")
    gateway.client_disconnected("alice")
    assert live_flows(gateway) == 1
    assert gateway.handle_packet(INBOUND, bobs[1]) == Forward("bob", "db")


@direct_ways
def test_later_fragments_follow_their_first_whatever_becomes_of_its_flow(way: Way) -> None:
    gateway = solicited(way)
    passes, whole = Forward("alice", "app"), way.packet(INBOUND, "tcp", payload=bytes(40))
    first, later = fragment(whole, 0, 24), fragment(whole, 24)
    assert gateway.handle_packet(OUTBOUND, way.packet(OUTBOUND, "tcp")) == passes
    assert gateway.handle_packet(INBOUND, first) == passes
    reset = way.packet(OUTBOUND, "tcp", payload=bytes(40), flags=RST)
    assert gateway.handle_packet(OUTBOUND, fragment(reset, 0, 24)) == passes
    assert live_flows(gateway) == 0
    assert gateway.handle_packet(INBOUND, later) == passes
    assert gateway.handle_packet(OUTBOUND, fragment(reset, 24)) == passes
    # What comes whole, or first, belongs to no flow; a first one that is refused forgets.
    assert gateway.handle_packets(INBOUND, [whole, later, first, later]) == [
        UNSOLICITED,
        passes,
        UNSOLICITED,
        Drop(Reason.FRAGMENT, "alice"),
    ]


# --- With the proxy address ----------------------------------------------------------------------


@nat_ways
def test_flows_end_with_their_proxy_address(way: Way) -> None:
    ends: dict[str, Hook] = {
        "revoke": lambda gateway, _: gateway.revoke("alice", "app"),
        "renumber": lambda gateway, way: resolve(gateway, way.names, domain=OTHER_NAME),
        "reconnect": lambda gateway, _: reconnect(gateway),
    }
    for end in ends.values():
        gateway = solicited(way)
        for kind in ("tcp", "udp", "echo"):
            assert gateway.handle_packet(OUTBOUND, way.packet(OUTBOUND, kind)).allowed
        assert gateway.counters().flows == 3
        end(gateway, way)
        assert gateway.counters().flows == 0
        assert gateway.counters().nat_sessions == 0


@both_ways
def test_renumbering_ends_the_flows_of_all_proxy_addresses_and_no_direct_one(way: Way) -> None:
    gateway = solicited(way)
    names = way.names
    gateway.authorize("alice", way.family.db())
    assert gateway.handle_packet(OUTBOUND, way.packet(OUTBOUND)).allowed
    assert gateway.handle_packet(OUTBOUND, way.family.udp(OUTBOUND)) == PASSES
    if way.translated:
        resolve(gateway, names, proxies=names.proxies[1:2])
        assert gateway.handle_packet(OUTBOUND, names.sent(far=names.proxies[1])).allowed
        assert gateway.counters().flows == 3
        # The name that the first proxy stood for has not changed, and neither has its flow.
        resolve(gateway, names, proxies=names.proxies[:1], real=names.real[1:2])
        assert gateway.counters().flows == 3
        resolve(gateway, names, proxies=names.proxies[1:2], domain=OTHER_NAME)
        assert gateway.counters().flows == 1
    assert gateway.handle_packet(INBOUND, way.family.udp(INBOUND)) == PASSES


@nat_ways
def test_resolving_again_leaves_flows_with_their_sessions(way: Way) -> None:
    names = way.names
    for real in (names.real[1:2], names.real[:0]):
        gateway = solicited(way)
        assert gateway.handle_packet(OUTBOUND, way.packet(OUTBOUND)).allowed
        resolve(gateway, names, real=real)
        came = gateway.handle_packet(INBOUND, way.packet(INBOUND))
        assert came == way.passed(INBOUND, lambda far: way.packet(INBOUND, far=far))
        assert gateway.handle_packet(OUTBOUND, way.packet(OUTBOUND)).allowed
        assert gateway.counters().flows == 1


@nat_ways
def test_of_a_shared_proxy_address_the_flow_ends_and_the_session_goes_on(way: Way) -> None:
    names = way.names
    gateway = solicited(way)
    gateway.authorize("alice", DnsResource("zed", "**.example.com"))
    resolve(gateway, names, resource_id="zed")
    first = gateway.handle_packet(OUTBOUND, way.packet(OUTBOUND))
    assert first.allowed
    assert first.resource_id == "zed"
    assert gateway.handle_packet(INBOUND, way.packet(INBOUND)).allowed
    gateway.revoke("alice", "zed")
    assert gateway.counters().nat_sessions == 1
    assert gateway.counters().flows == 0
    assert gateway.handle_packet(INBOUND, way.packet(INBOUND)) == UNSOLICITED
    assert gateway.handle_packet(OUTBOUND, way.packet(OUTBOUND)).allowed
    came = gateway.handle_packet(INBOUND, way.packet(INBOUND))
    assert came == way.passed(INBOUND, lambda far: way.packet(INBOUND, far=far))
