"""The routes in the host's tables: those of others are removed, or packets would go around it.

By plain netlink, and by table: a router may have a million routes in others, which are not to be
read at each look.
"""

import errno
import socket
from struct import Struct
from typing import Final

from attrs import frozen

from firezone_filter.host.netlink import attribute, attributes, change, listed
from firezone_filter.host.rules import FAMILIES
from firezone_filter.values.addresses import Address

HELD: Final = 2**31
"""The metric of the blackhole, behind all others."""

LED: Final = 1
"""The metric of the route into a device."""

# From <linux/rtnetlink.h>.
_DELETE, _GET = 25, 26
_UNICAST, _BLACKHOLE = 1, 6
_OIF, _PRIORITY, _PREFERRED_SOURCE, _CACHE, _TABLE, _PREFERENCE = 4, 6, 7, 12, 15, 20
# What says nothing about where packets go.
_IDLE: Final = frozenset({_CACHE, _TABLE, _PREFERENCE})

# Family, lengths of destination and source, TOS, table, protocol, scope, type, flags.
_ROUTE: Final = Struct("=BBBBBBBBI")
_U32: Final = Struct("=I")


@frozen
class Held:
    """What of one IP version belongs into a table, besides the blackhole."""

    version: int
    table: int

    device: str
    """The host's device into which the table leads; it need not be there."""

    own: Address | None
    """The source address that the table suggests."""

    def remove_others(self) -> int:
        """Remove the routes that are not the host's; return how many there were.

        Raises:
            OSError: the kernel refuses.
        """
        others = [route for route in self._routes() if not self._is_ours(route)]
        for route in others:
            try:
                change(_DELETE, route)
            except ProcessLookupError:  # ESRCH: it has gone by itself
                continue
        return len(others)

    def _routes(self) -> list[bytes]:
        table = attribute(_TABLE, _U32.pack(self.table))
        wanted = _ROUTE.pack(FAMILIES[self.version], 0, 0, 0, 0, 0, 0, 0, 0) + table
        try:
            routes = listed(_GET, wanted, is_strict=True)
        except OSError as error:
            if error.errno != errno.ENOENT:  # there is no such table yet
                raise
            return []
        return [route for route in routes if table in route]

    def _is_ours(self, route: bytes) -> bool:
        _, *matches, _, _, _, kind, _ = _ROUTE.unpack_from(route)
        said = attributes(route[_ROUTE.size :])
        has = {name: value for name, value in said if name not in _IDLE}
        if kind == _BLACKHOLE:
            has.pop(_OIF, None)  # IPv6 says `lo`
            wanted = {_PRIORITY: _U32.pack(HELD)}
        else:
            wanted = {_PRIORITY: _U32.pack(LED), _OIF: _U32.pack(_index(self.device))}
            if self.own is not None:
                wanted[_PREFERRED_SOURCE] = self.own.packed
        return kind in {_UNICAST, _BLACKHOLE} and not any(matches) and has == wanted


def _index(device: str) -> int:
    try:
        return socket.if_nametoindex(device)
    except OSError:
        return 0
