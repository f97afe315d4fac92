"""Parses the lines of a log.

A line is read as jq reads it: it may hold several values, `null` is an object without fields,
and bytes that are not UTF-8 become U+FFFD. A line at which jq stops is an entry without fields:
text, such as a panic, or binary data.
"""

import json
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from firezone_filter.cli.logs.splitter import Piece
from firezone_filter.cli.logs.time_keys import NO_TIME, time_key

MAX_DEPTH: Final = 255
"""How deep objects and arrays may nest: jq's limit, and well within Python's."""

_LOOKED_AT: Final = 1 << 16
"""The bytes of a line that tell text from binary data."""

_MAX_ODD: Final = 1 / 8
"""The share of odd characters that text may have: a word of it may be in another encoding."""

# Control characters, but for those that programs write to terminals: bell, backspace, white space
# and escape; and what is not UTF-8.
_odd: Final = re.compile("[\x00-\x06\x0e-\x1a\x1c-\x1f\x7f\ufffd]")

_BYTE_ORDER_MARK: Final = "\ufeff"
_BLANKS: Final = (" ", "\t", "\r")

Fields = dict[str, object]
_Container = dict[str, object] | list[object]


class Entry(NamedTuple):
    """One object of a log, or a line that is not JSON."""

    source: str
    """The name of the file."""

    piece: Piece
    """The line."""

    fields: Fields | None
    """The fields of the object; `None` if the line is not a JSON object."""

    key: str
    """The sort key of its time (`time_keys`); that of the entry before if it has no time."""

    is_binary: bool = False
    """Whether the line is binary data, or comes after such a line before there is JSON again."""


class EntryReader:
    """Turns the lines of one file into entries."""

    __slots__ = ("_in_binary", "_key", "_source")

    def __init__(self, source: str) -> None:
        self._source = source
        self._key = NO_TIME
        self._in_binary = False

    def read(self, piece: Piece) -> Iterator[Entry]:
        """Yield the entries of a line: usually one, and none for a blank line."""
        if piece.data[:1] == b"\0" and piece.starts and piece.ends:
            # A crash may leave zeros where a block was never written; the next start of the
            # program appends to them.
            yield Entry(self._source, piece, None, self._key, is_binary=True)
            piece = piece._replace(data=piece.data.lstrip(b"\0"))
        objects = read_objects(piece)
        if objects is None:
            # Parts of binary data look like text.
            if piece.starts:
                self._in_binary = self._in_binary or looks_binary(piece.data)
            yield Entry(self._source, piece, None, self._key, self._in_binary)
            return
        for fields in objects:
            self._in_binary = False
            time = fields.get("time")
            if isinstance(time, str) and (key := time_key(time)) is not None:
                self._key = key
            yield Entry(self._source, piece, fields, self._key)


def looks_binary(line: bytes) -> bool:
    """Tell whether *line* is binary data, or at least no text that can be read."""
    if b"\0" in line:
        return True
    text = line[:_LOOKED_AT].decode("utf-8", "replace")
    return len(_odd.findall(text)) > len(text) * _MAX_ODD


def read_objects(piece: Piece) -> list[Fields] | None:
    """Return the objects in a line; `None` if it holds anything else."""
    if not (piece.starts and piece.ends):
        return None
    text = piece.data.decode("utf-8", "replace")
    try:
        values = [_decode(text)]
    except (ValueError, RecursionError):
        values = _read_oddly(text.removeprefix(_BYTE_ORDER_MARK) if piece.number == 1 else text)
    objects = [fields for value in values if (fields := _fields(value)) is not None]
    if len(objects) < len(values) or _is_deep(text, objects):
        return None
    return objects


def _fields(value: object) -> Fields | None:
    """Return the object in which jq looks for fields; `None` if jq would stop at *value*."""
    if value is None:
        return {}
    return value if isinstance(value, dict) else None


def _read_oddly(text: str) -> list[object]:
    """Return the values in a line that does not hold exactly one: a slow path, rarely taken."""
    try:
        return list(_values(text.strip(" \t\r")))
    except (ValueError, RecursionError):
        return [text]


def _values(text: str) -> Iterator[object]:
    place = 0
    while place < len(text):
        value, place = _decode_one(text, place)
        yield value
        while text[place : place + 1] in _BLANKS:
            place += 1


def _to_number(text: str) -> float:
    try:
        return int(text)
    except ValueError:
        # Python refuses to parse thousands of digits as an int; jq reads them as a float.
        return float(text)


_decode: Final = json.JSONDecoder().decode
_decode_one: Final = json.JSONDecoder(parse_int=_to_number).raw_decode


def _is_deep(text: str, objects: list[Fields]) -> bool:
    # Deep nesting takes many brackets, and counting those is cheap.
    return text.count("{") + text.count("[") > MAX_DEPTH and _depth(objects) > MAX_DEPTH


def _depth(objects: list[Fields]) -> int:
    """Return how deep *objects* nest, level by level: recursion could hit Python's limit."""
    depth = 0
    level: list[_Container] = list(objects)
    while level:
        depth += 1
        level = [inner for outer in level for inner in _inner(outer)]
    return depth


def _inner(outer: _Container) -> list[_Container]:
    inside = outer.values() if isinstance(outer, dict) else outer
    return [value for value in inside if isinstance(value, dict | list)]
