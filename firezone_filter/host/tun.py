"""A TUN device: what the kernel routes to it is read here, what is written goes to the kernel.

For Linux. The device lives as long as its file is open: it goes, with its addresses and routes,
even if the process is killed. It is down, and has no addresses, until somebody sees to that.

A read costs the same few microseconds for 64 KiB as for 60 bytes, so the device asks for all the
offload that this kernel has (`offload` says what that means for a packet), for less if it refuses,
and does without if there is none.
"""

import enum
import errno
import fcntl
import os
from collections.abc import Iterator
from struct import Struct
from typing import Final, Self

from attrs import define

from firezone_filter.host.offload import HEADER_SIZE, NOTHING_LEFT, Frame, received

MAX_BATCH: Final = 64
"""Packets that are read before the other direction, timers and signals get their turn."""

_MAX_PACKET: Final = 40 + 65_535  # an IPv6 header, and the most that its length field can say

# From <linux/if_tun.h>.
_TUNSETIFF: Final = 0x400454CA
_TUNSETOFFLOAD: Final = 0x400454D0
_IFF_TUN: Final = 0x0001
_IFF_NO_PI: Final = 0x1000  # no four bytes of protocol information before a packet
_IFF_VNET_HDR: Final = 0x4000
# Never a device that is there already: it may have headers of another size.
_IFF_TUN_EXCL: Final = 0x8000
_REQUEST: Final = Struct("16sH22x")
_MAX_NAME: Final = 15

_CONTROL: Final = "/dev/net/tun"
_NO_DEVICE: Final = "; `modprobe tun` brings it, and a container has to be given it"
_NO_ACCESS: Final = "; whoever runs the gateway needs read and write access to it"
_HINTS: Final = {
    errno.ENOENT: _NO_DEVICE,
    errno.ENODEV: _NO_DEVICE,
    errno.ENXIO: _NO_DEVICE,
    errno.EACCES: _NO_ACCESS,
    errno.EPERM: _NO_ACCESS,
}

_FULL: Final = frozenset({errno.EAGAIN, errno.ENOBUFS})


class Offload(enum.IntFlag):
    """What a kernel may leave undone in packets that it hands over (`TUN_F_…`)."""

    CHECKSUMS = 0x01
    """Partial checksums; nothing else goes without them."""

    TSO4 = 0x02
    """TCP super-packets over IPv4."""

    TSO6 = 0x04
    """The same over IPv6."""

    TSO_ECN = 0x08
    """The same with congestion notification."""

    USO4 = 0x20
    """UDP super-packets over IPv4; since Linux 6.2."""

    USO6 = 0x40
    """The same over IPv6; a kernel has both or neither."""


# Most kernels that refuse something lack USO. What is left of super-packets is all or nothing;
# partial checksums alone still save the kernel from computing them twice.
_TCP: Final = Offload.TSO4 | Offload.TSO6 | Offload.TSO_ECN
_STEPS: Final = (
    Offload.CHECKSUMS | _TCP | Offload.USO4 | Offload.USO6,
    Offload.CHECKSUMS | _TCP,
    Offload.CHECKSUMS,
)


@define
class Losses:
    """Packets that have been lost at a device, since its start."""

    full: int = 0
    """Not taken because a queue was full, as on any busy network."""

    failed: int = 0
    """Not taken for another reason, such as that the device is down."""

    odd: int = 0
    """Handed over in a form of which nobody can say what will be sent (`offload.received`), or
    that the kernel itself could not describe."""

    def count(self, error: OSError) -> None:
        """Count a packet that *error* has kept the kernel from taking."""
        if error.errno in _FULL:
            self.full += 1
        else:
            self.failed += 1


class TunDevice:
    """A TUN device of this process.

    Use `open`; the constructor takes a file that somebody else has opened, non-blocking.
    """

    def __init__(self, fd: int, *, offload: Offload, has_headers: bool) -> None:
        self.offload: Final = offload
        """What the kernel leaves undone, as it has agreed to."""

        self.losses: Final = Losses()
        """What has been lost at it."""

        self._fd = fd
        self._has_headers = has_headers
        self._header = bytearray(HEADER_SIZE)
        self._packet = memoryview(bytearray(_MAX_PACKET))

    @classmethod
    def open(cls, name: str, *, offload: bool = True) -> Self:
        """Make a device.

        Args:
            name: what to call it, at most 15 bytes.
            offload: whether to ask for offload; what the kernel refuses is done without.

        Raises:
            OSError: the kernel refuses: no CAP_NET_ADMIN, the name is too long or in use.
        """
        if len(name.encode()) > _MAX_NAME:
            raise OSError(errno.ENAMETOOLONG, f"{name}: {os.strerror(errno.ENAMETOOLONG)}")
        try:
            fd = os.open(_CONTROL, os.O_RDWR | os.O_NONBLOCK)
        except OSError as error:
            hint = _HINTS.get(error.errno or 0, "")
            raise OSError(error.errno, f"{_CONTROL}: {error.strerror}{hint}") from error
        try:
            has_headers = _make(fd, name, offload=offload)
            granted = _negotiate(fd) if has_headers else Offload(0)
            return cls(fd, offload=granted, has_headers=has_headers)
        except OSError as error:
            os.close(fd)
            hint = "; it takes root, or CAP_NET_ADMIN" if error.errno == errno.EPERM else ""
            raise OSError(error.errno, f"{name}: {error.strerror}{hint}") from error

    def fileno(self) -> int:
        """Return the file descriptor, for an event loop."""
        return self._fd

    def read(self) -> Iterator[Frame]:
        """Yield the packets that wait, some of them if there are many.

        Each is read when it is asked for: one that is written before the next is read is still
        in the processor's cache, which makes super-packets cheaper by a third.

        Raises:
            OSError: the device is gone.
        """
        return self._read_frames() if self._has_headers else self._read_packets()

    def write(self, frame: Frame) -> None:
        """Hand a packet to the kernel, which may lose it, as any network may.

        Raises:
            ValueError: something is left undone in it, and this device has no way to say so.
                Either all devices of a host have offload, or none.
        """
        packet, header = frame
        try:
            if self._has_headers:
                os.writev(self._fd, (header or NOTHING_LEFT, packet))
            elif header:
                raise ValueError("a device without offload takes only whole packets")
            else:
                os.write(self._fd, packet)
        except OSError as error:
            self.losses.count(error)

    def close(self) -> None:
        """Remove the device."""
        os.close(self._fd)

    def _read_frames(self) -> Iterator[Frame]:
        header, packet = self._header, self._packet
        for _ in range(MAX_BATCH):
            try:
                size = os.readv(self._fd, (header, packet))
            except BlockingIOError:
                return
            except OSError as error:
                # The kernel has thrown away a super-packet of a kind that the header cannot
                # express. Whoever sends one must not be able to stop the gateway by it.
                if error.errno != errno.EINVAL:
                    raise
                self.losses.odd += 1
                continue
            frame = received(bytes(header), bytes(packet[: size - HEADER_SIZE]))
            if frame is None:
                self.losses.odd += 1
            else:
                yield frame

    def _read_packets(self) -> Iterator[Frame]:
        for _ in range(MAX_BATCH):
            try:
                packet = os.read(self._fd, _MAX_PACKET)
            except BlockingIOError:
                return
            yield Frame(packet)


def _make(fd: int, name: str, *, offload: bool) -> bool:
    """Make the device; return whether packets have headers."""
    flags = _IFF_TUN | _IFF_NO_PI | _IFF_TUN_EXCL
    if offload:
        try:
            fcntl.ioctl(fd, _TUNSETIFF, _REQUEST.pack(name.encode(), flags | _IFF_VNET_HDR))
        except OSError as error:
            # Nobody knows a flag (EINVAL), or it is the name: then the next try says so.
            if error.errno != errno.EINVAL:
                raise
        else:
            return True
    fcntl.ioctl(fd, _TUNSETIFF, _REQUEST.pack(name.encode(), flags))
    return False


def _negotiate(fd: int) -> Offload:
    """Ask for as much offload as the kernel has; return how much that is."""
    for step in _STEPS:
        try:
            fcntl.ioctl(fd, _TUNSETOFFLOAD, int(step))
        except OSError:
            continue
        return step
    return Offload(0)
