"""Counts refused packets: in total, and for flow records also by client and far end.

A scan has a new far end with every packet, so only a few far ends of one client and reason
are told apart; the others share a record.

Theory of operation. The next refused packet, or `handle_timeout`, reports all records that are
due. A million may be, so it only takes note of its moment as a *closing*; `report` carries
closings out step by step, in order. The few records of the packet's own group are looked at
at once: those that are due count no more, and have no far end's place any more.
"""

import math
from collections import deque
from ipaddress import ip_address
from typing import Final, NamedTuple, cast

from firezone_filter.accounting.event_queue import EventQueue, Place
from firezone_filter.packet.headers import NO_PORT, read_headers
from firezone_filter.structures.shards import ShardedDict
from firezone_filter.values.decisions import Direction, Drop, Reason, Reject
from firezone_filter.values.events import FlowRefused

PERIOD: Final = 60
"""Seconds from the first packet of a record to its report."""

MAX_FAR_ENDS: Final = 8
"""Far ends told apart for one client, direction and reason at a time: as many as an operator
reads."""

AT_ONCE: Final = 8
"""Records reported, at most, with each refused packet: it makes one, so they do not pile up."""

_OUTBOUND = Direction.OUTBOUND


class _FarEnd(NamedTuple):
    """The far end of a refused packet; `None` where it cannot be read, or differs."""

    address: bytes | None
    protocol: int | None
    port: int | None


def _in_common(one: _FarEnd, other: _FarEnd) -> _FarEnd:
    return _FarEnd(
        one.address if one.address == other.address else None,
        one.protocol if one.protocol == other.protocol else None,
        one.port if one.port == other.port else None,
    )


class _Group:
    """What the records of one client, direction and reason have in common."""

    __slots__ = ("client_id", "direction", "reason", "records")

    def __init__(self, client_id: str | None, direction: Direction, reason: Reason) -> None:
        self.client_id = client_id
        self.direction = direction
        self.reason = reason
        self.records: dict[bytes | None, _Record] = {}
        """Those that count, oldest first, by far address; `None` for packets without one, and
        for addresses beyond the limit."""

    def open_record(self, address: bytes | None) -> bytes | None:
        """Return under which key packets from *address* are counted."""
        if address is None or address in self.records:
            return address
        apart = len(self.records) - (None in self.records)
        return address if apart < MAX_FAR_ENDS else None

    def drop_due(self, now: float) -> None:
        """Count no more for the records that are due at *now*."""
        while self.records:
            first = next(iter(self.records.values()))
            if now < first.due:
                return
            first.drop()


class _Record:
    """Refused packets that have not been reported yet."""

    __slots__ = (
        "address",
        "far_end",
        "first",
        "group",
        "ip_bytes",
        "is_counting",
        "last",
        "packets",
    )

    def __init__(self, group: _Group, address: bytes | None, far_end: _FarEnd, now: float) -> None:
        self.group = group
        self.address = address
        self.far_end = far_end
        self.first = self.last = now
        self.packets = self.ip_bytes = 0
        self.is_counting = True
        group.records[address] = self

    @property
    def due(self) -> float:
        """The moment from which it is to be reported."""
        return self.first + PERIOD

    def drop(self) -> None:
        """Let it count no more."""
        self.is_counting = False
        del self.group.records[self.address]

    def add(self, far_end: _FarEnd, size: int, now: float) -> None:
        """Count a packet, and keep only what all packets have in common."""
        if far_end != self.far_end:
            self.far_end = _in_common(self.far_end, far_end)
        self.last = now
        self.packets += 1
        self.ip_bytes += size

    def event(self) -> FlowRefused:
        """Return the event that reports it."""
        group, far_end = self.group, self.far_end
        return FlowRefused(
            client_id=group.client_id,
            direction=group.direction,
            reason=group.reason,
            far_ip=None if far_end.address is None else ip_address(far_end.address),
            protocol=far_end.protocol,
            far_port=far_end.port,
            first_packet=self.first,
            last_packet=self.last,
            packets=self.packets,
            ip_bytes=self.ip_bytes,
        )


class RefusalLog:
    """Refused packets of the last minute, by client, direction, reason and far end."""

    __slots__ = ("_by_client", "_closings", "_events", "_records")

    def __init__(self, events: EventQueue) -> None:
        """Report to *events*."""
        self._events = events
        # Every record is reported `PERIOD` after its first packet, so the oldest stands first.
        self._records: deque[_Record] = deque()
        # The groups that count, in two levels: one dict of all would stall when it grows.
        self._by_client: ShardedDict[dict[tuple[Direction, Reason], _Group]] = ShardedDict()
        # Moments from which records are to be reported that have not all been, and where.
        self._closings: deque[tuple[float, Place]] = deque()

    def add(self, direction: Direction, packet: bytes, refused: Drop | Reject, now: float) -> None:
        """Count a refused packet, and report a few records that are due."""
        self.handle_timeout(now)
        self.report(AT_ONCE)
        far_end = _read(packet, direction)
        group = self._group(refused.client_id, direction, refused.reason)
        group.drop_due(now)
        address = group.open_record(far_end.address)
        record = group.records.get(address)
        if record is None:
            record = _Record(group, address, far_end, now)
            self._records.append(record)
        record.add(far_end, len(packet), now)

    def earliest(self) -> float | None:
        """Return when there is something to report; `None` if never."""
        if self._closings:
            return self._closings[0][0]
        return self._records[0].due if self._records else None

    def handle_timeout(self, now: float) -> None:
        """Close the records that are due at *now*; `report` reports them."""
        if not self._records:
            return
        if self._closings:
            before = self._closings[-1][0]
            is_due = now > before and self._records[-1].due > before
        else:
            is_due = now >= self._records[0].due
        if is_due:
            self._closings.append((now, self._events.reserve(now)))

    def report(self, most: float = math.inf) -> int:
        """Report records that have been closed, in up to *most* steps of at most 10 µs.

        Returns:
            How many steps it took; less than *most* if there is nothing left to do.
        """
        steps = 0
        while self._closings and steps < most:
            moment, place = self._closings[0]
            if self._records and self._records[0].due <= moment:
                record = self._records.popleft()
                self._forget(record)
                self._events.put_in(place, record.event())
            else:
                self._events.release(place)
                self._closings.popleft()
            steps += 1
        return steps

    def shift_clock(self, by: float) -> None:
        """Move every moment: the host's clock has been set, or has begun.

        Nothing that is due may be unreported.
        """
        for record in self._records:
            record.first += by
            record.last += by

    def _group(self, client_id: str | None, direction: Direction, reason: Reason) -> _Group:
        # (No client has an empty id.)
        groups = self._by_client.get(client_id or "")
        if groups is None:
            groups = {}
            self._by_client.set(client_id or "", groups)
        group = groups.get((direction, reason))
        if group is None:
            group = groups[direction, reason] = _Group(client_id, direction, reason)
        return group

    def _forget(self, record: _Record) -> None:
        group = record.group
        if not record.is_counting:
            return  # others of its group have begun since
        record.drop()
        if not group.records:
            client_id = group.client_id or ""
            groups = cast("dict[tuple[Direction, Reason], _Group]", self._by_client.get(client_id))
            del groups[group.direction, group.reason]
            if not groups:
                self._by_client.remove(client_id)


class RefusalCounts:
    """Counts of all refused packets, by direction and reason."""

    __slots__ = ("inbound", "log", "outbound")

    def __init__(self, log: RefusalLog | None) -> None:
        """Pass each refusal on to *log*, if flows are recorded."""
        self.outbound: dict[Reason, int] = dict.fromkeys(Reason, 0)
        self.inbound: dict[Reason, int] = dict.fromkeys(Reason, 0)
        self.log: RefusalLog | None = log
        """Where refusals are passed on to; `None` without flow records."""

    def add(self, direction: Direction, packet: bytes, refused: Drop | Reject, now: float) -> None:
        """Count a refused packet."""
        counts = self.outbound if direction is _OUTBOUND else self.inbound
        counts[refused.reason] += 1
        if self.log is not None:
            self.log.add(direction, packet, refused, now)

    def by_direction(self) -> dict[tuple[Direction, Reason], int]:
        """Return all counts, zeros included."""
        ways = ((Direction.OUTBOUND, self.outbound), (Direction.INBOUND, self.inbound))
        return {(way, reason): n for way, counts in ways for reason, n in counts.items()}


def _read(packet: bytes, direction: Direction) -> _FarEnd:
    headers = read_headers(packet)
    if headers is None:
        return _FarEnd(None, None, None)
    if direction is Direction.OUTBOUND:
        address, port = headers.destination, headers.destination_port
    else:
        address, port = headers.source, headers.source_port
    return _FarEnd(address, headers.protocol, None if port == NO_PORT else port)
