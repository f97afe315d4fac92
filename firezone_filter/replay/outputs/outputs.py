"""All outputs of one pass: opened together, and complete together."""

import os
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from types import TracebackType
from typing import BinaryIO, Final, Self

from attrs import frozen

from firezone_filter.replay.arrow import Schema, decision_schema, flow_schema
from firezone_filter.replay.errors import OutputClashError, UnknownEndingError
from firezone_filter.replay.outputs.captures import (
    ForwardedPcapngWriter,
    ForwardedWriter,
    RefusedWriter,
)
from firezone_filter.replay.outputs.endings import (
    FORWARDED,
    PAGES,
    REFUSED,
    TABLES,
    Compression,
    Ending,
    Format,
    ending_of,
)
from firezone_filter.replay.outputs.files import OutputFile, compressing, identity, is_in_place
from firezone_filter.replay.outputs.page import PageWriter
from firezone_filter.replay.outputs.tables import (
    Csv,
    DecisionWriter,
    FlowWriter,
    JsonLines,
    Parquet,
    Table,
)
from firezone_filter.replay.rows import DECISION_FIELDS, FLOW_FIELDS
from firezone_filter.replay.sinks import FlowSink, Writer
from firezone_filter.report.data import ReportData

Target = str | os.PathLike[str] | BinaryIO
"""The name of a file, or a stream, which its owner closes."""


@frozen(kw_only=True)
class Targets:
    """Where the results of a pass are to go."""

    decisions: Target | None = None
    flows: Target | None = None
    forwarded: Target | None = None
    refused: Target | None = None
    html: Target | None = None

    def __attrs_post_init__(self) -> None:
        """Check the names, before anything is opened.

        Raises:
            UnknownEndingError: The ending of one stands for no format.
            ValueError: Two are of the same file.
        """
        for target, formats in (
            (self.decisions, TABLES),
            (self.flows, TABLES),
            (self.forwarded, FORWARDED),
            (self.refused, REFUSED),
            (self.html, PAGES),
        ):
            if target is not None:
                _ending(target, formats)

    def refuse_clashes(self, captures: Iterable[str]) -> None:
        """Make sure that no file takes the place of one of *captures*, or of another.

        Raises:
            OutputClashError: One would.
        """
        taken = {identity(name): name for name in captures}
        for target in (self.decisions, self.flows, self.forwarded, self.refused, self.html):
            if not isinstance(target, str | os.PathLike) or is_in_place(name := os.fspath(target)):
                continue
            key = identity(name)
            if key in taken:
                raise OutputClashError(
                    f"{name}: cannot be written, it is in use as {taken[key]}", name
                )
            taken[key] = name


class Outputs:
    """The opened outputs of a pass; leaving the context completes or discards their files."""

    writers: list[Writer]
    """What takes decided packets."""

    flows: FlowSink | None
    """What takes flow events."""

    page: PageWriter | None
    """What takes the counts of a report, and has to be told to write."""

    def __init__(self, targets: Targets, failed: Callable[[str], None] | None = None) -> None:
        """Open the outputs.

        Args:
            targets: where they are.
            failed: is told of each file that is not complete in the end, in a line.

        Raises:
            OSError: A file cannot be written; none is left then. Its `filename` is as given.
            MissingExtraError: What an output needs is not installed; likewise.
        """
        self.writers = []
        self.flows = None
        self.page = None
        self._failed: Final = failed
        self._files: Final[list[OutputFile]] = []
        self._finishes: Final[list[Callable[[], object]]] = []
        try:
            self._open(targets)
        except BaseException:
            self._discard()
            raise

    def _open(self, targets: Targets) -> None:
        if targets.decisions is not None:
            table = self._table(targets.decisions, DECISION_FIELDS, decision_schema)
            self.writers.append(DecisionWriter(table))
        if targets.forwarded is not None:
            stream, ending = self._stream(targets.forwarded, FORWARDED)
            kind = ForwardedWriter if ending.format is Format.PCAP else ForwardedPcapngWriter
            self.writers.append(kind(stream))
        if targets.refused is not None:
            self.writers.append(RefusedWriter(self._stream(targets.refused, REFUSED)[0]))
        if targets.flows is not None:
            self.flows = FlowWriter(self._table(targets.flows, FLOW_FIELDS, flow_schema))
        if targets.html is not None:
            self.page = PageWriter(self._stream(targets.html, PAGES)[0])

    @property
    def report(self) -> ReportData | None:
        """What the page counts, if there is one."""
        return None if self.page is None else self.page.data

    def _table(self, target: Target, fields: tuple[str, ...], schema: Schema) -> Table:
        stream, ending = self._stream(target, TABLES)
        table: Table
        if ending.format is Format.PARQUET:
            is_plain = ending.compression is Compression.NONE
            table = Parquet(stream, schema, compressed=is_plain)
        else:
            is_csv = ending.format is Format.CSV
            table = Csv(stream, fields) if is_csv else JsonLines(stream)
        self._finishes.append(table.finish)
        return table

    def _stream(self, target: Target, formats: tuple[Format, ...]) -> tuple[BinaryIO, Ending]:
        ending = _ending(target, formats)
        if not isinstance(target, str | os.PathLike):
            return target, ending
        file = OutputFile(os.fspath(target))
        self._files.append(file)
        stream = compressing(file.stream, ending.compression)
        if stream is not file.stream:
            self._finishes.append(stream.close)
        return stream, ending

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Give all files their names, or none if there was an error.

        Raises:
            OSError: The rest of a file could not be written, after a pass without errors.
        """
        if error is not None:
            self._discard()
            return
        try:
            # A table ends before the stream that compresses it.
            for finish in reversed(self._finishes):
                finish()
            # What can fail comes before the first file has its name, so that it is all or none.
            for file in self._files:
                file.settle()
            self._files.sort(key=lambda file: not file.is_in_place)
            while self._files:
                self._files[0].publish()
                del self._files[0]
        except BaseException:
            self._discard()
            raise

    def _discard(self) -> None:
        # Whatever happens to one of them, all others are closed and removed.
        with ExitStack() as stack:
            for file in reversed(self._files):
                stack.callback(self._discard_file, file)
            for finish in self._finishes:
                stack.callback(_quietly, finish)
        self._files.clear()

    def _discard_file(self, file: OutputFile) -> None:
        file.discard()
        if self._failed is not None:
            self._failed(f"{file.name}: {'incomplete' if file.is_in_place else 'not written'}")


def _quietly(finish: Callable[[], object]) -> None:
    # What is thrown away need not be whole; a stream that compresses would complain when it is
    # collected, if it were not closed. Each library has errors of its own for that.
    with suppress(Exception):
        finish()


def _ending(target: Target, formats: tuple[Format, ...]) -> Ending:
    if not isinstance(target, str | os.PathLike):
        return Ending(formats[0])
    name = os.fspath(target)
    try:
        return ending_of(name, formats)
    except UnknownEndingError:
        if is_in_place(name):
            return Ending(formats[0])
        raise
