"""Heaps whose items know their places, so that any of them can be moved or removed."""

import math
from collections.abc import Callable, Iterator
from typing import Any, Final, Generic, TypeVar

NO_PLACE: Final = -1
"""The place of an item that is in no heap."""


T = TypeVar("T")

Key = float | tuple[float, int]
"""What orders items: moments, or moments and numbers, which must not be mixed in one heap."""


class PlacedHeap(Generic[T]):
    """A binary heap of items by key, the least first.

    `heapq` cannot remove from the middle: entries that are out of date would have to stay until
    they get to the top, where thousands of them could wait for one call. Here each change takes
    at most one step a level, 4 µs among 16,384. Equal keys come in any order.
    """

    __slots__ = ("_items", "_keys", "_place")

    def __init__(self, place: str = "place") -> None:
        """Begin without any items; in their attribute *place* these have their indexes."""
        self._place = place
        self._items: list[T] = []
        self._keys: list[Any] = []

    def __len__(self) -> int:
        return len(self._items)

    @property
    def first(self) -> T | None:
        """The item with the least key; `None` if there is none."""
        return self._items[0] if self._items else None

    @property
    def least(self) -> float:
        """The least key, of moments alone; infinity if there is none."""
        return self._keys[0] if self._keys else math.inf

    def put(self, item: T, key: Key) -> None:
        """Add an item, or move it to the place of another key."""
        place: int = getattr(item, self._place)
        if place == NO_PLACE:
            place = len(self._items)
            self._items.append(item)
            self._keys.append(key)
        self._settle(item, key, place)

    def remove(self, item: T) -> None:
        """Remove an item; no effect if it is not there."""
        place: int = getattr(item, self._place)
        if place == NO_PLACE:
            return
        setattr(item, self._place, NO_PLACE)
        last, key = self._items.pop(), self._keys.pop()
        if last is not item:
            self._settle(last, key, place)

    def waiting(self, upto: float) -> Iterator[T]:
        """Yield the items whose keys are at most *upto*, in any order, and leave them there."""
        # No item is below a greater one: the walk is over those and their children alone.
        places = [0]
        while places:
            place = places.pop()
            if place < len(self._keys) and self._keys[place] <= upto:
                yield self._items[place]
                places += (2 * place + 1, 2 * place + 2)

    def renew(self, key: Callable[[T], float]) -> None:
        """Give every item a new key; this takes time for each."""
        items, self._items, self._keys = self._items, [], []
        for item in items:
            setattr(item, self._place, NO_PLACE)
            self.put(item, key(item))

    def shift(self, by: float) -> None:
        """Add as much to every key; this takes time for each."""
        # (Rounding may make equal what was not, and puts nothing out of order.)
        self._keys = [key + by for key in self._keys]

    def _settle(self, item: T, key: Any, place: int) -> None:  # noqa: ANN401 - keys of one kind
        """Put an item at a place that is free for it, or as far up or down as it belongs."""
        items, keys, name = self._items, self._keys, self._place
        while place and key < keys[parent := (place - 1) >> 1]:
            moved = items[parent]
            items[place], keys[place] = moved, keys[parent]
            setattr(moved, name, place)
            place = parent
        size = len(keys)
        while (child := 2 * place + 1) < size:
            if child + 1 < size and keys[child + 1] < keys[child]:
                child += 1
            if key <= keys[child]:
                break
            moved = items[child]
            items[place], keys[place] = moved, keys[child]
            setattr(moved, name, place)
            place = child
        items[place], keys[place] = item, key
        setattr(item, name, place)
