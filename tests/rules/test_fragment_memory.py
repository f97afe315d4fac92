"""Section 4, fragments: 30 seconds, 1,024 decisions, and what forgets them."""

from collections.abc import Callable
from typing import Final

import pytest

from firezone_filter import (
    CidrResource,
    Direction,
    Drop,
    Gateway,
    Reason,
    Tcp,
    TunnelAddresses,
    Udp,
)
from firezone_filter.testing import fragment, udp
from tests.rules.ways import FOLLOWED_BY_NONE, Way, both_ways, fragments, nat_ways, passed
from tests.scenes import (
    ALICE,
    GATEWAY,
    INBOUND,
    OUTBOUND,
    V4,
    V6,
    Family,
    both_directions,
    both_families,
    gateway_for_alice,
    reasons,
)
from tests.translations import TICK, resolve

OTHER: Final = CidrResource("other", "192.0.2.0/24")


def started(way: Way, direction: Direction, now: float | None = 0.0) -> Gateway:
    """Let a first fragment and one that follows it through."""
    gateway = way.gateway(now=now)
    gateway.authorize("alice", OTHER)
    assert reasons(gateway, direction, fragments(way, direction)[:2], now) == [None, None]
    return gateway


def follows(gateway: Gateway, way: Way, direction: Direction, now: float | None = None) -> bool:
    """Tell whether another fragment would follow."""
    decision = gateway.handle_packet(direction, fragments(way, direction)[2], now)
    assert decision in (FOLLOWED_BY_NONE, *passed(way, direction))
    return decision.allowed


# --- 30 seconds ----------------------------------------------------------------------------


@both_directions
@both_ways
def test_a_decision_is_kept_for_30_seconds_that_later_fragments_do_not_prolong(
    way: Way, direction: Direction
) -> None:
    gateway = started(way, direction, 1_000.0)
    assert [
        follows(gateway, way, direction, 1_000.0 + now)
        for now in (29.0, 30.0 - TICK, 30.0, 30.0 + TICK)
    ] == [True, True, False, False]
    late = started(way, direction, 1_000.0)
    assert not follows(late, way, direction, 2_000.0)


@both_directions
@both_ways
def test_the_same_first_fragment_again_starts_the_30_seconds_anew(
    way: Way, direction: Direction
) -> None:
    gateway = started(way, direction)
    assert reasons(gateway, direction, fragments(way, direction)[:1], 20.0) == [None]
    assert follows(gateway, way, direction, 50.0 - TICK)
    assert not follows(gateway, way, direction, 50.0)


@both_directions
@both_ways
def test_a_first_fragment_contradicts_nothing_whose_time_is_over(
    way: Way, direction: Direction
) -> None:
    gateway = started(way, direction)
    other = fragments(way, direction, port=444)[:1]
    assert reasons(gateway, direction, other, 30.0) == [None]


@both_directions
@both_ways
def test_handle_timeout_forgets_in_time_and_poll_timeout_asks_for_it(
    way: Way, direction: Direction
) -> None:
    gateway = started(way, direction)
    # Through the NAT the session asks for more, 60 s after its last packet.
    assert gateway.poll_timeout() == 30.0
    gateway.handle_timeout(29.0)
    assert follows(gateway, way, direction)
    assert gateway.counters().fragments == 1
    gateway.handle_timeout(30.0)
    assert gateway.counters().fragments == 0
    assert not follows(gateway, way, direction)


@pytest.mark.parametrize("first", [-1_000.0, 0.0, 1_790_000_000.0])
@both_ways
def test_what_was_kept_before_the_first_now_counts_from_there(way: Way, first: float) -> None:
    gateway = started(way, OUTBOUND, None)
    times = (None, first, first + 29.0, first + 30.0)
    found = [follows(gateway, way, OUTBOUND, now) for now in times]
    assert found == [True, True, True, False]


# --- 1,024 a client ------------------------------------------------------------------------


def first_of(family: Family, direction: Direction, number: int, *, port: int = 53) -> bytes:
    return fragment(family.udp(direction, port, size=40), 0, 16, identification=number)


def many(family: Family, direction: Direction, count: int) -> list[bytes]:
    return [first_of(family, direction, number) for number in range(count)]


def kept(gateway: Gateway, family: Family, direction: Direction, *numbers: int) -> list[bool]:
    """Tell which packets are known whose first fragments came."""
    whole = family.udp(direction, size=40)
    laters = [fragment(whole, 16, identification=number) for number in numbers]
    return [decision.allowed for decision in gateway.handle_packets(direction, laters)]


@both_directions
@both_families
def test_1024_decisions_are_kept_and_one_more_pushes_the_oldest_out(
    family: Family, direction: Direction
) -> None:
    gateway = gateway_for_alice(family.db(Udp(53)))
    gateway.handle_packets(direction, many(family, direction, 1_024))
    assert kept(gateway, family, direction, 0) == [True]
    # Oldest is what was started first, and not what was followed first.
    gateway.handle_packet(direction, first_of(family, direction, 1_024))
    assert kept(gateway, family, direction, 0, 1, 1_024) == [False, True, True]


def test_both_directions_and_families_share_the_1024() -> None:
    gateway = gateway_for_alice(V4.db(Udp(53)), CidrResource("db6", V6.network))
    gateway.handle_packet(OUTBOUND, first_of(V4, OUTBOUND, 7))
    gateway.handle_packets(INBOUND, many(V6, INBOUND, 1_023))
    assert kept(gateway, V4, OUTBOUND, 7) == [True]
    gateway.handle_packet(INBOUND, first_of(V6, INBOUND, 1_023))
    assert kept(gateway, V4, OUTBOUND, 7) == [False]


def test_a_decision_that_was_started_anew_is_the_newest_and_pushes_nothing_out() -> None:
    gateway = gateway_for_alice(V4.db(Udp(53)))
    gateway.handle_packets(OUTBOUND, many(V4, OUTBOUND, 1_024))
    gateway.handle_packet(OUTBOUND, first_of(V4, OUTBOUND, 0))
    assert kept(gateway, V4, OUTBOUND, 1) == [True]
    gateway.handle_packet(OUTBOUND, first_of(V4, OUTBOUND, 2_000))
    assert kept(gateway, V4, OUTBOUND, 0, 1, 2) == [True, False, True]


def test_neither_refused_first_fragments_nor_other_clients_push_anything_out() -> None:
    gateway = gateway_for_alice(V4.db(Udp(53)))
    gateway.authorize("bob", V4.db())
    gateway.handle_packet(OUTBOUND, first_of(V4, OUTBOUND, 0))
    bobs = udp(V4.flow(OUTBOUND, 53, near=V4.neighbour), bytes(40))
    for number in range(1, 1_100):
        refused = gateway.handle_packet(OUTBOUND, first_of(V4, OUTBOUND, number, port=54))
        assert not refused.allowed
        gateway.handle_packet(OUTBOUND, fragment(bobs, 0, 16, identification=number))
    assert kept(gateway, V4, OUTBOUND, 0) == [True]


# --- What forgets --------------------------------------------------------------------------


def reconnect(gateway: Gateway, _: Way) -> None:
    gateway.client_connected("alice", ALICE)


def disconnect(gateway: Gateway, _: Way) -> None:
    gateway.client_disconnected("alice")
    gateway.client_connected("alice", ALICE)


def expire(gateway: Gateway, _: Way) -> None:
    gateway.update_expiry("alice", "other", 1.0)
    gateway.handle_timeout(1.0)


def permit_less(gateway: Gateway, way: Way) -> None:
    gateway.authorize("alice", way.resource(Tcp(443)))


def touch_the_unknown(gateway: Gateway, _: Way) -> None:
    gateway.update_expiry("alice", "unknown", 0.0)
    gateway.revoke("alice", "unknown")
    gateway.update_resource(CidrResource("unknown", "192.0.2.0/24"))


def change_another_client(gateway: Gateway, way: Way) -> None:
    gateway.authorize("bob", way.resource())
    gateway.revoke("bob", "app")
    gateway.client_disconnected("bob")


def raise_errors(gateway: Gateway, _: Way) -> None:
    with pytest.raises(ValueError, match="outside"):
        gateway.client_connected("alice", TunnelAddresses(ipv4="192.0.2.1"))
    with pytest.raises(ValueError, match="cannot become"):
        gateway.authorize("alice", CidrResource("other", "198.51.100.0/24"))
    with pytest.raises(ValueError, match="belongs"):
        gateway.set_addresses(TunnelAddresses(ipv4=V4.client))


FORGETTING: dict[str, Callable[[Gateway, Way], object]] = {
    "connect": reconnect,
    "disconnect": disconnect,
    "revoke": lambda gateway, _: gateway.revoke("alice", "app"),
    "revoke-another": lambda gateway, _: gateway.revoke("alice", "other"),
    "authorize": lambda gateway, way: gateway.authorize("alice", way.resource()),
    "authorize-another": lambda gateway, _: gateway.authorize("alice", V6.db()),
    "permit-less": permit_less,
    "update": lambda gateway, way: gateway.update_resource(way.resource()),
    "expire": expire,
    "expire-in-the-past": lambda gateway, _: gateway.update_expiry("alice", "other", 0.0),
    "retain": lambda gateway, _: gateway.retain_authorizations({"alice": {"app"}}),
    "set-addresses": lambda gateway, _: gateway.set_addresses(GATEWAY),
}
KEEPING: dict[str, Callable[[Gateway, Way], object]] = {
    "put-off": lambda gateway, _: gateway.update_expiry("alice", "app", 10.0),
    "never-expire": lambda gateway, _: gateway.update_expiry("alice", "app", None),
    "unknown": touch_the_unknown,
    "retain-all": lambda gateway, _: gateway.retain_authorizations({"alice": {"app", "other"}}),
    "another-client": change_another_client,
    "errors": raise_errors,
    "wait": lambda gateway, _: gateway.handle_timeout(29.0),
}
RESOLVING: dict[str, Callable[[Gateway, Way], object]] = {
    "resolve": lambda gateway, way: resolve(gateway, way.names),
    "renumber": lambda gateway, way: resolve(gateway, way.names, domain="db.example.com"),
}


@pytest.mark.parametrize("change", FORGETTING)
@both_directions
@both_ways
def test_whatever_changes_what_a_client_may_do_forgets_the_first_fragments(
    way: Way, direction: Direction, change: str
) -> None:
    gateway = started(way, direction)
    FORGETTING[change](gateway, way)
    assert gateway.handle_packet(direction, fragments(way, direction)[2]) == FOLLOWED_BY_NONE


@pytest.mark.parametrize("change", RESOLVING)
@both_directions
@nat_ways
def test_resolving_a_name_forgets_the_first_fragments(
    way: Way, direction: Direction, change: str
) -> None:
    gateway = started(way, direction)
    RESOLVING[change](gateway, way)
    assert gateway.handle_packet(direction, fragments(way, direction)[2]) == FOLLOWED_BY_NONE


@pytest.mark.parametrize("change", KEEPING)
@both_directions
@both_ways
def test_what_changes_no_permission_forgets_nothing(
    way: Way, direction: Direction, change: str
) -> None:
    gateway = started(way, direction)
    KEEPING[change](gateway, way)
    assert follows(gateway, way, direction)


@both_directions
@both_ways
def test_a_later_fragment_never_outlives_the_permission_of_its_first(
    way: Way, direction: Direction
) -> None:
    gateway = started(way, direction)
    gateway.update_expiry("alice", "app", 10.0)
    assert follows(gateway, way, direction, 10.0 - TICK)
    decision = gateway.handle_packet(direction, fragments(way, direction)[2], 10.0)
    assert decision == Drop(Reason.FRAGMENT, "alice")
