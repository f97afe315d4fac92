"""Sort keys for the times of log lines.

A key is the time in UTC, as text without trailing zeros in the fraction, so that earlier times
sort first whatever their number of digits. A float could not hold them all.
"""

import re
from datetime import date, datetime, timedelta
from typing import Final

NO_TIME: Final = ""
"""The key of lines before the first time."""

# RFC 3339, section 5.6, leap seconds included. A time without a zone counts as UTC, as all of
# Firezone's times are.
_MOMENT: Final = re.compile(
    r"([0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01]))"
    r"[Tt ]((?:[01][0-9]|2[0-3]):[0-5][0-9])(:(?:[0-5][0-9]|60))"
    r"(?:\.([0-9]+))?"
    # Python and others write the offset without the colon, PostgreSQL without the minutes.
    r"(?:[Zz]|([+-](?:[01][0-9]|2[0-3])(?::?[0-5][0-9])?))?"
).fullmatch


def time_key(text: str) -> str | None:
    """Return the key of the time *text*; `None` if it is not a time."""
    if (found := _MOMENT(text)) is None:
        return None
    day, minute, second, fraction, offset = found.groups()
    start = f"{day}T{minute}"
    if offset is not None:
        try:
            start = _in_utc(start, offset)
        except (OverflowError, ValueError):  # no such day, or no such year
            return None
    digits = fraction.rstrip("0") if fraction else ""
    return f"{start}{second}.{digits}" if digits else start + second


def is_real(key: str) -> bool:
    """Tell whether the day of *key* exists: 30 February only looks like one."""
    try:
        date.fromisoformat(key[: len("0001-01-01")])
    except ValueError:
        return False
    return True


def _in_utc(start: str, offset: str) -> str:
    hours, minutes = int(offset[1:3]), int(offset[3:].lstrip(":") or 0)
    ahead = timedelta(hours=hours, minutes=minutes)
    local = datetime.fromisoformat(start)
    moment = local - ahead if offset[0] == "+" else local + ahead
    return moment.isoformat(timespec="minutes")
