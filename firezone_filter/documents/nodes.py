"""A parsed document as readers see it: values that know their place.

A reader is a function that takes a `Node` and returns its meaning, or `None` after it has
reported a fault. Faults are collected rather than raised, so that one report lists them all.
This module knows nothing of the subject of the documents.
"""

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from difflib import get_close_matches
from functools import partial
from typing import Final, TypeVar

from attrs import frozen

from firezone_filter.documents.faults import (
    MAX_FAULTS,
    MAX_SHOWN,
    Faults,
    Occurrence,
    Place,
    Text,
    is_non_finite,
    quoted,
)
from firezone_filter.values.errors import FirezoneFilterError

S = TypeVar("S")
T = TypeVar("T")

_MISSING: Final = object()
"""The value of a missing field; that it is missing has been reported already."""


@frozen(eq=False)
class Node:
    """A value of the document, its place, and the list that takes its faults."""

    value: object
    place: Place
    faults: Faults

    def child(self, step: object, order: int, value: object) -> "Node":
        """Return the node of a value inside this one.

        Args:
            step: its field name or index.
            order: the number of siblings before it.
            value: the value.
        """
        return Node(value, Place(self.place, step, order), self.faults)

    def fault(self, what: Text, error: FirezoneFilterError | None = None) -> None:
        """Report a fault of this value, with the *error* of the library that found it, if any."""
        self.faults.add(self.place, what, self.value, error)

    def refuse(self, what: str) -> None:
        """Report a fault that begins with the quoted value, as in "`7` is not a text".

        Values whose fault has been reported already are skipped: missing fields, and numbers
        that are not finite.
        """
        if self.value is not _MISSING and not is_non_finite(self.value):
            self.fault(f"{quoted(self.value)} {what}")

    def require_unique(self, scope: Hashable, key: Hashable, meaning: Hashable = None) -> None:
        """Report a fault if *key* stands at another place of this *scope* too.

        The later place has the fault. With a *meaning*, only places where the key has another
        meaning count.
        """
        self.faults.require_unique(scope, key, Occurrence(self.place, self.value, meaning))

    def fields(self) -> "Fields | None":
        """Return the fields of an object, whatever others it has."""
        if isinstance(self.value, Mapping):
            return Fields(self, self.value)
        self.refuse("is not an object")
        return None

    def fields_only(self, *known: str, ignored: Sequence[str] = ()) -> "Fields | None":
        """Return the fields of an object; any but those *known* and *ignored* is a fault."""
        fields = self.fields()
        if fields is not None:
            fields.refuse_others(known, ignored)
        return fields

    def each(self, read: Callable[["Node"], T | None]) -> tuple[T, ...] | None:
        """Read each item of a list with *read*; return `None` if any of them is faulty."""
        if not isinstance(self.value, list | tuple):
            self.refuse("is not a list")
            return None
        # Read every item, even after a faulty one: each may have faults to report.
        results = [read(self.child(n, n, item)) for n, item in enumerate(self.value)]
        good = tuple(result for result in results if result is not None)
        return good if len(good) == len(results) else None

    def text(self, to: Callable[[str], T]) -> T | None:
        """Convert a text with *to*; an error of the library that it raises is a fault."""
        if not isinstance(self.value, str):
            self.refuse("is not a text")
            return None
        if not _is_unicode(self.value):
            self.refuse("is not Unicode: half of a surrogate pair")
            return None
        return self.attempt(to, self.value)

    def attempt(self, to: Callable[[S], T], argument: S) -> T | None:
        """Call *to* with *argument*; an error of the library is a fault of this value."""
        try:
            return to(argument)
        except FirezoneFilterError as error:
            self.fault(str(error), error)
            return None

    def one_of(self, choices: Mapping[str, T]) -> T | None:
        """Return the value of the text among the *choices*."""
        if isinstance(self.value, str) and self.value in choices:
            return choices[self.value]
        *others, last = (repr(choice) for choice in choices)
        self.refuse(f"is not {', '.join(others)} or {last}")
        return None

    def number(self, kind: str) -> float | None:
        """Return a finite number, unchanged; faults call it *kind*, as in "a time"."""
        value = self.value
        # `True` is an int in Python, but `true` as a number is a mistake.
        if not isinstance(value, int | float) or isinstance(value, bool):
            self.refuse(f"is not {kind}")
            return None
        return None if is_non_finite(value) else value

    def switch(self) -> bool | None:
        """Return `true` or `false`."""
        if isinstance(self.value, bool):
            return self.value
        self.refuse("is not true or false")
        return None

    def whole(
        self, kind: str, maximum: float = math.inf, *, with_fraction: bool = True
    ) -> int | None:
        """Return an integer from 0 to *maximum*; faults call it *kind*, as in "a port".

        Args:
            kind: what it is.
            maximum: the greatest.
            with_fraction: whether it may be written with a fraction of zero, as 443.0.
        """
        value = None
        if with_fraction or not isinstance(self.value, float):
            value = to_whole(self.value)
        if value is not None and 0 <= value <= maximum:
            return None if is_non_finite(value) else value
        self.refuse(f"is not {kind}")
        return None


class Fields:
    """The fields of an object, each with its place."""

    def __init__(self, node: Node, values: Mapping[object, object]) -> None:
        self.node = node
        self._values = values
        self._order = {name: n for n, name in enumerate(values)}

    def get(self, name: str) -> Node | None:
        """Return a field, or `None` if it is missing; `null` is a value like any other."""
        if name not in self._order:
            return None
        return self.node.child(name, self._order[name], self._values[name])

    def get_unless_null(self, name: str) -> Node | None:
        """Return a field, or `None` if it is missing or `null`."""
        node = self.get(name)
        return None if node is None or node.value is None else node

    def require(self, name: str) -> Node:
        """Return a field; if it is missing, report that, and nothing else about it later."""
        node = self.get(name)
        if node is None:
            # Missing fields sort behind all others of the object.
            node = self.node.child(name, len(self._order), _MISSING)
            self.node.faults.add(node.place, "is missing", self.node.value)
        return node

    def without(self, names: Sequence[str]) -> "Fields":
        """Return the fields without those of some *names*, which count as missing."""
        kept = {name: value for name, value in self._values.items() if name not in names}
        return Fields(self.node, kept)

    def refuse_others(self, known: Sequence[str], ignored: Sequence[str] = ()) -> None:
        """Report each field of another name, with the name that it resembles.

        Args:
            known: the names of the fields that are read.
            ignored: the names of fields that nobody reads, but that may stand here.
        """
        unknown = 0
        for name, order in self._order.items():
            if name not in known and name not in ignored:
                unknown += 1
                if unknown <= MAX_FAULTS:
                    node = self.node.child(name, order, name)
                    node.fault(partial(_unknown_field, name, known, ignored))
        self.node.faults.add_unlisted(max(0, unknown - MAX_FAULTS))


def _unknown_field(name: object, known: Sequence[str], ignored: Sequence[str]) -> str:
    # Comparing texts takes time in proportion to their length, and no field has a long name.
    near = (
        get_close_matches(name.lower(), (*known, *ignored), n=1)
        if isinstance(name, str) and len(name) <= MAX_SHOWN
        else ()
    )
    meant = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
    return f"unknown field, {meant}"


def to_whole(value: object) -> int | None:
    """Return a whole number as an integer, also one that is written with a fraction of zero.

    JSON has one kind of number: 443.0 is 443 (JSON Schema, "integer"), and some writers of JSON
    write it so.
    """
    # `True` is an int in Python, but `true` as a number is a mistake.
    if isinstance(value, bool):
        return None
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) else None


def build_if_complete(make: Callable[..., T], **parts: object) -> T | None:
    """Call *make* with the parts, or return `None` if a part is faulty, which is `None`."""
    faulty = any(part is None for part in parts.values())
    return None if faulty else make(**parts)


def _is_unicode(text: str) -> bool:
    """Tell whether *text* can be encoded, as reports and logs have to."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
