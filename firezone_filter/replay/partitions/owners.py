"""Which client the packet of each frame belongs to, which way it travels, and what matters of it.

No decision depends on the payload of TCP and UDP, and neither counts nor lines show it. Their
headers are a tenth of most captures, so partitions that write no packets get no more of them. All
of a packet matters if it is a fragment, has options or extension headers, or carries something
else: an ICMP error is judged by what it quotes.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from firezone_filter.capture.frames import Frames
from firezone_filter.compiled.twins import compiled
from firezone_filter.packet.numbers import IPV4_HEADER, IPV4_LENGTH, IPV6_HEADER, TCP, UDP
from firezone_filter.replay.columns.links import view_at_any

NOBODY: Final = -1

_TRANSPORT: Final = 20
"""The fixed part of TCP's header; more than UDP's."""

_NO_OPTIONS: Final = 0x45
_FRAGMENTED: Final = 0x3F, 0xFF
"""More fragments, and the offset."""


@frozen(eq=False)
class Owned:
    """What is known of the frames of a chunk; arrays have an element for each."""

    owners: NDArray[np.int64]
    """Whose packets they have: places in the policy, or `NOBODY`."""

    is_outbound: NDArray[np.bool_]
    """Which of these are from clients."""

    needed: NDArray[np.int64]
    """How many bytes of each frame matter, from its beginning."""


def nothing_owned(frames: int) -> Owned:
    """Return room for what is known of so many frames."""
    return Owned(
        owners=np.empty(frames, dtype=np.int64),
        is_outbound=np.empty(frames, dtype=np.bool_),
        needed=np.empty(frames, dtype=np.int64),
    )


@compiled
class Owners:
    """The owners of addresses."""

    def __init__(self, pairs: Sequence[tuple[bytes, int]]) -> None:
        """Take packed addresses, each with its owner."""
        self._ipv4 = _Directory([pair for pair in pairs if len(pair[0]) == IPV4_LENGTH])
        self._ipv6 = _Directory([pair for pair in pairs if len(pair[0]) != IPV4_LENGTH])

    def find(self, frames: Frames, places: NDArray[np.int64], found: Owned) -> None:
        """Find whose each packet is, and whether it is outbound, and what matters of the frame.

        As `replay.direction` says it of one: by the source, before the destination.

        Args:
            frames: The frames.
            places: Where their packets begin in the data, if they have any; otherwise below 0.
            found: Receives what is found.
        """
        data, before = frames.data, places - frames.starts
        size = np.where(places < 0, 0, frames.captured - before)
        found.owners[:] = NOBODY
        found.is_outbound[:] = False
        found.needed[:] = frames.captured
        version = np.zeros(len(frames), dtype=np.uint8)
        is_there = size >= IPV4_HEADER
        version[is_there] = data[places[is_there]] >> 4
        for number, header, first, directory in (
            (4, IPV4_HEADER, 12, self._ipv4),
            (6, IPV6_HEADER, 8, self._ipv6),
        ):
            rows = np.flatnonzero((version == number) & (size >= header))
            at = places[rows]
            source, destination = directory.find(data, at + first)
            found.is_outbound[rows] = source != NOBODY
            found.owners[rows] = np.where(source != NOBODY, source, destination)
            sent = header + _TRANSPORT
            is_plain = _is_plain_ipv4(data, at) if number == 4 else _is_transport(data[at + 6])  # noqa: PLR2004 - IP version
            rows = rows[is_plain & (size[rows] > sent)]
            found.needed[rows] = before[rows] + sent


def _is_plain_ipv4(data: NDArray[np.uint8], at: NDArray[np.int64]) -> NDArray[np.bool_]:
    high, low = _FRAGMENTED
    is_plain: NDArray[np.bool_] = data[at] == _NO_OPTIONS
    is_plain &= (data[at + 6] & high | data[at + 7] & low) == 0
    is_plain &= _is_transport(data[at + 9])
    return is_plain


def _is_transport(protocols: NDArray[np.uint8]) -> NDArray[np.bool_]:
    is_transport: NDArray[np.bool_] = (protocols == TCP) | (protocols == UDP)
    return is_transport


class _Directory:
    """Addresses of one family, with the owner of each."""

    def __init__(self, pairs: list[tuple[bytes, int]]) -> None:
        self._size = len(pairs[0][0]) if pairs else 0
        # As numbers, or as text of bytes, which numpy sorts and searches; of one length all, so
        # that it does no harm that zeros at the end count for nothing.
        self._kind = ">u4" if self._size == IPV4_LENGTH else f"S{self._size or 1}"
        packed = b"".join(address for address, _ in pairs)
        addresses = self._read(np.frombuffer(packed, dtype=self._kind if pairs else "S1"))
        order = addresses.argsort()
        self._addresses = addresses[order]
        self._owners = np.array([place for _, place in pairs], dtype=np.int64)[order]

    def find(
        self, data: NDArray[np.uint8], at: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the owners of the two addresses that stand one behind the other."""
        if not self._size:
            nobody = np.full(len(at), NOBODY, dtype=np.int64)
            return nobody, nobody
        return self._owner(data, at), self._owner(data, at + self._size)

    def _owner(self, data: NDArray[np.uint8], at: NDArray[np.int64]) -> NDArray[np.int64]:
        wanted = self._read(view_at_any(data, self._kind)[at])
        place = np.minimum(self._addresses.searchsorted(wanted), len(self._addresses) - 1)
        return np.where(self._addresses[place] == wanted, self._owners[place], NOBODY)

    def _read(self, addresses: NDArray[Any]) -> NDArray[Any]:
        # In the byte order of this machine, numbers are searched ten times as fast.
        return addresses.astype(np.uint32) if self._kind == ">u4" else addresses
