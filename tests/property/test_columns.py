"""A replay by columns gives what one packet by packet gives, in every field and every column."""

import random

import numpy as np
import pytest
from attrs import frozen
from hypothesis import given
from hypothesis import strategies as st

from firezone_filter import Direction, FirezoneFilterError
from firezone_filter.capture.stream import NS_PER_S
from firezone_filter.replay import summary as summary_module
from firezone_filter.replay.clock import CaptureClock
from firezone_filter.replay.columns import (
    decisions,
    engine,
    flow_ends,
    flow_table,
    flows,
    outcomes,
    report_feed,
)
from firezone_filter.replay.columns.flow_table import WordTable
from firezone_filter.replay.columns.times import settle, to_seconds
from firezone_filter.report.data import ReportData
from firezone_filter.report.largest_flows import LargestFlows
from tests.columns import by_columns, by_packets, chunks_of, orders
from tests.property.captured import random_policy, random_records


@frozen
class Way:
    """A way to hand in a capture, and what is asked for."""

    seed: int
    count: int
    size: int
    gap: int
    decisions: bool
    flows: bool
    report: bool
    few: bool
    """Whether limits are so low that most captures reach them."""


ways = st.builds(
    Way,
    seed=st.integers(0, 2**64),
    count=st.sampled_from((200, 60, 8, 3, 0)),
    size=st.sampled_from((1_000, 1, 3, 50)),
    gap=st.sampled_from((0, 16)),
    decisions=st.booleans(),
    flows=st.sampled_from((False, False, True)),
    report=st.booleans(),
    few=st.booleans(),
)


def data_for(way: Way) -> ReportData | None:
    if not way.report:
        return None
    if way.few:
        return ReportData(flows=LargestFlows(kept=2, full=4), max_examples=2)
    return ReportData()


@given(ways)
def test_columns_are_packets(way: Way) -> None:
    draw = random.Random(way.seed)
    policy = random_policy(draw)
    records = random_records(draw, policy, way.count)
    with pytest.MonkeyPatch.context() as patch:
        if way.few:
            for name in ("MAX_FLOWS", "MAX_ADDRESSES", "MAX_KINDS", "MAX_EVENTS"):
                patch.setattr(summary_module, name, 2)
            patch.setattr(engine.ColumnReplay, "step", 5)
            patch.setattr(flows, "MAX_FLOWS", 2)
            patch.setattr(outcomes, "_MANY", 2)
            patch.setattr(report_feed, "MAX_KNOWN", 2)
            patch.setattr(decisions, "_FEW", 2)
            for module in (flow_ends, flows, outcomes):
                patch.setattr(module, "_ROOM", 1)
        chunks = chunks_of(records, way.size, way.gap)
        try:
            expected = by_packets(records, policy, flows=way.flows, report=data_for(way))
        except FirezoneFilterError as error:  # pragma: no cover - drawn seldom
            with pytest.raises(type(error)):
                by_columns(chunks, policy, flows=way.flows)
            return
        found = by_columns(
            chunks, policy, decisions=way.decisions, flows=way.flows, report=data_for(way)
        )
        assert found.summary == expected.summary
        assert orders(found.summary) == orders(expected.summary)
        assert found.flows == expected.flows
        assert found.events == expected.events
        assert found.report == expected.report
        if way.decisions:
            assert found.decisions == expected.decisions
            assert found.captures == expected.captures
            assert found.lines == expected.lines
            assert found.batches == expected.batches


def test_reports_of_columns_forget_flows_and_know_translated_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(report_feed, "MAX_KNOWN", 2)
    monkeypatch.setattr(report_feed, "_FEW", 1)
    draw = random.Random(5)
    policy = random_policy(draw)
    records = random_records(draw, policy, 400)
    expected = by_packets(records, policy, report=ReportData()).report
    found = by_columns(chunks_of(records, 30), policy, report=ReportData()).report
    assert expected is not None
    assert found == expected
    kinds = {(group.direction, group.kind) for group in expected.groups.numbers}
    assert {(direction, "translate") for direction in Direction} <= kinds


words = st.integers(0, 3) | st.integers(0, 2**64 - 1)


@given(st.lists(st.lists(st.tuples(words, words), max_size=60), max_size=8))
def test_flow_tables_number_flows_as_a_dict_does(parts: list[list[tuple[int, int]]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        # So few slots that keys meet in them, and the table grows.
        patch.setattr(flow_table, "_FEW", 4)
        expected: dict[tuple[int, ...], int] = {}
        table = WordTable(2)
        for part in parts:
            columns = [np.array([key[at] for key in part], dtype=np.uint64) for at in (0, 1)]
            known = len(expected)
            numbers = [expected.setdefault(key, len(expected)) for key in part]
            found, new = table.find((columns[0], columns[1]), known)
            assert found.tolist() == numbers
            assert [part[place] for place in new] == [*expected][known:]


@given(
    st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(0, 2**62), max_size=20),
    st.integers(0, 2**62),
    st.booleans(),
)
def test_times_settle_as_the_clock_settles_them(
    times: list[int],
    begin: int,
    is_set: bool,  # noqa: FBT001 - drawn
) -> None:
    clock, other = CaptureClock(begin, is_set=is_set), CaptureClock(begin, is_set=is_set)
    settled = settle(clock, np.array(times, dtype=np.int64))
    latest, odd = [], []
    for time_ns in times:
        odd.append(other.advance(time_ns))
        latest.append(other.latest_ns)
    assert clock == other
    assert settled.latest_ns.tolist() == latest
    is_odd = [False] * len(times) if settled.is_odd is None else settled.is_odd.tolist()
    assert is_odd == odd


@given(st.lists(st.integers(0, 2**62) | st.integers(0, 2**55), min_size=1))
def test_seconds_are_rounded_once(times: list[int]) -> None:
    expected = [time_ns / NS_PER_S for time_ns in times]
    assert to_seconds(np.array(times, dtype=np.int64)).tolist() == expected
