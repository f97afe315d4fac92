"""A host's log, line by line in the form of Firezone's own.

From the bottom up: `times` spells times, `formatter` makes lines of the records of Python's
`logging`, `tallies` counts refusals that get no line of their own, `wording` knows what to
say, `log` says it. Lines go to a logger of the host's: nothing is opened or written here.
"""

from firezone_filter.logs.formatter import JsonFormatter
from firezone_filter.logs.log import DecisionLog

__all__ = ["DecisionLog", "JsonFormatter"]
