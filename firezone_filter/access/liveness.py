"""Liveness by time: which authorizations are over, though not withdrawn yet.

Withdrawing takes steps, which follow later; but what is over is over at once (rules.md,
section 3, rule 5). So whoever chooses between resources in the meantime skips those, and an index
drops for good those that it has met. At a moment that has not come, and may never, nothing must
be dropped: there `Foresight` tells the same and keeps them.
"""

from collections.abc import Mapping
from typing import Protocol

from firezone_filter.structures.names import ManyNames


class HasExpiry(Protocol):
    """Something that ends at some time."""

    @property
    def expires_at(self) -> float | None:
        """When it ends, in seconds; `None` for never."""


class Liveness:
    """The authorizations of one client at one moment, by resource id.

    One that is over never lives again: whoever extends or replaces it withdraws it first.
    """

    __slots__ = ("_authorizations", "_now")

    drops = True
    """Whether those that are over may be dropped from wherever they were met."""

    def __init__(self, authorizations: Mapping[str, HasExpiry], now: float) -> None:
        self._authorizations = authorizations
        self._now = now

    def is_over(self, resource_id: str) -> bool:
        """Tell whether the authorization for a resource is over."""
        expires_at = self._authorizations[resource_id].expires_at
        return expires_at is not None and self._now >= expires_at

    def living(self, ids: list[str], count: int) -> int:
        """Return how many of the first *count* ids are left without those at the end, if over."""
        # Ten thousand may end at one moment, and one packet finds out: this loop takes a third of
        # the time that a call of `is_over` for each would take.
        authorizations, now = self._authorizations, self._now
        while count:
            expires_at = authorizations[ids[count - 1]].expires_at
            if expires_at is None or now < expires_at:
                break
            count -= 1
        return count

    def greatest(self, ids: ManyNames) -> str | None:
        """Return the greatest id that is not over, and drop those that are greater."""
        while ids:
            left = self.living(ids, len(ids))
            if left == len(ids):
                break
            ids.drop(left)
        return ids[-1] if ids else None


class Foresight(Liveness):
    """The same at a moment that is only asked about: everything stays where it is."""

    __slots__ = ()

    drops = False

    def greatest(self, ids: ManyNames) -> str | None:
        """Return the greatest id that is not over."""
        return next((one for one in ids.descending() if not self.is_over(one)), None)
