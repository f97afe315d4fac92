"""Tracked sessions: what packets do to one, when it is over, and which gives way to another."""

from collections.abc import Callable
from math import inf

import pytest

from firezone_filter.packet.numbers import ACK, FIN, ICMPV4, ICMPV6, RST, SYN, TCP, UDP
from firezone_filter.tracking.lifetimes import (
    CLOSING,
    DATAGRAM,
    ESTABLISHED,
    HAS_SAID_FIN,
    IS_CLOSING,
    IS_UNANSWERED,
    STAYS,
    UNANSWERED,
    ClientSessions,
    Room,
    SessionPool,
    TrackedSession,
)
from tests.translations import TICK

NO_LIMIT = 1_000_000


class Tracked(TrackedSession):
    """A session that tells when it was expired."""

    def __init__(self, mine: ClientSessions, protocol: int = UDP) -> None:
        super().__init__(mine, protocol)
        self.mine = mine
        self.expired: list[float] = []

    def expire(self, at: float) -> None:
        self.expired.append(at)
        self.mine.remove(self)


def pool_of(per_client: int = NO_LIMIT, in_all: int = NO_LIMIT) -> SessionPool:
    return SessionPool(per_client, in_all)


def client_in(pool: SessionPool, connected: int = 0) -> ClientSessions:
    return ClientSessions(pool, connected)


def begun(mine: ClientSessions, protocol: int = UDP, now: float = 0.0) -> Tracked:
    session = Tracked(mine, protocol)
    session.see_outbound(443, 0, now)
    mine.add(session)
    return session


Step = Callable[[TrackedSession, float], bool]


def out(port: int = 443, flags: int = ACK) -> Step:
    return lambda session, now: session.see_outbound(port, flags, now)


def back(port: int = 443, flags: int = ACK) -> Step:
    return lambda session, now: session.see_inbound(port, flags, now)


def noted(session: Tracked, step: Step, now: float) -> bool:
    """Let a session see a packet, as its table does; return whether that ends it."""
    before = session.kind
    ends = step(session, now)
    session.mine.note(session, before)
    return ends


def answered(mine: ClientSessions, protocol: int = UDP, now: float = 0.0) -> Tracked:
    session = begun(mine, protocol, now)
    noted(session, back(), now)
    return session


def with_fin(mine: ClientSessions, now: float = 0.0) -> Tracked:
    """Begin a session to which the client has said FIN."""
    session = answered(mine, TCP, now)
    noted(session, out(flags=FIN), now)
    return session


def closing(mine: ClientSessions, now: float = 0.0) -> Tracked:
    session = with_fin(mine, now)
    noted(session, back(flags=FIN), now)
    return session


def test_lifetimes_are_those_of_the_rules() -> None:
    assert (UNANSWERED, DATAGRAM, CLOSING) == (60, 120, 240)
    assert ESTABLISHED == 2 * 3_600 + 4 * 60


def test_a_session_says_itself_what_happens_when_it_is_over() -> None:
    with pytest.raises(NotImplementedError):
        TrackedSession(None, UDP).expire(0.0)


# --- What packets do to a session ------------------------------------------------------------

FINS = (out(), out(flags=FIN | ACK), back(flags=FIN | ACK))
RESET = (out(), back(), back(flags=RST))

# Protocol, packets, the kind of session that they make, and when it is over then; the first is
# seen at 0, the next one second later.
LIVES: dict[str, tuple[int, tuple[Step, ...], int, float]] = {
    "out": (UDP, (out(), out()), IS_UNANSWERED, 61.0),
    "out-fin": (TCP, (out(), out(flags=FIN | ACK)), HAS_SAID_FIN, 61.0),
    "udp-answered": (UDP, (out(), back()), STAYS, 121.0),
    "udp-goes-on": (UDP, (out(), back(), out()), STAYS, 122.0),
    "udp-from-another-port": (UDP, (out(), back(444)), STAYS, 121.0),
    "echo": (ICMPV4, (out(-1), back(-1)), STAYS, 121.0),
    "echo6": (ICMPV6, (out(-1), back(-1)), STAYS, 121.0),
    # What comes in does not prolong TCP.
    "tcp-answered": (TCP, (out(), back(), back()), STAYS, 7_440.0),
    "tcp-goes-on": (TCP, (out(), back(), out()), STAYS, 7_442.0),
    "tcp-from-another-port": (TCP, (out(), back(444)), STAYS, 7_440.0),
    # FINs both ways, in either order; one way is not enough.
    "fins": (TCP, FINS, IS_CLOSING, 241.0),
    "fins-inbound-first": (
        TCP,
        (out(), back(flags=FIN), out(flags=FIN)),
        IS_CLOSING,
        242.0,
    ),
    "fins-inbound-only": (TCP, (out(), back(flags=FIN), back(flags=FIN)), STAYS, 7_440.0),
    "fins-outbound-only": (
        TCP,
        (out(flags=FIN), out(flags=FIN), back()),
        HAS_SAID_FIN,
        7_441.0,
    ),
    # Only packets out count after them.
    "after-fins": (TCP, (*FINS, back(), back(flags=FIN)), IS_CLOSING, 241.0),
    "after-fins-out": (TCP, (*FINS, out(), back()), IS_CLOSING, 243.0),
    # A RST that comes in closes it too, until the client goes on.
    "reset": (TCP, RESET, IS_CLOSING, 240.0),
    "reset-unanswered": (TCP, (out(), back(flags=RST | ACK)), IS_CLOSING, 240.0),
    "reset-and-on": (TCP, (*RESET, out()), STAYS, 7_443.0),
    "reset-and-fin": (TCP, (*RESET, out(flags=FIN)), HAS_SAID_FIN, 7_443.0),
    "reset-after-fins-and-on": (TCP, (*FINS, back(flags=RST), out()), IS_CLOSING, 244.0),
    # A FIN or RST from a port that nothing was sent to is none of this connection.
    "fin-of-another-port": (TCP, (out(), out(flags=FIN), back(444, FIN)), HAS_SAID_FIN, 7_441.0),
    "rst-of-another-port": (TCP, (out(), out(), back(444, RST)), STAYS, 7_441.0),
    # A session that has sent to several ports ends by time.
    "several-fin": (TCP, (out(443), out(444, FIN), back(443, FIN)), STAYS, 7_441.0),
    "several-late": (TCP, (out(443, FIN), back(443, FIN), out(444)), STAYS, 7_442.0),
    "several-late-reset": (TCP, (out(443), back(443, RST), out(444)), STAYS, 7_442.0),
    "several-rst-out": (TCP, (out(443), out(444), out(443, RST)), IS_UNANSWERED, 62.0),
    "several-rst-back": (TCP, (out(443), out(444), back(443, RST)), STAYS, 7_441.0),
    "several-rst-other": (TCP, (out(443), out(444), back(444, RST)), STAYS, 7_441.0),
    "several-no-restart": (
        TCP,
        (out(443), out(444), out(flags=FIN), back(flags=FIN), out(flags=SYN)),
        STAYS,
        7_444.0,
    ),
    "several-after-fins": (TCP, (*FINS, out(444)), STAYS, 7_443.0),
    # A SYN starts anew what is closing, to whatever port, and after one FIN the only port's.
    "restart": (TCP, (*FINS, out(flags=SYN)), IS_UNANSWERED, 63.0),
    "restart-to-another-port": (TCP, (*FINS, out(444, SYN)), IS_UNANSWERED, 63.0),
    "restart-after-reset": (TCP, (*RESET, out(flags=SYN)), IS_UNANSWERED, 63.0),
    "restart-after-reset-to-another": (TCP, (*RESET, out(444, SYN)), IS_UNANSWERED, 63.0),
    "restart-after-fin-in": (
        TCP,
        (out(), back(flags=FIN), out(flags=SYN)),
        IS_UNANSWERED,
        62.0,
    ),
    "restart-after-fin-out": (
        TCP,
        (out(flags=FIN), back(), out(flags=SYN)),
        IS_UNANSWERED,
        62.0,
    ),
    "restart-answered": (
        TCP,
        (*FINS, out(flags=SYN), back(flags=SYN | ACK)),
        STAYS,
        7_443.0,
    ),
    "restart-one-fin": (TCP, (*FINS, out(flags=SYN), back(flags=FIN)), STAYS, 7_443.0),
    "restart-fins": (
        TCP,
        (*FINS, out(flags=SYN), back(flags=FIN), out(flags=FIN)),
        IS_CLOSING,
        245.0,
    ),
    "restart-fins-of-another-port": (
        TCP,
        (*FINS, out(444, SYN), out(444, FIN), back(444, FIN)),
        IS_CLOSING,
        244.0,
    ),
    "restart-with-fin": (TCP, (*FINS, out(flags=SYN | FIN)), HAS_SAID_FIN, 63.0),
    "no-restart-one-fin-another-port": (
        TCP,
        (out(), back(flags=FIN), out(444, SYN)),
        STAYS,
        7_442.0,
    ),
    "no-restart-without-fin": (TCP, (out(), back(), out(flags=SYN)), STAYS, 7_442.0),
    "no-restart-syn-ack": (TCP, (*FINS, out(flags=SYN | ACK)), IS_CLOSING, 243.0),
    "no-restart-inbound": (TCP, (*FINS, back(flags=SYN)), IS_CLOSING, 241.0),
}


@pytest.mark.parametrize(("protocol", "steps", "kind", "over"), LIVES.values(), ids=LIVES)
def test_packets_make_a_session_of_a_kind_and_say_when_it_is_over(
    protocol: int, steps: tuple[Step, ...], kind: int, over: float
) -> None:
    pool = pool_of()
    mine = client_in(pool)
    session = Tracked(mine, protocol)
    ends = steps[0](session, 0.0)
    mine.add(session)
    for second, step in enumerate(steps[1:], 1):
        ends = noted(session, step, float(second))
    assert (ends, session.kind, session.expires_at) == (False, kind, over)
    # Steady sessions may be prolonged without another look at their state.
    assert session.is_steady == (kind == STAYS)
    pool.sweep(over - TICK)
    assert session.expired == []
    pool.sweep(over)
    assert (session.expired, pool.count) == ([over], 0)


@pytest.mark.parametrize("flags", [RST, RST | ACK, RST | FIN])
@pytest.mark.parametrize("before", [(), (back(),), (out(flags=FIN), back(flags=FIN))])
def test_a_reset_of_the_client_ends_a_session_at_once(
    before: tuple[Step, ...], flags: int
) -> None:
    session = begun(client_in(pool_of()), TCP)
    for step in before:
        noted(session, step, 1.0)
    assert out(flags=flags)(session, 2.0)


@pytest.mark.parametrize("flags", [FIN, RST])
@pytest.mark.parametrize(("late", "ends"), [(-TICK, False), (0.0, True), (1_000.0, True)])
def test_a_flag_that_comes_late_ends_a_session_whose_moment_has_passed(
    flags: int, late: float, *, ends: bool
) -> None:
    session = with_fin(client_in(pool_of()))
    assert noted(session, back(flags=flags), 240.0 + late) is ends


@pytest.mark.parametrize("protocol", [UDP, TCP])
def test_a_far_end_prolongs_no_session_for_ever(protocol: int) -> None:
    pool = pool_of()
    session = answered(client_in(pool), protocol)
    for now in range(0, 7_440, 60):
        noted(session, back(), float(now))
        pool.sweep(float(now))
    assert (session.expired, session.expires_at) == ([], 7_440.0)
    pool.sweep(7_440.0 - TICK)
    assert session.expired == []
    pool.sweep(7_440.0)
    assert session.expired == [7_440.0]


# --- The pool --------------------------------------------------------------------------------


def test_a_session_is_open_once_it_was_added_and_has_ended_once_removed() -> None:
    pool = pool_of()
    mine = client_in(pool)
    session = Tracked(mine)
    assert (session.is_open, session.ended, pool.count) == (False, False, 0)
    session.see_outbound(443, 0, 5.0)
    mine.add(session)
    assert (session.is_open, session.last, session.last_outbound) == (True, 5.0, 5.0)
    assert (pool.count, list(pool.members)) == (1, [mine])
    mine.remove(session)
    assert (session.ended, pool.count, list(pool.members)) == (True, 0, [])
    assert pool.earliest() is None


def test_nothing_is_over_before_the_next_moment_which_may_be_early_but_is_never_late() -> None:
    pool = pool_of()
    mine = client_in(pool)
    assert pool.next == inf
    first, second = begun(mine), begun(mine, now=1.0)
    assert pool.next == 60.0
    noted(first, out(), 50.0)
    assert pool.next == 60.0
    pool.sweep(60.0)  # it was early
    assert (pool.next, pool.count) == (61.0, 2)
    mine.remove(second)
    pool.sweep(61.0)
    assert pool.next == first.expires_at == 110.0
    pool.sweep(110.0)
    assert (pool.next, pool.count) == (inf, 0)
    # What brings an end forward is noticed at once.
    session = answered(mine, TCP, now=200.0)
    assert pool.next == 260.0  # from before the answer
    pool.sweep(260.0)
    assert pool.next == 7_640.0
    noted(session, out(flags=FIN), 300.0)
    noted(session, back(flags=FIN), 301.0)
    assert pool.next == 540.0


def test_a_timer_that_goes_off_early_is_set_anew_and_its_session_lives() -> None:
    pool = pool_of()
    session = answered(client_in(pool))
    # As for nearly every packet of an established flow: the timer is left alone.
    session.last = session.last_outbound = 50.0
    assert session.armed_for == 60.0
    assert not pool.is_over(session, 60.0)
    assert (session.armed_for, pool.earliest()) == (170.0, 170.0)
    assert not pool.is_over(session, 170.0 - TICK)
    assert pool.is_over(session, 170.0)


def test_a_sweep_expires_sessions_in_the_order_of_their_moments() -> None:
    order = list[Tracked]()

    class Ordered(Tracked):
        def expire(self, at: float) -> None:
            super().expire(at)
            order.append(self)

    pool = pool_of()
    mine = client_in(pool)
    sessions = []
    for now, protocol, steps in (
        (0.0, UDP, (back(),)),  # over at 120
        (100.0, UDP, ()),  # at 160
        (50.0, TCP, (out(flags=FIN), back(flags=FIN))),  # at 290
        (85.0, UDP, ()),  # at 145
    ):
        session = Ordered(mine, protocol)
        session.see_outbound(443, 0, now)
        mine.add(session)
        for step in steps:
            noted(session, step, now)
        sessions.append(session)
    pool.sweep(1_000.0)
    assert [one.expired for one in sessions] == [[120.0], [160.0], [290.0], [145.0]]
    assert order == [sessions[0], sessions[3], sessions[1], sessions[2]]


def test_the_sessions_that_are_over_are_told_without_sweeping_them_out() -> None:
    pool = pool_of()
    mine = client_in(pool)
    moments = {
        begun(mine): 60.0,
        answered(mine): 120.0,
        answered(mine, TCP): 7_440.0,
        closing(mine): 240.0,
        begun(mine, now=3.0): 63.0,
    }
    for now in (0.0, *(moment + late for moment in moments.values() for late in (-TICK, 0.0))):
        assert set(pool.over(now)) == {one for one, over in moments.items() if over <= now}
    assert pool.count == len(moments)
    assert not any(session.expired for session in moments)


# --- What gives way --------------------------------------------------------------------------

FULL = Room(is_there=False)
FREE = Room(is_there=True)


def way_of(session: Tracked) -> Room:
    return Room(is_there=True, displaced=session)


def test_there_is_room_up_to_the_limits() -> None:
    pool = pool_of(2, 3)
    alice, bob = client_in(pool), client_in(pool, 1)
    assert alice.room(0.0) == FREE
    answered(alice)
    assert alice.room(0.0) == FREE
    answered(alice)
    assert (alice.room(0.0), bob.room(0.0)) == (FULL, FREE)
    answered(bob)
    assert (alice.room(0.0), bob.room(0.0)) == (FULL, FULL)


@pytest.mark.parametrize("limits", [(0, NO_LIMIT), (NO_LIMIT, 0)])
def test_without_any_place_none_gives_way(limits: tuple[int, int]) -> None:
    assert client_in(pool_of(*limits)).room(0.0) == FULL


@pytest.mark.parametrize("limits", [(7, NO_LIMIT), (NO_LIMIT, 7)], ids=["client", "all"])
def test_sessions_give_way_by_their_kind_and_then_by_their_last_packet(
    limits: tuple[int, int],
) -> None:
    pool = pool_of(*limits)
    mine = client_in(pool)
    unanswered = [begun(mine, now=float(now)) for now in (0, 1)]
    stays = answered(mine, now=0.0)
    fins = [with_fin(mine, now=float(now)) for now in (2, 3)]
    ends = [closing(mine, now=float(now)) for now in (4, 5)]
    # The first of each kind has had a packet since.
    noted(unanswered[0], out(), 6.0)
    noted(fins[0], back(), 6.0)
    noted(ends[0], back(), 6.0)
    for giving in (*ends[::-1], *fins[::-1], *unanswered[::-1]):
        assert mine.room(10.0) == way_of(giving)
        mine.remove(giving)
        answered(mine, now=10.0)
    assert mine.room(10.0) == FULL
    assert not stays.ended


def test_a_session_that_is_closing_no_more_gives_way_no_more() -> None:
    pool = pool_of(1)
    mine = client_in(pool)
    session = answered(mine, TCP)
    noted(session, back(flags=RST), 1.0)
    assert mine.room(2.0) == way_of(session)
    noted(session, out(), 2.0)
    assert mine.room(2.0) == FULL


def test_at_the_limit_of_all_one_of_the_client_that_has_most_gives_way() -> None:
    pool = pool_of(NO_LIMIT, 5)
    alice, bob, carol = (client_in(pool, number) for number in range(3))
    bobs = [begun(bob, now=float(now)) for now in (3, 4)]
    alices = [begun(alice, now=float(now)) for now in (1, 2)]
    closing(carol)
    # Of equals the one that connected first, whoever asks, and whose session came first.
    assert [one.room(5.0) for one in (alice, bob, carol)] == [way_of(alices[0])] * 3
    alice.remove(alices[0])
    begun(bob, now=5.0)
    assert [one.room(5.0) for one in (alice, bob, carol)] == [way_of(bobs[0])] * 3


def test_the_limit_of_a_client_comes_before_that_of_all() -> None:
    pool = pool_of(1, 3)
    alice, bob = client_in(pool), client_in(pool, 1)
    mine = begun(alice)
    pool.per_client = 2
    for _ in range(2):
        closing(bob)
    pool.per_client = 1
    assert alice.room(0.0) == way_of(mine)


def test_if_none_of_the_client_that_has_most_can_give_way_there_is_no_room() -> None:
    pool = pool_of(NO_LIMIT, 3)
    alice, bob = client_in(pool), client_in(pool, 1)
    for _ in range(2):
        answered(alice)
    begun(bob)
    assert bob.room(0.0) == FULL


def test_sessions_that_are_over_fill_no_room_and_give_no_way() -> None:
    for limits in ((2, NO_LIMIT), (NO_LIMIT, 2)):
        mine = client_in(pool_of(*limits))
        begun(mine)
        live = begun(mine, now=1.0)
        assert mine.room(60.0 - TICK) != FREE
        assert mine.room(60.0) == FREE
        mine.pool.per_client, mine.pool.in_all = (min(1, limit) for limit in limits)
        assert mine.room(60.0) == way_of(live)
        assert mine.room(61.0) == FREE


def test_the_sessions_of_others_that_are_over_count_for_no_client() -> None:
    pool = pool_of(NO_LIMIT, 4)
    alice, bob = client_in(pool), client_in(pool, 1)
    for _ in range(3):
        begun(alice)
    bobs = [begun(bob, now=30.0) for _ in range(2)]
    pool.in_all = 2
    # Alice has more only as long as hers live.
    assert bob.room(60.0 - TICK) != way_of(bobs[0])
    assert bob.room(60.0) == way_of(bobs[0])


def test_a_client_without_sessions_may_need_room_where_there_is_none() -> None:
    pool = pool_of(NO_LIMIT, 0)
    assert client_in(pool).room(0.0) == FULL
