"""Seeded captures of everything that a replay treats apart, for several clients."""

import random
import struct
from collections.abc import Iterator
from typing import Final

from firezone_filter.capture.stream import NS_PER_S, Record
from firezone_filter.policy import Policy, load_policy
from firezone_filter.testing import (
    ACK,
    FIN,
    RST,
    SYN,
    fragment,
    icmp,
    icmp_echo,
    icmp_error,
    tcp,
    udp,
)
from tests.captures import ETHERNET, RAW, START_S, WIFI, ethernet

CLIENTS: Final = ("alice", "bob", "carol", "dave", "erin")
PORTS: Final = (22, 53, 443, 5432)


def policy_of(rng: random.Random) -> Policy:
    """Return a policy of five clients, with expiries that are often the same."""
    return load_policy(
        {
            "gateway": {"ipv4": "100.64.0.1", "ipv6": "fd00:2021:1111::1"},
            "options": {
                "stateful": rng.random() < 0.5,
                "reject_burst": rng.choice((1, 3, 100)),
                "reject_rate": rng.choice((0.5, 10)),
                "max_flows_per_client": rng.choice((3, 1_000)),
                "max_sessions_per_client": rng.choice((3, 1_000)),
            },
            "clients": [
                {
                    "id": name,
                    "ipv4": f"100.64.0.{place}",
                    "ipv6": f"fd00:2021:1111::{place}00",
                    "authorizations": [
                        _with_expiry(rng, resource)
                        for resource in _resources()
                        if rng.random() < 0.8
                    ],
                }
                for place, name in enumerate(CLIENTS, start=2)
            ],
        }
    )


def _with_expiry(rng: random.Random, authorization: dict[str, object]) -> dict[str, object]:
    after = rng.choice((None, None, 20, 20, 60))
    return authorization if after is None else authorization | {"expires_at": START_S + after}


def _resources() -> list[dict[str, object]]:
    filters = [
        {"protocol": "tcp", "port_range_start": 443, "port_range_end": 443},
        {"protocol": "udp", "port_range_start": 53, "port_range_end": 53},
        {"protocol": "icmp"},
    ]
    names = {"name": "git.example.com", "proxy_addresses": ["100.96.0.1"]}
    names["resolved_addresses"] = ["10.0.0.80"]
    dns = {"type": "dns", "id": "git", "address": "git.example.com", "filters": filters}
    return [
        {"resource": {"type": "cidr", "id": "db", "address": "10.0.0.0/28", "filters": filters}},
        {"resource": {"type": "cidr", "id": "six", "address": "2001:db8::/32", "filters": []}},
        {"resource": dns, "domains": [names]},
    ]


def records_of(rng: random.Random, count: int) -> Iterator[Record]:
    """Yield *count* records with time stamps that are mostly right."""
    time_ns = START_S * NS_PER_S
    is_odd_from = rng.random() < 0.2
    pending: list[bytes] = []
    for number in range(count):
        time_ns += rng.choice((0, 1, 1_000_000, 300_000_000, 2 * NS_PER_S))
        stamp = time_ns
        chance = rng.random()
        if chance < 0.05:
            stamp -= rng.choice((1, NS_PER_S, 30 * NS_PER_S))
        elif chance < 0.07 or (is_odd_from and number < 12):
            stamp = rng.choice((0, -5, 1 << 70, (1 << 32) * NS_PER_S - 1, 7 * NS_PER_S))
        if not pending:
            pending = _packets(rng)
        yield _framed(rng, pending.pop(0), stamp)


def _framed(rng: random.Random, packet: bytes, time_ns: int) -> Record:
    chance = rng.random()
    if chance < 0.02:
        return Record(time_ns, WIFI, packet, len(packet))
    if chance < 0.04:
        frame = ethernet(rng.choice((0x0806, 0x88CC, 0x88E1)), packet)
        return Record(time_ns, ETHERNET, frame, len(frame))
    kind = 0x0800 if packet[:1] and packet[0] >> 4 == 4 else 0x86DD
    link_type, frame = RAW, packet
    if chance < 0.5:
        link_type, frame = ETHERNET, ethernet(kind, packet).ljust(60, b"\0")
    elif chance < 0.55:
        link_type, frame = ETHERNET, ethernet(kind, packet, 0x8100)
    wire = len(frame)
    if rng.random() < 0.1:
        frame = frame[: rng.randrange(len(frame) + 1)]
    return Record(time_ns, link_type, frame, wire)


def _packets(rng: random.Random) -> list[bytes]:  # noqa: PLR0911 - one for each kind
    client = rng.randrange(2, 2 + len(CLIENTS))
    if rng.random() < 0.6:
        near, gateway = f"100.64.0.{client}", "100.64.0.1"
        other = f"100.64.0.{rng.randrange(2, 9)}"
        far = rng.choice(
            (f"10.0.0.{rng.randrange(20)}", "10.0.0.80", "100.96.0.1", "192.0.2.1", gateway, other)
        )
        outside, family = "198.51.100.7", 4
    else:
        near, gateway = f"fd00:2021:1111::{client}00", "fd00:2021:1111::1"
        far = rng.choice((f"2001:db8::{rng.randrange(20):x}", "2620::1", gateway))
        outside, family = "2620::7", 6
    if rng.random() < 0.1:
        near = outside
    ports = rng.randrange(40_000, 40_005), rng.choice(PORTS)
    if family == 6:
        ends = f"[{near}]:{ports[0]}", f"[{far}]:{ports[1]}"
    else:
        ends = f"{near}:{ports[0]}", f"{far}:{ports[1]}"
    out, back = " > ".join(ends), " > ".join(reversed(ends))
    match rng.randrange(8):
        case 0 | 1:
            return [
                tcp(out, flags=SYN),
                tcp(back, flags=SYN | ACK),
                tcp(out, b"x" * rng.randrange(30)),
                tcp(rng.choice((out, back)), flags=rng.choice((FIN | ACK, RST, ACK))),
            ]
        case 2:
            return [udp(out, b"question"), udp(back, b"answer")]
        case 3:
            pings = icmp_echo(out, identifier=7), icmp_echo(back, reply=True, identifier=7)
            return list(pings)
        case 4:
            about = rng.choice((udp(out, b"question"), tcp(out)))
            kind = 3 if family == 4 else 1
            return [about, icmp_error(back, kind, quoting=about)]
        case 5:
            whole = udp(out, bytes(64))
            return [fragment(whole, 0, 32), fragment(whole, 32)]
        case 6:
            packet = bytearray(udp(out, bytes(rng.randrange(8))))
            packet[rng.randrange(len(packet))] = rng.randrange(256)
            return [bytes(packet)]
        case _:
            return [icmp(out, rng.choice((8, 10, 13, 128, 133))), struct.pack(">I", 7)]
