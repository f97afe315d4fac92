"""Random captures of few flows: all link types, cut and padded frames, times of all kinds."""

import random
from typing import Final

from firezone_filter import (
    AddressPlan,
    CidrResource,
    Direction,
    DnsResource,
    GatewayOptions,
    InternetResource,
    Policy,
    PolicyAuthorization,
    PolicyClient,
    PolicyDomain,
    Resource,
    Translate,
    TunnelAddresses,
)
from firezone_filter.capture.stream import NS_PER_S, Record
from tests.captures import (
    RAW,
    START_S,
    WIFI,
    cooked,
    cooked_v2,
    ethernet,
    ethernet_llc,
    pppoe,
    snap,
)
from tests.model.packets import parse
from tests.property.pools import (
    CLIENTS,
    EXCLUDES,
    FILTERS,
    INBOUND,
    NETWORKS,
    OUTBOUND,
    OWN,
    PROXIES,
    RESOLVED,
    TUNNEL,
)
from tests.property.wire import Wire, turned

_YEAR_NS: Final = 365 * 86_400 * NS_PER_S

_PAUSES: Final = (0, 0, 1, 50_000, NS_PER_S // 4, NS_PER_S, 3 * NS_PER_S, 70 * NS_PER_S)
"""In nanoseconds: bursts, and the gaps within which things end."""

_JUMPS: Final = (
    *(-1, -NS_PER_S, -90 * NS_PER_S) * 8,
    *(40 * _YEAR_NS, 60 * _YEAR_NS, -80 * _YEAR_NS),
)
"""Time stamps that are out of order, or odd."""

_LIFETIMES: Final = (None, None, 1.0, 3.5, 60.0, 3_600.0)

# Most are permitted at first, so that there is something to lose.
_FILTERS: Final = (*FILTERS, *[()] * len(FILTERS))

_NO_PACKETS: Final = (
    (1, ethernet(0x0806, bytes(28))),
    (1, ethernet(0x88CC, b"")),
    (1, ethernet(0x8100, b"")),
    (1, ethernet_llc(b"\x42\x42\3" + bytes(35))),
    (1, bytes(9)),
    (113, cooked(0x0800, b"", device=824)),
    (276, bytes(7)),
    (0, b"\1\0\0\0"),
    (0, b""),
    (RAW, b""),
    (WIFI, bytes(40)),
    (147, bytes(3)),
)
"""Frames without any IP packet, or with a header cut short, by their link types."""

WAYS: Final = 12


def framed(packet: bytes, way: int) -> tuple[int, bytes]:
    """Return a link type, and a frame of it that carries a packet; there are `WAYS` of that."""
    is_ipv4 = not packet or packet[0] >> 4 != 6
    kind, family = (0x0800, 2) if is_ipv4 else (0x86DD, 30)
    ppp = 0x21 if is_ipv4 else 0x57
    ways = (
        (1, ethernet(kind, packet)),
        (RAW, packet),
        (1, ethernet(kind, packet, 0x8100)),
        (1, ethernet(kind, packet, 0x88A8, 0x8100)),
        (113, cooked(kind, packet)),
        (276, cooked_v2(kind, packet)),
        (0, family.to_bytes(4, "little") + packet),
        (108, family.to_bytes(4) + packet),
        (1, ethernet_llc(snap(kind, packet))),
        (1, ethernet_llc(b"\6\6\3" + packet)),
        (1, ethernet(0x8864, pppoe(ppp, packet))),
        (9, ppp.to_bytes(2) + packet),
    )
    return ways[way]


def random_policy(draw: random.Random) -> Policy:
    """Return a policy of which the packets of `Wire` are about the same few places."""
    options = GatewayOptions(
        reject=draw.random() < 0.7,
        reject_rate=draw.choice((100.0, 0.5, 0.0)),
        reject_burst=draw.choice((100, 2, 0)),
        max_sessions_per_client=draw.choice((16_384, 2)),
        max_remembered=draw.choice((1_048_576, 1, 0)),
        stateful=draw.random() < 0.15,
    )
    networks = {draw.choice(("0.0.0.0/0", "10.0.0.0/8")), draw.choice(NETWORKS[4])}
    networks |= {draw.choice(NETWORKS[6]), "::/0"}
    pool: list[Resource] = [
        CidrResource(f"cidr-{place}", network, draw.choice(_FILTERS))
        for place, network in enumerate(sorted(networks))
    ]
    pool.append(InternetResource("internet", exclude=draw.choice(EXCLUDES)))
    pool += [
        DnsResource(f"dns-{place}", "*.example.com", draw.choice(_FILTERS)) for place in (0, 1)
    ]
    clients = []
    for place, client_id in enumerate(CLIENTS[: draw.randrange(2, 4)]):
        addresses = TunnelAddresses(TUNNEL[4][place], TUNNEL[6][place])
        authorizations = [
            _authorization(draw, one) for one in draw.sample(pool, draw.randrange(2, len(pool)))
        ]
        clients.append(PolicyClient(client_id, addresses, tuple(authorizations)))
    return Policy(OWN[0], AddressPlan(), tuple(clients), options)


def _authorization(draw: random.Random, resource: Resource) -> PolicyAuthorization:
    lifetime = draw.choice(_LIFETIMES)
    expires_at = None if lifetime is None else START_S + lifetime
    if not isinstance(resource, DnsResource):
        return PolicyAuthorization(resource, expires_at)
    families = draw.choice(((4,), (6,), (4, 6), ()))
    proxies = tuple(proxy for family in families for proxy in PROXIES[family])
    real = tuple(one for family in families for one in RESOLVED[family][: draw.randrange(1, 4)])
    domain = PolicyDomain("a.example.com", proxies, real)
    return PolicyAuthorization(resource, expires_at, (domain,))


def random_records(draw: random.Random, policy: Policy, count: int) -> list[Record]:
    """Return the frames of a capture that *policy* has something to say about."""
    wire = Wire(draw)
    packets = _packets(wire, policy, draw.randrange(1, 12))
    # Few ways for each capture, so that chunks of one link type come up.
    ways = [draw.randrange(WAYS) for _ in range(draw.choice((1, 1, 3)))]
    odd_times = draw.choice((0.0, 0.0, 0.02, 0.2))
    records, time_ns = [], START_S * NS_PER_S + draw.randrange(1_000)
    for _ in range(count):
        if draw.random() < 0.1:
            packets[draw.randrange(len(packets))] = wire.fresh(draw.choice((OUTBOUND, INBOUND)))
        link_type, frame = framed(draw.choice(packets), draw.choice(ways))
        if draw.random() < 0.05:
            link_type, frame = draw.choice(_NO_PACKETS)
        wire_length = len(frame)
        if draw.random() < 0.1:
            frame = frame[: draw.randrange(len(frame) + 1)]
            wire_length = max(wire_length + draw.choice((0, 0, 0, -1, 100)), 0)
        elif draw.random() < 0.1:
            frame += bytes(draw.randrange(1, 20))
            wire_length = len(frame)
        time_ns += draw.choice(_PAUSES) if draw.random() < 0.1 else draw.randrange(50_000_000)
        at = time_ns + (draw.choice(_JUMPS) if draw.random() < odd_times else 0)
        records.append(Record(at, link_type, frame, wire_length))
    return records


def _packets(wire: Wire, policy: Policy, count: int) -> list[bytes]:
    """Return packets, many with their answers, behind a NAT too, or with errors about them."""
    draw, gateway = wire.draw, policy.gateway(START_S)
    packets: list[bytes] = []
    for _ in range(count):
        direction: Direction = draw.choice((OUTBOUND, OUTBOUND, INBOUND))
        packet = wire.fresh(direction)
        packets.append(packet)
        decision = gateway.handle_packet(direction, packet)
        if direction is OUTBOUND and isinstance(decision, Translate):
            packets.append(turned(decision.packet))
        read = parse(packet)
        if read is not None and not read.is_later_fragment:
            if draw.random() < 0.5:
                packets.append(turned(packet))
            if draw.random() < 0.2:
                packets.append(wire.error(packet))
        if draw.random() < 0.2:
            packets.append(wire.spoiled(packet))
    return packets
