"""A gateway with something of everything, and packets for every row of both tables."""

from typing import Final, NamedTuple

from attrs import evolve

from firezone_filter import (
    CidrResource,
    Direction,
    DnsResource,
    Gateway,
    GatewayOptions,
    Icmp,
    InternetResource,
    Tcp,
    Udp,
)
from firezone_filter.testing import (
    RST,
    fragment,
    hop_by_hop,
    icmp,
    icmp_error,
    ip,
    patched,
    tcp,
    udp,
)
from tests.numbers import ESP
from tests.scenes import INBOUND, OUTBOUND, V4, V6, Family, gateway_for_alice
from tests.translations import N4, N6, NAME, Names

FILTERS: Final = (Tcp(443), Udp(53), Icmp())
NOT_RECORDED: Final = GatewayOptions(own_filters=FILTERS, reject_rate=1, reject_burst=3)
RECORDED: Final = evolve(NOT_RECORDED, flow_records=True)

LIVE, OVER = 5401, 7
"""The client's ports: of sessions that live at `NOW`, and of those that are over by then."""

NOW: Final = 100.0


class Case(NamedTuple):
    """A packet, and who the host says that it is from or for."""

    direction: Direction
    packet: bytes
    client_id: str | None


def gateway_with_everything(options: GatewayOptions) -> Gateway:
    """Let there be resources of each kind, and state of each kind, some of it over at `NOW`.

    Nothing is swept out by itself: `handle_timeout` is never called.
    """
    gateway = gateway_for_alice(
        CidrResource("db4", V4.network, FILTERS),
        CidrResource("db6", V6.network, FILTERS),
        InternetResource("internet", exclude=["1.1.1.0/24"]),
        DnsResource("app", "**.example.com", FILTERS),
        options=options,
    )
    for names in (N4, N6):
        gateway.domain_resolved(
            "alice",
            "app",
            NAME,
            proxy_addresses=names.proxies,
            # Behind the last one is nothing.
            resolved_addresses=names.real[:2],
        )
        gateway.domain_resolved(
            "alice", "app", NAME, proxy_addresses=names.proxies[3:], resolved_addresses=[]
        )
    gateway.authorize("bob", CidrResource("late", "10.9.0.0/16"), expires_at=NOW + 50.0)
    for number, now in ((OVER, 0.0), (LIVE, NOW - 1.0)):
        for names in (N4, N6):
            for kind in ("tcp", "udp", "echo"):
                gateway.handle_packet(OUTBOUND, names.sent(kind, number), now, "alice")
                if number == LIVE:
                    gateway.handle_packet(INBOUND, names.came(kind, number), now)
            reset = names.sent("tcp", number + 1, flags=RST)
            gateway.handle_packet(OUTBOUND, reset, now, "alice")
            first, _ = halves(names.sent(number=number, port=53, payload=bytes(64)))
            gateway.handle_packet(OUTBOUND, first, now, "alice")
        for family in (V4, V6):
            for way in (OUTBOUND, INBOUND):
                first, _ = halves(family.udp(way, size=64), number)
                gateway.handle_packet(way, first, now)
                gateway.handle_packet(way, family.tcp(way), now)
            gateway.handle_packet(OUTBOUND, family.tcp(OUTBOUND, 22), now, "alice")
    gateway.handle_packet(OUTBOUND, V4.tcp(OUTBOUND), NOW, "alice")
    return gateway


def halves(packet: bytes, number: int = 7) -> tuple[bytes, bytes]:
    """Cut a packet in two fragments."""
    return (
        fragment(packet, 0, 24, identification=number),
        fragment(packet, 24, identification=number),
    )


def cases() -> list[Case]:
    """Return packets for every row of both tables, with each client id that matters."""
    packets = [
        (way, packet)
        for family in (V4, V6)
        for way in Direction
        for packet in _direct(family, way)
    ]
    packets += [one for names in (N4, N6) for one in _translated(names)]
    packets += [(way, packet) for way in Direction for packet in (b"", b"\x45", bytes(40))]
    return [
        Case(way, packet, client_id)
        for way, packet in dict.fromkeys(packets)
        for client_id in (None, "alice", "bob", "nobody")
    ]


def _direct(family: Family, way: Direction) -> list[bytes]:
    fars = (
        family.host,
        family.stranger,
        family.public,
        family.gateway,
        family.neighbour,
        family.spare,
        family.multicast,
        family.proxy,
        "127.0.0.1" if family is V4 else "::1",
    )
    packets = []
    for far in fars:
        bare = family.flow(way, far=far)
        packets += [
            family.tcp(way, far=far),
            family.tcp(way, 22, far=far),
            family.udp(way, far=far),
            family.udp(way, 54, far=far),
            family.echo(way, far=far),
            ip(bare, ESP, bytes(24)),
            # An echo the other way round, and discovery, which stays on its link.
            family.echo(OUTBOUND if way is INBOUND else INBOUND, far=far),
            icmp(bare, 9 if family is V4 else 135),
            *halves(family.udp(way, far=far, size=64)),
            *halves(family.udp(way, 54, far=far, size=64)),
            *halves(family.udp(way, far=far, size=64), 9),
            udp(family.flow(way, 53, far=far), options=b"\x01")
            if family is V4
            else udp(family.flow(way, 53, far=far), extensions=[hop_by_hop()]),
            *_errors(family, bare, family.udp(_other(way), far=far)),
        ]
    # About a packet of a client without a NAT, and about an error, which none may be.
    other, near = _other(way), family.neighbour
    packets += _errors(family, family.flow(way, near=near), udp(family.flow(other, 53, near=near)))
    error, *_ = _errors(family, family.flow(other), family.udp(way))
    packets += _errors(family, family.flow(way), error)
    # A spoofed source, and a client that nobody knows.
    packets += [tcp(family.flow(way, 443, near=near)) for near in (family.neighbour, family.spare)]
    return packets


def _translated(names: Names) -> list[tuple[Direction, bytes]]:
    packets: list[tuple[Direction, bytes]] = []
    client, proxy, real = names.family.client, names.proxies[0], names.real[0]
    for number in (LIVE, OVER, LIVE + 1, OVER + 1, 99):
        for kind in ("tcp", "udp", "echo"):
            packets += [
                *((OUTBOUND, names.sent(kind, number, far=far)) for far in names.proxies),
                *((INBOUND, names.came(kind, number, far=far)) for far in names.real),
                (OUTBOUND, names.sent(kind, number, port=22)),
                (INBOUND, names.came(kind, number, port=22)),
                *(
                    (INBOUND, error)
                    for error in _errors(
                        names.family, f"{real} > {client}", names.sent(kind, number, far=real)
                    )
                ),
                *(
                    (OUTBOUND, error)
                    for error in _errors(
                        names.family, f"{client} > {proxy}", names.came(kind, number, far=proxy)
                    )
                ),
            ]
        for port in (53, 54):
            sent = halves(names.sent(number=number, port=port, payload=bytes(64)))
            came = halves(names.came(number=number, port=port, payload=bytes(64)))
            packets += [*((OUTBOUND, one) for one in sent), *((INBOUND, one) for one in came)]
    return packets


def _errors(family: Family, flow: str, quote: bytes) -> list[bytes]:
    kinds = (3, 5) if family is V4 else (1, 137)
    error, redirect = (icmp_error(flow, kind, quoting=quote) for kind in kinds)
    return [error, redirect, patched(error, len(error) - len(quote), b"\x00"), *halves(error)]


def _other(way: Direction) -> Direction:
    return OUTBOUND if way is INBOUND else INBOUND
