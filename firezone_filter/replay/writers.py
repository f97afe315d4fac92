"""The outputs of a replay: decisions and flow records as JSON lines, and a capture.

Each writer writes to a stream that its owner opens, flushes and closes.
"""

import json
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import BinaryIO, Final, Protocol, TextIO

from attrs import Attribute, asdict

from firezone_filter.capture.formats import PcapWriter
from firezone_filter.logs.timestamps import format_time, rfc3339
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


class Writer(Protocol):
    """Receives every decided packet, in the order of the capture."""

    def add(self, decided: Decided) -> None:
        """Write about *decided*, if there is anything to write."""


class DecisionWriter:
    """Writes a line with a JSON object for every decided packet."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def add(self, decided: Decided) -> None:
        """Write the line of *decided*."""
        self._stream.write(json.dumps(_line(decided)) + "\n")


class ForwardedWriter:
    """Writes a capture of the packets that passed, as they left: after any translation.

    A packet that the snap length cut is written cut, with its original length.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._pcap = PcapWriter(stream)

    def add(self, decided: Decided) -> None:
        """Write the packet that is sent on for *decided*, if there is one."""
        packet = decided.packet
        if (out := decided.decision.to_send(packet.whole)) is not None:
            self._pcap.write(decided.time_ns, packet.as_captured(out), packet.length)


class FlowWriter:
    """Writes a line with a JSON object for every flow event."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def add(self, event: FlowEvent) -> None:
        """Write the line of *event*."""
        fields = asdict(event, value_serializer=_json_value)
        self._stream.write(json.dumps({"event": _NAMES[type(event)], **fields}) + "\n")


_NAMES: Final[dict[type, str]] = {
    FlowStarted: "flow-started",
    FlowEnded: "flow-ended",
    FlowRefused: "flow-refused",
}

_TIMES: Final = frozenset({"flow_start", "flow_end", "first_packet", "last_packet"})


def _json_value(_: object, attribute: "Attribute[object]", value: object) -> object:
    if attribute.name in _TIMES and isinstance(value, int | float):
        return format_time(value)
    if isinstance(value, Direction):
        return value.value
    return str(value) if isinstance(value, IPv4Address | IPv6Address) else value


def flow_fields(flow: FiveTuple) -> dict[str, object]:
    """Return *flow* as the fields of a JSON object."""
    return {
        "source": str(ip_address(flow.source)),
        "destination": str(ip_address(flow.destination)),
        "protocol": flow.protocol,
        "source_port": flow.source_port,
        "destination_port": flow.destination_port,
        "icmp_type": flow.icmp_type,
        "icmp_code": flow.icmp_code,
    }


def _line(decided: Decided) -> dict[str, object]:
    decision = decided.decision
    return {
        "frame": decided.frame,
        "time": rfc3339(decided.time_ns),
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


def _translated_fields(decision: Decision) -> dict[str, object]:
    flow = read_five_tuple(decision.packet) if isinstance(decision, Translate) else None
    return {
        "translated_source": None if flow is None else str(ip_address(flow.source)),
        "translated_destination": None if flow is None else str(ip_address(flow.destination)),
        "translated_source_port": None if flow is None else flow.source_port,
        "translated_destination_port": None if flow is None else flow.destination_port,
    }


def _reason(decision: Decision) -> Reason | None:
    return decision.reason if isinstance(decision, Reject | Drop) else None
