"""What the reader decides itself: packets of flows that are known to be permitted.

Most packets of most captures are such. They change nothing that another decision depends on
(`columns.engine` says why), so nobody misses them, and to count them takes less time than to send
them. All others go to partitions: what the gateway has to be asked about, what is refused (it
takes tokens for replies), and the last packet before anything that permits is over.

The gateway here sees no packets, only the time: that is all on which permissions depend.
"""

import numpy as np
from attrs import evolve
from numpy.typing import NDArray

from firezone_filter.capture.frames import Frames
from firezone_filter.capture.stream import NS_PER_S
from firezone_filter.policy import Policy
from firezone_filter.replay.columns.chunk import Chunk
from firezone_filter.replay.columns.counting import count_frames, count_packets
from firezone_filter.replay.columns.decider import Decider
from firezone_filter.replay.columns.distinct import distinct
from firezone_filter.replay.columns.flow_table import NO_FLOW, nothing_found
from firezone_filter.replay.columns.flows import ASK, UNKNOWN
from firezone_filter.replay.columns.links import find_packets
from firezone_filter.replay.columns.outcomes import NOT_DECIDED, NOT_REFUSED
from firezone_filter.replay.columns.times import Settled, to_seconds
from firezone_filter.replay.partitions.first_seen import FirstSeen
from firezone_filter.replay.partitions.piece import Share
from firezone_filter.replay.summary import Summary

_NOTHING = np.empty(0, dtype=np.int64)


class Permitting:
    """Decides about packets that are known to be permitted, and counts them."""

    def __init__(self, policy: Policy, start_ns: int) -> None:
        """Begin before the first frame, at the time with which the capture begins."""
        options = evolve(policy.options, flow_records=False)
        start = start_ns / NS_PER_S
        gateway = policy.gateway(start, options=options)
        self._summary = Summary()
        self._decider = _Leaving(
            gateway, start, options, self._summary, None, None, with_decisions=False
        )
        self._first_seen = FirstSeen(self._summary, self._decider.outcomes)

    def set_clock(self, now_ns: int) -> None:
        """Set the clock: the first right time stamp has come."""
        self._decider.set_clock(now_ns / NS_PER_S)

    def take(self, frames: Frames, settled: Settled) -> NDArray[np.int64]:
        """Decide about what is known; return the indexes of all other frames."""
        flows = self._decider.flows
        flows.make_room()
        self._decider.first_new = len(flows)
        found = nothing_found(len(frames))
        places = find_packets(frames)
        flows.find(frames, places, found)
        # (What has no flow reads that of another, which counts for nothing.)
        is_ours = (flows.directions[found.flows] >= 0) & (found.flows != NO_FLOW)
        chunk = Chunk(
            frames=frames,
            latest_ns=settled.latest_ns,
            places=places,
            flows=found.flows,
            lengths=found.lengths,
            is_cut=found.is_cut,
            outcomes=np.full(len(frames), NOT_DECIDED, dtype=np.int32),
            ours=np.flatnonzero(is_ours),
            plain_not_ours=_NOTHING,
        )
        if len(chunk.ours):
            self._decider.decide(chunk)
        is_left = chunk.outcomes == NOT_DECIDED
        left = np.flatnonzero(is_left)
        chunk.ours = np.flatnonzero(~is_left)
        self._count(chunk, settled, left)
        return left

    def _count(self, chunk: Chunk, settled: Settled, left: NDArray[np.int64]) -> None:
        count_frames(self._summary, chunk.frames, settled)
        self._summary.frames.packets -= len(left)
        self._summary.frames.bytes -= int(chunk.frames.captured[left].sum())
        if len(chunk.ours):
            count_packets(self._summary, self._decider.outcomes, chunk)
            self._first_seen.chunk(chunk)

    def share(self) -> Share:
        """Return the counts, when the capture is over."""
        self._decider.outcomes.fill(self._summary)
        return Share(self._summary, self._first_seen.appearances, [])


class _Leaving(Decider):
    """Leaves packets undecided, unless they are known to be permitted."""

    first_new = 0
    """The number of the first flow that is new in the present chunk."""

    def decide(self, chunk: Chunk) -> None:
        rows = chunk.ours
        ends = to_seconds(chunk.latest_ns[rows[[0, -1]]])
        last = float(ends[-1])
        if last < self._expiries.next and not self._passing.is_far(last):
            # That is almost always so, and then all other times do not matter.
            self._stretch(chunk, rows, ends)
        else:
            super().decide(chunk)

    def _stretch(
        self, chunk: Chunk, rows: NDArray[np.int64], seconds: NDArray[np.float64]
    ) -> None:
        numbers = chunk.flows[rows]
        outcomes = self.flows.outcomes[numbers]
        if (is_unknown := outcomes == UNKNOWN).any():
            self._learn(numbers[is_unknown], float(seconds[0]))
            outcomes = self.flows.outcomes[numbers]
        outcomes[-1] = NOT_DECIDED
        chunk.outcomes[rows] = np.maximum(outcomes, NOT_DECIDED)
        # Nothing is over by then.
        self._let_pass(float(seconds[-1]))

    def _learn(self, unknown: NDArray[np.int64], now: float) -> None:
        """Find out what is permitted of some flows of packets."""
        is_new = unknown >= self.first_new
        # A scan has thousands of flows of one packet. That is left, rather than asked about twice.
        packets = np.bincount(unknown[is_new] - self.first_new)
        new = np.flatnonzero(packets > 1) + self.first_new
        numbers = np.concatenate([distinct(unknown[~is_new])[0], new])
        self.flows.learn(numbers, now)
        outcomes = self.flows.outcomes[numbers]
        is_refused = (outcomes >= 0) & (self.outcomes.groups[outcomes] != NOT_REFUSED)
        self.flows.outcomes[numbers[is_refused]] = ASK

    def _ask_about_all(
        self, chunk: Chunk, rows: NDArray[np.int64], seconds: NDArray[np.float64]
    ) -> None:
        chunk.outcomes[rows] = NOT_DECIDED
        self._let_pass(float(seconds[-1]))
        self._take_events()

    def _let_pass(self, now: float) -> None:
        self._passing.reach(now)
        self._gateway.handle_timeout(now)
