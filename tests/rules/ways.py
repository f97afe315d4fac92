"""Two ways for the same packets: directly to a network's host, or through the NAT to a name's.

The rules of fragments and ICMP errors hold on both, so one test asks both.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final

import pytest
from attrs import frozen

from firezone_filter import (
    CidrResource,
    Decision,
    Direction,
    DnsResource,
    Drop,
    Filter,
    Forward,
    Gateway,
    GatewayOptions,
    Icmp,
    Reason,
    Tcp,
    Translate,
    Udp,
)
from firezone_filter.testing import fragment, icmp_error, ip_fragment
from tests.numbers import UDP
from tests.scenes import OUTBOUND, Family, gateway_for_alice, opposite
from tests.translations import N4, N6, Names, app, resolve

PERMITTING: Final[dict[str, Filter]] = {"tcp": Tcp(443), "udp": Udp(443), "echo": Icmp()}
"""Filters that permit one kind of packet and no other."""


@frozen
class Way:
    """A host of one family, and how Alice gets there; the resource is "app" either way."""

    names: Names
    translated: bool

    def __str__(self) -> str:
        return f"{self.names}-{'nat' if self.translated else 'direct'}"

    @property
    def family(self) -> Family:
        return self.names.family

    def resource(self, *filters: Filter) -> CidrResource | DnsResource:
        if self.translated:
            return app(*filters)
        return CidrResource("app", self.names.real[0], filters)

    def gateway(
        self,
        *filters: Filter,
        kind: str = "udp",
        options: GatewayOptions | None = None,
        now: float | None = 0.0,
    ) -> Gateway:
        """Let a packet out, so that there is a session; from then on the filters hold."""
        gateway = gateway_for_alice(self.resource(), options=options, now=now)
        if self.translated:
            resolve(gateway, self.names)
        assert gateway.handle_packet(OUTBOUND, self.packet(OUTBOUND, kind)).allowed
        if filters:
            gateway.update_resource(self.resource(*filters))
        return gateway

    def arrives(self, direction: Direction) -> str:
        """Return the far address in packets as they are handed in."""
        through_proxy = self.translated and direction is OUTBOUND
        return self.names.proxies[0] if through_proxy else self.names.real[0]

    def leaves(self, direction: Direction) -> str:
        """Return the far address in packets as they go on."""
        through_proxy = self.translated and direction is not OUTBOUND
        return self.names.proxies[0] if through_proxy else self.names.real[0]

    def packet(self, direction: Direction, kind: str = "udp", **fields: Any) -> bytes:  # noqa: ANN401 - those of `Names.sent`
        """Build a packet as it is handed in, if *far* is not another address."""
        build = self.names.sent if direction is OUTBOUND else self.names.came
        return build(kind, **({"far": self.arrives(direction)} | fields))

    def passed(self, direction: Direction, build: Callable[[str], bytes]) -> Decision:
        """Return the decision for `build(far)` where it passes.

        Args:
            direction: which way it goes.
            build: builds it, checksums from scratch, with any far address.
        """
        if not self.translated:
            return Forward("alice", "app")
        return Translate(build(self.leaves(direction)), "alice", "app")


WAYS = [Way(names, translated) for names in (N4, N6) for translated in (False, True)]


def of(*ways: Way) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("way", ways, ids=str)


both_ways = of(*WAYS)
direct_ways = of(WAYS[0], WAYS[2])
nat_ways = of(WAYS[1], WAYS[3])
ways_of_ipv4 = of(*WAYS[:2])
ways_of_ipv6 = of(*WAYS[2:])


# --- ICMP errors -------------------------------------------------------------------------

NOT_PASSED = Drop(Reason.ICMP_ERROR, "alice")
PASS = {4: (3, 11, 12), 6: (1, 2, 3, 4)}
NEVER_PASS = {4: (4, 5), 6: (0, 5, 6, 100, 126, 127, 137)}


def about(  # noqa: PLR0913 - as many fields as it has
    way: Way,
    direction: Direction,
    far: str,
    quote: bytes,
    *,
    kind: int | None = None,
    router: str | None = None,
    **fields: Any,  # noqa: ANN401 - those of `icmp_error`
) -> bytes:
    """Build an error between Alice and a far address, or a router, that quotes a packet."""
    flow = way.family.flow(direction, far=router or far)
    number = way.family.unreachable if kind is None else kind
    return icmp_error(flow, number, quoting=quote, **fields)


def quoting(way: Way, direction: Direction, far: str, kind: str = "udp", **fields: Any) -> bytes:  # noqa: ANN401 - those of `Names.sent`
    """Build an error about a packet between Alice and a far address."""
    outer = {name: fields.pop(name) for name in ("router", "rest", "code") if name in fields}
    number = fields.pop("error", None)
    quote = way.packet(opposite(direction), kind, far=far, **fields)
    return about(way, direction, far, quote, kind=number, **outer)


# --- Fragments -----------------------------------------------------------------------------

FOLLOWED_BY_NONE = Drop(Reason.FRAGMENT, "alice")


def pieces(packet: bytes, *, identification: int = 7) -> list[bytes]:
    """Cut a packet into three: the fixed part of any transport is in the first."""
    return [
        fragment(packet, start, stop, identification=identification)
        for start, stop in ((0, 24), (24, 40), (40, None))
    ]


def fragments(
    way: Way,
    direction: Direction,
    kind: str = "udp",
    *,
    identification: int = 7,
    **fields: Any,  # noqa: ANN401 - those of `Names.sent`
) -> list[bytes]:
    """Build the three fragments of a packet, as they are handed in."""
    whole = way.packet(direction, kind, payload=bytes(range(48)), **fields)
    return pieces(whole, identification=identification)


def passed(
    way: Way,
    direction: Direction,
    kind: str = "udp",
    order: Iterable[int] = (0, 1, 2),
    **fields: Any,  # noqa: ANN401 - those of `Names.sent`
) -> list[Decision]:
    """Return what fragments get that pass."""

    def nth(n: int, far: str) -> bytes:
        return fragments(way, direction, kind, far=far, **fields)[n]

    return [way.passed(direction, partial(nth, n)) for n in order]


def later(way: Way, direction: Direction, protocol: int = UDP, *, start: int = 24) -> bytes:
    """Build a later fragment of any packet between Alice and the resource."""
    flow = way.family.flow(direction, far=way.arrives(direction))
    return ip_fragment(flow, protocol, bytes(8), start=start)
