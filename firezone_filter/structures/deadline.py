"""Deadlines: the moments before which there is nothing to do."""

import math

from firezone_filter.compiled.twins import compiled


@compiled
class Deadline:
    """What has nothing to do before a moment. Whoever comes earlier need not ask it."""

    __slots__ = ("next",)

    def __init__(self) -> None:
        self.next: float = math.inf
        """Nothing is due before this moment, which may be early."""
