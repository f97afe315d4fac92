"""Hears from the kernel that rules, routes or interfaces have changed, by netlink.

What it hears is no more than a reason to look: whatever is not as it has to be is found by looking
(`Routing.mend`, `Links`), and every two seconds without any reason.
"""

import socket
import struct
from collections.abc import Iterable
from typing import Final

from firezone_filter.host.netlink import attribute, messages
from firezone_filter.host.rules import (
    INBOUND_DEVICE,
    INBOUND_TABLE,
    OUTBOUND_DEVICE,
    OUTBOUND_TABLE,
)

# From <linux/rtnetlink.h>: the groups, of which the first has the number 1 ...
_LINK, _TC = 1, 4
_IPV4_ADDRESS, _IPV4_ROUTE, _IPV4_RULE = 5, 7, 8
_IPV6_ADDRESS, _IPV6_ROUTE, _IPV6_RULE = 9, 11, 19
_GROUPS: Final = sum(
    1 << group - 1
    for group in (
        _LINK,
        _TC,
        _IPV4_ADDRESS,
        _IPV4_ROUTE,
        _IPV4_RULE,
        _IPV6_ADDRESS,
        _IPV6_ROUTE,
        _IPV6_RULE,
    )
)

# ... and what they tell. Only of addresses and classifiers does it not matter what is new.
_NEW_LINK, _DELETED_LINK, _DELETED_ADDRESS = 16, 17, 21
_NEW_ROUTE, _DELETED_ROUTE = 24, 25
_NEW_RULE, _DELETED_RULE, _DELETED_QDISC, _DELETED_FILTER = 32, 33, 37, 45
_ALWAYS: Final = frozenset(
    {_DELETED_ADDRESS, _NEW_RULE, _DELETED_RULE, _DELETED_QDISC, _DELETED_FILTER}
)
_IFNAME: Final = 3
_TABLE: Final = 15

_BATCH: Final = 64  # datagrams that are read before packets get their turn


class Changes:
    """A socket that is readable when something has changed. Close it.

    Args:
        interfaces: the interfaces in which the VPN ends; the host's devices come with them.

    Raises:
        OSError: the kernel refuses.
    """

    def __init__(self, interfaces: Iterable[str]) -> None:
        # What is asked for stands in a message as these bytes; if they stand there by chance, it
        # costs a look. A router tells of many routes, which are not to be taken apart here.
        self._links: Final = tuple(
            attribute(_IFNAME, name.encode() + b"\0")
            for name in (*interfaces, OUTBOUND_DEVICE, INBOUND_DEVICE)
        )
        self._routes: Final = tuple(
            attribute(_TABLE, struct.pack("=I", table))
            for table in (OUTBOUND_TABLE, INBOUND_TABLE)
        )
        self._kernel: Final = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE
        )
        self._kernel.bind((0, _GROUPS))

    def fileno(self) -> int:
        """Return the file descriptor, for an event loop."""
        return self._kernel.fileno()

    def close(self) -> None:
        """Hear no more."""
        self._kernel.close()

    def read(self) -> bool:
        """Take what has come; return whether any of it is a reason to look."""
        matters = False
        for _ in range(_BATCH):
            try:
                data = self._kernel.recv(65_535)
            except BlockingIOError:
                break
            except OSError:  # ENOBUFS: it was more than there is room for
                matters = True
                continue
            matters = matters or any(self._matters(*one) for one in messages(data))
        return matters

    def _matters(self, kind: int, body: bytes) -> bool:
        if kind in {_NEW_LINK, _DELETED_LINK}:
            return any(name in body for name in self._links)
        if kind in {_NEW_ROUTE, _DELETED_ROUTE}:
            return any(table in body for table in self._routes)
        return kind in _ALWAYS
