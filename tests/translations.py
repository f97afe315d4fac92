"""The cast of the NAT tests: a DNS resource of Alice's, in both families.

What the client sends to a proxy address and what the resource then gets are built by the
same call with another address, so that an expected packet has its checksums from scratch.
"""

from collections.abc import Iterable
from typing import Final, TypedDict, Unpack

import pytest
from attrs import frozen

from firezone_filter import (
    Direction,
    DnsResource,
    Drop,
    Filter,
    Gateway,
    GatewayOptions,
    Reason,
    Translate,
)
from firezone_filter.nat.ends import ReverseKey
from firezone_filter.nat.sessions import SessionTable
from firezone_filter.testing import ACK, Extension, icmp_echo, patched, tcp, udp
from tests.scenes import INBOUND, OUTBOUND, V4, V6, Family, at, gateway_for_alice

TICK: Final = 2.0**-10
"""About a millisecond, and exact: what is added to a whole second loses nothing."""

NAME: Final = "app.example.com"

EXPIRED: Final = Drop(Reason.EXPIRED_NAT_SESSION, "alice")
EXHAUSTED: Final = Drop(Reason.NAT_EXHAUSTED, "alice")
GONE: Final = Drop(Reason.NO_RESOURCE, "alice")


class Shape(TypedDict, total=False):
    """What shapes the IP header, if anything does."""

    options: bytes
    extensions: tuple[Extension, ...]
    identification: int
    hops: int


@frozen
class Names:
    """Proxy addresses and real addresses of one family."""

    family: Family
    proxies: tuple[str, ...]
    real: tuple[str, ...]
    """In numeric order, which is neither that of text nor that in which they are told."""

    def __str__(self) -> str:
        return str(self.family)

    def sent(  # noqa: PLR0913 - as many fields as it has
        self,
        kind: str = "udp",
        number: int = 5401,
        *,
        far: str | None = None,
        port: int = 443,
        flags: int = ACK,
        payload: bytes = b"",
        **shape: Unpack[Shape],
    ) -> bytes:
        """Build a packet from Alice: to the first proxy address if not told otherwise.

        Args:
            kind: "tcp", "udp" or "echo".
            number: the client's port or the echo id.
            far: the other end.
            port: the other end's; an echo has none.
            flags: those of TCP.
            payload: what it carries.
            shape: of the IP header.
        """
        ends = (self.family.client, far or self.proxies[0])
        return _packet(OUTBOUND, kind, ends, (number, port), flags, payload, shape)

    def came(  # noqa: PLR0913 - as many fields as it has
        self,
        kind: str = "udp",
        number: int = 5401,
        *,
        far: str | None = None,
        port: int = 443,
        flags: int = ACK,
        payload: bytes = b"",
        **shape: Unpack[Shape],
    ) -> bytes:
        """Build a packet to Alice: from the first real address if not told otherwise."""
        ends = (far or self.real[0], self.family.client)
        return _packet(INBOUND, kind, ends, (port, number), flags, payload, shape)


def _packet(  # noqa: PLR0913, PLR0917 - as many fields as it has
    direction: Direction,
    kind: str,
    ends: tuple[str, str],
    ports: tuple[int, int],
    flags: int,
    payload: bytes,
    shape: Shape,
) -> bytes:
    source, destination = ends
    if kind == "echo":
        reply = direction is INBOUND
        identifier = ports[1] if reply else ports[0]
        flow = f"{source} > {destination}"
        return icmp_echo(flow, reply=reply, identifier=identifier, payload=payload, **shape)
    flow = f"{at(source, ports[0])} > {at(destination, ports[1])}"
    if kind == "tcp":
        return tcp(flow, payload, flags=flags, **shape)
    return udp(flow, payload, **shape)


N4 = Names(
    V4,
    proxies=("100.96.0.1", "100.96.0.2", "100.96.0.3", "100.96.0.4"),
    real=("198.51.100.9", "198.51.100.10", "203.0.113.1"),
)
N6 = Names(
    V6,
    proxies=tuple(f"fd00:2021:1111:8000::{number}" for number in range(1, 5)),
    real=("2001:db8::9", "2001:db8::10", "2001:db8:1::1"),
)

both_names = pytest.mark.parametrize("names", [N4, N6], ids=str)
every_kind = pytest.mark.parametrize("kind", ["tcp", "udp", "echo"])


def through(packet: bytes) -> Translate:
    return Translate(packet, "alice", "app")


def app(*filters: Filter) -> DnsResource:
    return DnsResource("app", "**.example.com", filters)


def resolve(  # noqa: PLR0913 - as many as `domain_resolved` has
    gateway: Gateway,
    names: Names,
    *,
    proxies: Iterable[str] | None = None,
    real: Iterable[str] | None = None,
    domain: str = NAME,
    resource_id: str = "app",
) -> None:
    """Let one proxy address stand for one real address, if not told otherwise."""
    gateway.domain_resolved(
        "alice",
        resource_id,
        domain,
        proxy_addresses=names.proxies[:1] if proxies is None else proxies,
        resolved_addresses=names.real[:1] if real is None else real,
    )


def gateway_with(
    names: Names,
    *filters: Filter,
    options: GatewayOptions | None = None,
    now: float | None = 0.0,
) -> Gateway:
    """Connect Alice, authorize her for the DNS resource, and resolve its name."""
    gateway = gateway_for_alice(app(*filters), options=options, now=now)
    resolve(gateway, names)
    return gateway


def gateway_in_use(names: Names, kind: str = "udp", *, now: float = 0.0) -> Gateway:
    """Let a packet out besides, so that there is a session that nothing came back to."""
    gateway = gateway_with(names, now=now)
    sent = names.sent(kind, far=names.real[0])
    assert gateway.handle_packet(OUTBOUND, names.sent(kind), now) == through(sent)
    return gateway


def without_checksum(packet: bytes) -> bytes:
    """Take the checksum of a plain UDP packet away."""
    return patched(packet, (20 if packet[0] >> 4 == 4 else 40) + 6, bytes(2))


def may_match(table: SessionTable, key: ReverseKey) -> bool:
    """Tell whether a session or a remembered end has a reverse key, whatever the time."""
    return table._holder(key) is not None or key in table.ends
