"""When what a summary tells apart appeared first, so that several can be merged in that order."""

from attrs import Factory, define

from firezone_filter.replay.five_tuple import FiveTuple
from firezone_filter.replay.summary import Decided, Summary
from firezone_filter.values.decisions import Direction, Drop, Reason, Reject


@define
class Appearances:
    """The number of the first frame of each key of a summary that packets of clients make."""

    clients: dict[str | None, int] = Factory(dict)
    """Of `Summary.clients`."""

    allowed: dict[tuple[str | None, str | None], int] = Factory(dict)
    """Of `ClientSummary.allowed`, by client."""

    refusals: dict[tuple[Direction, Reason], int] = Factory(dict)
    """Of `Summary.refusals`."""

    flows: dict[tuple[Direction, Reason], dict[FiveTuple, int]] = Factory(dict)
    """Of `Refusals.flows`."""

    def add(self, decided: Decided, summary: Summary) -> None:
        """Take note of a packet that *summary* has just counted."""
        self.clients.setdefault(decided.decision.client_id, decided.frame)
        if isinstance(decided.decision, Reject | Drop):
            key = decided.direction, decided.decision.reason
            self.refusals.setdefault(key, decided.frame)
            counted = summary.refusals[key].flows
            known = self.flows.setdefault(key, {})
            if len(counted) > len(known):
                # A new one stands last.
                known[next(reversed(counted))] = decided.frame
        else:
            allowed = decided.decision.client_id, decided.decision.resource_id
            self.allowed.setdefault(allowed, decided.frame)
