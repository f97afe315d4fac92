"""Lanes: queues that any element can leave, or go to the end of, in constant time."""

from typing import Generic, TypeVar, cast

from firezone_filter.compiled.twins import compiled


@compiled
class Link:
    """An element that may be in one lane at a time. It holds its neighbours' references.

    An `OrderedDict` would do the same at 100 bytes an element, where this takes 16. Elements in
    a lane form cycles of references, which end when they are unlinked: so unlink what is done
    with, and reference counting frees it.
    """

    __slots__ = ("after", "before")

    def __init__(self) -> None:
        self.before: Link | None = None
        self.after: Link | None = None
        """Its neighbours; `None` if it is in no lane."""

    def unlink(self) -> None:
        """Leave the lane; no effect if it is in none."""
        before, after = self.before, self.after
        if before is not None and after is not None:
            before.after, after.before = after, before
            self.before = self.after = None


L = TypeVar("L", bound=Link)


@compiled
class Lane(Link, Generic[L]):
    """A queue of links; it is itself the link between its last and its first."""

    __slots__ = ()

    before: Link
    after: Link

    def __init__(self) -> None:
        self.before = self.after = self

    @property
    def first(self) -> L | None:
        """The first element; `None` if there is none."""
        after = self.after
        return None if after is self else cast("L", after)

    def append(self, link: L) -> None:
        """Put an element at the end, taking it out of the lane in which it is, if any."""
        if link.after is not None:
            link.unlink()
        last = self.before
        last.after = self.before = link
        link.before, link.after = last, self
