"""The remembered ends of one client's sessions, which name the refusals of late packets."""

from bisect import bisect_left
from typing import Final

from firezone_filter.structures.heaps import NO_PLACE
from firezone_filter.structures.upkeep import Keeper, UpkeepQueue

MAX_REMEMBERED: Final = 4_096
"""Remembered ends of one client: as many as it may have decisions in the flow cache for one
direction."""

REMEMBERED_FOR: Final = 240
"""Seconds for which an end is remembered: TIME-WAIT, twice the maximum segment lifetime
(RFC 9293, section 3.4.2). A later packet does not belong to that connection."""

ReverseKey = tuple[int, int, bytes]
"""Protocol, the translated port or echo id, real address."""


class RememberedEnds:
    """When the last sessions of a client ended by their own rules, by reverse key.

    Upkeep may come to an end later than to another that is later itself, so each is put in its
    place: among 4,096 that takes 2 µs.
    """

    __slots__ = ("_cleanup", "_in_order", "deadline", "moments")

    def __init__(self, cleanup: UpkeepQueue[Keeper]) -> None:
        """Begin without any; *cleanup* has those forgotten that are too old."""
        self.moments: dict[ReverseKey, float] = {}
        """The moments by key; only this class may change the dict."""
        self._in_order: list[tuple[float, ReverseKey]] = []
        self._cleanup = cleanup
        self.deadline: int = NO_PLACE

    def __len__(self) -> int:
        return len(self.moments)

    def __contains__(self, key: ReverseKey) -> bool:
        """Tell whether an end is remembered, perhaps for too long by now."""
        return key in self.moments

    def real_addresses(self) -> set[bytes]:
        """Return the real addresses of the ends that are remembered."""
        return {real for _, _, real in self.moments}

    def moment(self, key: ReverseKey) -> float | None:
        """Return when the session ended, perhaps too long ago; `None` if it is not known."""
        return self.moments.get(key)

    def remember(self, key: ReverseKey, at: float) -> None:
        """Remember an end of which none is remembered yet; the earliest of too many goes."""
        entry = (at, key)
        place = bisect_left(self._in_order, entry)
        self._in_order.insert(place, entry)
        self.moments[key] = at
        if len(self._in_order) > MAX_REMEMBERED:
            self._forget_first()
        elif not place:
            self._cleanup.announce(self, at + REMEMBERED_FOR)

    def discard(self, key: ReverseKey) -> None:
        """Forget an end: another session has its key."""
        at = self.moments.pop(key, None)
        if at is not None:
            del self._in_order[bisect_left(self._in_order, (at, key))]

    def due(self) -> float | None:
        """Return when the first end is to be forgotten; `None` if there is none."""
        return self._in_order[0][0] + REMEMBERED_FOR if self._in_order else None

    def forget(self, now: float, most: int) -> int:
        """Forget up to *most* ends older than 240 s; return how many steps it took."""
        steps = 0
        while steps < most and self._in_order and now >= self._in_order[0][0] + REMEMBERED_FOR:
            self._forget_first()
            steps += 1
        if not self.moments:
            self.moments.clear()  # or it would keep the memory of all that it ever had
        return steps

    def _forget_first(self) -> None:
        _, key = self._in_order.pop(0)
        del self.moments[key]

    def close(self) -> None:
        """Forget them all: the client has gone."""
        self.moments.clear()
        self._in_order.clear()
        self._cleanup.set(self, None)

    def shift_clock(self, by: float) -> None:
        """Move every moment by so many seconds: the host's clock has been set, or has begun."""
        self.moments = {key: at + by for key, at in self.moments.items()}
        self._in_order = sorted((at, key) for key, at in self.moments.items())
