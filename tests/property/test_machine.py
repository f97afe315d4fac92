"""Machines that interleave lifecycle, packets and time as hypothesis wants it.

Random stories go further; these shrink to the shortest sequence of calls that matters.
"""

from collections.abc import Sequence

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from firezone_filter import (
    CidrResource,
    Direction,
    DnsResource,
    Filter,
    Icmp,
    Resource,
    Tcp,
    Translate,
    TunnelAddresses,
)
from tests.property.clocked import Clocked, numbers
from tests.property.pools import (
    CLIENTS,
    DOMAINS,
    INBOUND,
    OUTBOUND,
    OWN,
    PROXIES,
    RESOLVED,
    TUNNEL,
)
from tests.property.strategies import (
    filters,
    flags,
    kinds,
    ports,
    resources,
    versions,
    whole,
    whole_packets,
)
from tests.property.wire import error_about, opposite, turned
from tests.scenes import at

Filters = tuple[Filter, ...]

clients = st.sampled_from((*CLIENTS, "nobody"))
ids = st.sampled_from(("cidr-0", "cidr-1", "internet", "dns-0", "dns-1"))
lifetimes = st.sampled_from((None, None, -1.0, 0.0, 30.0, 1000.0))
mostly_none = st.one_of(st.just(()), st.just(()), filters)
packets_out, packets_in = whole_packets(OUTBOUND), whole_packets(INBOUND)

ROOMY = (
    CidrResource("cidr-0", "10.0.0.0/8"),
    CidrResource("cidr-1", "fd10::/16", [Tcp(), Icmp()]),
    DnsResource("dns-0", "*.example.com"),
)
"""What lets most packets pass."""


class Lifecycle(Clocked):
    """Everything that a portal, a host and three clients can do."""

    @initialize(granted=st.lists(st.tuples(clients, resources), min_size=2, max_size=8))
    def begin(self, granted: list[tuple[str, Resource]]) -> None:
        self.passed: list[tuple[Direction, bytes]] = []
        for number in range(3):
            self.connect(number, number, "both")
        for client_id, resource in [*(("alice", one) for one in ROOMY), *granted]:
            self.twins.call("authorize", client_id, resource)
        self.resolve("alice", "dns-0", DOMAINS[0], [PROXIES[4][0], PROXIES[6][0]], RESOLVED[4][:2])

    def connect(self, number: int, other: int, family: str) -> None:
        four = None if family == "ipv6" else TUNNEL[4][number]
        six = None if family == "ipv4" else TUNNEL[6][other]
        addresses = TunnelAddresses(four, six)
        self.twins.call("client_connected", CLIENTS[number], addresses, self.now)

    # One rule for all that takes much away: else there is hardly ever anything to take.
    @rule(hook=st.sampled_from(("connect", "disconnect", "retain", "move")), data=st.data())
    def begin_anew(self, hook: str, data: st.DataObject) -> None:
        match hook:
            case "connect":
                number, other = data.draw(st.integers(0, 2)), data.draw(st.integers(0, 2))
                family = data.draw(st.sampled_from(("both", "both", "ipv4", "ipv6")))
                self.connect(number, other, family)
            case "disconnect":
                self.twins.call("client_disconnected", data.draw(clients))
            case "retain":
                kept = data.draw(st.dictionaries(clients, st.sets(ids)))
                self.twins.call("retain_authorizations", kept)
            case _:
                taken = TunnelAddresses(TUNNEL[4][1])
                self.twins.call("set_addresses", data.draw(st.sampled_from((*OWN, taken))))

    @rule(client_id=clients, resource=resources, lifetime=lifetimes)
    def authorize(self, client_id: str, resource: Resource, lifetime: float | None) -> None:
        self.twins.call("authorize", client_id, resource, expires_at=self.until(lifetime))

    @rule(client_id=clients, resource_id=ids)
    def revoke(self, client_id: str, resource_id: str) -> None:
        self.twins.call("revoke", client_id, resource_id)

    @rule(resource=resources)
    def update_resource(self, resource: Resource) -> None:
        self.twins.call("update_resource", resource)

    @rule(client_id=clients, resource_id=ids, lifetime=lifetimes)
    def update_expiry(self, client_id: str, resource_id: str, lifetime: float | None) -> None:
        self.twins.call("update_expiry", client_id, resource_id, self.until(lifetime))

    @rule(
        client_id=clients,
        resource_id=st.sampled_from(("dns-0", "dns-1", "cidr-0")),
        domain=st.sampled_from(DOMAINS),
        proxies=st.lists(st.sampled_from((*PROXIES[4][:3], *PROXIES[6][:2])), max_size=4),
        resolved=st.lists(st.sampled_from((*RESOLVED[4], *RESOLVED[6])), max_size=4),
    )
    def resolve(
        self,
        client_id: str,
        resource_id: str,
        domain: str,
        proxies: list[str],
        resolved: Sequence[str],
    ) -> None:
        self.twins.call(
            "domain_resolved",
            client_id,
            resource_id,
            domain,
            proxy_addresses=proxies,
            resolved_addresses=resolved,
        )

    @rule(client_id=clients, domain=st.sampled_from(DOMAINS))
    def withdraw(self, client_id: str, domain: str) -> None:
        self.twins.call("domain_withdrawn", client_id, domain)

    @rule(packet=packets_out, client_id=st.one_of(st.none(), st.none(), clients))
    def a_packet_out(self, packet: bytes, client_id: str | None) -> None:
        self.decide(OUTBOUND, packet, client_id)

    @rule(packet=packets_in, client_id=st.one_of(st.none(), st.none(), clients))
    def a_packet_in(self, packet: bytes, client_id: str | None) -> None:
        self.decide(INBOUND, packet, client_id)

    @precondition(lambda self: self.passed)
    @rule(number=numbers, other_way=st.booleans())
    def more_of_what_passed(  # pragma: no cover - chance decides whether it is chosen
        self, number: int, *, other_way: bool
    ) -> None:
        direction, packet = self.passed[number % len(self.passed)]
        way = (opposite(direction), turned(packet)) if other_way else (direction, packet)
        self.decide(*way, None)

    @rule(packets=st.lists(packets_out, min_size=1, max_size=6))
    def a_batch_out(self, packets: list[bytes]) -> None:
        self.twins.packets(OUTBOUND, packets, self.now)

    @rule(packets=st.lists(packets_in, min_size=1, max_size=6))
    def a_batch_in(self, packets: list[bytes]) -> None:
        self.twins.packets(INBOUND, packets, self.now)

    def decide(self, direction: Direction, packet: bytes, client_id: str | None) -> None:
        decision = self.twins.packet(direction, packet, self.now, client_id)
        if (out := decision.to_send(packet)) is not None:
            self.passed = [*self.passed[-7:], (direction, out)]


class Translations(Clocked):
    """One client, two names, and the sessions that it has with them."""

    @initialize(first=mostly_none, second=mostly_none)
    def begin(self, first: Filters, second: Filters) -> None:
        self.resources = (
            DnsResource("dns-0", "*.example.com", first),
            DnsResource("dns-1", "**.example.com", second),
        )
        # What the client sent, and what became of it.
        self.flows: list[tuple[bytes, bytes]] = []
        self.reconnect()
        for number in range(2):
            self.grant(number, None)

    def reconnect(self) -> None:
        addresses = TunnelAddresses(TUNNEL[4][0], TUNNEL[6][0])
        self.twins.call("client_connected", "alice", addresses, self.now)

    @rule(number=st.integers(0, 1), lifetime=st.sampled_from((None, None, 30.0, 1000.0, -1.0)))
    def grant(self, number: int, lifetime: float | None) -> None:
        resource = self.resources[number]
        self.twins.call("authorize", "alice", resource, expires_at=self.until(lifetime))
        self.assign(number, number, [RESOLVED[4][0], *RESOLVED[6][:2]], number)

    @rule(
        number=st.integers(0, 1),
        name=st.integers(0, 1),
        resolved=st.lists(st.sampled_from((*RESOLVED[4][:2], *RESOLVED[6][:2])), max_size=3),
    )
    def resolve(self, number: int, name: int, resolved: list[str]) -> None:
        self.assign(number, name, resolved, name)

    @rule(
        how=st.sampled_from(("reconnect", "revoke", "update", "withdraw", "renumber")),
        number=st.integers(0, 1),
        changed=filters,
    )
    def take_away(self, how: str, number: int, changed: Filters) -> None:
        resource = self.resources[number]
        match how:
            case "reconnect":
                self.reconnect()
            case "revoke":
                self.twins.call("revoke", "alice", resource.id)
            case "update":
                self.twins.call(
                    "update_resource", DnsResource(resource.id, resource.address, changed)
                )
            case "withdraw":
                self.twins.call("domain_withdrawn", "alice", DOMAINS[number])
                # To the other name, which has addresses of its own.
                self.assign(number, 1 - number, [RESOLVED[4][1]], number)
            case _:
                # The proxy addresses of one name go to the other.
                self.assign(number, number, [RESOLVED[4][0], RESOLVED[6][0]], 1 - number)

    def assign(self, number: int, name: int, resolved: list[str], place: int) -> None:
        mine = slice(2 * place, 2 * place + 2)
        self.twins.call(
            "domain_resolved",
            "alice",
            f"dns-{number}",
            DOMAINS[name],
            proxy_addresses=[*PROXIES[4][mine], *PROXIES[6][mine]],
            resolved_addresses=resolved,
        )

    @rule(
        kind=kinds,
        version=versions,
        port=st.sampled_from((1, 2, 65_535, 5401)),
        proxy=st.integers(0, 3),
        resource_port=ports,
        flag=flags,
    )
    def send(  # noqa: PLR0913 - what makes a flow
        self, *, kind: str, version: int, port: int, proxy: int, resource_port: int, flag: int
    ) -> None:
        near = at(TUNNEL[version][0], port)
        far = at(PROXIES[version][proxy], resource_port)
        packet = whole(kind, f"{near} > {far}", b"data", flag=flag)
        decision = self.twins.packet(OUTBOUND, packet, self.now)
        if isinstance(decision, Translate):
            self.flows = [*self.flows[-7:], (packet, decision.packet)]

    @precondition(lambda self: self.flows)
    @rule(number=numbers, flag=flags)
    def send_again(self, number: int, flag: int) -> None:
        inner, _ = self.flows[number % len(self.flows)]
        # Turned twice, only the flags are others.
        self.twins.packet(OUTBOUND, turned(turned(inner), flag), self.now)

    @precondition(lambda self: self.flows)
    @rule(number=numbers, flag=flags)
    def receive(self, number: int, flag: int) -> None:
        _, outer = self.flows[number % len(self.flows)]
        self.twins.packet(INBOUND, turned(outer, flag), self.now)

    @precondition(lambda self: self.flows)
    @rule(number=numbers, cut=st.sampled_from((None, 28, 48)))
    def receive_an_error(self, number: int, cut: int | None) -> None:
        _, outer = self.flows[number % len(self.flows)]
        self.twins.packet(INBOUND, error_about(outer, cut), self.now)

    @precondition(lambda self: self.flows)
    @rule(number=numbers, cut=st.sampled_from((None, 28, 48)))
    def send_an_error(self, number: int, cut: int | None) -> None:
        inner, _ = self.flows[number % len(self.flows)]
        self.twins.packet(OUTBOUND, error_about(turned(inner), cut), self.now)


class StatefulLifecycle(Lifecycle):
    """The same where only answers come back."""

    stateful = True


class StatefulTranslations(Translations):
    """The same where only answers come back."""

    stateful = True


TestLifecycle = Lifecycle.TestCase
TestLifecycle.settings = settings(stateful_step_count=30)

TestStatefulLifecycle = StatefulLifecycle.TestCase
TestStatefulLifecycle.settings = TestLifecycle.settings

TestTranslations = Translations.TestCase
TestTranslations.settings = settings(max_examples=2 * settings().max_examples)

TestStatefulTranslations = StatefulTranslations.TestCase
