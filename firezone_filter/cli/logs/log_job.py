"""One reading of logs, from the names of files to what is printed."""

import sys
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, closing

from attrs import field, frozen

from firezone_filter.cli.exit import ExitStatus, UnusableError
from firezone_filter.cli.logs.entries import Entry
from firezone_filter.cli.logs.invalid_lines import InvalidLines
from firezone_filter.cli.logs.printing import Printer
from firezone_filter.cli.logs.reading import Reading
from firezone_filter.cli.logs.selection import Selection
from firezone_filter.cli.outputs import STANDARD
from firezone_filter.cli.progress import watched
from firezone_filter.cli.terminal import console


@frozen
class LogJob:
    """What `firezone-filter logs` was asked for."""

    names: tuple[str, ...]
    """The files to read; `-` is standard input, and so is none at all."""

    selection: Selection = field(factory=Selection)
    """Which entries to print."""

    merge: bool = False
    """Whether to print them in the order of their times."""

    all_fields: bool = False
    """Whether to print all their fields."""

    follow: bool = False
    """Whether to go on when the files grow."""

    def run(
        self, say: Callable[[str], None], sleep: Callable[[float], None] = time.sleep
    ) -> ExitStatus:
        """Do it. *say* warns and complains, a line at a time; *sleep* waits for files to grow.

        Raises:
            UnusableError: What was asked for does not go together.
            OSError: Writing failed; `BrokenPipeError` if nobody reads any more.
        """
        self._check()
        printer = Printer(sys.stdout, all_fields=self.all_fields)
        reading = Reading(self.names or (STANDARD,), self.merge, say, printer.flush)
        invalid_lines = InvalidLines()
        try:
            with self._entries(reading, sleep) as entries:
                self._print(entries, invalid_lines, printer)
            status = ExitStatus.DAMAGED if invalid_lines.count else ExitStatus.DONE
        except KeyboardInterrupt:
            status = ExitStatus.INTERRUPTED
        printer.flush()
        for line in invalid_lines.report():
            say(line)
        return (
            status
            if status is ExitStatus.INTERRUPTED or not reading.complaints
            else ExitStatus.UNUSABLE
        )

    def _check(self) -> None:
        selection = self.selection
        if (
            selection.since is not None
            and selection.until is not None
            and selection.until <= selection.since
        ):
            raise UnusableError("--until is not after --since")
        if self.names.count(STANDARD) > 1:
            raise UnusableError("standard input can be read only once")
        if self.follow and STANDARD in (self.names or (STANDARD,)):
            raise UnusableError("--follow needs files; standard input is read to its end anyway")

    def _entries(
        self, reading: Reading, sleep: Callable[[float], None]
    ) -> AbstractContextManager[Iterable[Entry]]:
        if self.follow:
            return closing(reading.follow(sleep))
        size = reading.size()
        # A pipe may have no end, and a bar between the lines would garble both.
        shown = size is not None and not sys.stdout.isatty()
        return watched(reading, size, console(sys.stderr, interactive=None if shown else False))

    def _print(
        self, entries: Iterable[Entry], invalid_lines: InvalidLines, printer: Printer
    ) -> None:
        is_asked_for = self.selection.predicate()
        for entry in entries:
            if entry.fields is None:
                invalid_lines.add(entry)
            if is_asked_for(entry):
                printer.add(entry)
