"""Short ways to write log lines and their entries."""

import json
from collections.abc import Iterator

from firezone_filter.cli.logs.entries import Entry, EntryReader
from firezone_filter.cli.logs.splitter import Piece, Splitter


def line(**fields: object) -> bytes:
    """Return a log line, with its line feed."""
    return json.dumps(fields).encode() + b"\n"


def at(second: int, message: str = "", **fields: object) -> bytes:
    """Return a log line of that second."""
    time = f"2026-08-22T12:{second // 60:02}:{second % 60:02}.000000000Z"
    return line(time=time, severity="INFO", message=message, **fields)


def entries(data: bytes, source: str = "a.log") -> Iterator[Entry]:
    """Yield the entries of a whole file."""
    reader, splitter = EntryReader(source), Splitter()
    for pieces in (splitter.feed(data), splitter.finish()):
        for piece in pieces:
            yield from reader.read(piece)


def entry(**fields: object) -> Entry:
    """Return the entry of one line."""
    (only,) = entries(line(**fields))
    return only


def invalid_line(data: bytes, *, starts: bool = True, ends: bool = True, key: str = "") -> Entry:
    """Return the entry of a line, or of a piece of one, that is not JSON."""
    return Entry("a.log", Piece(1, data, starts, ends), None, key)
