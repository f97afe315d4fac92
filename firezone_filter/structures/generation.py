"""Generations: invalidating any number of prepared objects in one step."""

from typing import Final

from firezone_filter.compiled.twins import compiled


@compiled
class Generation:
    """A number that grows with each change of something that prepared objects depend on.

    Each object keeps the number at which it was made, and is out of date at any other. That
    takes constant time, where finding and removing the objects takes time for each of them.
    """

    __slots__ = ("number",)

    def __init__(self) -> None:
        self.number: int = 0


NEVER_OUTDATED: Final = Generation()
"""The generation of objects that are never out of date in this way: it never moves on."""
