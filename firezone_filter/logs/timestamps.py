"""Times as log lines spell them: UTC, RFC 3339, nine digits. Nobody reads a clock here."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

NS_PER_S: Final = 1_000_000_000

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TO_THE_SECOND: Final = len("1970-01-01T00:00:00")


def rfc3339(time_ns: int) -> str:
    """Return *time_ns*, nanoseconds of Unix time, as UTC with nine digits.

    Raises:
        OverflowError: It is not in the years 1 to 9999.
    """
    seconds, ns = divmod(time_ns, NS_PER_S)
    moment = _EPOCH + timedelta(seconds=seconds)
    return f"{moment.isoformat()[:_TO_THE_SECOND]}.{ns:09}Z"


def nanoseconds(seconds: float) -> int:
    """Return *seconds*, a finite number, in nanoseconds, as exact as its digits.

    A float is taken for the decimal number that it is written as: multiplied out it would
    end in digits that nobody has measured.
    """
    if isinstance(seconds, int):
        return seconds * NS_PER_S
    # As a float writes itself: a subclass may write anything.
    return int(Decimal(float.__repr__(seconds)).scaleb(9).to_integral_value())


def format_time(seconds: float) -> str | float:
    """Return *seconds* of Unix time as RFC 3339 has it, or unchanged if no year has it."""
    try:
        return rfc3339(nanoseconds(seconds))
    except (OverflowError, ValueError):  # the second for what is no number
        return seconds
