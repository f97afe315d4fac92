"""The log of all clients' flow records: what ends them, and when that is reported.

Theory of operation. `handle_timeout(t)` ends every record that is finished, or idle for more than
120 s at *t*. A million may be, so it only takes note of *t* as a *closing*; `report` carries
closings out step by step, in their order: first what is finished, in the order of finishing, then
what is idle, by deadline. Until then whoever looks at a record compares it with the closings that
are unfinished. One that has been ended by them takes no packet any more, and the flow's next
packet begins another; but it is reported in its turn, so events are the same as with all done at
once. Hooks that end many records end them at once, and leave them to be reported later, too.

Deadlines are in two levels, so that no step is over all records: each client has a heap of its
records, and the log has one of the clients. A client's place there is a lower bound of the
deadlines of its records. It can only be too early, since a new record has the latest deadline, and
so one place is enough.
"""

import heapq
import math
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable
from itertools import chain, count
from operator import attrgetter
from typing import Final, Protocol

from firezone_filter.accounting.event_queue import EventQueue, Expiry, Place
from firezone_filter.accounting.flow_record import IDLE, FlowRecord, Traffic
from firezone_filter.values.events import FlowEnd

_CLEAN: Final = 4
"""Clients that are looked at, at most, to announce nothing that has ended."""

_MANY: Final = 64
"""So few clients that have gone are not worth rebuilding a heap."""

_MOMENT = attrgetter("moment")
_FINISHED = attrgetter("finished")


class RecordHolder(Protocol):
    """The records of one client, as the log sees them."""

    client_id: str
    is_listed: bool
    """Whether it has its place in the log's heap of deadlines."""
    is_finishing: bool
    """Whether it has its place in the log's heap of finished records."""
    is_gone: bool
    """Whether it has disconnected, and left no record to a closing."""

    def open(self) -> Iterable[FlowRecord]:
        """Return the open records."""

    def first_idle(self) -> FlowRecord | None:
        """Return the first record to be looked at, which may have ended."""

    def pop_idle(self) -> FlowRecord | None:
        """Look at the first record, whose deadline has passed; return it if it has been idle."""

    def first_finish(self) -> int | None:
        """Return the number of the first finish that is to be reported, or `None`."""

    def finished_at(self) -> float:
        """Return when the first finished record had its last packet."""

    def pop_finished(self) -> FlowRecord:
        """Return the first finished record, having ended it."""

    def shift_clock(self, by: float) -> FlowRecord | None:
        """Move every moment; return the first record to be looked at, if any is open."""


class _Closing:
    """A `handle_timeout` whose records have not all been reported."""

    __slots__ = ("finished", "moment", "place")

    def __init__(self, moment: float, finished: int, place: Place) -> None:
        self.moment = moment
        self.finished = finished
        """Flows that finished with a lower number had finished by then."""
        self.place = place


class _Departure:
    """Records that a hook has ended together, and that have not all been reported."""

    __slots__ = ("at", "cause", "client_id", "flows", "place")

    def __init__(
        self, client_id: str, flows: list[FlowRecord], cause: FlowEnd, at: float, place: Place
    ) -> None:
        self.client_id = client_id
        self.flows = flows[::-1]  # the first to be reported is the last
        self.cause = cause
        self.at = at
        self.place = place


class FlowLog:
    """The records of all clients: their deadlines, their totals, and their reports as events."""

    __slots__ = (
        "_closed",
        "_closings",
        "_departures",
        "_events",
        "_finish_numbers",
        "_finished",
        "_gone",
        "_idle",
        "_numbers",
        "_open",
        "closings",
    )

    def __init__(self, events: EventQueue) -> None:
        """Create a log that reports flows to *events*."""
        self._events = events
        # Clients, with lower bounds: of the deadlines of their records and, for those with
        # finished ones, of the numbers and moments of their finish. Each client is in each at
        # most once.
        self._idle: list[tuple[float, int, RecordHolder]] = []
        self._finished: list[tuple[int, float, RecordHolder]] = []
        self._gone = 0  # entries of clients that have disconnected
        self._closings: list[_Closing] = []
        self.closings: int = 0
        """How many closings there have been: another number means that more has ended."""
        self._departures: deque[_Departure] = deque()
        self._numbers = count()
        self._finish_numbers = 0
        self._open = 0
        self._closed = Traffic()

    def __len__(self) -> int:
        return self._open

    @property
    def traffic(self) -> Traffic:
        """The traffic of all flows since the start, open ones included; it walks over these."""
        tx_packets, tx_bytes, rx_packets, rx_bytes = self._closed
        # Added field by field: a sum of tuples takes 0.3 s for 100,000 open flows.
        held = [client.open() for _, _, client in self._idle]
        for flow in chain(*held, *(departure.flows for departure in self._departures)):
            tx_packets += flow.tx_packets
            tx_bytes += flow.tx_bytes
            rx_packets += flow.rx_packets
            rx_bytes += flow.rx_bytes
        return Traffic(tx_packets, tx_bytes, rx_packets, rx_bytes)

    # --- For the records of a client -------------------------------------------------------

    def number(self) -> int:
        """Return the number of the next record."""
        return next(self._numbers)

    def begin(self, client: RecordHolder, flow: FlowRecord, now: float) -> None:
        """Take note of a new record, and report it."""
        self._open += 1
        if not client.is_listed:
            client.is_listed = True
            heapq.heappush(self._idle, (flow.deadline, flow.number, client))
        self._events.put_flow(flow.start_event(client.client_id), now)

    def finish(self, client: RecordHolder, now: float) -> int:
        """Return the number of the finish of a record of *client*.

        The next closing ends it. Until then it stays open, so that the last ACKs still count
        for it.
        """
        number = self._finish_numbers
        self._finish_numbers += 1
        if not client.is_finishing:
            client.is_finishing = True
            heapq.heappush(self._finished, (number, now, client))
        return number

    def end(self, flow: FlowRecord) -> None:
        """Take note that a record is open no more."""
        self._open -= 1
        self._add_closed(flow)

    def _add_closed(self, flow: FlowRecord) -> None:
        tx_packets, tx_bytes, rx_packets, rx_bytes = self._closed
        self._closed = Traffic(
            tx_packets + flow.tx_packets,
            tx_bytes + flow.tx_bytes,
            rx_packets + flow.rx_packets,
            rx_bytes + flow.rx_bytes,
        )

    def put_end(
        self,
        client_id: str,
        flow: FlowRecord,
        cause: FlowEnd,
        now: float,
        expiry: Expiry | None,
    ) -> None:
        """Report the end of a record by an expiry or, if there is none, at *now*."""
        event = flow.end_event(client_id, *_as_finished(flow, cause, now))
        if expiry is None:
            self._events.put_flow(event, now)
        else:
            self._events.put_flow_of_expiry(event, expiry)

    def depart(self, client_id: str, flows: list[FlowRecord], cause: FlowEnd, now: float) -> None:
        """Take note that a hook has ended records; `report` reports them."""
        # A place that nobody fills would hold up all events behind it.
        departure = _Departure(client_id, flows, cause, now, Place())
        self._departures.append(departure)
        try:
            departure.place = self._events.reserve(now)
        except BaseException:
            self._departures.pop()
            raise
        self._open -= len(flows)

    def leave(self, client: RecordHolder) -> None:
        """Take note that a client begins no record any more; for hooks only."""
        if not client.is_gone:
            return  # the closings come to it
        self._gone += client.is_listed + client.is_finishing
        if self._gone > _MANY and self._gone * 2 > len(self._idle) + len(self._finished):
            self._idle = [entry for entry in self._idle if not entry[2].is_gone]
            heapq.heapify(self._idle)
            self._finished = [entry for entry in self._finished if not entry[2].is_gone]
            heapq.heapify(self._finished)
            self._gone = 0

    def is_over(self, flow: FlowRecord, finish: int | None, before: float = math.inf) -> bool:
        """Tell whether a closing earlier than *before* that is still unfinished ends a record.

        Args:
            flow: the record.
            finish: the number of its finish, if it is finished.
            before: the moment of an expiry that would end it too.
        """
        closings = self._closings
        if not closings:
            return False
        if finish is None:
            first = bisect_right(closings, flow.last_packet + IDLE, key=_MOMENT)
        else:
            first = bisect_right(closings, finish, key=_FINISHED)
        return first < len(closings) and closings[first].moment < before

    @property
    def latest_closing(self) -> float | None:
        """The moment of the latest closing, if it is unfinished."""
        return self._closings[-1].moment if self._closings else None

    # --- Closing ---------------------------------------------------------------------------

    def earliest(self) -> float | None:
        """Return when `handle_timeout` or `report` may have a flow to report; or `None`.

        It may be early, and is not later than the latest `now` while there is more to report.
        """
        if self._departures:
            return self._departures[0].at
        if self._closings:
            return self._closings[0].moment
        self._clean()
        moments = []
        if self._finished:
            moments.append(self._finished[0][1])
        if self._idle and (after := _just_after(self._idle[0][0])) is not None:
            moments.append(after)
        return min(moments, default=None)

    def handle_timeout(self, now: float) -> None:
        """End the records that are finished, and those idle for more than 120 s.

        `report` reports them.
        """
        if self._finished or (self._idle and self._idle[0][0] < now):
            place = self._events.reserve(now)
            self._closings.append(_Closing(now, self._finish_numbers, place))
            self.closings += 1

    def report(self, most: float = math.inf, before: float = math.inf) -> int:
        """Report records that `handle_timeout` and hooks have ended, in up to *most* steps.

        Args:
            most: steps of at most 10 µs.
            before: the moment of the first expiry that is still to be withdrawn. It ends its
                records before a `handle_timeout` of that moment or later can.

        Returns:
            How many steps it took; less than *most* if there is nothing left to do.
        """
        steps = 0
        while self._departures and steps < most:
            self._report_departed(self._departures[0])
            steps += 1
        while self._closings and self._closings[0].moment < before and steps < most:
            closing = self._closings[0]
            if self._finished and self._finished[0][0] < closing.finished:
                self._report_finished(closing)
            elif self._idle and self._idle[0][0] < closing.moment:
                self._report_idle(closing)
            else:
                self._events.release(closing.place)
                del self._closings[0]
            steps += 1
        return steps

    def _report_departed(self, departure: _Departure) -> None:
        if departure.flows:
            flow = departure.flows.pop()
            self._add_closed(flow)
            cause, at = _as_finished(flow, departure.cause, departure.at)
            event = flow.end_event(departure.client_id, cause, at)
            self._events.put_in(departure.place, event)
        else:
            self._events.release(departure.place)
            self._departures.popleft()

    def _report_finished(self, closing: _Closing) -> None:
        bound, _, client = self._finished[0]
        if client.first_finish() == bound:
            flow = client.pop_finished()
            event = flow.end_event(client.client_id, FlowEnd.FIN, flow.last_packet)
            self._events.put_in(closing.place, event)
        self._place_finished(client)

    def _report_idle(self, closing: _Closing) -> None:
        deadline, number, client = self._idle[0]
        first = client.first_idle()
        if first is not None and (first.deadline, first.number) == (deadline, number):
            flow = client.pop_idle()
            if flow is not None:
                event = flow.end_event(client.client_id, FlowEnd.IDLE, closing.moment)
                self._events.put_in(closing.place, event)
        self._place_idle(client)

    def _place_finished(self, client: RecordHolder) -> None:
        """Give the first of the clients with finished records its right place."""
        first = client.first_finish()
        if first is None:
            heapq.heappop(self._finished)
            client.is_finishing = False
            self._gone -= client.is_gone
        else:
            heapq.heapreplace(self._finished, (first, client.finished_at(), client))

    def _place_idle(self, client: RecordHolder) -> None:
        """Give the first of the clients its right place."""
        first = client.first_idle()
        if first is None:
            heapq.heappop(self._idle)
            client.is_listed = False
            self._gone -= client.is_gone
        else:
            heapq.heapreplace(self._idle, (first.deadline, first.number, client))

    def _clean(self) -> None:
        """Give a few clients their right places, so that not what has ended is announced."""
        for _ in range(_CLEAN):
            if self._finished:
                bound, _, client = self._finished[0]
                if client.first_finish() != bound:
                    self._place_finished(client)
            if self._idle:
                deadline, _, client = self._idle[0]
                first = client.first_idle()
                if first is None or first.deadline != deadline:
                    self._place_idle(client)

    # --- The clock -------------------------------------------------------------------------

    def shift_clock(self, by: float) -> None:
        """Move every moment: the host's clock has been set, or has begun.

        No closing may be unfinished.
        """
        clients = [client for _, _, client in self._idle]
        self._idle = []
        for client in clients:
            first = client.shift_clock(by)
            client.is_listed = first is not None
            if first is not None:
                self._idle.append((first.deadline, first.number, client))
        heapq.heapify(self._idle)
        self._finished = [(number, at + by, client) for number, at, client in self._finished]


def _as_finished(flow: FlowRecord, cause: FlowEnd, at: float) -> tuple[FlowEnd, float]:
    """Return why and when a record ends: one that is finished always as `FIN`, but for a RST."""
    if flow.is_finished and cause is not FlowEnd.RST:
        return FlowEnd.FIN, flow.last_packet
    return cause, at


def _just_after(moment: float) -> float | None:
    """Return the next float after *moment*, or `None` if no finite one is greater."""
    after = math.nextafter(moment, math.inf)
    return None if after == math.inf else after
