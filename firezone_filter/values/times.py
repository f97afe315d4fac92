"""Times that a host hands in: finite seconds on one clock.

Mixing two clocks is the mistake to guard against. Unix time is more than 50 years ahead of a
clock that starts at boot, and a thousand times less than one in milliseconds: taken for each
other they make a permission permanent, or end everything at once.
"""

import math
from typing import Final

from firezone_filter.values.errors import InvalidTime, shown

MAX_AHEAD: Final = 50 * 31_557_600
"""Seconds by which an expiry may lie ahead of `now`, and one `now` ahead of or behind the
latest: 50 years of 365.25 days."""

TOO_LATE: Final = 2**33
"""Seconds: the first time that is refused, in the year 2242 of Unix time. Anything later is
taken for a mistake, milliseconds most likely."""


IN_SECONDS: Final = "a time in Unix seconds, such as 1798761600"
"""How documents call a time, for whoever wrote something else."""


def is_finite(value: float) -> bool:
    """Tell whether *value* is a number to calculate with: an `int` may exceed any `float`."""
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def to_time(value: float) -> float:
    """Return *value* if it is a time, in seconds.

    Raises:
        InvalidTime: not finite, or 2**33 or more.
        TypeError: neither `int` nor `float`.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"a time is a number of seconds, not {shown(value)}")
    if not -TOO_LATE < value < TOO_LATE:
        if not is_finite(value):
            raise InvalidTime(f"{shown(value)} is not a finite time", value)
        if value >= TOO_LATE:
            raise InvalidTime(
                f"{shown(value)} is later than any clock in seconds: milliseconds?", value
            )
    return value


def to_now(value: float, latest: float | None) -> float:
    """Return *value* if it can be a `now` after *latest*, the latest one so far, if any.

    Raises:
        InvalidTime: as `to_time`; more than 50 years after or before *latest*.
        TypeError: neither `int` nor `float`.
    """
    now = float(to_time(value))
    if latest is not None and abs(now - latest) > MAX_AHEAD:
        raise InvalidTime(
            f"now {shown(value)} is more than 50 years from the latest, {latest!r}: two clocks "
            "mixed? (clock_set tells that the host's clock has been set)",
            value,
        )
    return now
