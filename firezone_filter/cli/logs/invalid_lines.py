"""Counts the lines that are not JSON, and names the first of them."""

from collections.abc import Iterator
from typing import Final

from attrs import define, field

from firezone_filter.cli.logs.entries import Entry

MAX_NAMED: Final = 10
"""The most lines to name: with more of them, the file as a whole is not a log."""


@define
class InvalidLines:
    """Lines that are not JSON."""

    count: int = field(init=False, default=0)
    """The number of all such lines."""

    _named: list[tuple[str, int]] = field(init=False, factory=list)

    def add(self, entry: Entry) -> None:
        """Count *entry*, which is not JSON, unless it is a later piece of the same line."""
        if entry.piece.starts:
            self.count += 1
            if self.count <= MAX_NAMED:
                self._named.append((entry.source, entry.piece.number))

    def report(self) -> Iterator[str]:
        """Yield the complaints, one line each."""
        for name, number in self._named:
            yield f"{name}:{number}: not JSON, passed through"
        more = self.count - len(self._named)
        if more:
            yield f"and {more:,} more line{' that is' if more == 1 else 's that are'} not JSON"
