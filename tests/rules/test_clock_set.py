"""Section 2, `clock_set`: a host's clock was wrong, and has been set."""

import math
from typing import Final

import pytest

from firezone_filter import (
    AccessExhausted,
    AuthorizationExpired,
    Decision,
    Drop,
    FlowEnd,
    Gateway,
    GatewayOptions,
    InvalidTime,
    Reason,
    Reject,
)
from firezone_filter.testing import FIN, RST, fragment
from tests.observed import refused_without_effect
from tests.records import ends, fetched, recording, refusals
from tests.rules.stories import alive, tell
from tests.scenes import (
    INBOUND,
    OUTBOUND,
    V4,
    Family,
    both_families,
    gateway_for_alice,
    refusal,
)
from tests.translations import (
    EXPIRED,
    GONE,
    TICK,
    Names,
    both_names,
    every_kind,
    gateway_with,
)

BOOT: Final = 1_000.0
"""The time of a host that has just booted in 1970. `rules.stories` begin at it, too."""

UNIX: Final = 1_790_000_000.0
FIFTY_YEARS: Final = 50 * 365.25 * 24 * 3_600

STEPS: Final = {
    "boot": (BOOT, UNIX),
    "back": (UNIX, UNIX - 86_400.0),
    "back-to-boot": (UNIX, BOOT),
    "back-a-little": (UNIX, UNIX - 0.25),
    "nowhere": (UNIX, UNIX),
    "later": (UNIX, UNIX + 3_600.0),
    "before-1970": (BOOT, -UNIX),
    "last": (BOOT, 2.0**33 - 1_000_000.0),
    "whole": (1_000, 1_790_000_000),
}
"""Times before and after."""

every_step = pytest.mark.parametrize(("before", "after"), STEPS.values(), ids=STEPS)


def db_passes(gateway: Gateway, now: float | None = None) -> bool:
    return gateway.handle_packet(OUTBOUND, V4.tcp(OUTBOUND), now).allowed


# --- The latest `now` ------------------------------------------------------------------------


@every_step
def test_the_time_it_brings_is_the_latest_from_there_on(before: float, after: float) -> None:
    gateway = gateway_for_alice(V4.db(), now=before)
    gateway.clock_set(after)
    assert f"now {after!r}" in repr(gateway)
    # An earlier one, also one of before the step, counts as that.
    gateway.handle_packet(OUTBOUND, b"", after - 1.0)
    if before < after and after - before <= FIFTY_YEARS:
        gateway.handle_packet(OUTBOUND, b"", before)
    assert f"now {after!r}" in repr(gateway)
    for beyond in (after + FIFTY_YEARS + TICK, after - FIFTY_YEARS - TICK):
        with pytest.raises(InvalidTime):
            gateway.handle_packet(OUTBOUND, b"", beyond)
    gateway.authorize("alice", V4.db(), expires_at=after + 10.0)
    assert db_passes(gateway, after + 10.0 - TICK)
    assert not db_passes(gateway, after + 10.0)


def test_the_same_object_as_before_the_step_is_another_moment() -> None:
    moment = float("1100.0")
    gateway = gateway_for_alice(V4.db(), now=moment)
    assert db_passes(gateway, moment)
    gateway.clock_set(BOOT)
    gateway.authorize("alice", V4.db(), expires_at=1_050.0)
    assert db_passes(gateway, 1_050.0 - TICK)
    assert not db_passes(gateway, moment)
    assert "now 1100.0" in repr(gateway)


@pytest.mark.parametrize("first", [BOOT, -5.0, UNIX, 7])
def test_before_the_first_now_it_is_a_timeout(first: float) -> None:
    gateway, twin = (recording(V4.db(), now=None) for _ in range(2))
    for one in (gateway, twin):
        one.handle_packet(OUTBOUND, V4.udp(OUTBOUND))
        one.handle_packet(OUTBOUND, V4.udp(OUTBOUND, far=V4.stranger))
    gateway.clock_set(first)
    twin.handle_timeout(first)
    assert repr(gateway) == repr(twin)
    for later in (60.0, 121.0):
        assert gateway.poll_timeout() == twin.poll_timeout()
        assert fetched(gateway) == fetched(twin)
        gateway.handle_timeout(first + later)
        twin.handle_timeout(first + later)
    assert fetched(gateway) == fetched(twin)


# --- Lifetimes -------------------------------------------------------------------------------


@every_step
@every_kind
@both_names
def test_a_session_keeps_what_it_had_left(
    names: Names, kind: str, before: float, after: float
) -> None:
    idle = 7_440.0 if kind == "tcp" else 120.0
    for answered, lifetime in ((False, 60.0), (True, idle)):
        for left, expected in ((TICK, alive(names, kind)), (0.0, EXPIRED)):
            gateway = gateway_with(names, now=before)
            assert gateway.handle_packet(OUTBOUND, names.sent(kind)).allowed
            if answered:
                assert gateway.handle_packet(INBOUND, names.came(kind)).allowed
            gateway.handle_timeout(before + 50)
            gateway.clock_set(after)
            now = after + lifetime - 50.0 - left
            assert gateway.handle_packet(INBOUND, names.came(kind), now) == expected


@every_step
@both_names
def test_what_closes_and_what_has_ended_keeps_what_it_had_left(
    names: Names, before: float, after: float
) -> None:
    # Over 240 s after its last packet out, and remembered for as long.
    for story, over in (("> FIN < FIN", 240.0), ("> RST", 0.0)):
        rows: list[tuple[float, Decision]]
        rows = [(over + 240.0 - TICK, EXPIRED), (over + 240.0, GONE)]
        rows += [(over - TICK, alive(names)), (over, EXPIRED)] if over else [(50.0, EXPIRED)]
        for asked_at, expected in rows:
            gateway = gateway_with(names, now=before)
            gateway.handle_packet(OUTBOUND, names.sent("tcp"))
            last = RST if "RST" in story else FIN
            assert gateway.handle_packet(OUTBOUND, names.sent("tcp", flags=last)).allowed
            if last == FIN:
                assert gateway.handle_packet(INBOUND, names.came("tcp", flags=FIN)).allowed
            gateway.handle_packet(OUTBOUND, b"", before + 30)
            gateway.clock_set(after)
            now = after + asked_at - 30.0
            assert gateway.handle_packet(INBOUND, names.came("tcp"), now) == expected


@both_names
def test_a_session_that_was_over_by_then_stays_over_and_its_end_was_then(names: Names) -> None:
    for asked_at, expected in ((200.0 - TICK, EXPIRED), (200.0, GONE)):
        gateway = gateway_with(names, now=BOOT)
        tell(gateway, names, "0>")
        # Over at 60, which nobody has looked at.
        gateway.handle_packet(OUTBOUND, b"", BOOT + 100.0)
        gateway.clock_set(500.0)
        assert gateway.counters().nat_sessions == 0
        assert gateway.handle_packet(INBOUND, names.came("tcp"), 500.0 + asked_at) == expected


@every_step
@both_families
def test_first_fragments_keep_what_they_had_left(
    family: Family, before: float, after: float
) -> None:
    whole = family.udp(OUTBOUND, size=40)
    for left, expected in ((TICK, None), (0.0, Reason.FRAGMENT)):
        gateway = gateway_for_alice(family.db(), now=before)
        assert gateway.handle_packet(OUTBOUND, fragment(whole, 0, 16)).allowed
        gateway.handle_timeout(before + 20)
        gateway.clock_set(after)
        later = gateway.handle_packet(OUTBOUND, fragment(whole, 16), after + 10.0 - left)
        assert refusal(later) == expected
        assert gateway.counters().fragments == int(expected is None)
        gateway.handle_timeout(after + 10.0)
        assert gateway.counters().fragments == 0


@every_step
def test_tokens_stay_and_grow_from_there(before: float, after: float) -> None:
    options = GatewayOptions(reject_rate=1.0, reject_burst=3)
    gateway = gateway_for_alice(options=options, now=before)
    refused = V4.tcp(OUTBOUND)

    def replies(now: float) -> int:
        return sum(
            isinstance(one, Reject) for one in gateway.handle_packets(OUTBOUND, [refused] * 5, now)
        )

    gateway.handle_packet(OUTBOUND, refused)
    gateway.handle_packet(OUTBOUND, refused)
    gateway.clock_set(after)
    assert [replies(after + seconds) for seconds in (0.5, 1.0, 2.0, 9.0)] == [1, 1, 1, 3]


@every_step
def test_flow_records_and_refusals_are_due_when_they_would_have_been(
    before: float, after: float
) -> None:
    gateway = recording(V4.db(), now=before)
    gateway.handle_packet(OUTBOUND, V4.udp(OUTBOUND))
    gateway.handle_packet(OUTBOUND, V4.udp(OUTBOUND, far=V4.stranger))
    gateway.handle_timeout(before + 10)
    gateway.clock_set(after)
    due = gateway.poll_timeout()
    assert due == after + 50.0
    (refused,) = refusals(gateway, due)
    assert (refused.first_packet, refused.last_packet) == (after - 10.0, after - 10.0)
    due = gateway.poll_timeout()
    assert due == math.nextafter(after + 110.0, math.inf)
    gateway.handle_timeout(after + 110.0)
    assert ends(gateway) == []
    gateway.handle_timeout(due)
    assert ends(gateway) == [(FlowEnd.IDLE, due)]


def test_what_is_remembered_and_permitted_stays() -> None:
    gateway = gateway_for_alice(V4.db(), now=BOOT)
    assert db_passes(gateway)
    cached = gateway.counters().cached_flows
    gateway.clock_set(UNIX)
    assert gateway.counters().cached_flows == cached == 1
    assert db_passes(gateway)
    assert gateway.authorizations("alice") == {"db": None}


# --- Expiries --------------------------------------------------------------------------------


def expiring(at: float, now: float) -> Gateway:
    gateway = gateway_for_alice(now=now)
    gateway.authorize("alice", V4.db(), expires_at=at)
    assert db_passes(gateway)
    return gateway


@pytest.mark.parametrize("late", [0.0, TICK, 1_000.0])
def test_an_expiry_that_has_passed_by_the_new_time_ends_in_this_call(late: float) -> None:
    gateway = expiring(BOOT + 100.0, BOOT)
    gateway.clock_set(BOOT + 100.0 + late)
    assert gateway.authorizations("alice") == {}
    assert fetched(gateway) == [
        AuthorizationExpired("alice", "db", BOOT + 100.0),
        AccessExhausted("alice"),
    ]
    assert gateway.poll_timeout() is None
    assert not db_passes(gateway)


@pytest.mark.parametrize("after", [BOOT + 100.0 - TICK, BOOT + 50.0, BOOT - 50.0, -BOOT])
def test_any_other_expiry_means_what_it_says(after: float) -> None:
    gateway = expiring(BOOT + 100.0, BOOT)
    gateway.clock_set(after)
    assert gateway.authorizations("alice") == {"db": BOOT + 100.0}
    assert gateway.poll_timeout() == BOOT + 100.0
    assert db_passes(gateway, BOOT + 100.0 - TICK)
    assert not db_passes(gateway, BOOT + 100.0)


def test_what_has_ended_stays_gone() -> None:
    gateway = expiring(BOOT + 100.0, BOOT)
    gateway.handle_timeout(BOOT + 100.0)
    gateway.clock_set(BOOT)
    assert gateway.authorizations("alice") == {}
    assert not db_passes(gateway)
    assert gateway.handle_packet(INBOUND, V4.tcp(INBOUND)) == Drop(Reason.NO_RESOURCE, "alice")


def test_a_host_that_booted_in_1970_takes_the_portals_expiries_once_it_knows_the_time() -> None:
    gateway = gateway_for_alice(V4.db(), now=BOOT)
    expiry = UNIX + 3_600.0
    for _ in range(2):
        with pytest.raises(InvalidTime, match="two clocks"):
            gateway.authorize("alice", V4.db(), expires_at=expiry)
    with pytest.raises(InvalidTime, match="clock_set"):
        gateway.handle_timeout(UNIX)
    gateway.clock_set(UNIX)
    gateway.authorize("alice", V4.db(), expires_at=expiry)
    assert db_passes(gateway, expiry - TICK)
    assert not db_passes(gateway, expiry)


def with_expiries() -> Gateway:
    gateway = gateway_for_alice(now=BOOT)
    gateway.authorize("alice", V4.db(), expires_at=BOOT + 5.0)
    gateway.authorize("bob", V4.db(), expires_at=BOOT + 1_000.0)
    gateway.authorize("bob", V4.everything())
    return gateway


@pytest.mark.parametrize("earlier", [TICK, 1e9])
def test_an_expiry_that_would_lie_too_far_ahead_refuses_the_call_without_effect(
    earlier: float,
) -> None:
    last = BOOT + 1_000.0 - FIFTY_YEARS
    refused_without_effect(
        with_expiries, lambda gateway: gateway.clock_set(last - earlier), InvalidTime
    )
    gateway = with_expiries()
    gateway.clock_set(last)
    assert gateway.authorizations("bob") == {"db": BOOT + 1_000.0, "all": None}


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf, 2**33, 1_000 * UNIX, 2**1024])
@pytest.mark.parametrize("now", [None, BOOT])
def test_what_is_no_time_sets_no_clock(wrong: float, now: float | None) -> None:
    gateway = gateway_for_alice(V4.db(), now=now)
    shown = repr(gateway)
    with pytest.raises(InvalidTime):
        gateway.clock_set(wrong)
    assert repr(gateway) == shown
