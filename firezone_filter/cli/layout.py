"""Lines of the summary, in columns where these fit, and one below the other where not.

A line is broken between words alone. Only the lines of a terminal are: a pipe gets them whole.
"""

import textwrap
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from attrs import frozen
from rich.filesize import decimal

from firezone_filter.cli.terminal import printable
from firezone_filter.replay.summary import Tally

_LABEL: Final = 34
_CELL: Final = 11
_COLUMNS: Final = _LABEL + 4 * _CELL

Line = tuple[str, str]
"""Text and style."""


@frozen
class Layout:
    """How to lay out lines for a width."""

    width: int
    """Columns."""

    breaks: bool
    """Whether lines that are longer are broken."""

    @property
    def has_columns(self) -> bool:
        """Whether a table with four columns fits."""
        return self.width >= _COLUMNS

    def broken(self, text: str, style: str = "") -> Iterator[Line]:
        """Yield *text*, in as many lines as it needs; all but the first are indented."""
        if not self.breaks or len(text) <= self.width:
            yield text, style
            return
        indent = " " * (len(text) - len(text.lstrip()) + 4)
        for line in textwrap.wrap(
            text,
            self.width,
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
        ):
            yield line, style

    def pair(self, start: str, rest: str) -> Iterator[Line]:
        """Yield one line if both parts fit, otherwise two, the second one indented."""
        if len(f"{start} {rest}") <= self.width:
            yield f"{start} {rest}", ""
            return
        yield from self.broken(start)
        yield from self.broken(f"        {rest}")

    def section(self, title: str, *columns: str) -> Iterator[Line]:
        """Yield an empty line and a title, with the titles of the columns if there are any."""
        yield "", ""
        text = _in_columns(title, columns) if self.has_columns else title
        yield text.rstrip(), "bold underline"

    def row(self, label: str, tallies: Mapping[str, Tally], style: str = "") -> Iterator[Line]:
        """Yield a row: *tallies* by the titles of their columns."""
        if self.has_columns:
            cells = (cell for tally in tallies.values() for cell in _cells(tally))
            yield _in_columns(f"  {_fit(printable(label))}", cells), style
            return
        yield from self.broken(f"  {printable(label)}", style)
        indent = " " * (len(label) - len(label.lstrip()) + 4)
        for title, tally in tallies.items():
            yield from self.broken(indent + f"{title} {total(tally)}".lstrip())


def total(tally: Tally) -> str:
    """Return *tally* as text."""
    plural = "" if tally.packets == 1 else "s"
    return f"{tally.packets:,} packet{plural}, {decimal(tally.bytes)}"


def _cells(tally: Tally) -> tuple[str, str]:
    return f"{tally.packets:,}", decimal(tally.bytes) if tally.packets else "-"


def _in_columns(label: str, cells: Iterable[str]) -> str:
    return f"{label:<{_LABEL}}" + "".join(f"{cell:>{_CELL}}" for cell in cells)


def _fit(label: str) -> str:
    room = _LABEL - len("  ")
    return label if len(label) <= room else f"{label[: room - 3]}..."
