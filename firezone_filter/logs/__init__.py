"""A host's log, line by line in the form of Firezone's own.

From the bottom up: `timestamps` formats times, `formatter` turns records of Python's `logging`
into lines, `suppression` counts refusals that get no line of their own, `lines` holds the
messages and their fields, `loggers` hands them to a logger of the host's, `log` decides which.
This package opens and writes no file.
"""

from firezone_filter.logs.formatter import JsonFormatter
from firezone_filter.logs.log import DecisionLog

__all__ = ["DecisionLog", "JsonFormatter"]
