"""What random stories are about: few of everything, so that things meet often.

Pools come in pairs: what matches, and what just does not. Times and rates are dyadic
fractions, on which floats are exact.
"""

from typing import Final

from firezone_filter import Direction, Filter, Icmp, Protocol, Tcp, TunnelAddresses, Udp

OUTBOUND: Final = Direction.OUTBOUND
INBOUND: Final = Direction.INBOUND

CLIENTS: Final = ("alice", "bob", "carol")
TUNNEL: Final = {
    4: ("100.64.0.2", "100.64.0.3", "100.64.0.4"),
    6: ("fd00:2021:1111::2", "fd00:2021:1111::3", "fd00:2021:1111::4"),
}
"""The clients' addresses, in their order, by IP version."""

OWN: Final = (
    TunnelAddresses("100.64.0.1", "fd00:2021:1111::1"),
    TunnelAddresses("100.64.0.9", "fd00:2021:1111::9"),
)
"""The gateway's own addresses, at first and later."""

OWN_TEXT: Final = {
    4: ("100.64.0.1", "100.64.0.9"),
    6: ("fd00:2021:1111::1", "fd00:2021:1111::9"),
}

PROXIES: Final = {
    4: tuple(f"100.96.0.{n}" for n in range(1, 5)),
    6: tuple(f"fd00:2021:1111:8000::{n}" for n in range(1, 5)),
}
RESOLVED: Final = {
    4: ("10.0.0.5", "10.0.0.6", "203.0.113.80", "8.8.8.8"),
    6: ("fd10::5", "2600::8", "2600::9"),
}
REBOUND: Final = (
    "127.0.0.1",
    "169.254.1.1",
    "100.64.0.3",
    "100.96.0.1",
    "::1",
    "fe80::1",
    "0.0.0.1",
)
"""What a name server must not be able to open a way to."""

FAR: Final = {
    4: (*RESOLVED[4], "10.0.1.1", "10.0.0.77", "127.0.0.1", "0.1.2.3", "192.0.2.1", "9.9.9.9"),
    6: (
        *RESOLVED[6],
        "fd10::1:1",
        "::1",
        "::ffff:10.0.0.5",
        "2002::1",
        "2600:1::1",
        "fe80::1",
    ),
}
"""Addresses behind the gateway: in several resources, in one, in none, in special ranges."""

ODD: Final = {
    4: ("224.0.0.1", "255.255.255.255", "100.64.77.7", "100.96.77.7"),
    6: ("ff02::1", "fd00:2021:1111::77", "fd00:2021:1111:8000::77"),
}
"""Addresses at which the tables of checks branch off."""

PORTS: Final = (0, 1, 53, 80, 443, 65535)
DOMAINS: Final = ("a.example.com", "b.example.com", "example.com", "x.y.example.com")

FILTERS: Final[tuple[tuple[Filter, ...], ...]] = (
    (),
    (Tcp(443),),
    (Tcp("50-100"), Udp(53), Icmp()),
    (Udp(),),
    (Icmp(),),
    (Tcp(), Udp(443)),
    (Icmp.echo(), Tcp(443), Protocol(47)),
    (Icmp([13, 16, 40], [139, 200]), Icmp(types_v6=[161]), Udp()),
    (Protocol(50), Protocol(132), Protocol(255), Icmp([0])),
)
NETWORKS: Final = {
    4: ("10.0.0.0/24", "10.0.0.5/32", "10.0.0.0/8", "0.0.0.0/0", "100.0.0.0/8"),
    6: ("fd10::/16", "fd10::5/128", "::/0", "2600::/16"),
}
EXCLUDES: Final = ((), ("8.8.0.0/16", "2600::/32"))
EXCLUDED: Final = {
    "10.0.0.0/24": ("10.0.0.5/32",),
    "10.0.0.0/8": ("10.0.0.0/25", "10.0.1.0/24"),
    "0.0.0.0/0": ("8.8.8.8/32", "10.0.0.4/30"),
    "fd10::/16": ("fd10::5/128",),
    "::/0": ("2600::8/128", "fd10::/17"),
}
"""What networks may leave out, where they do."""
PATTERNS: Final = ("*.example.com", "**.example.com", "a.example.com")


JUST_BEFORE: Final = 2.0**-10
"""About a millisecond, but a fraction that floats hold exactly."""

STEPS: Final = (*(0.25, 1.0, 5.0) * 6, 15.0, 30.0, 59.75, 60.0, 120.0, 240.0, 3720.0, 7440.0)
"""Seconds to wait: mostly short, and about as long as what is kept is kept."""
