"""What partitions make of columns of decisions, for tables and for captures.

Spelling takes as long as deciding, so it is done where that is done. What is left for the reader
is to put the rows of all partitions in order.
"""

from collections.abc import Callable, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from firezone_filter.replay.arrow import one_table
from firezone_filter.replay.columns.batches import record_batch
from firezone_filter.replay.columns.decisions import DecisionColumns
from firezone_filter.replay.columns.lines import json_lines
from firezone_filter.replay.outputs.captures import (
    ForwardedPcapngWriter,
    ForwardedWriter,
    RefusedWriter,
)
from firezone_filter.replay.outputs.tables import Batches, DecisionWriter, JsonLines, Table
from firezone_filter.replay.partitions.rendering import Output
from firezone_filter.replay.rows import Row
from firezone_filter.replay.sinks import Writer

if TYPE_CHECKING:
    import pyarrow as pa

Numbered = tuple[NDArray[np.int64], Any]
"""The numbers of frames, and what has been made of them."""


class _Making:
    needs_payload: ClassVar[bool] = False

    def __init__(self) -> None:
        self._made: list[Numbered] = []

    def add_columns(self, columns: DecisionColumns) -> None:
        """Make something of some packets."""
        self._made.append((columns.numbers("frame"), self.made(columns)))

    def made(self, columns: DecisionColumns) -> Any:  # noqa: ANN401 - as it is sent
        """Return what is sent of some packets."""
        raise NotImplementedError

    def taken(self) -> list[Numbered]:
        """Return what has been made since the last call."""
        made, self._made = self._made, []
        return made


class Lines(_Making):
    """Makes lines of JSON."""

    def made(self, columns: DecisionColumns) -> bytes:
        """Return the lines."""
        return json_lines(columns)


class RecordBatches(_Making):
    """Makes record batches."""

    def made(self, columns: DecisionColumns) -> "pa.RecordBatch":
        """Return a batch."""
        return record_batch(columns)


class ColumnRows(_Making):
    """Makes rows."""

    def made(self, columns: DecisionColumns) -> list[Row]:
        """Return the rows."""
        return list(columns.rows())


class _Captured(_Making):
    """Makes what the writer of a capture writes."""

    needs_payload: ClassVar[bool] = True
    writer: ClassVar[type[ForwardedWriter | ForwardedPcapngWriter | RefusedWriter]]

    def add_columns(self, columns: DecisionColumns) -> None:
        """Make that of some packets."""
        made = list(self.writer.made_of(columns))
        rows = np.array([row for row, _ in made], dtype=np.int64)
        self._made.append((columns.numbers("frame")[rows], [each for _, each in made]))


class SentPackets(_Captured):
    """Makes packets that pass."""

    writer: ClassVar[type[ForwardedWriter]] = ForwardedWriter


class SentFromInterfaces(_Captured):
    """Makes packets that pass, with their interfaces."""

    writer: ClassVar[type[ForwardedPcapngWriter]] = ForwardedPcapngWriter


class RefusedFrames(_Captured):
    """Makes frames with refused packets."""

    writer: ClassVar[type[RefusedWriter]] = RefusedWriter


def column_outputs_to(writers: Sequence[Writer]) -> list[Output] | None:
    """Return the outputs to *writers*, or `None` if one of them takes single packets alone."""
    outputs = [_output_to(writer) for writer in writers]
    found = [output for output in outputs if output is not None]
    return found if len(found) == len(outputs) else None


def _output_to(writer: Writer) -> Output | None:
    match writer:
        case DecisionWriter():
            return _table_to(writer.table)
        case ForwardedWriter():
            return Output(SentPackets, _each_to(writer.write))
        case ForwardedPcapngWriter():
            return Output(SentFromInterfaces, _each_to(writer.write))
        case RefusedWriter():
            return Output(RefusedFrames, _each_to(writer.write))
        case _:
            return None


def _table_to(table: Table) -> Output:
    if isinstance(table, JsonLines):
        return Output(Lines, _lines_to(table.write_lines))
    if isinstance(table, Batches):
        return Output(RecordBatches, _batches_to(table.write_batch))
    return Output(ColumnRows, _each_to(table.write))


def _in_order(made: Sequence[list[Numbered]]) -> tuple[NDArray[np.intp], list[Any]]:
    """Return the order of all rows, and what they are in."""
    of_all = list(chain.from_iterable(made))
    numbers = [numbers for numbers, _ in of_all]
    order = np.argsort(np.concatenate(numbers)) if numbers else np.empty(0, np.intp)
    return order, [each for _, each in of_all]


def _lines_to(write: Callable[[bytes], object]) -> Callable[[Sequence[list[Numbered]]], None]:
    def write_all(made: Sequence[list[Numbered]]) -> None:
        order, parts = _in_order(made)
        lines = b"".join(parts).splitlines(keepends=True)
        write(b"".join(map(lines.__getitem__, order.tolist())))

    return write_all


def _batches_to(
    write: "Callable[[pa.RecordBatch], object]",
) -> Callable[[Sequence[list[Numbered]]], None]:
    def write_all(made: Sequence[list[Numbered]]) -> None:
        order, batches = _in_order(made)
        if batches:
            table = one_table(batches).take(order)
            for batch in table.combine_chunks().to_batches():
                write(batch)

    return write_all


def _each_to(write: Callable[[Any], object]) -> Callable[[Sequence[list[Numbered]]], None]:
    def write_all(made: Sequence[list[Numbered]]) -> None:
        order, parts = _in_order(made)
        each = list(chain.from_iterable(parts))
        for place in order.tolist():
            write(each[place])

    return write_all
