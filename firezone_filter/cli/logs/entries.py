"""Parses the lines of a log.

A line is read as jq reads it: it may hold several values, `null` is an object without fields,
and bytes that are not UTF-8 become U+FFFD. A line at which jq stops is an entry without fields.
"""

import json
from collections.abc import Iterator
from typing import Final, NamedTuple

from firezone_filter.cli.logs.splitter import Piece
from firezone_filter.cli.logs.time_keys import NO_TIME, time_key

MAX_DEPTH: Final = 255
"""How deep objects and arrays may nest: jq's limit, and well within Python's."""

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


class EntryReader:
    """Turns the lines of one file into entries."""

    __slots__ = ("_key", "_source")

    def __init__(self, source: str) -> None:
        self._source = source
        self._key = NO_TIME

    def read(self, piece: Piece) -> Iterator[Entry]:
        """Yield the entries of a line: usually one, and none for a blank line."""
        objects = read_objects(piece)
        if objects is None:
            yield Entry(self._source, piece, None, self._key)
            return
        for fields in objects:
            time = fields.get("time")
            if isinstance(time, str) and (key := time_key(time)) is not None:
                self._key = key
            yield Entry(self._source, piece, fields, self._key)


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
