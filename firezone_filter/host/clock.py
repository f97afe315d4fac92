"""The machine's clock, and when somebody has set it.

The library's times are Unix times, since policies have those: it has to be told if the clock has
been set, or what lasts some seconds would end at once, or for a long time not at all.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Final

TOLERANCE: Final = 1.0
"""Seconds. A smaller step does nothing that matters, and a leap second is none."""

_AT_ONCE: Final = 0.1  # seconds in which two clocks are read that are to be compared
_TRIES: Final = 10


since_boot: Final = partial(time.clock_gettime, time.CLOCK_BOOTTIME)
"""Returns seconds of a clock that nobody can set, and that goes on while a machine sleeps.

No function of its own: it is called for every packet.
"""


class Clock:
    """Returns Unix time; if the clock has been set, it says so before it returns.

    So no packet is decided about, and nothing ends, by a time that the gateway has not been told
    of.

    Args:
        on_step: called with the time as it has been set, and by how many seconds it was.
        wall: returns Unix time, in seconds.
        steady: returns seconds of a clock that nobody sets.
    """

    def __init__(
        self,
        on_step: Callable[[float, float], object],
        wall: Callable[[], float] = time.time,
        steady: Callable[[], float] = since_boot,
    ) -> None:
        self._on_step: Final = on_step
        self._wall: Final = wall
        self._steady: Final = steady
        self._ahead = wall() - steady()

    def __call__(self) -> float:
        """Return the time.

        Raises:
            Exception: whatever `on_step` raises.
        """
        now = self._wall()
        if -TOLERANCE <= now - self._steady() - self._ahead <= TOLERANCE:
            return now
        return self._look_again()

    def _look_again(self) -> float:
        """Tell a step from a machine that has stood still between the two looks."""
        for _ in range(_TRIES):
            before, now = self._steady(), self._wall()
            if self._steady() - before < _AT_ONCE:
                break
        step = now - before - self._ahead
        if abs(step) > TOLERANCE:
            self._ahead += step
            self._on_step(now, step)
        return now
