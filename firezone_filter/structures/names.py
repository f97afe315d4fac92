"""Names in ascending order, which come and go one at a time."""

from bisect import bisect_left
from collections.abc import Iterator
from typing import Final

_MOST: Final = 1_000
"""Names of one piece. To move 10,000 for one more takes 1 µs; finding its place takes 0.2 µs."""


class Names(list[str]):
    """Ascending names in one piece."""

    __slots__ = ()

    def add(self, name: str) -> None:
        """Add a name, unless it is there."""
        insert(self, name)

    def discard(self, name: str) -> None:
        """Remove a name, if it is there."""
        discard(self, name)


class ManyNames(Names):
    """Ascending names in pieces, for whoever asks for the greatest alone.

    As a list it has the greatest of them: it is empty only if there are none.
    """

    __slots__ = ("_below",)

    def __init__(self) -> None:
        super().__init__()
        self._below: _Pieces | None = None

    def add(self, name: str) -> None:
        """Add a name, unless it is there."""
        below = self._below
        if below is not None and name <= below.ends[-1]:
            below.add(name)
            return
        place = bisect_left(self, name)
        if place == len(self) or self[place] != name:
            self.insert(place, name)
            if len(self) > _MOST:
                self._below = below = below or _Pieces()
                below.append(_lower_half(self))

    def discard(self, name: str) -> None:
        """Remove a name, if it is there."""
        below = self._below
        if below is not None and name <= below.ends[-1]:
            below.discard(name)
            self._below = below if below.ends else None
            return
        place = bisect_left(self, name)
        if place < len(self) and self[place] == name:
            self.drop(place, place + 1)

    def drop(self, first: int, after: int | None = None) -> None:
        """Remove those of the list from one place to another, or to its end."""
        del self[first:after]
        if self._below is not None and not self:
            self[:] = self._below.pop()
            self._below = self._below if self._below.ends else None

    def descending(self) -> Iterator[str]:
        """Yield all of them, the greatest first."""
        yield from reversed(self)
        if self._below is not None:
            for piece in reversed(self._below.pieces):
                yield from reversed(piece)


class _Pieces:
    """Ascending names in one or more pieces, none of which is empty."""

    __slots__ = ("ends", "pieces")

    def __init__(self) -> None:
        self.pieces: list[list[str]] = []
        self.ends: list[str] = []
        """The last name of each piece."""

    def append(self, piece: list[str]) -> None:
        self.pieces.append(piece)
        self.ends.append(piece[-1])

    def pop(self) -> list[str]:
        self.ends.pop()
        return self.pieces.pop()

    def add(self, name: str) -> None:
        """Add a name that is not greater than the last."""
        place = bisect_left(self.ends, name)
        piece = self.pieces[place]
        insert(piece, name)
        if len(piece) > _MOST:
            lower = _lower_half(piece)
            self.pieces.insert(place, lower)
            self.ends.insert(place, lower[-1])

    def discard(self, name: str) -> None:
        """Remove a name that is not greater than the last."""
        place = bisect_left(self.ends, name)
        piece = self.pieces[place]
        discard(piece, name)
        if piece:
            self.ends[place] = piece[-1]
        else:
            del self.pieces[place], self.ends[place]


def _lower_half(names: list[str]) -> list[str]:
    """Take the lower half of names out of them."""
    half = len(names) // 2
    lower = names[:half]
    del names[:half]
    return lower


def insert(names: list[str], name: str) -> int:
    """Insert a name into ascending ones, unless it is there; return its place."""
    place = bisect_left(names, name)
    if place == len(names) or names[place] != name:
        names.insert(place, name)
    return place


def discard(names: list[str], name: str) -> int:
    """Remove a name from ascending ones, if it is there; return where that was or would be."""
    place = bisect_left(names, name)
    if place < len(names) and names[place] == name:
        del names[place]
    return place
