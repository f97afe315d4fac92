"""The columns of decisions as JSON lines.

What packets have in common is spelled once: what becomes of them, and the ends of a flow.
"""

import json
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from firezone_filter.capture.stream import NS_PER_S
from firezone_filter.logs.timestamps import rfc3339
from firezone_filter.replay.columns.decisions import DecisionColumns
from firezone_filter.replay.columns.distinct import distinct
from firezone_filter.replay.columns.flow_table import NO_FLOW
from firezone_filter.replay.rows import DECISION_FIELDS, Value

_OUTCOME: Final = DECISION_FIELDS[2:7]
_ENDS: Final = DECISION_FIELDS[7:14]
_TRANSLATED: Final = DECISION_FIELDS[16:]

_TO_THE_SECOND: Final = len("1970-01-01T00:00:00")


def json_lines(columns: DecisionColumns) -> bytes:
    """Return a line with a JSON object for every row."""
    chunk = columns.chunk
    flows = chunk.flows[chunk.ours]
    # What has no flow has ends of its own.
    ends = np.where(flows == NO_FLOW, NO_FLOW - 1 - np.arange(len(flows)), flows)
    translated = np.zeros(len(flows), dtype=np.int64)
    rows = chunk.ours.searchsorted(np.array(list(chunk.translated), dtype=np.int64))
    translated[rows] = 1 + rows
    times = columns.numbers("time")
    seconds, ns = np.divmod(times, NS_PER_S)
    lines = [
        f'{{"frame": {frame}, "time": "{second}.{fraction:09}Z", {outcome}, {both}, '
        f'"length": {length}, "wire_length": {wire_length}, {other}}}\n'
        for frame, second, fraction, outcome, both, length, wire_length, other in zip(
            columns.numbers("frame").tolist(),
            _seconds(seconds),
            ns.tolist(),
            _spelled(columns, _OUTCOME, chunk.outcomes[chunk.ours]),
            _spelled(columns, _ENDS, ends),
            columns.numbers("length").tolist(),
            columns.numbers("wire_length").tolist(),
            _spelled(columns, _TRANSLATED, translated),
            strict=True,
        )
    ]
    return "".join(lines).encode()


def _seconds(seconds: NDArray[np.int64]) -> list[str]:
    texts = {
        second: rfc3339(second * NS_PER_S)[:_TO_THE_SECOND]
        for second in dict.fromkeys(seconds.tolist())
    }
    return [texts[second] for second in seconds.tolist()]


def _spelled(
    columns: DecisionColumns, names: Sequence[str], keys: NDArray[np.signedinteger]
) -> list[str]:
    """Return the fields of *names* in each row; rows of equal *keys* have the same."""
    present, first, _ = distinct(keys)
    # As `json.dumps` has them, which would take three times as long for all together.
    spelled = [
        [f'"{name}": {_json(value)}' for value in columns.values(name, first)] for name in names
    ]
    texts = dict(zip(present.tolist(), map(", ".join, zip(*spelled, strict=True)), strict=True))
    return [texts[key] for key in keys.tolist()]


def _json(value: Value) -> str:
    if value is None:
        return "null"
    return str(value) if isinstance(value, int) else json.dumps(value)
