"""Decisions as numbers: all packets of a direction with one kind, client, reason and resource.

There are no more of them than a policy has authorizations, times the reasons, twice. What each
has in common stands here once, and frames have its number.
"""

from itertools import islice
from typing import Final, NamedTuple, final

import numpy as np
from numpy.typing import NDArray

from firezone_filter.replay.summary import KINDS, ClientSummary, Summary, kind_of
from firezone_filter.values.decisions import (
    Decision,
    Direction,
    Forward,
    Reason,
    Translate,
)

NOT_DECIDED: Final = -1
"""The outcome of a frame that is not decided: it has no packet of a client."""

NOT_REFUSED: Final = -1

DIRECTIONS: Final = tuple(Direction)
REASONS: Final = tuple(Reason)

_REASON_AT: Final = {reason: place for place, reason in enumerate(REASONS)}
_KIND_AT: Final = {kind: place for place, kind in enumerate(KINDS)}
_DIRECTION_AT: Final = {direction: place for place, direction in enumerate(DIRECTIONS)}

# With more outcomes than these, a chunk has few of them.
_MANY: Final = 1 << 15


_ROOM: Final = 64
"""Outcomes that there is room for at first."""

_OUTBOUND: Final = Direction.OUTBOUND
_Key = tuple[type[Decision], str | None, str | int | None, str | None]


@final
class Outcome(NamedTuple):
    """What the packets with one number have in common."""

    direction: Direction
    kind: type[Decision]
    client_id: str | None
    why: str | Reason | None
    """The reason of a refusal, otherwise the resource that permits."""

    refused_by: str | None
    """The resource that refuses, if that is asked for."""


class Texts:
    """Numbers for texts, in the order in which they came."""

    def __init__(self) -> None:
        self.values: list[str] = []
        self._numbers: dict[str, int] = {}

    def number(self, text: str | None) -> int:
        """Return the number of *text*; -1 for none."""
        if text is None:
            return -1
        number = self._numbers.get(text)
        if number is None:
            number = self._numbers[text] = len(self.values)
            self.values.append(text)
        return number


class Outcomes:
    """All outcomes that occurred, and the packets of each."""

    def __init__(self) -> None:
        self.clients: Texts = Texts()
        self.resources: Texts = Texts()
        self._all: list[Outcome] = []
        self._outbound: dict[_Key, int] = {}
        self._inbound: dict[_Key, int] = {}
        self.groups: NDArray[np.int32] = np.full(_ROOM, NOT_REFUSED, dtype=np.int32)
        """By outcome the number of its direction times the reasons, and of its reason;
        `NOT_REFUSED` for what is permitted."""
        # A row each for direction, kind, reason, client and resource; -1 for none.
        self._traits = np.empty((5, _ROOM), dtype=np.int32)
        self._packets = np.zeros(_ROOM, dtype=np.int64)
        self._bytes = np.zeros(_ROOM, dtype=np.int64)
        # In the order in which they first occurred in the capture, as the summary has them.
        self._seen: dict[int, None] = {}

    def number(
        self, direction: Direction, decision: Decision, refused_by: str | None = None
    ) -> int:
        """Return the number of the outcome of a packet, and of the resource that refused it."""
        kind = type(decision)
        known = self._outbound if direction is _OUTBOUND else self._inbound
        # The hash of a member of an enum is computed in Python: 200 ns that its id does not take.
        if kind is Forward or kind is Translate:
            why = decision.resource_id  # type: ignore[union-attr]
            number = known.get((kind, decision.client_id, why, None))
        else:
            why = decision.reason  # type: ignore[union-attr]
            number = known.get((kind, decision.client_id, id(why), refused_by))
        if number is None:
            outcome = Outcome(direction, kind, decision.client_id, why, refused_by)
            number = self._add(decision, outcome)
            key = id(why) if isinstance(why, Reason) else why
            known[kind, decision.client_id, key, refused_by] = number
        return number

    def _add(self, decision: Decision, outcome: Outcome) -> int:
        number = len(self._all)
        self._all.append(outcome)
        if number == len(self._packets):
            self._traits = np.concatenate([self._traits, self._traits], axis=1)
            self.groups = np.concatenate([self.groups, self.groups])
            self._packets = np.concatenate([self._packets, np.zeros_like(self._packets)])
            self._bytes = np.concatenate([self._bytes, np.zeros_like(self._bytes)])
        self.groups[number] = NOT_REFUSED
        if isinstance(outcome.why, Reason):
            at = _DIRECTION_AT[outcome.direction] * len(REASONS)
            self.groups[number] = at + _REASON_AT[outcome.why]
        self._traits[:, number] = (
            _DIRECTION_AT[outcome.direction],
            _KIND_AT[kind_of(decision)],
            _REASON_AT[outcome.why] if isinstance(outcome.why, Reason) else -1,
            self.clients.number(outcome.client_id),
            self.resources.number(
                outcome.refused_by if isinstance(outcome.why, Reason) else outcome.why
            ),
        )
        return number

    def is_refusal(self, number: int) -> bool:
        """Return whether packets with an outcome are refused."""
        return isinstance(self._all[number].why, Reason)

    def traits(self, numbers: NDArray[np.int32]) -> NDArray[np.int32]:
        """Return rows of direction, kind, reason, client and resource of *numbers*."""
        return self._traits[:, numbers]

    def count(self, numbers: NDArray[np.int32], lengths: NDArray[np.int64]) -> list[int]:
        """Count packets by the numbers of their outcomes.

        Returns:
            The outcomes that occurred.
        """
        places: NDArray[np.signedinteger] = numbers
        present = None
        if len(self._all) > _MANY:
            present, places = np.unique(numbers, return_inverse=True)
        packets = np.bincount(places)
        # The sums are exact: floats have all whole numbers up to 2**53.
        sizes = np.bincount(places, weights=lengths).astype(np.int64)
        rows = slice(len(packets)) if present is None else present
        self._packets[rows] += packets
        self._bytes[rows] += sizes
        occurred: list[int] = (
            np.flatnonzero(packets).tolist() if present is None else present.tolist()
        )
        new = [number for number in occurred if number not in self._seen]
        if new:
            first = {number: int((numbers == number).argmax()) for number in new}
            self._seen.update(dict.fromkeys(sorted(new, key=first.__getitem__)))
        return occurred

    def seen(self, known: int) -> list[tuple[int, Outcome]]:
        """Return the outcomes that occurred, with their numbers, in order but for *known* ones."""
        return [(number, self._all[number]) for number in islice(self._seen, known, None)]

    def fill(self, summary: Summary) -> None:
        """Add all that has been counted to *summary*."""
        for number in self._seen:
            direction, kind, client_id, why, _ = self._all[number]
            packets, size = int(self._packets[number]), int(self._bytes[number])
            client: ClientSummary = summary.clients[client_id]
            tallies = [summary.decisions[direction, kind.__name__.lower()]]
            if isinstance(why, Reason):
                tallies.append(client.refused[direction])
                tallies.append(summary.refusals[direction, why].tally)
            else:
                tallies.append(client.allowed[why][direction])
            for tally in tallies:
                tally.packets += packets
                tally.bytes += size
