"""What was no JSON: all of it is counted, and the first of it named."""

from collections.abc import Iterator
from typing import Final

from attrs import define, field

from firezone_filter.cli.logs.entries import Entry

MAX_NAMED: Final = 10
"""Lines that are named: if there are more, it is not a few lines that are odd."""


@define
class InvalidLines:
    """Lines that are not JSON."""

    count: int = field(init=False, default=0)
    """How many there were."""

    _named: list[tuple[str, int]] = field(init=False, factory=list)

    def add(self, entry: Entry) -> None:
        """Count *entry*, which is no JSON, unless it is a further piece of a line."""
        if entry.piece.starts:
            self.count += 1
            if self.count <= MAX_NAMED:
                self._named.append((entry.source, entry.piece.number))

    def report(self) -> Iterator[str]:
        """Yield what to say about them, a line each."""
        for name, number in self._named:
            yield f"{name}:{number}: not JSON, passed through"
        more = self.count - len(self._named)
        if more:
            yield f"and {more:,} more line{' that is' if more == 1 else 's that are'} not JSON"
