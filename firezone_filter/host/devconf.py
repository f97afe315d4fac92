"""Settings of a device, as in /proc/sys/net/ipv4/conf; those of IPv4 are set, by netlink.

By netlink, since a service whose `/proc/sys` is not to be written to may do that.
"""

import socket
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from firezone_filter.host.netlink import NESTED, attribute, change

# From <linux/ip.h>.
RP_FILTER: Final = 8
ACCEPT_LOCAL: Final = 23

# From <linux/rtnetlink.h> and <linux/if_link.h>.
_SETLINK: Final = 19
_AF_SPEC: Final = 26
_CONF: Final = 1

_LINK: Final = struct.Struct("=BxHiII")
_U32: Final = struct.Struct("=I")


def devconf(device: str, name: str, version: int = 4) -> int | None:
    """Return a setting of a device, `all` or `default`; `None` if there is no such device."""
    try:
        return int(Path(f"/proc/sys/net/ipv{version}/conf", device, name).read_text())
    except FileNotFoundError:
        return None


def set_devconf(index: int, values: Mapping[int, int]) -> None:
    """Change settings of a device.

    Raises:
        OSError: the kernel refuses.
    """
    change(_SETLINK, settings(index, values))


def settings(index: int, values: Mapping[int, int]) -> bytes:
    """Return what is said to the kernel to change settings of the device with this index."""
    each = b"".join(attribute(name, _U32.pack(value)) for name, value in values.items())
    inet = attribute(socket.AF_INET | NESTED, attribute(_CONF | NESTED, each))
    return _LINK.pack(socket.AF_UNSPEC, 0, index, 0, 0) + attribute(_AF_SPEC | NESTED, inet)
