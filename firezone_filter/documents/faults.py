"""What is wrong with a document, and where in it."""

import json
from collections.abc import Hashable, Iterable, Mapping
from typing import Final

from attrs import frozen

from firezone_filter.values.errors import FirezoneFilterError, InvalidPolicy
from firezone_filter.values.times import is_finite

_MAX_SHOWN: Final = 80
"""Characters of a text that a fault quotes."""

_MAX_FAULT: Final = 400
"""Characters of a fault. Errors of the library quote what they are about in full."""


# --- Where --------------------------------------------------------------------------------


@frozen(eq=False)
class Place:
    """Where a value stands: `clients[0].authorizations[2].resource`."""

    parent: "Place | None" = None
    """The object or list around it; `None` for the whole document."""

    step: object = None
    """The name of the field, or the index in the list."""

    order: int = 0
    """How many of the siblings stand before it."""

    def __str__(self) -> str:
        path = "".join(place.last_step() for place in self._way())
        return path.removeprefix(".") or "document"

    def position(self) -> tuple[int, ...]:
        """Return what sorts places as they stand in the document."""
        return tuple(place.order for place in self._way())

    def last_step(self) -> str:
        """Return the step from the parent, as it is written in a path."""
        if isinstance(self.step, str) and self.step.isidentifier():
            return f".{self.step}"
        return f"[{quoted(self.step)}]"

    def _way(self) -> list["Place"]:
        """Return the places from the document (without it) down to this one."""
        way, place = [], self
        while place.parent is not None:
            way.append(place)
            place = place.parent
        return way[::-1]


def quoted(value: object) -> str:
    """Return *value* as a fault quotes it: on one line, and a short one."""
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, str):
        return repr(value) if len(value) <= _MAX_SHOWN else f"{value[:_MAX_SHOWN]!r}…"
    if isinstance(value, int) and is_non_finite(value):
        return "an integer of too many digits"  # Python refuses to write very long ones out
    if value is None or isinstance(value, int | float):
        return json.dumps(value)
    return f"a Python {type(value).__name__}"


def is_non_finite(value: object) -> bool:
    """Tell whether *value* is a number, and not a finite one: NaN, or beyond every float."""
    return isinstance(value, int | float) and not is_finite(value)


# --- What is wrong ------------------------------------------------------------------------


@frozen(eq=False)
class _Fault:
    place: Place
    what: str
    value: object
    cause: FirezoneFilterError | None = None


@frozen(eq=False)
class Occurrence:
    """That something stands at a place, and may not mean anything else at another one."""

    place: Place

    value: object
    """What is written there."""

    meaning: Hashable = None
    """What it means there; `None` for what may not stand at any other place at all."""

    def contradicts(self, other: "Occurrence") -> bool:
        """Tell whether both cannot hold."""
        return self.meaning is None or self.meaning != other.meaning


class Faults:
    """All that is wrong with one document."""

    def __init__(self) -> None:
        self._faults: list[_Fault] = []
        self._occurrences: dict[tuple[Hashable, Hashable], list[Occurrence]] = {}

    def add(
        self, place: Place, what: str, value: object, cause: FirezoneFilterError | None = None
    ) -> None:
        """Report a fault; *cause* is the error of the library that says so, if one does."""
        shortened = what if len(what) <= _MAX_FAULT else f"{what[:_MAX_FAULT]}…"
        self._faults.append(_Fault(place, shortened, value, cause))

    def require_unique(self, scope: Hashable, key: Hashable, occurrence: Occurrence) -> None:
        """Note that *key* stands at a place in this *scope*.

        Every place that contradicts the first one is a fault.
        """
        self._occurrences.setdefault((scope, key), []).append(occurrence)

    def __bool__(self) -> bool:
        return bool(self._faults) or any(True for _ in self._conflicts())

    def raise_if_any(self) -> None:
        """Raise all the faults at once.

        Raises:
            InvalidPolicy: with the faults in the order of the document, and the cause of the
                first.
        """
        faults = sorted(
            (*self._faults, *self._conflicts()), key=lambda fault: fault.place.position()
        )
        if faults:
            lines = tuple(f"{fault.place}: {fault.what}" for fault in faults)
            raise InvalidPolicy("\n".join(lines), faults[0].value, lines) from faults[0].cause

    def _conflicts(self) -> Iterable[_Fault]:
        for occurrences in self._occurrences.values():
            if len(occurrences) == 1:
                continue
            first, *others = sorted(occurrences, key=lambda one: one.place.position())
            before = "" if first.meaning is None else f", for {quoted(first.meaning)}"
            for one in others:
                if one.contradicts(first):
                    what = f"{quoted(one.value)} is already {first.place}{before}"
                    yield _Fault(one.place, what, one.value)
