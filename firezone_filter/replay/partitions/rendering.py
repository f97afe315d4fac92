"""What partitions make of decided packets for outputs: as much as can be made of one alone.

Making rows takes as long as deciding, so it is done where that is done. A renderer's class is
sent to the partitions, and what it makes is sent back.
"""

from collections.abc import Callable, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any, ClassVar, Final, Protocol

from attrs import frozen

from firezone_filter.replay.columns.decisions import DecisionColumns
from firezone_filter.replay.outputs.captures import (
    ForwardedPcapngWriter,
    ForwardedWriter,
    RefusedWriter,
)
from firezone_filter.replay.outputs.tables import DecisionWriter
from firezone_filter.replay.rows import decision_row
from firezone_filter.replay.sinks import Writer
from firezone_filter.replay.summary import Decided

Made = tuple[int, Any]
"""The number of a frame, and what has been made of it."""


_NUMBER: Final = itemgetter(0)


class Renderer(Protocol):
    """Makes something of decided packets, one by one."""

    needs_payload: ClassVar[bool]
    """Whether it needs whole packets, with more than headers."""

    def add(self, decided: Decided) -> None:
        """Take a packet."""

    def taken(self) -> list[Made]:
        """Return what has been made since the last call, in order."""


class ColumnRenderer(Protocol):
    """Makes something of columns of decisions."""

    needs_payload: ClassVar[bool]
    """As for `Renderer`."""

    def add_columns(self, columns: DecisionColumns) -> None:
        """Take some packets."""

    def taken(self) -> Any:  # noqa: ANN401 - what its output takes
        """Return what has been made since the last call, in order."""


@frozen
class Output:
    """Something to be written, in the order of the capture."""

    renderer: "type[Renderer | ColumnRenderer]"
    """A class that can be sent to another machine."""

    write: Callable[[Sequence[Any]], object]
    """Takes what the renderer has made of a chunk in each partition, and writes all in order."""


class _Making:
    def __init__(self) -> None:
        self._made: list[Made] = []

    def taken(self) -> list[Made]:
        """Return what has been made since the last call."""
        made, self._made = self._made, []
        return made


class Rows(_Making):
    """Makes rows of a table."""

    needs_payload: ClassVar[bool] = False

    def add(self, decided: Decided) -> None:
        """Make a row."""
        self._made.append((decided.frame, decision_row(decided)))


class Whole(_Making):
    """Leaves decided packets as they are."""

    needs_payload: ClassVar[bool] = True

    def add(self, decided: Decided) -> None:
        """Keep a packet."""
        self._made.append((decided.frame, decided))


class _Captured(_Making):
    """Makes what the writer of a capture writes."""

    needs_payload: ClassVar[bool] = True
    writer: ClassVar[type[ForwardedWriter | ForwardedPcapngWriter | RefusedWriter]]

    def add(self, decided: Decided) -> None:
        """Make something of a packet that is written."""
        if (made := self.writer.made(decided)) is not None:
            self._made.append((decided.frame, made))


class Forwarded(_Captured):
    """Makes packets that pass."""

    writer: ClassVar[type[ForwardedWriter]] = ForwardedWriter


class ForwardedPcapng(_Captured):
    """Makes packets that pass, with their interfaces."""

    writer: ClassVar[type[ForwardedPcapngWriter]] = ForwardedPcapngWriter


class Refused(_Captured):
    """Makes frames with refused packets."""

    writer: ClassVar[type[RefusedWriter]] = RefusedWriter


def outputs_to(writers: Sequence[Writer]) -> list[Output]:
    """Return the outputs that give *writers* what they write, packet by packet."""
    return [_output_to(writer) for writer in writers]


def _output_to(writer: Writer) -> Output:
    match writer:
        case DecisionWriter():
            return Output(Rows, _in_order(writer.table.write))
        case ForwardedWriter():
            return Output(Forwarded, _in_order(writer.write))
        case ForwardedPcapngWriter():
            return Output(ForwardedPcapng, _in_order(writer.write))
        case RefusedWriter():
            return Output(Refused, _in_order(writer.write))
        case _:
            return Output(Whole, _in_order(writer.add))


def _in_order(write: Callable[[Any], object]) -> Callable[[Sequence[list[Made]]], None]:
    def write_all(made: Sequence[list[Made]]) -> None:
        for _, each in sorted(chain.from_iterable(made), key=_NUMBER):
            write(each)

    return write_all
