"""The data of a report agree with a plain count, whole, in parts, and within its bounds."""

from collections import Counter
from itertools import pairwise

import numpy as np
from attrs import evolve, frozen
from hypothesis import given
from hypothesis import strategies as st

from firezone_filter.report.data import Example, ReportData
from firezone_filter.report.groups import Group
from firezone_filter.report.largest_flows import Conversation, FlowPackets, LargestFlows
from firezone_filter.report.time_series import (
    MAX_BUCKETS,
    PASSED,
    REFUSED,
    WIDTHS_NS,
    Buckets,
)
from firezone_filter.values.decisions import Direction, Reason

END_NS = 2**32 * 10**9


@frozen
class Seen:
    """Some packets, as `ReportData.add` takes them."""

    group: Group
    flow: Conversation
    time_ns: int
    size: int
    packets: int


def flow_of(number: int) -> Conversation:
    return Conversation("alice", 6, b"\x64\x40\0\2", number, b"\x0a\0\0\5", 443)


def group_of(
    client: str | None,
    resource: str | None = None,
    direction: Direction = Direction.OUTBOUND,
    reason: Reason | None = None,
) -> Group:
    return Group(direction, client, resource, "drop" if reason else "forward", reason)


names = st.sampled_from([None, "a", "b", "c", "d", "e"])
groups = st.builds(
    lambda direction, client, resource, reason: group_of(client, resource, direction, reason),
    st.sampled_from(Direction),
    names,
    names,
    st.sampled_from([None, None, Reason.NO_RESOURCE, Reason.TCP_PORT]),
)
# Captures of a blink, of hours, and of a century.
times = st.sampled_from([10**6, 10**10, 10**14, END_NS // 2]).flatmap(
    lambda span: st.integers(END_NS // 4, END_NS // 4 + span)
)
seen = st.builds(
    Seen,
    groups,
    st.integers(0, 20).map(flow_of),
    times,
    st.integers(20, 9_000),
    st.integers(1, 3),
)
captures = st.lists(seen, max_size=80)


def counted(packets: list[Seen], limit: int = 100) -> ReportData:
    data = ReportData(max_examples=limit)
    for each in packets:
        data.add(each.group, each.flow, each.time_ns, each.size, each.packets)
        if data.wants_example(each.group):
            data.add_example(each.group, Example(each.time_ns, 1, str(each.time_ns)))
    return data


@given(captures)
def test_groups_are_a_plain_count(packets: list[Seen]) -> None:
    data = counted(packets)
    assert {group: count.packets for group, count in data.groups.items()} == sums(packets)
    for group, count in data.groups.items():
        own = [each for each in packets if each.group == group]
        assert count.bytes == sum(each.size for each in own)
        assert count.first_ns == min(each.time_ns for each in own)
        assert count.last_ns == max(each.time_ns for each in own)


def sums(packets: list[Seen]) -> Counter[Group]:
    totals: Counter[Group] = Counter()
    for each in packets:
        totals[each.group] += each.packets
    return totals


@given(captures)
def test_time_is_counted_as_if_the_width_had_been_known(packets: list[Seen]) -> None:
    data = counted(packets)
    buckets, width = data.buckets, data.buckets.width_ns
    for of, series in (("client_id", data.by_client), ("resource_id", data.by_resource)):
        plain: Counter[tuple[object, int, int]] = Counter()
        for each in packets:
            passage = PASSED if each.group.reason is None else REFUSED
            plain[getattr(each.group, of), each.time_ns // width, passage] += each.packets
        assert plain == {
            (name, (buckets.first or 0) + place, passage): there
            for name in series.names
            for place, both in enumerate(series.counts(name, buckets).tolist())
            for passage, there in enumerate(both)
            if there
        }


@given(captures)
def test_buckets_are_few_and_as_narrow_as_that_allows(packets: list[Seen]) -> None:
    data = counted(packets)
    ends = [each.time_ns for each in packets]
    if not ends:
        assert (data.buckets.first, data.buckets.last) == (None, None)
        return
    width = data.buckets.width_ns
    assert (data.buckets.first, data.buckets.last) == (min(ends) // width, max(ends) // width)
    assert max(ends) // width - min(ends) // width < MAX_BUCKETS
    if width != WIDTHS_NS[0]:
        narrower = WIDTHS_NS[WIDTHS_NS.index(width) - 1]
        assert max(ends) // narrower - min(ends) // narrower >= MAX_BUCKETS


def test_each_width_divides_the_next_and_the_last_has_room_for_all_years() -> None:
    for width, wider in pairwise(WIDTHS_NS):
        assert wider % width == 0
        assert wider <= 5 * width
    assert END_NS // WIDTHS_NS[-1] < MAX_BUCKETS


@given(captures, st.integers(0, 80))
def test_parts_merge_to_the_whole(packets: list[Seen], at: int) -> None:
    merged = counted(packets[:at])
    merged.merge(counted(packets[at:]))
    whole = counted(packets)
    assert merged.buckets == whole.buckets
    assert merged.by_outcome == whole.by_outcome
    assert merged.by_client == whole.by_client
    assert merged.by_resource == whole.by_resource
    assert merged.groups == whole.groups
    assert sizes(merged.flows) == sizes(whole.flows)
    assert merged.examples.keys() == whole.examples.keys()


def sizes(flows: LargestFlows) -> dict[Conversation, tuple[int, ...]]:
    return {
        flow: (count.packets, count.bytes, count.refused, count.first_ns, count.last_ns)
        for flow, count in flows.flows.items()
    }


@given(captures, st.integers(0, 80), st.integers(1, 5))
def test_examples_are_bounded_and_each_reason_has_one(
    packets: list[Seen], at: int, limit: int
) -> None:
    data = counted(packets[:at], limit)
    data.merge(counted(packets[at:], limit))
    outcomes = {(each.group.direction, each.group.reason) for each in packets if each.group.reason}
    assert {key[:2] for key in data.examples} == outcomes
    assert len(data.examples) <= limit + len(outcomes)


@given(captures, st.integers(1, 40), st.integers(1, 4))
def test_many_packets_at_once_are_counted_as_one_by_one(
    packets: list[Seen], step: int, kept: int
) -> None:
    one_by_one = ReportData(flows=LargestFlows(kept=kept, full=2 * kept))
    at_once = ReportData(flows=LargestFlows(kept=kept, full=2 * kept))
    for each in packets:
        one_by_one.add(each.group, each.flow, each.time_ns, each.size)
    for first in range(0, len(packets), step):
        add_at_once(at_once, packets[first : first + step])
    assert at_once == one_by_one
    assert list(at_once.flows.flows) == list(one_by_one.flows.flows)


def add_at_once(data: ReportData, packets: list[Seen]) -> None:
    flows = list(dict.fromkeys(each.flow for each in packets))
    resources = sorted({each.group.resource_id for each in packets if each.group.resource_id})
    places = {name: place for place, name in enumerate(resources)}
    data.add_all(
        np.array([data.number(each.group) for each in packets]),
        np.array([each.time_ns for each in packets]),
        np.array([each.size for each in packets]),
        FlowPackets(
            flows,
            np.array([flows.index(each.flow) for each in packets]),
            resources,
            np.array([places.get(each.group.resource_id or "", -1) for each in packets]),
        ),
    )


def test_no_packets_at_once_are_nothing() -> None:
    data, none = ReportData(), np.empty(0, dtype=np.int64)
    data.add_all(none, none, none, FlowPackets([], none, [], none))
    assert data == ReportData()


def test_a_policy_of_many_clients_has_room() -> None:
    data = ReportData()
    seen = [Seen(group_of(f"{number}"), flow_of(1), END_NS // 4, 20, 1) for number in range(500)]
    add_at_once(data, seen)
    assert [count.packets for count in data.groups.values()] == [1] * 500
    assert {data.by_client.total(name) for name in data.by_client.names} == {1}


flow_packets = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 1_000)), max_size=120)


def table_of(packets: list[tuple[int, int]]) -> LargestFlows:
    table = LargestFlows(kept=4, full=8)
    for time_ns, (number, size) in enumerate(packets):
        table.add(flow_of(number), time_ns, 1, size, passed=True)
    return table


@given(flow_packets, flow_packets)
def test_no_flow_above_the_floor_is_missed_and_each_is_as_large_as_it_says(
    packets: list[tuple[int, int]], more: list[tuple[int, int]]
) -> None:
    table = table_of(packets)
    table.merge(table_of(more))
    assert len(table.flows) <= 8
    for number in range(41):
        size = sum(size for each, size in packets + more if each == number)
        count = sum(1 for each, _ in packets + more if each == number)
        kept = table.flows.get(flow_of(number))
        if kept is None:
            assert size <= table.floor_bytes
            assert count <= table.floor_packets
        else:
            assert kept.bytes <= size <= kept.most_bytes
            assert kept.packets <= count <= kept.most_packets


@given(flow_packets)
def test_the_floor_is_a_share_of_the_whole(packets: list[tuple[int, int]]) -> None:
    table = table_of(packets)
    assert table.floor_packets <= len(packets) / 4
    assert table.floor_bytes <= sum(size for _, size in packets) / 4


@given(st.lists(times, min_size=1, max_size=5), st.sampled_from(WIDTHS_NS))
def test_buckets_widen_without_losing_their_ends(ends: list[int], width: int) -> None:
    buckets = Buckets()
    for time_ns in ends:
        buckets.reach(time_ns, time_ns)
    before = evolve(buckets)
    assert (buckets.widen(width) > 1) is (width > before.width_ns)
    assert buckets.first == min(ends) // buckets.width_ns
    assert buckets.last == max(ends) // buckets.width_ns
