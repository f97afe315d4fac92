"""`Lane`: a queue that any element can leave, against a list."""

import gc
import weakref
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from firezone_filter.structures.lanes import Lane, Link


class Numbered(Link):
    __slots__ = ("__weakref__", "number")

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def numbers(lane: Lane[Numbered]) -> list[int]:
    """Return what is in a lane, having gone both ways."""
    forth, back = list[int](), list[int]()
    link: Any = lane
    while isinstance(link := link.after, Numbered):
        forth.append(link.number)
    assert link is lane
    while isinstance(link := link.before, Numbered):
        back.append(link.number)
    assert link is lane
    assert forth == back[::-1]
    return forth


@given(st.lists(st.tuples(st.sampled_from([0, 1, None]), st.integers(0, 4))))
def test_lanes_are_as_lists_from_which_elements_move(steps: list[tuple[int | None, int]]) -> None:
    lanes: list[Lane[Numbered]] = [Lane(), Lane()]
    lists: list[list[int]] = [[], []]
    links = [Numbered(number) for number in range(5)]
    for to, number in steps:
        for held in lists:
            if number in held:
                held.remove(number)
        if to is None:
            links[number].unlink()
        else:
            lanes[to].append(links[number])
            lists[to].append(number)
        for lane, held in zip(lanes, lists, strict=True):
            assert numbers(lane) == held
            first = lane.first
            assert (first and [first.number]) == (held[:1] or None)


def test_what_is_unlinked_is_freed_at_once() -> None:
    lane: Lane[Numbered] = Lane()
    for number in range(3):
        lane.append(Numbered(number))
    gc.collect()
    gc.disable()
    try:
        first = lane.first
        assert first is not None
        freed = weakref.ref(first)
        first.unlink()
        del first
        assert freed() is None
    finally:
        gc.enable()
    assert numbers(lane) == [1, 2]
