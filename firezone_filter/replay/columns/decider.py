"""Deciding about the packets of a chunk, in the order of the capture; `engine` says why so."""

from typing import Final, cast

import numpy as np
from numpy.typing import NDArray

from firezone_filter.accounting.refusals import PERIOD
from firezone_filter.gateway.gateway import Gateway
from firezone_filter.gateway.inside import inside
from firezone_filter.replay.columns.chunk import Chunk
from firezone_filter.replay.columns.distinct import distinct
from firezone_filter.replay.columns.flows import ASK, DIRECTIONS, FIRST_REFUSED, UNKNOWN, Flows
from firezone_filter.replay.columns.outcomes import Outcomes
from firezone_filter.replay.columns.times import to_seconds
from firezone_filter.replay.explained import ExplainedRefusals
from firezone_filter.replay.passing import Passing
from firezone_filter.replay.refused_by import RefusedBy
from firezone_filter.replay.sinks import EventSink, FlowSink
from firezone_filter.replay.summary import Summary, kind_of
from firezone_filter.report.groups import Group
from firezone_filter.values.decisions import (
    Decision,
    Direction,
    Drop,
    Reason,
    Reject,
    Translate,
)
from firezone_filter.values.events import AuthorizationExpired, FlowEvent
from firezone_filter.values.options import GatewayOptions

_MOST_TIMEOUTS: Final = 64
"""Calls for the upkeep behind a stretch, which may have left more than a bounded part."""


class Decider:
    """A gateway that decides, with what is known of it."""

    def __init__(  # noqa: PLR0913, PLR0917 - what a replay consists of
        self,
        gateway: Gateway,
        start: float,
        options: GatewayOptions,
        summary: Summary,
        flow_sink: FlowSink | None,
        events: EventSink | None,
        *,
        with_decisions: bool,
        refusals: ExplainedRefusals | None = None,
    ) -> None:
        self.summary = summary
        self.outcomes: Outcomes = Outcomes()
        self.flows: Flows = Flows(inside(gateway), self.outcomes, with_ends=with_decisions)
        self._gateway = gateway
        self._passing = Passing(gateway, start)
        self._expiries = inside(gateway).expiries
        self._refused_by = RefusedBy(gateway, stateful=options.stateful)
        self._flow_sink = flow_sink
        self._events = events
        self._with_decisions = with_decisions
        self._refusals = refusals
        # The outcomes of flows of which a packet was handed in, so that it could be explained.
        self._explained: set[int] = set()
        self._asks_about_all = options.stateful or flow_sink is not None

    def decide(self, chunk: Chunk) -> None:
        """Decide about all packets of clients in *chunk*."""
        rows, seconds = chunk.ours, to_seconds(chunk.latest_ns[chunk.ours])
        last = float(seconds[-1])
        if self._asks_about_all or self._passing.is_far(last):
            self._ask_about_all(chunk, rows, seconds)
            return
        at, end = 0, len(rows)
        while at < end:
            if self._expiries.next <= seconds[at]:
                self._ask_about_all(chunk, rows[at : at + 1], seconds[at : at + 1])
                at += 1
                continue
            until = int(seconds.searchsorted(self._expiries.next))
            self._stretch(chunk, rows[at:until], seconds[at:until])
            at = until
        self._passing.reach(last)

    def set_clock(self, now: float) -> None:
        """Set the gateway's clock: the first right time stamp has come."""
        self._passing.set_clock(now)
        self._take_events()

    def finish(self, last: float) -> None:
        """Let the time of the last frame come."""
        if self._flow_sink is not None:
            self._let_flows_end(last)
        self._passing.reach(last)
        self._gateway.handle_timeout(last)
        self._take_events()
        if self._flow_sink is not None:
            for client_id in self._gateway.clients():
                self._gateway.client_disconnected(client_id)
                self._take_events()
            # Refused packets are reported a minute after the first of them.
            self._gateway.handle_timeout(last + PERIOD)
            self._take_events()

    # --- Deciding --------------------------------------------------------------------------

    def _stretch(
        self, chunk: Chunk, rows: NDArray[np.int64], seconds: NDArray[np.float64]
    ) -> None:
        """Decide about packets during which nothing expires."""
        flows = self.flows
        numbers = chunk.flows[rows]
        is_plain = numbers >= 0
        outcomes = np.where(is_plain, flows.outcomes[numbers], ASK)
        if (is_unknown := outcomes == UNKNOWN).any():
            flows.learn(distinct(numbers[is_unknown])[0], float(seconds[0]))
            outcomes[is_unknown] = flows.outcomes[numbers[is_unknown]]
        chunk.outcomes[rows] = outcomes
        if self._refusals is not None:
            outcomes[self._unexplained(outcomes)] = ASK
        outcomes[-1] = ASK
        asked = np.flatnonzero(outcomes <= ASK)
        self._one_by_one(chunk, rows[asked], seconds[asked], outcomes[asked])
        self._keep_up(float(seconds[-1]))

    def _unexplained(self, outcomes: NDArray[np.int32]) -> list[int]:
        """Return the places of the first packets of outcomes that a report may explain."""
        places = []
        found, first = np.unique(outcomes, return_index=True)
        for outcome, place in zip(found.tolist(), first.tolist(), strict=True):
            if outcome != ASK and outcome not in self._explained:
                self._explained.add(outcome)
                if outcome < ASK or self.outcomes.is_refusal(outcome):
                    places.append(place)
        return places

    def _one_by_one(
        self,
        chunk: Chunk,
        rows: NDArray[np.int64],
        seconds: NDArray[np.float64],
        outcomes: NDArray[np.int32],
    ) -> None:
        """Hand packets to the gateway, or take their tokens, one after the other."""
        refused, ask, notes = self.flows.refused, self._ask, self._with_decisions
        handle, number_of = self._gateway.handle_packet, self.outcomes.number
        directions = self.flows.directions[chunk.flows[rows]]
        view = chunk.frames.data.data
        numbers = []
        for row, now, outcome, direction, flow, place, length, is_cut in zip(
            rows.tolist(),
            seconds.tolist(),
            outcomes.tolist(),
            directions.tolist(),
            chunk.flows[rows].tolist(),
            chunk.places[rows].tolist(),
            chunk.lengths[rows].tolist(),
            chunk.is_cut[rows].tolist(),
            strict=True,
        ):
            if outcome != ASK:
                tokens, reject, drop = refused[FIRST_REFUSED - outcome]
                if tokens.has_token(now):
                    tokens.take(now)
                    numbers.append(reject)
                else:
                    numbers.append(drop)
                continue
            if flow < 0:
                toward, captured = chunk.odd[row]
                packet = captured.whole
            else:
                toward = DIRECTIONS[direction]
                packet = (
                    chunk.packet(row).whole if is_cut else view[place : place + length].tobytes()
                )
            # As `_ask` does, where it has nothing to note.
            numbers.append(
                ask(chunk, row, toward, packet, now)
                if notes or is_cut
                else number_of(toward, handle(toward, packet, now))
            )
        chunk.outcomes[rows] = numbers

    def _ask_about_all(
        self, chunk: Chunk, rows: NDArray[np.int64], seconds: NDArray[np.float64]
    ) -> None:
        """Hand packets to the gateway, one after the other, and poll events after each."""
        numbers = []
        for row, now, flow in zip(
            rows.tolist(), seconds.tolist(), chunk.flows[rows].tolist(), strict=True
        ):
            if flow < 0:
                direction, packet = chunk.odd[row]
            else:
                direction = DIRECTIONS[self.flows.directions[flow]]
                packet = chunk.packet(row)
            if self._flow_sink is not None:
                self._let_flows_end(now)
            self._passing.reach(now)
            numbers.append(self._ask(chunk, row, direction, packet.whole, now, polls=True))
        chunk.outcomes[rows] = numbers

    def _ask(  # noqa: PLR0913 - the facts about a packet
        self,
        chunk: Chunk,
        row: int,
        direction: Direction,
        packet: bytes,
        now: float,
        *,
        polls: bool = False,
    ) -> int:
        """Hand a packet to the gateway; return the number of its outcome.

        It *polls* events where there may be any: what has expired refuses nothing.
        """
        if self._refusals is not None:
            self._refusals.ask(direction, packet, now)
        decision = self._gateway.handle_packet(direction, packet, now)
        if polls:
            self._take_events()
        kind, refused_by = type(decision), None
        if kind is Reject or kind is Drop:
            refused_by = self._refused(chunk, row, direction, packet, now, decision)
        elif kind is Translate and self._with_decisions:
            chunk.translated[row] = cast("Translate", decision)
            if direction is Direction.OUTBOUND:
                self._refused_by.session_began()
        return self.outcomes.number(direction, decision, refused_by)

    def _refused(  # noqa: PLR0913, PLR0917 - the facts about a packet
        self,
        chunk: Chunk,
        row: int,
        direction: Direction,
        packet: bytes,
        now: float,
        decision: Decision,
    ) -> str | None:
        """Take note of a refusal; return the resource that it is of, if that is asked for."""
        refusal = cast("Reject | Drop", decision)
        if refusal.reason is Reason.MALFORMED and chunk.is_cut[row]:
            self.summary.cut_malformed.add(int(chunk.lengths[row]))
        if not self._with_decisions:
            return None
        resource = self._refused_by.find(direction, packet, now, refusal)
        if self._refusals is not None:
            self._refusals.add(
                Group(direction, refusal.client_id, resource, kind_of(refusal), refusal.reason),
                refusal,
                packet,
                frame=int(chunk.frames.numbers[row]),
                time_ns=int(chunk.latest_ns[row]),
                now=now,
            )
        return resource

    # --- Time and events -------------------------------------------------------------------

    def _keep_up(self, now: float) -> None:
        for _ in range(_MOST_TIMEOUTS):  # pragma: no branch - there is seldom so much
            due = self._gateway.poll_timeout()
            if due is None or due > now:
                return
            self._gateway.handle_timeout(now)

    def _let_flows_end(self, now: float) -> None:
        """Report what a host's timer would have reported by *now*, each at its own time."""
        while (due := self._gateway.poll_timeout()) is not None and due <= now:
            self._passing.reach(due)
            self._gateway.handle_timeout(due)
            self._take_events()

    def _take_events(self) -> None:
        while (event := self._gateway.poll_event()) is not None:
            if isinstance(event, FlowEvent):
                # The gateway records flows only if there is a writer for them.
                cast("FlowSink", self._flow_sink).add(event)
                continue
            self.summary.add_events([event])
            if self._events is not None:
                self._events(event)
            if isinstance(event, AuthorizationExpired):
                self._refused_by.expired()
                self.flows.expire(event.client_id)
