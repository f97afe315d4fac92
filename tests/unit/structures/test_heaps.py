"""`PlacedHeap`: the least of items that may all be moved and removed, against a dict."""

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from firezone_filter.structures.heaps import NO_PLACE, PlacedHeap


class Item:
    def __init__(self) -> None:
        self.place = NO_PLACE


keys = st.integers(-3, 3) | st.floats(-3, 3)


@given(st.lists(st.tuples(st.integers(0, 9), st.none() | keys)))
def test_the_first_is_one_of_the_least_keys_whatever_moves(
    steps: list[tuple[int, float | None]],
) -> None:
    heap: PlacedHeap[Item] = PlacedHeap()
    items = [Item() for _ in range(10)]
    held: dict[Item, float] = {}

    def check(key: Callable[[Item], float]) -> None:
        assert len(heap) == len(held)
        if not held:
            assert heap.first is None
            return
        assert heap.first is not None
        assert key(heap.first) == min(map(key, held))

    for number, key in steps:
        item = items[number]
        if key is None:
            heap.remove(item)
            held.pop(item, None)
        else:
            heap.put(item, key)
            held[item] = key
        assert (item.place == NO_PLACE) == (item not in held)
        check(held.__getitem__)
    heap.renew(lambda item: -held[item])
    check(lambda item: -held[item])
    while (first := heap.first) is not None:
        assert -held.pop(first) <= min((-key for key in held.values()), default=3)
        heap.remove(first)
