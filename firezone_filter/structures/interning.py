"""Interning: one shared object for all equal keys, where making one is costly."""

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar
from weakref import WeakValueDictionary

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Interned(Generic[K, V]):
    """A factory that makes one value per key, and holds it weakly while it is in use.

    Policies come and go. A cache of a fixed size would keep values out of use, and evict
    others that many clients share.
    """

    __slots__ = ("_make", "_values")

    def __init__(self, make: Callable[[K], V]) -> None:
        self._make = make
        self._values: WeakValueDictionary[K, V] = WeakValueDictionary()

    def __call__(self, key: K) -> V:
        """Return the value for *key*; a new one is made only if none is in use."""
        value = self._values.get(key)
        if value is None:
            value = self._values[key] = self._make(key)
        return value

    def __contains__(self, key: object) -> bool:
        return key in self._values
