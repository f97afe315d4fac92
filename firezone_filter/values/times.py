"""Times that a host hands in: finite seconds on one clock, kept as they were handed in."""

import math
from typing import Final

from firezone_filter.values.errors import InvalidTime, shown

MAX_AHEAD: Final = 50 * 31_557_600
"""How far an expiry may lie ahead: 50 years of 365.25 days. More means that two clocks are
mixed (Unix time is more than 50 years ahead of a clock that starts at boot), and that the
permission would never end."""


def is_finite(value: float) -> bool:
    """Tell whether *value* can be reckoned with: an `int` may be beyond any `float`."""
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def to_time(value: float) -> float:
    """Return *value* if it can be a time.

    Raises:
        InvalidTime: not finite.
        TypeError: neither `int` nor `float`.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"a time is a number of seconds, not {shown(value)}")
    if not is_finite(value):
        raise InvalidTime(f"{shown(value)} is not a finite time", value)
    return value
