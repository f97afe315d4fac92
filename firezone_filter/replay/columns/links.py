"""Where the IP packets of many frames begin: `capture.link` for the usual frames, at once.

It finds IP behind Ethernet with up to one VLAN tag, Linux cooked headers, the BSDs' loopback
header, and raw IP. All other frames of supported link types (ARP, a second tag, LLC, PPP, what is
cut short, …) are left to the readers of `capture.link`, one by one.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from firezone_filter.capture.formats import LINK_RAW_IP
from firezone_filter.capture.frames import Frames
from firezone_filter.capture.link import link_reader
from firezone_filter.compiled.twins import compiled

ASK: Final = -1
"""The place of a packet that a reader has to look for."""

UNSUPPORTED: Final = -2
"""The place of a packet in a frame of a link type that is not supported."""

Places = NDArray[np.int64]

# As the bytes of the capture read on any machine: the first one is the lowest.
_IPV4, _IPV6 = 0x0008, 0xDD86
_VLANS: Final = (0x0081, 0xA888, 0x0091, 0x0092)
_NETLINK: Final = 0x3803

_FAMILIES: Final = (2, 10, 23, 24, 28, 30)
_LOOPBACKS: Final = np.array(
    [*_FAMILIES, *(int.from_bytes(family.to_bytes(4), "little") for family in _FAMILIES)],
    dtype=np.uint32,
)
"""The families of IP, in both orders of bytes."""

_ETHERNET_HEADER: Final = 14
_WITH_TAG: Final = 18


def view_at_any(data: NDArray[np.uint8], kind: str) -> NDArray[Any]:
    """Return the values of type *kind* that begin at each byte of *data*, without a copy.

    Picking 16,384 of them takes 4 ns each, with 8 bytes as with 2: what costs is the way to
    the frame in memory.
    """
    size = np.dtype(kind).itemsize
    return np.ndarray((max(len(data) - size + 1, 0),), kind, data, strides=(1,))


def find_packets(frames: Frames) -> Places:
    """Return for each frame the index of its packet in `data`, or `ASK` or `UNSUPPORTED`."""
    if isinstance(frames.link_type, int):
        return _find(frames.data, frames.starts, frames.captured, frames.link_type)
    places = np.empty(len(frames), dtype=np.int64)
    for link_type in dict.fromkeys(frames.link_type.tolist()):
        of_type = np.flatnonzero(frames.link_type == link_type)
        starts, captured = frames.starts[of_type], frames.captured[of_type]
        places[of_type] = _find(frames.data, starts, captured, link_type)
    return places


def _find(data: NDArray[np.uint8], starts: Places, captured: Places, link_type: int) -> Places:
    if link_reader(link_type) is None:
        return np.full(len(starts), UNSUPPORTED, dtype=np.int64)
    usual = _USUAL.get(link_type)
    if usual is None:
        return np.full(len(starts), ASK, dtype=np.int64)
    find, header = usual
    if captured.min() >= header:
        return find(data, starts, captured)
    places = np.full(len(starts), ASK, dtype=np.int64)
    long = np.flatnonzero(captured >= header)
    places[long] = find(data, starts[long], captured[long])
    return places


def _is_ip(ethertypes: NDArray[np.uint16]) -> NDArray[np.bool_]:
    is_ip: NDArray[np.bool_] = (ethertypes == _IPV4) | (ethertypes == _IPV6)
    return is_ip


def _ethernet(data: NDArray[np.uint8], starts: Places, captured: Places) -> Places:
    places = np.empty(len(starts), dtype=np.int64)
    place_ethernet(data, starts, captured, places, ASK)
    return places


@compiled
def place_ethernet(
    data: NDArray[np.uint8], starts: Places, captured: Places, places: Places, otherwise: int
) -> None:
    """Find packets in whole headers of Ethernet, with at most one tag of a VLAN.

    Args:
        data: bytes of the capture.
        starts: where frames begin.
        captured: how long they are: not too short for a header.
        places: receives where their packets begin.
        otherwise: stands for what is not found.
    """
    ethertypes = view_at_any(data, "<u2")
    kinds = ethertypes[starts + 12]
    is_ip = _is_ip(kinds)
    places[:] = np.where(is_ip, starts + _ETHERNET_HEADER, otherwise)
    if is_ip.all():
        return
    others = np.flatnonzero(~is_ip)
    tagged = others[np.isin(kinds[others], _VLANS) & (captured[others] >= _WITH_TAG)]
    inner = tagged[_is_ip(ethertypes[starts[tagged] + 16])]
    places[inner] = starts[inner] + _WITH_TAG


def _cooked(data: NDArray[np.uint8], starts: Places, _: Places) -> Places:
    words = view_at_any(data, "<u2")
    is_ip = _is_ip(words[starts + 14]) & (words[starts + 2] != _NETLINK)
    return np.where(is_ip, starts + 16, ASK)


def _cooked_v2(data: NDArray[np.uint8], starts: Places, _: Places) -> Places:
    words = view_at_any(data, "<u2")
    is_ip = _is_ip(words[starts]) & (words[starts + 8] != _NETLINK)
    return np.where(is_ip, starts + 20, ASK)


def _loopback(data: NDArray[np.uint8], starts: Places, _: Places) -> Places:
    families = view_at_any(data, "<u4")[starts]
    return np.where(np.isin(families, _LOOPBACKS), starts + 4, ASK)


def _raw(_: NDArray[np.uint8], starts: Places, __: Places) -> Places:
    return starts


_Find = Callable[[NDArray[np.uint8], Places, Places], Places]

_USUAL: Final[Mapping[int, tuple[_Find, int]]] = MappingProxyType(
    {
        0: (_loopback, 4),
        1: (_ethernet, _ETHERNET_HEADER),
        12: (_raw, 0),
        14: (_raw, 0),
        LINK_RAW_IP: (_raw, 0),
        108: (_loopback, 4),
        113: (_cooked, 16),
        228: (_raw, 0),
        229: (_raw, 0),
        276: (_cooked_v2, 20),
    }
)
"""By link type: what finds the packet behind a whole header, and how long that is."""
