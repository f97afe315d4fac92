"""Tracked sessions: which packets bring which state, and when each session is over."""

from collections.abc import Callable
from math import inf

import pytest

from firezone_filter.packet.numbers import ACK, FIN, ICMPV4, ICMPV6, RST, SYN, TCP, UDP
from firezone_filter.tracking.lifetimes import (
    CLOSING,
    DATAGRAM,
    ESTABLISHED,
    LIFETIMES,
    UNANSWERED,
    SessionTimers,
    TrackedSession,
)
from tests.translations import TICK


class Tracked(TrackedSession):
    """A session that tells when it was expired."""

    def __init__(self, timers: SessionTimers, protocol: int = UDP) -> None:
        super().__init__(protocol)
        self.timers = timers
        self.expired: list[float] = []

    def expire(self) -> None:
        self.expired.append(self.expires_at)
        self.timers.remove(self)


def begun(timers: SessionTimers, protocol: int = UDP, now: float = 0.0) -> Tracked:
    session = Tracked(timers, protocol)
    timers.add(session, now)
    return session


def answered(timers: SessionTimers, protocol: int = UDP, now: float = 0.0) -> Tracked:
    session = begun(timers, protocol, now)
    session.see_inbound(53, 0)
    timers.prolong(session, now)
    return session


def closing(timers: SessionTimers, now: float = 0.0) -> Tracked:
    session = answered(timers, TCP, now)
    session.see_outbound(443, FIN)
    session.see_inbound(443, FIN)
    timers.prolong(session, now)
    return session


def test_lifetimes_are_those_of_the_rules() -> None:
    assert (LIFETIMES[UNANSWERED], LIFETIMES[DATAGRAM], LIFETIMES[CLOSING]) == (60, 120, 5)
    assert LIFETIMES[ESTABLISHED] == 2 * 3_600 + 4 * 60


def test_a_session_says_itself_what_happens_when_it_is_over() -> None:
    with pytest.raises(NotImplementedError):
        TrackedSession(UDP).expire()


# --- States --------------------------------------------------------------------------------

Step = Callable[[TrackedSession], bool]


def out(port: int = 443, flags: int = ACK) -> Step:
    return lambda session: session.see_outbound(port, flags)


def back(port: int = 443, flags: int = ACK) -> Step:
    return lambda session: session.see_inbound(port, flags)


def after(protocol: int, *steps: Step) -> tuple[SessionTimers, Tracked, bool]:
    """Let a session see packets, one a second from 1 on; return whether the last ended it."""
    timers = SessionTimers()
    session, ends = begun(timers, protocol), False
    for second, step in enumerate(steps, 1):
        ends = step(session)
        timers.prolong(session, float(second))
    return timers, session, ends


FINS = (out(), out(flags=FIN | ACK), back(flags=FIN | ACK))

# Protocol, packets, the state that they amount to, and when the session is over then.
LIVES: dict[str, tuple[int, tuple[Step, ...], int, float]] = {
    "new": (TCP, (), UNANSWERED, 60.0),
    "out": (UDP, (out(), out()), UNANSWERED, 62.0),
    "out-fin": (TCP, (out(), out(flags=FIN | ACK)), UNANSWERED, 62.0),
    "udp-answered": (UDP, (out(), back()), DATAGRAM, 122.0),
    "udp-goes-on": (UDP, (out(), back(), out()), DATAGRAM, 123.0),
    "udp-from-another-port": (UDP, (out(), back(444)), DATAGRAM, 122.0),
    "echo": (ICMPV4, (out(-1), back(-1)), DATAGRAM, 122.0),
    "echo6": (ICMPV6, (out(-1), back(-1)), DATAGRAM, 122.0),
    "tcp-answered": (TCP, (out(), back()), ESTABLISHED, 7_442.0),
    "tcp-goes-on": (TCP, (out(), back(), out()), ESTABLISHED, 7_443.0),
    "tcp-from-another-port": (TCP, (out(), back(444)), ESTABLISHED, 7_442.0),
    # FINs both ways, in either order; one way is not enough.
    "fins": (TCP, FINS, CLOSING, 8.0),
    "fins-inbound-first": (TCP, (out(), back(flags=FIN), out(flags=FIN)), CLOSING, 8.0),
    "fin-with-syn-before": (
        TCP,
        (out(flags=FIN), out(flags=SYN), back(flags=FIN)),
        CLOSING,
        8.0,
    ),
    "fins-inbound-only": (
        TCP,
        (out(), back(flags=FIN), back(flags=FIN)),
        ESTABLISHED,
        7_443.0,
    ),
    "fins-outbound-only": (TCP, (out(flags=FIN), out(flags=FIN), back()), ESTABLISHED, 7_443.0),
    # Packets after them prolong nothing.
    "after-fins": (
        TCP,
        (*FINS, out(), back(), out(flags=FIN), back(flags=FIN)),
        CLOSING,
        8.0,
    ),
    # A FIN or RST from a port that nothing was sent to is none of this connection.
    "fin-of-another-port": (
        TCP,
        (out(), out(flags=FIN), back(444, FIN)),
        ESTABLISHED,
        7_443.0,
    ),
    "rst-of-another-port": (
        TCP,
        (out(), out(flags=FIN), back(444, RST)),
        ESTABLISHED,
        7_443.0,
    ),
    # A session that has sent to several ports ends by time.
    "several-fin": (TCP, (out(443), out(444, FIN), back(443, FIN)), ESTABLISHED, 7_443.0),
    "several-late": (TCP, (out(443, FIN), back(443, FIN), out(444)), ESTABLISHED, 7_443.0),
    "several-rst-out": (TCP, (out(443), out(444), out(443, RST)), UNANSWERED, 63.0),
    "several-rst-back": (TCP, (out(443), out(444), back(443, RST)), ESTABLISHED, 7_443.0),
    "several-rst-other": (TCP, (out(443), out(444), back(444, RST)), ESTABLISHED, 7_443.0),
    "several-no-restart": (
        TCP,
        (out(443), out(444), out(flags=FIN), back(flags=FIN), out(flags=SYN)),
        ESTABLISHED,
        7_445.0,
    ),
    "several-after-fins": (TCP, (*FINS, out(444)), ESTABLISHED, 7_444.0),
    # A SYN after both FINs starts anew, and only such a SYN.
    "restart": (TCP, (*FINS, out(flags=SYN)), UNANSWERED, 64.0),
    "restart-to-another-port": (TCP, (*FINS, out(444, SYN)), UNANSWERED, 64.0),
    "restart-answered": (
        TCP,
        (*FINS, out(flags=SYN), back(flags=SYN | ACK)),
        ESTABLISHED,
        7_445.0,
    ),
    "restart-one-fin": (
        TCP,
        (*FINS, out(flags=SYN), back(flags=FIN)),
        ESTABLISHED,
        7_445.0,
    ),
    "restart-fins": (
        TCP,
        (*FINS, out(flags=SYN), back(flags=FIN), out(flags=FIN)),
        CLOSING,
        11.0,
    ),
    "restart-fins-of-another-port": (
        TCP,
        (*FINS, out(444, SYN), out(444, FIN), back(444, FIN)),
        CLOSING,
        11.0,
    ),
    "restart-with-fin": (TCP, (*FINS, out(flags=SYN | FIN)), UNANSWERED, 64.0),
    "no-restart-syn-ack": (TCP, (*FINS, out(flags=SYN | ACK)), CLOSING, 8.0),
    "no-restart-inbound": (TCP, (*FINS, back(flags=SYN)), CLOSING, 8.0),
}


@pytest.mark.parametrize(("protocol", "steps", "state", "over"), LIVES.values(), ids=LIVES)
def test_packets_bring_a_session_into_a_state_that_says_how_long_it_lives(
    protocol: int, steps: tuple[Step, ...], state: int, over: float
) -> None:
    timers, session, ends = after(protocol, *steps)
    assert (ends, session.state, session.expires_at) == (False, state, over)
    # Steady sessions may be prolonged without another look at their state.
    assert session.is_steady == (state in {ESTABLISHED, DATAGRAM})
    assert session in session.queue
    assert timers.count == 1
    timers.sweep(over - TICK)
    assert session.expired == []
    timers.sweep(over)
    assert (session.expired, timers.count) == ([over], 0)


@pytest.mark.parametrize("flags", [RST, RST | ACK, RST | FIN, RST | SYN])
@pytest.mark.parametrize("step", [out, back])
@pytest.mark.parametrize("before", [(out(), back()), FINS], ids=["established", "closing"])
def test_a_reset_of_the_one_port_ends_a_session_at_once(
    before: tuple[Step, ...], step: Callable[[int, int], Step], flags: int
) -> None:
    _, _, ends = after(TCP, *before, step(443, flags))
    assert ends


# --- Queues --------------------------------------------------------------------------------


def test_a_session_is_open_once_it_was_added() -> None:
    timers = SessionTimers()
    session = Tracked(timers)
    assert (session.is_open, session.ended, timers.count) == (False, False, 0)
    timers.add(session, 5.0)
    assert (session.is_open, session.since, timers.count) == (True, 5.0, 1)
    timers.remove(session)
    assert timers.count == 0


def test_nothing_is_over_before_the_next_expiry_which_may_be_early_but_is_never_late() -> None:
    timers = SessionTimers()
    assert timers.next_expiry == inf
    first, second = begun(timers), begun(timers, now=1.0)
    assert timers.next_expiry == 60.0
    timers.prolong(first, 50.0)
    assert timers.next_expiry == 60.0
    timers.sweep(60.0)  # it was early
    assert (timers.next_expiry, timers.count) == (61.0, 2)
    timers.remove(second)
    timers.sweep(61.0)
    assert timers.next_expiry == first.expires_at == 110.0
    timers.sweep(110.0)
    assert (timers.next_expiry, timers.count) == (inf, 0)
    # A state with a shorter life comes before sessions that have waited for longer.
    answered(timers, now=200.0)
    assert timers.next_expiry <= 320.0
    closing(timers, now=210.0)
    assert timers.next_expiry == 215.0


def test_a_prolonged_session_waits_behind_the_others_of_its_state() -> None:
    timers = SessionTimers()
    first, second = answered(timers), answered(timers)
    # As for nearly every packet of an established flow.
    first.since = 10.0
    first.queue.move_to_end(first)
    timers.sweep(120.0)
    assert (first.expired, second.expired) == ([], [120.0])
    timers.sweep(130.0)
    assert first.expired == [130.0]


def test_a_sweep_expires_sessions_of_all_states_in_the_order_of_their_moments() -> None:
    timers, order = SessionTimers(), list[Tracked]()

    class Ordered(Tracked):
        def expire(self) -> None:
            super().expire()
            order.append(self)

    sessions = []
    for now, protocol, steps in (
        (0.0, UDP, (back(),)),  # over at 120
        (100.0, UDP, ()),  # at 160
        (130.0, TCP, FINS),  # at 135
    ):
        session = Ordered(timers, protocol)
        timers.add(session, now)
        for step in steps:
            step(session)
        timers.prolong(session, now)
        sessions.append(session)
    timers.sweep(1_000.0)
    assert [one.expired for one in sessions] == [[120.0], [160.0], [135.0]]
    assert order == [sessions[0], sessions[2], sessions[1]]


def test_the_sessions_that_are_over_are_told_without_sweeping_them_out() -> None:
    timers = SessionTimers()
    moments = {
        begun(timers): 60.0,
        answered(timers): 120.0,
        answered(timers, TCP): 7_440.0,
        closing(timers): 5.0,
        begun(timers, now=3.0): 63.0,
    }
    for now in (0.0, *(moment + late for moment in moments.values() for late in (-TICK, 0.0))):
        assert set(timers.over(now)) == {one for one, over in moments.items() if over <= now}
    assert timers.count == len(moments)
    assert not any(session.expired for session in moments)


@pytest.mark.parametrize("first_now", [-1_000.0, 0.0, 1_790_000_000.0])
def test_lifetimes_that_began_before_the_clock_count_from_its_start(first_now: float) -> None:
    timers = SessionTimers()
    lives = {begun(timers): 60.0, answered(timers): 120.0, answered(timers, TCP): 7_440.0}
    timers.start_clock(first_now)
    for session, lifetime in lives.items():
        timers.sweep(first_now + lifetime - TICK)
        assert session.expired == []
        timers.sweep(first_now + lifetime)
        assert session.expired == [first_now + lifetime]


def test_a_clock_that_starts_without_sessions_waits_for_none() -> None:
    timers = SessionTimers()
    timers.start_clock(5.0)
    timers.sweep(1e9)
    assert (timers.count, timers.next_expiry) == (0, inf)
