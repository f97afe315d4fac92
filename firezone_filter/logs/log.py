"""`DecisionLog`: refused packets, events and the lives of clients in a host's log."""

import math
from collections.abc import Iterable
from typing import Final, get_args

from firezone_filter.logs import lines
from firezone_filter.logs.lines import Line
from firezone_filter.logs.loggers import LogsLikeALogger, logs_like_a_logger, writer
from firezone_filter.logs.suppression import FarEnd, RefusalKey, SuppressedCount, Suppression
from firezone_filter.packet.headers import Headers, read_headers
from firezone_filter.values.addresses import TunnelAddresses
from firezone_filter.values.arguments import Packet, check_type, to_bytes
from firezone_filter.values.decisions import Decision, Direction, Drop, Forward, Reject, Translate
from firezone_filter.values.errors import InvalidPolicy, shown
from firezone_filter.values.events import Event
from firezone_filter.values.resources import Resource
from firezone_filter.values.times import is_finite, to_now, to_time

MAX_INTERVAL: Final = 86_400.0
"""The longest interval, in seconds: a day. A count logged later than that is no news."""


_ALLOWED: Final = (Forward, Translate)


class DecisionLog:
    """Writes refused packets, events and the lives of clients to a logger, a line each.

    Hand in every decision: one that allows a packet costs next to nothing. Of a client's
    refused packets, the first to each far end, for each reason, gets a line of its own; the
    packets that follow share one line per *interval*, with their number (`suppressed`). A scan
    has a new far end with every packet, yet it does not fill the disk: beyond *max_far_ends*
    at a time, the packets of one client share one line for each direction and reason. The limits
    hold for a client whatever becomes of its tunnel sessions: reconnecting does not reset them.

    Time comes from `now` alone, which is Unix time and does not run backwards here, unless
    `clock_set` says that the host's clock has been set. Lines have it as the field `now`, where
    `JsonFormatter` looks for it. Counts are logged in time if
    `handle_timeout` is called at `poll_timeout`, otherwise with the next refusal; call `flush`
    in the end.

    Raises:
        InvalidPolicy: *interval* or *max_far_ends* is out of range.
        TypeError: An argument has the wrong type.
    """

    __slots__ = ("_now", "_suppression", "_write_to_logger")

    def __init__(
        self, logger: LogsLikeALogger, *, interval: float = 30.0, max_far_ends: int = 20
    ) -> None:
        """Write to *logger*.

        Args:
            logger: Gets all lines, and decides by its level which of them are written: a
                `logging.Logger`, a `LoggerAdapter`, or anything with a method `log(level,
                message, extra=fields)`, like structlog's loggers.
            interval: Seconds between two lines for the same far end; above 0, at most a day.
            max_far_ends: The far ends of one client with lines of their own at a time.
        """
        if not logs_like_a_logger(logger):
            raise TypeError(f"logger is a Logger, or has a method log, not {shown(logger)}")
        self._write_to_logger = writer(logger)
        self._suppression = Suppression(_to_interval(interval), _to_count(max_far_ends))
        # The latest `now`.
        self._now = -math.inf

    def decided(
        self, direction: Direction, packet: Packet, decision: Decision, now: float
    ) -> None:
        """Log a packet if it was refused; otherwise the other arguments are not even checked.

        Args:
            direction: As given to `Gateway.handle_packet`.
            packet: As given to `Gateway.handle_packet`.
            decision: As returned by `Gateway.handle_packet`.
            now: The time of the decision.

        Raises:
            InvalidTime: *now* is not finite, or 2**33 or more; or it is more than 50 years
                after or before the latest. The same holds for all other calls.
            TypeError: An argument has the wrong type.
        """
        if isinstance(decision, _ALLOWED):
            return
        check_type("direction", direction, Direction)
        check_type("decision", decision, Reject, Drop)
        whole = to_bytes(packet)
        headers = read_headers(whole)
        self.handle_timeout(now)
        key = RefusalKey(direction, decision.reason, _far_end(direction, headers))
        if self._suppression.add(decision.client_id, key, self._now):
            self._write(lines.refused(direction, decision, whole, headers))

    def event(self, event: Event, now: float) -> None:
        """Log an event, as `Gateway.poll_event` returned it."""
        check_type("event", event, *get_args(Event))
        self.handle_timeout(now)
        self._write(lines.happened(event))

    def client_connected(self, client_id: str, addresses: TunnelAddresses, now: float) -> None:
        """Log a new tunnel session of a client; its refused packets stay counted as before."""
        check_type("client_id", client_id, str)
        check_type("addresses", addresses, TunnelAddresses)
        self.handle_timeout(now)
        self._write(lines.connected(client_id, addresses))

    def client_disconnected(self, client_id: str, now: float) -> None:
        """Log the end of a client's tunnel session; counts are logged when their interval ends."""
        check_type("client_id", client_id, str)
        self.handle_timeout(now)
        self._write(lines.disconnected(client_id))

    def authorized(
        self, client_id: str, resource: Resource, now: float, *, expires_at: float | None = None
    ) -> None:
        """Log that a client may reach *resource*, and until when."""
        check_type("client_id", client_id, str)
        check_type("resource", resource, *get_args(Resource))
        expires_at = None if expires_at is None else to_time(expires_at)
        self.handle_timeout(now)
        self._write(lines.authorized(client_id, resource, expires_at))

    def revoked(self, client_id: str, resource_id: str, now: float) -> None:
        """Log that a client may no longer reach a resource."""
        check_type("client_id", client_id, str)
        check_type("resource_id", resource_id, str)
        self.handle_timeout(now)
        self._write(lines.revoked(client_id, resource_id))

    def poll_timeout(self) -> float | None:
        """Return when to call `handle_timeout`; `None` if no interval is open.

        When the time comes there may be no count to log.
        """
        return self._suppression.next_end()

    def handle_timeout(self, now: float) -> None:
        """Log the counts of all intervals that are over."""
        self._advance(now)
        self._write_counts(self._suppression.end_intervals(self._now))

    def clock_set(self, now: float) -> None:
        """Tell that the host's clock was wrong and has been set: *now* is the time from here.

        As `Gateway.clock_set`: it may be earlier or later than the latest `now`, by any
        distance, and an open interval keeps what was left of it. Nothing is logged. Before the
        first `now` this is `handle_timeout`.

        Args:
            now: the time by the clock as it has been set, in seconds.

        Raises:
            InvalidTime: *now* is not finite, or 2**33 or more.
            TypeError: not a number.
        """
        before, self._now = self._now, to_time(now)
        self._suppression.set_clock(before, self._now)

    def flush(self, now: float) -> None:
        """Log all counts and forget all clients, because the host is about to end."""
        self._advance(now)
        self._write_counts(self._suppression.forget_all())

    def _advance(self, now: float) -> None:
        latest = self._now if math.isfinite(self._now) else None
        self._now = max(self._now, to_now(now, latest))

    def _write_counts(self, counts: Iterable[SuppressedCount]) -> None:
        for count in counts:
            self._write(lines.suppressed(count))

    def _write(self, line: Line) -> None:
        fields = {name: value for name, value in line.fields.items() if value is not None}
        self._write_to_logger(line, {**fields, "now": self._now})


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
