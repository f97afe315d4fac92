"""What is known of each flow: whose it is, and what becomes of its packets.

Theory of operation. A *flow* is a 5-tuple of plain packets (`headers`). What becomes of them:

- They belong to no client: `NOT_OURS`.
- The gateway has to be asked about each: `ASK`. That is so where the far address has the flag
  `NOT_CIDR` (proxy addresses and their NAT, tunnel and own addresses, multicast), and where it is
  a real address behind one of the client's names (`Nat.real`: a session may decide).
- Otherwise all have the same outcome until the client's next expiry: `ClientAccess.permission` for
  protocol, far address and far port is all that `FirstPackets._first` and the judge ask about
  them, apart from the rows that the flag and the client's own address settle. What is permitted
  is a `Forward`; what is refused is a `Drop`, inbound always, outbound without replies.
- Outbound with replies, it is a `Reject` as long as the client has tokens for them, and then a
  `Drop`: a `Refused`, which takes a token for each packet, as the gateway would.

But for these tokens, they change the gateway in no way that another decision depends on: a
`Forward` is remembered, a refusal counted. (With flow records or `stateful` they would: then
nothing is known here, and `engine` asks about each packet.) An expiry makes the outcomes of its
client unknown.

Flows are columns too: a scan makes one of nearly every packet. All that share a far end, and so
an answer, are asked about once.

No more than `MAX_FLOWS` are known at a time, whatever the capture: then all are forgotten.
"""

from typing import Final, NamedTuple, final

import numpy as np
from numpy.typing import NDArray

from firezone_filter.access.candidates import covering
from firezone_filter.access.special_ranges import NOT_CIDR
from firezone_filter.capture.frames import Frames
from firezone_filter.gateway.client import Client
from firezone_filter.gateway.inside import Inside
from firezone_filter.replay.columns.flow_ends import FlowEnds
from firezone_filter.replay.columns.flow_table import FlowTable, Found
from firezone_filter.replay.columns.headers import five_tuple_words
from firezone_filter.replay.columns.near_ends import NOBODY, NearEnds, packed_of
from firezone_filter.replay.columns.outcomes import Outcomes
from firezone_filter.replay.five_tuple import FiveTuple
from firezone_filter.replay.refused_by import BY_RESOURCES
from firezone_filter.structures.token_bucket import TokenBucket
from firezone_filter.values.decisions import Direction, Drop, Forward, Reason, make_reject

UNKNOWN: Final = -1
NOT_OURS: Final = -2
ASK: Final = -3
FIRST_REFUSED: Final = -4
"""The first of `Flows.refused`; the others are below it."""

MAX_FLOWS: Final = 1 << 18
"""Flows that are known at a time: some 50 MB at most."""

DIRECTIONS: Final = (Direction.OUTBOUND, Direction.INBOUND)
"""By the numbers that flows have for them."""

_ROOM: Final = 1 << 10
"""Flows that there is room for at first."""

_OUTBOUND: Final = 0
_INBOUND: Final = 1
_NO_DIRECTION: Final = -1

_PORT: Final = 0xFFFF
_IPV6: Final = np.uint64(1 << 40)
"""Stands in the last word of a flow of IPv6."""

_End = tuple[int, int, int]
"""A far end: both words of its address, and family, protocol, direction and port in one."""


@final
class Refused(NamedTuple):
    """What becomes of packets that take a token for their replies."""

    tokens: TokenBucket
    """Those of their client."""

    reject: int
    """The outcome with a token."""

    drop: int
    """The outcome without one."""


def last_word(protocol: int, source_port: int, destination_port: int, *, is_ipv6: bool) -> int:
    """Return the last of a flow's words (`Flows.words`)."""
    ports = _swapped(destination_port) << 16 | _swapped(source_port)
    return is_ipv6 << 40 | protocol << 32 | ports


def _swapped(port: int) -> int:
    # Both ports are read with the lowest byte first.
    return (port & 0xFF) << 8 | port >> 8


class Flows:
    """The flows of a replay."""

    def __init__(self, inside: Inside, outcomes: Outcomes, *, with_ends: bool) -> None:
        """Begin without any; *with_ends* if columns of decisions are wanted."""
        self._context = inside.context
        self._clients = list(inside.clients.values())
        self._number_of = {client.id: number for number, client in enumerate(self._clients)}
        self._near_ends = NearEnds(
            [
                (packed, number)
                for number, client in enumerate(self._clients)
                for packed in client.addresses
            ]
        )
        self._has_replies = inside.context.options.reject
        self._outcomes = outcomes
        self._count = 0
        self._table = FlowTable()
        self.refused: list[Refused] = []
        """What the outcomes up to `FIRST_REFUSED` stand for."""
        # By client, whether outbound, reason (its hash is computed in Python) and resource.
        self._refusals: dict[tuple[str, bool, int, str | None], int] = {}
        self.ends: FlowEnds | None = FlowEnds() if with_ends else None
        """What columns say about them; `None` if there are none."""
        self.words: NDArray[np.uint64] = np.empty((5, _ROOM), dtype=np.uint64)
        """For each flow its addresses, in two words each, and family, protocol and ports."""
        self.outcomes: NDArray[np.int32] = np.empty(_ROOM, dtype=np.int32)
        """For each flow the outcome of its packets, or one of the constants above."""
        self.directions: NDArray[np.int8] = np.empty(_ROOM, dtype=np.int8)
        """For each flow the number of its direction; below 0 if it belongs to no client."""
        self._client_of = np.empty(_ROOM, dtype=np.int32)
        # By client, what becomes of packets from and to each far end.
        self._known: list[dict[_End, int]] = [{} for _ in self._clients]

    def __len__(self) -> int:
        """Return how many flows have been found; the next new one has that number."""
        return self._count

    def find(self, frames: Frames, places: NDArray[np.int64], found: Found) -> None:
        """Find the flows of the plain packets among those that begin at *places*."""
        new = self._table.find(frames, places, self._count, found)
        if new:
            self._add(*five_tuple_words(frames.data, places[found.new[:new]]))

    def make_room(self) -> bool:
        """Forget all flows if there are too many; to be called between two chunks.

        Returns:
            Whether they have been forgotten.
        """
        texts = 0 if self.ends is None else len(self.ends.texts.values)
        if self._count <= MAX_FLOWS and texts <= 2 * MAX_FLOWS:
            return False
        self._count = 0
        self._table.clear()
        if self.ends is not None:  # pragma: no branch - the properties draw both
            self.ends.clear()
        for known in self._known:
            known.clear()
        return True

    def expire(self, client_id: str) -> None:
        """Forget what becomes of the packets of a client: one of its authorizations is over."""
        number, count = self._number_of[client_id], self._count
        self._known[number].clear()
        self.outcomes[:count][self._client_of[:count] == number] = UNKNOWN

    def five_tuple(self, number: int) -> FiveTuple:
        """Return a flow as reports name it."""
        source, destination = self.addresses(number)
        last = int(self.words[4, number])
        ports = _swapped(last & _PORT), _swapped(last >> 16 & _PORT)
        return FiveTuple(source, destination, last >> 32 & 0xFF, *ports)

    def addresses(self, number: int) -> tuple[bytes, bytes]:
        """Return source and destination of a flow, packed."""
        a, b, c, d, last = self.words[:, number].tolist()
        is_ipv6 = last >> 40 > 0
        return packed_of(a, b, is_ipv6=is_ipv6), packed_of(c, d, is_ipv6=is_ipv6)

    def learn(self, numbers: NDArray[np.int64], now: float) -> None:
        """Find out what becomes of the packets of clients' flows of which that is unknown.

        Nothing that is over at *now* may wait to be taken apart.
        """
        a, b, c, d, last = self.words[:, numbers]
        directions = self.directions[numbers]
        is_inbound = directions == _INBOUND
        # The far port first, and all that is said of it above.
        port = np.where(is_inbound, last, last >> np.uint64(16)) & np.uint64(_PORT)
        above = (last >> np.uint64(32) << np.uint64(1)) | is_inbound
        ends = zip(
            np.where(is_inbound, a, c).tolist(),
            np.where(is_inbound, b, d).tolist(),
            (above << np.uint64(16) | port).tolist(),
            strict=True,
        )
        outcomes = []
        for client, end in zip(self._client_of[numbers].tolist(), ends, strict=True):
            known = self._known[client]
            outcome = known.get(end)
            if outcome is None:
                outcome = known[end] = self._outcome(self._clients[client], end, now)
            outcomes.append(outcome)
        self.outcomes[numbers] = outcomes

    def _outcome(self, client: Client, end: _End, now: float) -> int:
        first, second, last = end
        direction, protocol = DIRECTIONS[last >> 16 & 1], last >> 17 & 0xFF
        port = _swapped(last & _PORT)
        far = packed_of(first, second, is_ipv6=last >> 25 > 0)
        flags = self._context.flags(far)
        if flags & NOT_CIDR or (client.nat is not None and far in client.nat.real):
            return ASK
        found = client.access.permission(far, flags, protocol, port, now)
        if isinstance(found, Forward):
            return self._outcomes.number(direction, found)
        resource = None
        if self.ends is not None and found in BY_RESOURCES:
            # Of those that cover the address, none of which permits it, the first says why.
            best = covering(client.access, far, flags, now).candidates[0]
            resource = best.authorization.resource.id
        return self._refusal(client, direction, found, resource)

    def _refusal(
        self, client: Client, direction: Direction, reason: Reason, resource: str | None
    ) -> int:
        key = client.id, direction is Direction.OUTBOUND, id(reason), resource
        known = self._refusals.get(key)
        if known is None:
            known = self._refusals[key] = self._new_refusal(client, direction, reason, resource)
        return known

    def _new_refusal(
        self, client: Client, direction: Direction, reason: Reason, resource: str | None
    ) -> int:
        number = self._outcomes.number
        drop = number(direction, Drop(reason, client.id), resource)
        if direction is not Direction.OUTBOUND or not self._has_replies:
            return drop
        reject = number(direction, make_reject(b"", reason, client.id), resource)
        self.refused.append(Refused(client.reply_tokens, reject, drop))
        return FIRST_REFUSED + 1 - len(self.refused)

    def _add(self, words: NDArray[np.uint64], is_ipv6: NDArray[np.bool_]) -> None:
        first, end = self._count, self._count + len(is_ipv6)
        while end > len(self.outcomes):
            self._grow()
        a, b, c, d, last = words
        last |= is_ipv6 * _IPV6
        source = self._near_ends.find(a, b, is_ipv6)
        destination = self._near_ends.find(c, d, is_ipv6)
        is_outbound, is_inbound = source != NOBODY, destination != NOBODY
        client = np.where(is_outbound, source, destination)
        new = slice(first, end)
        self.words[:, new] = words
        self._client_of[new] = client
        self.directions[new] = np.where(
            is_outbound, _OUTBOUND, np.where(is_inbound, _INBOUND, _NO_DIRECTION)
        )
        self.outcomes[new] = np.where(client == NOBODY, NOT_OURS, UNKNOWN)
        self._count = end
        if self.ends is not None:
            self.ends.add(first, words)

    def _grow(self) -> None:
        self.words = np.concatenate([self.words, self.words], axis=1)
        self.outcomes = np.concatenate([self.outcomes, self.outcomes])
        self.directions = np.concatenate([self.directions, self.directions])
        self._client_of = np.concatenate([self._client_of, self._client_of])
