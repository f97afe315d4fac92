"""`FragmentMemory`: what later fragments follow, before it is forgotten, and what is forgotten."""

import pytest
from attrs import frozen

from firezone_filter import Forward
from firezone_filter.gateway.fragments import LIFETIME, MAX_KEPT, FragmentMemory, Verdict
from firezone_filter.packet.headers import Fragment, Headers
from firezone_filter.structures.upkeep import Keeper, UpkeepQueue
from firezone_filter.testing import ip_fragment, tcp, udp
from tests.numbers import TCP, UDP
from tests.scenes import OUTBOUND, V4, V6, Family, both_families
from tests.translations import TICK
from tests.unit.reading import read

ALLOWED = Verdict(Forward("alice", "db"), None)
OTHER = Verdict(Forward("alice", "web"), None)
ALL = 1_000_000
"""Steps enough for everything."""

Piece = tuple[Headers, Fragment]


@frozen
class Memory:
    """A memory with its cleanup timers, for fragments of one family from the client."""

    family: Family
    timers: UpkeepQueue[Keeper]
    kept: FragmentMemory

    def keep(self, now: float = 0.0, number: int = 7, verdict: Verdict = ALLOWED) -> None:
        self.kept.keep(*first(self.family, number), verdict, now, outbound=True)

    def find(self, now: float = 0.0, number: int = 7, start: int = 16) -> Verdict | None:
        return self.kept.find(*later(self.family, number, start), now, outbound=True)

    def contradicts(self, now: float = 0.0, port: int = 54) -> bool:
        return self.kept.contradicts(*first(self.family, port=port), now, outbound=True)


@pytest.fixture(params=[V4, V6], ids=str)
def memory(request: pytest.FixtureRequest) -> Memory:
    timers: UpkeepQueue[Keeper] = UpkeepQueue()
    return Memory(request.param, timers, FragmentMemory(timers))


def piece(packet: bytes) -> Piece:
    headers = read(packet)
    assert headers.fragment is not None
    return headers, headers.fragment


def first(family: Family, number: int = 7, *, port: int = 53) -> Piece:
    data = udp(family.flow(OUTBOUND, port), bytes(8))[-16:]
    return piece(ip_fragment(family.flow(OUTBOUND), UDP, data, more=True, identification=number))


def later(family: Family, number: int = 7, start: int = 16, *, protocol: int = UDP) -> Piece:
    flow = family.flow(OUTBOUND)
    return piece(ip_fragment(flow, protocol, bytes(8), start=start, identification=number))


def test_the_bounds_are_those_of_the_rules() -> None:
    assert (LIFETIME, MAX_KEPT) == (30, 1_024)


# --- Reading -------------------------------------------------------------------------------


def test_an_empty_memory_has_nothing_to_follow_to_contradict_or_to_forget(memory: Memory) -> None:
    assert (memory.find(), memory.contradicts(), len(memory.kept)) == (None, False, 0)
    assert (memory.kept.forget(1e9, ALL), memory.kept.due()) == (0, None)
    memory.kept.forget_packet(*first(memory.family), outbound=True)
    memory.kept.invalidate()
    assert memory.timers.earliest() is None


def test_later_fragments_follow_the_verdict_about_their_first(memory: Memory) -> None:
    memory.keep()
    assert memory.find() is ALLOWED
    assert memory.find(number=8) is None
    assert memory.kept.find(*later(memory.family), 0.0, outbound=False) is None


@both_families
def test_no_later_fragment_may_begin_within_the_judged_headers(family: Family) -> None:
    memory = FragmentMemory(UpkeepQueue())
    data = tcp(family.flow(OUTBOUND, 443), bytes(4))[-24:]
    start = piece(ip_fragment(family.flow(OUTBOUND), TCP, data, more=True))
    memory.keep(*start, ALLOWED, 0.0, outbound=True)
    # 20 bytes of TCP header were judged.
    for at, verdict in ((24, ALLOWED), (16, None), (8, None), (24, ALLOWED)):
        overlapping = later(family, start=at, protocol=TCP)
        assert memory.find(*overlapping, 0.0, outbound=True) is verdict


def test_a_second_first_fragment_contradicts_if_it_differs(memory: Memory) -> None:
    memory.keep()
    assert not memory.contradicts(port=53)
    assert memory.contradicts(port=54)


def test_looking_changes_nothing(memory: Memory) -> None:
    memory.keep()
    for now in (0.0, 29.0, 30.0, 1_000.0):
        for start in (8, 16):
            memory.find(now, start=start)
        memory.contradicts(now)
    assert (len(memory.kept), memory.timers.earliest()) == (1, 30.0)
    assert memory.find() is ALLOWED


def test_a_verdict_is_over_after_30_seconds_whether_or_not_it_was_forgotten(
    memory: Memory,
) -> None:
    memory.keep()
    for forgetting in (False, True):
        for now, is_over in ((0.0, False), (30.0 - TICK, False), (30.0, True), (31.0, True)):
            if forgetting:
                memory.kept.forget(now, ALL)
            assert (memory.find(now) is None) == is_over
            assert memory.contradicts(now) != is_over
    assert len(memory.kept) == 0


# --- Changing ------------------------------------------------------------------------------


def test_a_second_start_begins_the_time_anew_and_judges_no_fewer_bytes(memory: Memory) -> None:
    memory.keep(0.0, 1)
    memory.keep(1.0, 2)
    memory.keep(2.0, 1, OTHER)
    assert len(memory.kept) == 2
    memory.kept.forget(31.0, ALL)
    assert (memory.find(31.0, 1), memory.find(31.0, 2)) == (OTHER, None)
    # Both starts were judged, so neither's headers may be replaced.
    headers, fragment = first(memory.family, 1)
    for judged in (24, 8):
        shaped = fragment._replace(judged=judged)
        memory.kept.keep(headers, shaped, ALLOWED, 31.0, outbound=True)
    assert (memory.find(31.0, 1, start=16), memory.find(31.0, 1, start=24)) == (None, ALLOWED)


def test_of_more_than_1024_verdicts_the_oldest_are_forgotten_first(memory: Memory) -> None:
    for number in range(MAX_KEPT + 10):
        memory.keep(number=number)
    assert len(memory.kept) == MAX_KEPT
    assert (memory.find(number=9), memory.find(number=10)) == (None, ALLOWED)


def test_old_verdicts_are_forgotten_one_by_one(memory: Memory) -> None:
    for number, now in enumerate((0.0, 0.5, 29.0)):
        memory.keep(now, number)
    assert (memory.kept.forget(30.0 - TICK, ALL), memory.kept.due()) == (0, 30.0)
    assert (memory.kept.forget(30.0, ALL), memory.kept.due()) == (1, 30.5)
    memory.keep(30.5, 7)
    assert len(memory.kept) == 3
    assert [memory.kept.forget(100.0, most) for most in (0, 1, 1, 1, 1)] == [0, 1, 1, 1, 0]
    assert (memory.kept.due(), len(memory.kept)) == (None, 0)


def test_a_verdict_that_is_over_lends_its_judged_bytes_to_no_other_packet(memory: Memory) -> None:
    headers, fragment = first(memory.family)
    memory.kept.keep(headers, fragment._replace(judged=24), ALLOWED, 0.0, outbound=True)
    memory.keep(30.0)
    assert memory.find(30.0, start=16) is ALLOWED


def test_the_cleanup_timer_is_set_with_the_first_verdict_and_no_other(memory: Memory) -> None:
    memory.keep(0.0, 1)
    memory.keep(10.0, 2)
    assert memory.timers.earliest() == 30.0
    memory.kept.invalidate()
    assert (len(memory.kept), memory.timers.earliest(), memory.find(10.0, 2)) == (0, None, None)
    memory.keep(11.0, 3)
    assert memory.timers.earliest() == 41.0


def test_forgetting_is_by_packet_and_direction(memory: Memory) -> None:
    memory.keep()
    memory.kept.forget_packet(*first(memory.family), outbound=False)
    memory.kept.forget_packet(*first(memory.family, 8), outbound=True)
    assert memory.find() is ALLOWED
    memory.kept.forget_packet(*later(memory.family), outbound=True)
    assert (memory.find(), len(memory.kept)) == (None, 0)


def test_verdicts_move_with_the_clock(memory: Memory) -> None:
    memory.keep()
    memory.kept.shift_clock(1_000.0)
    assert (memory.find(1_029.0), memory.find(1_030.0)) == (ALLOWED, None)
    assert memory.kept.due() == 1_030.0
