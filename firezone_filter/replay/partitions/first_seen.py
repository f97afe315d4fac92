"""When what is decided by columns appeared first."""

from firezone_filter.replay.columns.chunk import Chunk
from firezone_filter.replay.columns.outcomes import Outcomes
from firezone_filter.replay.columns.refused_flows import Key
from firezone_filter.replay.five_tuple import FiveTuple
from firezone_filter.replay.partitions.appearances import Appearances
from firezone_filter.replay.summary import Summary
from firezone_filter.values.decisions import Reason


class FirstSeen:
    """Takes note of what is counted for the first time: an `Observer`."""

    _chunk: Chunk

    def __init__(self, summary: Summary, outcomes: Outcomes) -> None:
        """Take note of what is counted in both."""
        self.appearances: Appearances = Appearances()
        """What has been noted."""
        self._summary = summary
        self._outcomes = outcomes
        self._known = 0

    def chunk(self, chunk: Chunk) -> None:
        """Take note of what has an outcome that did not occur before."""
        self._chunk = chunk
        new = self._outcomes.seen(self._known)
        self._known += len(new)
        found = self.appearances
        for number, outcome in new:
            frame = self._frame(int((chunk.outcomes == number).argmax()))
            found.clients.setdefault(outcome.client_id, frame)
            if isinstance(outcome.why, Reason):
                found.refusals.setdefault((outcome.direction, outcome.why), frame)
            else:
                found.allowed.setdefault((outcome.client_id, outcome.why), frame)

    def refused_flow(self, key: Key, flow: FiveTuple, row: int) -> None:
        """Take note of a flow, if it is a new one."""
        known = self.appearances.flows.setdefault(key, {})
        if flow not in known and flow in self._summary.refusals[key].flows:
            known[flow] = self._frame(row)

    def _frame(self, row: int) -> int:
        return int(self._chunk.frames.numbers[row])
