"""One run of `firezone-filter logs`, from the names of files to the printed lines."""

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
    """The arguments of `firezone-filter logs`."""

    names: tuple[str, ...]
    """The files to read; `-` is standard input, the default if there are none."""

    selection: Selection = field(factory=Selection)
    """Which entries to print."""

    merge: bool = False
    """Whether to print the entries of all files in order of time."""

    all_fields: bool = False
    """Whether to print all fields of an entry."""

    follow: bool = False
    """Whether to keep reading when the files grow."""

    as_json: bool = False
    """Whether to print the lines as they were."""

    def run(
        self, say: Callable[[str], None], sleep: Callable[[float], None] = time.sleep
    ) -> ExitStatus:
        """Print the selected entries.

        Args:
            say: Gets warnings and complaints, one line at a time.
            sleep: Waits for files to grow.

        Raises:
            UnusableError: The arguments contradict each other.
            OSError: Writing failed; `BrokenPipeError` if the reader of the output has gone.
        """
        self._check()
        printer = Printer(sys.stdout, all_fields=self.all_fields, as_json=self.as_json)
        reading = Reading(self.names or (STANDARD,), self.merge, say, printer.flush)
        invalid_lines = InvalidLines(self.selection.reads_fields())
        try:
            with self._entries(reading, sleep) as entries:
                self._print(entries, invalid_lines, printer)
            status = ExitStatus.DAMAGED if invalid_lines else ExitStatus.DONE
        except KeyboardInterrupt:
            status = ExitStatus.INTERRUPTED
        printer.finish()
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
        if selection.invert and not selection.has_conditions():
            raise UnusableError("--invert needs --severity, --grep or --field")

    def _entries(
        self, reading: Reading, sleep: Callable[[float], None]
    ) -> AbstractContextManager[Iterable[Entry]]:
        if self.follow:
            return closing(reading.follow(sleep))
        size = reading.size()
        # A pipe may have no end, and a bar among the lines would garble both.
        shown = size is not None and not sys.stdout.isatty()
        screen = console(sys.stderr, interactive=None if shown else False)
        return watched(reading, size, screen, "lines")

    def _print(
        self, entries: Iterable[Entry], invalid_lines: InvalidLines, printer: Printer
    ) -> None:
        is_selected = self.selection.predicate()
        for entry in entries:
            if entry.fields is None:
                invalid_lines.add(entry)
            if not entry.is_binary and is_selected(entry):
                printer.add(entry)
