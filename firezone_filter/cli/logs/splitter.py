"""Finds lines in a stream of bytes that comes in chunks of any size."""

from collections.abc import Iterator
from typing import Final, NamedTuple

MAX_LINE: Final = 1 << 20
"""Bytes that are kept of a line that does not end. Firezone's lines have some hundreds, a
backtrace has some thousands; a file of another kind may have no line end at all."""


class Piece(NamedTuple):
    """A line, or a piece of one that is longer than `MAX_LINE`."""

    number: int
    """The number of the line, from 1 on."""

    data: bytes
    """What is in it, without the line feed."""

    starts: bool = True
    """Whether it is the first piece of its line."""

    ends: bool = True
    """Whether it is the last one."""


class Splitter:
    """Takes chunks, gives lines, and keeps what may be half a line for later."""

    __slots__ = ("_continues", "_number", "_rest")

    def __init__(self) -> None:
        self._rest = bytearray()
        self._number = 1
        self._continues = False

    def feed(self, chunk: bytes) -> Iterator[Piece]:
        """Yield the lines that *chunk* ends, and pieces of one that is too long."""
        if b"\n" in chunk:
            *lines, rest = (self._rest + chunk).split(b"\n")
            self._rest = rest
            for line in lines:
                yield self._piece(bytes(line), ends=True)
                self._number += 1
        else:
            # In place: a line may come byte by byte.
            self._rest += chunk
        while len(self._rest) > MAX_LINE:
            yield self._piece(self._cut(MAX_LINE), ends=False)

    def finish(self) -> Iterator[Piece]:
        """Yield a last line without line feed, if there is one."""
        if self._rest:
            yield self._piece(self._cut(len(self._rest)), ends=True)

    def _cut(self, size: int) -> bytes:
        data = bytes(self._rest[:size])
        del self._rest[:size]
        return data

    def _piece(self, data: bytes, *, ends: bool) -> Piece:
        starts, self._continues = not self._continues, not ends
        return Piece(self._number, data, starts, ends)
