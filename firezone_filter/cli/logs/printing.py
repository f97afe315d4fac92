"""Prints entries: to a pipe or a file exactly as jq would, to a terminal escaped.

A remote party may have put text into a message. A terminal obeys its control characters, so
they are escaped there; a pipe gets the text unchanged.
"""

import re
from collections.abc import Callable
from typing import Final, Protocol, TextIO

from attrs import field, frozen

from firezone_filter.cli.logs.entries import Entry, Fields
from firezone_filter.cli.logs.jq_text import to_json, to_text
from firezone_filter.cli.logs.selection import rank
from firezone_filter.cli.logs.splitter import Piece
from firezone_filter.cli.terminal import around, console, printable

_STYLES: Final = ("dim", "blue", "green", "yellow", "bold red")
"""The style of each severity, by its rank."""

_ALWAYS: Final = frozenset({"time", "severity", "message"})
_needs_no_quotes: Final = re.compile(r'[^\s"=]+').fullmatch
_surrogates: Final = re.compile("[\ud800-\udfff]")


class Printer:
    """Prints entries to a stream, a line each."""

    def __init__(self, stream: TextIO, *, all_fields: bool = False, as_json: bool = False) -> None:
        """Print to *stream*, a terminal or not.

        Args:
            stream: Where to print.
            all_fields: Whether to print all fields of an entry.
            as_json: Whether to print the lines as they were instead.
        """
        self._stream = stream
        self._write = _writer(stream)
        self._manner: _Manner = (
            _Safe(all_fields, stream) if stream.isatty() else _Plain(all_fields)
        )
        self._as_json = as_json
        self._last: Piece | None = None
        self._is_open = False

    def add(self, entry: Entry) -> None:
        """Print *entry*."""
        piece, fields = entry.piece, entry.fields
        if self._as_json and piece is self._last:
            # Another object of the same line.
            return
        self._last = piece
        if self._is_open and piece.starts:
            # The rest of the line before has not come yet, or was not selected.
            self._write(b"\n")
        self._is_open = not piece.ends
        text = (
            self._manner.raw_line(piece.data)
            if fields is None or self._as_json
            else self._manner.line(fields)
        )
        self._write(text + b"\n" if piece.ends else text)

    def finish(self) -> None:
        """End a line whose rest has not come, and flush the stream."""
        if self._is_open:
            self._write(b"\n")
        self.flush()

    def flush(self) -> None:
        """Flush the stream."""
        self._stream.flush()


class _Manner(Protocol):
    """A way to format lines."""

    def line(self, fields: Fields) -> bytes:
        """Return the line of a JSON object."""

    def raw_line(self, data: bytes) -> bytes:
        """Return the output for a line as it was, JSON or not."""


@frozen
class _Plain:
    """The bytes that jq prints; raw lines unchanged."""

    _all_fields: bool

    def line(self, fields: Fields) -> bytes:
        get = fields.get
        text = f"{to_text(get('time'))} {to_text(get('severity'))} {to_text(get('message'))}"
        return _encoded(text + other_fields(fields) if self._all_fields else text)

    def raw_line(self, data: bytes) -> bytes:
        return data


@frozen
class _Safe:
    """Text without control characters, except for the colours of severities."""

    _all_fields: bool
    _stream: TextIO
    _colours: tuple[tuple[str, str], ...] = field(init=False)

    @_colours.default
    def _colours_of_the_terminal(self) -> tuple[tuple[str, str], ...]:
        screen = console(self._stream)
        return tuple(around(screen, style) for style in _STYLES)

    def line(self, fields: Fields) -> bytes:
        time, severity, message = (
            _safe(to_text(fields.get(name))) for name in ("time", "severity", "message")
        )
        if (place := rank(severity)) >= 0:
            severity = severity.join(self._colours[place])
        text = f"{time} {severity} {message}"
        return self._encoded(text + _safe(other_fields(fields)) if self._all_fields else text)

    def raw_line(self, data: bytes) -> bytes:
        return self._encoded(_safe(data.decode("utf-8", "replace").removesuffix("\r")))

    def _encoded(self, text: str) -> bytes:
        # The terminal's encoding may lack characters.
        return text.encode(self._stream.encoding, "backslashreplace")


def other_fields(fields: Fields) -> str:
    """Return all fields without a column of their own, each after a space.

    A value that could run into the next field is in quotes.
    """
    return "".join(
        f" {_quoted(name)}={_quoted(to_text(value))}"
        for name, value in fields.items()
        if name not in _ALWAYS
    )


def _quoted(text: str) -> str:
    return text if _needs_no_quotes(text) else to_json(text)


def _safe(text: str) -> str:
    return text if text.isprintable() else printable(text)


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        # A lone surrogate, written as an escape: jq prints U+FFFD for it.
        return _surrogates.sub("\ufffd", text).encode()


def _writer(stream: TextIO) -> Callable[[bytes], object]:
    """Return a function that writes bytes to *stream*, even if that takes only text."""
    buffer = getattr(stream, "buffer", None)
    if buffer is None:
        return lambda data: stream.write(data.decode("utf-8", "replace"))
    write: Callable[[bytes], object] = buffer.write
    return write
