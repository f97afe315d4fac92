"""Splits a stream of bytes, which comes in chunks of any size, into lines."""

from collections.abc import Iterator
from typing import Final, NamedTuple

MAX_LINE: Final = 64 << 20
"""The most bytes of a line to keep. Firezone's lines have some hundred bytes, and a backtrace some
thousand; a file of another kind may have no line feed at all."""


class Piece(NamedTuple):
    """A line, or a piece of one that is longer than `MAX_LINE`."""

    number: int
    """The number of the line, from 1 on."""

    data: bytes
    """Its bytes, without the line feed."""

    starts: bool = True
    """Whether it is the first piece of its line."""

    ends: bool = True
    """Whether it is the last one."""


class Splitter:
    """Takes chunks, yields lines, and keeps an unfinished line for the next chunk."""

    __slots__ = ("_continues", "_limit", "_number", "_rest")

    def __init__(self) -> None:
        self._limit = MAX_LINE
        self._rest = bytearray()
        self._number = 1
        self._continues = False

    def feed(self, chunk: bytes) -> Iterator[Piece]:
        """Yield the lines that end in *chunk*, and pieces of a line that is too long."""
        if b"\n" in chunk:
            *lines, rest = (self._rest + chunk).split(b"\n")
            self._rest = rest
            for line in lines:
                while len(line) > self._limit:
                    yield self._piece(_cut(line, self._limit), ends=False)
                yield self._piece(bytes(line), ends=True)
                self._number += 1
        else:
            # In place, since a line may come byte by byte.
            self._rest += chunk
        while len(self._rest) > self._limit:
            yield self._piece(_cut(self._rest, self._limit), ends=False)

    def finish(self) -> Iterator[Piece]:
        """Yield the last line if it has no line feed."""
        if self._rest:
            yield self._piece(_cut(self._rest, len(self._rest)), ends=True)

    def _piece(self, data: bytes, *, ends: bool) -> Piece:
        starts, self._continues = not self._continues, not ends
        return Piece(self._number, data, starts, ends)


def _cut(line: bytearray, size: int) -> bytes:
    """Cut the first *size* bytes off *line*, and return them."""
    data = bytes(line[:size])
    del line[:size]
    return data
