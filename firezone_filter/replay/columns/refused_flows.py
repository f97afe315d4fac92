"""The flows of refused packets, of which the summary keeps the first so many.

Once there is no room for more, only packets of those that are kept count, and a scan brings
thousands of others: they are left out by the hashes of their 5-tuples, all at once.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from firezone_filter.packet.numbers import IPV4_LENGTH
from firezone_filter.replay.columns.chunk import Chunk
from firezone_filter.replay.columns.distinct import distinct
from firezone_filter.replay.columns.flow_table import NO_FLOW, mixed
from firezone_filter.replay.columns.flows import Flows, last_word
from firezone_filter.replay.columns.near_ends import words_of
from firezone_filter.replay.columns.outcomes import DIRECTIONS, NOT_REFUSED, REASONS, Outcomes
from firezone_filter.replay.five_tuple import FiveTuple, read_five_tuple
from firezone_filter.replay.summary import Summary
from firezone_filter.values.decisions import Direction, Reason

Key = tuple[Direction, Reason]

Note = Callable[[Key, FiveTuple, int], object]
"""Takes note of a flow that may be one of those that are kept, and of its first row."""


class RefusedFlows:
    """Counts the flows of refused packets, apart for each direction and reason."""

    def __init__(
        self, summary: Summary, outcomes: Outcomes, flows: Flows, note: Note | None = None
    ) -> None:
        """Begin without any; *note* is called for each flow of each chunk."""
        self._note = note
        self._summary = summary
        self._outcomes = outcomes
        self._flows = flows
        # The hashes of the flows that are kept, by direction and reason, where no more have room.
        self._kept: dict[int, NDArray[np.uint64]] = {}

    def count(self, chunk: Chunk) -> None:
        """Count the flows of a chunk."""
        groups = self._outcomes.groups[chunk.outcomes[chunk.ours]]
        refused = np.flatnonzero(groups != NOT_REFUSED)
        rows, groups = chunk.ours[refused], groups[refused]
        present, first, _ = distinct(groups)
        for place in np.argsort(first).tolist():
            group = int(present[place])
            at, why = divmod(group, len(REASONS))
            self._count(chunk, rows[groups == group], group, (DIRECTIONS[at], REASONS[why]))

    def _count(self, chunk: Chunk, rows: NDArray[np.int64], group: int, key: Key) -> None:
        refusals = self._summary.refusals[key]
        numbers = chunk.flows[rows]
        is_plain = numbers != NO_FLOW
        flows, first, packets = distinct(numbers[is_plain])
        first = rows[is_plain][first]
        if refusals.is_full:
            kept = self._kept.get(group)
            if kept is None:
                kept = self._kept[group] = _hashes(refusals.flows)
            hashes = mixed(self._flows.words[:, flows])
            at = np.minimum(kept.searchsorted(hashes), len(kept) - 1)
            may_be_kept = kept[at] == hashes
            flows, first, packets = flows[may_be_kept], first[may_be_kept], packets[may_be_kept]
        found = [
            (row, self._flows.five_tuple(number), count)
            for row, number, count in zip(
                first.tolist(), flows.tolist(), packets.tolist(), strict=True
            )
        ]
        found += [
            (row, read_five_tuple(chunk.odd[row][1].captured), 1)
            for row in rows[~is_plain].tolist()
        ]
        for row, flow, count in sorted(found, key=lambda each: each[0]):
            refusals.add_flow(flow, count)
            if self._note is not None:
                self._note(key, flow, row)


def _hashes(kept: dict[FiveTuple, int]) -> NDArray[np.uint64]:
    """Return the hashes that plain packets of some flows have, in order, and another number."""
    words = [
        (
            *words_of(flow.source),
            *words_of(flow.destination),
            last_word(
                flow.protocol,
                flow.source_port,
                flow.destination_port,
                is_ipv6=len(flow.source) > IPV4_LENGTH,
            ),
        )
        for flow in kept
        if flow.source_port is not None and flow.destination_port is not None
    ]
    # (Never none at all, so that whoever looks always finds something to compare with.)
    hashes = mixed(np.array([*words, (0,) * 5], dtype=np.uint64).T)
    return np.sort(hashes)
