"""The loggers that a `DecisionLog` writes to, and how a line gets into each kind of them.

A `logging.Logger` and its adapters get a finished record, so that no field is lost or refused on
the way. Everything else gets a call of `log`.
"""

import logging
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeGuard

from firezone_filter.logs.lines import Line


class LogsLikeALogger(Protocol):
    """The only method of a logger that is used. It decides which lines to write."""

    def log(self, level: int, msg: str, /, *, extra: Mapping[str, object]) -> object:
        """Log *msg*, a finished text without arguments, with the fields of *extra*."""


def logs_like_a_logger(value: object) -> TypeGuard[LogsLikeALogger]:
    """Tell whether *value* can take the place of a `logging.Logger`."""
    return callable(getattr(value, "log", None)) and not isinstance(value, type)


def writer(logger: LogsLikeALogger) -> Callable[[Line, Mapping[str, object]], None]:
    """Return a function that writes a line with its fields to *logger*."""
    if isinstance(logger, logging.LoggerAdapter):
        return _to_adapter(logger)
    if isinstance(logger, logging.Logger):
        return _to_logger(logger)

    def write(line: Line, fields: Mapping[str, object]) -> None:
        # Without arguments: a library may format them in another way than `%`.
        logger.log(line.level, line.message % line.numbers, extra=fields)  # noqa: G002

    return write


def _to_logger(logger: logging.Logger) -> Callable[[Line, Mapping[str, object]], None]:
    def write(line: Line, fields: Mapping[str, object]) -> None:
        if not logger.isEnabledFor(line.level):
            return
        # Not `logger.log(…, extra=…)`: it raises if the host's record factory has set a field
        # of the same name, and a packet must never raise.
        where = ("(unknown file)", 0)
        record = logger.makeRecord(
            logger.name, line.level, *where, line.message, line.numbers, None
        )
        vars(record).update(fields)
        logger.handle(record)

    return write


def _to_adapter(
    adapter: "logging.LoggerAdapter[Any]",
) -> Callable[[Line, Mapping[str, object]], None]:
    write_below = writer(adapter.logger)

    def write(line: Line, fields: Mapping[str, object]) -> None:
        # Not `adapter.log(…, extra=…)`: before Python 3.13 the adapter's own fields replace
        # those of the call.
        message, changed = adapter.process(line.message, {"extra": dict(fields)})
        own = changed.get("extra") or {}
        write_below(line._replace(message=message), {**own, **fields})

    return write
