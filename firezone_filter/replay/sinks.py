"""What takes the results of a replay as they come."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from firezone_filter.replay.summary import Decided
from firezone_filter.values.events import AccessEvent, FlowEvent

if TYPE_CHECKING:
    from firezone_filter.replay.columns.decisions import DecisionColumns


class Writer(Protocol):
    """Receives every decided packet, in the order of the capture."""

    def add(self, decided: Decided) -> None:
        """Write about *decided*, if there is anything to write."""


@runtime_checkable
class ColumnWriter(Protocol):
    """A writer that takes decisions as columns too, of many packets at a time."""

    def add(self, decided: Decided) -> None:
        """Write about *decided*, if there is anything to write."""

    def add_columns(self, columns: "DecisionColumns") -> None:
        """Write the same of all packets of *columns*."""


class FlowSink(Protocol):
    """Receives every flow event, in the order in which the gateway reports them."""

    def add(self, event: FlowEvent) -> None:
        """Write about *event*."""


EventSink = Callable[[AccessEvent], None]
"""Receives every other event."""

DecisionSink = Callable[["DecisionColumns"], None]
"""Receives the decisions about frames that follow each other, as soon as they are made."""


def to_all(sinks: Sequence[DecisionSink]) -> DecisionSink:
    """Return a sink that gives what it receives to each of *sinks*, in their order."""

    def take(columns: "DecisionColumns") -> None:
        for sink in sinks:
            sink(columns)

    return take
