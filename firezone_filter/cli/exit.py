"""What stops a run, each with the exit status that it ends in.

The messages are for people: one line each, without the name of an exception.
"""

from enum import IntEnum
from typing import Final


class ExitStatus(IntEnum):
    """The exit statuses of `firezone-filter`."""

    DONE = 0
    """All was read."""

    DAMAGED = 1
    """Part of the input was not as it should be: a capture was cut short or damaged, a log had
    lines that are not JSON."""

    UNUSABLE = 2
    """Arguments or files cannot be used, as click says it for arguments."""

    INTERRUPTED = 130
    """Ctrl-C: 128 + SIGINT, what a shell expects."""

    CLOSED_PIPE = 141
    """Nobody reads any more (`| head`): 128 + SIGPIPE, what a shell expects."""


class UnusableError(Exception):
    """An argument or a file cannot be used."""

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(lines))
        self.lines: Final = lines
