"""`DecisionLog`: what a host tells of its gateway, in its log."""

import logging
import math
from collections.abc import Iterable
from typing import Final, get_args

from firezone_filter.logs import lines
from firezone_filter.logs.lines import Line
from firezone_filter.logs.suppression import FarEnd, RefusalKey, SuppressedCount, Suppression
from firezone_filter.packet.headers import Headers, read_headers
from firezone_filter.values.addresses import TunnelAddresses
from firezone_filter.values.arguments import Packet, check_type, to_bytes
from firezone_filter.values.decisions import Decision, Direction, Drop, Forward, Reject, Translate
from firezone_filter.values.errors import InvalidPolicy, shown
from firezone_filter.values.events import Event
from firezone_filter.values.resources import Resource
from firezone_filter.values.times import is_finite, to_time

MAX_INTERVAL: Final = 86_400.0
"""Seconds that a count may wait to be told: a day. What is told later is no news."""


_ALLOWED: Final = (Forward, Translate)


class DecisionLog:
    """Writes refused packets, events and the lives of clients to a logger, a line each.

    Hand in every decision: those that allow a packet cost nothing to speak of. Of the others,
    the first to each far end of a client, of each reason, has a line of its own; those that
    follow are one line each *interval*, with how many there were (`suppressed`). A scan, whose
    every packet has a new far end, does not fill the disk either: beyond *max_far_ends* at a
    time, the packets of one client are one line for each direction and reason.

    Time comes from `now` alone, which is Unix time and does not run backwards here. Lines have
    it as the field `now`, where `JsonFormatter` looks for it. Counts are told in time if
    `handle_timeout` is called at `poll_timeout`, else with the next refusal; call `flush` in
    the end.

    Raises:
        InvalidPolicy: a limit that cannot be.
        TypeError: a wrong type.
    """

    __slots__ = ("_logger", "_now", "_suppression")

    def __init__(
        self, logger: logging.Logger, *, interval: float = 30.0, max_far_ends: int = 20
    ) -> None:
        """Write to *logger*.

        Args:
            logger: Where lines go; which of them are written is its affair.
            interval: Seconds between two lines about the same; above 0, at most a day.
            max_far_ends: How many far ends of one client have lines of their own at a time.
        """
        check_type("logger", logger, logging.Logger)
        self._logger = logger
        self._suppression = Suppression(_to_interval(interval), _to_count(max_far_ends))
        self._now = -math.inf

    def decided(
        self, direction: Direction, packet: Packet, decision: Decision, now: float
    ) -> None:
        """Tell of a packet, if it was refused; else nothing else is looked at.

        Args:
            direction: As for `Gateway.handle_packet`, and so are the others.
            packet: The packet that was handed in.
            decision: What was decided about it.
            now: When.

        Raises:
            InvalidTime: *now* is not finite.
            TypeError: a wrong type.
        """
        if isinstance(decision, _ALLOWED):
            return
        check_type("direction", direction, Direction)
        check_type("decision", decision, Reject, Drop)
        headers = read_headers(to_bytes(packet))
        self.handle_timeout(now)
        kind = RefusalKey(direction, decision.reason, _far_end(direction, headers))
        if self._suppression.add(decision.client_id, kind, self._now):
            self._write(lines.refused(direction, decision, headers))

    def event(self, event: Event, now: float) -> None:
        """Tell of what `Gateway.poll_event` returned."""
        check_type("event", event, *get_args(Event))
        self.handle_timeout(now)
        self._write(lines.happened(event))

    def client_connected(self, client_id: str, addresses: TunnelAddresses, now: float) -> None:
        """Tell that a client's tunnel session has begun, and what was left of an older one."""
        check_type("client_id", client_id, str)
        check_type("addresses", addresses, TunnelAddresses)
        self.handle_timeout(now)
        self._tell(self._suppression.forget(client_id))
        self._write(lines.connected(client_id, addresses))

    def client_disconnected(self, client_id: str, now: float) -> None:
        """Tell that a client has gone, and what had not been told of it."""
        check_type("client_id", client_id, str)
        self.handle_timeout(now)
        self._tell(self._suppression.forget(client_id))
        self._write(lines.disconnected(client_id))

    def authorized(
        self, client_id: str, resource: Resource, now: float, *, expires_at: float | None = None
    ) -> None:
        """Tell that a client may reach *resource*, until when."""
        check_type("client_id", client_id, str)
        check_type("resource", resource, *get_args(Resource))
        expires_at = None if expires_at is None else to_time(expires_at)
        self.handle_timeout(now)
        self._write(lines.authorized(client_id, resource, expires_at))

    def revoked(self, client_id: str, resource_id: str, now: float) -> None:
        """Tell that a client may not reach a resource any more."""
        check_type("client_id", client_id, str)
        check_type("resource_id", resource_id, str)
        self.handle_timeout(now)
        self._write(lines.revoked(client_id, resource_id))

    def poll_timeout(self) -> float | None:
        """Return when to call `handle_timeout`; `None` if nothing waits. It may be early."""
        return self._suppression.next_end()

    def handle_timeout(self, now: float) -> None:
        """Tell of the packets that had no line, of all intervals that are over."""
        self._advance(now)
        self._tell(self._suppression.end_intervals(self._now))

    def flush(self, now: float) -> None:
        """Tell of all packets that had no line, and begin anew: the host is about to end."""
        self._advance(now)
        self._tell(self._suppression.forget_all())

    def _advance(self, now: float) -> None:
        self._now = max(self._now, to_time(now))

    def _tell(self, untold: Iterable[SuppressedCount]) -> None:
        for each in untold:
            self._write(lines.suppressed(each))

    def _write(self, line: Line) -> None:
        logger = self._logger
        if not logger.isEnabledFor(line.level):
            return
        # Not by `logger.log(…, extra=…)`: it raises an error where the host's record factory
        # has set a field of the same name, and a packet must never raise one.
        where = ("(unknown file)", 0)
        record = logger.makeRecord(
            logger.name, line.level, *where, line.message, line.numbers, None
        )
        fields = {name: value for name, value in line.fields.items() if value is not None}
        vars(record).update(fields, now=self._now)
        logger.handle(record)


def _far_end(direction: Direction, headers: Headers | None) -> FarEnd | None:
    if headers is None:
        return None
    if direction is Direction.OUTBOUND:
        return FarEnd(headers.protocol, headers.destination, headers.destination_port)
    return FarEnd(headers.protocol, headers.source, headers.source_port)


def _to_interval(value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"interval is a number of seconds, not {shown(value)}")
    if not is_finite(value) or not 0 < value <= MAX_INTERVAL:
        raise InvalidPolicy(f"interval: {shown(value)} is not above 0 and at most a day", value)
    return value


def _to_count(value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"max_far_ends is an int, not {shown(value)}")
    if value < 0:
        raise InvalidPolicy(f"max_far_ends: {shown(value)} is negative", value)
    return value
