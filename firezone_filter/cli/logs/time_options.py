"""The times that users write after `--since` and `--until`.

A time is a moment (`2026-08-22T12:00:00Z`), a day (`2026-08-22`, `yesterday`), a time of day
(`14:30`), which is one of today, or both; or it counts from now (`-1h`).
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from firezone_filter.cli.logs.time_keys import is_real, time_key

_DAYS: Final = {"yesterday": -1, "today": 0, "tomorrow": 1}
_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}

_ago: Final = re.compile(r"-((?:[0-9]{1,15}[smhdw])+)", re.IGNORECASE).fullmatch
_parts: Final = re.compile(r"([0-9]+)([smhdw])", re.IGNORECASE).findall
_words: Final = re.compile(
    rf"(?P<day>[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}|{'|'.join(_DAYS)})?"
    r"(?P<between>[Tt ](?=[0-9]))?"
    r"(?P<clock>[0-9]{1,2}:[0-9]{2}(?P<second>:[0-9]{2}(?:\.[0-9]+)?)?)?"
    r"(?P<zone>[Zz]|[+-][0-9]{2}(?::?[0-9]{2})?)?",
    re.IGNORECASE,
).fullmatch


def to_key(text: str, now: datetime, *, local: bool = False) -> str:
    """Return the sort key (`time_keys`) of *text*.

    Args:
        text: What the user wrote. A day means its first moment.
        now: The present time, with a zone.
        local: Whether days and times without a zone are in the zone of this computer, and not in
            UTC.

    Raises:
        ValueError: It is not a time.
    """
    try:
        key = _ago_key(text, now) or _words_key(text, now, local=local)
    except (OverflowError, ValueError):  # no such day, or before the year 1 or after 9999
        key = None
    if key is None or not is_real(key):
        raise ValueError(
            f"{text!r} is neither a date nor a time: 2026-08-22, 2026-08-22T12:00:00Z, 14:30, "
            "yesterday, -1h"
        )
    return key


def _ago_key(text: str, now: datetime) -> str | None:
    if text.lower() == "now":
        return _key_of(now)
    if (found := _ago(text)) is None:
        return None
    seconds = sum(int(number) * _SECONDS[unit.lower()] for number, unit in _parts(found[1]))
    return _key_of(now - timedelta(seconds=seconds))


def _words_key(text: str, now: datetime, *, local: bool) -> str | None:
    found = _words(text)
    if found is None or bool(found["between"]) != bool(found["day"] and found["clock"]):
        return None
    day, clock, zone = found["day"], found["clock"], found["zone"]
    if not (clock or (day and not zone)):
        return None
    if day is None or day.lower() in _DAYS:
        today = now.astimezone(None if local else UTC).date()
        day = (today + timedelta(days=_DAYS["today" if day is None else day.lower()])).isoformat()
    clock = _full(clock, found["second"]) if clock else "00:00:00"
    if zone is None:
        zone = _local_offset(f"{day}T{clock[: len('00:00')]}") if local else "Z"
    return time_key(f"{day}T{clock}{zone}")


def _full(clock: str, second: str | None) -> str:
    """Return *clock* with two digits for the hour, and with seconds."""
    return clock.rjust(len("00:00") + len(second or ""), "0") + ("" if second else ":00")


def _local_offset(minute: str) -> str:
    """Return the offset of this computer's zone at *minute*, in local time."""
    offset = datetime.fromisoformat(minute).astimezone().strftime("%z")
    # Before time zones, offsets had seconds.
    return offset[: len("+0000")]


def _key_of(moment: datetime) -> str | None:
    return time_key(moment.astimezone(UTC).isoformat())
