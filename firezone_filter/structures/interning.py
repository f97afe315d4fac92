"""Sharing what is costly to make between those who need the same."""

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar
from weakref import WeakValueDictionary

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Interned(Generic[K, V]):
    """Makes one value for each key, and keeps it for as long as anybody uses it.

    Policies come and go. A cache of a fixed size would keep what nobody needs any more, and
    throw out what many do.
    """

    __slots__ = ("_make", "_values")

    def __init__(self, make: Callable[[K], V]) -> None:
        self._make = make
        self._values: WeakValueDictionary[K, V] = WeakValueDictionary()

    def __call__(self, key: K) -> V:
        """Return the value for *key*, a new one only if nobody has one."""
        value = self._values.get(key)
        if value is None:
            value = self._values[key] = self._make(key)
        return value

    def __contains__(self, key: object) -> bool:
        return key in self._values
