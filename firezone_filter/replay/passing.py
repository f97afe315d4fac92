"""Time that passes while a gateway is asked about nothing.

A gateway refuses a time more than 50 years after the latest that it was told, and so does the
clock of a capture from one frame to the next. But not all frames are packets of clients, and a
partition sees those of its own clients alone: two packets of clients may be further apart than two
frames.
"""

from typing import Final

from attrs import define

from firezone_filter.gateway.gateway import Gateway
from firezone_filter.values.times import MAX_AHEAD

FAR: Final = MAX_AHEAD / 2
"""The seconds that pass at a time, at most."""


@define
class Passing:
    """Tells a gateway of times in between."""

    _gateway: Gateway
    told: float
    """No later than the latest time that the gateway was told, or is told next."""

    def is_far(self, now: float) -> bool:
        """Return whether the gateway has to be told of times before *now*."""
        return now - self.told > FAR

    def set_clock(self, now: float) -> None:
        """Set the gateway's clock."""
        self.told = now
        self._gateway.clock_set(now)

    def reach(self, now: float) -> None:
        """Let the gateway's time come so near to *now* that it can be told that, as it is next."""
        while self.is_far(now):
            self.told += FAR
            self._gateway.handle_timeout(self.told)
        self.told = max(self.told, now)
