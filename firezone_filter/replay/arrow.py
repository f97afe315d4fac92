"""Rows as columns of Arrow: the schemas, record batches, and Parquet.

pyarrow is imported when it is used: it belongs to the extra `replay`.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from firezone_filter.capture.extras import module_of
from firezone_filter.replay.rows import DECISION_FIELDS, FLOW_FIELDS, TIMES, Row

if TYPE_CHECKING:
    import pyarrow as pa

BATCH: Final = 16_384
"""Rows in a record batch. As objects, before they become columns, they take some 25 MB."""

Schema = Callable[[], "pa.Schema"]
"""Makes a schema, when there is one to be made."""

_CLOSED: Final = frozenset({"direction", "decision", "reason", "event", "cause"})
"""Texts of which there are a few, known ahead."""

_IDS: Final = frozenset({"client", "resource", "client_id", "resource_id", "domain"})

_ADDRESSES: Final = frozenset(
    {
        "source",
        "destination",
        "translated_source",
        "translated_destination",
        "inner_src_ip",
        "inner_dst_ip",
        "far_ip",
    }
)

_BYTES: Final = frozenset({"protocol", "icmp_type", "icmp_code"})


def pyarrow() -> Any:  # noqa: ANN401 - a module, which has no types of its own
    """Return the module `pyarrow`.

    Raises:
        MissingExtraError: It is not installed.
    """
    return module_of("replay", "pyarrow")


def decision_schema() -> "pa.Schema":
    """Return the columns of decisions."""
    return _schema(DECISION_FIELDS)


def flow_schema() -> "pa.Schema":
    """Return the columns of flow events."""
    return _schema(FLOW_FIELDS)


def _schema(names: Sequence[str]) -> "pa.Schema":
    arrow = pyarrow()
    return arrow.schema([arrow.field(name, _type(arrow, name)) for name in names])


def _type(arrow: Any, name: str) -> "pa.DataType":  # noqa: ANN401 - the module
    if name in TIMES:
        return arrow.timestamp("ns", "UTC")
    if name in _CLOSED:
        return arrow.dictionary(arrow.int8(), arrow.utf8())
    if name in _IDS:
        return arrow.dictionary(arrow.int32(), arrow.utf8())
    if name in _ADDRESSES:
        return arrow.utf8()
    if name in _BYTES:
        return arrow.int16()
    # Signed and wide, so that differences and sums of them are what they seem to be.
    return arrow.int32() if name.endswith("_port") else arrow.int64()


def record_batch(rows: Sequence[Row], schema: Schema) -> "pa.RecordBatch":
    """Return *rows* as columns; a field that a row lacks is null."""
    arrow = pyarrow()
    columns = schema()
    arrays = [_array(arrow, [row.get(one.name) for row in rows], one.type) for one in columns]
    return arrow.record_batch(arrays, schema=columns)


def _array(arrow: Any, values: list[Any], kind: "pa.DataType") -> "pa.Array":  # noqa: ANN401
    if not arrow.types.is_dictionary(kind):
        return arrow.array(values, kind)
    numbers: dict[str, int] = {}
    indices = [
        None if value is None else numbers.setdefault(str(value), len(numbers)) for value in values
    ]
    return arrow.DictionaryArray.from_arrays(
        arrow.array(indices, kind.index_type), arrow.array(list(numbers), kind.value_type)
    )


def reader(rows: Iterable[Row], schema: Schema) -> "pa.RecordBatchReader":
    """Return a reader of *rows*, which takes them a batch at a time.

    Raises:
        MissingExtraError: pyarrow is not installed.
    """

    def batches() -> Iterator["pa.RecordBatch"]:
        following = iter(rows)
        while batch := list(islice(following, BATCH)):
            yield record_batch(batch, schema)

    return batch_reader(batches(), schema)


def batch_reader(batches: "Iterator[pa.RecordBatch]", schema: Schema) -> "pa.RecordBatchReader":
    """Return a reader of *batches*, which takes one at a time.

    Raises:
        MissingExtraError: pyarrow is not installed.
    """
    return pyarrow().RecordBatchReader.from_batches(schema(), batches)


def data_frame(batches: "pa.RecordBatchReader") -> Any:  # noqa: ANN401 - pandas'
    """Return *batches* as a `pandas.DataFrame`, with integers as integers.

    Raises:
        MissingExtraError: pandas is not installed.
    """
    arrow, pandas = pyarrow(), module_of("replay", "pandas")
    # Without them, pandas makes floats of integers among which there are nulls.
    nullable = {
        arrow.int16(): pandas.Int16Dtype(),
        arrow.int32(): pandas.Int32Dtype(),
        arrow.int64(): pandas.Int64Dtype(),
    }
    return batches.read_all().to_pandas(types_mapper=nullable.get)


def one_table(batches: Sequence["pa.RecordBatch"]) -> "pa.Table":
    """Return *batches* as one table, with one dictionary for each column that has any."""
    return pyarrow().Table.from_batches(batches).unify_dictionaries().combine_chunks()


def parquet_writer(stream: BinaryIO, schema: Schema, *, compressed: bool) -> Any:  # noqa: ANN401
    """Return pyarrow's writer of Parquet.

    Raises:
        MissingExtraError: pyarrow is not installed.
    """
    parquet = module_of("replay", "pyarrow.parquet")
    columns = schema()
    # What differs in nearly every row makes no dictionary, but small steps.
    steps = [name for name in columns.names if name in TIMES or name == "frame"]
    return parquet.ParquetWriter(
        stream,
        columns,
        compression="zstd" if compressed else "none",
        use_dictionary=[name for name in columns.names if name not in steps],
        column_encoding=dict.fromkeys(steps, "DELTA_BINARY_PACKED"),
    )
