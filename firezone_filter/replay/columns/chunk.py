"""A chunk of frames on its way through the replay: what is known of each frame by now."""

from typing import cast

import numpy as np
from attrs import Factory, define
from numpy.typing import NDArray

from firezone_filter.capture.frames import Frames
from firezone_filter.capture.link import LinkReader, link_reader
from firezone_filter.replay.captured_packet import CapturedPacket, read_packet
from firezone_filter.replay.columns.flow_table import NO_FLOW, nothing_found
from firezone_filter.replay.columns.flows import NOT_OURS, Flows
from firezone_filter.replay.columns.links import ASK, UNSUPPORTED, find_packets
from firezone_filter.replay.columns.outcomes import NOT_DECIDED
from firezone_filter.replay.direction import ClientAddresses
from firezone_filter.values.decisions import Direction, Translate


@define(eq=False)
class Chunk:
    """Some thousands of frames; arrays have an element for each."""

    frames: Frames
    """The frames."""

    latest_ns: NDArray[np.int64]
    """When they are decided."""

    places: NDArray[np.int64]
    """Where their packets begin in the data, for those with a packet, otherwise below 0."""

    flows: NDArray[np.int64]
    """The flows of plain packets, otherwise `NO_FLOW`."""

    lengths: NDArray[np.int64]
    """The lengths of the packets that belong to clients, and of the other plain ones."""

    is_cut: NDArray[np.bool_]
    """Whether the snap length cut the packet, likewise."""

    outcomes: NDArray[np.int32]
    """What became of them, by the numbers of `Outcomes`; `NOT_DECIDED` at first."""

    ours: NDArray[np.int64]
    """The frames that have a packet of a client, ascending."""

    plain_not_ours: NDArray[np.int64]
    """The frames that have a plain packet of no client, ascending."""

    odd: dict[int, tuple[Direction, CapturedPacket]] = Factory(dict)
    """The packets of clients that are not plain."""

    odd_not_ours: dict[int, CapturedPacket] = Factory(dict)
    """The packets of no client that are not plain."""

    not_ip: list[tuple[str, int]] = Factory(list)
    """What other frames of supported link types carry, and their sizes."""

    translated: dict[int, Translate] = Factory(dict)
    """The packets that went on as others, if that is asked for."""

    def packet(self, row: int) -> CapturedPacket:
        """Return the packet of a frame that has a place."""
        frames, place = self.frames, int(self.places[row])
        start = int(frames.starts[row])
        end = start + int(frames.captured[row])
        return read_packet(
            frames.data.data[place:end].tobytes(), int(frames.wire[row]) - (place - start)
        )


def read_chunk(
    frames: Frames, latest_ns: NDArray[np.int64], flows: Flows, clients: ClientAddresses
) -> Chunk:
    """Take the headers of *frames* apart, and find out which packets belong to *clients*."""
    count = len(frames)
    found = nothing_found(count)
    chunk = Chunk(
        frames=frames,
        latest_ns=latest_ns,
        places=find_packets(frames),
        flows=found.flows,
        lengths=found.lengths,
        is_cut=found.is_cut,
        outcomes=np.full(count, NOT_DECIDED, dtype=np.int32),
        ours=np.empty(0, dtype=np.int64),
        plain_not_ours=np.empty(0, dtype=np.int64),
    )
    flows.find(frames, chunk.places, found)
    is_plain = chunk.flows != NO_FLOW
    # (What has no flow reads that of another, which counts for nothing.)
    is_ours = flows.outcomes[chunk.flows] != NOT_OURS
    chunk.plain_not_ours = np.flatnonzero(is_plain & ~is_ours)
    is_ours &= is_plain
    is_odd = ~is_plain & (chunk.places != UNSUPPORTED)
    _read_odd(chunk, np.flatnonzero(is_odd), clients, is_ours)
    chunk.ours = np.flatnonzero(is_ours)
    return chunk


def _read_odd(
    chunk: Chunk, rows: NDArray[np.int64], clients: ClientAddresses, is_ours: NDArray[np.bool_]
) -> None:
    """Read the packets that are not plain, and frames that may have one, one by one."""
    frames, view = chunk.frames, chunk.frames.data.data
    link_types = frames.link_types[rows].tolist()
    readers = {one: link_reader(one) for one in dict.fromkeys(link_types)}
    for row, start, captured, wire, link_type, place in zip(
        rows.tolist(),
        frames.starts[rows].tolist(),
        frames.captured[rows].tolist(),
        frames.wire[rows].tolist(),
        link_types,
        chunk.places[rows].tolist(),
        strict=True,
    ):
        at, end = place, start + captured
        if place == ASK:
            # Only frames of supported link types are asked about.
            read = cast("LinkReader", readers[link_type])
            found = read(view[start:end].tobytes())
            if isinstance(found, str):
                chunk.not_ip.append((found, captured))
                continue
            at = chunk.places[row] = start + found
        packet = read_packet(view[at:end].tobytes(), wire - (at - start))
        direction = clients.direction(packet.captured)
        if direction is None:
            chunk.odd_not_ours[row] = packet
            continue
        chunk.odd[row] = direction, packet
        chunk.lengths[row] = packet.length
        chunk.is_cut[row] = packet.is_cut
        is_ours[row] = True
