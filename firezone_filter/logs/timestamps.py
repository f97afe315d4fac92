"""Times as log lines write them: UTC, RFC 3339, nine digits. No clock is read here."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

NS_PER_S: Final = 1_000_000_000

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TO_THE_SECOND: Final = len("1970-01-01T00:00:00")


def rfc3339(time_ns: int) -> str:
    """Return *time_ns*, nanoseconds of Unix time, as UTC with nine digits.

    Raises:
        OverflowError: It is outside the years 1 to 9999.
    """
    seconds, ns = divmod(time_ns, NS_PER_S)
    moment = _EPOCH + timedelta(seconds=seconds)
    return f"{moment.isoformat()[:_TO_THE_SECOND]}.{ns:09}Z"


def nanoseconds(seconds: float) -> int:
    """Return *seconds*, a finite number, in nanoseconds, as exact as its decimal digits.

    A float counts as the shortest decimal number that stands for it: its exact binary value
    would end in digits that were never measured.
    """
    if isinstance(seconds, int):
        return seconds * NS_PER_S
    # Not `repr(seconds)`: a subclass of float may override it.
    return int(Decimal(float.__repr__(seconds)).scaleb(9).to_integral_value())


def format_time(seconds: float) -> str | float:
    """Return *seconds* of Unix time as RFC 3339 text, or unchanged if they cannot be written."""
    try:
        return rfc3339(nanoseconds(seconds))
    except (OverflowError, ValueError):  # ValueError: not a number
        return seconds
