"""A hostile mix for as long as asked: `python -m benches.soak`, with `--seconds` or `--packets`.

Clients come, restart and go; they scan, flood every limit, send fragments that are never
completed and errors about what they never sent; permissions and sessions end by thousands at
one moment, and the clock jumps. The same seed gives the same story. At its end it tells how
long calls took, in CPU time, and fails if memory or what the gateway counts has grown since
its first third, or if a call took longer than is asked for.

Linux only: reads /proc. What the cyclic collector takes is told apart.
"""

import argparse
import gc
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from ipaddress import IPv4Address
from itertools import cycle, islice
from random import Random
from typing import Final

from attrs import asdict, frozen

from benches.build import BUILD
from benches.latencies import Latencies, took
from benches.memory import in_memory
from benches.worst import (
    INBOUND,
    OUTBOUND,
    client_ip,
    first_fragment,
    later_fragment,
    tcp,
    udp,
    unreachable,
)
from firezone_filter import (
    CidrResource,
    Direction,
    DnsResource,
    Gateway,
    GatewayOptions,
    Resource,
    Tcp,
    TunnelAddresses,
    Udp,
)

Packets = Iterator[tuple[Direction, bytes, str | None]]

_START: Final = 1_800_000_000.0
_PROXIES: Final = int(IPv4Address("100.96.0.1"))
_REAL: Final = int(IPv4Address("11.0.0.1"))
_HOST: Final = int(IPv4Address("10.200.0.5"))
_STRANGER: Final = int(IPv4Address("12.0.0.1"))
_FLAGS: Final = (0x10, 0x10, 0x10, 0x02, 0x11, 0x04, 0x06, 0x00)

_BATCH: Final = 200
"""Packets from one hook to the next."""

_PERIOD: Final = 150.0
"""Permissions end at multiples of so many seconds, many at one moment."""

_ENDURING: Final = 0.1
"""So many of the clients never restart: what they have is full, and stays so."""

_SAMPLED: Final = 25_000
"""Packets from one look at the memory to the next; the cyclic collector runs then too."""

_PAUSE: Final = 250
"""Steps from one stretch of time in which nothing happens to the next."""

_PAUSES: Final = (1.0, 600.0, 30.0, 240.0, 60.0, 120.0)
"""How long these are, in turn: so that each third of a soak has some of all."""

_SLACK: Final = 4 << 20
"""Bytes: the allocator does not give every page back."""

_STEADY: Final = (
    "nat_sessions",
    "flows",
    "cached_flows",
    "fragments",
    "recorded_flows",
    "authorizations",
)
"""What may not grow in the long run."""


def options(*, flow_records: bool, stateful: bool) -> GatewayOptions:
    """Return limits that a soak reaches in its first third."""
    return GatewayOptions(
        max_sessions_per_client=512,
        max_sessions=4_000,
        max_remembered=20_000,
        flow_records=flow_records,
        stateful=stateful,
        max_flows_per_client=512,
        max_flows=4_000,
    )


@frozen
class Sample:
    """What there is at one time."""

    packets: int
    resident: int
    counted: dict[str, int]


class Soak:
    """A gateway, and everybody who wishes it ill."""

    def __init__(
        self,
        *,
        clients: int = 200,
        seed: int = 1,
        flow_records: bool = True,
        stateful: bool = False,
    ) -> None:
        self.gateway = Gateway(
            TunnelAddresses("100.64.0.1"),
            options=options(flow_records=flow_records, stateful=stateful),
        )
        self.packets, self.hooks, self.idle = Latencies(), Latencies(), Latencies()
        self.collector = Latencies()
        self._draw = Random(seed)
        self._now = _START
        self._clients = clients
        self._steps = 0
        self._pauses = cycle(_PAUSES)
        self._serial = 0
        self._renewal = iter(range(clients))
        self._renewed = 0.0
        self._attacks = (
            self._flood_sessions,
            self._flood_sessions,
            self._flood_sessions,
            self._scan_hosts,
            self._scan_ports,
            self._refused,
            self._fragments,
            self._errors,
            self._talk,
            self._talk,
            self._late,
            self._rubbish,
        )
        self._changes = (
            *(self._restart, self._grant, self._grant, self._resolve, self._take) * 8,
            *(self._leave, self._update, self._move, self._set_clock),
        )
        for number in range(clients):
            self._connect(number)

    # --- A step ------------------------------------------------------------------------------

    def step(self) -> int:
        """Let one client attack, and something change; return how many packets there were."""
        handle, add, count = self.gateway.handle_packet, self.packets.add, 0
        draw = self._draw
        attack = draw.choice(self._attacks)
        for direction, packet, client_id in attack(draw.randrange(self._clients)):
            self._now += draw.random() * 2e-3
            start = time.process_time_ns()
            handle(direction, packet, self._now, client_id)
            add(time.process_time_ns() - start, attack.__name__)
            count += 1
        change = draw.choice(self._changes)
        _, nanoseconds = took(change)
        self.hooks.add(nanoseconds, change.__name__)
        self._renew()
        if draw.random() < 0.2:
            self._look_around()
        self._steps += 1
        if self._steps % _PAUSE == 0:
            self._now += next(self._pauses)
        return count

    def _look_around(self) -> None:
        """Do what a host does when it is idle; not for as long as it is asked to, though."""
        for _ in range(self._draw.randrange(20)):
            due, nanoseconds = took(self.gateway.poll_timeout)
            self.idle.add(nanoseconds, "poll_timeout")
            if due is None or due > self._now:
                break
            _, nanoseconds = took(lambda: self.gateway.handle_timeout(self._now))
            self.idle.add(nanoseconds, "handle_timeout")
        for _ in range(self._draw.choice((0, 10, 20_000))):
            event, nanoseconds = took(self.gateway.poll_event)
            self.idle.add(nanoseconds, "poll_event")
            if event is None:
                break

    def sample(self) -> Sample:
        """Let the cyclic collector look at everything, and return what there is."""
        _, nanoseconds = took(gc.collect)
        self.collector.add(nanoseconds, "gc.collect")
        counted = asdict(self.gateway.counters(), recurse=False)
        return Sample(
            self.packets.count, in_memory(), {name: counted[name] or 0 for name in _STEADY}
        )

    # --- Attacks -----------------------------------------------------------------------------

    def _next(self) -> int:
        """Return a number that comes again after a long time only."""
        self._serial += 1
        return self._serial

    def _flood_sessions(self, number: int) -> Packets:
        near, proxy = client_ip(number), _PROXIES + self._draw.randrange(4)
        for _ in range(_BATCH):
            yield OUTBOUND, udp(near, self._next() & 0xFFFF, proxy, 53), f"client-{number}"

    def _scan_hosts(self, number: int) -> Packets:
        near = client_ip(number)
        for _ in range(_BATCH):
            yield OUTBOUND, tcp(near, 9, _HOST + (self._next() & 0x7FFF), 443, 0x02), None

    def _scan_ports(self, number: int) -> Packets:
        near = client_ip(number)
        for _ in range(_BATCH // 2):
            port = self._next() & 0xFFFF
            yield OUTBOUND, tcp(near, port, _HOST, port, 0x02), None
            yield INBOUND, udp(_HOST, port, near, port), None

    def _refused(self, number: int) -> Packets:
        near = client_ip(number)
        for _ in range(_BATCH):
            far, port = _STRANGER + (self._next() & 0xFFFF), self._serial & 0xFFFF
            yield OUTBOUND, tcp(near, port, far, 22), None

    def _fragments(self, number: int) -> Packets:
        near, far = client_ip(number), self._draw.choice((_PROXIES, _HOST))
        for _ in range(_BATCH // 2):
            mark = self._next() & 0xFFFF
            yield OUTBOUND, first_fragment(near, mark, far), None
            yield (
                OUTBOUND,
                later_fragment(near, mark - self._draw.randrange(3) & 0xFFFF, far),
                None,
            )

    def _errors(self, number: int) -> Packets:
        near = client_ip(number)
        for _ in range(_BATCH):
            port = self._draw.randrange(0x10000)
            quote = udp(near, port, self._draw.choice((_REAL, _HOST)), 53)
            yield INBOUND, unreachable(_STRANGER, near, quote), None

    def _talk(self, number: int) -> Packets:
        """Go on in a few connections, both ways, through the NAT and directly."""
        near = client_ip(number)
        ends = ((_PROXIES, _REAL), (_PROXIES + 1, _REAL + 1), (_HOST, _HOST))
        for _ in range(_BATCH // 2):
            (far, real), port = self._draw.choice(ends), self._draw.randrange(2_000, 2_020)
            flags = self._draw.choice(_FLAGS)
            yield OUTBOUND, tcp(near, port, far, 443, flags), f"client-{number}"
            yield INBOUND, tcp(real, 443, near, port, flags), None

    def _late(self, number: int) -> Packets:
        """Answer what may have ended long ago."""
        near = client_ip(number)
        for _ in range(_BATCH):
            port = self._serial - self._draw.randrange(5_000) & 0xFFFF
            yield INBOUND, udp(_REAL, 53, near, port), None

    def _rubbish(self, number: int) -> Packets:
        for _ in range(_BATCH):
            packet = bytearray(tcp(client_ip(number), 1, _HOST, 443))
            packet[self._draw.randrange(len(packet))] ^= 1 << self._draw.randrange(8)
            yield self._draw.choice((OUTBOUND, INBOUND)), bytes(packet), None

    # --- Changes -----------------------------------------------------------------------------

    def _any(self) -> int:
        return self._draw.randrange(int(self._clients * _ENDURING), self._clients)

    def _connect(self, number: int) -> None:
        client_id = f"client-{number}"
        addresses = TunnelAddresses(IPv4Address(client_ip(number)))
        self.gateway.client_connected(client_id, addresses, self._now)
        self.gateway.authorize(client_id, CidrResource("company", "10.200.0.0/16", [Tcp(), Udp()]))
        for place in range(4):
            self._give(number, _name(place))

    def _give(self, number: int, resource: Resource) -> None:
        """Authorize until the next moment at which much ends."""
        until = (self._now // _PERIOD + 1) * _PERIOD
        self.gateway.authorize(f"client-{number}", resource, expires_at=until)
        if isinstance(resource, DnsResource):
            place = int(resource.id.removeprefix("name-"))
            self.gateway.domain_resolved(
                f"client-{number}",
                resource.id,
                resource.address,
                proxy_addresses=[IPv4Address(_PROXIES + place)],
                resolved_addresses=[IPv4Address(_REAL + place)],
            )

    def _restart(self) -> None:
        self._connect(self._any())

    def _leave(self) -> None:
        number = self._any()
        self.gateway.client_disconnected(f"client-{number}")
        self._connect(number)

    def _grant(self) -> None:
        """Give some client several networks, until the next moment."""
        number = self._draw.randrange(self._clients)
        for _ in range(10):
            self._give(number, _network(self._draw.randrange(500)))

    def _resolve(self) -> None:
        number = self._draw.randrange(self._clients)
        for place in range(4):
            self._give(number, _name(place))

    def _take(self) -> None:
        number = self._draw.randrange(self._clients)
        self.gateway.revoke(f"client-{number}", f"name-{self._draw.randrange(4)}")

    def _update(self) -> None:
        port = self._draw.randrange(1, 1_000)
        self.gateway.update_resource(
            CidrResource("company", "10.200.0.0/16", [Tcp(), Udp(), Tcp(port)])
        )

    def _move(self) -> None:
        self.gateway.set_addresses(
            TunnelAddresses(self._draw.choice(("100.64.0.1", "100.64.0.2")))
        )

    def _set_clock(self) -> None:
        self._now += self._draw.choice((-100.0, -1.0, 1.0, 100.0))
        self.gateway.clock_set(self._now)

    def _renew(self) -> None:
        """When much has ended, let the portal give it again, one client after the other."""
        if self._now >= self._renewed + _PERIOD:
            self._renewed = self._now // _PERIOD * _PERIOD
            self._renewal = iter(range(self._clients))
        for number in islice(self._renewal, 4):
            for place in range(4):
                self._give(number, _name(place))
            for place in range(10):
                self._give(number, _network(place))


def _name(place: int) -> DnsResource:
    return DnsResource(f"name-{place}", f"n{place}.example.com")


def _network(place: int) -> CidrResource:
    return CidrResource(f"net-{place}", f"10.{place >> 8}.{place & 255}.0/24", [Tcp(place + 1)])


def soak(one: Soak, goes_on: Callable[[int], bool]) -> list[Sample]:
    """Let it go on for as long as asked; return what there was, from time to time."""
    packets, samples, collected = 0, [], 0
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        while goes_on(packets):
            packets += one.step()
            if packets - collected >= _SAMPLED:
                collected = packets
                samples.append(one.sample())
    finally:
        gc.enable()
        gc.unfreeze()
    return samples


def growth(samples: Sequence[Sample]) -> list[str]:
    """Say what has grown since the first third: more in the last third than in the second."""
    third = len(samples) // 3
    if not third:
        return []
    middle, last = samples[third : 2 * third], samples[-third:]
    faults = []
    before, after = (max(one.resident for one in some) for some in (middle, last))
    if after > 1.1 * before + _SLACK:
        faults.append(f"resident: {before:,} bytes at most, and then {after:,}")
    for name in _STEADY:
        usual, later = (sum(one.counted[name] for one in some) / third for some in (middle, last))
        if later > 1.5 * usual + 1_000:
            faults.append(f"{name}: {usual:,.0f} as a mean, and then {later:,.0f}")
    return faults


def main(arguments: Sequence[str] | None = None) -> int:
    """Soak; return 1 if something has grown or taken too long."""
    parser = argparse.ArgumentParser(prog="python -m benches.soak", description=__doc__)
    parser.add_argument("--packets", type=int, default=5_000_000)
    parser.add_argument("--seconds", type=float, help="after which it ends early")
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--without-flow-records", action="store_true")
    parser.add_argument("--stateful", action="store_true")
    parser.add_argument("--longest", type=float, help="milliseconds that a packet may take")
    parser.add_argument("--percentile", type=float, help="milliseconds for 99.99 %% of them")
    chosen = parser.parse_args(arguments)
    one = Soak(
        clients=chosen.clients,
        seed=chosen.seed,
        flow_records=not chosen.without_flow_records,
        stateful=chosen.stateful,
    )
    start = time.monotonic()
    seconds: float = math.inf if chosen.seconds is None else chosen.seconds
    most: int = chosen.packets

    def goes_on(packets: int) -> bool:
        return packets < most and time.monotonic() - start < seconds

    samples = soak(one, goes_on)
    lines = [
        f"build: {BUILD}",
        f"packets: {one.packets}, {1e3 / max(one.packets.mean, 1e-9):,.0f} a second",
        f"hooks: {one.hooks}",
        f"when idle: {one.idle}",
        f"collector: {one.collector}",
        *(
            f"{one.packets:,} packets: {one.resident / 2**20:.0f} MiB, {one.counted}"
            for one in samples[:: max(len(samples) // 6, 1)]
        ),
    ]
    faults = growth(samples)
    for what, limit, value in (
        ("the longest packet", chosen.longest, one.packets.longest),
        ("99.99 % of packets", chosen.percentile, one.packets.percentile(0.9999)),
    ):
        if limit is not None and value > limit:
            faults.append(f"{what}: {value:.3f} ms, more than {limit:g}")
    sys.stdout.write("\n".join([*lines, *(f"FAULT {fault}" for fault in faults)]) + "\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
