"""The moments that users write after `--at`: as `firezone-filter logs` takes them, or seconds.

Policies count in Unix seconds, and so may the command line.
"""

import re
from datetime import UTC, datetime
from typing import Final

from firezone_filter.cli.logs.time_options import to_key
from firezone_filter.values.times import to_time

_seconds: Final = re.compile(r"[0-9]+(\.[0-9]+)?").fullmatch
_TO_THE_MINUTE: Final = len("1970-01-01T00:00")


def to_moment(text: str, now: datetime) -> float:
    """Return the Unix time of *text*, in seconds.

    Args:
        text: What the user wrote: Unix seconds, or a time as in `time_options`.
        now: The present time, with a zone.

    Raises:
        ValueError: It is not a time, or later than policies can name.
    """
    if _seconds(text):
        return to_time(float(text) if "." in text else int(text))
    try:
        key = to_key(text, now)
    except ValueError as error:
        raise ValueError(f"{error}, 1790000000 (Unix seconds)") from None
    minute = datetime.fromisoformat(key[:_TO_THE_MINUTE]).replace(tzinfo=UTC)
    # Not in one step: a leap second (:60) is none of `datetime`'s.
    return to_time(minute.timestamp() + float(key[_TO_THE_MINUTE + 1 :]))
