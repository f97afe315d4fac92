"""Counts refused packets: in total, and for flow records also by client and far end.

A scan has a new far end with every packet, so only a few far ends of one client and reason
are told apart; the others share a record.
"""

from collections import OrderedDict, defaultdict
from ipaddress import ip_address
from typing import Final, NamedTuple, cast

from firezone_filter.accounting.event_queue import EventQueue
from firezone_filter.packet.headers import NO_PORT, read_headers
from firezone_filter.structures.key_slots import KeySlots
from firezone_filter.values.decisions import Decision, Direction, Drop, Reason, Reject
from firezone_filter.values.events import FlowRefused

PERIOD: Final = 60
"""Seconds from the first packet of a record to its report."""

MAX_FAR_ENDS: Final = 8
"""Far ends told apart for one client, direction and reason at a time: as many as an operator
reads."""


_OUTBOUND = Direction.OUTBOUND


class _Group(NamedTuple):
    client_id: str | None
    direction: Direction
    reason: Reason


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


class _Record:
    """Refused packets that have not been reported yet."""

    __slots__ = ("far_end", "first", "ip_bytes", "last", "packets")

    def __init__(self, far_end: _FarEnd, now: float) -> None:
        self.far_end = far_end
        self.first = self.last = now
        self.packets = self.ip_bytes = 0

    def add(self, far_end: _FarEnd, size: int, now: float) -> None:
        """Count a packet, and keep only what all packets have in common."""
        if far_end != self.far_end:
            self.far_end = _in_common(self.far_end, far_end)
        self.last = now
        self.packets += 1
        self.ip_bytes += size


class RefusalLog:
    """Refused packets of the last minute, by client, direction, reason and far end."""

    def __init__(self, events: EventQueue) -> None:
        """Report to *events*."""
        self._events = events
        # Every record is reported `PERIOD` after its first packet, so the oldest stands first.
        # The address is `None` for packets without one, and for addresses beyond the limit.
        self._records: OrderedDict[tuple[_Group, bytes | None], _Record] = OrderedDict()
        self._slots: defaultdict[_Group, KeySlots[bytes]] = defaultdict(
            lambda: KeySlots(MAX_FAR_ENDS)
        )

    def add(self, direction: Direction, packet: bytes, refused: Drop | Reject, now: float) -> None:
        """Count a refused packet."""
        self.forget_old(now)
        far_end = _read(packet, direction)
        group = _Group(refused.client_id, direction, refused.reason)
        address = far_end.address
        if address is not None and not self._slots[group].take(address):
            address = None
        key = (group, address)
        record = self._records.get(key)
        if record is None:
            record = self._records[key] = _Record(far_end, now)
        record.add(far_end, len(packet), now)

    def earliest(self) -> float | None:
        """Return when `forget_old` has something to report; `None` if never."""
        if not self._records:
            return None
        return next(iter(self._records.values())).first + PERIOD

    def forget_old(self, now: float) -> None:
        """Report the records that are due at *now*."""
        while (due := self.earliest()) is not None and now >= due:
            self._report(*self._records.popitem(last=False))

    def shift_clock(self, by: float) -> None:
        """Move every moment: the host's clock has been set, or has begun."""
        for record in self._records.values():
            record.first += by
            record.last += by

    def _report(self, key: tuple[_Group, bytes | None], record: _Record) -> None:
        group, address = key
        if address is not None:
            slots = self._slots[group]
            slots.release(address)
            if not slots:
                del self._slots[group]
        far_end = record.far_end
        self._events.put_flow(
            FlowRefused(
                **group._asdict(),
                far_ip=None if far_end.address is None else ip_address(far_end.address),
                protocol=far_end.protocol,
                far_port=far_end.port,
                first_packet=record.first,
                last_packet=record.last,
                packets=record.packets,
                ip_bytes=record.ip_bytes,
            )
        )


class RefusalCounts:
    """Counts of all refused packets, by direction and reason."""

    __slots__ = ("_log", "inbound", "outbound")

    def __init__(self, log: RefusalLog | None) -> None:
        """Pass each refusal on to *log*, if flows are recorded."""
        self.outbound = dict.fromkeys(Reason, 0)
        self.inbound = dict.fromkeys(Reason, 0)
        self._log = log

    def add(self, direction: Direction, packet: bytes, refused: Decision, now: float) -> None:
        """Count a refused packet."""
        counts = self.outbound if direction is _OUTBOUND else self.inbound
        # `Gateway` calls this for refusals alone: another `isinstance` would cost 60 ns.
        refused = cast("Drop | Reject", refused)
        counts[refused.reason] += 1
        if self._log is not None:
            self._log.add(direction, packet, refused, now)

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
