"""Random stories for a gateway and its naive model: hooks, packets and time, interleaved.

Everything is drawn from small pools, so that addresses, ports and identifications meet
often; packets are built right and then, sometimes, made *almost* right. One seed is one
story. Times and rates are dyadic fractions, on which floats are exact.
"""

import ipaddress
import random
import struct
from collections.abc import Callable
from typing import Any

from firezone_filter import (
    AddressPlan,
    AuthorizationExpired,
    CidrResource,
    Decision,
    Direction,
    DnsResource,
    Drop,
    Event,
    FirezoneFilterError,
    Forward,
    Gateway,
    GatewayOptions,
    Icmp,
    InternetResource,
    Reject,
    Resource,
    Tcp,
    Translate,
    TunnelAddresses,
    Udp,
)
from tests.model import Model, ModelError

OUTBOUND, INBOUND = Direction.OUTBOUND, Direction.INBOUND

CLIENTS = ("alice", "bob", "carol")
TUNNEL4 = ("100.64.0.2", "100.64.0.3", "100.64.0.4")
TUNNEL6 = ("fd00:2021:1111::2", "fd00:2021:1111::3", "fd00:2021:1111::4")
OWN = (("100.64.0.1", "fd00:2021:1111::1"), ("100.64.0.9", "fd00:2021:1111::9"))
PROXIES4 = tuple(f"100.96.0.{n}" for n in range(1, 5))
PROXIES6 = tuple(f"fd00:2021:1111:8000::{n}" for n in range(1, 5))
RESOLVED4 = ("10.0.0.5", "10.0.0.6", "203.0.113.80", "8.8.8.8")
RESOLVED6 = ("fd10::5", "2600::8", "2600::9")
REBOUND = ("127.0.0.1", "169.254.1.1", "100.64.0.3", "100.96.0.1", "::1", "fe80::1", "0.0.0.0")
FAR4 = (*RESOLVED4, "10.0.1.1", "10.0.0.77", "127.0.0.1", "0.1.2.3", "192.0.2.1", "9.9.9.9")
FAR6 = (*RESOLVED6, "fd10::1:1", "::1", "::ffff:10.0.0.5", "2002::1", "2600:1::1", "fe80::1")
ODD4 = ("224.0.0.1", "255.255.255.255", "100.64.77.7", "100.96.77.7")
ODD6 = ("ff02::1", "fd00:2021:1111::77", "fd00:2021:1111:8000::77")
PORTS = (0, 1, 53, 80, 443, 65535)
DOMAINS = ("a.example.com", "b.example.com", "example.com", "x.y.example.com")

FILTERS = (
    (),
    (Tcp(443),),
    (Tcp("50-100"), Udp(53), Icmp()),
    (Udp(),),
    (Icmp(),),
    (Tcp(), Udp(443)),
)
STEPS = (*(0.25, 1.0, 5.0) * 6, 15.0, 30.0, 59.75, 60.0, 120.0, 240.0, 3720.0, 7440.0)

ICMP4_TYPES = (8,) * 9 + (0, 0, 0, 3, 4, 5, 9, 10, 11, 12, 13)
ICMP6_TYPES = (128,) * 9 + (129, 129, 129, 0, 1, 2, 3, 4, 5, 127, 133, 136, 137, 138)

ERRORS = frozenset(
    {
        "AddressInUse",
        "InvalidAddress",
        "InvalidPolicy",
        "InvalidTime",
        "UnknownClient",
        "UnknownResource",
    }
)


def checksum(data: bytes) -> int:
    """Sum as RFC 1071 has it."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def packed(address: str) -> bytes:
    return ipaddress.ip_address(address).packed


def ipv4(src: bytes, dst: bytes, protocol: int, body: bytes, **field: Any) -> bytes:
    options = field.get("options", b"")
    header = bytearray(
        struct.pack(
            "!BBHHHBBH4s4s",
            0x45 + len(options) // 4,
            0,
            20 + len(options) + len(body),
            field.get("identification", 0),
            field.get("position", 0),
            64,
            protocol,
            0,
            src,
            dst,
        )
        + options
    )
    struct.pack_into("!H", header, 10, checksum(bytes(header)))
    return bytes(header) + body


def ipv6(src: bytes, dst: bytes, protocol: int, body: bytes, extensions: bytes = b"") -> bytes:
    first = extensions[:1] if extensions else bytes([protocol])
    rest = extensions[1:] + bytes([protocol]) if extensions else b""
    payload = rest + body if extensions else body
    return struct.pack("!IHcB16s16s", 6 << 28, len(payload), first, 64, src, dst) + payload


class Story:
    """One random story: the same calls to a gateway and to its model."""

    def __init__(self, seed: int, make: Callable[..., Gateway] = Gateway) -> None:
        self.random = random.Random(seed)
        pick = self.random.choice
        plan = AddressPlan()
        self.options = GatewayOptions(
            reject=pick((True, True, True, False)),
            reject_rate=pick((0.0, 0.5, 64.0)),
            reject_burst=pick((0, 1, 3, 50)),
            own_filters=pick(FILTERS),
            max_sessions_per_client=pick((0, 3, 6, 100)),
            max_sessions=pick((4, 8, 100)),
        )
        own = TunnelAddresses(*OWN[0])
        self.gateway = make(own, address_plan=plan, options=self.options)
        self.model: Any = Model(own, address_plan=plan, options=self.options)
        self.now = pick((0.0, -8.0, 1024.0, 2.0**30))
        self.resources = self._resources()
        self.expiries = 0.0
        self.seen: list[tuple[Direction, bytes]] = []
        self.log: list[str] = []
        for client_id, four, six in zip(CLIENTS, TUNNEL4, TUNNEL6, strict=True):
            self.both("client_connected", client_id, TunnelAddresses(four, six))
        if pick((True, False)):
            self.both("handle_timeout", self.now)
        for _ in range(12):
            self.authorize()
            self.resolve()

    def _resources(self) -> list[Resource]:
        pick = self.random.choice
        networks = ("10.0.0.0/24", "10.0.0.5/32", "10.0.0.0/8", "0.0.0.0/0", "100.0.0.0/8")
        networks6 = ("fd10::/16", "fd10::5/128", "::/0", "2600::/16")
        return [
            *(CidrResource(f"cidr-{n}", pick(networks), pick(FILTERS)) for n in range(3)),
            *(CidrResource(f"six-{n}", pick(networks6), pick(FILTERS)) for n in range(2)),
            InternetResource("internet", exclude=pick(((), ("8.8.0.0/16", "2600::/32")))),
            InternetResource("web"),
            DnsResource("dns-0", "*.example.com", pick(FILTERS)),
            DnsResource("dns-1", "**.example.com", pick(FILTERS)),
            DnsResource("dns-2", "a.example.com", pick(FILTERS)),
        ]

    # --- Both at once ----------------------------------------------------------------------

    def both(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Call both; the outcome, an error included, is the same."""
        self.log.append(f"{name} {args} {kwargs}")
        ours = outcome(lambda: getattr(self.gateway, name)(*args, **kwargs))
        theirs = model_outcome(lambda: getattr(self.model, name)(*args, **kwargs))
        if name == "clients":
            ours, theirs = sorted(ours), sorted(theirs)
        # Which of several mistakes in one call is reported is left open.
        assert ours == theirs or (is_error(ours) and is_error(theirs)), self.explain(ours, theirs)
        return ours

    def explain(self, ours: object, theirs: object) -> str:
        story = "\n".join(self.log[-12:])
        return f"gateway: {ours}\nmodel:   {theirs}\nafter:\n{story}"

    def check(self) -> None:
        """What there is, is the same."""
        self.both("clients")
        for client_id in CLIENTS:
            self.both("authorizations", client_id)
        ours, theirs = self.gateway.poll_timeout(), self.model.poll_timeout()
        assert (ours is None) >= (theirs is None), self.explain(ours, theirs)
        assert theirs is None or (ours is not None and ours <= theirs), self.explain(ours, theirs)

    def events(self) -> None:
        ours: list[Any] = []
        while (event := self.gateway.poll_event()) is not None:
            ours.append(event_tuple(event))
        theirs = []
        while (their := self.model.poll_event()) is not None:
            theirs.append(their)
        assert ours == theirs, self.explain(ours, theirs)

    # --- Steps -----------------------------------------------------------------------------

    def step(self) -> None:
        chance = self.random.random()
        if chance < 0.75:
            self.packet()
        elif chance < 0.80:
            self.batch()
        elif chance < 0.83:
            self.tick()
        else:
            self.hook()
        if self.random.random() < 0.1:
            self.check()
        if self.random.random() < 0.1:
            self.events()

    def time(self) -> float | None:
        if self.random.random() < 0.1:
            return None
        if self.random.random() < 0.12:
            self.now += self.random.choice(STEPS)
        return self.now - self.random.choice((0.0, 0.0, 0.0, 0.0, 7.0))

    def tick(self) -> None:
        now = self.time()
        if now is not None:
            self.both("handle_timeout", now)

    def hook(self) -> None:
        hooks = (
            self.authorize,
            self.authorize,
            self.authorize,
            self.authorize,
            self.resolve,
            self.authorize,
            self.authorize,
            self.resolve,
            self.resolve,
            self.revoke,
            self.update,
            self.expiry,
            self.reset,
        )
        self.random.choice(hooks)()

    def reset(self) -> None:
        """Do what takes much away, not too often."""
        if self.random.random() < 0.4:
            self.random.choice((self.connect, self.retain, self.move))()

    def client(self) -> str:
        return self.random.choice((*CLIENTS * 5, "nobody"))

    def connect(self) -> None:
        if self.random.random() < 0.2:
            self.both("client_disconnected", self.client())
            return
        number = self.random.randrange(3)
        other = self.random.choice((number, number, number, 0))
        addresses = self.random.choice(
            (
                TunnelAddresses(TUNNEL4[number], TUNNEL6[other]),
                TunnelAddresses(TUNNEL4[number], TUNNEL6[number]),
                TunnelAddresses(ipv4=TUNNEL4[number]),
                TunnelAddresses(ipv6=TUNNEL6[number]),
                TunnelAddresses(ipv4=self.random.choice((*OWN[0][:1], "10.0.0.1"))),
            )
        )
        self.both("client_connected", CLIENTS[number], addresses, self.time())

    def authorize(self) -> None:
        resource = self.random.choice(self.resources)
        self.both("authorize", self.client(), resource, expires_at=self.until())

    def until(self) -> float | None:
        if self.random.random() < 0.6:
            return None
        # No two expiries at one moment: which of them is reported first is left open.
        self.expiries += 2.0**-20
        step = self.random.choice((-1.0, 0.0, 0.5, 30.0, 100.0, 1000.0, 1000.0, 2.0**31))
        return self.now + step - self.expiries

    def resource_id(self) -> str:
        return self.random.choice(self.resources).id

    def revoke(self) -> None:
        self.both("revoke", self.client(), self.resource_id())

    def update(self) -> None:
        old = self.random.choice(self.resources)
        new = self.random.choice(self._resources())
        if new.id == old.id or self.random.random() < 0.5:
            self.both("update_resource", new)

    def expiry(self) -> None:
        self.both("update_expiry", self.client(), self.resource_id(), self.until())

    def retain(self) -> None:
        self.both(
            "retain_authorizations",
            {self.client(): {self.resource_id() for _ in range(4)} for _ in range(3)},
        )

    def move(self) -> None:
        own = self.random.choice((*OWN, ("100.64.0.2", "fd00:2021:1111::2")))
        self.both("set_addresses", TunnelAddresses(*own))

    def resolve(self) -> None:
        draw = self.random
        # Each name mostly keeps to addresses of its own: others mean a renumbering.
        number = draw.randrange(2)
        of_name = slice(2 * number, 2 * number + 2)
        proxies = [*PROXIES4[of_name], *PROXIES6[of_name]]
        draw.shuffle(proxies)
        proxies = proxies[draw.randrange(3) :]
        domain = DOMAINS[number] if draw.random() < 0.95 else draw.choice(DOMAINS)
        if draw.random() < 0.05:
            proxies.append(draw.choice((*proxies, "10.0.0.1", "100.64.0.2")))
        resolved = draw.sample((RESOLVED4 + RESOLVED6) * 3 + REBOUND, draw.randrange(9))
        client_id = self.client()
        held = outcome(lambda: sorted(self.gateway.authorizations(client_id)))
        held = [resource_id for resource_id in held if "dns" in resource_id]
        self.both(
            "domain_resolved",
            client_id,
            draw.choice(held or ["dns-0", "dns-1", "dns-2", "cidr-0"]),
            domain,
            proxy_addresses=proxies,
            resolved_addresses=resolved,
        )

    # --- Packets ---------------------------------------------------------------------------

    def batch(self) -> None:
        direction = self.random.choice((OUTBOUND, INBOUND))
        packets = [self.build(direction) for _ in range(self.random.randrange(4))]
        now, client_id = self.time(), self.client_id()
        self.log.append(f"batch {direction} {[p.hex() for p in packets]} {now} {client_id}")
        ours = self.gateway.handle_packets(direction, packets, now, client_id=client_id)
        theirs = self.model.handle_packets(direction, packets, now, client_id=client_id)
        assert [decision_tuple(one) for one in ours] == theirs, self.explain(ours, theirs)

    def client_id(self) -> str | None:
        return self.client() if self.random.random() < 0.1 else None

    def packet(self) -> None:
        direction = self.random.choice((OUTBOUND, INBOUND))
        packet = self.build(direction)
        now, client_id = self.time(), self.client_id()
        self.log.append(f"{direction} {packet.hex()} {now} {client_id}")
        ours = decision_tuple(
            self.gateway.handle_packet(direction, packet, now, client_id=client_id)
        )
        theirs = self.model.handle_packet(direction, packet, now, client_id=client_id)
        assert ours == theirs, self.explain(ours, theirs)
        if ours[0] == "translate":
            # Both ends of the NAT: what the client sees, and what the resource sees.
            self.seen += [(direction, ours[1])] * 3 + [(direction, packet)]
        elif ours[0] == "forward":
            self.seen.append((direction, packet))
        del self.seen[:-30]

    def build(self, direction: Direction) -> bytes:
        """Build a packet that may well be right for *direction*."""
        chance = self.random.random()
        if self.seen and chance < 0.45:
            packet = self.answer(direction)
        elif chance < 0.55:
            packet = self.error(direction)
        else:
            packet = self.fresh(direction)
        if packet and self.random.random() < 0.06:
            packet = self.spoil(packet)
        return packet

    def fresh(self, direction: Direction) -> bytes:
        pick = self.random.choice
        if self.random.random() < 0.6:
            near, far = packed(pick(TUNNEL4)), packed(pick(self.fars(4)))
        else:
            near, far = packed(pick(TUNNEL6)), packed(pick(self.fars(6)))
        if direction is INBOUND:
            near, far = far, near
        return self.wrap(near, far, *self.transport(near, far))

    def fars(self, version: int) -> tuple[str, ...]:
        own = tuple(pair[0 if version == 4 else 1] for pair in OWN)
        if version == 4:
            return self.random.choice((FAR4, PROXIES4, PROXIES4, FAR4 + ODD4 + own + TUNNEL4))
        return self.random.choice((FAR6, PROXIES6, PROXIES6, FAR6 + ODD6 + own + TUNNEL6))

    def transport(self, src: bytes, dst: bytes) -> tuple[int, bytes]:
        pick, v4 = self.random.choice, len(src) == 4
        protocol = pick((6,) * 6 + (17,) * 6 + (1 if v4 else 58,) * 6 + (50, 58, 1, 0))
        ports = struct.pack("!HH", pick(PORTS), pick(PORTS))
        data = bytes(self.random.randrange(256) for _ in range(pick((0, 0, 1, 4, 8, 16))))
        if protocol == 6:
            flags = pick((0x02, 0x10, 0x10, 0x18, 0x11, 0x01, 0x04, 0x14, 0x12, 0x06))
            body = ports + struct.pack("!IIBBHHH", 1, 2, 0x50, flags, 512, 0, 0) + data
            return protocol, fill(body, 16, src, dst, protocol)
        if protocol == 17:
            body = ports + struct.pack("!HH", 8 + len(data), 0) + data
            return protocol, body if pick((True, False, False)) else fill(body, 6, src, dst, 17)
        if protocol in (1, 58):
            kind = pick(ICMP4_TYPES if v4 else ICMP6_TYPES)
            body = struct.pack("!BBHHH", kind, 0, 0, pick(PORTS), 7) + data
            return protocol, fill(body, 2, src, dst, protocol)
        return protocol, data

    def wrap(self, src: bytes, dst: bytes, protocol: int, body: bytes) -> bytes:
        pick = self.random.choice
        parts = ((1, 0), (1, 0), (1, 0), (0, 1), (1, 1), (0, 2), (1, 3), (0, 5))
        more, offset = pick(parts) if self.random.random() < 0.3 else (0, 0)
        if more:
            body = body[: len(body) // 8 * 8] or body
        if len(src) == 4:
            options = pick(
                (b"",) * 30
                + (
                    b"\1" * 8,
                    b"\x07\x07\4" + bytes(5),
                    b"\1\1\1\0",
                    b"\x07\x04\0\0",
                    b"\x83\x04\4\0",
                    b"\x07\5\0\0",
                )
            )
            position = (0x2000 if more else 0) + offset
            identification = pick((0, 1, 2))
            return ipv4(
                src,
                dst,
                protocol,
                body,
                options=options,
                position=position,
                identification=identification,
            )
        return self.wrap6(src, dst, protocol, body, (more, offset))

    def wrap6(
        self, src: bytes, dst: bytes, protocol: int, body: bytes, part: tuple[int, int]
    ) -> bytes:
        pick = self.random.choice
        chain: list[tuple[int, bytes]] = []
        more, offset = part
        for _ in range(pick((0,) * 30 + (1, 1, 1, 2, 3, 7, 8, 9))):
            kind = pick((60, 60, 60, 60, 60, 43, 51, 0))
            route = pick((b"\x04\0", b"\x04\0", b"\0\0", b"\x04\1"))
            chain.append((kind, (route if kind == 43 else b"\1\4") + bytes(4)))
        if pick((False,) * 20 + (True,)):
            chain.insert(0, (0, b"\1\4" + bytes(4)))
        if more or offset or pick((False,) * 12 + (True,)):
            at = self.random.randrange(len(chain) + 1)
            chain.insert(at, (44, struct.pack("!HI", offset * 8 + more, pick((0, 1, 2)))))
        kinds = [kind for kind, _ in chain] + [protocol]
        payload = b"".join(
            bytes([following, 0]) + rest
            for (_, rest), following in zip(chain, kinds[1:], strict=True)
        )
        payload += body
        return struct.pack("!IHBB16s16s", 6 << 28, len(payload), kinds[0], 64, src, dst) + payload

    def answer(self, direction: Direction) -> bytes:
        """Build what could come back for a packet that passed, or the packet again."""
        came, packet = self.random.choice(self.seen)
        if came is direction or self.random.random() < 0.1:
            return packet
        return turn(packet, self.random)

    def error(self, direction: Direction) -> bytes:
        """Build an ICMP error that quotes a packet of the other direction."""
        pick = self.random.choice
        other = INBOUND if direction is OUTBOUND else OUTBOUND
        quotable = [packet for came, packet in self.seen if came is other]
        quote = pick(quotable) if quotable and pick((True, True, False)) else self.fresh(other)
        if (
            len(quote) < 20
            or quote[0] >> 4 not in (4, 6)
            or (quote[0] >> 4 == 6 and len(quote) < 40)
        ):
            return self.fresh(direction)
        v4 = quote[0] >> 4 == 4
        size = 4 if v4 else 16
        at = 12 if v4 else 8
        src, dst = quote[at + size : at + 2 * size], quote[at : at + size]
        if pick((False, False, True)):
            src = packed(pick(FAR4 if v4 else FAR6))
        if pick((False,) * 9 + (True,)):
            dst = packed(pick(TUNNEL4 if v4 else TUNNEL6))
        if pick((False, True)):
            quote = quote[: self.random.randrange(20, len(quote) + 1)]
        kind = pick((3, 3, 11, 12, 4, 5) if v4 else (1, 2, 3, 4, 0, 5, 137))
        protocol = 1 if v4 else 58
        body = struct.pack("!BBHI", kind, 0, 0, 1280) + quote
        body = fill(body, 2, src, dst, protocol)
        if pick((False,) * 15 + (True,)):
            return self.wrap(src, dst, protocol, body)
        return ipv4(src, dst, protocol, body) if v4 else ipv6(src, dst, protocol, body)

    def spoil(self, packet: bytes) -> bytes:
        draw = self.random
        changed = bytearray(packet)
        match draw.randrange(4):
            case 0:
                return packet[: draw.randrange(len(packet) + 1)]
            case 1:
                return packet + bytes(draw.randrange(1, 9))
            case 2:
                changed[draw.randrange(len(changed))] = draw.randrange(256)
            case _:
                changed[draw.randrange(min(10, len(changed)))] ^= 1 << draw.randrange(8)
        return bytes(changed)


def fill(body: bytes, at: int, src: bytes, dst: bytes, protocol: int) -> bytes:
    """Fill in the checksum of a transport header."""
    pseudo = src + dst + struct.pack("!II", len(body), protocol)
    if protocol == 1:
        pseudo = b""
    total = checksum(pseudo + body)
    if protocol == 17:
        total = total or 0xFFFF
    return body[:at] + struct.pack("!H", total) + body[at + 2 :]


def turn(packet: bytes, draw: random.Random) -> bytes:
    """Swap the ends of a packet; echo requests become replies."""
    changed = bytearray(packet)
    v4 = packet[0] >> 4 == 4
    size, at = (4, 12) if v4 else (16, 8)
    changed[at : at + size], changed[at + size : at + 2 * size] = (
        packet[at + size : at + 2 * size],
        packet[at : at + size],
    )
    transport = (packet[0] & 15) * 4 if v4 else 40
    protocol = packet[9] if v4 else packet[6]
    if protocol in (6, 17) and len(packet) >= transport + 8:
        changed[transport : transport + 4] = (
            packet[transport + 2 : transport + 4] + packet[transport : transport + 2]
        )
        if protocol == 6 and len(packet) > transport + 13:
            changed[transport + 13] = draw.choice((0x10, 0x12, 0x11, 0x01, 0x04, 0x02))
    if protocol in (1, 58) and len(packet) > transport:
        changed[transport] = {8: 0, 0: 8, 128: 129, 129: 128}.get(
            changed[transport], changed[transport]
        )
    return bytes(changed)


def is_error(outcome: object) -> bool:
    return isinstance(outcome, str) and outcome in ERRORS


def outcome(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except FirezoneFilterError as error:
        return type(error).__name__


def model_outcome(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except ModelError as error:
        return error.kind


def decision_tuple(decision: Decision) -> tuple[Any, ...]:
    match decision:
        case Forward(client_id, resource_id):
            return "forward", client_id, resource_id
        case Translate(packet, client_id, resource_id):
            return "translate", packet, client_id, resource_id
        case Reject(reply, reason, client_id):
            return "reject", reply, str(reason), client_id
        case Drop(reason, client_id):
            return "drop", str(reason), client_id


def event_tuple(event: Event) -> tuple[Any, ...]:
    if isinstance(event, AuthorizationExpired):
        return "authorization-expired", event.client_id, event.resource_id, event.expired_at
    return "access-exhausted", event.client_id
