"""The sessions of clients: in the order of their ends, forgotten in steps, within limits."""

import gc
import weakref
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firezone_filter.packet.numbers import FIN, RST, SYN, TCP, UDP
from firezone_filter.tracking import sessions
from firezone_filter.tracking.lifetimes import STAYS, Group, TrackedSession
from firezone_filter.tracking.sessions import ClientSessions, Room
from tests.translations import TICK
from tests.unit.tracking.tracked import (
    NO_LIMIT,
    Pool,
    Sessions,
    answered,
    begun,
    came,
    closing,
    pool_of,
    sent,
    with_fin,
)

ALL = 1_000_000
"""Steps enough for everything."""


# --- One client's ----------------------------------------------------------------------------


def test_what_becomes_of_a_session_that_has_ended_is_for_its_owner_to_say() -> None:
    mine = ClientSessions[TrackedSession](pool_of(), 0)
    with pytest.raises(NotImplementedError):
        mine.ended(TrackedSession(Group(), 0, UDP), None)


def test_a_session_is_open_once_it_was_added_until_it_ended() -> None:
    pool = pool_of(in_all=1)
    mine = Sessions(pool)
    session = mine.proposed()
    assert (session.is_open, mine.count, pool.count) == (False, 0, 0)
    session.see_outbound(443, 0, 5.0)
    mine.add(session)
    assert (session.is_open, session.last, session.last_outbound) == (True, 5.0, 5.0)
    assert (mine.count, pool.count, pool.most.first) == (1, 1, mine)
    assert mine.group.held == {session.key: session}
    mine.end(session, 7.0)
    assert (session.is_open, mine.count, pool.count, pool.most.first) == (False, 0, 0, None)
    assert (mine.group.held, mine.have_ended) == ({}, [(session, 7.0)])


def test_a_session_is_steady_while_packets_without_flags_only_prolong_it() -> None:
    mine = Sessions(pool_of())
    for session in (begun(mine), with_fin(mine), closing(mine)):
        assert not session.is_steady
    for session in (answered(mine, UDP), answered(mine, TCP)):
        assert session.is_steady
        sent(mine, session, 1.0)
        assert (session.is_steady, session.kind) == (True, STAYS)
        mine.end(session, 2.0)
        assert not session.is_steady


def everything(mine: Sessions) -> dict[TrackedSession, float]:
    """Begin sessions of all kinds; return when each is over."""
    late_answer, capped, restarted = begun(mine, TCP, 1.0), begun(mine, UDP, 1.5), closing(mine)
    early, late_fin = answered(mine, TCP), with_fin(mine)
    plain = begun(mine, now=3.0)
    steady, quick = answered(mine, TCP, 4.0), answered(mine, UDP, 4.0)
    came(mine, late_answer, 50.0)
    came(mine, capped, 50.0)
    for now in range(100, 7_400, 100):
        came(mine, capped, float(now))
    moments = {
        late_answer: 7_441.0,
        closing(mine, 2.0): 242.0,
        early: 7_440.0,
        plain: 63.0,
        steady: 7_444.0,
        quick: 124.0,
    }
    # It is the last to get a packet, and not the last to end.
    other = answered(mine, UDP, 7_330.0)
    moments[other] = 7_450.0
    came(mine, capped, 7_340.0)
    moments[capped] = 7_441.5
    sent(mine, restarted, 30.0, SYN)
    moments[restarted] = 90.0
    came(mine, late_fin, 31.0, FIN)
    moments[late_fin] = 240.0
    return moments


def test_sessions_are_forgotten_in_the_order_of_their_ends_each_at_its_own() -> None:
    pool = pool_of()
    mine = Sessions(pool)
    in_order = sorted(everything(mine).items(), key=lambda one: one[1])
    for place, (session, over) in enumerate(in_order):
        assert mine.first_gone(over - TICK) is None
        assert mine.due() == over
        assert pool.forget(over - TICK, ALL) <= 1
        assert mine.have_ended == in_order[:place]
        assert mine.first_gone(over) is session
        pool.forget(over, ALL)
        assert mine.have_ended == in_order[: place + 1]
    assert (mine.due(), mine.count, pool.count, pool.next) == (None, 0, 0, inf)


def test_a_packet_brings_a_session_to_where_it_belongs_from_wherever_it_was() -> None:
    for now, over in ((8_000.0, 8_120.0), (60.0, 180.0)):
        mine = Sessions(pool_of())
        moments = everything(mine)
        tcp = [session for session in moments if session.is_tcp]
        for session in moments:
            sent(mine, session, now)
        for session in moments:
            came(mine, session, now)
        ends = {s: now + (240 if s.kind == 0 else 7_440) if s.is_tcp else over for s in moments}
        assert len(tcp) == 6
        while mine.forget(1e9, 1):
            pass
        assert dict(mine.have_ended) == ends
        assert [at for _, at in mine.have_ended] == sorted(ends.values())


def test_no_session_is_gone_before_the_next_moment_which_may_be_early() -> None:
    mine = Sessions(pool_of())
    assert mine.next == inf
    first, second = begun(mine), begun(mine, now=1.0)
    assert mine.next == 60.0
    sent(mine, first, 50.0)
    assert mine.next == 60.0
    assert mine.lives(first, 60.0 - TICK)
    assert mine.next == 60.0
    assert mine.lives(first, 60.0)
    assert mine.next == 61.0
    assert not mine.lives(second, 61.0)
    mine.take_apart(second, 61.0)
    assert mine.lives(first, 61.0)
    assert mine.next == 110.0
    mine.end(first, 62.0)
    assert not mine.lives(first, 62.0)
    assert not mine.lives(first, 200.0)
    assert mine.next == inf
    # A session that ends before all others, be it a little, is noticed at once.
    session = answered(mine, UDP, 100.0)
    sent(mine, session, 170.0)
    assert mine.lives(session, 220.0)
    assert mine.next == 290.0
    other = begun(mine, now=225.0)
    assert (mine.next, mine.pool.upkeep.earliest()) == (285.0, 285.0)
    for one in (session, other):
        mine.end(one, 226.0)
    # So is what brings an end forward.
    session = answered(mine, TCP, 200.0)
    mine.lives(session, 286.0)
    assert mine.next == 7_640.0
    sent(mine, session, 300.0, FIN)
    came(mine, session, 301.0, FIN)
    assert (mine.next, mine.pool.upkeep.earliest()) == (540.0, 540.0)


def test_a_session_is_freed_when_it_is_forgotten_without_the_collector() -> None:
    mine = Sessions(pool_of())

    class Watched(TrackedSession):
        pass

    freed = []
    gc.collect()
    gc.disable()
    try:
        for step in (0, SYN, FIN, RST):
            for _ in range(3):
                session = Watched(mine.group, object(), TCP)
                session.see_outbound(443, step, 0.0)
                mine.add(session)
                came(mine, session, 0.0, step)
                freed.append(weakref.ref(session))
        del session
        mine.withdraw(mine.group, 1.0)
        while mine.forget(2.0, 1):
            # Each with its own step, not all at the end.
            mine.have_ended.clear()
            assert sum(one() is not None for one in freed) == mine.count
    finally:
        gc.enable()
    assert mine.count == 0


# --- Policy ----------------------------------------------------------------------------------


def test_policy_ends_a_group_at_once_and_its_sessions_are_forgotten_later() -> None:
    pool = pool_of()
    mine, other = Sessions(pool), Group()
    over, live = begun(mine, now=1.0), answered(mine, now=30.0)
    kept = begun(mine, now=40.0, group=other)
    mine.withdraw(mine.group, 61.0)
    assert [session.is_gone(61.0) for session in (over, live, kept)] == [True, True, False]
    assert (mine.lives(live, 61.0), mine.lives(kept, 61.0)) == (False, True)
    assert (mine.count, mine.due(), pool.next, list(pool.withdrawn)) == (3, 61.0, 61.0, [mine])
    assert pool.forget(61.0, 1) == 1
    assert mine.count == 2
    assert list(pool.withdrawn) == [mine]
    assert pool.forget(61.0, ALL) == 1
    assert (mine.count, list(pool.withdrawn)) == (1, [])
    # What had ended by time by then has ended so.
    assert sorted(mine.have_ended, key=lambda one: one[0] is live) == [(over, 61.0), (live, None)]
    assert (mine.due(), mine.next) == (100.0, 100.0)
    assert mine.lives(kept, 70.0)


def test_a_group_without_sessions_leaves_nothing_to_forget() -> None:
    pool = pool_of()
    mine = Sessions(pool)
    mine.withdraw(mine.group, 1.0)
    assert (mine.due(), list(pool.withdrawn), pool.next) == (None, [], inf)


# --- Steps -----------------------------------------------------------------------------------


@pytest.mark.parametrize("most", [0, 1, 2, 16])
def test_no_call_takes_more_steps_than_it_may_whatever_is_over(most: int) -> None:
    pool = pool_of()
    clients = [Sessions(pool, number) for number in range(5)]
    for mine in clients:
        for _ in range(400):
            begun(mine)
        answered(mine)
        for _ in range(100):
            begun(mine, group=(other := Group()))
        mine.withdraw(other, 0.0)
    for now in (0.0, 60.0, 60.0, 120.0):
        before = pool.count
        steps = pool.forget(now, most)
        assert before - pool.count <= steps <= most
    calls = 0
    # (One step is for the queue itself.)
    while most > 1 and pool.next <= 120.0:
        before = pool.count
        assert pool.forget(120.0, most) <= most
        assert before - pool.count <= most
        calls += 1
    if most > 1:
        assert pool.count == 0
        assert calls <= 2 * 5 * 501


def test_a_client_that_was_closed_is_in_no_queue() -> None:
    pool = pool_of()
    mine = Sessions(pool)
    begun(mine)
    mine.close()
    assert pool.upkeep.earliest() is None


@pytest.mark.parametrize("by", [-1_000.0, 1 / 3, 1_790_000_000.0])
def test_ends_move_with_the_clock(by: float) -> None:
    pool = pool_of()
    mine, idle = Sessions(pool), Sessions(pool, 1)
    moments = everything(mine)
    for session in moments:
        session.shift_clock(by)
    mine.shift_clock(by)
    idle.shift_clock(by)
    pool.upkeep.shift(by)
    ends = {session: session.expires_at for session in moments}
    assert ends == pytest.approx({session: at + by for session, at in moments.items()})
    assert (mine.next, idle.next) == (min(ends.values()), inf)
    mine.withdraw(mine.group, by + 7_441.0)
    mine.shift_clock(5.0)
    assert mine.due() == by + 7_446.0


# --- What gives way --------------------------------------------------------------------------

FULL: Room[TrackedSession] = Room(is_there=False)
FREE: Room[TrackedSession] = Room(is_there=True)


def way_of(client: Sessions, session: TrackedSession) -> Room[TrackedSession]:
    return Room(is_there=True, client=client, displaced=session)


def test_there_is_room_up_to_the_limits() -> None:
    pool = pool_of(2, 3)
    alice, bob = Sessions(pool), Sessions(pool, 1)
    assert alice.room(0.0) == FREE
    answered(alice)
    assert alice.room(0.0) == FREE
    answered(alice)
    assert (alice.room(0.0), bob.room(0.0)) == (FULL, FREE)
    answered(bob)
    assert (alice.room(0.0), bob.room(0.0)) == (FULL, FULL)


@pytest.mark.parametrize("limits", [(0, NO_LIMIT), (NO_LIMIT, 0)])
def test_without_any_place_none_gives_way(limits: tuple[int, int]) -> None:
    assert Sessions(pool_of(*limits)).room(0.0) == FULL


@pytest.mark.parametrize("limits", [(7, NO_LIMIT), (NO_LIMIT, 7)], ids=["client", "all"])
def test_sessions_give_way_by_their_kind_and_then_by_their_last_packet(
    limits: tuple[int, int],
) -> None:
    mine = Sessions(pool_of(*limits))
    unanswered = [begun(mine, now=float(now)) for now in (0, 1)]
    stays = answered(mine, now=0.0)
    fins = [with_fin(mine, now=float(now)) for now in (2, 3)]
    ends = [closing(mine, now=float(now)) for now in (4, 5)]
    # The first of each kind has had a packet since.
    sent(mine, unanswered[0], 6.0)
    came(mine, fins[0], 6.0)
    came(mine, ends[0], 6.0)
    for giving in (*ends[::-1], *fins[::-1], *unanswered[::-1]):
        assert mine.room(10.0) == way_of(mine, giving)
        mine.take_apart(giving, 10.0)
        answered(mine, now=10.0)
    assert mine.room(10.0) == FULL
    assert stays.is_open
    assert {at for _, at in mine.have_ended} == {10.0}


def test_a_session_that_is_closing_no_more_gives_way_no_more() -> None:
    mine = Sessions(pool_of(1))
    session = answered(mine, TCP)
    came(mine, session, 1.0, RST)
    assert mine.room(2.0) == way_of(mine, session)
    sent(mine, session, 2.0)
    assert mine.room(2.0) == FULL


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=60), st.integers(1, 9))
def test_at_the_limit_of_all_every_client_has_its_place(
    steps: list[tuple[int, bool]], in_all: int
) -> None:
    pool = pool_of(in_all=in_all)
    clients = [Sessions(pool, number) for number in range(6)]
    held: list[list[TrackedSession]] = [[] for _ in clients]
    for number, begins in steps:
        if begins and pool.count < in_all:
            held[number].append(begun(clients[number]))
        elif held[number]:
            clients[number].end(held[number].pop(), 1.0)
        counts = [len(sessions) for sessions in held]
        assert pool.count == sum(counts)
        if pool.count == in_all:
            assert len(pool.most) == sum(count > 0 for count in counts)
            assert pool.most.first is clients[counts.index(max(counts))]
    for client in clients:
        for session in held[client.rank % 2**40]:
            client.end(session, 2.0)
    assert (len(pool.most), len(pool._unranked)) == (0, 0)


def test_at_the_limit_of_all_one_of_the_client_that_has_most_gives_way() -> None:
    pool = pool_of(NO_LIMIT, 5)
    alice, bob, carol = clients = [Sessions(pool, number) for number in range(3)]
    bobs = [begun(bob, now=float(now)) for now in (3, 4)]
    alices = [begun(alice, now=float(now)) for now in (1, 2)]
    closing(carol)
    # Of equals the one that connected first, whoever asks, and whose session came first.
    assert [one.room(5.0) for one in clients] == [way_of(alice, alices[0])] * 3
    alice.end(alices[0], 5.0)
    begun(bob, now=5.0)
    assert [one.room(5.0) for one in clients] == [way_of(bob, bobs[0])] * 3


def test_the_limit_of_a_client_comes_before_that_of_all() -> None:
    pool = pool_of(1, 3)
    alice, bob = Sessions(pool), Sessions(pool, 1)
    mine = begun(alice)
    for _ in range(2):
        closing(bob)
    assert alice.room(0.0) == way_of(alice, mine)


def test_if_none_of_the_client_that_has_most_can_give_way_there_is_no_room() -> None:
    pool = pool_of(NO_LIMIT, 3)
    alice, bob = Sessions(pool), Sessions(pool, 1)
    for _ in range(2):
        answered(alice)
    begun(bob)
    assert bob.room(0.0) == FULL


@pytest.mark.parametrize("limits", [(2, NO_LIMIT), (NO_LIMIT, 2)], ids=["client", "all"])
def test_what_is_over_goes_before_anything_gives_way(limits: tuple[int, int]) -> None:
    mine = Sessions(pool_of(*limits))
    closes, over = closing(mine), begun(mine)
    assert mine.room(60.0 - TICK) == way_of(mine, closes)
    assert mine.room(60.0) == way_of(mine, over)
    mine.take_apart(over, 100.0)
    assert mine.have_ended == [(over, 60.0)]


@pytest.mark.parametrize("limits", [(2, NO_LIMIT), (NO_LIMIT, 2)], ids=["client", "all"])
def test_what_policy_ended_goes_before_anything_gives_way(limits: tuple[int, int]) -> None:
    pool = pool_of(*limits)
    mine, other = Sessions(pool), Group()
    withdrawn = begun(mine, group=other)
    closing(mine)
    mine.withdraw(other, 0.0)
    assert mine.room(0.0) == way_of(mine, withdrawn)
    mine.take_apart(withdrawn, 0.0)
    assert (mine.have_ended, mine.room(0.0)) == ([(withdrawn, None)], FREE)


def pool_with_gone(policy: bool) -> tuple[Pool, Sessions, TrackedSession, Sessions]:  # noqa: FBT001 - a case
    """Fill a pool by two clients, of which the first has most, and one that is gone at 60."""
    pool = pool_of(NO_LIMIT, 3)
    alice, bob = Sessions(pool), Sessions(pool, 1)
    gone = begun(alice)
    answered(alice)
    begun(bob, now=1.0)
    if policy:
        alice.withdraw(alice.group, 0.0)
    return pool, alice, gone, bob


def test_what_is_gone_of_any_client_goes_at_the_limit_of_all() -> None:
    _, alice, gone, bob = pool_with_gone(policy=False)
    assert bob.room(60.0) == way_of(alice, gone)
    _, alice, _, bob = pool_with_gone(policy=True)
    room = bob.room(0.0)
    assert room.client is alice


def test_at_the_limit_of_all_so_many_clients_are_asked_and_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sessions, "MAX_LOOKS", 3)
    for vain, gone_is_found in ((2, True), (3, False)):
        pool = pool_of(NO_LIMIT, vain + 1)
        for number in range(vain):
            mine = Sessions(pool, number)
            # Prolonged since it was announced, and upkeep has not come to it.
            sent(mine, begun(mine, now=float(number)), 30.0)
        asking = Sessions(pool, vain)
        gone = begun(asking, now=9.0)
        assert asking.room(69.0) == (way_of(asking, gone) if gone_is_found else FULL)
