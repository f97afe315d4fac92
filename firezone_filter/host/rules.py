"""Which rules bring the packets of a VPN to the host's devices, as values.

Rules and tables are the kernel's: they stay when the host ends, by whatever. Then its devices
are gone, and with them the routes into them; what is left in the tables is a blackhole. So
nothing goes around the filter.

They bear the protocol `kernel`: systemd-networkd removes the rules and routes of all others when
it (re)configures a link (ManageForeignRoutingPolicyRules= and ManageForeignRoutes=, which are on
by default). So ours are known by what they look like: `is_ours`.
"""

import socket
from collections.abc import Iterator
from typing import Final

from attrs import frozen

from firezone_filter.values.addresses import (
    Address,
    AddressPlan,
    Network,
    TunnelAddresses,
    to_network,
)

OUTBOUND_DEVICE: Final = "ff-out"
"""Brings the host what comes from clients, and takes what goes on."""

INBOUND_DEVICE: Final = "ff-in"
"""The same for what goes to clients."""

OUTBOUND_TABLE: Final = 20_211_111
INBOUND_TABLE: Final = 20_211_112
LOCAL_TABLE: Final = 255  # RT_TABLE_LOCAL

PROTOCOL: Final = 2  # RTPROT_KERNEL
"""Whose our rules and routes are said to be, so that nobody tidies them away."""

ENTRY: Final = 0
"""The priority of the rule that leads all packets to the first of ours.

The kernel gives a rule without a priority the one before its second rule's, whatever that is.
`wg-quick` lays such rules, and so do scripts for several uplinks. Here they are passed over: they
come behind this one, and even a rule of priority 0 does. None can come before, once it is there.
"""

FIRST: Final = 90
LAST: Final = 96
"""Our other priorities. Those below 100 are hardly used by others, whose rules go on to work
behind ours; and before them is room for many rules without a priority. If those got down to 0,
they would come before the table `local` after `release`."""

(
    _FROM_HOST,
    _OWN,
    _FROM_CLIENTS,
    _FROM_CLIENTS_ELSE,
    _TO_CLIENTS,
    _TO_CLIENTS_ELSE,
    _LOCAL,
) = range(FIRST, LAST + 1)

FAMILIES: Final = {4: int(socket.AF_INET), 6: int(socket.AF_INET6)}


@frozen
class Rule:
    """A rule of policy routing."""

    family: int
    """`AF_INET` or `AF_INET6`."""

    priority: int
    """The lowest is asked first."""

    table: int | None = None
    """Where to look the packet up; `None` for a rule that leads to another, or drops."""

    goto: int | None = None
    """The priority to go on at."""

    interface: str | None = None
    """By which interface the packet comes; `lo` for those of this machine."""

    to: Network | None = None
    """Where the packet goes."""

    drops: bool = False
    """Whether the packet goes nowhere from here."""

    more: tuple[str, ...] = ()
    """What else it asks or does: names of what none of ours has."""


# By priority: table, goto, whether it drops, whether it asks for an interface and for addresses.
_SHAPES: Final = {
    ENTRY: (None, FIRST, False, False, False),
    _FROM_HOST: (None, LAST, False, True, False),
    _OWN: (None, LAST, False, True, True),
    _FROM_CLIENTS: (OUTBOUND_TABLE, None, False, True, False),
    _FROM_CLIENTS_ELSE: (None, None, True, True, False),
    _TO_CLIENTS: (INBOUND_TABLE, None, False, False, True),
    _TO_CLIENTS_ELSE: (None, None, True, False, True),
    _LOCAL: (LOCAL_TABLE, None, False, False, False),
}


def is_ours(rule: Rule) -> bool:
    """Tell whether a rule is a host's, of whatever plan.

    A rule of somebody else with one of our priorities is not: it asks for something else, or
    leads elsewhere.
    """
    asks = rule.interface is not None, rule.to is not None
    shape = (rule.table, rule.goto, rule.drops, *asks)
    return not rule.more and _SHAPES.get(rule.priority) == shape


@frozen
class Plan:
    """What is to be led through the host."""

    interfaces: tuple[str, ...]
    """The interfaces in which the VPN ends; they need not be there yet."""

    own: TunnelAddresses
    """The gateway's own addresses inside the tunnel."""

    ranges: AddressPlan
    """The ranges of tunnel and proxy addresses."""

    def rules(self, versions: tuple[int, ...]) -> Iterator[Rule]:
        """Yield the rules for these IP versions, each before those that lead to it.

        The last one is `local`, which the kernel has at priority 0: a client must not reach an
        address of this machine that the filter does not permit.

        Behind each rule that leads to the host there is one that drops the same packets. None
        gets there, unless somebody has removed that rule, or emptied its table.

        At the priority that all packets are led to there are two rules, for the same reason: if
        one is removed, the kernel leads them to the other.
        """
        for version in versions:
            yield Rule(FAMILIES[version], _LOCAL, table=LOCAL_TABLE)
        networks = [
            network
            for network in (*self.ranges.tunnel, *self.ranges.dns_resources)
            if network.version in versions
        ]
        for network in networks:
            yield Rule(FAMILIES[network.version], _TO_CLIENTS_ELSE, to=network, drops=True)
        for network in networks:
            yield Rule(FAMILIES[network.version], _TO_CLIENTS, table=INBOUND_TABLE, to=network)
        for version in versions:
            family = FAMILIES[version]
            for interface in self.interfaces:
                yield Rule(family, _FROM_CLIENTS_ELSE, interface=interface, drops=True)
            for interface in self.interfaces:
                yield Rule(family, _FROM_CLIENTS, table=OUTBOUND_TABLE, interface=interface)
        for address in self.own.present():
            if address.version in versions:
                yield _to_itself(address)
        for version in versions:
            yield from _entrance(FAMILIES[version])


def _to_itself(own: Address) -> Rule:
    """Let this machine speak to its own tunnel address, which is nobody else's business."""
    return Rule(FAMILIES[own.version], _OWN, goto=LAST, interface="lo", to=to_network(own))


def _entrance(family: int) -> Iterator[Rule]:
    """Lead all packets to the first rules. What the host has written goes on from there.

    It has been decided about, and is routed as always.
    """
    for device in (OUTBOUND_DEVICE, INBOUND_DEVICE):
        yield Rule(family, _FROM_HOST, goto=LAST, interface=device)
    yield Rule(family, ENTRY, goto=FIRST)
