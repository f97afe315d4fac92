"""Tracked sessions: what packets do to one, and when it is over or gone."""

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
    Group,
    TrackedSession,
)
from tests.translations import TICK
from tests.unit.tracking.tracked import Step, back, out


def session_of(protocol: int) -> TrackedSession:
    return TrackedSession(Group(), 0, protocol)


def test_lifetimes_are_those_of_the_rules() -> None:
    assert (UNANSWERED, DATAGRAM, CLOSING) == (60, 120, 240)
    assert ESTABLISHED == 2 * 3_600 + 4 * 60


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
    session = session_of(protocol)
    for second, step in enumerate(steps):
        assert not step(session, float(second))
    assert (session.kind, session.expires_at) == (kind, over)
    assert [session.is_gone(now) for now in (over - TICK, over)] == [False, True]
    assert [session.ended_at(now) for now in (over - TICK, over, over + 9.0)] == [None, over, over]


@pytest.mark.parametrize("flags", [RST, RST | ACK, RST | FIN])
@pytest.mark.parametrize("before", [(), (back(),), (out(flags=FIN), back(flags=FIN))])
def test_a_reset_of_the_client_ends_a_session_at_once(
    before: tuple[Step, ...], flags: int
) -> None:
    session = session_of(TCP)
    for step in (out(), *before):
        step(session, 1.0)
    assert out(flags=flags)(session, 2.0)


@pytest.mark.parametrize("flags", [FIN, RST])
@pytest.mark.parametrize(("late", "ends"), [(-TICK, False), (0.0, True), (1_000.0, True)])
def test_a_flag_that_comes_late_ends_a_session_whose_moment_has_passed(
    flags: int, late: float, *, ends: bool
) -> None:
    session = session_of(TCP)
    for step in (out(), back(), out(flags=FIN)):
        step(session, 0.0)
    assert back(flags=flags)(session, 240.0 + late) is ends


@pytest.mark.parametrize("protocol", [UDP, TCP])
def test_a_far_end_prolongs_no_session_for_ever(protocol: int) -> None:
    session = session_of(protocol)
    out()(session, 0.0)
    for now in range(0, 7_440, 60):
        assert not session.is_gone(now)
        back()(session, float(now))
    assert session.expires_at == 7_440.0


@pytest.mark.parametrize(("withdrawn_at", "at"), [(60.0 - TICK, None), (60.0, 60.0), (70.0, 60.0)])
def test_what_was_over_by_time_when_policy_withdrew_it_has_ended_by_time(
    withdrawn_at: float, at: float | None
) -> None:
    session = session_of(UDP)
    out()(session, 0.0)
    session.group.withdrawn_at = session.group.ends_at = withdrawn_at
    for now in (withdrawn_at, 100.0):
        assert (session.is_gone(now), session.ended_at(now)) == (True, at)
    session.shift_clock(1_000.0)
    session.group.shift_clock(1_000.0)
    assert session.ended_at(1_100.0) == (None if at is None else 1_060.0)


def test_the_clock_moves_no_withdrawal_that_was_not() -> None:
    group = Group()
    group.shift_clock(5.0)
    assert group.withdrawn_at is None
