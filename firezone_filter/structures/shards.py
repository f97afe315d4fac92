"""A dict that does not stall while it grows."""

from typing import Final, Generic, TypeVar

V = TypeVar("V")

MAX_WHOLE: Final = 4_096
"""Entries before the dict is split, which takes 0.3 ms."""

SHARDS: Final = 256
"""With a million entries each shard is as large as the whole was when it was split."""


class ShardedDict(Generic[V]):
    """A dict with text as keys, split into shards once it is large.

    A `dict` moves all its entries when it has to grow, which takes tens of milliseconds with a
    million of them. A shard has few.
    """

    __slots__ = ("_count", "_shards", "_whole")

    def __init__(self) -> None:
        self._whole: dict[str, V] = {}
        self._shards: list[dict[str, V]] | None = None
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def get(self, key: str) -> V | None:
        """Return the value of *key*, or `None`."""
        return self._shard(key).get(key)

    def set(self, key: str, value: V) -> None:
        """Set the value of *key*."""
        shard = self._shard(key)
        if key not in shard:
            self._count += 1
            if self._shards is None and len(shard) >= MAX_WHOLE:
                self._split()
                shard = self._shard(key)
        shard[key] = value

    def remove(self, key: str) -> None:
        """Remove *key*, which must be there."""
        del self._shard(key)[key]
        self._count -= 1

    def _shard(self, key: str) -> dict[str, V]:
        return self._whole if self._shards is None else self._shards[hash(key) % SHARDS]

    def _split(self) -> None:
        self._shards = [{} for _ in range(SHARDS)]
        for key, value in self._whole.items():
            self._shards[hash(key) % SHARDS][key] = value
        self._whole = {}
