"""Random stories: hooks, packets and time, interleaved, as one source of randomness has it.

A story follows what goes on: it answers what passed, talks on in translated flows (a stateful
one in all flows), also when they have ended, and moves time to the moments at which something
does.
"""

import random

from firezone_filter import (
    CidrResource,
    Decision,
    Direction,
    DnsResource,
    Filter,
    Forward,
    GatewayOptions,
    InternetResource,
    Resource,
    Translate,
    TunnelAddresses,
)
from firezone_filter.testing import ACK, FIN, RST, SYN, icmp
from tests.model import packets
from tests.model.nat import near_port
from tests.numbers import TCP, UDP
from tests.property.pools import (
    CLIENTS,
    DOMAINS,
    EXCLUDED,
    EXCLUDES,
    FILTERS,
    INBOUND,
    JUST_BEFORE,
    NETWORKS,
    OUTBOUND,
    OWN,
    PATTERNS,
    PORTS,
    PROXIES,
    REBOUND,
    RESOLVED,
    STEPS,
    TUNNEL,
)
from tests.property.twins import Twins
from tests.property.wire import ANSWERS, Wire, flagged, opposite, turned, with_word

MAX_SEEN = 20
MAX_FLOWS = 10

# Mostly data; enough ends that both sides of many connections close.
TALK = (
    *((ACK,) * 24 + (FIN | ACK,) * 12 + (RST,) * 4 + (SYN,) * 4 + (SYN | ACK,) * 2),
    *(SYN | FIN, SYN | RST),
)


class Story:
    """One random story: the same calls to a gateway and to its model.

    Args:
        draw: what decides everything.
        stateful: whether only answers come back.
    """

    def __init__(self, draw: random.Random, *, stateful: bool = False) -> None:
        self.draw = draw
        self.wire = Wire(draw)
        pick = draw.choice
        options = GatewayOptions(
            reject=pick((True, True, True, False)),
            reject_rate=pick((0.0, 0.5, 64.0)),
            reject_burst=pick((0, 1, 3, 50)),
            own_filters=pick(FILTERS),
            max_sessions_per_client=pick((0, 3, 6, *(100,) * 9)),
            max_sessions=pick((4, 8, *(100,) * 8)),
            stateful=stateful,
            max_flows_per_client=pick((0, 2, 3, 5, *(100,) * 8)),
            max_flows=pick((4, 8, *(100,) * 6)),
        )
        self.stateful = stateful
        self.twins = Twins(OWN[0], options)
        self.now = pick((0.0, -8.0, 1024.0, 2.0**30))
        self.resources = self.draw_resources()
        self.seen: list[tuple[Direction, bytes]] = []
        self.flows: dict[object, tuple[bytes, bytes]] = {}
        self.waiting: list[tuple[Direction, bytes]] = []
        self.begin()

    def begin(self) -> None:
        """Connect everybody, and give them something to do."""
        for client_id, four, six in zip(CLIENTS, TUNNEL[4], TUNNEL[6], strict=True):
            self.twins.call("client_connected", client_id, TunnelAddresses(four, six))
        if self.sometimes(0.5):
            self.twins.call("handle_timeout", self.now)
        for _ in range(6):
            self.authorize()
        for client_id in CLIENTS:
            for resource in self.resources:
                likely = 0.8 if isinstance(resource, DnsResource) else 0.4 * self.stateful
                if self.sometimes(likely):
                    self.twins.call("authorize", client_id, resource, expires_at=None)
            for _ in range(4):
                self.resolve(client_id)

    def sometimes(self, probability: float) -> bool:
        return self.draw.random() < probability

    def draw_filters(self) -> tuple[Filter, ...]:
        return () if self.sometimes(0.5) else self.draw.choice(FILTERS)

    def draw_resources(self) -> list[Resource]:
        pick, filters = self.draw.choice, self.draw_filters
        return [
            *(self.draw_network(f"cidr-{n}", pick(NETWORKS[4])) for n in range(3)),
            *(self.draw_network(f"six-{n}", pick(NETWORKS[6])) for n in range(2)),
            InternetResource("internet", exclude=pick(EXCLUDES)),
            InternetResource("web"),
            *(DnsResource(f"dns-{n}", pattern, filters()) for n, pattern in enumerate(PATTERNS)),
        ]

    def draw_network(self, resource_id: str, network: str) -> CidrResource:
        exclude = EXCLUDED.get(network, ()) if self.sometimes(0.2) else ()
        return CidrResource(resource_id, network, self.draw_filters(), exclude=exclude)

    # --- Steps -------------------------------------------------------------------------------

    def tell(self, steps: int) -> None:
        for _ in range(steps):
            self.step()

    def step(self) -> None:
        """Let one thing happen: mostly a packet."""
        chance = self.draw.random()
        if chance < 0.80:
            self.packet()
        elif chance < 0.85:
            self.batch()
        elif chance < 0.88:
            self.tick()
        else:
            self.hook()
        if self.sometimes(0.1):
            self.twins.check()
        if self.sometimes(0.1):
            self.twins.events()
        if self.sometimes(0.02):
            self.twins.count()

    def time(self) -> float | None:
        """Draw a `now`: none, the latest, an earlier one, or one after a while."""
        if self.sometimes(0.1):
            return None
        if self.sometimes(0.06):
            self.now += self.draw.choice(STEPS)
        elif self.sometimes(0.06):
            self.now = max(self.now, self.moment() - self.draw.choice((0.0, JUST_BEFORE)))
        return self.now - self.draw.choice((0.0, 0.0, 0.0, 0.0, 7.0))

    def moment(self) -> float:
        """Return a moment at which something ends, one of the next."""
        ahead = sorted(moment for moment in self.twins.moments() if moment > self.now)
        return self.draw.choice(ahead[:3]) if ahead else self.now

    def tick(self) -> None:
        if self.sometimes(0.2):
            self.now += self.draw.choice((-4096.0, -64.0, -7.0, 0.0, 30.0, 240.0, 8192.0))
            self.twins.call("clock_set", self.now)
            return
        now = self.time()
        if now is not None:
            self.twins.call("handle_timeout", now)

    # --- Hooks -------------------------------------------------------------------------------

    def hook(self) -> None:
        change = (self.revoke, self.update, self.expiry, self.reset)
        self.draw.choice((self.authorize,) * 6 + (self.resolve,) * 3 + change)()
        if self.sometimes(0.2):
            self.twins.count()

    def reset(self) -> None:
        """Do what takes much away, not too often."""
        if self.sometimes(0.5):
            self.draw.choice((self.connect, self.retain, self.move))()

    def client(self) -> str:
        return self.draw.choice((*CLIENTS * 5, "nobody"))

    def connect(self) -> None:
        if self.sometimes(0.2):
            self.twins.call("client_disconnected", self.client())
            return
        number = self.draw.randrange(3)
        four, six = TUNNEL[4][number], TUNNEL[6][number]
        addresses = self.draw.choice(
            (
                *(TunnelAddresses(four, six),) * 6,
                TunnelAddresses(four, self.draw.choice(TUNNEL[6])),
                TunnelAddresses(ipv4=four),
                TunnelAddresses(ipv6=six),
                TunnelAddresses(ipv4=self.draw.choice((OWN[0].ipv4, "10.0.0.1"))),
            )
        )
        self.twins.call("client_connected", CLIENTS[number], addresses, self.time())

    def authorize(self) -> None:
        resource = self.draw.choice(self.resources)
        self.twins.call("authorize", self.client(), resource, expires_at=self.until())

    def until(self) -> float | None:
        if self.sometimes(0.6):
            return None
        step = self.draw.choice((-1.0, 0.0, 0.5, 30.0, 100.0, 1000.0, 1000.0, 2.0**31))
        return self.now + step

    def resource_id(self) -> str:
        return self.draw.choice(self.resources).id

    def revoke(self) -> None:
        self.twins.call("revoke", self.client(), self.resource_id())

    def update(self) -> None:
        """Change a resource; now and then into what it must not become."""
        number = self.draw.randrange(len(self.resources))
        new = self.draw_resources()[number]
        self.twins.call("update_resource", new)

    def expiry(self) -> None:
        self.twins.call("update_expiry", self.client(), self.resource_id(), self.until())

    def retain(self) -> None:
        kept = {self.client(): {self.resource_id() for _ in range(4)} for _ in range(3)}
        self.twins.call("retain_authorizations", kept)

    def move(self) -> None:
        taken = TunnelAddresses(TUNNEL[4][0], TUNNEL[6][0])
        self.twins.call("set_addresses", self.draw.choice((*OWN, taken)))

    def resolve(self, client_id: str | None = None) -> None:
        draw = self.draw
        client_id = client_id or self.client()
        # Each name mostly keeps to addresses of its own: others mean a renumbering.
        number = draw.randrange(2)
        of_name = slice(2 * number, 2 * number + 2)
        proxies = [*PROXIES[4][of_name], *PROXIES[6][of_name]]
        draw.shuffle(proxies)
        proxies = proxies[draw.randrange(3) :]
        if self.sometimes(0.05):
            proxies.append(draw.choice((*proxies, "10.0.0.1", "100.64.0.2")))
        resolved = draw.sample(
            (RESOLVED[4] + RESOLVED[6]) * 4 + REBOUND, draw.choice((0, *range(2, 9)))
        )
        held = [one for one in sorted(self.twins.held(client_id)) if "dns" in one]
        self.twins.call(
            "domain_resolved",
            client_id,
            draw.choice(held or ["dns-0", "dns-1", "dns-2", "cidr-0"]),
            DOMAINS[number] if self.sometimes(0.95) else draw.choice(DOMAINS),
            proxy_addresses=proxies,
            resolved_addresses=resolved,
        )

    # --- Packets -----------------------------------------------------------------------------

    def batch(self) -> None:
        direction = self.draw.choice((OUTBOUND, INBOUND))
        several = [self.build(direction) for _ in range(self.draw.randrange(4))]
        self.twins.packets(direction, several, self.time(), self.client_id())

    def client_id(self) -> str | None:
        return self.client() if self.sometimes(0.05) else None

    def packet(self) -> None:
        if self.waiting and self.sometimes(0.8):
            direction, packet = self.waiting.pop(0)
        else:
            direction = self.draw.choice((OUTBOUND, INBOUND))
            packet = self.build(direction)
        decision = self.twins.packet(direction, packet, self.time(), self.client_id())
        if not decision.allowed:
            return
        read = packets.parse(packet)
        assert read is not None
        if read.is_later_fragment:
            return
        self.seen.append((direction, packet))
        whole = read.fragment is None and not read.is_icmp_error
        if direction is OUTBOUND and whole and self.is_followed(decision):
            port = near_port(read, "OUTBOUND")
            key = decision.client_id, read.protocol, port, read.destination, read.icmp_type
            self.flows[key] = packet, decision.to_send(packet) or b""
        if len(self.flows) > MAX_FLOWS:
            del self.flows[self.draw.choice(list(self.flows))]
        del self.seen[:-MAX_SEEN]

    def is_followed(self, decision: Decision) -> bool:
        """Tell whether a packet out is one to talk on about."""
        if isinstance(decision, Translate):
            return True
        return self.stateful and isinstance(decision, Forward) and decision.resource_id is not None

    def build(self, direction: Direction) -> bytes:
        """Build a packet that may well be right for *direction*."""
        chance = self.draw.random()
        if self.flows and chance < 0.48:
            packet = self.talk(direction)
        elif self.seen and chance < 0.56:
            packet = self.answer(direction)
        elif chance < 0.66:
            packet = self.wire.error(self.quotable(opposite(direction)))
        else:
            packet = self.fresh(direction)
        if self.sometimes(0.05):
            return self.wire.spoiled(packet)
        if not self.waiting and self.sometimes(0.25) and is_whole(packet):
            first, *later = self.wire.pieces(packet)
            self.waiting = [(direction, piece) for piece in later]
            return first
        return packet

    def fresh(self, direction: Direction) -> bytes:
        """Build a packet out of nothing; outbound, often one that the NAT can translate."""
        ways = sorted(self.twins.ways()) if direction is OUTBOUND and self.sometimes(0.4) else []
        if not ways:
            if self.stateful and direction is OUTBOUND and self.sometimes(0.5):
                return self.beside()
            return self.wire.fresh(direction)
        near, proxy = self.draw.choice(ways)
        return self.wire.between(6 if ":" in near else 4, near, proxy)

    def talk(self, direction: Direction) -> bytes:
        """Go on in a flow that was translated once, or began, from either end."""
        inner, outer = self.draw.choice(list(self.flows.values()))
        flags = self.draw.choice(TALK)
        packet = flagged(inner, flags) if direction is OUTBOUND else turned(outer, flags)
        return self.elsewhere(packet, direction) if self.sometimes(0.08) else packet

    def beside(self) -> bytes:
        """Build a packet to where a name leads, by its address, perhaps from a session's port."""
        version = self.draw.choice((4, 6))
        _, outer = self.draw.choice([*self.flows.values(), (b"", b"")])
        if outer and self.sometimes(0.7):
            return self.elsewhere(outer, OUTBOUND) if self.sometimes(0.7) else outer
        near, far = self.draw.choice(TUNNEL[version]), self.draw.choice(RESOLVED[version])
        if self.sometimes(0.3):
            kind, rest = self.draw.choice(list(ANSWERS[version])), self.draw.randbytes(4)
            return icmp(f"{near} > {far}", kind, rest=rest)
        return self.wire.between(version, near, far)

    def elsewhere(self, packet: bytes, direction: Direction) -> bytes:
        """Let a packet have another port at the resource's end, or another ICMP type or id."""
        read = packets.parse(packet)
        if read is not None and read.is_icmp:
            if self.sometimes(0.5):
                word = self.draw.choice(PORTS).to_bytes(2)
                return with_word(packet, read.transport_at + 4, -2, word)
            kinds = ANSWERS[read.version]
            kind = self.draw.choice(list(kinds if direction is OUTBOUND else kinds.values()))
            return with_word(packet, read.transport_at, 2, bytes([kind, 0]))
        if read is None or read.protocol not in (TCP, UDP):
            return packet
        place = read.transport_at + (2 if direction is OUTBOUND else 0)
        checksum = read.transport_at + (16 if read.protocol == TCP else 6) - place
        return with_word(packet, place, checksum, self.draw.choice(PORTS).to_bytes(2))

    def answer(self, direction: Direction) -> bytes:
        """Build what could come back for a packet that passed, or the packet again."""
        came, packet = self.draw.choice(self.seen)
        return packet if came is direction or self.sometimes(0.1) else turned(packet)

    def quotable(self, direction: Direction) -> bytes:
        """Build what an error can be about: a packet that goes in *direction*."""
        chance = self.draw.random()
        if self.flows and chance < 0.6:
            # Errors quote what their sender saw: beyond the NAT, or before it.
            inner, outer = self.draw.choice(list(self.flows.values()))
            return outer if direction is OUTBOUND else turned(inner)
        passed = [packet for came, packet in self.seen if came is direction]
        if passed and chance < 0.8:
            return self.draw.choice(passed)
        return self.wire.fresh(direction)


def is_whole(packet: bytes) -> bool:
    """Tell whether a packet can be cut into fragments by `Wire.pieces`."""
    read = packets.parse(packet)
    return read is not None and read.fragment is None
