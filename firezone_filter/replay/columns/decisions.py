"""The decisions about a chunk as columns, under the names of `--decisions`."""

from collections.abc import Iterator, Mapping
from typing import Final, cast

import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray

from firezone_filter.capture.stream import TIME_END_NS
from firezone_filter.replay.captured_packet import CapturedPacket
from firezone_filter.replay.columns.chunk import Chunk
from firezone_filter.replay.columns.flow_ends import FlowEnds
from firezone_filter.replay.columns.flow_table import NO_FLOW
from firezone_filter.replay.columns.outcomes import DIRECTIONS, REASONS, Outcomes
from firezone_filter.replay.five_tuple import read_five_tuple
from firezone_filter.replay.rows import Row, Value
from firezone_filter.replay.summary import KINDS

NONE: Final = -1
"""Stands for null, in columns of numbers and of codes."""

_ALL: Final = slice(None)

_FEW: Final = 256


@frozen(eq=False)
class Coded:
    """A column of texts: a code for each row."""

    codes: NDArray[np.int32]
    """Indices into `values`, or `NONE`."""

    values: list[str]
    """The texts, no two of them equal; not all need occur."""


Column = NDArray[np.int64] | NDArray[np.int32] | Coded


@frozen(eq=False)
class DecisionColumns:
    """The decisions about the packets of a chunk that belong to clients."""

    columns: Mapping[str, Column]
    """By the names of `--decisions`, in their order: texts are `Coded`, `time` is nanoseconds of
    Unix time, and of all other numbers `NONE` is none."""

    chunk: Chunk = field(repr=False)
    """The frames, of which `chunk.ours` are the rows."""

    def __len__(self) -> int:
        return len(self.chunk.ours)

    def numbers(self, name: str) -> NDArray[np.int64]:
        """Return a column of numbers."""
        column = cast("NDArray[np.int64] | NDArray[np.int32]", self.columns[name])
        return column.astype(np.int64, copy=False)

    def values(self, name: str, places: NDArray[np.int64] | slice = _ALL) -> list[Value]:
        """Return what a column has in some rows, as rows have it; by default in all."""
        column = self.columns[name]
        if isinstance(column, Coded):
            texts = column.values
            return [
                None if code == NONE else texts[code] for code in column.codes[places].tolist()
            ]
        return [None if number == NONE else number for number in column[places].tolist()]

    def rows(self) -> Iterator[Row]:
        """Yield the rows, as `decision_row` makes them of decided packets."""
        names = tuple(self.columns)
        for values in zip(*map(self.values, names), strict=True):
            yield dict(zip(names, values, strict=True))

    def refused(self) -> NDArray[np.int64]:
        """Return the rows of packets that are refused."""
        return np.flatnonzero(self._is_refused())

    def _is_refused(self) -> NDArray[np.bool_]:
        kinds = cast("Coded", self.columns["decision"])
        return kinds.codes >= KINDS.index("reject")

    def sent(self) -> Iterator[tuple[int, bytes]]:
        """Yield each row of a packet that goes on and the packet, as the capture would have it.

        Cut packets are cut at the same place, as `CapturedPacket.as_captured` has it.
        """
        chunk, frames = self.chunk, self.chunk.frames
        passes = np.flatnonzero(~self._is_refused())
        rows = chunk.ours[passes]
        starts, places = chunk.places[rows], chunk.places[rows]
        ends = np.minimum(
            starts + chunk.lengths[rows], frames.starts[rows] + frames.captured[rows]
        )
        view = frames.data.data
        for at, row, place, end in zip(
            passes.tolist(), rows.tolist(), places.tolist(), ends.tolist(), strict=True
        ):
            translated = chunk.translated.get(row)
            if translated is None:
                yield at, view[place:end].tobytes()
            else:
                yield at, chunk.packet(row).as_captured(translated.packet)


def columns_of(chunk: Chunk, outcomes: Outcomes, ends: FlowEnds) -> DecisionColumns:
    """Return the columns of a chunk that has been decided."""
    rows, frames = chunk.ours, chunk.frames
    direction, kind, reason, client, resource = outcomes.traits(chunk.outcomes[rows])
    times = frames.time_ns[rows]
    is_usual = (times >= 0) & (times < TIME_END_NS)
    columns: dict[str, Column] = {
        "frame": frames.numbers[rows],
        "time": np.where(is_usual, times, chunk.latest_ns[rows]),
        "direction": Coded(direction, [each.value for each in DIRECTIONS]),
        "decision": Coded(kind, list(KINDS)),
        "reason": Coded(reason, [each.value for each in REASONS]),
        "client": _of_those(client, outcomes.clients.values),
        "resource": _of_those(resource, outcomes.resources.values),
        **_ends(chunk, ends),
        "length": chunk.lengths[rows],
        "wire_length": np.maximum(frames.wire, frames.captured)[rows],
        **_translated(chunk, ends),
    }
    return DecisionColumns(columns, chunk)


def _or_none(number: int | None) -> int:
    return NONE if number is None else number


def _ends(chunk: Chunk, ends: FlowEnds) -> dict[str, Column]:
    """Return the columns of the two ends of each packet."""
    numbers = chunk.flows[chunk.ours]
    is_plain = numbers != NO_FLOW
    values = np.full((7, len(numbers)), NONE, dtype=np.int32)
    if is_plain.all():
        values[:5] = ends.values[:, numbers]
    else:
        plain, odd = np.flatnonzero(is_plain), np.flatnonzero(~is_plain)
        values[:5, plain] = ends.values[:, numbers[plain]]
        of_odd = [_ends_of(chunk.odd[row][1], ends) for row in chunk.ours[odd].tolist()]
        values[:, odd] = np.array(of_odd).T
    names = ("protocol", "source_port", "destination_port", "icmp_type", "icmp_code")
    source, destination = _compact(values[:2], ends.texts.values)
    return {
        "source": source,
        "destination": destination,
        **dict(zip(names, values[2:], strict=True)),
    }


def _ends_of(packet: CapturedPacket, ends: FlowEnds) -> tuple[int, ...]:
    read = read_five_tuple(packet.captured)
    return (
        ends.text(read.source),
        ends.text(read.destination),
        read.protocol,
        _or_none(read.source_port),
        _or_none(read.destination_port),
        _or_none(read.icmp_type),
        _or_none(read.icmp_code),
    )


def _of_those(codes: NDArray[np.int32], texts: list[str]) -> Coded:
    """Return a column of which *texts* are those that have occurred so far: few, or fewer here."""
    if len(texts) > _FEW:
        (column,) = _compact(codes[None], texts)
        return column
    return Coded(codes, list(texts))


def _compact(codes: NDArray[np.int32], texts: list[str]) -> list[Coded]:
    """Return columns with the texts that occur in them alone: of all, there may be many."""
    # What is none has the last place.
    occurs = np.zeros(len(texts) + 1, dtype=np.bool_)
    occurs[codes] = True
    kept = np.flatnonzero(occurs[:-1])
    places = np.full(len(occurs), NONE, dtype=np.int32)
    places[kept] = np.arange(len(kept), dtype=np.int32)
    values = [texts[number] for number in kept.tolist()]
    return [Coded(places[each], values) for each in codes]


def _translated(chunk: Chunk, ends: FlowEnds) -> dict[str, Column]:
    values = np.full((4, len(chunk.ours)), NONE, dtype=np.int32)
    if chunk.translated:
        places = chunk.ours.searchsorted(np.array(list(chunk.translated), dtype=np.int64))
        found = []
        for decision in chunk.translated.values():
            read = read_five_tuple(decision.packet)
            found.append(
                (
                    ends.text(read.source),
                    ends.text(read.destination),
                    _or_none(read.source_port),
                    _or_none(read.destination_port),
                )
            )
        values[:, places] = np.array(found).T
    source, destination = _compact(values[:2], ends.texts.values)
    return {
        "translated_source": source,
        "translated_destination": destination,
        "translated_source_port": values[2],
        "translated_destination_port": values[3],
    }
