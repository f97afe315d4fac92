"""Counts the lines that are not JSON, and names the first of them."""

from collections.abc import Iterator
from typing import Final

from attrs import define, field

from firezone_filter.cli.logs.entries import Entry

MAX_NAMED: Final = 10
"""The most lines to name: with more of them, the file as a whole is not a log."""


@define
class InvalidLines:
    """Lines that are not JSON: text, which is passed through, and binary data, which is not."""

    _leaves_out_long: bool = False
    """Whether lines that are too long are not passed through: `Selection.reads_fields`."""

    _texts: int = field(init=False, default=0)
    _named: list[str] = field(init=False, factory=list)
    _binary: dict[str, list[int]] = field(init=False, factory=dict)
    """The numbers of the first and the last such line of each file, and how many there are."""

    def __bool__(self) -> bool:
        """Tell whether there are any."""
        return bool(self._texts or self._binary)

    def add(self, entry: Entry) -> None:
        """Count *entry*, which is not JSON, unless it is a later piece of the same line."""
        if not entry.piece.starts:
            return
        if entry.is_binary:
            self._add_binary(entry)
            return
        self._texts += 1
        if self._texts <= MAX_NAMED:
            what = "not JSON, passed through" if entry.piece.ends else self._too_long()
            self._named.append(f"{entry.source}:{entry.piece.number}: {what}")

    def report(self) -> Iterator[str]:
        """Yield the complaints, one line each."""
        yield from self._named
        more = self._texts - len(self._named)
        if more:
            yield f"and {more:,} more line{' that is' if more == 1 else 's that are'} not JSON"
        for name, (first, last, count) in self._binary.items():
            if count == 1:
                yield f"{name}:{first}: binary data, skipped"
            else:
                yield f"{name}:{first}: binary data, {count:,} lines up to {last:,} skipped"

    def _too_long(self) -> str:
        if self._leaves_out_long:
            return "too long for --severity and --field to be read, left out"
        return "too long to be read as JSON, passed through"

    def _add_binary(self, entry: Entry) -> None:
        number = entry.piece.number
        lines = self._binary.setdefault(entry.source, [number, 0, 0])
        # Zeros before other binary data make a second entry of the same line.
        lines[2] += number != lines[1]
        lines[1] = number
