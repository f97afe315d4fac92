"""The columns of decisions as record batches of Arrow, with the schema that rows get.

pyarrow is imported when it is used: it belongs to the extra `replay`.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from firezone_filter.replay.arrow import decision_schema, pyarrow
from firezone_filter.replay.columns.decisions import NONE, Coded, Column, DecisionColumns

if TYPE_CHECKING:
    import pyarrow as pa


def record_batch(columns: DecisionColumns) -> "pa.RecordBatch":
    """Return *columns* as a record batch.

    Raises:
        MissingExtraError: pyarrow is not installed.
    """
    arrow, schema = pyarrow(), decision_schema()
    arrays = [_array(arrow, columns.columns[one.name], one.type) for one in schema]
    return arrow.record_batch(arrays, schema=schema)


def _array(arrow: Any, column: Column, kind: "pa.DataType") -> "pa.Array":  # noqa: ANN401 - module
    if isinstance(column, Coded):
        return _texts(arrow, column, kind)
    if arrow.types.is_timestamp(kind):
        return arrow.array(column).cast(kind)
    values = column.astype(kind.to_pandas_dtype())
    return arrow.array(values, kind, mask=_nulls(column))


def _texts(arrow: Any, column: Coded, kind: "pa.DataType") -> "pa.Array":  # noqa: ANN401 - module
    is_dictionary = arrow.types.is_dictionary(kind)
    numbers = arrow.int32() if not is_dictionary else kind.index_type
    indices = arrow.array(
        column.codes.astype(numbers.to_pandas_dtype()), numbers, mask=_nulls(column.codes)
    )
    encoded = arrow.DictionaryArray.from_arrays(indices, arrow.array(column.values, arrow.utf8()))
    return encoded if is_dictionary else encoded.dictionary_decode()


def _nulls(values: NDArray[Any]) -> NDArray[np.bool_] | None:
    is_null: NDArray[np.bool_] = values == NONE
    return is_null if is_null.any() else None
