"""Settings of a device in IPv4, as in /proc/sys/net/ipv4/conf, set by netlink.

By netlink, since a service whose `/proc/sys` is not to be written to may do that.
"""

import os
import socket
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Final

# From <linux/ip.h>.
RP_FILTER: Final = 8
ACCEPT_LOCAL: Final = 23

# From <linux/netlink.h>, <linux/rtnetlink.h> and <linux/if_link.h>.
_SETLINK: Final = 19
_REQUEST_ACK: Final = 0x05
_ERROR: Final = 2
_NESTED: Final = 0x8000
_AF_SPEC: Final = 26
_CONF: Final = 1

_HEADER: Final = struct.Struct("=IHHII")
_LINK: Final = struct.Struct("=BxHiII")
_ATTRIBUTE: Final = struct.Struct("=HH")
_U32: Final = struct.Struct("=I")
_CODE: Final = struct.Struct("=i")


def devconf(device: str, name: str) -> int | None:
    """Return a setting of a device, `all` or `default`; `None` if there is no such device."""
    try:
        return int(Path("/proc/sys/net/ipv4/conf", device, name).read_text())
    except FileNotFoundError:
        return None


def set_devconf(index: int, values: Mapping[int, int]) -> None:
    """Change settings of a device.

    Raises:
        OSError: the kernel refuses.
    """
    request = set_request(index, values)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
        kernel.send(request)
        answer = kernel.recv(65_535)
    check_answer(answer)


def set_request(index: int, values: Mapping[int, int]) -> bytes:
    """Return the message that changes settings of the device with this index."""
    settings = b"".join(_attribute(name, _U32.pack(value)) for name, value in values.items())
    inet = _attribute(socket.AF_INET | _NESTED, _attribute(_CONF | _NESTED, settings))
    body = _LINK.pack(socket.AF_UNSPEC, 0, index, 0, 0) + _attribute(_AF_SPEC | _NESTED, inet)
    return _HEADER.pack(_HEADER.size + len(body), _SETLINK, _REQUEST_ACK, 1, 0) + body


def check_answer(answer: bytes) -> None:
    """Raise what an answer of the kernel says.

    Raises:
        OSError: it has refused, or this is no answer.
    """
    kind = _HEADER.unpack_from(answer)[1]
    code = -_CODE.unpack_from(answer, _HEADER.size)[0] if kind == _ERROR else 0
    if code or kind != _ERROR:
        raise OSError(code, os.strerror(code) if code else "no answer of the kernel")


def _attribute(kind: int, value: bytes) -> bytes:
    # Everything here is a multiple of four bytes long, so nothing has to be padded.
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value
