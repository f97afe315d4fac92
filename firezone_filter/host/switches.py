"""Settings of the whole machine, which are its owner's: whether they let the host do its work."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from firezone_filter.host.kernel_rules import RoutingError
from firezone_filter.host.routing import versions

_FORWARDING: Final = {4: "net.ipv4.ip_forward", 6: "net.ipv6.conf.all.forwarding"}

_NO_IPV6: Final = "net.ipv6.conf.default.disable_ipv6"

_MASTER: Final = "net.ipv4.ip_early_demux"

# They are for IPv6 as well. With them the kernel takes a packet from the VPN for a local
# connection before it asks the rules, and then throws it away, since the rules want it forwarded.
# Of UDP it delivers it, once the socket has had one by any other way: the route of that one is
# the socket's, and no rule is asked.
_EARLY_DEMUX: Final = {
    "net.ipv4.udp_early_demux": "connected UDP sockets of this machine would get packets of "
    "clients around the filter",
    "net.ipv4.tcp_early_demux": "clients could not stay connected to services of this machine",
}


def early_demux() -> Iterator[str]:
    """Yield what is wrong with `early_demux`, each with what turns it off."""
    if not _is_on(_MASTER):
        return
    for switch, why in _EARLY_DEMUX.items():
        if _is_on(switch):
            yield f"{switch} is 1: {why}; sysctl --write {switch}=0, and in /etc/sysctl.d"


def refuse_early_demux() -> None:
    """Make sure that no packet gets around the rules.

    The host cannot set it: as a service it may not write to /proc/sys, and after it nobody would
    know what it was before.

    Raises:
        RoutingError: `early_demux` is on.
    """
    if faults := tuple(early_demux()):
        raise RoutingError(" ".join(faults))


def unfit() -> Iterator[str]:
    """Yield what else is not as it should be; nothing gets around the filter by it."""
    for version in versions():
        if not _is_on(_FORWARDING[version]):
            yield f"{_FORWARDING[version]} is 0: no IPv{version} is forwarded"
    if _is_on(_NO_IPV6):
        yield f"{_NO_IPV6} is 1: clients have no IPv6"


def _is_on(switch: str) -> bool:
    path = Path("/proc/sys", switch.replace(".", "/"))
    return path.exists() and path.read_text().strip() != "0"
