"""A bound on how many keys are told apart, for counts that a remote party can make grow."""

from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class KeySlots(Generic[K]):
    """At most *limit* keys hold a slot, first come, first served; the others share one count.

    A key keeps its slot until it is released, so a flood of new keys neither costs memory nor
    pushes out the keys that are already told apart. The values of the keys stay with the
    caller, which also counts what found no slot.
    """

    __slots__ = ("_keys", "_limit")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._keys: set[K] = set()

    @property
    def limit(self) -> int:
        """The most keys that hold a slot."""
        return self._limit

    def take(self, key: K) -> bool:
        """Return whether *key* holds a slot, giving it a free one if it has none."""
        if key in self._keys:
            return True
        if len(self._keys) >= self._limit:
            return False
        self._keys.add(key)
        return True

    def release(self, key: K) -> None:
        """Free the slot of *key*, if it holds one."""
        self._keys.discard(key)

    def __len__(self) -> int:
        return len(self._keys)
