"""Records of Python's `logging` as lines of JSON, as Firezone's gateways and clients write them.

Whatever is in a record, it becomes exactly one line, of ASCII: a log that breaks on what it
has to report is none.
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
"""By the lowest level of each, the highest first; below is TRACE, which `logging` has not."""

_CLOCKS: Final[dict[str, Callable[[float], int]]] = {
    "time_ns": int,
    "now": nanoseconds,
    "created": nanoseconds,
}
"""Where the time may stand, the best first, and how it becomes nanoseconds."""

# What `logging` puts into a record by itself; other formatters and Python 3.12 add the rest.
# Everything else was given as `extra`.
_USUAL: Final = frozenset(vars(logging.LogRecord("", 0, "", 0, "", (), None))) | {
    "asctime",
    "message",
    "taskName",
}

_Line = dict[str, object]


class JsonFormatter(logging.Formatter):
    """Writes a record as one JSON object: `time`, `severity`, `message`, then its fields.

    The fields are what a call gave as `extra`, in its order; one that has the name of another
    gets a `_` behind it. What JSON cannot say is written as `str` has it. An exception is the
    field `error`, with its traceback, and a stack the field `stack`.

    The time is `now` (seconds of Unix time) or, more exactly, `time_ns` of `extra`, for hosts
    whose time comes from elsewhere; else it is when the record was made. A format that is
    given to the constructor has no effect.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of *record*, without a line break. It never raises."""
        try:
            return _written(self._line(record))
        except Exception:  # noqa: BLE001 - a record holds anything, and its code runs here
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
        # Another formatter, or a queue between two processes, may have made a text of it.
        if record.exc_text:
            yield "error", record.exc_text
        # `logger.exception()` where there is no exception leaves a tuple of `None`.
        elif record.exc_info and record.exc_info[0] is not None:
            yield "error", self.formatException(record.exc_info)
        if record.stack_info:
            yield "stack", record.stack_info


def _head(record: logging.LogRecord) -> _Line:
    return {"time": _time(record)[0], "severity": _severity(record)}


def _time(record: logging.LogRecord) -> tuple[str, str]:
    """Return the time of *record*, and the field that it is from."""
    for name, to_ns in _CLOCKS.items():
        value = vars(record).get(name)
        if isinstance(value, int | float) and not isinstance(value, bool) and is_finite(value):
            try:
                return rfc3339(to_ns(value)), name
            except OverflowError:
                # Of no year that can be written: some other field, by the same name.
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
    except Exception:  # noqa: BLE001 - whatever a bad format string or an argument does
        # The slip of a programmer must not hide what was to be told.
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
    except Exception:  # noqa: BLE001 - also what a `__str__` of the host's raises
        return json.dumps(_text(value))
    return text


def _text(value: object) -> str:
    try:
        return _sound(str(value))
    except Exception:  # noqa: BLE001 - the same
        return f"<{type(value).__name__}>"


def _sound(text: str) -> str:
    """Return *text* with lone surrogates written out; readers like jq refuse a line of them."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def _check_sound(text: str) -> None:
    """Raise an exception if the JSON *text* has lone surrogates, anywhere inside."""
    if r"\ud" in text:
        json.dumps(json.loads(text), ensure_ascii=False).encode()
