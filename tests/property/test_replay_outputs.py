"""All outputs of a replay say the same, in every field, as its objects do."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firezone_filter import Direction, Policy
from firezone_filter.capture.formats import PcapWriter
from firezone_filter.capture.reader import Capture
from firezone_filter.capture.stream import NS_PER_S
from firezone_filter.replay import Decided, Replay, replay
from firezone_filter.replay.rows import DECISION_FIELDS, FLOW_FIELDS, TIMES
from firezone_filter.testing import packets_of, policies

arrow = pytest.importorskip("pyarrow", reason="needs the extra replay")
parquet = pytest.importorskip("pyarrow.parquet", reason="needs the extra replay")

START_NS = 1_700_000_000 * NS_PER_S

Row = dict[str, Any]


@st.composite
def replays(draw: st.DrawFn) -> tuple[bytes, Policy]:
    """Draw a policy, and a capture of packets that have to do with it, some of them cut."""
    policy = draw(policies().filter(lambda policy: policy.clients))
    packets = st.one_of([packets_of(policy, direction) for direction in Direction])
    stream, time_ns = io.BytesIO(), START_NS
    writer = PcapWriter(stream)
    for packet in draw(st.lists(packets, min_size=1, max_size=12)):
        time_ns += draw(st.sampled_from((0, 1, 999_999_999, 61 * NS_PER_S)))
        size = draw(st.sampled_from((None, None, None, 40, 24)))
        # Repeated, since a decision that is remembered has to be written likewise.
        for _ in range(draw(st.integers(1, 2))):
            writer.write(time_ns, packet[:size], len(packet))
    return stream.getvalue(), policy


def run_of(capture: bytes, policy: Policy) -> Replay:
    return replay(io.BytesIO(capture), policy)


def in_format(capture: bytes, policy: Policy, folder: Path, ending: str) -> tuple[Path, Path]:
    decisions, flows = folder / f"d{ending}", folder / f"f{ending}"
    run_of(capture, policy).write(decisions=decisions, flows=flows)
    return decisions, flows


def json_rows(path: Path, names: Sequence[str]) -> list[Row]:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [{name: line.get(name) for name in names} for line in lines]


def csv_rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def as_texts(rows: list[Row]) -> list[dict[str, str]]:
    return [
        {name: "" if value is None else str(value) for name, value in row.items()} for row in rows
    ]


def parquet_rows(path: Path) -> list[Row]:
    table = parquet.read_table(path)
    columns = {name: _plain(table[name]).to_pylist() for name in table.column_names}
    return [
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ]


def _plain(column: Any) -> Any:  # noqa: ANN401 - of Arrow
    return column.cast(arrow.int64()) if arrow.types.is_timestamp(column.type) else column


def in_ns(rows: list[Row]) -> list[Row]:
    return [
        {name: _ns(value) if name in TIMES else value for name, value in row.items()}
        for row in rows
    ]


def _ns(text: str | None) -> int | None:
    if text is None:
        return None
    moment = arrow.scalar(text[:-1]).cast(arrow.timestamp("ns"))
    return int(moment.cast(arrow.int64()).as_py())


def by_hand(decided: Decided) -> Row:
    """Return a few fields of an object as users would take them from it."""
    decision = decided.decision
    return {
        "frame": decided.frame,
        "time": decided.time_ns,
        "direction": decided.direction.value,
        "reason": getattr(decision, "reason", None),
        "client": decision.client_id,
        "resource": decided.resource_id,
        "length": decided.packet.length,
        "wire_length": decided.wire_length,
    }


@given(drawn=replays())
def test_json_lines_csv_parquet_and_objects_say_the_same(
    tmp_path_factory: pytest.TempPathFactory, drawn: tuple[bytes, Policy]
) -> None:
    folder = tmp_path_factory.mktemp("outputs")
    decisions, flows = in_format(*drawn, folder, ".jsonl")
    of_decisions = json_rows(decisions, DECISION_FIELDS)
    of_flows = json_rows(flows, ("event", *FLOW_FIELDS[1:]))
    objects = [by_hand(one) for one in run_of(*drawn).packets()]
    assert [{name: row[name] for name in objects[0]} for row in in_ns(of_decisions)] == objects
    assert len(of_flows) == len(list(run_of(*drawn).flow_events()))

    decisions, flows = in_format(*drawn, folder, ".csv")
    assert csv_rows(decisions) == as_texts(of_decisions)
    assert csv_rows(flows) == as_texts(of_flows)

    decisions, flows = in_format(*drawn, folder, ".parquet")
    assert parquet_rows(decisions) == in_ns(of_decisions)
    assert parquet_rows(flows) == in_ns(of_flows)
    read, written = run_of(*drawn).decisions().read_all(), parquet.read_table(decisions)
    assert (read.schema, read.to_pylist()) == (written.schema, written.to_pylist())


@given(drawn=replays())
def test_both_captures_together_have_all_that_was_decided(drawn: tuple[bytes, Policy]) -> None:
    forwarded, refused = io.BytesIO(), io.BytesIO()
    run_of(*drawn).write(forwarded=forwarded, refused=refused)
    decided = list(run_of(*drawn).packets())
    passed = [one.decision.allowed for one in decided]
    for stream in (forwarded, refused):
        stream.seek(0)
    assert len(list(Capture(forwarded))) == sum(passed)
    records = list(Capture(refused))
    expected = [one.record for one in decided if not one.decision.allowed]
    assert records == expected
