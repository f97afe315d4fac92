"""Hash tables for many keys at once: which flow each packet of a chunk belongs to.

Sorting the keys of a chunk (`np.unique`) would take 60 to 100 ns a packet, a dict 250 ns; this
takes 20 to 40 ns. It is open addressing: all keys look into their slots together, and those that
find another key there look into the next slot, until each has found itself or an empty slot.

The twin in C takes the headers apart too, packet by packet, and takes 20 ns for both.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from firezone_filter.capture.frames import Frames
from firezone_filter.compiled.twins import compiled
from firezone_filter.replay.columns.headers import Words, read_plain

NO_FLOW: Final = -1
"""The flow of a frame without a plain packet."""

_FEW: Final = 1 << 12
_EMPTY: Final = -1
# What new flows leave in their slots until they have numbers: so much less their places.
_FIRST_MARK: Final = -2
_MIX: Final = (
    0x9E37_79B9_7F4A_7C15,
    0xC2B2_AE3D_27D4_EB4F,
    0x1656_67B1_9E37_79F9,
    0x27D4_EB2F_1656_67C5,
    0x8542_1A6F_9D3C_5E2B,
)
"""Odd numbers with bits as if by chance. (Whoever makes keys that collide makes a replay slow,
not wrong.)"""


@frozen(eq=False)
class Found:
    """What a table tells of the frames of a chunk: arrays with an element for each."""

    flows: NDArray[np.int64]
    """The flows of those with a plain packet, otherwise `NO_FLOW`."""

    lengths: NDArray[np.int64]
    """The lengths of these packets, otherwise 0."""

    is_cut: NDArray[np.bool_]
    """Whether the snap length cut them."""

    new: NDArray[np.int64]
    """Room for the rows in which new flows begin."""


def nothing_found(frames: int) -> Found:
    """Return what is known of so many frames before they are looked at."""
    return Found(
        flows=np.full(frames, NO_FLOW, dtype=np.int64),
        lengths=np.zeros(frames, dtype=np.int64),
        is_cut=np.zeros(frames, dtype=np.bool_),
        new=np.empty(frames, dtype=np.int64),
    )


def mixed(key: Sequence[NDArray[np.uint64]] | NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return a hash of each key, whose words are rows."""
    hashes = key[0] * np.uint64(_MIX[0])
    for word, factor in zip(key[1:], _MIX[1:], strict=False):
        hashes ^= hashes >> np.uint64(29)
        hashes += word * np.uint64(factor)
    hashes ^= hashes >> np.uint64(32)
    hashes *= np.uint64(_MIX[0])
    return hashes


@compiled
class FlowTable:
    """The numbers of the flows that have been seen, by their 5-tuples."""

    def __init__(self) -> None:
        """Begin without any."""
        self._tables = {4: WordTable(2), 6: WordTable(5)}

    def clear(self) -> None:
        """Forget all flows."""
        for table in self._tables.values():
            table.clear()

    def find(self, frames: Frames, places: NDArray[np.int64], first: int, found: Found) -> int:
        """Find the flow of each plain packet, as `headers` has them.

        Args:
            frames: the frames.
            places: where their packets begin in the data, if they have any; otherwise below 0.
            first: the number of the first new flow. Those of IPv4 come first, and each in the
                order in which they begin.
            found: receives what is found.

        Returns:
            How many flows are new; `found.new` has their rows.
        """
        count = 0
        for plain in read_plain(frames, places):
            rows = plain.rows
            numbers, new = self._tables[plain.version].find(plain.key, first + count)
            found.flows[rows] = numbers
            found.lengths[rows] = plain.lengths
            found.is_cut[rows] = plain.is_cut
            found.new[count : count + len(new)] = rows[new]
            count += len(new)
        return count


class WordTable:
    """The numbers of keys of some words."""

    def __init__(self, words: int) -> None:
        """Begin without any keys, which will have so many *words* each."""
        self._words = words
        self.clear()

    def clear(self) -> None:
        """Forget all keys."""
        self._count = 0
        self._make(_FEW)

    def find(self, key: Words, first: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Find the number of each key; new ones get numbers from *first* on, in their order.

        Returns:
            The numbers, and where each new key stands for the first time.
        """
        hashes = mixed(key)
        numbers = self._look_up(key, hashes)
        missing = np.flatnonzero(numbers == _EMPTY)
        if not missing.size:
            return numbers, missing
        if (self._count + len(missing)) * 4 > len(self._numbers):
            self._grow(self._count + len(missing))
        new_numbers, new = self._insert(
            tuple(word[missing] for word in key), hashes[missing], first
        )
        numbers[missing] = new_numbers
        return numbers, missing[new]

    def _slots_of(self, hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
        return (hashes >> self._shift).view(np.int64)

    def _look_up(self, key: Words, hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
        slots = self._slots_of(hashes)
        numbers = self._numbers[slots]
        is_other = self._keys[0][slots] != key[0]
        for place in range(1, self._words):
            is_other |= self._keys[place][slots] != key[place]
        waiting = np.flatnonzero(is_other & (numbers != _EMPTY))
        while waiting.size:
            slots[waiting] = (slots[waiting] + 1) & self._mask
            at = slots[waiting]
            there = self._numbers[at]
            numbers[waiting] = there
            is_other = self._differs(at, key, waiting)
            waiting = waiting[is_other & (there != _EMPTY)]
        return numbers

    def _differs(
        self, at: NDArray[np.int64], key: Words, places: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        """Return where the keys at some slots are not those at some *places* of *key*."""
        differs: NDArray[np.bool_] = self._keys[0][at] != key[0][places]
        for mine, theirs in zip(self._keys[1:], key[1:], strict=True):
            differs |= mine[at] != theirs[places]
        return differs

    def _insert(
        self, key: Words, hashes: NDArray[np.uint64], first: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Insert keys that the table has not, some of them more than once.

        All that is the same key goes from slot to slot together, so the first of all that want a
        free slot is the first of its key.
        """
        slots = self._slots_of(hashes)
        waiting = np.arange(len(hashes))
        leaders = waiting.copy()
        while waiting.size:
            at = slots[waiting]
            free = waiting[self._numbers[at] == _EMPTY][::-1]
            # Of several for one slot the last to be written has it.
            self._numbers[slots[free]] = _FIRST_MARK - free
            there = self._numbers[at]
            winners = waiting[there == _FIRST_MARK - waiting]
            for mine, theirs in zip(self._keys, key, strict=True):
                mine[slots[winners]] = theirs[winners]
            is_other = self._differs(at, key, waiting)
            leaders[waiting[~is_other]] = _FIRST_MARK - there[~is_other]
            waiting = waiting[is_other]
            slots[waiting] = (slots[waiting] + 1) & self._mask
        new = np.flatnonzero(leaders == np.arange(len(leaders)))
        numbers = np.empty(len(leaders), dtype=np.int64)
        numbers[new] = np.arange(first, first + len(new))
        self._numbers[slots[new]] = numbers[new]
        self._count += len(new)
        return numbers[leaders], new

    def _grow(self, count: int) -> None:
        kept = np.flatnonzero(self._numbers != _EMPTY)
        key, numbers = tuple(word[kept] for word in self._keys), self._numbers[kept]
        size = len(self._numbers)
        while size < count * 8:
            size *= 2
        self._make(size)
        self._count = 0
        # Each is there once, so that they are numbered as they stand in `numbers`.
        self._insert(key, mixed(key), 0)
        at = np.flatnonzero(self._numbers != _EMPTY)
        self._numbers[at] = numbers[self._numbers[at]]

    def _make(self, size: int) -> None:
        self._mask = size - 1
        self._shift = np.uint64(64 - (size - 1).bit_length())
        self._numbers = np.full(size, _EMPTY, dtype=np.int64)
        self._keys = tuple(np.zeros(size, dtype=np.uint64) for _ in range(self._words))
