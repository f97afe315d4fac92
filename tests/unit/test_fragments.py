"""`FragmentMemory` by itself: how much it keeps, and what it lets go."""

import pytest

from firezone_filter import Forward
from firezone_filter.gateway.fragments import LIFETIME, MAX_KEPT, FragmentMemory, Verdict
from firezone_filter.packet.headers import Fragment, Headers, read_headers
from firezone_filter.structures.timers import Deadlines
from tests.builders import ip_fragment, tcp, udp

ALLOWED = Verdict(Forward("alice", "db"), None)
FLOWS = {
    "ipv4": "100.64.0.2:5401 > 10.0.0.5:53",
    "ipv6": "[fd00:2021:1111::2]:5401 > [fd00:5::5]:53",
}
BARE = {"ipv4": "100.64.0.2 > 10.0.0.5", "ipv6": "fd00:2021:1111::2 > fd00:5::5"}

both_families = pytest.mark.parametrize("family", ["ipv4", "ipv6"])


def piece(packet: bytes) -> tuple[Headers, Fragment]:
    headers = read_headers(packet)
    assert headers is not None
    assert headers.fragment is not None
    return headers, headers.fragment


def first(family: str, *, identification: int = 7, port: int = 53) -> tuple[Headers, Fragment]:
    flow = FLOWS[family].removesuffix("53") + str(port)
    data = udp(flow, bytes(8))[-16:]
    return piece(ip_fragment(BARE[family], 17, data, more=True, identification=identification))


def first_of_tcp(family: str) -> tuple[Headers, Fragment]:
    data = tcp(FLOWS[family], bytes(4))[-24:]
    return piece(ip_fragment(BARE[family], 6, data, more=True))


def later(
    family: str, start: int = 16, *, identification: int = 7, protocol: int = 17
) -> tuple[Headers, Fragment]:
    return piece(
        ip_fragment(BARE[family], protocol, bytes(8), start=start, identification=identification)
    )


def test_the_bounds_are_those_of_the_design() -> None:
    assert (LIFETIME, MAX_KEPT) == (30.0, 1_024)


@both_families
def test_a_new_memory_is_empty_and_has_nothing_to_follow(family: str) -> None:
    memory = FragmentMemory(Deadlines())
    assert len(memory) == 0
    assert memory.follow(*later(family), 0.0, outbound=True) is None
    memory.forget_old(1e9)
    memory.forget(*first(family), outbound=True)
    assert len(memory) == 0


@both_families
def test_what_is_kept_is_followed_by_the_same_object(family: str) -> None:
    memory = FragmentMemory(Deadlines())
    memory.keep(*first(family), ALLOWED, 0.0, outbound=True)
    assert memory.follow(*later(family), 0.0, outbound=True) is ALLOWED


@both_families
def test_it_never_grows_beyond_its_limit(family: str) -> None:
    memory = FragmentMemory(Deadlines())
    for number in range(MAX_KEPT + 10):
        memory.keep(*first(family, identification=number), ALLOWED, 0.0, outbound=True)
    assert len(memory) == MAX_KEPT
    assert memory.follow(*later(family, identification=9), 0.0, outbound=True) is None
    assert memory.follow(*later(family, identification=10), 0.0, outbound=True) is ALLOWED


@both_families
def test_forget_old_lets_go_of_what_is_over_and_keeps_the_rest(family: str) -> None:
    memory = FragmentMemory(Deadlines())
    memory.keep(*first(family, identification=1), ALLOWED, 0.0, outbound=True)
    memory.keep(*first(family, identification=2), ALLOWED, 0.5, outbound=True)
    memory.forget_old(29.999)
    assert len(memory) == 2
    memory.forget_old(30.0)
    assert len(memory) == 1
    memory.forget_old(30.5)
    assert len(memory) == 0


@both_families
def test_a_second_start_goes_to_the_end_of_the_row(family: str) -> None:
    memory = FragmentMemory(Deadlines())
    memory.keep(*first(family, identification=1), ALLOWED, 0.0, outbound=True)
    memory.keep(*first(family, identification=2), ALLOWED, 1.0, outbound=True)
    memory.keep(*first(family, identification=1), ALLOWED, 2.0, outbound=True)
    memory.forget_old(31.0)
    assert memory.follow(*later(family, identification=1), 31.0, outbound=True) is ALLOWED
    assert memory.follow(*later(family, identification=2), 31.0, outbound=True) is None


@both_families
def test_an_overlap_forgets_and_the_end_of_what_was_judged_does_not(family: str) -> None:
    memory = FragmentMemory(Deadlines())
    memory.keep(*first_of_tcp(family), ALLOWED, 0.0, outbound=True)
    assert memory.follow(*later(family, 24, protocol=6), 0.0, outbound=True) is ALLOWED
    assert memory.follow(*later(family, 16, protocol=6), 0.0, outbound=True) is None
    assert len(memory) == 0


@both_families
def test_another_kind_contradicts_and_forgets(family: str) -> None:
    memory = FragmentMemory(Deadlines())
    memory.keep(*first(family), ALLOWED, 0.0, outbound=True)
    assert not memory.contradicts(*first(family), 0.0, outbound=True)
    assert len(memory) == 1
    assert memory.contradicts(*first(family, port=54), 0.0, outbound=True)
    assert len(memory) == 0
    assert not memory.contradicts(*first(family, port=54), 0.0, outbound=True)


@both_families
def test_nothing_is_contradicted_when_its_time_is_over(family: str) -> None:
    memory = FragmentMemory(Deadlines())
    memory.keep(*first(family), ALLOWED, 0.0, outbound=True)
    assert not memory.contradicts(*first(family, port=54), 30.0, outbound=True)


@both_families
def test_forgetting_is_by_direction(family: str) -> None:
    memory = FragmentMemory(Deadlines())
    memory.keep(*first(family), ALLOWED, 0.0, outbound=True)
    memory.forget(*first(family), outbound=False)
    assert len(memory) == 1
    memory.forget(*first(family), outbound=True)
    assert len(memory) == 0


@both_families
def test_forget_all_leaves_nothing(family: str) -> None:
    memory = FragmentMemory(Deadlines())
    memory.keep(*first(family, identification=1), ALLOWED, 0.0, outbound=True)
    memory.keep(*first(family, identification=2), ALLOWED, 0.0, outbound=False)
    memory.forget_all()
    assert len(memory) == 0


@both_families
def test_the_clock_starts_for_what_was_kept_before(family: str) -> None:
    memory = FragmentMemory(Deadlines())
    memory.keep(*first(family), ALLOWED, 0.0, outbound=True)
    memory.start_clock(1_000.0)
    assert memory.follow(*later(family), 1_029.0, outbound=True) is ALLOWED
    assert memory.follow(*later(family), 1_030.0, outbound=True) is None
