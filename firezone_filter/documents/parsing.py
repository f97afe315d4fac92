"""JSON text, parsed and checked, then handed to a reader; all faults are raised at once."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, TypeVar

from firezone_filter.documents.faults import Faults, Place, is_non_finite, quoted
from firezone_filter.documents.nodes import Fields, Node
from firezone_filter.values.errors import InvalidPolicy, shown

T = TypeVar("T")

MAX_DEPTH: Final = 64
"""The deepest nesting of a document. A policy has 8 levels; the rest is for fields that the
portal may add to its objects and nothing here reads. A fixed limit, so that no document's
validity depends on how much of the interpreter's stack is left."""

_MAX_DIGITS: Final = 400
"""The longest integer, in digits. The largest float has 309, and Python refuses to convert
integers of very many."""


def read_document(
    source: str | bytes | Mapping[str, object], read: Callable[[Node], T | None]
) -> T:
    """Parse a document and return the meaning that *read* gives to it.

    Args:
        source: JSON text (`bytes`: UTF-8; a byte order mark is ignored), or the mapping
            that was parsed from it.
        read: the reader of the whole document.

    Raises:
        InvalidPolicy: anything is wrong with the document; it lists the faults.
        TypeError: *source* is of another type.
    """
    return read_parsed(parse(source), read)


def read_parsed(parsed: object, read: Callable[[Node], T | None]) -> T:
    """Return the meaning that *read* gives to a document that has been parsed.

    Raises:
        InvalidPolicy: anything is wrong with the document; it lists the faults.
    """
    document = Node(parsed, Place(), Faults())
    _report_unsound(document)
    value = read(document)
    document.faults.raise_if_any()
    if value is None:
        # Fail closed: a reader that failed without reporting a fault lets nothing out either.
        raise InvalidPolicy("document: cannot be read", None)
    return value


def parse(source: str | bytes | Mapping[str, object]) -> object:
    """Parse JSON text; a mapping is returned as it is.

    Raises:
        InvalidPolicy: it is not JSON in UTF-8.
        TypeError: *source* is of another type.
    """
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
            text.removeprefix("\ufeff"), object_pairs_hook=JsonObject, parse_int=_to_int
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


class JsonObject(dict[object, object]):
    """A JSON object that remembers which of its names stand there more than once."""

    def __init__(self, pairs: Iterable[tuple[str, object]]) -> None:
        super().__init__()
        self.repeated: set[str] = set()
        for name, value in pairs:
            if name in self:
                self.repeated.add(name)
                del self[name]  # so that its last place counts
            self[name] = value


def _to_int(digits: str) -> float:
    # Floats take any number of digits: a number out of range becomes infinite, and is
    # reported as such.
    return int(digits) if len(digits) <= _MAX_DIGITS else float(digits)


def _report_unsound(document: Node) -> None:
    """Report values that no document may hold anywhere, not even in fields that are ignored.

    These are numbers that are not finite, too many levels of nesting, and names that stand
    twice in an object: JSON readers differ in which of the two they take, so that a policy
    reviewed with one reader could permit more with another (RFC 8259, section 4).
    """
    seen: dict[int, object] = {}
    # From the outermost object to the innermost, what is left of each: a list of all that
    # waits would be as long as the document.
    inside = [iter((document,))]
    while inside:
        node = next(inside[-1], None)
        if node is None:
            inside.pop()
        elif is_non_finite(node.value):
            node.fault(f"{quoted(node.value)} is outside the range of numbers")
        elif len(inside) > MAX_DEPTH + 1:
            node.fault("nested too deeply")
        # A parsed mapping may hold an object twice, or even itself.
        elif id(node.value) not in seen:
            seen[id(node.value)] = node.value
            _report_repeated(node)
            inside.append(_suspects(node))


def _report_repeated(node: Node) -> None:
    if isinstance(node.value, JsonObject) and node.value.repeated:
        fields = Fields(node, node.value)
        for name in node.value.repeated:
            fields.require(name).fault("given more than once")


def _suspects(node: Node) -> Iterator[Node]:
    """Yield the values inside a value, without those that cannot be unsound."""
    for order, (step, item) in enumerate(_items(node.value)):
        if isinstance(item, Mapping | list | tuple) or is_non_finite(item):
            yield node.child(step, order, item)


def _items(value: object) -> Iterable[tuple[object, object]]:
    if isinstance(value, Mapping):
        return value.items()
    return enumerate(value) if isinstance(value, list | tuple) else ()
