"""Why one packet of a capture is decided as it is, after everything before it."""

from collections.abc import Iterable, Iterator

from attrs import define, field, frozen

from firezone_filter.capture.link import link_reader, link_type_name
from firezone_filter.capture.stream import Record
from firezone_filter.gateway.gateway import Gateway
from firezone_filter.policy import Policy
from firezone_filter.replay.by_packet import replay_packets
from firezone_filter.replay.clock import WINDOW
from firezone_filter.values.decisions import Direction
from firezone_filter.values.explanations import Explanation


class NoSuchPacketError(Exception):
    """The capture has no packet of that number that a gateway would decide about."""


@frozen
class ExplainedFrame:
    """A frame of a capture, as the gateway was given it, and what it said."""

    explanation: Explanation
    """The decision, and why."""

    direction: Direction
    """Which way the packet went."""

    packet: bytes
    """The whole packet."""

    now: float
    """The time of the decision, in Unix seconds."""


def explain_frame(records: Iterable[Record], policy: Policy, number: int) -> ExplainedFrame:
    """Return why `replay` decides about a frame as it does.

    Only as many records are read as that needs.

    Args:
        records: the capture.
        policy: the policy.
        number: the number of the frame; the first is 1.

    Raises:
        NoSuchPacketError: there is no such frame, or it holds no packet of a client.
        KeyboardInterrupt: *records* raised it, before the frame.
        FirezoneFilterError: The policy can begin at no time of a capture.
        Exception: Anything else that *records* raise.
    """
    asked = _AskedFrame(number)
    # The first few decide together when the capture begins.
    # (`islice` takes no number beyond `sys.maxsize`.)
    numbered = zip(range(max(number, WINDOW)), records, strict=False)
    summary = replay_packets(
        asked.seen(record for _, record in numbered), policy, asking=asked.ask
    )
    if asked.explained is not None:
        return asked.explained
    if asked.record is not None:
        raise NoSuchPacketError(f"frame {number}: {_without_client(asked.record)}")
    if summary.interrupted:
        raise KeyboardInterrupt
    frames = f"{summary.frames.packets:,} frame{'' if summary.frames.packets == 1 else 's'}"
    ending = "" if summary.damage is None else f"; {summary.damage}"
    raise NoSuchPacketError(f"has no frame {number}, but {frames}{ending}")


@define
class _AskedFrame:
    """A frame of a capture that is being replayed, and what is said about it."""

    number: int
    record: Record | None = field(init=False, default=None)
    explained: ExplainedFrame | None = field(init=False, default=None)

    def seen(self, records: Iterable[Record]) -> Iterator[Record]:
        for number, record in enumerate(records, start=1):
            if number == self.number:
                self.record = record
            yield record

    def ask(
        self, gateway: Gateway, number: int, direction: Direction, packet: bytes, now: float
    ) -> None:
        if number == self.number:
            # As the replay hands it in: the addresses stand for the peer.
            explanation = gateway.explain(direction, packet, now)
            self.explained = ExplainedFrame(explanation, direction, packet, now)


def _without_client(record: Record) -> str:
    read = link_reader(record.link_type)
    if read is None:
        return f"{link_type_name(record.link_type)} is not supported"
    found = read(record.frame)
    if isinstance(found, str):
        return f"it is no IP packet, but {found}"
    return "it belongs to no client of the policy"
