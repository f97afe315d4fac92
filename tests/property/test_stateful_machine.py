"""A machine for the flows of `stateful`: two clients, one host, and all that can happen to them.

Random stories go further; this shrinks to the shortest sequence of calls that matters.
"""

from attrs import evolve
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from firezone_filter import (
    CidrResource,
    Direction,
    DnsResource,
    GatewayOptions,
    Icmp,
    Tcp,
    TunnelAddresses,
)
from firezone_filter.testing import ACK, FIN, RST, SYN, fragment, icmp, ip
from tests.numbers import GRE
from tests.property.clocked import Clocked, numbers
from tests.property.policies import resolve
from tests.property.pools import CLIENTS, DOMAINS, INBOUND, JUST_BEFORE, OUTBOUND, PROXIES, TUNNEL
from tests.property.strategies import versions, whole
from tests.property.wire import error_about, turned, version_of
from tests.scenes import at

Named = CidrResource | DnsResource

WIDE = CidrResource("wide", "10.0.0.0/8")
NARROW = CidrResource("narrow", "10.0.0.0/24")
SIX = CidrResource("six", "fd10::/16")
NAMES = DnsResource("names", "*.example.com")
OTHER_NAMES = DnsResource("other-names", "**.example.com")
RESOURCES: tuple[Named, ...] = (WIDE, NARROW, SIX, NAMES, OTHER_NAMES)

FAR = {
    4: ("10.0.0.5", PROXIES[4][0], PROXIES[4][2]),
    6: ("fd10::5", PROXIES[6][0], PROXIES[6][2]),
}
"""A host, and two names for it: the second takes other ports, or those of the host's own flows."""

TURNS = (
    *(SYN, SYN, ACK, ACK, FIN | ACK, FIN | ACK, RST, RST | ACK, SYN | ACK),
    *(SYN | FIN, SYN | RST, FIN | RST),
)
SCRIPTS = (
    *((0, 0), (0, SYN | ACK), (FIN | ACK, 0), (FIN | ACK, SYN | ACK)),
    *((0, FIN | ACK), (FIN | ACK, FIN | ACK), (0, RST), (ACK, RST)),
)
"""Flags of what comes back for a SYN, behind those of what the client sends then; 0: nothing."""

KINDS = ("tcp", "tcp", "tcp", "udp", "echo", "request", "gre")
REQUESTS = {4: (13, 15, 17, 42), 6: (139, 160)}

clients = st.sampled_from((0, 0, 0, 1))
flags = st.sampled_from(TURNS)
kinds = st.sampled_from(KINDS)
hosts = st.integers(0, 2)
ports = st.sampled_from((443, 80))
near_ports = st.sampled_from((1, 2))


End = tuple[str, int]
"""An address and a port."""


def packet_of(kind: str, near: End, far: End, flag: int) -> bytes:
    """Build a packet from a client."""
    path = f"{near[0]} > {far[0]}"
    if kind == "request":
        types = REQUESTS[6 if ":" in path else 4]
        return icmp(path, types[near[1] % len(types)])
    if kind == "gre":
        return ip(path, GRE, b"data")
    return whole(kind, f"{at(*near)} > {at(*far)}", b"data", flag=flag)


class Flows(Clocked):
    """Two clients that talk to one host, by its address and by two names."""

    stateful = True

    def options(self) -> GatewayOptions:
        return evolve(super().options(), max_flows_per_client=3, max_flows=4)

    @initialize()
    def begin(self) -> None:
        self.passed: list[tuple[bytes, bytes]] = []
        """What clients sent, and what became of it."""
        for number in range(2):
            self.connect(number)

    def connect(self, number: int) -> None:
        client_id, (four, six) = CLIENTS[number], (TUNNEL[4][number], TUNNEL[6][number])
        self.twins.call("client_connected", client_id, TunnelAddresses(four, six), self.now)
        for resource in (WIDE, SIX, NAMES):
            self.twins.call("authorize", client_id, resource)
        for name in range(2):
            resolve(self.twins, client_id, NAMES.id, name)

    # --- Permissions -------------------------------------------------------------------------

    @rule(client=clients, resource=st.sampled_from(RESOURCES), name=st.integers(0, 1))
    def give(self, client: int, resource: Named, name: int) -> None:
        """Give, or renew: of what is there already, no flow takes notice."""
        self.twins.call("authorize", CLIENTS[client], resource)
        if isinstance(resource, DnsResource):
            resolve(self.twins, CLIENTS[client], resource.id, name)

    @rule(
        how=st.sampled_from(("revoke", "retain", "expire", "update", "narrow", "reconnect")),
        client=clients,
        resource=st.sampled_from(RESOURCES),
        lifetime=st.sampled_from((0.0, 30.0, 240.0)),
    )
    def take(self, how: str, client: int, resource: Named, lifetime: float) -> None:
        client_id = CLIENTS[client]
        match how:
            case "revoke":
                self.twins.call("revoke", client_id, resource.id)
            case "retain":
                kept = {one.id for one in RESOURCES if one != resource}
                self.twins.call("retain_authorizations", dict.fromkeys(CLIENTS, kept))
            case "expire":
                self.twins.call("update_expiry", client_id, resource.id, self.until(lifetime))
            case "update":
                changed = evolve(resource, filters=[Tcp(443), Icmp.echo()])
                self.twins.call("update_resource", changed)
            case "narrow":
                self.twins.call("update_resource", evolve(WIDE, exclude=["10.0.0.5/32"]))
            case _:
                self.connect(client)
        self.receive_all()

    @rule(client=clients, name=st.integers(0, 1), is_given_away=st.booleans())
    def withdraw(self, client: int, name: int, *, is_given_away: bool) -> None:
        """Take a name; its proxies may go to the other, which is no renumbering."""
        client_id = CLIENTS[client]
        self.twins.call("domain_withdrawn", client_id, DOMAINS[name])
        is_given_away = is_given_away and NAMES.id in self.twins.held(client_id)
        if is_given_away:  # pragma: no branch - by chance
            resolve(self.twins, client_id, NAMES.id, 1 - name, place=name)
        self.receive_all()

    @rule(client=clients)
    def renumber(self, client: int) -> None:
        """Let the proxies of one name go to the other."""
        if NAMES.id in self.twins.held(CLIENTS[client]):  # pragma: no branch - by chance
            self.twins.call(
                "domain_resolved",
                CLIENTS[client],
                NAMES.id,
                "b.example.com",
                proxy_addresses=[PROXIES[4][0], PROXIES[6][0]],
                resolved_addresses=["10.0.0.5", "fd10::5"],
            )
        self.twins.count()

    # --- Packets -----------------------------------------------------------------------------

    @rule(
        client=clients,
        kind=kinds,
        version=versions,
        near_port=near_ports,
        host=hosts,
        port=ports,
        flag=flags,
    )
    def send(  # noqa: PLR0913 - what makes a flow
        self,
        *,
        client: int,
        kind: str,
        version: int,
        near_port: int,
        host: int,
        port: int,
        flag: int,
    ) -> None:
        near, far = (TUNNEL[version][client], near_port), (FAR[version][host], port)
        self.hand_in(OUTBOUND, packet_of(kind, near, far, flag))

    @rule(
        client=clients,
        scripts=st.lists(st.sampled_from(SCRIPTS), min_size=1, max_size=5),
        heard=st.lists(numbers, max_size=2),
    )
    def crowd(self, client: int, scripts: list[tuple[int, int]], heard: list[int]) -> None:
        """Bring flows to where they may give way or not, until there is no room."""
        for number, (sent, received) in enumerate(scripts):
            near, far = (TUNNEL[4][client], 10 + number), (FAR[4][number % 2], 443)
            self.hand_in(OUTBOUND, packet_of("tcp", near, far, SYN))
            if received and self.passed:
                self.hand_in(INBOUND, turned(self.passed[-1][1], received))
            if sent:
                self.hand_in(OUTBOUND, packet_of("tcp", near, far, sent))
        for number in heard if self.passed else ():
            self.receive(number, ACK)
        # The next finds those in another order.
        self.hand_in(OUTBOUND, packet_of("udp", (TUNNEL[4][client], 9), (FAR[4][0], 443), 0))
        self.receive_all()

    @rule(
        ending=st.sampled_from(((OUTBOUND, FIN | ACK), (INBOUND, FIN | ACK), (INBOUND, RST))),
        flag=st.sampled_from((SYN, SYN, SYN | FIN, SYN | ACK, ACK)),
        given=st.sampled_from((WIDE, NARROW)),
        taken=st.sampled_from((WIDE, NARROW, SIX)),
        wait=st.sampled_from((0.0, 60.0 - JUST_BEFORE, 60.0)),
    )
    def use_a_port_again(
        self, ending: tuple[Direction, int], flag: int, given: Named, taken: Named, wait: float
    ) -> None:
        """Let a connection begin where another ended, perhaps permitted by something else."""
        self.twins.call("revoke", CLIENTS[0], NARROW.id)
        near, far = (TUNNEL[4][0], 8), (FAR[4][0], 443)
        self.hand_in(OUTBOUND, packet_of("tcp", near, far, SYN))
        direction, last = ending
        packet = packet_of("tcp", near, far, last)
        self.hand_in(direction, packet if direction is OUTBOUND else turned(packet))
        self.twins.call("authorize", CLIENTS[0], given)
        self.hand_in(OUTBOUND, packet_of("tcp", near, far, flag))
        self.twins.call("revoke", CLIENTS[0], taken.id)
        self.now += wait
        self.receive_all()

    @rule(kind=kinds, version=versions, near_port=near_ports, port=ports, flag=flags)
    def receive_unasked(
        self, kind: str, version: int, near_port: int, port: int, flag: int
    ) -> None:
        near, far = (TUNNEL[version][0], near_port), (FAR[version][0], port)
        self.hand_in(INBOUND, turned(packet_of(kind, near, far, flag)))

    @precondition(lambda self: self.passed)
    @rule(number=numbers, flag=flags)
    def send_more(self, number: int, flag: int) -> None:
        inner, _ = self.passed[number % len(self.passed)]
        # Turned twice, only the flags are others.
        self.hand_in(OUTBOUND, turned(turned(inner), flag))

    @rule(number=numbers, early=st.sampled_from((0.0, JUST_BEFORE)))
    def receive_at_an_end_of_something(self, number: int, early: float) -> None:
        self.let_time_come_to_an_end_of_something(number, early)
        self.receive_all()

    def receive_all(self) -> None:
        """Let the resources say more in each flow: so it shows which of them live."""
        for _, outer in self.passed:
            self.twins.packet(INBOUND, turned(outer, ACK), self.now)

    @precondition(lambda self: self.passed)
    @rule(number=numbers, flag=flags)
    def receive(self, number: int, flag: int) -> None:
        _, outer = self.passed[number % len(self.passed)]
        self.hand_in(INBOUND, turned(outer, flag))

    @precondition(lambda self: self.passed)
    @rule(number=numbers, first=flags, then=flags)
    def close(self, number: int, first: int, then: int) -> None:
        """Let both ends say something at once: often enough that ends meet."""
        self.send_more(number, first)
        self.receive(number, then)

    @precondition(lambda self: self.passed)
    @rule(number=numbers, flag=flags)
    def send_directly(self, number: int, flag: int) -> None:
        """Send as it is what the NAT made of a packet: the two share what comes back."""
        _, outer = self.passed[number % len(self.passed)]
        self.hand_in(OUTBOUND, turned(turned(outer), flag))

    @precondition(lambda self: self.passed)
    @rule(number=numbers, cut=st.sampled_from((None, 28, 48)), inbound=st.booleans())
    def hand_in_an_error(self, number: int, cut: int | None, *, inbound: bool) -> None:
        inner, outer = self.passed[number % len(self.passed)]
        quote = outer if inbound else turned(inner)
        self.hand_in(INBOUND if inbound else OUTBOUND, error_about(quote, cut))

    @precondition(lambda self: self.passed)
    @rule(number=numbers, flag=flags, inbound=st.booleans(), wait=st.sampled_from((0.0, 29.0)))
    def hand_in_fragments(self, number: int, flag: int, *, inbound: bool, wait: float) -> None:
        inner, outer = self.passed[number % len(self.passed)]
        packet = turned(outer, flag) if inbound else turned(turned(inner), flag)
        header = (packet[0] & 15) * 4 if version_of(packet) == 4 else 40
        middle = (len(packet) - header) // 2 // 8 * 8
        direction = INBOUND if inbound else OUTBOUND
        if middle:
            self.twins.packet(direction, fragment(packet, 0, middle), self.now)
            self.now += wait
            self.twins.packet(direction, fragment(packet, middle, len(packet) - header), self.now)

    def hand_in(self, direction: Direction, packet: bytes) -> None:
        decision = self.twins.packet(direction, packet, self.now)
        if direction is OUTBOUND and (out := decision.to_send(packet)) is not None:
            self.passed = [*self.passed[-7:], (packet, out)]

    @rule()
    def count(self) -> None:
        self.twins.count()


class StatelessFlows(Flows):
    """The same without `stateful`: limits that do not apply change nothing."""

    stateful = False


TestFlows = Flows.TestCase
TestFlows.settings = settings(max_examples=4 * settings().max_examples, stateful_step_count=50)

TestStatelessFlows = StatelessFlows.TestCase
