"""Section 2, Time, and rules 5 and 7 of section 3: when permissions end."""

import math
from collections.abc import Callable

import pytest

from firezone_filter import (
    AccessExhausted,
    AuthorizationExpired,
    Direction,
    Drop,
    Forward,
    Gateway,
    InvalidTime,
    Reason,
    Tcp,
)
from tests.scenes import (
    ALICE,
    BOB,
    INBOUND,
    OUTBOUND,
    V4,
    Family,
    both_directions,
    both_families,
    gateway_for_alice,
    refusal,
)

FIFTY_YEARS = 50 * 365.25 * 24 * 3_600


def expiring(family: Family, at: float, *, now: float = 1_000.0) -> Gateway:
    gateway = gateway_for_alice(now=now)
    gateway.authorize("alice", family.db(Tcp(443)), expires_at=at)
    return gateway


# --- Expiry is exact -----------------------------------------------------------------------


@both_directions
@both_families
def test_an_authorization_is_gone_at_its_expiry_and_not_before(
    family: Family, direction: Direction
) -> None:
    gateway = expiring(family, 1_010.0)
    packet = family.tcp(direction)
    before = gateway.handle_packet(direction, packet, math.nextafter(1_010.0, 0.0))
    assert before == Forward("alice", "db")
    assert refusal(gateway.handle_packet(direction, packet, 1_010.0)) == Reason.NO_RESOURCE


@both_directions
def test_it_is_gone_even_if_handle_timeout_is_late(direction: Direction) -> None:
    gateway = expiring(V4, 1_010.0)
    packet = V4.tcp(direction)
    assert refusal(gateway.handle_packet(direction, packet, 1_020.0)) == Reason.NO_RESOURCE
    assert gateway.authorizations("alice") == {}


def test_handle_timeout_expires() -> None:
    gateway = expiring(V4, 1_010.0)
    gateway.handle_timeout(1_009.0)
    assert gateway.authorizations("alice") == {"db": 1_010.0}
    gateway.handle_timeout(1_010.0)
    assert gateway.authorizations("alice") == {}


@both_directions
def test_a_malformed_packet_with_a_later_now_expires_first(direction: Direction) -> None:
    gateway = expiring(V4, 1_010.0)
    assert gateway.handle_packet(direction, b"", 1_010.0) == Drop(Reason.MALFORMED, None)
    assert gateway.poll_event() == AuthorizationExpired("alice", "db", 1_010.0)
    assert refusal(gateway.handle_packet(direction, V4.tcp(direction))) == Reason.NO_RESOURCE


@both_directions
def test_a_packet_of_another_client_with_a_later_now_expires_first(
    direction: Direction,
) -> None:
    gateway = expiring(V4, 1_010.0)
    other = V4.tcp(direction, far=V4.stranger)
    gateway.handle_packet(direction, other, 1_010.0, client_id="bob")
    assert gateway.authorizations("alice") == {}


def test_packets_at_one_now_are_all_judged_after_the_expiry() -> None:
    gateway = expiring(V4, 1_010.0)
    decisions = gateway.handle_packets(INBOUND, [V4.tcp(INBOUND)] * 2, 1_010.0)
    assert decisions == [Drop(Reason.NO_RESOURCE, "alice")] * 2


def test_a_connection_with_a_later_now_expires_first() -> None:
    gateway = expiring(V4, 1_010.0)
    gateway.client_connected("bob", BOB, 1_010.0)
    assert gateway.authorizations("alice") == {}
    assert gateway.poll_event() == AuthorizationExpired("alice", "db", 1_010.0)


@pytest.mark.parametrize("at", [1_000.0, 999.0, 0.0, -5.0])
def test_an_expiry_that_has_passed_takes_effect_in_the_call_that_sets_it(at: float) -> None:
    gateway = expiring(V4, at)
    assert gateway.authorizations("alice") == {}
    assert gateway.poll_event() == AuthorizationExpired("alice", "db", at)
    assert gateway.poll_event() == AccessExhausted("alice")
    gateway.authorize("alice", V4.db())
    assert gateway.update_expiry("alice", "db", at)
    assert gateway.authorizations("alice") == {}
    assert gateway.poll_event() == AuthorizationExpired("alice", "db", at)


def test_an_expiry_that_has_passed_ends_also_what_was_there_before() -> None:
    gateway = gateway_for_alice(V4.db(), now=1_000.0)
    assert gateway.handle_packet(OUTBOUND, V4.tcp(OUTBOUND)).allowed
    gateway.authorize("alice", V4.db(), expires_at=1_000.0)
    assert not gateway.handle_packet(OUTBOUND, V4.tcp(OUTBOUND)).allowed


def test_an_expiry_just_ahead_takes_no_effect_yet() -> None:
    gateway = expiring(V4, math.nextafter(1_000.0, math.inf))
    assert gateway.handle_packet(OUTBOUND, V4.tcp(OUTBOUND)).allowed
    assert gateway.poll_event() is None


def test_an_authorization_without_expiry_never_ends() -> None:
    gateway = gateway_for_alice(V4.db(), now=0.0)
    gateway.handle_timeout(1e18)
    assert gateway.authorizations("alice") == {"db": None}


def test_a_later_expiry_takes_the_place_of_an_earlier_one() -> None:
    gateway = expiring(V4, 1_010.0)
    assert gateway.update_expiry("alice", "db", 1_020.0)
    gateway.handle_timeout(1_019.0)
    assert gateway.authorizations("alice") == {"db": 1_020.0}
    gateway.handle_timeout(1_020.0)
    assert gateway.authorizations("alice") == {}


def test_an_earlier_expiry_takes_the_place_of_a_later_one() -> None:
    gateway = expiring(V4, 1_020.0)
    assert gateway.update_expiry("alice", "db", 1_010.0)
    gateway.handle_timeout(1_010.0)
    assert gateway.authorizations("alice") == {}


def test_renewing_access_drops_the_old_deadline() -> None:
    gateway = expiring(V4, 1_010.0)
    gateway.authorize("alice", V4.db())
    gateway.handle_timeout(1_020.0)
    assert gateway.authorizations("alice") == {"db": None}
    assert gateway.poll_event() is None


# --- Time never runs backwards -------------------------------------------------------------


def test_a_call_without_now_happens_at_the_latest_now() -> None:
    gateway = expiring(V4, 1_010.0)
    gateway.handle_timeout(1_009.0)
    assert gateway.handle_packet(OUTBOUND, V4.tcp(OUTBOUND)).allowed
    gateway.handle_timeout(1_010.0)
    assert not gateway.handle_packet(OUTBOUND, V4.tcp(OUTBOUND)).allowed


def test_a_now_that_is_earlier_counts_as_the_latest() -> None:
    gateway = expiring(V4, 1_010.0)
    gateway.handle_timeout(1_009.5)
    assert gateway.handle_packet(OUTBOUND, V4.tcp(OUTBOUND), 5.0).allowed
    gateway.authorize("alice", V4.db(), expires_at=1_009.5)
    assert not gateway.handle_packet(OUTBOUND, V4.tcp(OUTBOUND), 5.0).allowed


def test_what_has_expired_stays_expired_at_an_earlier_now() -> None:
    gateway = expiring(V4, 1_010.0)
    gateway.handle_timeout(1_010.0)
    for now in (1_009.0, 0.0, -1e9):
        assert not gateway.handle_packet(OUTBOUND, V4.tcp(OUTBOUND), now).allowed
        gateway.handle_timeout(now)
    assert gateway.authorizations("alice") == {}


def test_a_connection_at_an_earlier_now_happens_at_the_latest() -> None:
    gateway = expiring(V4, 1_010.0)
    gateway.handle_timeout(1_005.0)
    gateway.client_connected("bob", BOB, 0.0)
    gateway.authorize("bob", V4.db(), expires_at=1_004.0)
    assert gateway.authorizations("bob") == {}


# --- What is a time ------------------------------------------------------------------------

NOT_TIMES = [math.inf, -math.inf, math.nan, 10**400, -(10**400)]


@pytest.mark.parametrize("value", NOT_TIMES, ids=["inf", "-inf", "nan", "huge", "-huge"])
def test_a_time_is_finite(value: float) -> None:
    gateway = expiring(V4, 1_010.0)
    packet = V4.tcp(OUTBOUND)
    with pytest.raises(InvalidTime) as raised:
        gateway.handle_packet(OUTBOUND, packet, value)
    assert raised.value.value is value
    with pytest.raises(InvalidTime):
        gateway.handle_packets(OUTBOUND, [packet], value)
    with pytest.raises(InvalidTime):
        gateway.handle_timeout(value)
    with pytest.raises(InvalidTime):
        gateway.client_connected("alice", ALICE, value)
    with pytest.raises(InvalidTime):
        gateway.authorize("alice", V4.db(), expires_at=value)
    with pytest.raises(InvalidTime):
        gateway.update_expiry("alice", "db", value)
    assert gateway.authorizations("alice") == {"db": 1_010.0}
    assert gateway.handle_packet(OUTBOUND, packet) == Forward("alice", "db")


@pytest.mark.parametrize("value", [True, False, "0", b"0", 1j, [0.0]])
def test_a_time_is_a_number(value: float) -> None:
    gateway = expiring(V4, 1_010.0)
    with pytest.raises(TypeError):
        gateway.handle_packet(OUTBOUND, V4.tcp(OUTBOUND), value)
    with pytest.raises(TypeError):
        gateway.handle_packets(OUTBOUND, [], value)
    with pytest.raises(TypeError):
        gateway.handle_timeout(value)
    with pytest.raises(TypeError):
        gateway.client_connected("alice", ALICE, value)
    with pytest.raises(TypeError):
        gateway.authorize("alice", V4.db(), expires_at=value)
    with pytest.raises(TypeError):
        gateway.update_expiry("alice", "db", value)
    assert gateway.authorizations("alice") == {"db": 1_010.0}


def test_handle_timeout_brings_a_time() -> None:
    with pytest.raises(TypeError):
        expiring(V4, 1_010.0).handle_timeout(None)  # type: ignore[arg-type]


def test_whole_numbers_are_times_too() -> None:
    gateway = expiring(V4, 1_010, now=1_000)
    gateway.handle_timeout(1_009)
    assert gateway.authorizations("alice") == {"db": 1_010}
    gateway.handle_timeout(1_010)
    assert gateway.poll_event() == AuthorizationExpired("alice", "db", 1_010)


def test_an_expiry_before_any_now_is_refused() -> None:
    gateway = gateway_for_alice(V4.db(), now=None)
    for at in (-1.0, 0.0, 1.0, 1_790_000_000.0):
        with pytest.raises(InvalidTime) as raised:
            gateway.authorize("alice", V4.db(), expires_at=at)
        assert raised.value.value == at
        with pytest.raises(InvalidTime):
            gateway.update_expiry("alice", "db", at)
    assert gateway.authorizations("alice") == {"db": None}


def test_before_any_now_an_authorization_may_be_without_expiry() -> None:
    gateway = gateway_for_alice(V4.db(), now=None)
    assert gateway.update_expiry("alice", "db", None)
    assert gateway.handle_packet(OUTBOUND, V4.tcp(OUTBOUND)).allowed


def bring_by_timeout(gateway: Gateway) -> None:
    gateway.handle_timeout(0.0)


def bring_by_packet(gateway: Gateway) -> None:
    gateway.handle_packet(OUTBOUND, b"", 0.0)


def bring_by_packets(gateway: Gateway) -> None:
    gateway.handle_packets(OUTBOUND, [b""], 0.0)


def bring_by_connection(gateway: Gateway) -> None:
    gateway.client_connected("bob", BOB, 0.0)


@pytest.mark.parametrize(
    "bring", [bring_by_timeout, bring_by_packet, bring_by_packets, bring_by_connection]
)
def test_every_call_that_brings_a_now_starts_the_clock(bring: Callable[[Gateway], None]) -> None:
    gateway = gateway_for_alice(now=None)
    bring(gateway)
    gateway.authorize("alice", V4.db(), expires_at=1.0)
    assert gateway.poll_timeout() == 1.0


@both_directions
@both_families
def test_a_packet_of_a_remembered_flow_starts_the_clock_too(
    family: Family, direction: Direction
) -> None:
    gateway = gateway_for_alice(family.db(), now=None)
    packet = family.tcp(direction)
    assert gateway.handle_packet(direction, packet).allowed
    assert gateway.handle_packet(direction, packet, 5.0).allowed
    gateway.authorize("alice", family.db(), expires_at=6.0)


def test_a_call_that_raises_does_not_start_the_clock() -> None:
    gateway = gateway_for_alice(now=None)
    with pytest.raises(TypeError):
        gateway.handle_packet(OUTBOUND, "text", 0.0)  # type: ignore[arg-type]
    with pytest.raises(InvalidTime):
        gateway.authorize("alice", V4.db(), expires_at=1.0)


@pytest.mark.parametrize("now", [-1_000.0, 0.0, 1_790_000_000.0])
def test_an_expiry_lies_at_most_50_years_ahead(now: float) -> None:
    gateway = gateway_for_alice(V4.db(), now=now)
    last = now + FIFTY_YEARS
    gateway.authorize("alice", V4.db(), expires_at=last)
    assert gateway.update_expiry("alice", "db", last)
    beyond = math.nextafter(last, math.inf)
    with pytest.raises(InvalidTime) as raised:
        gateway.authorize("alice", V4.db(), expires_at=beyond)
    assert raised.value.value == beyond
    with pytest.raises(InvalidTime):
        gateway.update_expiry("alice", "db", beyond)
    assert gateway.authorizations("alice") == {"db": last}


def test_the_50_years_count_from_the_latest_now() -> None:
    gateway = gateway_for_alice(now=0.0)
    gateway.handle_timeout(1_000.0)
    gateway.handle_timeout(500.0)
    gateway.authorize("alice", V4.db(), expires_at=1_000.0 + FIFTY_YEARS)


def test_unix_time_on_a_clock_that_starts_at_boot_is_refused() -> None:
    gateway = gateway_for_alice(now=3_600.0)
    with pytest.raises(InvalidTime):
        gateway.authorize("alice", V4.db(), expires_at=1_790_000_000.0)


def test_before_the_first_now_time_stands_still_at_its_start() -> None:
    gateway = gateway_for_alice(V4.db(), now=None)
    assert gateway.handle_packet(OUTBOUND, V4.tcp(OUTBOUND)).allowed
    assert gateway.poll_timeout() is None
    gateway.handle_timeout(-1e9)
    gateway.authorize("alice", V4.db(), expires_at=-1e9 + 1.0)
    assert gateway.poll_timeout() == -1e9 + 1.0
    assert gateway.handle_packet(OUTBOUND, V4.tcp(OUTBOUND)).allowed


# --- poll_timeout --------------------------------------------------------------------------


def test_nothing_that_expires_asks_for_no_timeout() -> None:
    gateway = gateway_for_alice(V4.db())
    assert gateway.poll_timeout() is None


def test_the_timeout_is_the_earliest_expiry_of_all_clients() -> None:
    gateway = gateway_for_alice(now=0.0)
    gateway.authorize("alice", V4.db(), expires_at=20.0)
    gateway.authorize("bob", V4.db(), expires_at=10.0)
    assert gateway.poll_timeout() == 10.0
    gateway.handle_timeout(10.0)
    assert gateway.poll_timeout() == 20.0
    gateway.handle_timeout(20.0)
    assert gateway.poll_timeout() is None


def test_after_handle_timeout_the_timeout_is_later_or_none() -> None:
    gateway = gateway_for_alice(now=0.0)
    for number in range(5):
        gateway.authorize("alice", V4.db(), expires_at=float(number))
        gateway.authorize("bob", V4.db(), expires_at=float(number) + 0.5)
    gateway.handle_timeout(3.0)
    timeout = gateway.poll_timeout()
    assert timeout is not None
    assert timeout > 3.0
    gateway.handle_timeout(1e9)
    assert gateway.poll_timeout() is None


def test_an_expiry_moved_or_taken_away_moves_the_timeout() -> None:
    gateway = expiring(V4, 1_010.0)
    gateway.update_expiry("alice", "db", 1_020.0)
    assert gateway.poll_timeout() == 1_020.0
    gateway.update_expiry("alice", "db", 1_005.0)
    assert gateway.poll_timeout() == 1_005.0
    gateway.update_expiry("alice", "db", None)
    assert gateway.poll_timeout() is None


def test_what_was_revoked_or_disconnected_asks_for_no_timeout() -> None:
    gateway = expiring(V4, 1_010.0)
    gateway.revoke("alice", "db")
    assert gateway.poll_timeout() is None
    gateway.authorize("alice", V4.db(), expires_at=1_010.0)
    gateway.retain_authorizations({})
    assert gateway.poll_timeout() is None
    gateway.authorize("alice", V4.db(), expires_at=1_010.0)
    gateway.client_disconnected("alice")
    assert gateway.poll_timeout() is None


def test_a_reconnect_takes_the_old_deadlines_along() -> None:
    gateway = expiring(V4, 1_010.0)
    gateway.client_connected("alice", ALICE)
    assert gateway.poll_timeout() is None
    gateway.authorize("alice", V4.db())
    gateway.handle_timeout(1_010.0)
    assert gateway.authorizations("alice") == {"db": None}
    assert gateway.poll_event() is None


def test_events_that_already_wait_are_not_announced() -> None:
    gateway = expiring(V4, 1_010.0)
    gateway.handle_packet(OUTBOUND, b"", 1_010.0)
    assert gateway.poll_timeout() is None
    assert gateway.poll_event() is not None


def test_time_may_move_as_far_as_numbers_go() -> None:
    gateway = gateway_for_alice(now=-(10**308))
    decision = gateway.handle_packet(OUTBOUND, V4.tcp(OUTBOUND), 10**308)
    assert refusal(decision) == Reason.NO_RESOURCE
