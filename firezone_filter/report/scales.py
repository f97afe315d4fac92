"""Where the time axis of a picture has marks, and what they say."""

from typing import Final

from firezone_filter.capture.stream import NS_PER_S
from firezone_filter.report.words import to_datetime

_MS: Final = NS_PER_S // 1_000
_MINUTE: Final = 60 * NS_PER_S
_HOUR: Final = 60 * _MINUTE
_DAY: Final = 24 * _HOUR

_STEPS: Final = (
    *(_MS // each for each in (4, 2, 1)),
    *(_MS * each for each in (2, 5, 10, 20, 50, 100, 200, 500)),
    *(NS_PER_S * each for each in (1, 2, 5, 10, 15, 30)),
    *(_MINUTE * each for each in (1, 2, 5, 10, 15, 30)),
    *(_HOUR * each for each in (1, 2, 3, 6, 12)),
    *(_DAY * 2**each for each in range(16)),
)
"""Steps that people read easily; of days, the last has room for the years 1970 to 2106."""


def marks(first_ns: int, last_ns: int, most: int) -> list[tuple[int, str]]:
    """Return the times of marks, no more than *most* and one, with their labels.

    The first mark of a day has its date below the time.
    """
    step = next(each for each in _STEPS if (last_ns - first_ns) // each <= most)
    begin = -(-first_ns // step) * step
    found: list[tuple[int, str]] = []
    known = ""
    for time_ns in range(begin, last_ns + 1, step):
        date, _, time = to_datetime(time_ns).isoformat(sep=" ")[:26].partition(" ")
        time = time.removesuffix("+00:00")
        text = _shortened(time, step)
        found.append((time_ns, text if date == known else f"{text}\n{date}".lstrip("\n")))
        known = date
    return found


def _shortened(time: str, step: int) -> str:
    if step >= _DAY:
        return ""
    if step >= _MINUTE:
        return time[:5]
    return time[:8] if step >= NS_PER_S else time.rstrip("0") if "." in time else time
