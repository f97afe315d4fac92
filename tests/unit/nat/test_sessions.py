"""`SessionTable`: ports, limits, ends that are remembered, and reading before forgetting."""

import math
from itertools import product

import pytest

from firezone_filter.nat.ends import MAX_REMEMBERED, REMEMBERED_FOR
from firezone_filter.nat.sessions import PORT_SEARCH, ForwardKey, Session, SessionTable
from firezone_filter.packet.numbers import FIN, ICMPV4, ICMPV6, RST, TCP, UDP
from firezone_filter.structures.upkeep import UpkeepQueue
from firezone_filter.tracking.lifetimes import STAYS
from firezone_filter.tracking.sessions import SessionPool
from tests.translations import TICK, may_match

NO_LIMITS = (1_000_000, 1_000_000)
ALL = 1_000_000
"""Steps enough for everything."""
PROXY = b"\x64\x60\x00\x01"
REAL = b"\xc6\x33\x64\x09"
OTHER = b"\xc6\x33\x64\x0a"
BACK = (UDP, 5401, REAL)


def proxy(number: int) -> bytes:
    return b"\x64\x60" + number.to_bytes(2)


def table_with(
    limits: tuple[int, int] = NO_LIMITS,
    pool: SessionPool[Session] | None = None,
    connected: int = 0,
) -> SessionTable:
    return SessionTable(pool or SessionPool(*limits), connected, UpkeepQueue(), lambda *_: None)


def begin(  # noqa: PLR0913 - as many as make a session
    table: SessionTable,
    *,
    protocol: int = UDP,
    port: int = 5401,
    behind: bytes = PROXY,
    real: bytes = REAL,
    now: float = 0.0,
) -> Session:
    session = table.new_session((protocol, port, behind), real, math.inf, now)
    assert session is not None
    table.open(session, 443, 0, now)
    return session


def back(table: SessionTable, session: Session, flags: int = 0, now: float = 0.0) -> None:
    table.see(session, 443, flags, now, outbound=False)


def translated_port(session: Session) -> int:
    return session.reverse_key[1]


def test_the_bounds_are_those_of_the_rules() -> None:
    assert (PORT_SEARCH, MAX_REMEMBERED, REMEMBERED_FOR) == (256, 4_096, 240)


# --- Finding -------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", [TCP, UDP, ICMPV4, ICMPV6])
def test_a_session_is_found_from_both_sides_once_it_is_open(protocol: int) -> None:
    table = table_with()
    forward, reverse = (protocol, 5401, PROXY), (protocol, 5401, REAL)
    session = table.new_session(forward, REAL, math.inf, 0.0)
    assert session is not None
    assert (session.proxy, session.forward_key, session.reverse_key) == (PROXY, forward, reverse)
    assert not may_match(table, reverse)
    assert table.find_outbound(forward, 0.0) is table.find_inbound(reverse, 0.0) is None
    assert (table.count, table.pool.count) == (0, 0)
    table.open(session, 443, 0, 0.0)
    assert may_match(table, reverse)
    assert table.find_outbound(forward, 0.0) is table.find_inbound(reverse, 0.0) is session
    assert (table.count, table.pool.count) == (1, 1)


@pytest.mark.parametrize(
    "key",
    [(TCP, 5401, REAL), (UDP, 5400, REAL), (UDP, 5402, REAL), (UDP, 5401, OTHER)],
    ids=["protocol", "port-below", "port-above", "address"],
)
def test_protocol_port_and_address_are_all_part_of_a_session(key: ForwardKey) -> None:
    protocol, port, address = key
    table = table_with()
    begin(table)
    behind = PROXY if address == REAL else proxy(2)
    assert table.find_outbound((protocol, port, behind), 0.0) is None
    assert table.find_inbound(key, 0.0) is None
    assert not may_match(table, key)
    assert not table.expired_recently(key, 100.0)


# --- Over, forgotten or not ------------------------------------------------------------------


def filled(limits: tuple[int, int]) -> tuple[SessionTable, list[Session]]:
    """Make a table of sessions that are over at 60, 60, 120, 7,440, 240 and 70."""
    table = table_with(limits)
    sessions = [
        begin(table, port=1),
        begin(table, port=1, behind=proxy(2)),  # under port 2
        begin(table, port=3),
        begin(table, protocol=TCP, port=4),
        begin(table, protocol=TCP, port=5),
        begin(table, port=6, now=10.0),
    ]
    for session in sessions[2:5]:
        back(table, session)
    table.see(sessions[4], 443, FIN, 0.0, outbound=True)
    back(table, sessions[4], FIN)
    return table, sessions


MOMENTS = [
    over + late for over in (60.0, 70.0, 120.0, 240.0, 7_440.0) for late in (-TICK, 0.0, TICK)
]
"""Around the end of each session; 240 seconds more, and it is forgotten."""


@pytest.mark.parametrize("remembered_for", [0.0, 240.0], ids=["end", "forgotten"])
@pytest.mark.parametrize("limits", [NO_LIMITS, (6, 100), (100, 6)])
def test_a_session_that_is_over_counts_as_gone_whether_or_not_it_was_forgotten(
    limits: tuple[int, int], remembered_for: float
) -> None:
    for now in (at + remembered_for for at in MOMENTS):
        # Over half of the limit of all, so that the client has its place among those with most.
        (swept, sessions), (unswept, twins) = filled((100, 11)), filled((100, 11))
        for table in (swept, unswept):
            table.pool.per_client, table.pool.in_all = limits
        swept.pool.forget(now, ALL)
        for session, twin in zip(sessions, twins, strict=True):
            found = swept.find_outbound(session.forward_key, now)
            assert (found is None) == (unswept.find_outbound(twin.forward_key, now) is None)
            assert (found is None) == (now >= twin.expires_at)
            found = swept.find_inbound(session.reverse_key, now)
            assert (found is None) == (unswept.find_inbound(twin.reverse_key, now) is None)
            recently = swept.expired_recently(session.reverse_key, now)
            assert recently == unswept.expired_recently(twin.reverse_key, now)
            assert recently == (twin.expires_at <= now < twin.expires_at + 240.0)
            assert may_match(unswept, twin.reverse_key)
        for protocol, port, real in product((TCP, UDP), range(8), (REAL, OTHER)):
            new, other = (
                table.new_session((protocol, port, proxy(9)), real, math.inf, now)
                for table in (swept, unswept)
            )
            assert (new and new.reverse_key) == (other and other.reverse_key)
            # Of the six none gives way but those that are closing or were never answered.
            live = [one for one in twins if now < one.expires_at]
            yields = any(one.kind != STAYS for one in live)
            assert (new is None) == (len(live) >= min(limits) and not yields)
        # Looking has forgotten nothing.
        assert (unswept.count, unswept.pool.count) == (len(twins), len(twins))


# --- Ports ---------------------------------------------------------------------------------


@pytest.mark.parametrize("port", [1, 80, 5401, 65_535])
def test_a_free_port_is_kept(port: int) -> None:
    assert translated_port(begin(table_with(), port=port)) == port


@pytest.mark.parametrize(
    ("port", "given"),
    [(5401, [5401, 5402, 5403]), (65_534, [65_534, 65_535, 1, 2]), (0, [1, 2])],
    ids=["next", "after-65535-comes-1", "0-is-never-given"],
)
def test_a_port_that_is_taken_gives_way_to_the_next_that_is_free(
    port: int, given: list[int]
) -> None:
    table = table_with()
    ports = [
        translated_port(begin(table, port=port, behind=proxy(number)))
        for number in range(len(given))
    ]
    assert ports == given


def test_the_first_free_port_is_taken_between_others_too() -> None:
    table = table_with()
    for port in (5401, 5402, 5404):
        begin(table, port=port)
    assert translated_port(begin(table, behind=proxy(2))) == 5403


@pytest.mark.parametrize(
    ("protocol", "real"), [(TCP, REAL), (UDP, OTHER), (ICMPV4, REAL)], ids=["tcp", "udp", "icmp"]
)
def test_a_port_is_taken_for_one_protocol_and_address_only(protocol: int, real: bytes) -> None:
    table = table_with()
    begin(table)
    session = begin(table, protocol=protocol, behind=proxy(2), real=real)
    assert translated_port(session) == 5401


@pytest.mark.parametrize("port", [0, 5401, 65_279, 65_280, 65_400, 65_535])
def test_256_further_ports_are_tried_and_no_more(port: int) -> None:
    table = table_with()
    number = 257 if port else 256
    ports = {translated_port(begin(table, port=port, behind=proxy(n))) for n in range(number)}
    assert len(ports) == number
    assert 0 not in ports
    assert table.new_session((UDP, port, proxy(number)), REAL, math.inf, 0.0) is None


# --- Limits --------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [0, 1, 3])
def test_a_client_and_all_clients_have_as_many_sessions_as_they_may(limit: int) -> None:
    pool: SessionPool[Session] = SessionPool(1_000, limit)
    alone = table_with((limit, 1_000))
    table, other = (table_with(pool=pool) for _ in range(2))
    for number in range(limit):
        for one in (alone, other):
            back(one, begin(one, port=100 + number))
    assert alone.new_session((UDP, 5401, PROXY), REAL, math.inf, 0.0) is None
    assert table.new_session((UDP, 5401, PROXY), REAL, math.inf, 0.0) is None
    assert (alone.count, pool.count) == (limit, limit)


def test_a_session_that_was_dropped_makes_room() -> None:
    pool: SessionPool[Session] = SessionPool(1_000, 1)
    table, other = (table_with(pool=pool) for _ in range(2))
    back(other, begin(other))
    other.withdraw_all(0.0)
    begin(table)
    assert pool.count == 1


def test_only_the_sessions_of_a_client_make_room_under_its_own_limit() -> None:
    pool: SessionPool[Session] = SessionPool(1, 1_000)
    table, other = (table_with(pool=pool) for _ in range(2))
    begin(other)
    back(table, begin(table, now=10.0), now=10.0)
    # That of the other is over, and not forgotten.
    assert table.new_session((UDP, 1, PROXY), REAL, math.inf, 130.0 - TICK) is None
    assert table.new_session((UDP, 1, PROXY), REAL, math.inf, 130.0) is not None


def test_a_session_gives_way_when_the_new_one_is_opened_and_its_end_is_remembered() -> None:
    pool: SessionPool[Session] = SessionPool(1_000, 1)
    table, other = (table_with(pool=pool, connected=number) for number in range(2))
    held = begin(other)
    session = table.new_session((UDP, 1, PROXY), REAL, math.inf, 10.0)
    assert session is not None
    assert held.is_open
    table.open(session, 443, 0, 10.0)
    assert (held.is_open, other.count, pool.count) == (False, 0, 1)
    assert other.expired_recently(BACK, 250.0 - TICK)
    assert not other.expired_recently(BACK, 250.0)


def test_the_port_of_a_session_that_gives_way_is_not_free_for_the_new_one_yet() -> None:
    table = table_with((1, 1_000))
    begin(table)
    assert translated_port(begin(table, behind=proxy(2))) == 5402
    assert table.count == 1


def test_a_reset_as_the_first_packet_opens_a_session_and_ends_it() -> None:
    table = table_with()
    session = table.new_session((TCP, 5401, PROXY), REAL, math.inf, 0.0)
    assert session is not None
    table.open(session, 443, RST, 0.0)
    assert (session.is_open, table.count, table.pool.count) == (False, 0, 0)
    assert table.expired_recently((TCP, 5401, REAL), 240.0 - TICK)


# --- Ends that are remembered --------------------------------------------------------------


def test_an_end_is_remembered_for_240_seconds_from_its_own_moment() -> None:
    table = table_with()
    begin(table)
    for forgotten_at in (None, 60.0, 100.0):
        if forgotten_at is not None:
            table.pool.forget(forgotten_at, ALL)
        assert [table.expired_recently(BACK, now) for now in (60.0, 300.0 - TICK, 300.0)] == [
            True,
            True,
            False,
        ]
    assert (table.ends.moment(BACK), len(table.ends), table.count) == (60.0, 1, 0)


def test_sessions_of_clients_expire_each_in_its_own_table() -> None:
    pool: SessionPool[Session] = SessionPool(*NO_LIMITS)
    table, other = (table_with(pool=pool) for _ in range(2))
    begin(table)
    begin(other, now=1.0)
    pool.forget(60.0, ALL)
    assert (table.count, other.count, pool.count) == (0, 1, 1)
    assert table.expired_recently(BACK, 60.0)
    assert not other.expired_recently(BACK, 60.0)


def test_ends_are_forgotten_in_time_and_the_cleanup_timer_says_when() -> None:
    table = table_with()
    begin(table, port=1)
    begin(table, port=2, now=1.0)
    table.pool.forget(61.0, ALL)
    assert table.ends._cleanup.earliest() == 300.0
    assert (table.ends.forget(300.0 - TICK, ALL), table.ends.due()) == (0, 300.0)
    assert len(table.ends) == 2
    assert (table.ends.forget(300.0, ALL), table.ends.due()) == (1, 301.0)
    assert not may_match(table, (UDP, 1, REAL))
    assert may_match(table, (UDP, 2, REAL))
    assert (table.ends.forget(301.0, ALL), table.ends.due()) == (1, None)
    assert len(table.ends) == 0


@pytest.mark.parametrize(("number", "is_there"), [(4_096, True), (4_097, False)])
def test_the_last_4096_ends_are_remembered(number: int, *, is_there: bool) -> None:
    table = table_with()
    for port in range(1, number + 1):
        begin(table, port=port)
    table.pool.forget(60.0, ALL)
    assert table.expired_recently((UDP, 1, REAL), 60.0) == is_there
    assert table.expired_recently((UDP, 2, REAL), 60.0)
    assert len(table.ends) == 4_096


def test_a_new_session_takes_the_place_of_the_end_with_its_reverse_key() -> None:
    table = table_with()
    begin(table, port=1)
    begin(table, port=2)
    begin(table, port=1, behind=proxy(2), now=60.0)
    assert not table.expired_recently((UDP, 1, REAL), 60.0)
    assert table.expired_recently((UDP, 2, REAL), 60.0)


def test_a_dropped_session_is_as_if_it_had_not_been() -> None:
    table = table_with()
    first, second = begin(table, port=1), begin(table, port=1, behind=proxy(2))
    table.withdraw_proxies([PROXY, proxy(3)], 0.0)
    assert (first.is_gone(0.0), second.is_gone(0.0)) == (True, False)
    # What policy ended may be looked at until it has been forgotten.
    assert table.find_inbound(first.reverse_key, 0.0) is None
    table.pool.forget(0.0, 2)
    assert not first.is_open
    assert table.find_outbound(first.forward_key, 0.0) is None
    assert table.find_outbound(second.forward_key, 0.0) is second
    assert not may_match(table, first.reverse_key)
    assert may_match(table, second.reverse_key)
    table.withdraw_all(0.0)
    table.pool.forget(60.0, ALL)
    assert (second.is_open, table.pool.count, len(table.ends)) == (False, 0, 0)
    assert not may_match(table, second.reverse_key)


def test_a_closed_table_leaves_nothing_in_the_timers_of_all_clients() -> None:
    table = table_with()
    begin(table)
    begin(table, port=2, now=59.0)
    table.pool.forget(60.0, ALL)
    assert (table.pool.count, table.ends._cleanup.earliest()) == (1, 300.0)
    table.close()
    assert (table.pool.count, table.ends._cleanup.earliest()) == (0, None)
    assert not may_match(table, BACK)


def test_ends_are_forgotten_in_the_order_of_their_moments_whenever_they_are_remembered() -> None:
    table = table_with()
    for port, at in ((1, 9.0), (2, 5.0), (3, 7.0), (4, 9.0)):
        table.ends.remember((UDP, port, REAL), at)
        assert table.ends._cleanup.earliest() == (249.0 if port == 1 else 245.0)
    table.ends.discard((UDP, 3, REAL))
    table.ends.discard((UDP, 3, REAL))
    left = []
    while table.ends.forget(1_000.0, 1):
        left.append([port for port in range(5) if (UDP, port, REAL) in table.ends])
    assert left == [[1, 4], [4], []]


def test_a_session_that_is_gone_is_taken_apart_for_another_with_one_of_its_keys() -> None:
    for real, behind in ((OTHER, PROXY), (REAL, proxy(2)), (REAL, PROXY)):
        for policy in (False, True):
            table = table_with()
            gone = begin(table)
            if policy:
                table.withdraw_all(1.0)
            new = begin(table, behind=behind, real=real, now=60.0)
            assert translated_port(new) == 5401
            # (What policy ended holds no key of its proxy address.)
            assert gone.is_open == (policy and real == OTHER)
            assert table.find_outbound(new.forward_key, 60.0) is new
            assert table.find_inbound(new.reverse_key, 60.0) is new
            table.pool.forget(60.0, ALL)
            assert table.count == 1
            assert table.expired_recently(BACK, 60.0) == (real == OTHER and not policy)


# --- The clock -----------------------------------------------------------------------------


@pytest.mark.parametrize("first_now", [-1_000.0, 0.0, 1_790_000_000.0])
def test_all_moments_move_with_the_clock(first_now: float) -> None:
    table = table_with()
    session = begin(table)
    table.end(session, 0.0)
    live = begin(table, port=2)
    table.shift_clock(first_now)
    assert (live.last, live.last_outbound) == (first_now, first_now)
    assert live.expires_at == table.next == first_now + 60.0
    assert table.expired_recently(BACK, first_now + 240.0 - TICK)
    assert not table.expired_recently(BACK, first_now + 240.0)
