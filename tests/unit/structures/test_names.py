"""Names in order: in one piece, and in several."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firezone_filter.structures import names as module
from firezone_filter.structures.names import ManyNames, discard, insert

names = st.text("abc", max_size=3)


def test_inserting_and_discarding_tell_the_place_and_do_nothing_twice() -> None:
    some = ["b", "d"]
    assert [insert(some, name) for name in ("c", "c", "a", "e")] == [1, 1, 0, 4]
    assert some == ["a", "b", "c", "d", "e"]
    assert [discard(some, name) for name in ("c", "c", "f", "a")] == [2, 2, 4, 0]
    assert some == ["b", "d", "e"]


def everything(many: ManyNames) -> list[str]:
    below = [] if many._below is None else many._below.pieces
    return [name for piece in (*below, many) for name in piece]


@given(
    st.lists(names, min_size=20),
    st.lists(st.tuples(st.sampled_from(["add", "discard", "drop"]), names), max_size=60),
)
def test_many_names_keep_their_order_and_know_the_greatest(
    begin: list[str], changes: list[tuple[str, str]]
) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "_MOST", 4)
        many, told = ManyNames(), set[str]()
        for change, name in [*(("add", name) for name in begin), *changes, *_ALL_GO]:
            if change == "drop":
                place = len(many) // 2
                told -= {*many[place:]}
                many.drop(place)
            elif change == "add":
                many.add(name)
                told.add(name)
            else:
                many.discard(name)
                told.discard(name)
            assert everything(many) == sorted(told)
            assert [*many.descending()] == sorted(told, reverse=True)
            assert bool(many) is bool(told)
            assert len(many) <= 4
            assert many._below is None or many._below.ends == [
                piece[-1] for piece in many._below.pieces if len(piece) <= 4
            ]
        assert (many, many._below) == ([], None)


_ALL_GO = [("discard", "".join(one)) for size in range(4) for one in product("bca", repeat=size)]
