"""Captures of the packets that passed, as they left, and of the frames that were refused."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO, Generic, TypeVar

from attrs import evolve

from firezone_filter.capture.formats import LINK_RAW_IP, PcapWriter
from firezone_filter.capture.interface import NANOSECONDS, Interface
from firezone_filter.capture.pcapng_writer import PcapngWriter
from firezone_filter.replay.summary import Decided, kind_of
from firezone_filter.values.decisions import Drop, Reject

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from firezone_filter.capture.frames import Frames
    from firezone_filter.replay.columns.decisions import DecisionColumns

_WHY = ("decision", "reason", "client", "resource")

_FCS_LENGTH = 13
"""The option of an interface that says how long the frame check sequence is."""


Made = TypeVar("Made")


class _CaptureWriter(ABC, Generic[Made]):
    """Writes what is made of each decided packet, if there is anything to write of it."""

    def add(self, decided: Decided) -> None:
        """Write what is to be written of *decided*."""
        if (made := self.made(decided)) is not None:
            self.write(made)

    def add_columns(self, columns: "DecisionColumns") -> None:
        """Write the same of all packets of *columns*."""
        for _, made in self.made_of(columns):
            self.write(made)

    @staticmethod
    @abstractmethod
    def made(decided: Decided) -> Made | None:
        """Return what `write` takes, which may come from another process."""

    @staticmethod
    @abstractmethod
    def made_of(columns: "DecisionColumns") -> Iterator[tuple[int, Made]]:
        """Yield what `write` takes, each with its row."""

    @abstractmethod
    def write(self, made: Made) -> None:
        """Write it."""


class ForwardedWriter(_CaptureWriter[tuple[int, bytes, int]]):
    """Writes a pcap capture of the packets that passed, as they left: after any translation.

    A packet that the snap length cut is written cut, with its original length.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._pcap = PcapWriter(stream)

    @staticmethod
    def made_of(columns: "DecisionColumns") -> Iterator[tuple[int, tuple[int, bytes, int]]]:
        """Yield what `write` takes, each with its row."""
        times, lengths = columns.numbers("time"), columns.numbers("length")
        for row, out in columns.sent():
            yield row, (int(times[row]), out, int(lengths[row]))

    @staticmethod
    def made(decided: Decided) -> tuple[int, bytes, int] | None:
        """Return what `write` takes, which may come from another process."""
        out = _sent(decided)
        return None if out is None else (decided.time_ns, out, decided.packet.length)

    def write(self, made: tuple[int, bytes, int]) -> None:
        """Write a packet."""
        self._pcap.write(*made)


class ForwardedPcapngWriter(_CaptureWriter[tuple[Interface, int, bytes, int]]):
    """Writes the same as pcapng, each packet on the interface on which it was captured."""

    def __init__(self, stream: BinaryIO) -> None:
        self._pcapng = PcapngWriter(stream)
        self._raw: dict[Interface, Interface] = {}

    @staticmethod
    def made_of(
        columns: "DecisionColumns",
    ) -> Iterator[tuple[int, tuple[Interface, int, bytes, int]]]:
        """Yield what `write` takes, each with its row."""
        interfaces = _interfaces(columns.chunk.frames, columns.chunk.ours)
        for row, sent in ForwardedWriter.made_of(columns):
            yield row, (interfaces[row], *sent)

    @staticmethod
    def made(decided: Decided) -> tuple[Interface, int, bytes, int] | None:
        """Return what `write` takes, which may come from another process."""
        out = _sent(decided)
        if out is None:
            return None
        return _interface(decided), decided.time_ns, out, decided.packet.length

    def write(self, made: tuple[Interface, int, bytes, int]) -> None:
        """Write a packet."""
        self._pcapng.write(self._as_raw(made[0]), *made[1:])

    def _as_raw(self, interface: Interface) -> Interface:
        raw = self._raw.get(interface)
        if raw is None:
            # It goes on without the frame around it, and without what stood behind it.
            options = tuple(option for option in interface.options if option[0] != _FCS_LENGTH)
            raw = evolve(interface, link_type=LINK_RAW_IP, options=options)
            self._raw[interface] = raw
        return raw


class RefusedWriter(_CaptureWriter[tuple[Interface, int, bytes, int, str]]):
    """Writes a pcapng capture of the frames with refused packets, each with why as its comment."""

    def __init__(self, stream: BinaryIO) -> None:
        self._pcapng = PcapngWriter(stream)

    @staticmethod
    def made_of(
        columns: "DecisionColumns",
    ) -> Iterator[tuple[int, tuple[Interface, int, bytes, int, str]]]:
        """Yield what `write` takes, each with its row."""
        frames, refused = columns.chunk.frames, columns.refused()
        rows = columns.chunk.ours[refused]
        starts = frames.starts[rows]
        view = frames.data.data
        for row, interface, time_ns, start, end, wire_length, *why in zip(
            refused.tolist(),
            _interfaces(frames, rows),
            columns.values("time", refused),
            starts.tolist(),
            (starts + frames.captured[rows]).tolist(),
            columns.values("wire_length", refused),
            *(columns.values(name, refused) for name in _WHY),
            strict=True,
        ):
            yield row, (interface, time_ns, view[start:end].tobytes(), wire_length, _comment(*why))

    @staticmethod
    def made(decided: Decided) -> tuple[Interface, int, bytes, int, str] | None:
        """Return what `write` takes, which may come from another process."""
        record, decision = decided.record, decided.decision
        if record is None or not isinstance(decision, Reject | Drop):
            return None
        why = comment(decided, decision)
        return _interface(decided), decided.time_ns, record.frame, decided.wire_length, why

    def write(self, made: tuple[Interface, int, bytes, int, str]) -> None:
        """Write a frame."""
        self._pcapng.write(*made)


def comment(decided: Decided, refusal: Reject | Drop) -> str:
    """Return the comment on a refused packet: `reject tcp-port client=alice resource=db`."""
    return _comment(kind_of(refusal), refusal.reason.value, refusal.client_id, decided.resource_id)


def _comment(kind: str, reason: str, client: str | None, resource: str | None) -> str:
    words = [kind, reason]
    if client is not None:
        words.append(f"client={client}")
    if resource is not None:
        words.append(f"resource={resource}")
    return " ".join(words)


def _sent(decided: Decided) -> bytes | None:
    packet = decided.packet
    out = decided.decision.to_send(packet.whole)
    return None if out is None else packet.as_captured(out)


def _interface(decided: Decided) -> Interface:
    if (record := decided.record) is None:
        return Interface(LINK_RAW_IP, resolution=NANOSECONDS)
    return record.interface or Interface(record.link_type, resolution=NANOSECONDS)


def _interfaces(frames: "Frames", rows: "NDArray[np.int64]") -> list[Interface]:
    """Return what `_interface` returns of some of *frames*."""
    if not frames.interfaces:
        types = frames.link_types[rows].tolist()
        made = {each: Interface(each, resolution=NANOSECONDS) for each in set(types)}
        return [made[each] for each in types]
    if isinstance(frames.interface, int):
        return [frames.interfaces[frames.interface]] * len(rows)
    return [frames.interfaces[each] for each in frames.interface[rows].tolist()]
