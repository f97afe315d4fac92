"""The interfaces in which the VPN ends: whether they are there and seen, and how much fits in."""

import socket
import struct
from collections.abc import Iterable
from typing import Final

from attrs import frozen

from firezone_filter.host.kernel_rules import RoutingError
from firezone_filter.host.netlink import ask, attributes

USUAL_MTU: Final = 1420
"""WireGuard's, over a network with 1,500 bytes."""

# From <linux/rtnetlink.h> and <linux/if_link.h>.
_GET_LINK: Final = 18
_NAME, _MTU, _MASTER = 3, 4, 10

_LINK: Final = struct.Struct("=BxHiII")
_U32: Final = struct.Struct("=I")


@frozen
class Links:
    """What the routes depend on. If it changes, they are laid anew."""

    there: tuple[tuple[str, int], ...]
    """The interfaces that are there, with their numbers."""

    mtu: int
    """What fits into all of them."""

    unseen: tuple[tuple[int, str], ...] = ()
    """Those whose packets no rule sees: their numbers, and why, in words."""

    @classmethod
    def look(cls, interfaces: Iterable[str]) -> "Links":
        """Look how it is now."""
        seen = [one for name in interfaces if (one := _look(name))]
        return cls(
            tuple((name, index) for name, index, *_ in seen),
            min((mtu for *_, mtu, _ in seen), default=USUAL_MTU),
            tuple((index, why) for _, index, _, why in seen if why),
        )


def refuse_unseen(interfaces: Iterable[str]) -> None:
    """Make sure that the rules see what comes from interfaces.

    Raises:
        RoutingError: they do not.
    """
    if unseen := Links.look(interfaces).unseen:
        raise RoutingError("; ".join(why for _, why in unseen))


def _look(name: str) -> tuple[str, int, int, str] | None:
    """Return name, number and MTU of an interface, and why rules do not see it, if so."""
    try:
        index = socket.if_nametoindex(name)
        answer = ask(_GET_LINK, _LINK.pack(socket.AF_UNSPEC, 0, index, 0, 0))
        said = dict(attributes(answer[_LINK.size :]))
        return name, index, _number(said, _MTU), _why_unseen(name, said)
    except OSError:  # it is not there, or has gone in this moment
        return None


def _why_unseen(name: str, said: dict[int, bytes]) -> str:
    real = said[_NAME].rstrip(b"\0").decode()
    if real != name:
        return f"interface {name} is {real} by another name, which rules do not know: say {real}"
    if master := _number(said, _MASTER):
        owner = socket.if_indextoname(master)
        return (
            f"interface {name} is a port of {owner}: packets come by that, and no rule sees them "
            f"(ip link set {name} nomaster)"
        )
    return ""


def _number(said: dict[int, bytes], what: int) -> int:
    return int(_U32.unpack(said[what])[0]) if what in said else 0
