"""What the devices and interfaces of a host need, beside rules and routes.

All of it is idempotent, and what is right already is not touched: others who listen to the
kernel, the host among them, would hear of it each time.
"""

import errno
import socket
from ipaddress import IPv4Address
from typing import Any, Final

from pyroute2.netlink.exceptions import NetlinkError

from firezone_filter.host.devconf import ACCEPT_LOCAL, RP_FILTER, devconf, set_devconf
from firezone_filter.host.guard import keep_out, let_in, noted
from firezone_filter.values.addresses import Address

_STRICT, _LOOSE = 1, 2  # of rp_filter
_IFF_UP: Final = 0x1
_IFF_MULTICAST: Final = 0x1000
_NODAD: Final = 0x02  # IFA_F_NODAD
_NO_ADDRESS: Final = 1  # IN6_ADDR_GEN_MODE_NONE: it gets none that nobody has given it
_LEAST: Final = 1_280  # that IPv6 is content with: below, the kernel takes it from a device
_ANY: Final = "disable_ipv6"  # a setting that each device has if it has IPv6
_DUMMY: Final = IPv4Address("192.0.0.8")  # for hosts that need some address (RFC 7600)


def bring_up(kernel: Any, name: str, mtu: int, *, has_ipv6: bool) -> int:  # noqa: ANN401
    """Make a device of the host fit for packets; return its index."""
    index = socket.if_nametoindex(name)
    (link,) = kernel.get_links(index)
    # No link-local address and no multicast: it is no link where the kernel should look for
    # routers and neighbours.
    if link.get_attr("IFLA_MTU") != mtu or not link["flags"] & _IFF_UP:
        quiet = {"attrs": [("AF_INET6", {"attrs": [("IFLA_INET6_ADDR_GEN_MODE", _NO_ADDRESS)]})]}
        if has_ipv6 and mtu >= _LEAST and devconf(name, _ANY, 6) is None:
            # It gets IPv6 anew by this, and a link-local address at once if it is up.
            kernel.link("set", index=index, state="down")
        kernel.link("set", index=index, mtu=mtu)
        if devconf(name, _ANY, 6) is not None:
            kernel.link("set", index=index, IFLA_AF_SPEC=quiet)
        kernel.link("set", index=index, flags=0, change=_IFF_MULTICAST)
        kernel.link("set", index=index, state="up")
    # Packets come from here whose senders are behind other devices.
    if (devconf(name, "rp_filter"), devconf(name, "accept_local")) != (_LOOSE, 1):
        set_devconf(index, {RP_FILTER: _LOOSE, ACCEPT_LOCAL: 1})
    return index


def give_address(kernel: Any, version: int, index: int, own: Address | None) -> None:  # noqa: ANN401
    """Let a device have the gateway's own address, as the VPN's interface may have, too.

    In IPv4 it needs one, whichever: loose `rp_filter` takes nothing from a device without.
    """
    if own is None and version == 4:  # noqa: PLR2004
        own = _DUMMY
    if own is None:
        return
    # Until the kernel has seen that an IPv6 address is nobody else's, neither routes nor
    # sockets can have it; and nobody else is behind the host's devices.
    flags = {"flags": _NODAD} if version == 6 else {}  # noqa: PLR2004
    try:
        kernel.addr("add", index=index, address=str(own), prefixlen=own.max_prefixlen, **flags)
    except NetlinkError as error:
        if error.code != errno.EEXIST:
            raise


def prepare(name: str, *, anew: bool) -> None:
    """Let packets come by *name* whose answers leave by another device, as all do now.

    But none that the kernel would take in without asking the rules.
    """
    mine = devconf(name, "rp_filter")
    if mine is None:  # it is not there yet
        return
    index = socket.if_nametoindex(name)
    is_strict = max(mine, devconf("all", "rp_filter") or 0) == _STRICT
    # What it was is kept at the interface, for `restore`, whatever ends the host.
    keep_out(index, anew=anew or is_strict, note=mine if is_strict else None)
    if is_strict:
        set_devconf(index, {RP_FILTER: _LOOSE})


def restore(name: str) -> None:
    """Give *name* back what it had before `prepare`, unless others have changed it since."""
    mine = devconf(name, "rp_filter")
    if mine is None:
        return
    index = socket.if_nametoindex(name)
    before = noted(index)
    let_in(index)
    if mine == _LOOSE and before is not None:
        set_devconf(index, {RP_FILTER: before})
