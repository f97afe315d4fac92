"""What stands beside the library: loops that a user could write without it, by name.

Each is as good as such loops get, and asserted to decide as a gateway does. They check less:
no lengths, no fragments, no expiry. And they remember nothing, so that a first packet costs
them what any other does.
"""

from collections.abc import Callable
from importlib import import_module
from ipaddress import ip_address
from typing import Final, Protocol

import pytest
from attrs import frozen

from benches.scenes import FAMILIES, REFUSED_PORT, Flow, gateway_for_alice, packet
from firezone_filter import Decision, Direction, Forward

PortRule = tuple[int, int, int]
"""Protocol, first and last port."""

Judge = Callable[[bytes], str | None]
"""Returns the id of the resource that permits a packet, if one does."""

_ICMP: Final = {4: 1, 6: 58}


class Filter(Protocol):
    """What each of the loops has: tables of networks, and a judgement for each direction."""

    def allow(self, client: bytes, network: str, resource_id: str, rules: list[PortRule]) -> None:
        """Permit a client some ports of a network; networks do not overlap."""

    def judge(self, direction: Direction) -> Judge:
        """Return the function that decides about packets of that direction."""


@frozen
class Baseline:
    """One of the loops."""

    side: str
    """Its name in the table."""

    module: str
    """Where its `Filter` is."""

    needs: tuple[str, ...] = ()
    """What has to be installed beside what the library needs itself."""

    count: int = 200
    """Packets of a round: fewer for what is slow."""

    rounds: int = 100

    def __str__(self) -> str:
        return self.side

    def filter(self) -> Filter:
        """Return an empty one; skip the test if something is not installed."""
        for name in self.needs:
            pytest.importorskip(name, reason=f"{name} is not installed: pip install '.[bench]'")
        made: Filter = import_module(self.module).Filter()
        return made

    def for_alice(self) -> Filter:
        """Return one that permits Alice what `gateway_for_alice` does."""
        filters = self.filter()
        for family in FAMILIES:
            client = ip_address(family.client).packed
            filters.allow(client, family.network, family.resource_id, rules(family.version))
        return filters


BY_HAND: Final = Baseline("by hand", "benches.by_hand")
PYTRICIA: Final = Baseline("pytricia", "benches.by_pytricia", needs=("pytricia",))
SCAPY: Final = Baseline("scapy", "benches.by_scapy", needs=("scapy",), count=20, rounds=40)
IPADDRESS: Final = Baseline("ipaddress", "benches.by_ipaddress")

LIBPCAP: Final = Baseline("libpcap", "benches.by_libpcap", needs=("pcapy",))

BASELINES: Final = (BY_HAND, PYTRICIA, SCAPY, IPADDRESS, LIBPCAP)

each_baseline = pytest.mark.parametrize("baseline", BASELINES, ids=str)


def rules(version: int) -> list[PortRule]:
    """Return what `scenes.FILTERS` permit."""
    return [(6, 443, 443), (6, 8_000, 8_100), (17, 53, 53), (_ICMP[version], 0, 65_535)]


def assert_decides_alike(judge: Judge, flow: Flow) -> None:
    """Assert that Alice gets the same of *judge* as of a gateway, permitted and refused."""
    family, direction, protocol = flow.family, flow.direction, flow.protocol
    probes = [
        packet(family, direction, protocol),
        packet(family, direction, protocol, port=REFUSED_PORT),
        packet(family, direction, protocol, far=family.stranger),
        packet(family, direction, protocol, client=family.client + "7"),
    ]
    gateway = gateway_for_alice()
    decided = [_permitting(gateway.handle_packet(direction, probe)) for probe in probes]
    assert decided[0] == family.resource_id
    assert [judge(probe) for probe in probes] == decided


def _permitting(decision: Decision) -> str | None:
    return decision.resource_id if isinstance(decision, Forward) else None
