"""Decisions and flow events as rows: the fields of all outputs, under the names that stay.

A row has plain values: texts, numbers, `None`, and times as integers of nanoseconds. Its writer
spells them.
"""

from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from attrs import Attribute, asdict, fields

from firezone_filter.logs.timestamps import nanoseconds
from firezone_filter.replay.five_tuple import FiveTuple, read_five_tuple
from firezone_filter.replay.summary import Decided, kind_of
from firezone_filter.values.decisions import (
    Decision,
    Direction,
    Drop,
    Reason,
    Reject,
    Translate,
)
from firezone_filter.values.events import FlowEnded, FlowEvent, FlowRefused, FlowStarted

Value = str | int | None
Row = dict[str, Value]

DECISION_FIELDS: Final = (
    "frame",
    "time",
    "direction",
    "decision",
    "reason",
    "client",
    "resource",
    "source",
    "destination",
    "protocol",
    "source_port",
    "destination_port",
    "icmp_type",
    "icmp_code",
    "length",
    "wire_length",
    "translated_source",
    "translated_destination",
    "translated_source_port",
    "translated_destination_port",
)
"""The fields of a decision, in their order."""

_FLOW_EVENTS: Final[dict[type, str]] = {
    FlowStarted: "flow-started",
    FlowEnded: "flow-ended",
    FlowRefused: "flow-refused",
}

FLOW_FIELDS: Final = (
    "event",
    *dict.fromkeys(attribute.name for kind in _FLOW_EVENTS for attribute in fields(kind)),
)
"""The fields of all flow events together; each event has some of them."""

TIMES: Final = frozenset({"time", "flow_start", "flow_end", "first_packet", "last_packet"})
"""The fields with times."""


def decision_row(decided: Decided) -> Row:
    """Return the row of a decided packet: each of `DECISION_FIELDS`."""
    decision = decided.decision
    return {
        "frame": decided.frame,
        "time": decided.time_ns,
        "direction": decided.direction.value,
        "decision": kind_of(decision),
        "reason": _reason(decision),
        "client": decision.client_id,
        "resource": decided.resource_id,
        **flow_fields(read_five_tuple(decided.packet.captured)),
        "length": decided.packet.length,
        "wire_length": decided.wire_length,
        **_translated_fields(decision),
    }


def flow_row(event: FlowEvent) -> Row:
    """Return the row of a flow event: those of `FLOW_FIELDS` that it has."""
    values = asdict(event, value_serializer=_plain)
    return {"event": _FLOW_EVENTS[type(event)], **values}


def flow_fields(flow: FiveTuple) -> Row:
    """Return *flow* as fields of a row."""
    return {
        "source": str(ip_address(flow.source)),
        "destination": str(ip_address(flow.destination)),
        "protocol": flow.protocol,
        "source_port": flow.source_port,
        "destination_port": flow.destination_port,
        "icmp_type": flow.icmp_type,
        "icmp_code": flow.icmp_code,
    }


def _plain(_: object, attribute: "Attribute[object]", value: object) -> object:
    if attribute.name in TIMES and isinstance(value, int | float):
        return nanoseconds(value)
    if isinstance(value, Direction):
        return value.value
    return str(value) if isinstance(value, IPv4Address | IPv6Address) else value


def _translated_fields(decision: Decision) -> Row:
    flow = read_five_tuple(decision.packet) if isinstance(decision, Translate) else None
    return {
        "translated_source": None if flow is None else str(ip_address(flow.source)),
        "translated_destination": None if flow is None else str(ip_address(flow.destination)),
        "translated_source_port": None if flow is None else flow.source_port,
        "translated_destination_port": None if flow is None else flow.destination_port,
    }


def _reason(decision: Decision) -> Reason | None:
    return decision.reason if isinstance(decision, Reject | Drop) else None
