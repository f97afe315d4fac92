"""A TUN device: what the kernel routes to it is read here, what is written goes to the kernel.

For Linux, as root. The device lives as long as its file is open: it goes, with its addresses
and routes, even if the process is killed.
"""

import errno
import fcntl
import os
from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from struct import Struct
from typing import Final, TypeVar

from attrs import define
from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

T = TypeVar("T")

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

MAX_PACKET: Final = 65_535
MAX_BATCH: Final = 64
"""Packets that are read before the other direction, timers and signals get their turn."""

# From <linux/if_tun.h> and <linux/if.h>.
_TUNSETIFF: Final = 0x400454CA
_IFF_TUN: Final = 0x0001
_IFF_NO_PI: Final = 0x1000  # IP packets as they are, without four bytes before them
_IFF_MULTICAST: Final = 0x1000
_REQUEST: Final = Struct("16sH22x")
_MAX_NAME: Final = 15
_NO_ADDRESS: Final = 1  # IN6_ADDR_GEN_MODE_NONE: it gets none that nobody has given it


_FULL: Final = frozenset({errno.EAGAIN, errno.ENOBUFS})


@define
class Losses:
    """Packets that an end did not take, since its start."""

    full: int = 0
    """Lost because a queue was full, as on any busy network."""

    failed: int = 0
    """Lost for another reason: the device is down or gone, there is no way to the peer."""

    def count(self, error: OSError) -> None:
        """Count the packet that *error* has lost."""
        if error.errno in _FULL:
            self.full += 1
        else:
            self.failed += 1


def read_batch(read: Callable[[], T]) -> list[T]:
    """Return what waits at a non-blocking end, at most `MAX_BATCH` of it."""
    batch: list[T] = []
    try:
        while len(batch) < MAX_BATCH:
            batch.append(read())
    except BlockingIOError:
        pass
    return batch


class Tun:
    """A TUN device of this process.

    Args:
        name: what to call it, at most 15 bytes.
        mtu: its MTU; longer packets are fragmented, or refused, by the kernel.
        addresses: this end's addresses.
        routes: the networks that the kernel is to find behind it.

    Raises:
        OSError: the kernel refuses: no root, the name is too long or in use, a route exists.
    """

    def __init__(
        self, name: str, mtu: int, addresses: Iterable[Address], routes: Iterable[Network]
    ) -> None:
        self.losses = Losses()
        if len(name.encode()) > _MAX_NAME:
            raise OSError(errno.ENAMETOOLONG, f"{name}: {os.strerror(errno.ENAMETOOLONG)}")
        self._fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        try:
            request = _REQUEST.pack(name.encode(), _IFF_TUN | _IFF_NO_PI)
            fcntl.ioctl(self._fd, _TUNSETIFF, request)
            _set_up(name, mtu, addresses, routes)
        except BaseException:
            self.close()
            raise

    def fileno(self) -> int:
        """Return the file descriptor, for an event loop."""
        return self._fd

    def read(self) -> list[bytes]:
        """Return the packets that wait, some of them if there are many."""
        return read_batch(lambda: os.read(self._fd, MAX_PACKET))

    def write(self, packet: bytes) -> None:
        """Hand a packet to the kernel, which may lose it, as any network may."""
        try:
            os.write(self._fd, packet)
        except OSError as error:
            self.losses.count(error)

    def close(self) -> None:
        """Remove the device."""
        os.close(self._fd)


def _set_up(name: str, mtu: int, addresses: Iterable[Address], routes: Iterable[Network]) -> None:
    quiet = {"attrs": [("AF_INET6", {"attrs": [("IFLA_INET6_ADDR_GEN_MODE", _NO_ADDRESS)]})]}
    with IPRoute() as kernel:
        (index,) = kernel.link_lookup(ifname=name)
        try:
            # No link-local address and no multicast: it is no link where the kernel should
            # look for routers and neighbours.
            kernel.link("set", index=index, mtu=mtu, IFLA_AF_SPEC=quiet)
            kernel.link("set", index=index, flags=0, change=_IFF_MULTICAST)
            for address in addresses:
                prefix = address.max_prefixlen
                kernel.addr("add", index=index, address=str(address), prefixlen=prefix)
            kernel.link("set", index=index, state="up")
            for network in routes:
                kernel.route("add", dst=str(network), oif=index)
        except NetlinkError as error:
            raise OSError(error.code, f"{name}: {os.strerror(error.code)}") from error
