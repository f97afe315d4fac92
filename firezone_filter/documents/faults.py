"""The faults of a document: what is wrong, and where.

Readers report faults as they find them; they are raised together, in the order of the
document, so that its author can correct all of them at once. Beyond the first hundred they are
only counted: a document of a million faults must cost no more than one of a million fields.
"""

import json
from collections.abc import Callable, Hashable, Iterable, Mapping
from functools import partial
from typing import Final

from attrs import frozen

from firezone_filter.values.errors import FirezoneFilterError, InvalidPolicy
from firezone_filter.values.times import is_finite

MAX_FAULTS: Final = 100
"""The most faults that an error lists; it says how many more there are."""

MAX_SHOWN: Final = 80
"""The longest part of a text that a fault quotes, in characters."""

_MAX_FAULT: Final = 400
"""The longest fault, in characters: the library's errors, which become faults, quote their
values in full."""


# --- Places -------------------------------------------------------------------------------


@frozen(eq=False)
class Place:
    """The path to a value: `clients[0].authorizations[2].resource`."""

    parent: "Place | None" = None
    """The object or list that holds the value; `None` for the whole document."""

    step: object = None
    """The name of its field, or its index in a list."""

    order: int = 0
    """The number of siblings before it."""

    def __str__(self) -> str:
        path = "".join(place.last_step() for place in self._way())
        return path.removeprefix(".") or "document"

    def position(self) -> tuple[int, ...]:
        """Return a key that sorts places in the order of the document."""
        return tuple(place.order for place in self._way())

    def last_step(self) -> str:
        """Return the last part of the path: `.resource` or `[0]`."""
        if isinstance(self.step, str) and self.step.isidentifier():
            return f".{self.step}"
        return f"[{quoted(self.step)}]"

    def _way(self) -> list["Place"]:
        """Return the places on the path, outermost first, without the document itself."""
        way, place = [], self
        while place.parent is not None:
            way.append(place)
            place = place.parent
        return way[::-1]


def quoted(value: object) -> str:
    """Return *value* as faults quote it: short, and on one line."""
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, str):
        return repr(value) if len(value) <= MAX_SHOWN else f"{value[:MAX_SHOWN]!r}…"
    if isinstance(value, int) and is_non_finite(value):
        return "an integer of too many digits"  # Python refuses to write out very long ones
    if value is None or isinstance(value, int | float):
        return json.dumps(value)
    return f"a Python {type(value).__name__}"


def is_non_finite(value: object) -> bool:
    """Tell whether *value* is a number that is not finite: NaN, or beyond every float."""
    return isinstance(value, int | float) and not is_finite(value)


# --- Faults -------------------------------------------------------------------------------

Text = str | Callable[[], str]
"""The text of a fault, or a function that writes it: of most faults nobody reads it."""


@frozen(eq=False)
class _Fault:
    position: tuple[int, ...]
    place: Place
    what: Text
    value: object
    cause: FirezoneFilterError | None

    def line(self) -> str:
        what = self.what if isinstance(self.what, str) else self.what()
        return f"{self.place}: {_shortened(what)}"


def _shortened(what: str) -> str:
    return what if len(what) <= _MAX_FAULT else f"{what[:_MAX_FAULT]}…"


@frozen(eq=False)
class Occurrence:
    """A place where a key stands that must be unique, or have one meaning, in its scope."""

    place: Place

    value: object
    """The value as it is written there."""

    meaning: Hashable = None
    """The meaning of the key at this place; `None` if it must not stand anywhere else at all."""

    def contradicts(self, other: "Occurrence") -> bool:
        """Tell whether the two occurrences cannot both stand."""
        return self.meaning is None or self.meaning != other.meaning


class Faults:
    """The faults of one document: the first `MAX_FAULTS`, and the number of the others."""

    def __init__(self) -> None:
        self._total = 0
        # Twice as many as are reported at most, so that sorting them is rare.
        self._kept: list[_Fault] = []
        # No fault from here on is one of the first; `None` as long as there are too few.
        self._end: tuple[int, ...] | None = None
        self._occurrences: dict[tuple[Hashable, Hashable], list[Occurrence]] = {}

    def add(
        self, place: Place, what: Text, value: object, cause: FirezoneFilterError | None = None
    ) -> None:
        """Report a fault.

        Args:
            place: where it is.
            what: what is wrong, to be read after the place.
            value: the faulty value.
            cause: the error of the library that found the fault, if one did.
        """
        self._total += 1
        position = place.position()
        if self._end is not None and position >= self._end:
            return
        # The library's errors quote their values in full.
        text = _shortened(what) if isinstance(what, str) else what
        self._kept.append(_Fault(position, place, text, value, cause))
        if len(self._kept) == 2 * MAX_FAULTS:
            self._kept = self._in_order()
            self._end = self._kept[-1].position

    def add_unlisted(self, number: int) -> None:
        """Count faults that stand behind `MAX_FAULTS` others, so that no error will list them."""
        self._total += number

    def require_unique(self, scope: Hashable, key: Hashable, occurrence: Occurrence) -> None:
        """Note an occurrence of *key* in *scope*.

        Each later occurrence that contradicts the first, in the order of the document, is a
        fault.
        """
        self._occurrences.setdefault((scope, key), []).append(occurrence)

    def __bool__(self) -> bool:
        return self._total > 0 or any(True for _ in self._conflicts())

    def raise_if_any(self) -> None:
        """Raise one error with the faults, if there are any.

        Raises:
            InvalidPolicy: there are faults. It lists the first `MAX_FAULTS` in the order of
                the document, then how many more there are; its value and its cause are those
                of the first.
        """
        for one, first in self._conflicts():
            self.add(one.place, partial(_conflict, one, first), one.value)
        self._occurrences.clear()
        listed = self._in_order()
        if listed:
            lines = tuple(fault.line() for fault in listed)
            more = self._total - len(listed)
            if more:
                lines += (f"and {more:,} more fault{'s' if more > 1 else ''}",)
            raise InvalidPolicy("\n".join(lines), listed[0].value, lines) from listed[0].cause

    def _in_order(self) -> list[_Fault]:
        return sorted(self._kept, key=lambda fault: fault.position)[:MAX_FAULTS]

    def _conflicts(self) -> Iterable[tuple[Occurrence, Occurrence]]:
        """Yield each occurrence that contradicts the first of its key, and that first one."""
        for occurrences in self._occurrences.values():
            if len(occurrences) == 1:
                continue
            first, *others = sorted(occurrences, key=lambda one: one.place.position())
            for one in others:
                if one.contradicts(first):
                    yield one, first


def _conflict(one: Occurrence, first: Occurrence) -> str:
    before = "" if first.meaning is None else f", for {quoted(first.meaning)}"
    return f"{quoted(one.value)} is already {first.place}{before}"
