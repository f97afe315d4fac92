"""Times: finite seconds on the host's clock, kept as the `int` or `float` that was passed."""

import math
from typing import Final

from firezone_filter.values.errors import InvalidTime, shown

MAX_AHEAD: Final = 50 * 31_557_600
"""Maximum seconds from now to an expiry: 50 years of 365.25 days. More means that two clocks
were mixed, since Unix time is more than 50 years ahead of a clock that starts at boot; such an
authorization would never end."""


def is_finite(value: float) -> bool:
    """Tell whether *value* is a finite `float`, or an `int` within the range of floats."""
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def to_time(value: float) -> float:
    """Return *value* if it is a time, in seconds.

    Raises:
        InvalidTime: not finite.
        TypeError: neither `int` nor `float`, or a `bool`.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"a time is a number of seconds, not {shown(value)}")
    if not is_finite(value):
        raise InvalidTime(f"{shown(value)} is not a finite time", value)
    return value
