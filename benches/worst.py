"""The worst states that a gateway can be brought to, each built for a bench or a test.

In each, very much is over at one moment, or every limit is reached; then come packets of the
client that is concerned and of another one, which is not. What a state waits for is not taken
apart before: no call has brought the moment yet.

Packets are made with `struct` alone, without checksums, which are the end hosts' to check:
a million of them are needed.
"""

import struct
from collections.abc import Callable, Iterator
from functools import partial
from ipaddress import IPv4Address
from typing import Any, Final

from attrs import fields_dict, frozen

from firezone_filter import (
    CidrResource,
    Direction,
    DnsResource,
    Gateway,
    GatewayOptions,
    Resource,
    Tcp,
    TunnelAddresses,
)

OUTBOUND, INBOUND = Direction.OUTBOUND, Direction.INBOUND

START: Final = 100_000.0
UNANSWERED: Final = 60.0
FRAGMENTS: Final = 30.0
REMEMBERED: Final = 240.0
IDLE: Final = 120.0
GATHERED: Final = 60.0

MAX_ENDS: Final = 4_096
MAX_FRAGMENTS: Final = 1_024
MAX_PROXIES: Final = 1_024
MAX_RECORDS: Final = 4_096
MOST_FLOWS: Final = 4_096
"""Of one direction."""

PORTS_TRIED: Final = 257
FAR_ENDS: Final = 8
"""Of one client, direction and reason, whose refusals are told apart."""

_TUNNEL: Final = int(IPv4Address("100.64.1.0"))
_PROXIES: Final = int(IPv4Address("100.96.0.1"))
_REAL: Final = int(IPv4Address("11.0.0.1"))
_HOST: Final = int(IPv4Address("10.200.0.5"))
_STRANGER: Final = int(IPv4Address("12.0.0.1"))
_BYSTANDER: Final = 1_000_000
_FIRST_PORT: Final = 1_024
_NEW_PORT: Final = 40_000
_RST: Final = 0x04
_ACK: Final = 0x10
_SYN: Final = 0x02

Scaled = Callable[[int], int]
"""Returns how many there are to be in all, of as many as there can be."""

Build = Callable[[Scaled], "Worst"]


@frozen
class Probe:
    """A kind of packet that comes in such a state."""

    kind: str
    direction: Direction
    packet: Callable[[int], bytes]
    """The n-th of them."""
    client_id: str | None = None


@frozen
class Worst:
    """A gateway in one of the worst states."""

    gateway: Gateway
    now: float
    """The moment, which no call has brought yet."""
    probes: tuple[Probe, ...]
    """What comes then, again and again."""
    size: int
    """How much there is that is over at the moment, or that a limit counts."""
    refill: Callable[[], None] | None = None
    """What brings the state about once more, if a round of probes uses it up."""


# --- Packets -----------------------------------------------------------------------------


def udp(source: int, source_port: int, destination: int, port: int, *, place: int = 0) -> bytes:
    """Build a UDP packet; *place*: what the header's word for fragments says."""
    return struct.pack(
        "!BBHHHBBHIIHHHH8x",
        *(0x45, 0, 36, source_port, place, 64, 17, 0),
        *(source, destination, source_port, port, 16, 0),
    )


def tcp(source: int, source_port: int, destination: int, port: int, flags: int = _ACK) -> bytes:
    return struct.pack(
        "!BBHHHBBHIIHHIIBBHHH",
        *(0x45, 0, 40, 0, 0, 64, 6, 0, source, destination),
        *(source_port, port, 1, 1, 0x50, flags, 65_535, 0, 0),
    )


def unreachable(source: int, destination: int, quote: bytes) -> bytes:
    """Build the ICMP error of a router about a packet."""
    head = (0x45, 0, 28 + len(quote), 0, 0, 64, 1, 0, source, destination)
    return struct.pack("!BBHHHBBHIIBBHI", *head, 3, 1, 0, 0) + quote


def first_fragment(source: int, number: int, destination: int) -> bytes:
    return udp(source, number, destination, 53, place=0x2000)


def later_fragment(source: int, number: int, destination: int) -> bytes:
    return udp(source, number, destination, 53, place=2)


def client_ip(number: int) -> int:
    return _TUNNEL + number


def cycled(first: int, count: int) -> Callable[[int], int]:
    """Return what gives the n-th of numbers that come again after *count*."""
    return lambda number: first + number % max(count, 1)


# --- Scenes ------------------------------------------------------------------------------


class Scene:
    """A gateway, a client that nothing happens to, and others that something does."""

    def __init__(self, options: GatewayOptions | None = None) -> None:
        self.gateway = Gateway(TunnelAddresses("100.64.0.1"), options=options or GatewayOptions())
        self.now = START
        self.connect(_BYSTANDER)
        self.give(_BYSTANDER, CidrResource("company", "10.200.0.0/16", [Tcp(443)]))
        self.give_name(_BYSTANDER, 0)

    def connect(self, number: int) -> None:
        addresses = TunnelAddresses(IPv4Address(client_ip(number)))
        self.gateway.client_connected(f"client-{number}", addresses, self.now)

    def give(self, number: int, resource: Resource, until: float | None = None) -> None:
        self.gateway.authorize(f"client-{number}", resource, expires_at=until)

    def give_name(
        self,
        number: int,
        place: int,
        *,
        proxies: int = 1,
        behind: int | None = None,
        until: float | None = None,
    ) -> None:
        """Authorize a client for a DNS resource with so many proxy addresses from a place on."""
        self.give(number, DnsResource(f"name-{place}", f"n{place}.example.com"), until)
        first = _PROXIES + place
        self.gateway.domain_resolved(
            f"client-{number}",
            f"name-{place}",
            f"n{place}.example.com",
            proxy_addresses=[IPv4Address(first + nth) for nth in range(proxies)],
            resolved_addresses=[IPv4Address(_REAL + (place if behind is None else behind))],
        )

    def networks(self, number: int, count: int, until: float | None) -> None:
        """Authorize a client for so many CIDR resources."""
        for place in range(count):
            network = f"10.{place >> 8}.{place & 255}.0/24"
            self.give(number, CidrResource(f"net-{place}", network), until)

    def send(self, packet: bytes) -> None:
        assert self.gateway.handle_packet(OUTBOUND, packet, self.now).allowed

    def receive(self, packet: bytes) -> None:
        assert self.gateway.handle_packet(INBOUND, packet, self.now).allowed

    def open_sessions(self, number: int, count: int, *, names: int = 1) -> None:
        """Open sessions of a client that nothing comes back to."""
        near = client_ip(number)
        for place in range(count):
            proxy = _PROXIES + place % names
            self.send(udp(near, _FIRST_PORT + place, proxy, 53))

    def sessions(self) -> int:
        return self.gateway.counters().nat_sessions

    def flows(self) -> int:
        return self.gateway.counters().flows

    def permissions(self) -> int:
        return self.gateway.counters().authorizations

    # --- What comes then ---------------------------------------------------------------------

    def worst(
        self,
        now: float,
        size: int,
        *more: Probe,
        number: int = 0,
        refill: Callable[[], None] | None = None,
    ) -> Worst:
        """Return the state: packets of the client *number* come, and of the bystander."""
        self._establish(now)
        probes = (*more, *self.of(number), *self.of_the_bystander())
        return Worst(self.gateway, now, probes, size, refill)

    def _establish(self, now: float) -> None:
        """Let the bystander's flows live at the moment; time stands just before it."""
        # A long time before the moment they are over; so that nothing else is, be it late.
        self.now = now - 1.0
        near = client_ip(_BYSTANDER)
        self.send(tcp(near, 1, _HOST, 443))
        self.receive(tcp(_HOST, 443, near, 1))
        self.send(udp(near, 1, _PROXIES, 53))
        self.receive(udp(_REAL, 53, near, 1))

    @staticmethod
    def of(number: int) -> Iterator[Probe]:
        """Yield packets of a client that something has ended for."""
        near, client_id = client_ip(number), f"client-{number}"
        ports, new_ports = cycled(_FIRST_PORT, 16_384), cycled(_NEW_PORT, 20_000)
        yield Probe(
            "out, as before",
            OUTBOUND,
            lambda n: udp(near, ports(n), _PROXIES, 53),
            client_id,
        )
        yield Probe("in, as before", INBOUND, lambda n: udp(_REAL, 53, near, ports(n + 7)))
        yield Probe(
            "new session",
            OUTBOUND,
            lambda n: udp(near, new_ports(n), _PROXIES, 53),
            client_id,
        )
        yield Probe("direct", OUTBOUND, lambda n: tcp(near, ports(n), _HOST, 443, _SYN))
        yield Probe("refused", OUTBOUND, lambda n: tcp(near, ports(n), _STRANGER + n, 22))
        yield Probe("refused in", INBOUND, lambda n: tcp(_STRANGER + n, 22, near, ports(n)))
        yield Probe("first fragment", OUTBOUND, lambda n: first_fragment(near, n & 1023, _PROXIES))
        yield Probe("later fragment", OUTBOUND, lambda n: later_fragment(near, n & 1023, _PROXIES))
        yield Probe(
            "ICMP error",
            INBOUND,
            lambda n: unreachable(_STRANGER, near, udp(near, ports(n), _REAL, 53)),
        )

    @staticmethod
    def of_the_bystander() -> Iterator[Probe]:
        near, client_id = client_ip(_BYSTANDER), f"client-{_BYSTANDER}"
        new_ports = cycled(_NEW_PORT, 20_000)
        yield Probe("other's flow out", OUTBOUND, lambda _: tcp(near, 1, _HOST, 443), client_id)
        yield Probe("other's flow in", INBOUND, lambda _: tcp(_HOST, 443, near, 1))
        yield Probe("other's session out", OUTBOUND, lambda _: udp(near, 1, _PROXIES, 53))
        yield Probe("other's session in", INBOUND, lambda _: udp(_REAL, 53, near, 1))
        yield Probe("other's new flow", OUTBOUND, lambda n: tcp(near, new_ports(n), _HOST, 443))
        yield Probe("other's refused", OUTBOUND, lambda n: tcp(near, new_ports(n), _HOST, 22))


# --- Sessions that are over --------------------------------------------------------------


def sessions_of_64_clients(scaled: Scaled) -> Worst:
    """A million sessions that nothing came back to."""
    scene, clients = Scene(), 64
    each = scaled(1_000_000) // clients
    for number in range(clients):
        scene.connect(number)
        scene.give_name(number, 0)
        scene.open_sessions(number, each)
    return scene.worst(START + UNANSWERED, scene.sessions())


def sessions_of_one_client(scaled: Scaled) -> Worst:
    """As many as one client can have."""
    scene = Scene()
    scene.connect(0)
    scene.give_name(0, 0)
    scene.open_sessions(0, scaled(16_384))
    return scene.worst(START + UNANSWERED, scene.sessions())


def names_with_sessions(scaled: Scaled) -> Worst:
    """100 DNS resources with 16,384 sessions: the resources expire, the sessions would go on."""
    scene, names, until = Scene(), 100, START + 30.0
    scene.connect(0)
    for place in range(names):
        scene.give_name(0, place, until=until)
    scene.open_sessions(0, scaled(16_384), names=names)
    return scene.worst(until, scene.sessions())


def ends_that_are_remembered(scaled: Scaled) -> Worst:
    """4,096 sessions of one client that its RST has ended, when that need not be known longer."""
    scene, ends = Scene(), scaled(MAX_ENDS)
    scene.connect(0)
    scene.give_name(0, 0)
    for place in range(ends):
        scene.send(tcp(client_ip(0), _FIRST_PORT + place, _PROXIES, 443, _RST))
    return scene.worst(START + REMEMBERED, ends)


# --- Flows that are over -----------------------------------------------------------------


def _flows(clients: int, each: int, options: GatewayOptions) -> Scene:
    """Begin so many flows of each client, to which nothing comes back."""
    scene = Scene(options)
    for number in range(clients):
        scene.connect(number)
        scene.give(number, CidrResource("company", "10.200.0.0/16"))
        _go_on(scene, number, each)
    return scene


def _go_on(scene: Scene, number: int, each: int) -> None:
    near = client_ip(number)
    for place in range(each):
        scene.send(udp(near, _FIRST_PORT + place, _HOST, 53))


def _probes_of_flows(number: int) -> tuple[Probe, ...]:
    near = client_ip(number)
    ports, new_ports = cycled(_FIRST_PORT, 15_000), cycled(_NEW_PORT, 20_000)
    return (
        Probe("flow out", OUTBOUND, lambda n: udp(near, ports(n), _HOST, 53)),
        Probe("flow in", INBOUND, lambda n: udp(_HOST, 53, near, ports(n + 7))),
        Probe("new flow", OUTBOUND, lambda n: udp(near, new_ports(n), _HOST, 53)),
        Probe("unasked", INBOUND, lambda n: udp(_HOST, 53, near, new_ports(n + 7))),
        Probe(
            "ICMP error about a flow",
            INBOUND,
            lambda n: unreachable(_STRANGER, near, udp(near, ports(n), _HOST, 53)),
        ),
    )


def flows_of_stateful_end_at_once(scaled: Scaled) -> Worst:
    """A million flows of 64 clients that nothing came back to."""
    clients = 64
    scene = _flows(clients, scaled(1_000_000) // clients, _stateful())
    return scene.worst(START + UNANSWERED, scene.flows(), *_probes_of_flows(0))


def flows_of_one_authorization_end(scaled: Scaled) -> Worst:
    """As many flows as one client can have: the authorization of all of them expires."""
    scene, until = Scene(_stateful()), START + 30.0
    scene.connect(0)
    scene.give(0, CidrResource("company", "10.200.0.0/16"), until)
    _go_on(scene, 0, scaled(16_384))
    size = scene.flows()
    # What permits the packets that come then.
    scene.give(0, CidrResource("hosts", "10.200.0.0/24"))
    return scene.worst(until, size, *_probes_of_flows(0))


def all_flows_prolonged_at_max_flows(scaled: Scaled) -> Worst:
    """The limit of all reached by 64 clients, who have gone on in every flow."""
    clients = 64
    each = scaled(1_000_000) // clients
    # The bystander's two flows have room.
    scene = _flows(clients, each, _stateful(max_flows=clients * each + 2))
    scene.now += 10.0
    for number in range(clients):
        _go_on(scene, number, each)
    return scene.worst(START + 30.0, scene.flows(), *_probes_of_flows(0), *_probes_of_flows(63))


def _stateful(**options: int) -> GatewayOptions:
    given: dict[str, Any] = {"stateful": True, **options}
    return GatewayOptions(**given if "stateful" in fields_dict(GatewayOptions) else {})


# --- Authorizations that are over --------------------------------------------------------


def networks_of_one_client(scaled: Scaled) -> Worst:
    """5,000 CIDR resources that expire."""
    scene, until = Scene(), START + 30.0
    scene.connect(0)
    scene.networks(0, scaled(5_000), until)
    return scene.worst(until, scene.permissions())


def networks_and_proxies(scaled: Scaled) -> Worst:
    """The same, of a client that has 1,024 proxy addresses."""
    scene, until = Scene(), START + 30.0
    scene.connect(0)
    scene.give_name(0, 0, proxies=scaled(MAX_PROXIES))
    scene.networks(0, scaled(5_000), until)
    return scene.worst(until, scene.permissions())


def _authorizations(clients: int, each: int) -> Worst:
    scene, until = Scene(), START + 30.0
    resources = [
        CidrResource(f"net-{place}", f"10.{place >> 8}.{place & 255}.0/24")
        for place in range(each)
    ]
    for number in range(clients):
        scene.connect(number)
        for resource in resources:
            scene.give(number, resource, until)
    return scene.worst(until, scene.permissions())


def authorizations_of_few(scaled: Scaled) -> Worst:
    """A million authorizations that expire: 100 clients with 10,000 each."""
    return _authorizations(100, scaled(1_000_000) // 100)


def authorizations_of_many(scaled: Scaled) -> Worst:
    """A million authorizations that expire: 10,000 clients with 100 each."""
    return _authorizations(scaled(1_000_000) // 100, 100)


def _one_network(count: int, until: float | None) -> Scene:
    scene = Scene()
    scene.connect(0)
    for place in range(count):
        resource = CidrResource(f"part-{place}", "10.200.0.0/16", [Tcp(1_024 + place)])
        scene.give(0, resource, until)
    return scene


def _probes_of_one_network(count: int) -> tuple[Probe, ...]:
    near = client_ip(0)
    return (
        Probe("refused by all", OUTBOUND, lambda n: tcp(near, n % 9_999, _HOST + n % 99, 22)),
        Probe("refused by all, in", INBOUND, lambda n: tcp(_HOST + n % 99, 22, near, n % 9_999)),
        Probe(
            "permitted by one",
            OUTBOUND,
            lambda n: tcp(near, n % 9_999, _HOST, 1_024 + n * 7 % count),
        ),
    )


def resources_of_one_network(scaled: Scaled) -> Worst:
    """10,000 resources on one network, each of which permits one port."""
    count = scaled(10_000)
    scene = _one_network(count, None)
    return scene.worst(START + 30.0, scene.permissions(), *_probes_of_one_network(count))


def resources_of_one_network_expire(scaled: Scaled) -> Worst:
    """The same, and all of them expire."""
    count, until = scaled(10_000), START + 30.0
    scene = _one_network(count, until)
    return scene.worst(until, scene.permissions(), *_probes_of_one_network(count))


# --- What is remembered ------------------------------------------------------------------


def fragments_that_are_over(scaled: Scaled) -> Worst:
    """A full memory for first fragments, all of which have been kept long enough."""
    scene = Scene()
    scene.connect(0)
    scene.give_name(0, 0)
    for number in range(scaled(MAX_FRAGMENTS)):
        scene.send(first_fragment(client_ip(0), number, _PROXIES))
    return scene.worst(START + FRAGMENTS, scene.gateway.counters().fragments)


def _remember(scene: Scene, number: int, count: int) -> None:
    near = client_ip(number)
    for place in range(count):
        scene.send(tcp(near, _FIRST_PORT + place, _HOST, 443))
        scene.send(udp(near, _FIRST_PORT + place, _HOST, 53))
        scene.receive(tcp(_HOST, 443, near, _FIRST_PORT + place))
        scene.receive(udp(_HOST, 53, near, _FIRST_PORT + place))


def a_full_flow_cache(scaled: Scaled) -> Worst:
    """A client of whom as much is remembered as can be, and whose permission ends."""
    scene, until = Scene(), START + 30.0
    scene.connect(0)
    scene.give(0, CidrResource("company", "10.200.0.0/16"), until)
    _remember(scene, 0, scaled(MOST_FLOWS // 2))
    return scene.worst(until, scene.gateway.counters().cached_flows)


def inbound_flows_taken_over(scaled: Scaled) -> Worst:
    """New sessions of a client, each of which may concern 4,096 inbound flows."""
    scene, count, near = Scene(), scaled(MOST_FLOWS), client_ip(0)
    scene.connect(0)
    scene.give_name(0, 0)
    scene.give(0, CidrResource("behind", "11.0.0.0/16"))

    def refill() -> None:
        for place in range(count):
            scene.receive(udp(_REAL + 9, 53, near, _FIRST_PORT + place))

    refill()
    return scene.worst(START + 30.0, scene.gateway.counters().cached_flows, refill=refill)


def a_flood_at_the_limit(scaled: Scaled) -> Worst:
    """New flows when as much is remembered, of many clients, as may be of all together."""
    count = 16
    clients = max(scaled(640_000) // (4 * count), 3)
    scene = Scene(_remembering(4 * count * clients))
    for number in range(clients):
        scene.connect(number)
        scene.give(number, CidrResource("company", "10.200.0.0/16"))
        _remember(scene, number, count)
    remembered, near = scene.gateway.counters().cached_flows, client_ip(0)
    flood = [
        Probe("flood", OUTBOUND, lambda n: tcp(near, n & 0xFFFF, _HOST + (n >> 16), 443)),
        Probe("flood in", INBOUND, lambda n: tcp(_HOST + (n >> 16), 443, near, n & 0xFFFF)),
    ]
    return scene.worst(START + 30.0, remembered, *flood * 4)


def _remembering(most: int) -> GatewayOptions:
    options: dict[str, Any] = {"max_remembered": most}
    return GatewayOptions(**options if "max_remembered" in fields_dict(GatewayOptions) else {})


# --- Limits of sessions ------------------------------------------------------------------


def a_full_port_search(_: Scaled) -> Worst:
    """A client that has taken all ports that are tried for another session."""
    scene, near = Scene(), client_ip(0)
    scene.connect(0)
    scene.give_name(0, 0, proxies=PORTS_TRIED + 1)
    for place in range(PORTS_TRIED):
        scene.send(udp(near, _NEW_PORT, _PROXIES + place, 53))
    search = Probe(
        "no port left", OUTBOUND, lambda _: udp(near, _NEW_PORT, _PROXIES + PORTS_TRIED, 53)
    )
    return scene.worst(START + 30.0, scene.sessions(), search)


def all_prolonged(scaled: Scaled) -> Worst:
    """A client at its limit that has gone on in every session since it opened it."""
    limit, near = scaled(16_384), client_ip(0)
    scene = Scene(GatewayOptions(max_sessions_per_client=limit))
    scene.connect(0)
    scene.give_name(0, 0)

    def refill() -> None:
        for place in range(limit):
            scene.gateway.handle_packet(OUTBOUND, udp(near, _FIRST_PORT + place, _PROXIES, 53))

    refill()
    scene.now += 10.0
    refill()
    size = scene.sessions()
    return scene.worst(START + 30.0, size, _of_new_sessions(0), refill=refill)


def all_prolonged_of_many(scaled: Scaled) -> Worst:
    """The limit of all reached by 10,000 clients, who have gone on in every session."""
    each = 100
    clients = max(scaled(1_000_000) // each, 3)
    scene = Scene(GatewayOptions(max_sessions=clients * each + 1))
    for number in range(clients):
        scene.connect(number)
        scene.give_name(number, 0)
        scene.open_sessions(number, each)
    scene.now += 10.0
    for number in range(clients):
        scene.open_sessions(number, each)
    size = scene.sessions()
    return scene.worst(START + 30.0, size, *(_of_new_sessions(number) for number in range(3)))


def _of_new_sessions(number: int) -> Probe:
    near = client_ip(number)
    ports = cycled(_NEW_PORT, 20_000)
    return Probe("gives way", OUTBOUND, lambda n: udp(near, ports(n), _PROXIES, 53))


# --- Flow records ------------------------------------------------------------------------


def records_that_are_idle(scaled: Scaled) -> Worst:
    """A million open flow records, all of them idle."""
    scene, clients = Scene(GatewayOptions(flow_records=True)), 245
    each = min(scaled(1_000_000) // clients, MAX_RECORDS)
    for number in range(clients):
        scene.connect(number)
        scene.give(number, CidrResource("company", "10.200.0.0/16"))
        for place in range(each):
            scene.send(udp(client_ip(number), _FIRST_PORT + place, _HOST, 53))
    size = scene.gateway.counters().recorded_flows or 0
    return scene.worst(START + IDLE + 1.0, size)


def refusals_that_are_due(scaled: Scaled) -> Worst:
    """Refused packets of 10,000 clients, all to be reported at one moment."""
    scene = Scene(GatewayOptions(flow_records=True))
    clients = scaled(90_000) // (FAR_ENDS + 1)
    for number in range(clients):
        scene.connect(number)
        for place in range(FAR_ENDS + 1):
            packet = tcp(client_ip(number), 1, _STRANGER + place, 22)
            assert not scene.gateway.handle_packet(OUTBOUND, packet, START).allowed
    return scene.worst(START + GATHERED, clients * (FAR_ENDS + 1))


STATES: Final[dict[str, Build]] = {
    build.__name__.replace("_", " "): build
    for build in (
        sessions_of_64_clients,
        sessions_of_one_client,
        names_with_sessions,
        ends_that_are_remembered,
        flows_of_stateful_end_at_once,
        flows_of_one_authorization_end,
        all_flows_prolonged_at_max_flows,
        networks_of_one_client,
        networks_and_proxies,
        authorizations_of_few,
        authorizations_of_many,
        resources_of_one_network,
        resources_of_one_network_expire,
        fragments_that_are_over,
        a_full_flow_cache,
        inbound_flows_taken_over,
        a_flood_at_the_limit,
        a_full_port_search,
        all_prolonged,
        all_prolonged_of_many,
        records_that_are_idle,
        refusals_that_are_due,
    )
}
"""Each by its name."""


@frozen
class Call:
    """A call in such a state, and what it is of."""

    kind: str
    run: Callable[[], object]

    @property
    def is_packet(self) -> bool:
        return self.kind not in UPKEEP


UPKEEP: Final = ("handle_timeout", "poll_event")
"""The kinds of calls that a host makes when it is idle."""


def calls(worst: Worst, rounds: int) -> Iterator[Call]:
    """Yield what comes in *rounds*: each kind of packet, and then what an idle host calls.

    Each packet has a time of its own, a millionth of a second behind the one before.
    """
    gateway, now = worst.gateway, worst.now
    for nth in range(rounds):
        if worst.refill is not None and nth:
            worst.refill()
        for probe in worst.probes:
            now += 1e-6
            arguments = (probe.direction, probe.packet(nth), now, probe.client_id)
            yield Call(probe.kind, partial(gateway.handle_packet, *arguments))
        yield Call("handle_timeout", partial(gateway.handle_timeout, now))
        yield Call("poll_event", gateway.poll_event)
