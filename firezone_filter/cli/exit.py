"""The exit statuses of a run, and the error that stops one.

Its messages are for people: one line each, without the name of an exception.
"""

from enum import IntEnum
from typing import Final


class ExitStatus(IntEnum):
    """The exit statuses of `firezone-filter`."""

    DONE = 0
    """Everything was read."""

    DAMAGED = 1
    """Part of the input is bad: a capture is cut short or damaged, or something of it could not
    be taken as it is (link types, time stamps); or a log has lines that are not JSON."""

    NEGATIVE = 1
    """The answer to a question: a packet is refused, a test fails, there is a finding or a
    difference. (The same number, of other commands.)"""

    UNUSABLE = 2
    """Arguments or files cannot be used; click's status for bad arguments."""

    INTERRUPTED = 130
    """Ctrl-C: 128 + SIGINT, as shells expect."""

    CLOSED_PIPE = 141
    """The reader of the output has gone (`| head`): 128 + SIGPIPE, as shells expect."""


class UnusableError(Exception):
    """An argument or a file cannot be used; each of *lines* is a complaint."""

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(lines))
        self.lines: Final = lines
