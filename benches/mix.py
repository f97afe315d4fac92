"""Packets as a gateway sees them: many clients, and what each of them sends and gets.

Nearly all are of established flows, direct and through the NAT. The rest is one of everything
else: new flows, pings, fragments, and what is refused.
"""

from random import Random
from typing import Final

from attrs import frozen

from benches.scenes import (
    FAMILIES,
    INBOUND,
    OUTBOUND,
    REFUSED_PORT,
    V4,
    V6,
    Family,
    addresses_of,
    packet,
)
from firezone_filter import Direction, TunnelAddresses
from firezone_filter.testing import fragment, icmp_error, patched

_SIZES: Final = (0, 64, 1_200)
"""Bytes of payload: acknowledgements, requests, downloads."""

# Where two bytes stand that tell one flow from another, by where the IP header ends.
_IPV4_END, _IPV6_END = 20, 40
_END: Final = {V4: _IPV4_END, V6: _IPV6_END}
_IPV4_IDENTIFICATION: Final = 4


@frozen
class Template:
    """A packet that comes again and again, each time of another flow."""

    packet: bytes
    place: int
    """Where the two bytes stand that are different each time."""

    def numbered(self, number: int) -> bytes:
        # Checksums are left alone: they are the end hosts' to check.
        return patched(self.packet, self.place, number.to_bytes(2))


@frozen
class Peer:
    """A client, and its traffic."""

    client_id: str
    addresses: TunnelAddresses

    outward: list[bytes]
    """Packets of established flows."""

    inward: list[bytes]
    """What comes back."""

    outward_new: list[Template]
    """One of everything else."""

    inward_new: list[Template]
    """One of everything else; with the same numbers, some of it are answers."""


def peer(number: int, random: Random) -> Peer:
    """Make up a client."""
    addresses = addresses_of(number)
    texts = {V4: str(addresses.ipv4), V6: str(addresses.ipv6)}
    return Peer(
        f"client-{number}",
        addresses,
        [one for family in FAMILIES for one in _steady(OUTBOUND, family, texts[family], random)],
        [one for family in FAMILIES for one in _steady(INBOUND, family, texts[family], random)],
        [one for family in FAMILIES for one in _new_outward(family, texts[family])],
        [one for family in FAMILIES for one in _new_inward(family, texts[family])],
    )


def _steady(direction: Direction, family: Family, client: str, random: Random) -> list[bytes]:
    """Build packets of established flows: four direct ones for each through the NAT."""
    translated = family.proxy if direction is OUTBOUND else family.resolved
    return [
        packet(family, direction, protocol, client=client, size=random.choice(_SIZES))
        for protocol in ("tcp", "tcp", "tcp", "udp") * 3
    ] + [
        packet(
            family, direction, protocol, client=client, far=translated, size=random.choice(_SIZES)
        )
        for protocol in ("tcp", "udp", "echo")
    ]


def _new_outward(family: Family, client: str) -> list[Template]:
    end = _END[family]
    # Behind the addresses stand the ports; the id of an echo is two bytes further.
    address, port, echo_id = end - 2, end, end + 4
    tcp = packet(family, OUTBOUND, client=client)
    udp = packet(family, OUTBOUND, "udp", client=client)
    return [
        Template(tcp, port),
        Template(udp, port),
        Template(tcp, address),
        Template(packet(family, OUTBOUND, "echo", client=client), echo_id),
        Template(packet(family, OUTBOUND, "udp", client=client, far=family.proxy), port),
        Template(packet(family, OUTBOUND, "echo", client=client, far=family.proxy), echo_id),
        Template(packet(family, OUTBOUND, client=client, port=REFUSED_PORT), port),
        Template(packet(family, OUTBOUND, client=client, far=family.stranger), port),
        Template(packet(family, OUTBOUND, client=family.client), port),
        *_fragments(family, udp),
    ]


def _new_inward(family: Family, client: str) -> list[Template]:
    end = _END[family]
    port, echo_id = end + 2, end + 4
    tcp = packet(family, INBOUND, client=client)
    sent = packet(family, OUTBOUND, client=client)
    kind = 11 if family is V4 else 3
    return [
        Template(tcp, port),
        Template(packet(family, INBOUND, "udp", client=client, far=family.resolved), port),
        Template(packet(family, INBOUND, "echo", client=client, far=family.resolved), echo_id),
        Template(packet(family, INBOUND, client=client, port=REFUSED_PORT), port),
        Template(packet(family, INBOUND, client=client, far=family.stranger), port),
        Template(tcp[: end + 8], port),
        # Of a router that the packet came to with its last hop.
        Template(icmp_error(f"{family.stranger} > {client}", kind, quoting=sent), end + 8 + end),
    ]


def _fragments(family: Family, whole: bytes) -> list[Template]:
    """Cut a packet in two; both have the same identification."""
    place = _IPV4_IDENTIFICATION if family is V4 else _IPV6_END + 6
    return [Template(fragment(whole, 0, 32), place), Template(fragment(whole, 32), place)]
