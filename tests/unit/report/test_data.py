"""Merging and bounds of a report's data, by example; `tests/property` has the rest."""

import numpy as np
import pytest

from firezone_filter.report.data import Example, ReportData
from firezone_filter.report.groups import Group
from firezone_filter.report.largest_flows import FlowPackets, LargestFlows
from firezone_filter.report.time_series import WIDTHS_NS, Buckets
from firezone_filter.values.decisions import Direction, Reason
from tests.reports import add, allowed, flow, refused

HOUR_S, DAY_S = 3_600, 86_400


def data_of(*packets: tuple[Group, float], max_examples: int = 9) -> ReportData:
    data = ReportData(max_examples=max_examples)
    for group, at_s in packets:
        add(data, group, at_s=at_s, text=f"at {at_s}")
    return data


@pytest.mark.parametrize("spans", [(HOUR_S, DAY_S), (DAY_S, HOUR_S), (0, 0)])
def test_the_wider_buckets_win(spans: tuple[int, int]) -> None:
    first, second = (data_of((allowed(), 0), (allowed(), span)) for span in spans)
    width = max(first.buckets.width_ns, second.buckets.width_ns)
    first.merge(second)
    assert first.buckets.width_ns == width
    assert first.by_client.total("alice") == 4


def test_two_that_lie_apart_get_buckets_for_both() -> None:
    first, second = data_of((allowed(), 0)), data_of((allowed(), DAY_S))
    first.merge(second)
    whole = data_of((allowed(), 0), (allowed(), DAY_S))
    assert (first.buckets, first.by_client) == (whole.buckets, whole.by_client)


def test_nothing_merges_with_something_both_ways() -> None:
    first, second = data_of(), data_of((allowed(), 0), (allowed(), HOUR_S))
    first.merge(second)
    first.merge(ReportData())
    assert first == data_of((allowed(), 0), (allowed(), HOUR_S))


def test_buckets_without_a_packet_widen_too() -> None:
    buckets = Buckets()
    assert buckets.widen(WIDTHS_NS[3]) == 50
    assert buckets == Buckets(WIDTHS_NS[3])


def test_of_two_examples_the_earlier_stays() -> None:
    early, late = data_of((refused(), 1)), data_of((refused(), 2))
    late.merge(early)
    assert [each.text for each in late.examples.values()] == ["at 1"]


def test_there_is_one_example_of_each_kind_and_none_of_what_passed() -> None:
    data = data_of((refused(), 1))
    for group in (allowed(), refused()):
        assert not data.wants_example(group)
        data.add_example(group, Example(0, 0, "another"))
    assert [each.text for each in data.examples.values()] == ["at 1"]


def test_at_the_limit_only_a_new_reason_or_direction_gets_an_example() -> None:
    data = data_of((refused(), 0), max_examples=1)
    assert not data.wants_example(refused("bob"))
    assert data.wants_example(refused("bob", reason=Reason.TCP_PORT))
    assert data.wants_example(refused("bob", direction=Direction.INBOUND))


def test_merged_examples_are_bounded_alike() -> None:
    parts = [data_of((refused(name), at), max_examples=1) for at, name in enumerate("ab")]
    parts[1].add_example(refused("b", reason=Reason.ICMP), Example(9, 9, "other reason"))
    parts[0].merge(parts[1])
    assert [each.text for each in parts[0].examples.values()] == ["other reason", "at 0"]


def test_small_flows_are_forgotten_of_a_full_table_and_of_merged_ones() -> None:
    tables = [LargestFlows(kept=1, full=2) for _ in range(2)]
    for place, table in enumerate(tables):
        for number in (1, 2):
            table.add(flow(number=10 * place + number), 1, number, 100 * number, passed=True)
    tables[0].merge(tables[1])
    assert len(tables[0].flows) == 1
    assert (tables[0].floor_packets, tables[0].floor_bytes) == (2, 200)
    tables[0].add(flow(number=3), 1, 1, 50, passed=True)
    tables[0].add(flow(number=4), 1, 1, 60, passed=True)
    assert list(tables[0].flows) == [flow(number=4), flow(number=3)]


def test_of_flows_that_are_apart_no_packets_are_missed() -> None:
    tables = [LargestFlows(kept=1, full=2) for _ in range(2)]
    for place, table in enumerate(tables):
        for number in (1, 2, 3):
            table.add(flow(number=10 * place + number), 1, number, 100 * number, passed=True)
    tables[0].merge(tables[1], apart=True)
    assert (tables[0].floor_packets, tables[0].floor_bytes) == (2, 200)
    assert {
        (number, count.packets, count.most_packets, count.most_bytes)
        for (_, _, _, number, _, _), count in tables[0].flows.items()
    } == {(3, 3, 3, 300), (13, 3, 3, 300)}


def test_a_flow_that_goes_on_is_counted_on() -> None:
    table, flows = LargestFlows(), [flow(number=1), flow(number=2)]
    for places in ([0, 0], [1, 0]):
        found, none = np.array(places), np.array([-1, -1])
        times, sizes = np.array([1, 2]), np.array([10, 20])
        table.add_all(FlowPackets(flows, found, [], none), times, sizes, found == 1)
    counts = [(count.packets, count.bytes, count.refused) for count in table.flows.values()]
    assert counts == [(3, 50, 0), (1, 10, 1)]


def test_counts_are_equal_to_counts_alone() -> None:
    data = data_of((allowed(), 0))
    other = data_of((allowed("bob"), 0))
    assert data.by_client != other.by_client
    assert (data.by_client == 1, data.groups == 1) == (False, False)


def test_before_any_packet_there_are_no_buckets() -> None:
    buckets, series = Buckets(), ReportData().by_client
    series.row("alice")
    series.widen(buckets, 5)
    assert series.counts("alice", buckets).tolist() == []


def test_the_later_part_says_which_resource_decided_last() -> None:
    early, late, none = LargestFlows(), LargestFlows(), LargestFlows()
    early.add(flow(), 1, 1, 1, passed=True, resource_id="early")
    late.add(flow(), 2, 1, 1, passed=True, resource_id="late")
    none.add(flow(), 3, 1, 1, passed=False)
    early.merge(late)
    early.merge(none)
    assert early.flows[flow()].resource_id == "late"
    late.merge(none)
    none.merge(late)
    assert none.flows[flow()].resource_id == "late"
