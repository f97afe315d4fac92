"""Section 2, time, and rules 5 and 7 of section 3: expiry, the clock, and `poll_timeout`."""

import math
from collections.abc import Callable
from itertools import product
from typing import Final

import pytest

from firezone_filter import (
    AccessExhausted,
    AuthorizationExpired,
    CidrResource,
    Direction,
    Drop,
    Forward,
    Gateway,
    InvalidTime,
    Reason,
)
from firezone_filter.testing import fragment
from tests.forgetful import forget_everything_remembered
from tests.property.test_bounds import sizes
from tests.records import fetched, names, recording
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
from tests.translations import N4, TICK, gateway_with

START: Final = 1_000.0
END: Final = 1_010.0
FIFTY_YEARS: Final = 50 * 365.25 * 24 * 3_600

Bring = Callable[[Gateway, float], object]

BRING: Final[dict[str, Bring]] = {
    "timeout": lambda gateway, now: gateway.handle_timeout(now),
    "packet-out": lambda gateway, now: gateway.handle_packet(OUTBOUND, V4.tcp(OUTBOUND), now),
    "packet-in": lambda gateway, now: gateway.handle_packet(INBOUND, V4.tcp(INBOUND), now),
    "malformed": lambda gateway, now: gateway.handle_packet(OUTBOUND, b"", now),
    "of-another": lambda gateway, now: gateway.handle_packet(INBOUND, b"", now, "bob"),
    "packets": lambda gateway, now: gateway.handle_packets(INBOUND, [V4.tcp(INBOUND)], now),
    "no-packets": lambda gateway, now: gateway.handle_packets(OUTBOUND, [], now),
    "connection": lambda gateway, now: gateway.client_connected("bob", BOB, now),
}
"""All calls that bring a `now`."""

Set = Callable[[Gateway], object]

every_call = pytest.mark.parametrize("bring", BRING.values(), ids=BRING)


def expiring(at: float = END, *, family: Family = V4, now: float = START) -> Gateway:
    """Let Alice reach the resource until *at*; its flow is established, if it lasts."""
    gateway = gateway_for_alice(now=now)
    gateway.authorize("alice", family.db(), expires_at=at)
    for direction in (OUTBOUND, INBOUND) * 2:
        gateway.handle_packet(direction, family.tcp(direction))
    return gateway


def passes(gateway: Gateway, now: float | None = None) -> bool:
    """Tell whether the flow passes, both ways or neither."""
    outbound, inbound = (
        gateway.handle_packet(direction, V4.tcp(direction), now) for direction in Direction
    )
    assert outbound.allowed is inbound.allowed
    return outbound.allowed


# --- Expiry is exact --------------------------------------------------------------------------


@both_directions
@both_families
def test_a_permission_is_gone_at_its_expiry_and_not_before(
    family: Family, direction: Direction
) -> None:
    for packet in (family.tcp(direction), family.udp(direction), family.echo(direction)):
        gateway = expiring(family=family)
        before = gateway.handle_packet(direction, packet, math.nextafter(END, 0.0))
        assert before == Forward("alice", "db")
        assert refusal(gateway.handle_packet(direction, packet, END)) is Reason.NO_RESOURCE


@every_call
def test_any_call_that_brings_a_later_now_expires_first(bring: Bring) -> None:
    for late in (0.0, 10.0):
        gateway = expiring()
        bring(gateway, END - TICK)
        assert gateway.authorizations("alice") == {"db": END}
        assert fetched(gateway) == []
        bring(gateway, END + late)
        assert gateway.authorizations("alice") == {}
        assert fetched(gateway) == [
            AuthorizationExpired("alice", "db", END),
            AccessExhausted("alice"),
        ]
        assert not passes(gateway)


def test_the_call_judges_after_it_has_expired() -> None:
    gone = Drop(Reason.NO_RESOURCE, "alice")
    for now in (END, int(END), END + 10.0):
        assert expiring().handle_packet(INBOUND, V4.tcp(INBOUND), now) == gone
        assert expiring().handle_packets(INBOUND, [V4.tcp(INBOUND)] * 2, now) == [gone] * 2


@pytest.mark.parametrize("at", [START, START - 1.0, 0.0, -5.0])
def test_an_expiry_that_has_passed_takes_effect_in_the_call_that_sets_it(at: float) -> None:
    ended = [AuthorizationExpired("alice", "db", at), AccessExhausted("alice")]
    calls: list[Set] = [
        lambda gateway: gateway.authorize("alice", V4.db(), expires_at=at),
        lambda gateway: gateway.update_expiry("alice", "db", at),
    ]
    for set_again in calls:
        gateway = expiring(END)
        set_again(gateway)
        assert fetched(gateway) == ended
        assert (gateway.authorizations("alice"), gateway.poll_timeout()) == ({}, None)
        assert not passes(gateway)
    gateway = expiring(at)
    assert (fetched(gateway), passes(gateway)) == (ended, False)


def test_an_expiry_just_ahead_takes_no_effect_yet() -> None:
    gateway = expiring(math.nextafter(START, math.inf))
    assert passes(gateway)
    assert fetched(gateway) == []


EXPIRIES: Final[dict[str, tuple[Set, float | None]]] = {
    "later": (lambda gateway: gateway.update_expiry("alice", "db", END + 5.0), END + 5.0),
    "earlier": (lambda gateway: gateway.update_expiry("alice", "db", END - 5.0), END - 5.0),
    "never": (lambda gateway: gateway.update_expiry("alice", "db", None), None),
    "renewed": (
        lambda gateway: gateway.authorize("alice", V4.db(), expires_at=END + 5.0),
        END + 5.0,
    ),
    "shortened": (
        lambda gateway: gateway.authorize("alice", V4.db(), expires_at=END - 5.0),
        END - 5.0,
    ),
    "for ever": (lambda gateway: gateway.authorize("alice", V4.db()), None),
    "updated": (lambda gateway: gateway.update_resource(V4.db()), END),
    "retained": (lambda gateway: gateway.retain_authorizations({"alice": {"db"}}), END),
}


@pytest.mark.parametrize("case", EXPIRIES)
def test_the_expiry_that_was_set_last_counts(case: str) -> None:
    call, ends = EXPIRIES[case]
    gateway = expiring()
    call(gateway)
    assert gateway.authorizations("alice") == {"db": ends}
    assert gateway.poll_timeout() == ends
    if ends is not None:
        assert passes(gateway, ends - TICK)
        assert not passes(gateway, ends)
        assert len(fetched(gateway)) == 2
    else:
        assert passes(gateway, START + FIFTY_YEARS)
        assert passes(gateway, START + 2 * FIFTY_YEARS)
        assert fetched(gateway) == []
    assert gateway.poll_timeout() is None


ENDS: Final[dict[str, Set]] = {
    "revoke": lambda gateway: gateway.revoke("alice", "db"),
    "retain": lambda gateway: gateway.retain_authorizations({}),
    "disconnect": lambda gateway: gateway.client_disconnected("alice"),
    "reconnect": lambda gateway: gateway.client_connected("alice", ALICE),
}


@pytest.mark.parametrize("case", ENDS)
def test_an_authorization_that_is_taken_away_has_no_deadline(case: str) -> None:
    gateway = expiring()
    ENDS[case](gateway)
    fetched(gateway)
    assert gateway.poll_timeout() is None
    gateway.client_connected("alice", ALICE)
    gateway.authorize("alice", V4.db())
    gateway.handle_timeout(END)
    assert gateway.authorizations("alice") == {"db": None}
    assert fetched(gateway) == []


# --- Time never runs backwards ----------------------------------------------------------------

SAME: Final = float("1001.0")
"""A moment that comes as the same object again, as from hosts that read the clock once."""

EARLIER: Final = {"none": None, "same": SAME, "equal": 1001, "before": 5.0, "negative": -1e9}


@pytest.mark.parametrize("now", EARLIER.values(), ids=EARLIER)
@every_call
def test_a_call_at_an_earlier_now_or_none_happens_at_the_latest(
    bring: Bring, now: float | None
) -> None:
    gateway = expiring()
    assert passes(gateway, SAME)
    bring(gateway, END - 1.0)
    assert passes(gateway, now)
    if now is not None:
        for other in BRING.values():
            other(gateway, now)
    # Expiries count from the latest `now`.
    gateway.authorize("bob", V4.db(), expires_at=END - 1.0)
    assert gateway.authorizations("bob") == {}
    assert gateway.authorizations("alice") == {"db": END}
    bring(gateway, END)
    assert not passes(gateway, now)
    assert gateway.authorizations("alice") == {}


def test_an_equal_now_of_another_type_is_the_same_moment() -> None:
    gateway = expiring(END, now=1_000)
    for now in (1_001, 1_001.0, SAME, SAME, 1_001):
        assert passes(gateway, now)
        assert "now 1001" in repr(gateway)
        gateway.authorize("bob", V4.db(), expires_at=1_001)
        assert gateway.authorizations("bob") == {}
    assert not passes(gateway, 1_010)


# --- Before the first now ---------------------------------------------------------------------


@every_call
def test_every_call_that_brings_a_now_starts_the_clock(bring: Bring) -> None:
    for first in (0.0, 0, -1e9, 1_790_000_000.0):
        gateway = gateway_for_alice(V4.db(), now=None)
        assert passes(gateway)
        assert passes(gateway)
        assert gateway.poll_timeout() is None
        for at in (first - 1.0, first, first + 1.0):
            with pytest.raises(InvalidTime):
                gateway.authorize("alice", V4.db(), expires_at=at)
            with pytest.raises(InvalidTime):
                gateway.update_expiry("alice", "db", at)
        assert gateway.update_expiry("alice", "db", None)
        bring(gateway, first)
        gateway.authorize("alice", V4.db(), expires_at=first + 1.0)
        assert gateway.poll_timeout() == first + 1.0
        assert passes(gateway, first + 1.0 - TICK)
        assert not passes(gateway, first + 1.0)


@pytest.mark.parametrize("first", [-1_000.0, 1_790_000_000.0])
def test_lifetimes_begun_before_the_first_now_count_from_it(first: float) -> None:
    gateway = gateway_with(N4, now=None)
    gateway.authorize("alice", V4.db())
    whole = V4.udp(OUTBOUND, size=40)
    for packet in (N4.sent(), fragment(whole, 0, 16)):
        assert gateway.handle_packet(OUTBOUND, packet).allowed
    gateway.handle_timeout(first)
    for seconds, fragments, sessions in ((29.0, 1, 1), (30.0, 0, 1), (60.0, 0, 0)):
        gateway.handle_timeout(first + seconds)
        counters = gateway.counters()
        assert (counters.fragments, counters.nat_sessions) == (fragments, sessions)


# --- How far ----------------------------------------------------------------------------------


@pytest.mark.parametrize("now", [-1_000.0, 0.0, 1_790_000_000.0])
def test_an_expiry_lies_at_most_50_years_after_the_latest_now(now: float) -> None:
    gateway = gateway_for_alice(V4.db(), now=now - 500.0)
    gateway.handle_timeout(now)
    gateway.handle_timeout(now - 500.0)
    last = now + FIFTY_YEARS
    gateway.authorize("alice", V4.db(), expires_at=last)
    assert gateway.update_expiry("alice", "db", last)
    for beyond, why in (
        (math.nextafter(last, math.inf), "50 years"),
        (last + 1, "50 years"),
        (2**33, "milliseconds"),
        (1_000 * last, "milliseconds"),
    ):
        with pytest.raises(InvalidTime, match=why):
            gateway.authorize("alice", V4.db(), expires_at=beyond)
        with pytest.raises(InvalidTime, match=why):
            gateway.update_expiry("alice", "db", beyond)
    assert gateway.authorizations("alice") == {"db": last}


@every_call
@pytest.mark.parametrize("latest", [-1_000.0, 0, 1_790_000_000.0])
def test_a_now_lies_at_most_50_years_after_or_before_the_latest(
    latest: float, bring: Bring
) -> None:
    gateway = gateway_for_alice(V4.db(), now=latest)
    before, after = latest - FIFTY_YEARS, latest + FIFTY_YEARS
    for beyond in (before - TICK, after + TICK, 2 * before - latest, int(after) + 1):
        with pytest.raises(InvalidTime, match="50 years"):
            bring(gateway, beyond)
        assert f"now {latest}" in repr(gateway)
    bring(gateway, before)
    assert f"now {latest}" in repr(gateway)
    bring(gateway, after)
    assert f"now {after}" in repr(gateway)
    bring(gateway, after + FIFTY_YEARS)
    assert f"now {after + FIFTY_YEARS}" in repr(gateway)


@every_call
def test_the_last_time_is_just_before_2_to_the_33rd(bring: Bring) -> None:
    for last in (2**33 - 1, math.nextafter(2.0**33, 0.0)):
        gateway = gateway_for_alice(V4.db(), now=2.0**33 - FIFTY_YEARS)
        for late in (2**33, 2.0**33, 2.0**33 + FIFTY_YEARS):
            with pytest.raises(InvalidTime, match="milliseconds"):
                bring(gateway, late)
        bring(gateway, last)
        assert f"now {last!r}" in repr(gateway)


@every_call
@pytest.mark.parametrize(
    "wrong",
    [math.nan, math.inf, 2**33, 1_790_000_000_000, 2**1024],
    ids=["nan", "inf", "2242", "milliseconds", "huge"],
)
def test_a_first_now_that_is_no_time_does_not_start_the_clock(bring: Bring, wrong: float) -> None:
    gateway = gateway_for_alice(V4.db(), now=None)
    with pytest.raises(InvalidTime):
        bring(gateway, wrong)
    assert "no time yet" in repr(gateway)
    bring(gateway, -2e9)
    assert "now -2000000000.0" in repr(gateway)


@every_call
def test_milliseconds_once_do_not_end_every_later_grant(bring: Bring) -> None:
    start = 1_790_000_000.0
    gateway = gateway_for_alice(now=start)
    with pytest.raises(InvalidTime, match="milliseconds"):
        bring(gateway, 1_000 * start)
    gateway.authorize("alice", V4.db(), expires_at=start + 3_600.0)
    assert passes(gateway, start + 3_600.0 - TICK)
    assert not passes(gateway, start + 3_600.0)


@every_call
def test_monotonic_times_and_unix_times_do_not_mix(bring: Bring) -> None:
    monotonic, unix = 5_000.0, 1_790_000_000.0
    for first, other in ((monotonic, unix), (unix, monotonic)):
        gateway = gateway_for_alice(now=first)
        gateway.authorize("alice", V4.db(), expires_at=first + 10.0)
        with pytest.raises(InvalidTime, match="two clocks"):
            bring(gateway, other)
        # Time goes on, on the clock of the first.
        assert passes(gateway, first + 10.0 - TICK)
        assert not passes(gateway, first + 10.0)


# --- poll_timeout -----------------------------------------------------------------------------


def test_the_timeout_is_the_earliest_expiry_of_all_clients_and_then_the_next() -> None:
    gateway = gateway_for_alice(V4.db(), now=0.0)
    assert gateway.poll_timeout() is None
    gateway.update_expiry("alice", "db", 20.0)
    gateway.authorize("bob", V4.db(), expires_at=10.0)
    for ends, after in ((10.0, 20.0), (20.0, None)):
        assert gateway.poll_timeout() == ends
        gateway.handle_timeout(ends)
        assert gateway.poll_timeout() == after


@every_call
def test_events_that_already_wait_are_not_announced(bring: Bring) -> None:
    gateway = expiring()
    bring(gateway, END)
    assert gateway.poll_timeout() is None
    assert len(fetched(gateway)) == 2


def test_the_timeout_is_also_that_of_flow_records_and_refusals() -> None:
    gateway = recording(V4.db(), now=0.0)
    gateway.handle_packet(OUTBOUND, V4.udp(OUTBOUND))
    gateway.handle_packet(OUTBOUND, V4.udp(OUTBOUND, far=V4.stranger))
    assert names(gateway) == ["started"]
    gateway.update_expiry("alice", "db", 50.0)
    for due, expected in (
        (50.0, ["authorization expired", "ended: expired", "access exhausted"]),
        (60.0, ["refused"]),
    ):
        assert gateway.poll_timeout() == due
        gateway.handle_timeout(due)
        assert names(gateway) == expected
    assert gateway.poll_timeout() is None


@pytest.mark.parametrize(
    ("expires_at", "reason"),
    [(END + 50.0, Reason.EXPIRED_NAT_SESSION), (END + 49.5, Reason.NO_RESOURCE)],
)
def test_late_expiries_take_effect_in_the_order_of_their_moments(
    expires_at: float, reason: Reason
) -> None:
    # Nothing came back: the session is over after a minute.
    gateway = gateway_with(N4, now=START)
    gateway.handle_packet(OUTBOUND, N4.sent())
    gateway.update_expiry("alice", "app", expires_at)
    assert gateway.handle_packet(INBOUND, N4.came(), END + 90.0) == Drop(reason, "alice")


@pytest.mark.parametrize("noticed", [True, False], ids=["noticed", "unnoticed"])
def test_an_expiry_in_the_past_ends_nothing_before_the_call_that_sets_it(*, noticed: bool) -> None:
    gateway = gateway_with(N4, now=START)
    gateway.handle_packet(OUTBOUND, N4.sent())
    gateway.handle_packet(OUTBOUND, b"", START + 60.0)
    if noticed:
        gateway.handle_packet(INBOUND, N4.came(number=1))
    gateway.update_expiry("alice", "app", START + 59.0)
    late = gateway.handle_packet(INBOUND, N4.came())
    assert late == Drop(Reason.EXPIRED_NAT_SESSION, "alice")


# --- Letting go -------------------------------------------------------------------------------


@pytest.mark.parametrize("leaves", [False, True], ids=["stays", "leaves"])
def test_handle_timeout_lets_go_of_all_that_is_over(*, leaves: bool) -> None:
    gateway = gateway_with(N4, now=0.0)
    gateway.authorize("alice", V4.db())

    def use(now: float) -> None:
        for number in range(20):
            assert gateway.handle_packet(OUTBOUND, N4.sent(number=number + 1), now).allowed
            whole = V4.udp(OUTBOUND, size=40)
            first = fragment(whole, 0, 16, identification=number)
            assert gateway.handle_packet(OUTBOUND, first, now).allowed

    def forgotten() -> list[int]:
        # The flow cache is no matter of time.
        forget_everything_remembered(gateway)
        return sizes(gateway)

    # The first use makes objects that stay: shared decisions, tables.
    use(0.0)
    for now in (30.0, 60.0, 300.0):
        gateway.handle_timeout(now)
    before = forgotten()
    use(1_000.0)
    assert sum(forgotten()) > sum(before)
    if leaves:
        gateway.client_disconnected("alice")
        assert sum(sizes(gateway)) < sum(before)
        return
    for now in (1_030.0, 1_060.0, 1_300.0):
        gateway.handle_timeout(now)
    assert forgotten() == before


def test_resources_that_expired_together_can_be_authorized_again() -> None:
    gateway = gateway_for_alice(now=0.0)
    hosts = [CidrResource(f"host-{n}", f"10.0.0.{n}") for n in range(1, 40)]
    for client_id, host in product(("alice", "bob"), hosts):
        gateway.authorize(client_id, host, expires_at=END)
    gateway.handle_timeout(END)
    assert len(fetched(gateway)) == 2 * (len(hosts) + 1)
    gateway.authorize("alice", hosts[7], expires_at=END + 1.0)
    assert (gateway.authorizations("alice"), gateway.poll_timeout()) == (
        {"host-8": END + 1.0},
        END + 1.0,
    )
