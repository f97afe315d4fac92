"""What a report shows of a replay.

These are packets by time, client, resource and reason, large flows, and examples of refusals. It
grows with the clients and resources of the policy that occur, as the summary does, and not with
the capture. It is fed with packets, one by one or many at once, and two of it merge: what several
processes have counted is what one would have, but for flows and examples beyond their bounds.
"""

from typing import Final

import numpy as np
from attrs import Factory, define, evolve, field, frozen
from numpy.typing import NDArray

from firezone_filter.report.groups import Group, Groups, Name
from firezone_filter.report.largest_flows import Conversation, FlowPackets, LargestFlows
from firezone_filter.report.time_series import PASSED, REFUSED, Buckets, TimeSeries
from firezone_filter.values.decisions import Direction, Reason

MAX_EXAMPLES: Final = 256
"""Refusals with an example; each direction and reason has one beyond them."""

MAX_TEXT: Final = 8_192
"""Characters of an explanation. With thousands of resources that cover one address, the list of
them is cut."""

Outcome = tuple[Direction, Reason | None]
"""A direction, and why packets were refused; `None` for those that passed."""


@frozen(order=True)
class Example:
    """One refused packet, and why it was refused."""

    time_ns: int
    """When it was decided, in nanoseconds of Unix time."""

    frame: int
    """The number of its frame in the capture, from 1."""

    text: str
    """The explanation, in words."""


ExampleKey = tuple[Direction, Reason, Name, Name]
"""A direction, a reason, a client and a resource."""


def key_of(group: Group) -> ExampleKey | None:
    """Return what a group of refused packets has an example by; `None` if they passed."""
    if group.reason is None:
        return None
    return group.direction, group.reason, group.client_id, group.resource_id


@define
class _Rows:
    """The rows of each group in the series, by its number."""

    values: NDArray[np.int64] = Factory(lambda: np.zeros((4, 64), dtype=np.int64))

    def set(self, number: int, rows: tuple[int, int, int, int]) -> None:
        if number == self.values.shape[1]:
            self.values = np.concatenate([self.values, np.zeros_like(self.values)], axis=1)
        self.values[:, number] = rows


@define
class ReportData:
    """Everything that a report is made of."""

    buckets: Buckets = Factory(Buckets)
    by_outcome: TimeSeries[Outcome] = Factory(TimeSeries)
    by_client: TimeSeries[Name] = Factory(TimeSeries)
    by_resource: TimeSeries[Name] = Factory(TimeSeries)
    groups: Groups = Factory(Groups)
    flows: LargestFlows = Factory(LargestFlows)
    examples: dict[ExampleKey, Example] = Factory(dict)
    max_examples: int = field(factory=lambda: MAX_EXAMPLES, kw_only=True)
    _rows: _Rows = field(init=False, eq=False, factory=_Rows)
    _outcomes: set[Outcome] = field(init=False, eq=False, factory=set)
    """Those of which there is an example."""

    def number(self, group: Group) -> int:
        """Return the number by which packets of *group* are counted."""
        known = len(self.groups)
        number = self.groups.number(group)
        if number == known:
            self._rows.set(
                number,
                (
                    self.by_outcome.row((group.direction, group.reason)),
                    self.by_client.row(group.client_id),
                    self.by_resource.row(group.resource_id),
                    PASSED if group.reason is None else REFUSED,
                ),
            )
        return number

    def add(
        self, group: Group, flow: Conversation, time_ns: int, size: int, packets: int = 1
    ) -> None:
        """Count packets that are alike.

        Args:
            group: what they are counted by.
            flow: the flow that they belong to.
            time_ns: when they were decided, as the replay's clock has it. Time stamps that it
                does not follow would stretch the time axis over decades.
            size: the bytes of all of them on the wire.
            packets: how many there are.
        """
        number, passed = self.number(group), group.reason is None
        bucket = time_ns // self.buckets.width_ns
        if bucket != self.buckets.last:
            self._reach(time_ns, time_ns)
            bucket = time_ns // self.buckets.width_ns
        self.groups.add(number, time_ns, packets, size)
        outcome, client, resource, _ = self._rows.values[:, number].tolist()
        self.by_outcome.add(outcome, bucket, packets, passed=passed)
        self.by_client.add(client, bucket, packets, passed=passed)
        self.by_resource.add(resource, bucket, packets, passed=passed)
        self.flows.add(flow, time_ns, packets, size, passed=passed, resource_id=group.resource_id)

    def add_all(
        self,
        numbers: NDArray[np.int64],
        times_ns: NDArray[np.int64],
        sizes: NDArray[np.int64],
        flows: FlowPackets,
    ) -> None:
        """Count a packet for each element of the arrays, as `add` would do one by one.

        Args:
            numbers: the numbers of their groups, each `number` of one.
            times_ns: when they were decided.
            sizes: their bytes on the wire.
            flows: the flows that they belong to.
        """
        if not len(numbers):
            return
        self._reach(int(times_ns.min()), int(times_ns.max()))
        buckets = times_ns // self.buckets.width_ns
        outcome, client, resource, passage = self._rows.values[:, numbers]
        self.groups.add_all(numbers, times_ns, sizes)
        self.by_outcome.add_all(outcome, buckets, passage)
        self.by_client.add_all(client, buckets, passage)
        self.by_resource.add_all(resource, buckets, passage)
        self.flows.add_all(flows, times_ns, sizes, passage == REFUSED)

    def wants_example(self, group: Group) -> bool:
        """Return whether an example of *group* would be kept: only of refused packets."""
        key = key_of(group)
        if key is None or key in self.examples:
            return False
        return len(self.examples) < self.max_examples or key[:2] not in self._outcomes

    def add_example(self, group: Group, example: Example) -> None:
        """Keep *example* of *group*, if `wants_example`."""
        key = key_of(group)
        if key is not None and self.wants_example(group):
            self.examples[key] = example
            self._outcomes.add(key[:2])

    def merge(self, other: "ReportData", *, apart: bool = False) -> None:
        """Add everything of *other*, whose buckets may become wider by it.

        Args:
            other: what has been counted elsewhere.
            apart: whether no flow had packets in both, so that none of its packets can have been
                missed in the other.
        """
        if other.buckets.first is not None and other.buckets.last is not None:
            self._let_be_alike(other)
            other_ns = other.buckets.width_ns
            self._reach(other.buckets.first * other_ns, other.buckets.last * other_ns)
            other._let_be_alike(self)  # noqa: SLF001 - it is of this class
        self.by_outcome.merge(other.by_outcome)
        self.by_client.merge(other.by_client)
        self.by_resource.merge(other.by_resource)
        for group, count in other.groups.items():
            self.groups.merge(self.number(group), count)
        self.flows.merge(other.flows, apart=apart)
        for key, example in other.examples.items():
            self.examples[key] = min(example, self.examples.get(key, example))
        self._drop_examples()

    def _reach(self, first_ns: int, last_ns: int) -> None:
        before = evolve(self.buckets)
        self._widen(before, self.buckets.reach(first_ns, last_ns))

    def _let_be_alike(self, other: "ReportData") -> None:
        before = evolve(self.buckets)
        self._widen(before, self.buckets.widen(other.buckets.width_ns))

    def _widen(self, before: Buckets, factor: int) -> None:
        if factor > 1:
            self.by_outcome.widen(before, factor)
            self.by_client.widen(before, factor)
            self.by_resource.widen(before, factor)

    def _drop_examples(self) -> None:
        """Keep the earliest examples, and the earliest of each direction and reason."""
        kept: dict[ExampleKey, Example] = {}
        self._outcomes = set()
        for key, example in sorted(self.examples.items(), key=lambda item: item[1]):
            if len(kept) < self.max_examples or key[:2] not in self._outcomes:
                kept[key] = example
                self._outcomes.add(key[:2])
        self.examples = kept
