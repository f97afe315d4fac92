"""What was refused: counted for everybody, and where flows are recorded also by whom and to whom.

A scan has a new far end with every packet, so only a few far ends of one client and reason
are told apart; the others are one record together.
"""

from collections import Counter, OrderedDict
from ipaddress import ip_address
from typing import Final, NamedTuple, cast

from firezone_filter.accounting.event_queue import EventQueue
from firezone_filter.packet.headers import NO_PORT, read_headers
from firezone_filter.values.decisions import Decision, Direction, Drop, Reason, Reject
from firezone_filter.values.events import FlowRefused

PERIOD: Final = 60
"""Seconds from the first packet of a record to its report."""

MAX_FAR_ENDS: Final = 8
"""Far ends told apart for one client, direction and reason at a time: what somebody reads."""


_OUTBOUND = Direction.OUTBOUND


class _Group(NamedTuple):
    client_id: str | None
    direction: Direction
    reason: Reason


class _Seen(NamedTuple):
    """What is read of a refused packet."""

    address: bytes | None
    protocol: int | None
    port: int | None


def _in_common(one: _Seen, other: _Seen) -> _Seen:
    return _Seen(
        one.address if one.address == other.address else None,
        one.protocol if one.protocol == other.protocol else None,
        one.port if one.port == other.port else None,
    )


class _Record:
    """Packets that were refused, not reported yet."""

    __slots__ = ("first", "ip_bytes", "last", "packets", "seen")

    def __init__(self, seen: _Seen, now: float) -> None:
        self.seen = seen
        self.first = self.last = now
        self.packets = self.ip_bytes = 0

    def add(self, seen: _Seen, size: int, now: float) -> None:
        """Count a packet, and keep what all of them have in common."""
        if seen != self.seen:
            self.seen = _in_common(self.seen, seen)
        self.last = now
        self.packets += 1
        self.ip_bytes += size


class RefusalLog:
    """Refused packets of the last minute, by client, direction, reason and far end."""

    def __init__(self, events: EventQueue) -> None:
        """Report to *events*."""
        self._events = events
        # The oldest first: all wait for the same time.
        self._records: OrderedDict[tuple[_Group, bytes | None], _Record] = OrderedDict()
        self._far_ends: Counter[_Group] = Counter()

    def add(self, direction: Direction, packet: bytes, refused: Drop | Reject, now: float) -> None:
        """Count a refused packet."""
        self.forget_old(now)
        seen = _read(packet, direction)
        group = _Group(refused.client_id, direction, refused.reason)
        key = (group, seen.address)
        if key not in self._records and self._far_ends[group] >= MAX_FAR_ENDS:
            key = (group, None)
        record = self._records.get(key)
        if record is None:
            record = self._records[key] = _Record(seen, now)
            if key[1] is not None:
                self._far_ends[group] += 1
        record.add(seen, len(packet), now)

    def earliest(self) -> float | None:
        """Return when `forget_old` has something to report."""
        if not self._records:
            return None
        return next(iter(self._records.values())).first + PERIOD

    def forget_old(self, now: float) -> None:
        """Report what has waited for its time."""
        while (due := self.earliest()) is not None and now >= due:
            self._report(next(iter(self._records)))

    def start_clock(self, now: float) -> None:
        """Count what began before the first `now` from there."""
        for record in self._records.values():
            record.first = record.last = now

    def _report(self, key: tuple[_Group, bytes | None]) -> None:
        group, address = key
        record = self._records.pop(key)
        if address is not None:
            self._far_ends[group] -= 1
            if not self._far_ends[group]:
                del self._far_ends[group]
        seen = record.seen
        self._events.put_flow(
            FlowRefused(
                **group._asdict(),
                far_ip=None if seen.address is None else ip_address(seen.address),
                protocol=seen.protocol,
                far_port=seen.port,
                first_packet=record.first,
                last_packet=record.last,
                packets=record.packets,
                ip_bytes=record.ip_bytes,
            )
        )


class RefusalCounts:
    """Counts of all that was refused, by direction and reason."""

    __slots__ = ("_log", "inbound", "outbound")

    def __init__(self, log: RefusalLog | None) -> None:
        """Hand each refusal on to *log*, if flows are recorded."""
        self.outbound = dict.fromkeys(Reason, 0)
        self.inbound = dict.fromkeys(Reason, 0)
        self._log = log

    def add(self, direction: Direction, packet: bytes, refused: Decision, now: float) -> None:
        """Count a refused packet."""
        counts = self.outbound if direction is _OUTBOUND else self.inbound
        # A cast of what `Gateway` has looked at: `isinstance` would cost 60 ns once more.
        refused = cast("Drop | Reject", refused)
        counts[refused.reason] += 1
        if self._log is not None:
            self._log.add(direction, packet, refused, now)

    def by_direction(self) -> dict[tuple[Direction, Reason], int]:
        """Return the counts, those that are 0 included."""
        ways = ((Direction.OUTBOUND, self.outbound), (Direction.INBOUND, self.inbound))
        return {(way, reason): n for way, counts in ways for reason, n in counts.items()}


def _read(packet: bytes, direction: Direction) -> _Seen:
    headers = read_headers(packet)
    if headers is None:
        return _Seen(None, None, None)
    if direction is Direction.OUTBOUND:
        address, port = headers.destination, headers.destination_port
    else:
        address, port = headers.source, headers.source_port
    return _Seen(address, headers.protocol, None if port == NO_PORT else port)
