"""Flow records: the traffic of one client with each resource, flow by flow.

The rules are in rules.md, "Flow records", and are those of Firezone's own flow log. A flow is
a client, a resource, and both ends as the resource sees them, after translation. Only a packet
from the client begins a record, so far ends cannot create any. `flow_counting` decides which
packets count, and how much; `flow_log` reports. This module is used only with
`GatewayOptions.flow_records`.

Theory of operation. An open record stands in three collections: by its resource and ends, in the
line of those that give way for a new one, and in the heap of deadlines. One that ends leaves the
first at once. It stays in the others until it gets to their front, or until there are more such
than open ones.
"""

import heapq
import math
from collections import deque
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Final, cast

from firezone_filter.accounting.event_queue import Expiry
from firezone_filter.accounting.flow_log import FlowLog
from firezone_filter.accounting.flow_record import (
    ENDED,
    IDLE,
    NO_RECORD,
    UNREPORTED,
    FlowRecord,
)
from firezone_filter.packet.numbers import ACK, FIN, RST, STATE_FLAGS, SYN, TCP
from firezone_filter.values.events import FlowEnd

MAX_OPEN: Final = 4_096
"""Open records of one client: as many as it may have decisions in the flow cache for one
direction. At about 400 bytes each, 1.6 MiB a client."""

SECOND_CHANCES: Final = 8
"""Records passed over, at most, in the search for one to evict: those with a packet since they
were last passed over, or since they began. So a flood of short flows does not evict the record
of a long TCP flow, which its bare ACKs could not begin again. The number bounds the search."""

FindOver = Callable[[Iterable[str], float], tuple[str, Expiry] | None]
"""Finds among resource ids one whose authorization is over at `now`, and still to be
withdrawn."""

_A_FEW: Final = 16
"""Records taken apart at once, at most, for room for a new one."""

_CLEAN: Final = 4
"""Records that have ended and are removed from the front of a line with each other end."""

_MANY: Final = 64
"""So few that have ended are not worth rebuilding a line."""


class ClientRecords:
    """The open records of one client, and those that have ended and are to be reported."""

    __slots__ = (
        "_by_resource",
        "_dead_idle",
        "_dead_in_line",
        "_find_over",
        "_finished",
        "_idle",
        "_line",
        "_log",
        "_open",
        "_searched",
        "client_id",
        "is_finishing",
        "is_gone",
        "is_listed",
    )

    def __init__(self, client_id: str, log: FlowLog, find_over: FindOver | None = None) -> None:
        """Create the records of a client, none.

        Args:
            client_id: the client.
            log: the log of all clients.
            find_over: what finds authorizations that are over and not withdrawn; `None` if
                there never are any. Their records take no room.
        """
        self.client_id: str = client_id
        self._log = log
        self._find_over = find_over
        self._by_resource: dict[str, dict[bytes, FlowRecord]] = {}
        self._open = 0
        # A heap of records. What has ended otherwise is removed late, as in the line.
        self._idle: list[FlowRecord] = []
        self._dead_idle = 0
        # The order in which records give way. `None` for a client that has had none: an
        # empty deque takes 600 bytes, and most clients of a large gateway are idle.
        self._line: deque[FlowRecord] | None = None
        self._dead_in_line = 0
        # Records that are finished and not reported, with the numbers of their finish.
        self._finished: dict[FlowRecord, int] | None = None
        self._searched = 0  # the closings that have been searched in vain for room
        self.is_listed: bool = False
        self.is_finishing: bool = False
        self.is_gone: bool = False

    def open(self) -> Iterable[FlowRecord]:
        """Return the open records."""
        return (flow for flows in self._by_resource.values() for flow in flows.values())

    def find(self, resource_id: str, ends: bytes) -> FlowRecord | None:
        """Return the open record of a flow whose packet has just been counted, or `None`."""
        flows = self._by_resource.get(resource_id)
        return None if flows is None else flows.get(ends)

    # --- Packets ---------------------------------------------------------------------------

    def outbound(  # noqa: PLR0913, PLR0917 - the facts about a packet
        self,
        resource_id: str,
        ends: bytes,
        domain: str | None,
        flags: int,
        payload: int,
        now: float,
    ) -> FlowRecord:
        """Count an allowed packet from the client; return its record, or `NO_RECORD`.

        Args:
            resource_id: the resource that it goes to.
            ends: the ends of its flow, packed.
            domain: the name behind its proxy address; `None` if it is not translated.
            flags: its TCP flags; 0 for other protocols.
            payload: bytes of its payload; negative if the data offset of TCP, which the filter
                does not check, points behind the end of the packet.
            now: the time, in seconds.
        """
        flow = self._live(resource_id, ends, now)
        if flow is not None and _restarts(flow, domain, flags):
            self.end(flow, FlowEnd.RESTARTED, now)
            flow = None
        if flow is None:
            # The protocol stands first.
            if not _begins(ends[0], flags, payload):
                return NO_RECORD
            flow = self._begin(resource_id, ends, domain, now)
        if not flags & SYN:
            flow.note_speech()
        return self._count(flow, flags, payload, now, outbound=True)

    def inbound(
        self, resource_id: str, ends: bytes, flags: int, payload: int, now: float
    ) -> FlowRecord:
        """Count an allowed packet to the client; return its record, or `NO_RECORD`.

        It never begins a record.
        """
        flow = self._live(resource_id, ends, now)
        if flow is None:
            return NO_RECORD
        return self._count(flow, flags, payload, now, outbound=False)

    def later_fragment(
        self, flow: FlowRecord, payload: int, now: float, *, outbound: bool
    ) -> None:
        """Count a later fragment, if the record of its first one is still open."""
        if not flow.ended and not self._is_over(flow):
            flow.count(payload, now, outbound=outbound)

    def _live(self, resource_id: str, ends: bytes, now: float) -> FlowRecord | None:
        flow = self.find(resource_id, ends)
        if flow is not None and now > flow.open_until and self._is_over(flow):
            self.end(flow, FlowEnd.IDLE, now)
            return None
        return flow

    def _is_over(self, flow: FlowRecord, before: float = math.inf) -> bool:
        """Tell whether a closing before *before* has ended a record that seems to be open."""
        finish = None if self._finished is None else self._finished.get(flow)
        return self._log.is_over(flow, finish, before)

    def _begin(self, resource_id: str, ends: bytes, domain: str | None, now: float) -> FlowRecord:
        if self._open >= MAX_OPEN:
            self._make_room(now)
        if self._line is None:
            self._line = deque()
        flow = FlowRecord(resource_id, ends, domain, self._log.number(), now)
        self._by_resource.setdefault(resource_id, {})[ends] = flow
        self._open += 1
        self._line.append(flow)
        heapq.heappush(self._idle, flow)
        self._log.begin(self, flow, now)
        return flow

    def _count(
        self, flow: FlowRecord, flags: int, payload: int, now: float, *, outbound: bool
    ) -> FlowRecord:
        flow.count(max(payload, 0), now, outbound=outbound)
        if flags & FIN:
            was_finished = flow.is_finished
            flow.note_fin(outbound=outbound)
            if flow.is_finished and not was_finished:
                if self._finished is None:
                    self._finished = {}
                self._finished[flow] = self._log.finish(self, now)
        if flags & RST:
            self.end(flow, FlowEnd.RST, now)
        return flow

    # --- Room ------------------------------------------------------------------------------

    def _make_room(self, now: float) -> None:
        """End a record, for room for another: only if none has ended without being noticed."""
        # Expiries go first, as everywhere: their records are not idle, whatever came later.
        if self._find_over is not None:
            found = self._find_over(self._by_resource, now)
            if found is not None:
                resource_id, expiry = found
                self.expire_resource(resource_id, expiry, _A_FEW)
                return
        if self._searched != self._log.closings:
            over = list(islice(self._over(), _A_FEW))
            for flow in over:
                self.end(flow, FlowEnd.IDLE, now)
            if over:
                return
            self._searched = self._log.closings
        self.end(self._least_needed(), FlowEnd.CROWDED_OUT, now)

    def _over(self) -> Iterable[FlowRecord]:
        """Return what seems to be open, and has been ended by closings."""
        latest = self._log.latest_closing
        if latest is None:
            return ()
        # Most are known to be open, and need no second look.
        return (flow for flow in self.open() if flow.open_until < latest and self._is_over(flow))

    def _least_needed(self) -> FlowRecord:
        for _ in range(SECOND_CHANCES):
            first = self._first_in_line()
            if first.last_packet == first.passed_over:
                return first
            first.passed_over = first.last_packet
            cast("deque[FlowRecord]", self._line).rotate(-1)
            # The records of a resource end in the order of the line, too.
            flows = self._by_resource[first.resource_id]
            flows[first.ends] = flows.pop(first.ends)
        return self._first_in_line()

    def _first_in_line(self) -> FlowRecord:
        line = cast("deque[FlowRecord]", self._line)
        while line[0].ended:
            line.popleft()
            self._dead_in_line -= 1
        return line[0]

    # --- Ends ------------------------------------------------------------------------------

    def end(
        self, flow: FlowRecord, cause: FlowEnd, at: float, expiry: Expiry | None = None
    ) -> None:
        """End an open record; one that is finished ends as `FIN`, whatever ends it but a RST.

        If a closing has ended it before, it is reported as that, in its turn.

        Args:
            flow: the record.
            cause: why.
            at: when.
            expiry: the expiry that ends it, if one does.
        """
        if self._is_over(flow, math.inf if expiry is None else expiry.moment):
            self._take_out(flow, unreported=not flow.is_finished)
            return
        self._take_out(flow)
        if flow.is_finished:
            del cast("dict[FlowRecord, int]", self._finished)[flow]
        self._log.put_end(self.client_id, flow, cause, at, expiry)

    def expire_resource(
        self,
        resource_id: str,
        expiry: Expiry,
        most: int | None = None,
        *,
        at: float | None = None,
    ) -> int:
        """End the records of a resource at an expiry, up to *most* of them; return how many.

        If it has ended as many as *most*, there may be more. The events have the place of
        *expiry* among the others. They end at its moment, or at *at* if the clock has been set.
        """
        flows = self._by_resource.get(resource_id)
        if flows is None:
            return 0
        some = list(islice(flows.values(), most))
        for flow in some:
            self.end(flow, FlowEnd.EXPIRED, expiry.moment if at is None else at, expiry)
        return len(some)

    def end_resource(self, resource_id: str, cause: FlowEnd, now: float) -> None:
        """End all records of a resource at once; the log reports them. For hooks only."""
        flows = self._by_resource.pop(resource_id, None)
        if flows is not None:
            self._depart(list(flows.values()), cause, now)

    def end_all(self, cause: FlowEnd, now: float) -> None:
        """End all records at once: the client has disconnected, and begins no other.

        The log reports them. For hooks only.
        """
        flows = [flow for flow in self._line or () if not flow.ended]
        self._by_resource = {}
        if flows:
            self._depart(flows, cause, now)
        self._line = None
        self._clear_idle()
        self.is_gone = not self._idle and not self._finished
        self._log.leave(self)

    def _depart(self, flows: list[FlowRecord], cause: FlowEnd, now: float) -> None:
        """End records that are no longer among those of their resources."""
        leaving = []
        for flow in flows:
            if self._is_over(flow):
                flow.note_end(unreported=not flow.is_finished)
                self._log.end(flow)
            else:
                flow.note_end()
                leaving.append(flow)
                if flow.is_finished:
                    del cast("dict[FlowRecord, int]", self._finished)[flow]
        self._open -= len(flows)
        if leaving:
            self._log.depart(self.client_id, leaving, cause, now)
        self._dead_in_line += len(flows)
        self._dead_idle += sum(not flow.is_unreported for flow in flows)
        if self._dead_in_line * 2 > len(self._line or ()):
            self._clear_line()
        if self._dead_idle * 2 > len(self._idle):
            self._clear_idle()

    def _take_out(self, flow: FlowRecord, *, unreported: bool = False) -> None:
        flow.note_end(unreported=unreported)
        flows = self._by_resource[flow.resource_id]
        del flows[flow.ends]
        if not flows:
            del self._by_resource[flow.resource_id]
        self._open -= 1
        self._log.end(flow)
        self._clean_line()
        if not unreported:
            self._dead_idle += 1
            self._clean_idle()

    def _clean_line(self) -> None:
        """Remove records that have ended from the line: a few, or all if they are the most."""
        line = cast("deque[FlowRecord]", self._line)
        self._dead_in_line += 1
        for _ in range(_CLEAN):
            if line and line[0].ended:
                line.popleft()
            elif line and line[-1].ended:
                line.pop()
            else:
                break
            self._dead_in_line -= 1
        if self._dead_in_line > _MANY and self._dead_in_line * 2 > len(line):
            self._clear_line()

    def _clear_line(self) -> None:
        self._line = deque(flow for flow in self._line or () if not flow.state & ENDED)
        self._dead_in_line = 0

    # --- For the log -----------------------------------------------------------------------

    def first_idle(self) -> FlowRecord | None:
        """Return the first record to be looked at, which may have ended."""
        return self._idle[0] if self._idle else None

    def pop_idle(self) -> FlowRecord | None:
        """Look at the first record, whose deadline has passed; return it if it has been idle."""
        flow = self._idle[0]
        if flow.ended and not flow.is_unreported:
            heapq.heappop(self._idle)
            self._dead_idle -= 1
            return None
        due = flow.last_packet + IDLE
        if due > flow.deadline:
            flow.deadline = due
            heapq.heapreplace(self._idle, flow)
            return None
        if not flow.ended:
            self._take_out(flow, unreported=True)
        return heapq.heappop(self._idle)

    def first_finish(self) -> int | None:
        """Return the number of the first finish that is to be reported, or `None`."""
        return next(iter(self._finished.values()), None) if self._finished else None

    def finished_at(self) -> float:
        """Return when the first finished record had its last packet."""
        return next(iter(cast("dict[FlowRecord, int]", self._finished))).last_packet

    def pop_finished(self) -> FlowRecord:
        """Return the first finished record, having ended it."""
        finished = cast("dict[FlowRecord, int]", self._finished)
        flow = next(iter(finished))
        del finished[flow]
        if not flow.ended:
            self._take_out(flow)
        return flow

    def shift_clock(self, by: float) -> FlowRecord | None:
        """Move every moment; return the first record to be looked at, if any is open."""
        for flow in self.open():
            flow.flow_start += by
            flow.last_packet += by
            flow.passed_over += by
            flow.prolong()
            # Not by moving the deadline: rounding is not the same everywhere.
            flow.deadline = flow.last_packet + IDLE
        self._clear_idle()
        return self.first_idle()

    def _clean_idle(self) -> None:
        """Remove records that have ended from the heap: a few, or all if they are the most."""
        for _ in range(_CLEAN):
            if not self._idle or not self._idle[0].ended or self._idle[0].is_unreported:
                break
            heapq.heappop(self._idle)
            self._dead_idle -= 1
        if self._dead_idle > _MANY and self._dead_idle * 2 > len(self._idle):
            self._clear_idle()

    def _clear_idle(self) -> None:
        """Remove all records from the heap that have ended otherwise than by being idle."""
        self._idle = [flow for flow in self._idle if flow.state & (ENDED | UNREPORTED) != ENDED]
        heapq.heapify(self._idle)
        self._dead_idle = 0


def _begins(protocol: int, flags: int, payload: int) -> bool:
    """Tell whether a packet from a client begins a record.

    The last packets of a TCP connection do not (FIN, RST, and an ACK without payload), since
    they may come when its record has been closed already.
    """
    if protocol != TCP:
        return True
    return not flags & (FIN | RST) and (bool(flags & SYN) or not flags & ACK or payload > 0)


def _restarts(flow: FlowRecord, domain: str | None, flags: int) -> bool:
    """Tell whether a client's packet with the key of *flow* begins another flow.

    That is a SYN that begins a new connection on the same ports, or a packet to another name
    with the same real address.
    """
    return flow.domain != domain or (flow.has_spoken and flags & STATE_FLAGS == SYN)
