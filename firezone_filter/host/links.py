"""The interfaces in which the VPN ends: whether they are there, and how much fits into them."""

import fcntl
import socket
from collections.abc import Iterable
from struct import Struct
from typing import Final

from attrs import frozen

USUAL_MTU: Final = 1420
"""WireGuard's, over a network with 1,500 bytes."""

_SIOCGIFMTU: Final = 0x8921  # from <linux/sockios.h>
_REQUEST: Final = Struct("16si20x")


@frozen
class Links:
    """What the routes depend on. If it changes, they are laid anew."""

    there: tuple[tuple[str, int], ...]
    """The interfaces that are there, with their numbers."""

    mtu: int
    """What fits into all of them."""

    @classmethod
    def look(cls, interfaces: Iterable[str]) -> "Links":
        """Look how it is now."""
        there = [(index, name) for name in interfaces if (index := _index(name))]
        mtus = [mtu for _, name in there if (mtu := _mtu(name))]
        return cls(
            tuple((name, index) for index, name in there),
            min(mtus, default=USUAL_MTU),
        )


def _index(name: str) -> int | None:
    try:
        return socket.if_nametoindex(name)
    except OSError:
        return None


def _mtu(name: str) -> int | None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        try:
            answer = fcntl.ioctl(any_socket, _SIOCGIFMTU, _REQUEST.pack(name.encode(), 0))
        except OSError:  # it has gone in this moment
            return None
    return int(_REQUEST.unpack(answer)[1])
