"""What is permitted on one side only: two shapes, laid over each other.

Clients have few different pairs of shapes, so each is worked out once (`Differences`).
"""

from collections.abc import Iterator
from typing import Final, NamedTuple, final

from firezone_filter.policy.analysis.boxes import Facet, to_facets
from firezone_filter.policy.analysis.shapes import Part, Shape, first_unnamed, ranges_of

FIRST: Final = 0
"""The place of the candidate that is asked first, if there is one: it refuses what none
permits."""


@final
class Sides(NamedTuple):
    """Which way something has changed, and who answers on both sides."""

    gained: bool
    """Whether the second side permits it; otherwise the first does."""

    before: int
    """The place of the candidate that answers on the first side, if there is any."""

    after: int
    """The same of the second side."""


Change = tuple[Facet, Sides]


@final
class Side(NamedTuple):
    """One side: what is permitted, and what would be if there were a translation."""

    shape: Shape
    would: Shape


@final
class Differences:
    """Compares sides; equal pairs of them are compared once."""

    def __init__(self) -> None:
        self._found: dict[tuple[int, Side, Side], list[Change]] = {}

    def between(self, version: int, before: Side, after: Side) -> list[Change]:
        """Return what only one of two sides permits.

        A change of protocol `None` leaves out what either side's `shape` names.

        Args:
            version: the IP version of the addresses.
            before: the first side.
            after: the second side.
        """
        key = version, before, after
        found = self._found.get(key)
        if found is None:
            found = self._found[key] = _compare(version, before, after)
        return found


def _compare(version: int, before: Side, after: Side) -> list[Change]:
    named = before.shape.named | after.shape.named
    parts: list[tuple[int | None, int, int, Sides]] = [
        part
        for protocol in sorted(named)
        for first, end in ranges_of(version, protocol)
        for part in _overlay(version, protocol, first, end, before, after)
    ]
    old, new = before.shape.rest, after.shape.rest
    if (old is None) != (new is None) and first_unnamed(version, named) is not None:
        sides = Sides(
            gained=old is None,
            before=FIRST if old is None else old.place,
            after=FIRST if new is None else new.place,
        )
        parts.append((None, 0, 1, sides))
    return to_facets(version, parts, named)


def _overlay(  # noqa: PLR0913, PLR0917 - the numbers, and both sides
    version: int, protocol: int, first: int, end: int, before: Side, after: Side
) -> Iterator[tuple[int, int, int, Sides]]:
    """Yield the parts of some numbers of a protocol that only one side permits."""
    cuts = {first, end}
    for shape in (*before, *after):
        for part in shape.parts:
            if part.protocol == protocol:
                cuts.update(cut for cut in (part.first, part.after) if first < cut < end)
    ascending = sorted(cuts)
    start: int | None = None
    sides: Sides | None = None
    for cut in ascending[:-1]:
        found = _sides(version, protocol, cut, before, after)
        if found != sides:
            if sides is not None and start is not None:
                yield protocol, start, cut, sides
            start, sides = cut, found
    if sides is not None and start is not None:
        yield protocol, start, end, sides


def _sides(version: int, protocol: int, number: int, before: Side, after: Side) -> Sides | None:
    """Return who answers for a packet, if only one side permits it."""
    old = before.shape.find(version, protocol, number)
    new = after.shape.find(version, protocol, number)
    if (old is None) == (new is None):
        return None
    # What would be permitted, were there a translation, is refused by that same candidate.
    first = old or before.would.find(version, protocol, number)
    second = new or after.would.find(version, protocol, number)
    return Sides(gained=old is None, before=_place(first), after=_place(second))


def _place(part: Part | None) -> int:
    return FIRST if part is None else part.place
