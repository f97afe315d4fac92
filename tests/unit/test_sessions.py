"""Sessions by themselves: ports, states, lifetimes, limits, and the ends that are remembered."""

from collections.abc import Callable

import pytest

from firezone_filter.nat.sessions import (
    ACK,
    CLOSING,
    DATAGRAM,
    ESTABLISHED,
    FIN,
    LIFETIMES,
    MAX_REMEMBERED,
    PORT_SEARCH,
    REMEMBERED_FOR,
    RST,
    SYN,
    UNANSWERED,
    ForwardKey,
    Lifetimes,
    Session,
    SessionTable,
)
from firezone_filter.packet.numbers import ICMPV4, ICMPV6, TCP, UDP
from firezone_filter.structures.timers import Deadlines
from tests.translations import TICK

NO_LIMITS = (1_000_000, 1_000_000)
PROXY = b"\x64\x60\x00\x01"
REAL = b"\xc6\x33\x64\x09"


def proxy(number: int) -> bytes:
    return b"\x64\x60" + number.to_bytes(2)


def table_with(limits: tuple[int, int] = NO_LIMITS) -> SessionTable:
    return SessionTable(Lifetimes(Deadlines()), limits)


def begin(  # noqa: PLR0913 - as many as make a session
    table: SessionTable,
    *,
    protocol: int = UDP,
    port: int = 5401,
    behind: bytes = PROXY,
    real: bytes = REAL,
    now: float = 0.0,
) -> Session:
    session = table.open((protocol, port, behind), real, now)
    assert session is not None
    return session


def translated_port(session: Session) -> int:
    return session.reverse_key[1]


def test_the_bounds_and_lifetimes_are_those_of_the_design() -> None:
    assert PORT_SEARCH == 256
    assert (MAX_REMEMBERED, REMEMBERED_FOR) == (4_096, 240.0)
    assert LIFETIMES[UNANSWERED] == 60.0
    assert LIFETIMES[ESTABLISHED] == 2 * 3_600.0 + 4 * 60.0
    assert LIFETIMES[DATAGRAM] == 120.0
    assert LIFETIMES[CLOSING] == 5.0


# --- Finding -------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", [TCP, UDP, ICMPV4, ICMPV6])
def test_a_session_is_found_from_both_sides(protocol: int) -> None:
    table = table_with()
    session = begin(table, protocol=protocol)
    assert table.find_outbound((protocol, 5401, PROXY), 0.0) is session
    assert table.find_inbound((protocol, 5401, REAL), 0.0) is session
    assert len(table) == 1


@pytest.mark.parametrize(
    "key", [(TCP, 5401, PROXY), (UDP, 5400, PROXY), (UDP, 5402, PROXY), (UDP, 5401, proxy(2))]
)
def test_protocol_port_and_proxy_are_all_part_of_a_session(key: ForwardKey) -> None:
    table = table_with()
    begin(table)
    assert table.find_outbound(key, 0.0) is None


@pytest.mark.parametrize(
    "key", [(TCP, 5401, REAL), (UDP, 5400, REAL), (UDP, 5402, REAL), (UDP, 5401, PROXY)]
)
def test_protocol_port_and_real_address_are_all_part_of_the_way_back(key: ForwardKey) -> None:
    table = table_with()
    begin(table)
    assert table.find_inbound(key, 0.0) is None


# --- Ports ---------------------------------------------------------------------------------


@pytest.mark.parametrize("port", [1, 80, 5401, 65_535])
def test_a_free_port_is_kept(port: int) -> None:
    assert translated_port(begin(table_with(), port=port)) == port


def test_a_port_that_is_taken_gives_way_to_the_next() -> None:
    table = table_with()
    ports = [translated_port(begin(table, behind=proxy(number))) for number in range(3)]
    assert ports == [5401, 5402, 5403]


def test_the_first_free_port_is_taken_also_between_others() -> None:
    table = table_with()
    for port in (5401, 5402, 5404):
        begin(table, port=port)
    assert translated_port(begin(table, behind=proxy(2))) == 5403


@pytest.mark.parametrize(
    ("protocol", "real"), [(TCP, REAL), (UDP, b"\xc6\x33\x64\x0a"), (ICMPV4, REAL)]
)
def test_a_port_is_taken_for_one_protocol_and_address_only(protocol: int, real: bytes) -> None:
    table = table_with()
    begin(table)
    session = begin(table, protocol=protocol, behind=proxy(2), real=real)
    assert translated_port(session) == 5401


def test_after_65535_comes_1() -> None:
    table = table_with()
    ports = [
        translated_port(begin(table, port=65_534, behind=proxy(number))) for number in range(4)
    ]
    assert ports == [65_534, 65_535, 1, 2]


def test_port_0_is_never_given() -> None:
    table = table_with()
    assert translated_port(begin(table, port=0)) == 1
    assert translated_port(begin(table, port=0, behind=proxy(2))) == 2


@pytest.mark.parametrize("port", [5401, 65_279, 65_280, 65_400, 65_535])
def test_256_further_ports_are_tried_and_no_more(port: int) -> None:
    table = table_with()
    ports = {
        translated_port(begin(table, port=port, behind=proxy(number))) for number in range(257)
    }
    assert len(ports) == 257
    assert 0 not in ports
    assert table.open((UDP, port, proxy(257)), REAL, 0.0) is None
    assert len(table) == 257


def test_of_port_0_itself_only_256_others_are_tried() -> None:
    table = table_with()
    ports = [translated_port(begin(table, port=0, behind=proxy(number))) for number in range(256)]
    assert ports == list(range(1, 257))
    assert table.open((UDP, 0, proxy(256)), REAL, 0.0) is None


def test_a_port_is_free_again_at_the_end_of_its_session() -> None:
    table = table_with()
    begin(table)
    assert table.find_outbound((UDP, 5401, proxy(2)), 60.0) is None
    assert translated_port(begin(table, behind=proxy(2), now=60.0)) == 5401


# --- Limits --------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [0, 1, 3])
def test_a_client_has_as_many_sessions_as_it_may(limit: int) -> None:
    table = table_with((limit, 1_000))
    for number in range(limit):
        begin(table, port=100 + number)
    assert table.open((UDP, 5401, PROXY), REAL, 0.0) is None
    assert len(table) == limit


@pytest.mark.parametrize("limit", [0, 1, 3])
def test_all_clients_have_as_many_sessions_as_they_may(limit: int) -> None:
    lifetimes = Lifetimes(Deadlines())
    table, other = (SessionTable(lifetimes, (1_000, limit)) for _ in range(2))
    for number in range(limit):
        begin(other, port=100 + number)
    assert table.open((UDP, 5401, PROXY), REAL, 0.0) is None
    assert len(lifetimes) == limit


def test_a_session_that_was_let_go_makes_room() -> None:
    lifetimes = Lifetimes(Deadlines())
    table, other = (SessionTable(lifetimes, (1_000, 1)) for _ in range(2))
    begin(other)
    other.forget_all()
    assert len(lifetimes) == 0
    begin(table)


# --- States and lifetimes ------------------------------------------------------------------

Step = Callable[[SessionTable, Session, float], None]


def out(port: int = 443, flags: int = ACK) -> Step:
    return lambda table, session, now: table.see_outbound(session, port, flags, now)


def back(port: int = 443, flags: int = ACK) -> Step:
    return lambda table, session, now: table.see_inbound(session, port, flags, now)


def after(protocol: int, *steps: Step) -> tuple[SessionTable, Session]:
    """Let a session see packets, one a second from 1 on."""
    table = table_with()
    session = begin(table, protocol=protocol, now=0.0)
    for second, step in enumerate(steps, 1):
        step(table, session, float(second))
    return table, session


FINS = (out(), out(flags=FIN | ACK), back(flags=FIN | ACK))


@pytest.mark.parametrize(
    ("protocol", "steps", "ends"),
    [
        (TCP, (), 60.0),
        (UDP, (out(), out()), 62.0),
        (TCP, (out(), out(flags=FIN | ACK)), 62.0),
        (UDP, (out(), back()), 122.0),
        (UDP, (out(), back(), out()), 123.0),
        (ICMPV4, (out(-1), back(-1)), 122.0),
        (ICMPV6, (out(-1), back(-1)), 122.0),
        (UDP, (out(), back(444)), 122.0),
        (TCP, (out(), back()), 7_442.0),
        (TCP, (out(), back(), out()), 7_443.0),
        (TCP, (out(), back(444)), 7_442.0),
        # FINs both ways, in either order; one way is not enough.
        (TCP, FINS, 8.0),
        (TCP, (out(), back(flags=FIN), out(flags=FIN)), 8.0),
        (TCP, (out(), back(flags=FIN), back(flags=FIN)), 7_443.0),
        (TCP, (out(flags=FIN), out(flags=FIN), back()), 7_443.0),
        # What comes after them prolongs nothing.
        (TCP, (*FINS, out(), back(), out(flags=FIN), back(flags=FIN)), 8.0),
        # A FIN from a port that nothing was sent to is none of this connection.
        (TCP, (out(), out(flags=FIN), back(444, FIN)), 7_443.0),
        (TCP, (out(), out(flags=FIN), back(444, RST)), 7_443.0),
        # A session that has sent to several ports ends by time.
        (TCP, (out(443), out(444, FIN), back(443, FIN)), 7_443.0),
        (TCP, (out(443, FIN), back(443, FIN), out(444)), 7_443.0),
        (TCP, (out(443), out(444), out(443, RST)), 63.0),
        (TCP, (out(443), out(444), back(443, RST)), 7_443.0),
        (TCP, (out(443), out(444), back(444, RST)), 7_443.0),
        # A SYN after both FINs starts anew, and only such a SYN.
        (TCP, (*FINS, out(flags=SYN)), 64.0),
        (TCP, (*FINS, out(444, SYN)), 64.0),
        (TCP, (*FINS, out(flags=SYN), back(flags=SYN | ACK)), 7_445.0),
        (TCP, (*FINS, out(flags=SYN), back(flags=FIN)), 7_445.0),
        (TCP, (*FINS, out(flags=SYN), back(flags=FIN), out(flags=FIN)), 11.0),
        (TCP, (*FINS, out(flags=SYN | FIN)), 64.0),
        (TCP, (*FINS, out(flags=SYN | ACK)), 8.0),
        (TCP, (*FINS, back(flags=SYN)), 8.0),
        (TCP, (out(flags=FIN), out(flags=SYN), back(flags=FIN)), 8.0),
    ],
)
def test_a_session_lives_as_long_as_the_table_says(
    protocol: int, steps: tuple[Step, ...], ends: float
) -> None:
    table, session = after(protocol, *steps)
    assert session.expires_at == ends
    assert table.find_outbound((protocol, 5401, PROXY), ends - TICK) is session
    assert table.find_outbound((protocol, 5401, PROXY), ends) is None
    assert len(table) == 0


@pytest.mark.parametrize("flags", [RST, RST | ACK, RST | FIN, RST | SYN])
@pytest.mark.parametrize("step", [out, back])
def test_a_reset_ends_a_session_at_once(step: Callable[[int, int], Step], flags: int) -> None:
    table, _ = after(TCP, out(), back(), step(443, flags))
    assert table.find_inbound((TCP, 5401, REAL), 3.0) is None
    assert table.has_ended((TCP, 5401, REAL), 3.0)


def test_a_reset_ends_a_session_also_after_both_fins() -> None:
    table, _ = after(TCP, *FINS, out(flags=RST))
    assert len(table) == 0


def test_a_syn_with_a_reset_ends_what_it_started_anew() -> None:
    table, _ = after(TCP, *FINS, out(flags=SYN | RST))
    assert len(table) == 0


def test_after_several_ports_a_syn_starts_nothing_anew() -> None:
    _, session = after(TCP, out(443), out(444), out(flags=FIN), back(flags=FIN), out(flags=SYN))
    assert session.state == ESTABLISHED


def test_a_session_that_starts_anew_counts_its_ports_anew() -> None:
    _, session = after(TCP, *FINS, out(444, SYN), out(444, FIN), back(444, FIN))
    assert session.state == CLOSING


# --- Steady ones ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("protocol", "steps", "state"),
    [
        (TCP, (), UNANSWERED),
        (TCP, (out(), out()), UNANSWERED),
        (TCP, (out(), back()), ESTABLISHED),
        (TCP, (out(), back(), out(444)), ESTABLISHED),
        (TCP, (out(), back(), out(flags=FIN)), ESTABLISHED),
        (UDP, (out(),), UNANSWERED),
        (UDP, (out(), back()), DATAGRAM),
        (ICMPV4, (out(-1), back(-1)), DATAGRAM),
        (TCP, FINS, CLOSING),
        (TCP, (*FINS, back()), CLOSING),
        (TCP, (*FINS, out(flags=SYN)), UNANSWERED),
        (TCP, (*FINS, out(flags=SYN), back()), ESTABLISHED),
        # What another port brings on may end by time again.
        (TCP, (*FINS, out(444)), ESTABLISHED),
    ],
)
def test_a_session_is_steady_while_it_is_answered_and_not_closing(
    protocol: int, steps: tuple[Step, ...], state: int
) -> None:
    table, session = after(protocol, *steps)
    assert session.state == state
    assert session.is_steady == (state in {ESTABLISHED, DATAGRAM})
    assert session.queue is table.lifetimes._queues[state]
    assert session in session.queue
    assert len(table.lifetimes) == 1


def test_a_session_that_is_prolonged_by_hand_waits_behind_the_others() -> None:
    table = table_with()
    first, second = (begin(table, port=port) for port in (1, 2))
    for session in (first, second):
        table.see_inbound(session, 53, 0, 0.0)
    # What the NAT does with nearly every packet.
    first.since = 10.0
    first.queue.move_to_end(first)
    table.lifetimes.forget_old(120.0)
    assert (first.ended, second.ended) == (False, True)
    table.lifetimes.forget_old(130.0)
    assert first.ended
    assert list(table._remembered.values()) == [120.0, 130.0]


# --- The order in which they end -----------------------------------------------------------


def test_sessions_of_all_states_end_in_the_order_of_their_moments() -> None:
    table = table_with()
    udp = begin(table, port=1)
    table.see_inbound(udp, 53, 0, 0.0)
    lonely = begin(table, port=2, now=100.0)
    closing = begin(table, protocol=TCP, port=3, now=130.0)
    table.see_outbound(closing, 443, FIN, 130.0)
    table.see_inbound(closing, 443, FIN, 130.0)
    table.find_outbound((UDP, 9, PROXY), 1_000.0)
    assert list(table._remembered.items()) == [
        (udp.reverse_key, 120.0),
        (closing.reverse_key, 135.0),
        (lonely.reverse_key, 160.0),
    ]


def test_what_is_prolonged_goes_behind_the_others() -> None:
    table = table_with()
    first = begin(table, port=1)
    second = begin(table, port=2, now=10.0)
    table.see_outbound(first, 443, 0, 20.0)
    table.find_outbound((UDP, 9, PROXY), 70.0)
    assert table.find_outbound(first.forward_key, 70.0) is first
    assert table.find_outbound(second.forward_key, 70.0) is None


def test_a_session_that_was_let_go_does_not_end_again() -> None:
    lifetimes = Lifetimes(Deadlines())
    table = SessionTable(lifetimes, NO_LIMITS)
    begin(table)
    table.forget_all()
    lifetimes.forget_old(60.0)
    assert not table.has_ended((UDP, 5401, REAL), 60.0)


def test_clients_end_each_in_its_own_table() -> None:
    lifetimes = Lifetimes(Deadlines())
    table, other = (SessionTable(lifetimes, NO_LIMITS) for _ in range(2))
    begin(table)
    begin(other, now=1.0)
    lifetimes.forget_old(60.0)
    assert (len(table), len(other), len(lifetimes)) == (0, 1, 1)
    assert table.has_ended((UDP, 5401, REAL), 60.0)
    assert not other.has_ended((UDP, 5401, REAL), 60.0)


# --- Ends that are remembered --------------------------------------------------------------


def test_an_end_is_remembered_for_240_seconds_from_its_own_moment() -> None:
    table = table_with()
    begin(table)
    assert not table.has_ended((UDP, 5401, REAL), 60.0 - TICK)
    assert table.has_ended((UDP, 5401, REAL), 60.0)
    assert table.has_ended((UDP, 5401, REAL), 300.0 - TICK)
    assert not table.has_ended((UDP, 5401, REAL), 300.0)


def test_ends_that_are_over_are_let_go() -> None:
    table = table_with()
    begin(table, port=1)
    begin(table, port=2, now=1.0)
    table.find_outbound((UDP, 9, PROXY), 61.0)
    table.forget_old(300.0 - TICK)
    assert len(table._remembered) == 2
    table.forget_old(300.0)
    assert list(table._remembered) == [(UDP, 2, REAL)]
    table.forget_old(301.0)
    assert not table._remembered


@pytest.mark.parametrize(("count", "oldest"), [(4_096, True), (4_097, False)])
def test_the_last_4096_ends_are_remembered(count: int, *, oldest: bool) -> None:
    table = table_with()
    for port in range(1, count + 1):
        begin(table, port=port)
    assert table.has_ended((UDP, 1, REAL), 60.0) == oldest
    assert table.has_ended((UDP, 2, REAL), 60.0)
    assert len(table._remembered) == 4_096


def test_a_new_session_takes_the_end_with_its_tuple_out() -> None:
    table = table_with()
    begin(table, port=1)
    begin(table, port=2)
    table.find_outbound((UDP, 9, PROXY), 60.0)
    begin(table, port=1, behind=proxy(2), now=60.0)
    assert not table.has_ended((UDP, 1, REAL), 60.0)
    assert table.has_ended((UDP, 2, REAL), 60.0)


def test_what_is_let_go_is_not_remembered() -> None:
    table = table_with()
    begin(table, port=1)
    begin(table, port=2, behind=proxy(2))
    table.forget_proxies({PROXY})
    assert table.find_outbound((UDP, 1, PROXY), 0.0) is None
    assert table.find_outbound((UDP, 2, proxy(2)), 0.0) is not None
    table.forget_all()
    assert not table.has_ended((UDP, 1, REAL), 0.0)
    assert not table.has_ended((UDP, 2, REAL), 0.0)


# --- What a packet may belong to -----------------------------------------------------------


def test_a_table_knows_sessions_and_the_ends_of_sessions() -> None:
    table = table_with()
    begin(table)
    begin(table, port=2, now=1.0)
    for now in (0.0, 60.0 - TICK, 60.0, 61.0 - TICK, 61.0, 300.0 - TICK):
        table.lifetimes.forget_old(now)
        table.forget_old(now)
        assert table.knows((UDP, 5401, REAL))
        assert table.knows((UDP, 2, REAL))
        # Nothing else, least of all what a session is to the client.
        for key in ((UDP, 1, REAL), (TCP, 5401, REAL), (UDP, 5401, PROXY)):
            assert not table.knows(key)
    table.forget_old(300.0)
    assert not table.knows((UDP, 5401, REAL))
    assert table.knows((UDP, 2, REAL))


def test_a_table_knows_a_session_by_its_translated_port() -> None:
    table = table_with()
    begin(table)
    session = begin(table, behind=proxy(2))
    table.forget_proxies({PROXY})
    assert translated_port(session) == 5402
    assert table.knows((UDP, 5402, REAL))
    assert not table.knows((UDP, 5401, REAL))


def test_a_table_does_not_know_what_was_let_go_as_if_it_had_not_been() -> None:
    table = table_with()
    begin(table)
    table.forget_all()
    assert not table.knows((UDP, 5401, REAL))


# --- The first moment ----------------------------------------------------------------------


@pytest.mark.parametrize("first_now", [-1_000.0, 0.0, 1_790_000_000.0])
def test_what_was_begun_before_the_clock_counts_from_its_start(first_now: float) -> None:
    lifetimes = Lifetimes(Deadlines())
    table = SessionTable(lifetimes, NO_LIMITS)
    session = begin(table)
    answered = begin(table, port=2)
    table.see_inbound(answered, 53, 0, 0.0)
    reset = begin(table, protocol=TCP)
    table.see_outbound(reset, 443, RST, 0.0)
    lifetimes.start_clock(first_now)
    table.start_clock(first_now)
    assert table.find_outbound(session.forward_key, first_now + 60.0 - TICK) is session
    assert table.find_outbound(session.forward_key, first_now + 60.0) is None
    assert table.find_outbound(answered.forward_key, first_now + 120.0 - TICK) is answered
    assert table.find_outbound(answered.forward_key, first_now + 120.0) is None
    assert table.has_ended(reset.reverse_key, first_now + 240.0 - TICK)
    assert not table.has_ended(reset.reverse_key, first_now + 240.0)


def test_a_clock_that_starts_without_sessions_waits_for_none() -> None:
    lifetimes = Lifetimes(Deadlines())
    lifetimes.start_clock(5.0)
    lifetimes.forget_old(1e9)
    assert len(lifetimes) == 0
