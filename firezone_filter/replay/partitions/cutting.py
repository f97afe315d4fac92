"""Cuts chunks of frames into pieces, one for each partition."""

from typing import Final, cast

import numpy as np
from attrs import evolve
from numpy.typing import NDArray

from firezone_filter.capture.frames import Frames, chosen
from firezone_filter.capture.link import LinkReader, link_reader
from firezone_filter.capture.payload import LLC_IP, LLC_SNAP, MAX_802_3_LENGTH
from firezone_filter.packet.headers import read_headers
from firezone_filter.policy import Policy
from firezone_filter.replay.captured_packet import read_packet
from firezone_filter.replay.columns.links import ASK, find_packets, view_at_any
from firezone_filter.replay.columns.times import Settled
from firezone_filter.replay.partitions.excerpts import excerpt
from firezone_filter.replay.partitions.owners import NOBODY, Owned, Owners, nothing_owned
from firezone_filter.replay.partitions.piece import Piece

_ETHERNET: Final = 1
_ETHERNET_HEADER: Final = 14
_ETHERTYPE_AT: Final = 12
_ARP: Final = 0x0806
_LLDP: Final = 0x88CC

_NONE: Final = -1
"""The partition of a client that has not appeared."""


class Cutter:
    """Cuts chunks into pieces.

    A client goes to the partition that has fewest packets when it appears first, and stays
    there. What is no client's goes to the first. That depends on the capture alone: whoever cuts
    it again cuts it in the same way.
    """

    def __init__(self, policy: Policy, partitions: int, *, flows: bool, whole: bool) -> None:
        """Prepare to cut.

        With *flows*, packets that will be refused without a client being named go to the first
        partition, all of them: flow records count them together. Pieces have *whole* frames, or
        of most their headers.
        """
        self._whole = whole
        self._flows = flows
        self._owners = Owners(
            [
                (address, place)
                for place, client in enumerate(policy.clients)
                for address in client.addresses.packed()
            ]
        )
        self._part_of = np.full(len(policy.clients) + 1, _NONE, dtype=np.int64)
        self._part_of[NOBODY] = 0
        self._loads = np.zeros(partitions, dtype=np.int64)

    def cut(
        self,
        frames: Frames,
        settled: Settled,
        chunk: int,
        end_ns: int,
        clock_set_ns: int | None,
    ) -> list[Piece]:
        """Return a piece for each partition, also where it is empty; see there for the rest."""
        places = _find_packets(frames)
        found = nothing_owned(len(frames))
        self._owners.find(frames, places, found)
        self._place(found.owners)
        # The last element is that of `NOBODY`.
        part = self._part_of[found.owners]
        if self._flows:
            part[_nameless(frames, places, found)] = 0
        numbers = frames.numbers
        pieces = []
        for number in range(len(self._loads)):
            rows = np.flatnonzero(part == number)
            own = evolve(chosen(frames, rows), kept_numbers=numbers[rows])
            pieces.append(
                Piece(
                    chunk,
                    own if self._whole else excerpt(own, found.needed[rows]),
                    settled.latest_ns[rows],
                    None if settled.is_odd is None else settled.is_odd[rows],
                    end_ns,
                    clock_set_ns,
                )
            )
        return pieces

    def _place(self, owners: NDArray[np.int64]) -> None:
        """Give clients that have not appeared before a partition."""
        # Nobody stands last here, too.
        counts = np.roll(np.bincount(owners + 1, minlength=len(self._part_of)), -1)
        known = self._part_of != _NONE
        np.add.at(self._loads, self._part_of[known], counts[known])
        new = np.flatnonzero(~known & (counts > 0))
        # The busiest first, so that they are spread.
        for client in new[np.argsort(-counts[new], kind="stable")].tolist():
            part = int(self._loads.argmin())
            self._part_of[client] = part
            self._loads[part] += counts[client]


def _find_packets(frames: Frames) -> NDArray[np.int64]:
    """Return the index of the packet of each frame in the data, or a number below 0."""
    places = find_packets(frames)
    rows = np.flatnonzero(places == ASK)
    if not len(rows):
        return places
    view, types = frames.data.data, frames.link_types
    # Most of these are of few kinds, which do not have to be read one by one.
    is_wired = (types[rows] == _ETHERNET) & (frames.captured[rows] > _ETHERNET_HEADER)
    wired = rows[is_wired]
    starts = frames.starts[wired]
    kinds = view_at_any(frames.data, ">u2")[starts + _ETHERTYPE_AT]
    saps = frames.data[starts + _ETHERNET_HEADER]
    is_other = (kinds == _ARP) | (kinds == _LLDP)
    is_other |= (kinds <= MAX_802_3_LENGTH) & (saps != LLC_SNAP) & (saps != LLC_IP)
    is_wired[is_wired] = is_other
    for row in rows[~is_wired].tolist():
        start, size = int(frames.starts[row]), int(frames.captured[row])
        # Only frames of supported link types are asked about.
        read = cast("LinkReader", link_reader(int(types[row])))
        skipped = read(view[start : start + size].tobytes())
        if isinstance(skipped, int):
            places[row] = start + skipped
    return places


def _nameless(frames: Frames, places: NDArray[np.int64], found: Owned) -> list[int]:
    """Return the packets of clients that are malformed, or from a client to a group."""
    nameless = []
    for row in np.flatnonzero(found.owners != NOBODY).tolist():
        start, place = int(frames.starts[row]), int(places[row])
        data = frames.data[place : start + int(frames.captured[row])].tobytes()
        headers = read_headers(read_packet(data, int(frames.wire[row]) - (place - start)).whole)
        if headers is None or (found.is_outbound[row] and _is_group(headers.destination)):
            nameless.append(row)
    return nameless


def _is_group(address: bytes) -> bool:
    """Return whether an address is multicast, or the broadcast address."""
    if len(address) == 4:  # noqa: PLR2004 - bytes
        return 224 <= address[0] < 240 or address == b"\xff\xff\xff\xff"  # noqa: PLR2004 - 224.0.0.0/4
    return address[0] == 0xFF  # noqa: PLR2004 - ff00::/8
