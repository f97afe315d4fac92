"""A machine for flow records: few flows, and all that can happen to them.

Random stories go further; this shrinks to the shortest sequence of calls that matters.
"""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from firezone_filter import CidrResource, Direction, DnsResource, Tcp, TunnelAddresses
from firezone_filter.testing import ACK, FIN, RST, SYN, Layout, fragment, ip, patched
from tests.model.packets import parse
from tests.numbers import ESP, TCP
from tests.property.policies import UNLIMITED, resolve
from tests.property.pools import DOMAINS, INBOUND, JUST_BEFORE, OUTBOUND, OWN, PROXIES, TUNNEL
from tests.property.recorded import RecordedTwins
from tests.property.strategies import layouts, versions, whole
from tests.property.wire import turned, version_of
from tests.scenes import at

FOUR = CidrResource("four", "10.0.0.0/8")
SIX = CidrResource("six", "fd10::/16")
NAMES = DnsResource("names", "*.example.com")
RESOURCES = (FOUR, SIX, NAMES)

FAR = {4: ("10.0.0.5", PROXIES[4][0], PROXIES[4][2]), 6: ("fd10::5", PROXIES[6][0])}
"""A host, what stands for the same host, and another name for it."""

TURNS = (SYN, SYN, ACK, ACK, FIN | ACK, FIN | ACK, RST, SYN | ACK, SYN | FIN)
flags = st.sampled_from(TURNS)
numbers = st.integers(0, 7)

LATER = -1
"""Which of the fragments of a packet: the second of two."""


class Records(RuleBasedStateMachine):
    """One client that talks to one host, by its address and by two names."""

    def __init__(self) -> None:
        super().__init__()
        self.twins = RecordedTwins(OWN[0], UNLIMITED)
        self.now: float | None = None
        self.passed: list[tuple[bytes, bytes]] = []
        """What the client sent, and what became of it."""

    @initialize()
    def begin(self) -> None:
        self.connect()

    # --- The client --------------------------------------------------------------------------

    def connect(self) -> None:
        addresses = TunnelAddresses(TUNNEL[4][0], TUNNEL[6][0])
        self.twins.call("client_connected", "alice", addresses, self.now)
        for resource in RESOURCES:
            self.twins.call("authorize", "alice", resource)
        for name in range(2):
            resolve(self.twins, "alice", NAMES.id, name)

    @rule(
        how=st.sampled_from(
            ("reconnect", "revoke", "retain", "update", "expire", "withdraw", "renumber")
        ),
        resource=st.sampled_from(RESOURCES),
    )
    def take_away(self, how: str, resource: CidrResource | DnsResource) -> None:
        match how:
            case "reconnect":
                self.twins.call("client_disconnected", "alice")
                self.connect()
            case "revoke":
                self.twins.call("revoke", "alice", resource.id)
            case "retain":
                self.twins.call("retain_authorizations", {"alice": {resource.id}})
            case "update":
                self.twins.call("update_resource", CidrResource("four", "10.0.0.0/8", [Tcp()]))
            case "withdraw":
                self.twins.call("domain_withdrawn", "alice", DOMAINS[0])
            case "renumber":
                if NAMES.id in self.twins.held("alice"):
                    resolve(self.twins, "alice", NAMES.id, 1, resolved=1)
            case _:
                self.twins.call("update_expiry", "alice", resource.id, self.soon())

    def soon(self) -> float | None:
        return None if self.now is None else self.now + 30.0

    @rule(resource=st.sampled_from(RESOURCES))
    def give_back(self, resource: CidrResource | DnsResource) -> None:
        self.twins.call("authorize", "alice", resource)

    # --- Packets -----------------------------------------------------------------------------

    @rule(data=st.data(), version=versions, flag=flags, size=st.sampled_from((0, 1, 64)))
    def send(self, data: st.DataObject, version: int, flag: int, size: int) -> None:
        near, far = TUNNEL[version][0], data.draw(st.sampled_from(FAR[version]))
        kind = data.draw(st.sampled_from(("tcp", "tcp", "udp", "echo", "esp")))
        layout = data.draw(st.one_of(st.just(Layout()), layouts(version)))
        flow = f"{at(near, data.draw(st.sampled_from((1, 2))))} > {at(far, 443)}"
        packet = whole(kind, flow, bytes(size), flag=flag, **layout)
        if kind == "esp":
            packet = ip(f"{near} > {far}", ESP, bytes(size), **layout)
        self.hand_in(OUTBOUND, packet)

    @precondition(lambda self: self.passed)
    @rule(number=numbers, flag=flags)
    def send_more(self, number: int, flag: int) -> None:
        inner, _ = self.passed[number % len(self.passed)]
        # Turned twice, only the flags are others.
        self.hand_in(OUTBOUND, turned(turned(inner), flag))

    @precondition(lambda self: self.passed)
    @rule(number=numbers, flag=flags)
    def receive(self, number: int, flag: int) -> None:
        _, outer = self.passed[number % len(self.passed)]
        self.hand_in(INBOUND, turned(outer, flag))

    @precondition(lambda self: self.passed)
    @rule(number=numbers, offset=st.sampled_from((0, 4, 6, 15)), inbound=st.booleans())
    def lie_about_the_length_of_a_tcp_header(
        self, number: int, offset: int, *, inbound: bool
    ) -> None:
        inner, outer = self.passed[number % len(self.passed)]
        packet = turned(outer) if inbound else inner
        read = parse(packet)
        assert read is not None
        if read.protocol == TCP:
            lie = patched(packet, read.transport_at + 12, bytes([offset << 4]))
            self.hand_in(INBOUND if inbound else OUTBOUND, lie)

    @precondition(lambda self: self.passed)
    @rule(
        number=numbers,
        flag=flags,
        pieces=st.lists(st.sampled_from((0, LATER)), min_size=1, max_size=3),
        inbound=st.booleans(),
    )
    def hand_in_fragments(
        self, number: int, flag: int, pieces: list[int], *, inbound: bool
    ) -> None:
        inner, outer = self.passed[number % len(self.passed)]
        packet = turned(outer, flag) if inbound else turned(turned(inner), flag)
        header = (packet[0] & 15) * 4 if version_of(packet) == 4 else 40
        length = len(packet) - header
        middle = length // 2 // 8 * 8
        cut = [fragment(packet, 0, middle), fragment(packet, middle, length)]
        for piece in pieces:
            direction = INBOUND if inbound else OUTBOUND
            self.twins.packet(direction, cut[piece], self.now)

    def hand_in(self, direction: Direction, packet: bytes) -> None:
        decision = self.twins.packet(direction, packet, self.now)
        if direction is OUTBOUND and (out := decision.to_send(packet)) is not None:
            self.passed = [*self.passed[-7:], (packet, out)]

    # --- Time --------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from((0.25, 1.0, 29.0, 60.0, 61.0, 120.0)))
    def let_time_pass(self, seconds: float) -> None:
        self.now = (self.now or 0.0) + seconds

    @rule(number=numbers, early=st.sampled_from((0.0, JUST_BEFORE)))
    def let_time_come_to_an_end_of_something(self, number: int, early: float) -> None:
        ahead = sorted(moment for moment in self.twins.moments() if moment > (self.now or 0.0))
        if ahead:
            self.now = max(self.now or 0.0, ahead[number % len(ahead)] - early)

    @precondition(lambda self: self.now is not None)
    @rule()
    def look_what_is_over(self) -> None:
        self.twins.call("handle_timeout", self.now)

    @rule()
    def fetch_events(self) -> None:
        self.twins.events()

    @invariant()
    def nobody_wakes_too_late(self) -> None:
        self.twins.check()

    def teardown(self) -> None:
        self.twins.end(self.now or 0.0)


TestRecords = Records.TestCase
TestRecords.settings = settings(max_examples=3 * settings().max_examples, stateful_step_count=40)
