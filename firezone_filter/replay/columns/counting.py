"""The counts of a chunk, as `Summary` would make them packet by packet.

Sums do not depend on an order. What the summary keeps only the first so many of does: refused
flows and addresses of others. Each is counted once for all its packets of a chunk, in the order
in which they first appear there; that admits the same ones, since what has no place at first has
none later.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from firezone_filter.capture.frames import Frames
from firezone_filter.replay.columns.chunk import Chunk
from firezone_filter.replay.columns.distinct import distinct
from firezone_filter.replay.columns.flows import Flows
from firezone_filter.replay.columns.links import UNSUPPORTED
from firezone_filter.replay.columns.outcomes import Outcomes
from firezone_filter.replay.columns.times import Settled
from firezone_filter.replay.five_tuple import read_addresses
from firezone_filter.replay.summary import Summary, Tally


def count_frames(summary: Summary, frames: Frames, settled: Settled) -> None:
    """Count frames, and take note of the first and the last time stamp that can be right."""
    _add(summary.frames, len(frames), int(frames.captured.sum()))
    times = frames.time_ns if settled.is_odd is None else frames.time_ns[~settled.is_odd]
    if not len(times):
        return
    first, last = int(times.min()), int(times.max())
    summary.first_ns = first if summary.first_ns is None else min(first, summary.first_ns)
    summary.last_ns = last if summary.last_ns is None else max(last, summary.last_ns)


def count_chunk(summary: Summary, outcomes: Outcomes, flows: Flows, chunk: Chunk) -> bool:
    """Count all frames of *chunk*, but for what `count_frames` and `RefusedFlows` do.

    Returns:
        Whether any packet is refused.
    """
    for kind, size in chunk.not_ip:
        summary.add_not_ip(kind, size)
    _count_unsupported(summary, chunk)
    _count_not_ours(summary, flows, chunk)
    return any(outcomes.is_refusal(each) for each in count_packets(summary, outcomes, chunk))


def count_packets(summary: Summary, outcomes: Outcomes, chunk: Chunk) -> list[int]:
    """Count the packets of clients.

    Returns:
        The outcomes that occurred.
    """
    numbers, lengths, is_cut = chunk.outcomes, chunk.lengths, chunk.is_cut
    if len(chunk.ours) < len(numbers):
        rows = chunk.ours
        numbers, lengths, is_cut = numbers[rows], lengths[rows], is_cut[rows]
    if not len(numbers):
        return []
    if is_cut.any():
        _add(summary.cut, int(np.count_nonzero(is_cut)), int(lengths[is_cut].sum()))
    return outcomes.count(numbers, lengths)


def _add(tally: Tally, packets: int, size: int) -> None:
    tally.packets += packets
    tally.bytes += size


def _count_unsupported(summary: Summary, chunk: Chunk) -> None:
    is_unsupported = chunk.places == UNSUPPORTED
    if not is_unsupported.any():
        return
    link_types, sizes = chunk.frames.link_types[is_unsupported], chunk.frames.captured
    sizes = sizes[is_unsupported]
    for link_type in dict.fromkeys(link_types.tolist()):
        of_type = sizes[link_types == link_type]
        _add(summary.unsupported[link_type], len(of_type), int(of_type.sum()))


def _count_not_ours(summary: Summary, flows: Flows, chunk: Chunk) -> None:
    rows = chunk.plain_not_ours
    _add(summary.not_ours, len(rows), int(chunk.lengths[rows].sum()))
    found: list[tuple[int, tuple[bytes, ...], int]] = []
    for row, number, packets in _by_flow(chunk.flows, rows):
        found.append((row, flows.addresses(number), packets))
    for row, packet in chunk.odd_not_ours.items():
        _add(summary.not_ours, 1, packet.length)
        found.append((row, read_addresses(packet.captured) or (), 1))
    for _, addresses, packets in sorted(found, key=lambda each: each[0]):
        summary.add_addresses(addresses, packets)


def _by_flow(flows: NDArray[np.int64], rows: NDArray[np.int64]) -> Iterator[tuple[int, int, int]]:
    """Yield the first row, the number and the packets of each flow that *rows* have."""
    numbers, first, packets = distinct(flows[rows])
    yield from zip(rows[first].tolist(), numbers.tolist(), packets.tolist(), strict=True)
