"""From decided packets to the data of a report, one by one; `columns/report_feed.py` has many."""

from attrs import define, field

from firezone_filter.gateway.gateway import Gateway
from firezone_filter.replay.explained import ExplainedRefusals
from firezone_filter.replay.five_tuple import read_five_tuple
from firezone_filter.replay.summary import Decided, kind_of
from firezone_filter.report.data import ReportData
from firezone_filter.report.groups import Group
from firezone_filter.report.largest_flows import Conversation
from firezone_filter.values.decisions import (
    Decision,
    Direction,
    Drop,
    Reason,
    Reject,
    Translate,
)

_Key = tuple[str, str | None, str | None, str, Reason | None]
"""The fields of a group, with nothing whose hash takes long."""


@define
class ReportFeed:
    """Adds every decided packet to a report's data."""

    _gateway: Gateway
    _data: ReportData
    _groups: dict[_Key, Group] = field(init=False, factory=dict)
    _refusals: ExplainedRefusals = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Let the gateway explain."""
        self._refusals = ExplainedRefusals(self._gateway, self._data)

    def ask(self, direction: Direction, packet: bytes, now: float) -> None:
        """Ask about a packet that is decided next; see `ExplainedRefusals.ask`."""
        self._refusals.ask(direction, packet, now)

    def add(self, decided: Decided, time_ns: int, now: float) -> None:
        """Add *decided*, which the gateway has decided about just now.

        Args:
            decided: the packet and the decision.
            time_ns: the time of the replay's clock, in nanoseconds.
            now: the same in seconds, as the gateway has been told.
        """
        decision = decided.decision
        reason = decision.reason if isinstance(decision, Reject | Drop) else None
        key = (
            decided.direction.value,
            decision.client_id,
            decided.resource_id,
            kind_of(decision),
            reason,
        )
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = Group(decided.direction, *key[1:])
        flow = conversation(decided.direction, decided.packet.captured, decision)
        self._data.add(group, flow, time_ns, decided.packet.length)
        if isinstance(decision, Reject | Drop):
            packet = decided.packet.whole
            self._refusals.add(
                group, decision, packet, frame=decided.frame, time_ns=time_ns, now=now
            )


def conversation(direction: Direction, packet: bytes, decision: Decision) -> Conversation:
    """Return the flow that *packet*, which has addresses, belongs to, as its client sees it."""
    if direction is Direction.OUTBOUND:
        flow = read_five_tuple(packet)
        return Conversation(
            decision.client_id,
            flow.protocol,
            flow.source,
            flow.source_port,
            flow.destination,
            flow.destination_port,
        )
    # What the client gets comes from the proxy address that it has sent to.
    flow = read_five_tuple(decision.packet if isinstance(decision, Translate) else packet)
    return Conversation(
        decision.client_id,
        flow.protocol,
        flow.destination,
        flow.destination_port,
        flow.source,
        flow.source_port,
    )
