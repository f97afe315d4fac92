"""What a replay writes packet by packet: decisions as JSON lines, and a capture.

Both write to a stream that somebody else opens, flushes and closes.
"""

import json
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import BinaryIO, Protocol, TextIO

from firezone_filter.cli.formats import PcapWriter
from firezone_filter.cli.headers import Flow, read_flow
from firezone_filter.cli.stream import NS_PER_S
from firezone_filter.cli.summary import Decided, kind_of
from firezone_filter.decisions import Decision, Drop, Reason, Reject


class Writer(Protocol):
    """Takes every decided packet, in the order of the capture."""

    def add(self, decided: Decided) -> None:
        """Write what there is to write about *decided*."""


class DecisionWriter:
    """Writes one JSON object a line for every decided packet."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def add(self, decided: Decided) -> None:
        """Write the line of *decided*."""
        self._stream.write(json.dumps(_line(decided)) + "\n")


class ForwardedWriter:
    """Writes a capture of what passed, as it left: translated where it was translated."""

    def __init__(self, stream: BinaryIO) -> None:
        self._pcap = PcapWriter(stream)

    def add(self, decided: Decided) -> None:
        """Write what goes on in the place of *decided*'s packet, if anything does."""
        if (out := decided.decision.to_send(decided.packet)) is not None:
            self._pcap.write(decided.time_ns, out)


def rfc3339(time_ns: int) -> str:
    """Return *time_ns* as UTC with nine digits: a float would lose the last two."""
    seconds, ns = divmod(time_ns, NS_PER_S)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{ns:09}Z"


def flow_fields(flow: Flow) -> dict[str, object]:
    """Return *flow* as reports for machines spell it."""
    return {
        "source": str(ip_address(flow.source)),
        "destination": str(ip_address(flow.destination)),
        "protocol": flow.protocol,
        "source_port": flow.source_port,
        "destination_port": flow.destination_port,
    }


def _line(decided: Decided) -> dict[str, object]:
    decision = decided.decision
    return {
        "time": rfc3339(decided.time_ns),
        "direction": decided.direction.value,
        "decision": kind_of(decision),
        "reason": _reason(decision),
        "client": decision.client_id,
        "resource": None if isinstance(decision, Reject | Drop) else decision.resource_id,
        **flow_fields(read_flow(decided.packet)),
    }


def _reason(decision: Decision) -> Reason | None:
    return decision.reason if isinstance(decision, Reject | Drop) else None
