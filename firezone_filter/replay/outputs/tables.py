"""Tables of decisions and flow events, as JSON lines, CSV or Parquet.

Each writer writes to a stream that its owner opens and closes, and says all when it is finished.
"""

import csv
import io
import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, BinaryIO, Final, Protocol

from firezone_filter.logs.timestamps import rfc3339
from firezone_filter.replay.arrow import BATCH, Schema, one_table, parquet_writer, record_batch
from firezone_filter.replay.columns.batches import record_batch as column_batch
from firezone_filter.replay.columns.lines import json_lines
from firezone_filter.replay.rows import TIMES, Row, Value, decision_row, flow_row
from firezone_filter.replay.summary import Decided
from firezone_filter.values.events import FlowEvent

if TYPE_CHECKING:
    import pyarrow as pa

    from firezone_filter.replay.columns.decisions import DecisionColumns

_GROUP: Final = 16
"""Batches of the most rows in a row group of Parquet, or some rows more: enough to compress well,
little enough to hold."""

_CRLF: Final = "\r\n"


class Table(Protocol):
    """Writes rows in one format."""

    def write(self, row: Row) -> None:
        """Append *row*."""

    def write_columns(self, columns: "DecisionColumns") -> None:
        """Append the rows of *columns*."""

    def finish(self) -> None:
        """Write whatever is left; no row may follow."""


class JsonLines:
    """Writes a line with a JSON object for every row."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def write(self, row: Row) -> None:
        """Append the line of *row*, with the fields that it has."""
        line = {name: _spelled(name, value) for name, value in row.items()}
        self._stream.write(json.dumps(line).encode() + b"\n")

    def write_columns(self, columns: "DecisionColumns") -> None:
        """Append the lines of all rows of *columns*."""
        self.write_lines(json_lines(columns))

    def write_lines(self, lines: bytes) -> None:
        """Append lines that others have made."""
        self._stream.write(lines)

    def finish(self) -> None:
        """Write nothing more."""


class Csv:
    """Writes a line for every row below a line of names (RFC 4180, but lines end in LF).

    A field without a value is empty. No text of a row is ever empty, so nothing else is.
    """

    def __init__(self, stream: BinaryIO, fields: Sequence[str]) -> None:
        self._stream = stream
        self._fields = fields
        self._text = io.StringIO()
        # Of the characters of its line ending it knows that they have to be quoted.
        self._lines = csv.writer(self._text, lineterminator=_CRLF)
        self._write(fields)

    def write(self, row: Row) -> None:
        """Append the line of *row*."""
        self._write([_spelled(name, row.get(name)) for name in self._fields])

    def write_columns(self, columns: "DecisionColumns") -> None:
        """Append the lines of all rows of *columns*."""
        for row in columns.rows():
            self.write(row)

    def finish(self) -> None:
        """Write nothing more."""

    def _write(self, values: Sequence[Value]) -> None:
        self._lines.writerow(values)
        line = self._text.getvalue().removesuffix(_CRLF) + "\n"
        self._stream.write(line.encode())
        self._text.seek(0)
        self._text.truncate()


class Batches:
    """Hands on record batches: those made of rows here, and those that others have made."""

    def __init__(self, schema: Schema, take: "Callable[[pa.RecordBatch], object]") -> None:
        self.write_batch = take
        """Takes a batch that follows all rows before it."""
        self._schema = schema
        self._rows: list[Row] = []

    def write(self, row: Row) -> None:
        """Append *row*."""
        self._rows.append(row)
        if len(self._rows) == BATCH:
            self._end_batch()

    def write_columns(self, columns: "DecisionColumns") -> None:
        """Append all rows of *columns*."""
        self.write_batch(column_batch(columns))

    def finish(self) -> None:
        """Hand on the last rows."""
        if self._rows:
            self._end_batch()

    def _end_batch(self) -> None:
        self.write_batch(record_batch(self._rows, self._schema))
        self._rows.clear()


class Parquet(Batches):
    """Writes rows as columns, in groups, compressed unless the whole file is."""

    def __init__(self, stream: BinaryIO, schema: Schema, *, compressed: bool) -> None:
        """Begin the file.

        Raises:
            MissingExtraError: pyarrow is not installed.
        """
        super().__init__(schema, self._group)
        self._writer = parquet_writer(stream, schema, compressed=compressed)
        self._batches: list[pa.RecordBatch] = []
        self._in_batches = 0

    def finish(self) -> None:
        """Write the last group and the footer, without which nobody can read the file."""
        super().finish()
        if self._batches:
            self._write_group()
        self._writer.close()

    def _group(self, batch: "pa.RecordBatch") -> None:
        self._batches.append(batch)
        self._in_batches += batch.num_rows
        if self._in_batches >= _GROUP * BATCH:
            self._write_group()

    def _write_group(self) -> None:
        self._writer.write_table(one_table(self._batches))
        self._batches.clear()
        self._in_batches = 0


class DecisionWriter:
    """Writes a row for every decided packet."""

    def __init__(self, table: Table) -> None:
        self.table = table

    def add(self, decided: Decided) -> None:
        """Write the row of *decided*."""
        self.table.write(decision_row(decided))

    def add_columns(self, columns: "DecisionColumns") -> None:
        """Write the rows of *columns*."""
        self.table.write_columns(columns)


class FlowWriter:
    """Writes a row for every flow event."""

    def __init__(self, table: Table) -> None:
        self.table = table

    def add(self, event: FlowEvent) -> None:
        """Write the row of *event*."""
        self.table.write(flow_row(event))


def _spelled(name: str, value: Value) -> Value:
    return rfc3339(value) if name in TIMES and isinstance(value, int) else value
