"""`FewWarnings`: warnings that clients can bring about, but cannot fill a disk with."""

import logging
from collections.abc import Callable
from typing import Final

from firezone_filter.structures.token_bucket import TokenBucket

RATE: Final = 0.1
"""Warnings a second, on average."""

BURST: Final = 10
"""Warnings at once, beyond the average."""


class FewWarnings:
    """Writes warnings to a logger; of too many, only how many they were."""

    def __init__(self, logger: logging.Logger, clock: Callable[[], float]) -> None:
        """Write to *logger*; *clock* returns seconds."""
        self._logger = logger
        self._clock = clock
        self._bucket = TokenBucket(RATE, BURST, clock())
        self._left_out = 0

    def say(self, message: str, *, error: Exception | None = None, **fields: object) -> None:
        """Write a warning, or an *error* that nobody has foreseen, with its traceback.

        Its field `left_out` counts those before it that were not written.
        """
        now = self._clock()
        if not self._bucket.has_token(now):
            self._left_out += 1
            return
        self._bucket.take(now)
        level = logging.WARNING if error is None else logging.ERROR
        extra = {**fields, "left_out": self._left_out}
        self._logger.log(level, message, exc_info=error, extra=extra)
        self._left_out = 0
