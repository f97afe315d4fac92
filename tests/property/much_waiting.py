"""Stories in which very much ends at one moment, and very few calls follow.

A gateway forgets what is over a little at a time, so that after such a moment most of it still
waits to be taken apart, while packets and hooks meet it. Nobody may notice.
"""

import random
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from itertools import product
from typing import Any, Final

from attrs import evolve, frozen
from hypothesis import strategies as st

from firezone_filter import (
    CidrResource,
    Direction,
    DnsResource,
    Event,
    Gateway,
    GatewayOptions,
    InternetResource,
    Tcp,
    Translate,
    TunnelAddresses,
    Udp,
)
from firezone_filter.testing import ACK, FIN, RST, SYN, fragment, icmp_echo, icmp_error, tcp, udp
from tests.property.pools import INBOUND, JUST_BEFORE, OUTBOUND, OWN
from tests.property.recorded import ACCESS, RecordedTwins, in_order, told
from tests.property.twins import Told, Twins, settle, told_event
from tests.property.wire import turned

END: Final = 4_096.0
"""The moment at which nearly everything is over."""

SOON: Final = 30.0
"""How long after it the second wave is."""

MANY_EVENTS: Final = 1_000_000
"""More than there ever are."""

Act = Callable[["MuchWaiting"], None]
Named = CidrResource | DnsResource


@frozen
class Size:
    """How much there is."""

    clients: int
    names: int
    """DNS resources of each client, each with a proxy address of either family."""
    networks: int
    """CIDR resources of each client."""
    sessions: int
    """NAT sessions of each client that are over at the end; at most 4,096, since which of more
    are remembered is left open."""

    @property
    def ends(self) -> int:
        return self.clients * (self.names + self.networks + self.sessions)


def tight(size: Size, options: GatewayOptions) -> GatewayOptions:
    """Leave room for hardly more sessions, and remembered decisions, than there are."""
    options = evolve(
        options,
        max_sessions_per_client=size.sessions + 2,
        max_sessions=size.clients * size.sessions + 3,
        # With the direct flows, of which each client begins up to three.
        max_flows_per_client=size.sessions + 5,
        max_flows=size.clients * (size.sessions + 3) + 3,
    )
    few: dict[str, Any] = {"max_remembered": 8}
    return evolve(options, **few)


def next_event(gateway: Gateway, now: float) -> Event | None:
    """Return the next event as a host gets it: `None` may also mean that there is more to do."""
    while (event := gateway.poll_event()) is None:
        due = gateway.poll_timeout()
        if due is None or due > now:
            return None
        gateway.handle_timeout(now)
    return event


class Fetching(Twins):
    """Twins whose events are fetched a few at a time."""

    def fetch(self, most: int, now: float) -> int:
        """Fetch up to so many events of both, and compare them; return how many there were."""
        for number in range(most):
            ours, theirs = next_event(self.gateway, now), self.model.poll_event()
            mine = None if ours is None else told_event(ours)
            assert mine == theirs, self.explain(mine, theirs)
            if ours is None:
                return number
        return most


class FetchingRecords(RecordedTwins, Fetching):
    """The same, with flow records; what is compared costs more, and only when asked for."""

    def __init__(self, addresses: TunnelAddresses, options: GatewayOptions) -> None:
        super().__init__(addresses, options)
        self._ours: list[Told] = []
        self._theirs: list[Told] = []

    def fetch(self, most: int, now: float) -> int:
        for number in range(most):
            ours, theirs = next_event(self.gateway, now), self.model.poll_event()
            assert (ours is None) == (theirs is None), self.explain(ours, theirs)
            if isinstance(ours, ACCESS):
                assert next_event(self.plain, now) == ours
            if ours is None or theirs is None:
                # In what order flows end that are noticed together is left open.
                mine, others = in_order(self._ours), in_order(self._theirs)
                assert mine == others, self.explain(mine[-40:], others[-40:])
                return number
            self._ours.append(told(ours))
            self._theirs.append(theirs)
        return most

    def count(self) -> None:
        super().check_counters()

    def check_counters(self) -> None:
        """Leave it to `count`."""

    def check_that_nothing_is_due(self) -> None:
        """Leave it to `MuchWaiting.settle`: as long as more waits, something is."""


class MuchWaiting:
    """A gateway and its model, brought to the moment at which all is over."""

    def __init__(
        self,
        draw: random.Random,
        size: Size,
        *,
        recorded: bool = False,
        limits: bool = False,
        stateful: bool = False,
    ) -> None:
        self.draw = draw
        self.size = size
        options = GatewayOptions(reject_rate=0.5, reject_burst=3, stateful=stateful)
        if limits:
            options = tight(size, options)
        self.twins: Fetching = (FetchingRecords if recorded else Fetching)(OWN[0], options)
        self.twins.log.insert(0, f"{size} {recorded=} {limits=} {stateful=}")
        self.now = END - 240.0
        self.spread = draw.choice((0.0, 0.0, JUST_BEFORE / 1024))
        self.clients = [f"client-{number}" for number in range(size.clients)]
        self.resources: list[Named] = [
            *(name(number) for number in range(size.names)),
            *(network(number) for number in range(size.networks)),
        ]
        self.sent: list[tuple[bytes, bytes]] = []
        """What clients sent to names, and what became of it."""
        self.direct: list[bytes] = []
        """What clients sent to networks."""
        self.later: list[tuple[Direction, bytes]] = []
        """Later fragments of what passed."""
        self.build()

    # --- Before ------------------------------------------------------------------------------

    def build(self) -> None:
        """Let sessions of each kind, fragments and permissions end at one moment."""
        for number in range(self.size.clients):
            self.connect(number)
        # Set in another order than that of the clients: those that are set first end first.
        given = [(client, one) for client in self.clients for one in self.resources]
        self.draw.shuffle(given)
        for place, (client, resource) in enumerate(given):
            self.twins.call("authorize", client, resource, expires_at=END + place * self.spread)
        for client in self.clients:
            for number in range(self.size.names):
                self.resolve(client, f"dns-{number}", number)
        # What stays, and keeps the proxies of the first name.
        for client in self.clients[::2]:
            self.twins.call("authorize", client, WILD)
            self.resolve(client, WILD.id, 0)
            self.twins.call("authorize", client, InternetResource("internet"))
        self.open_all()
        self.now = END - 30.0
        for number, place in product(range(self.size.clients), range(min(self.size.networks, 3))):
            self.send_directly(number, place)
            self.send_fragments(number, place)
        self.sessions_at_the_end = self.twins.gateway.counters().nat_sessions

    def open_all(self) -> None:
        """Open sessions of each kind, so that all are over at the same moment."""
        third = max(self.size.sessions // 3, 1)
        for begins, first, last, how in (
            (END - 240.0, 0, third, self.close),
            (END - 120.0, third, 2 * third, self.answer),
            (END - 60.0, 2 * third, self.size.sessions, self.leave),
        ):
            self.now = begins
            for number, client in enumerate(self.clients):
                for place in range(first, last):
                    how(number, client, place)

    def connect(self, number: int) -> None:
        client = f"client-{number}"
        self.twins.call("client_connected", client, addresses_of(number), self.now)

    def resolve(self, client: str, resource_id: str, number: int, *, anew: int = 0) -> None:
        """Resolve a name; *anew*: to other addresses, or the proxies as those of another name."""
        domain = f"n{number + (1_000 if anew == 2 else 0)}.example.com"
        self.twins.call(
            "domain_resolved",
            client,
            resource_id,
            domain,
            proxy_addresses=proxies_of(number),
            resolved_addresses=[real_of(number + anew, 4), real_of(number + anew, 6)],
        )

    def session(self, number: int, place: int, kind: str, flags: int = SYN) -> bytes:
        """Build the packet that opens a session: with many names, to one after the other."""
        version = 6 if place % 5 == 4 else 4
        near = near_of(number, version)
        far = proxies_of(place % max(self.size.names, 1))[version == 6]
        port = 1_024 + place // 2
        if kind == "echo":
            return icmp_echo(f"{near} > {far}", identifier=port)
        flow = flow_text(near, port, far, 443)
        return tcp(flow, flags=flags) if kind == "tcp" else udp(flow, b"data")

    def close(self, number: int, client: str, place: int) -> None:
        self.send(self.session(number, place, "tcp", FIN | ACK), client)
        self.receive(self.sent[-1][1], FIN | ACK)

    def answer(self, number: int, client: str, place: int) -> None:
        self.send(self.session(number, place, self.draw.choice(("udp", "echo"))), client)
        self.receive(self.sent[-1][1])

    def leave(self, number: int, client: str, place: int) -> None:
        self.send(self.session(number, place, self.draw.choice(("udp", "tcp", "echo"))), client)

    def send(self, packet: bytes, client: str | None = None) -> None:
        decision = self.twins.packet(OUTBOUND, packet, self.now, client)
        if isinstance(decision, Translate):
            self.sent.append((packet, decision.packet))

    def receive(self, outer: bytes, flags: int | None = None) -> None:
        self.twins.packet(INBOUND, turned(outer, flags), self.now)

    def send_directly(self, number: int, place: int) -> None:
        packet = tcp(flow_text(near_of(number, 4), 2_000 + place, host_of(place), 443), flags=SYN)
        if self.twins.packet(OUTBOUND, packet, self.now).allowed:
            self.direct.append(packet)
            self.twins.packet(INBOUND, turned(packet, SYN | ACK), self.now)

    def send_fragments(self, number: int, place: int) -> None:
        """Send the first fragments of a direct packet and of a translated one."""
        direct = udp(flow_text(near_of(number, 4), 3_000 + place, host_of(place), 53), bytes(64))
        for whole in (direct, *(inner for inner, _ in self.sent[-1:])):
            first = fragment(whole, 0, 24, more=True, identification=place)
            self.twins.packet(OUTBOUND, first, self.now)
            self.later.append((OUTBOUND, fragment(whole, 24, None, identification=place)))
        first = fragment(turned(direct), 0, 24, more=True, identification=place)
        self.twins.packet(INBOUND, first, self.now)
        self.later.append((INBOUND, fragment(turned(direct), 24, identification=place)))

    # --- The end, and after ------------------------------------------------------------------

    def end(self, how: str) -> None:
        """Let the moment come."""
        self.now = END
        if how == "timeout":
            self.twins.call("handle_timeout", self.now)
        elif how == "connection":
            self.connect(self.size.clients)
        elif how == "clock":
            self.twins.call("clock_set", self.now)
        else:
            self.twins.packet(OUTBOUND, b"", self.now)

    def act(self, kind: str, seed: int) -> None:
        """Let one thing happen, its particulars drawn by *seed*."""
        self.draw = random.Random(seed)
        ACTS[kind](self)

    def finish(self) -> None:
        """Let a host follow the timeouts to the end, and compare all that is left."""
        self.settle()
        self.twins.check()
        self.twins.count()
        self.twins.fetch(MANY_EVENTS, self.now)
        self.now += 16_384.0
        self.twins.call("handle_timeout", self.now)
        self.settle()
        self.twins.fetch(MANY_EVENTS, self.now)
        self.twins.check()
        self.twins.count()
        assert self.twins.gateway.counters().nat_sessions == 0
        assert self.twins.gateway.counters().flows == 0

    def settle(self) -> None:
        """Call `handle_timeout` as long as more waits."""
        settle(self.twins.gateway, self.now)
        if isinstance(self.twins, FetchingRecords):
            settle(self.twins.plain, self.now)
        self.twins.call("handle_timeout", self.now)

    # --- What may happen ---------------------------------------------------------------------

    def client(self) -> str:
        return self.draw.choice(self.clients)

    def number(self) -> int:
        return self.draw.randrange(self.size.clients)

    def resource(self) -> Named:
        return self.draw.choice((*self.resources, WILD))

    def until(self) -> float | None:
        return self.draw.choice((None, None, self.now, self.now - 1.0, END + SOON, self.now + 1.0))

    def some(self) -> Iterator[tuple[bytes, bytes]]:
        for _ in range(min(len(self.sent), self.draw.randrange(1, 4))):
            yield self.draw.choice(self.sent)

    def talk_on(self) -> None:
        for inner, _ in list(self.some()):
            self.send(turned(turned(inner), self.draw.choice((ACK, SYN, FIN | ACK, RST))))

    def hear(self) -> None:
        for _, outer in self.some():
            self.receive(outer, self.draw.choice((ACK, FIN | ACK, RST)))

    def hear_errors(self) -> None:
        for _, outer in self.some():
            six = outer[0] >> 4 == 6
            source, near = ("2600:99::1", outer[8:24]) if six else ("192.0.2.9", outer[12:16])
            flow = f"{source} > {ip_address(near)}"
            error = icmp_error(flow, 3, 0 if six else 1, quoting=outer[:68])
            self.twins.packet(INBOUND, error, self.now)

    def send_errors(self) -> None:
        for inner, _ in self.some():
            back, six = turned(inner), inner[0] >> 4 == 6
            near, far = (inner[8:24], inner[24:40]) if six else (inner[12:16], inner[16:20])
            flow = f"{ip_address(near)} > {ip_address(far)}"
            error = icmp_error(flow, 1 if six else 3, 4 if six else 3, quoting=back[:68])
            self.twins.packet(OUTBOUND, error, self.now)

    def open_sessions(self) -> None:
        number, first = self.number(), self.draw.randrange(20_000, 60_000)
        for place in range(first, first + self.draw.randrange(1, 8)):
            self.send(self.session(number, place, self.draw.choice(("udp", "tcp", "echo"))))

    def talk_directly(self) -> None:
        if self.direct:
            packet = self.draw.choice(self.direct)
            self.twins.packet(OUTBOUND, turned(turned(packet), ACK), self.now)
            self.twins.packet(INBOUND, turned(packet, ACK), self.now)

    def try_networks(self) -> None:
        self.send_directly(self.number(), self.draw.randrange(max(self.size.networks, 1)))

    def later_fragments(self) -> None:
        if self.later:
            for direction, packet in self.draw.choices(self.later, k=3):
                self.twins.packet(direction, packet, self.now)

    def new_fragments(self) -> None:
        self.send_fragments(self.number(), self.draw.randrange(max(self.size.networks, 1)))

    def batch(self) -> None:
        several = [inner for inner, _ in self.some()]
        several += [*self.direct[-2:], b"\x45"]
        self.twins.packets(OUTBOUND, several, self.now)

    def again(self) -> None:
        number = self.number()
        self.connect(number)
        if self.draw.random() < 0.5:
            self.twins.call("authorize", f"client-{number}", self.resource())

    def disconnect(self) -> None:
        self.twins.call("client_disconnected", self.client())

    def give(self) -> None:
        """Authorize for what has mostly just expired, and resolve its name again."""
        client, place = self.client(), self.draw.randrange(len(self.resources))
        resource: Named = self.resources[place]
        if self.draw.random() < 0.2:
            # The id is free for something else, once it has expired.
            resource = CidrResource(resource.id, "10.250.0.0/16", [Udp()])
        self.twins.call("authorize", client, resource, expires_at=self.until())
        if self.draw.random() < 0.6:
            self.resolve(client, resource.id, place, anew=self.draw.randrange(3))

    def take(self) -> None:
        self.twins.call("revoke", self.client(), self.resource().id)

    def change(self) -> None:
        """Change a resource for all that have it, if there are any left."""
        resource = self.resource()
        filters = self.draw.choice(((), (Tcp(443),), (Udp(),)))
        self.twins.call("update_resource", evolve(resource, filters=filters))

    def expiry(self) -> None:
        self.twins.call("update_expiry", self.client(), self.resource().id, self.until())

    def retain(self) -> None:
        kept = {
            client: {one.id for one in self.draw.sample(self.resources, k=1)} | {WILD.id}
            for client in self.clients
            if self.draw.random() < 0.7
        }
        self.twins.call("retain_authorizations", kept)

    def resolve_again(self) -> None:
        """Resolve a name by a resource that is there or has just expired."""
        number = self.draw.randrange(max(self.size.names, 1))
        resource_id = self.draw.choice((f"dns-{number}", WILD.id))
        self.resolve(self.client(), resource_id, number, anew=self.draw.randrange(3))

    def move(self) -> None:
        self.twins.call("set_addresses", self.draw.choice(OWN))

    def set_clock(self) -> None:
        self.now += self.draw.choice((-64.0, -1.0, 0.0, 1.0, 240.0))
        self.twins.call("clock_set", self.now)

    def look(self) -> None:
        self.twins.check()

    def count(self) -> None:
        self.twins.count()

    def fetch(self) -> None:
        self.twins.fetch(self.draw.choice((1, 2, 5, 40)), self.now)

    def timeout(self) -> None:
        self.twins.call("handle_timeout", self.now)

    def wait(self) -> None:
        """Let a little time pass, or as much as until more is over."""
        self.now += self.draw.choice((JUST_BEFORE, JUST_BEFORE, 1.0, SOON, 60.0, 240.0))
        self.twins.packet(OUTBOUND, b"", self.now)


ACTS: Final[dict[str, Act]] = {
    "talk on": MuchWaiting.talk_on,
    "hear": MuchWaiting.hear,
    "hear errors": MuchWaiting.hear_errors,
    "send errors": MuchWaiting.send_errors,
    "open sessions": MuchWaiting.open_sessions,
    "talk directly": MuchWaiting.talk_directly,
    "try networks": MuchWaiting.try_networks,
    "later fragments": MuchWaiting.later_fragments,
    "new fragments": MuchWaiting.new_fragments,
    "batch": MuchWaiting.batch,
    "again": MuchWaiting.again,
    "disconnect": MuchWaiting.disconnect,
    "give": MuchWaiting.give,
    "take": MuchWaiting.take,
    "change": MuchWaiting.change,
    "expiry": MuchWaiting.expiry,
    "retain": MuchWaiting.retain,
    "resolve again": MuchWaiting.resolve_again,
    "move": MuchWaiting.move,
    "set clock": MuchWaiting.set_clock,
    "look": MuchWaiting.look,
    "count": MuchWaiting.count,
    "fetch": MuchWaiting.fetch,
    "timeout": MuchWaiting.timeout,
    "wait": MuchWaiting.wait,
}
"""Everything that a host, a portal and clients can do after the end."""

WILD: Final = DnsResource("wild", "**.example.com")


# --- Addresses -------------------------------------------------------------------------------


def addresses_of(number: int) -> TunnelAddresses:
    return TunnelAddresses(near_of(number, 4), near_of(number, 6))


def near_of(number: int, version: int) -> str:
    first = "100.64.1.0" if version == 4 else "fd00:2021:1111::1:0"
    return str(ip_address(first) + number)


def name(number: int) -> DnsResource:
    return DnsResource(f"dns-{number}", f"n{number}.example.com")


def network(number: int) -> CidrResource:
    return CidrResource(f"cidr-{number}", f"10.{number >> 8}.{number & 255}.0/24")


def host_of(number: int) -> str:
    return f"10.{number >> 8}.{number & 255}.5"


def proxies_of(number: int) -> list[str]:
    return [
        str(ip_address("100.96.0.1") + number),
        str(ip_address("fd00:2021:1111:8000::1") + number),
    ]


def real_of(number: int, version: int) -> str:
    """Return what is behind a name: few, so that sessions compete for ports."""
    return f"198.51.100.{number % 7 + 1}" if version == 4 else f"2600::{number % 7 + 1}"


def flow_text(near: str, port: int, far: str, far_port: int) -> str:
    if ":" in near:
        return f"[{near}]:{port} > [{far}]:{far_port}"
    return f"{near}:{port} > {far}:{far_port}"


HOWS: Final = ("timeout", "packet", "connection", "clock")
"""How the moment may come."""

acts = st.lists(st.tuples(st.sampled_from(sorted(ACTS)), st.integers(0, 2**16)), max_size=30)
"""What happens then: acts, each with the seed of its particulars."""
