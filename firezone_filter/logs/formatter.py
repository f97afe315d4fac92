"""Records of Python's `logging` as lines of JSON, as Firezone's gateways and clients write them.

Any record becomes exactly one line of ASCII, whatever its fields hold: a log must not fail on
the trouble that it reports.
"""

import json
import logging
from collections.abc import Callable, Iterator
from typing import Final

from firezone_filter.logs.timestamps import nanoseconds, rfc3339
from firezone_filter.values.times import is_finite

_SEVERITIES: Final = (
    (logging.ERROR, "ERROR"),
    (logging.WARNING, "WARN"),
    (logging.INFO, "INFO"),
    (logging.DEBUG, "DEBUG"),
)
"""The lowest level of each, highest first. Below them is TRACE, which `logging` lacks."""

_CLOCKS: Final[dict[str, Callable[[float], int]]] = {
    "time_ns": int,
    "now": nanoseconds,
    "created": nanoseconds,
}
"""The fields that may hold the time, the best first, and their conversion to nanoseconds."""

# The attributes that `logging` itself sets; other formatters and Python 3.12 add the last
# three. All further attributes come from `extra`.
_USUAL: Final = frozenset(vars(logging.LogRecord("", 0, "", 0, "", (), None))) | {
    "asctime",
    "message",
    "taskName",
}

_Line = dict[str, object]


class JsonFormatter(logging.Formatter):
    """Writes a record as one JSON object: `time`, `severity`, `message`, then its fields.

    The fields are those of the call's `extra`, in its order; a field with the name of an
    earlier one gets a `_` appended. A value that JSON cannot express is written as its `str`.
    An exception becomes the field `error`, with its traceback, and a stack the field `stack`.

    The time is `now` (seconds of Unix time) or, more exactly, `time_ns` of `extra`, for hosts
    with a clock of their own; otherwise it is the creation time of the record. A format passed
    to the constructor has no effect.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of *record*, without a line break. It never raises."""
        try:
            return _written(self._line(record))
        except Exception:  # noqa: BLE001 - runs code of any object that a record holds
            return _written({**_head(record), "message": "A log record cannot be written"})

    def _line(self, record: logging.LogRecord) -> _Line:
        line = {**_head(record), "message": _message(record)}
        line.update(self._attached(record))
        time_field = _time(record)[1]
        for name, value in vars(record).items():
            if name not in _USUAL and name != time_field:
                line[_free(_text(name), line)] = value
        return line

    def _attached(self, record: logging.LogRecord) -> Iterator[tuple[str, object]]:
        # Another formatter, or a queue between processes, may have formatted it already.
        if record.exc_text:
            yield "error", record.exc_text
        # `logger.exception()` outside a handler leaves a tuple of `None`.
        elif record.exc_info and record.exc_info[0] is not None:
            yield "error", self.formatException(record.exc_info)
        if record.stack_info:
            yield "stack", record.stack_info


def _head(record: logging.LogRecord) -> _Line:
    return {"time": _time(record)[0], "severity": _severity(record)}


def _time(record: logging.LogRecord) -> tuple[str, str]:
    """Return the time of *record*, and the name of the field that holds it."""
    for name, to_ns in _CLOCKS.items():
        value = vars(record).get(name)
        if isinstance(value, int | float) and not isinstance(value, bool) and is_finite(value):
            try:
                return rfc3339(to_ns(value)), name
            except OverflowError:
                # Not a time that can be written: some other field of that name.
                continue
    return rfc3339(0), ""


def _severity(record: logging.LogRecord) -> str:
    level: object = record.levelno
    if not isinstance(level, int):
        return "ERROR"
    return next((name for lowest, name in _SEVERITIES if level >= lowest), "TRACE")


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001 - anything a bad format string or argument raises
        # A slip in the call must not hide the message.
        return f"{_text(record.msg)} {_text(record.args)}"


def _free(name: str, line: _Line) -> str:
    while name in line:
        name += "_"
    return name


def _written(line: _Line) -> str:
    return "{" + ",".join(f"{_json(name)}:{_json(value)}" for name, value in line.items()) + "}"


def _json(value: object) -> str:
    try:
        if isinstance(value, str):
            return json.dumps(_sound(value))
        text = json.dumps(value, default=str, allow_nan=False, separators=(",", ":"))
        _check_sound(text)
    except Exception:  # noqa: BLE001 - includes errors of a host's `__str__`
        return json.dumps(_text(value))
    return text


def _text(value: object) -> str:
    try:
        return _sound(str(value))
    except Exception:  # noqa: BLE001 - the same
        return f"<{type(value).__name__}>"


def _sound(text: str) -> str:
    """Return *text* with lone surrogates escaped: readers like jq refuse a line with them."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def _check_sound(text: str) -> None:
    """Raise an exception if the JSON *text* has a lone surrogate anywhere."""
    if r"\ud" in text:
        json.dumps(json.loads(text), ensure_ascii=False).encode()
