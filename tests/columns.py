"""Chunks of frames out of records, and a replay by columns beside one packet by packet."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from io import BytesIO
from typing import Final

import numpy as np
import pyarrow as pa
from attrs import define, field

from firezone_filter import Policy
from firezone_filter.capture.frames import Frames
from firezone_filter.capture.stream import Record
from firezone_filter.replay import arrow
from firezone_filter.replay.arrow import decision_schema
from firezone_filter.replay.by_packet import replay_packets
from firezone_filter.replay.columns.batches import record_batch
from firezone_filter.replay.columns.decisions import DecisionColumns
from firezone_filter.replay.columns.engine import ColumnReplay
from firezone_filter.replay.columns.lines import json_lines
from firezone_filter.replay.engine import steps
from firezone_filter.replay.outputs.captures import (
    ForwardedPcapngWriter,
    ForwardedWriter,
    RefusedWriter,
)
from firezone_filter.replay.outputs.tables import JsonLines
from firezone_filter.replay.rows import Row, decision_row
from firezone_filter.replay.sinks import ColumnWriter
from firezone_filter.replay.summary import Decided, Summary
from firezone_filter.report.data import ReportData
from firezone_filter.values.events import AccessEvent, FlowEvent
from tests.gathering import interfaces_of

WRITERS: Final[tuple[Callable[[BytesIO], ColumnWriter], ...]] = (
    ForwardedWriter,
    ForwardedPcapngWriter,
    RefusedWriter,
)
_INT64 = np.iinfo(np.int64)


def frames_of(records: Sequence[Record], first_number: int = 1, gap: int = 0) -> Frames:
    """Return *records* as a chunk, with *gap* bytes before each frame."""
    frames = [bytes(gap) + record.frame for record in records]
    starts = [gap]
    for frame in frames:
        starts.append(starts[-1] + len(frame))
    link_types = [record.link_type for record in records]
    interfaces, interface = interfaces_of(records)
    times = [min(max(record.time_ns, _INT64.min), _INT64.max) for record in records]
    return Frames(
        np.frombuffer(b"".join(frames), dtype=np.uint8),
        np.array(starts[:-1], dtype=np.int64),
        np.array([len(record.frame) for record in records], dtype=np.int64),
        np.array([record.wire_length for record in records], dtype=np.int64),
        np.array(times, dtype=np.int64),
        link_types[0] if len(set(link_types)) == 1 else np.array(link_types, dtype=np.int32),
        first_number,
        interfaces=interfaces,
        interface=interface,
    )


def chunks_of(records: Sequence[Record], size: int, gap: int = 0) -> Iterator[Frames]:
    for at in range(0, len(records), size):
        yield frames_of(records[at : at + size], at + 1, gap)


@define
class Seen:
    """All that a replay tells."""

    summary: Summary
    decisions: list[Row] | None
    captures: list[bytes] | None
    """What is sent on, as pcap and as pcapng, and what is refused."""

    lines: bytes | None
    batches: list[dict[str, object]] | None
    flows: list[FlowEvent]
    events: list[AccessEvent]
    report: ReportData | None = None


@define
class _Collector:
    """Collects the rows of decisions."""

    rows: list[Row] = field(factory=list)

    def add(self, decided: Decided) -> None:
        self.rows.append(decision_row(decided))


@define
class _Flows:
    """Collects flow events."""

    events: list[FlowEvent] = field(factory=list)

    def add(self, event: FlowEvent) -> None:
        self.events.append(event)


def by_packets(
    records: Iterable[Record],
    policy: Policy,
    *,
    flows: bool = False,
    report: ReportData | None = None,
) -> Seen:
    collector, kept, events = _Collector(), _Flows(), list[AccessEvent]()
    sink, streams = kept if flows else None, [BytesIO() for _ in WRITERS]
    writers = [kind(stream) for kind, stream in zip(WRITERS, streams, strict=True)]
    summary = replay_packets(
        records, policy, [collector, *writers], sink, events=events.append, report=report
    )
    rows, lines = collector.rows, BytesIO()
    for row in rows:
        JsonLines(lines).write(row)
    batches = table_of([arrow.record_batch(rows, decision_schema)])
    captures = [stream.getvalue() for stream in streams]
    return Seen(summary, rows, captures, lines.getvalue(), batches, kept.events, events, report)


def by_columns(
    chunks: Iterable[Frames],
    policy: Policy,
    *,
    decisions: bool = True,
    flows: bool = False,
    report: ReportData | None = None,
) -> Seen:
    kept, events, columns = _Flows(), list[AccessEvent](), list[DecisionColumns]()
    run = ColumnReplay(
        policy,
        columns.append if decisions else None,
        kept if flows else None,
        events.append,
        report,
    )
    for _ in steps(run, chunks):
        pass
    rows = [row for one in columns for row in one.rows()] if decisions else None
    captures = captures_of(columns) if decisions else None
    lines = b"".join(map(json_lines, columns)) if decisions else None
    batches = table_of(list(map(record_batch, columns))) if decisions else None
    return Seen(run.summary, rows, captures, lines, batches, kept.events, events, report)


def captures_of(columns: Sequence[DecisionColumns]) -> list[bytes]:
    streams = [BytesIO() for _ in WRITERS]
    for kind, stream in zip(WRITERS, streams, strict=True):
        writer = kind(stream)
        for one in columns:
            writer.add_columns(one)
    return [stream.getvalue() for stream in streams]


def table_of(batches: list[pa.RecordBatch]) -> list[dict[str, object]]:
    """Return the rows of all *batches*, as Arrow has them."""
    rows: list[dict[str, object]] = pa.Table.from_batches(batches, decision_schema()).to_pylist()
    return rows


def orders(summary: Summary) -> list[object]:
    """Return the order of dicts, which equality does not compare: it breaks ties in reports."""
    clients = [[*client.allowed] for client in summary.clients.values()]
    flows = [[*refusals.flows] for refusals in summary.refusals.values()]
    kept = (summary.not_ip_kinds, summary.unsupported, summary.addresses)
    return [[*summary.clients], clients, [*summary.refusals], flows, *([*each] for each in kept)]
