"""From JSON text to what a reader makes of it, or to all the faults at once."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, TypeVar

from firezone_filter.documents.faults import Faults, Place, is_non_finite, quoted
from firezone_filter.documents.nodes import Fields, Node
from firezone_filter.values.errors import InvalidPolicy, shown

T = TypeVar("T")

MAX_DEPTH: Final = 64
"""Levels of nesting. A policy has 8; the rest is for what the portal may add to its objects,
which is not read. The limit holds whatever is left of the interpreter's stack."""

_MAX_DIGITS: Final = 400
"""Of an integer. The largest float has 309; Python refuses to convert very many."""


def read_document(
    source: str | bytes | Mapping[str, object], read: Callable[[Node], T | None]
) -> T:
    """Return what *read* makes of a document.

    Args:
        source: JSON text (`bytes`: UTF-8; a byte order mark is ignored), or what was parsed
            from it.
        read: the reader of the whole document.

    Raises:
        InvalidPolicy: with all the faults.
        TypeError: another type of *source*.
    """
    document = Node(_parse(source), Place(), Faults())
    _report_unsound(document)
    value = read(document)
    document.faults.raise_if_any()
    if value is None:
        # Fail closed: a reader that failed without reporting a fault lets nothing out either.
        raise InvalidPolicy("document: cannot be read", None)
    return value


def _parse(source: str | bytes | Mapping[str, object]) -> object:
    if isinstance(source, Mapping):
        return source
    text = _decode(source) if isinstance(source, bytes) else source
    if not isinstance(text, str):
        raise TypeError(
            "nothing is opened here: hand in the text of the file (str or bytes), or a parsed "
            f"mapping, not {shown(source)}"
        )
    try:
        return json.loads(
            text.removeprefix("\ufeff"), object_pairs_hook=_Object, parse_int=_to_int
        )
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise InvalidPolicy(f"{place}: {error.msg}", source) from None
    except RecursionError:
        raise InvalidPolicy("document: nested too deeply", source) from None


def _decode(source: bytes) -> str:
    try:
        return source.decode()
    except UnicodeDecodeError as error:
        line = source.count(b"\n", 0, error.start) + 1
        column = error.start - source.rfind(b"\n", 0, error.start)
        raise InvalidPolicy(f"line {line}, column {column}: not UTF-8", source) from None


class _Object(dict[object, object]):
    """A JSON object that remembers which names were given to it more than once."""

    def __init__(self, pairs: Iterable[tuple[str, object]]) -> None:
        super().__init__()
        self.repeated: set[str] = set()
        for name, value in pairs:
            if name in self:
                self.repeated.add(name)
                del self[name]  # so that it stands where it stood last
            self[name] = value


def _to_int(digits: str) -> float:
    # A float takes any number of digits; beyond its range it is infinite, and reported.
    return int(digits) if len(digits) <= _MAX_DIGITS else float(digits)


def _report_unsound(document: Node) -> None:
    """Report what no document may hold anywhere, also where nobody reads it.

    Names given twice: readers differ in which one they take, so that one of them could
    permit what another one has seen refused (RFC 8259, section 4). Numbers that are not
    finite, and too many levels.
    """
    seen: dict[int, object] = {}
    waiting = [(document, 0)]
    while waiting:
        node, depth = waiting.pop()
        if is_non_finite(node.value):
            node.fault(f"{quoted(node.value)} is outside the range of numbers")
        elif depth > MAX_DEPTH:
            node.fault("nested too deeply")
        # A parsed mapping may hold an object twice, or even itself.
        elif id(node.value) not in seen:
            seen[id(node.value)] = node.value
            _report_repeated(node)
            waiting += [(child, depth + 1) for child in _suspects(node)]


def _report_repeated(node: Node) -> None:
    if isinstance(node.value, _Object):
        fields = Fields(node, node.value)
        for name in node.value.repeated:
            fields.require(name).fault("given more than once")


def _suspects(node: Node) -> Iterator[Node]:
    """Yield what is inside a value, but for what cannot be unsound."""
    for order, (step, item) in enumerate(_items(node.value)):
        if isinstance(item, Mapping | list | tuple) or is_non_finite(item):
            yield node.child(step, order, item)


def _items(value: object) -> Iterable[tuple[object, object]]:
    if isinstance(value, Mapping):
        return value.items()
    return enumerate(value) if isinstance(value, list | tuple) else ()
