"""DNS resources (section 6): sessions and what becomes of them, ports, rewriting."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from . import packets
from .packets import Packet, fold, words
from .values import INBOUND, OUTBOUND, TCP, UDP, Address, Moment, end_of, over

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

UNANSWERED = 60
TCP_IDLE = 7_440  # RFC 5382 REQ-5
CLOSING = 240
WITHOUT_PACKETS_OUT = 7_440  # whatever comes in meanwhile
IDLE = 120
REMEMBERED = 240
MAX_REMEMBERED = 4_096
NEXT_PORTS = 256
MAX_PORT = 65_535

FIN, SYN, RST, ACK = 0x01, 0x02, 0x04, 0x10

# What an outbound packet shows of its session: protocol, client's port, proxy address; and an
# inbound one: protocol, resolved address, translated port.
Inside = tuple[int, int, Address]
Outside = tuple[int, Address, int]


@dataclass
class Proxy:
    """What stands behind a proxy address."""

    domain: str
    target: Address | None  # `None`: the name has no address of this family
    named_by: set[str] = field(default_factory=set)  # ids of the resources it was given for


@dataclass(eq=False)
class Session:
    """One translated flow: (protocol, the client's port or echo id, proxy address)."""

    protocol: int
    client_port: int
    proxy: Address
    resolved: Address
    port: int
    last_out: Moment
    last: Moment
    answered: bool = False
    resource_port: int | None = None
    several: bool = False  # it has sent to more than one resource port
    fins: set[str] = field(default_factory=set)  # directions in which a FIN counted
    reset: bool = False  # a RST has come in, and no packet out has taken it back

    @property
    def inside(self) -> Inside:
        return (self.protocol, self.client_port, self.proxy)

    @property
    def outside(self) -> Outside:
        return (self.protocol, self.resolved, self.port)

    @property
    def is_closing(self) -> bool:
        """Tell whether it is in its 240 s.

        reading: where a session has sent to several ports, neither what FIN and RST were
        seen before nor what comes later counts: it ends by time, and no SYN restarts it.
        """
        return not self.several and (len(self.fins) == 2 or self.reset)

    @property
    def client_said_fin(self) -> bool:
        return not self.several and OUTBOUND in self.fins

    def lifetime(self) -> tuple[Moment, int]:
        """Say from when it lasts how long: the table of section 6. Only asked once time is known.

        What comes in prolongs it to at most 2 h 4 min after the last packet out, which for
        TCP makes the last packet out the only one that counts.
        """
        if self.is_closing:
            return self.last_out, CLOSING
        if not self.answered:
            return self.last_out, UNANSWERED
        by_table = (self.last, TCP_IDLE if self.protocol == TCP else IDLE)
        at_most = (self.last_out, WITHOUT_PACKETS_OUT)
        return min(by_table, at_most, key=lambda ends: end_of(*ends))

    def sent(self, packet: Packet, now: Moment) -> bool:
        """Take note of an allowed packet out; `True` if it ends the session."""
        flags = packet.tcp_flags if packet.protocol == TCP else 0
        port = packet.destination_port
        if self._begins_anew(flags, port):
            self._start_anew()
        self.reset = False  # any other packet out takes a RST from outside back
        if self.resource_port is None:
            self.resource_port = port
        elif self.resource_port != port:
            self.several = True
        self.last_out = self.last = now
        if self.several:
            return False
        if flags & FIN:
            self.fins.add(OUTBOUND)
        return bool(flags & RST)

    def _begins_anew(self, flags: int, port: int | None) -> bool:
        if not flags & SYN or flags & ACK or self.several:
            return False
        # Its 240 s: FINs have been seen both ways, or a RST came in.
        return self.is_closing or (len(self.fins) > 0 and port == self.resource_port)

    def _start_anew(self) -> None:
        """Forget all but the addresses and the port, as if nothing had come back."""
        self.answered = False
        self.resource_port = None
        self.fins = set()
        self.reset = False

    def received(self, packet: Packet, now: Moment) -> bool:
        """Take note of an allowed packet back; `True` if it ends the session."""
        self.answered = True
        self.last = now
        if packet.protocol != TCP or self.several or packet.source_port != self.resource_port:
            return False  # FIN and RST count only from the one resource port
        # reading: of a packet with both, both count.
        if packet.tcp_flags & FIN:
            self.fins.add(INBOUND)
        if packet.tcp_flags & RST:
            self.reset = True
        # They may make a moment count that has passed already.
        return now.seconds is not None and over(*self.lifetime(), now.seconds)


def giving_way(sessions: Iterable[Session]) -> Session | None:
    """Choose which session of a client gives way to a new one; `None` if none can.

    `sessions` are in the order of their last packets, the longest without one first.
    """
    # reading: of each of the three kinds the one that is the longest without a packet.
    for may_go in (
        lambda session: session.is_closing,
        lambda session: session.client_said_fin,
        lambda session: not session.answered,
    ):
        for session in sessions:
            if may_go(session):
                return session
    return None


def target_of(nth: int, resolved: list[Address]) -> Address | None:
    """Choose what the n-th proxy of a family stands for, of that family's addresses."""
    distinct = sorted(set(resolved), key=int)
    return distinct[nth % len(distinct)] if distinct else None


def near_port(packet: Packet, direction: str) -> int | None:
    """Find the port or echo id at the client's side; `None` if no session may have it.

    Echo requests go out and echo replies come back; no other ICMP is translated.
    """
    if packet.protocol in (TCP, UDP):
        return packet.source_port if direction == OUTBOUND else packet.destination_port
    echo = packets.ECHO_REQUEST if direction == OUTBOUND else packets.ECHO_REPLY
    if packet.is_icmp and packet.icmp_type == echo[packet.version]:
        return packet.echo_id
    return None


class Sessions:
    """The sessions of one client, the longest without a packet first."""

    def __init__(self) -> None:
        # Each found by what a packet shows of it, on either side.
        self._inside: dict[Inside, Session] = {}
        self._outside: dict[Outside, Session] = {}

    def __len__(self) -> int:
        return len(self._outside)

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._outside.values()))

    def put_last(self, session: Session) -> None:
        """Put a session behind all others, be it new or not."""
        self.remove(session)
        self._inside[session.inside] = self._outside[session.outside] = session

    def remove(self, session: Session) -> None:
        self._inside.pop(session.inside, None)
        self._outside.pop(session.outside, None)

    def from_inside(self, packet: Packet, direction: str) -> Session | None:
        """Find the session of a packet as the client sees it, sent or received."""
        port = near_port(packet, direction)
        if port is None:
            return None
        proxy = packet.destination if direction == OUTBOUND else packet.source
        return self._inside.get((packet.protocol, port, proxy))

    def from_outside(self, packet: Packet, direction: str) -> Session | None:
        """Find the session of a packet as the resource sees it, received or sent."""
        outside = outside_of(packet, direction)
        return None if outside is None else self._outside.get(outside)

    def free_port(self, protocol: int, resolved: Address, wanted: int) -> int | None:
        """Choose the translated port: the wanted one, else one of the next 256, never 0."""
        for port in _ports_from(wanted):
            if port != 0 and (protocol, resolved, port) not in self._outside:
                return port
        return None


def outside_of(packet: Packet, direction: str) -> Outside | None:
    """Read what a packet, as the resource sees it, shows of its session."""
    port = near_port(packet, direction)
    if port is None:
        return None
    far = packet.destination if direction == OUTBOUND else packet.source
    return (packet.protocol, far, port)


def _ports_from(wanted: int) -> Iterator[int]:
    port = wanted
    yield port
    for _ in range(NEXT_PORTS):
        port = port + 1 if port < MAX_PORT else 1
        yield port


# Rewriting ---------------------------------------------------------------------------

CHECKSUM_AT = {TCP: 16, UDP: 6, 1: 2, 58: 2}


def updated(old_checksum: int, old: bytes, new: bytes) -> int:
    """Update a checksum for data that changed: HC' = ~(~HC + ~m + m') (RFC 1624).

    A checksum that was wrong stays wrong by as much. Where no word changes, it does not.
    """
    changed = [(m, n) for m, n in zip(words(old), words(new), strict=True) if m != n]
    if not changed:
        return old_checksum
    total = old_checksum ^ 0xFFFF
    for m, n in changed:
        total += (m ^ 0xFFFF) + n
    return fold(total) ^ 0xFFFF


def _update_at(data: bytearray, at: int, old: bytes, new: bytes) -> None:
    """Update the checksum at `at`, if the bytes go that far."""
    if at + 2 <= len(data):
        value = updated(int.from_bytes(data[at : at + 2]), old, new)
        data[at : at + 2] = value.to_bytes(2)


def _put_address(data: bytearray, packet: Packet, direction: str, address: Address) -> bytes:
    """Write the far address, keep the IPv4 header checksum right; return the old one."""
    size = len(address.packed)
    first = 12 if packet.version == 4 else 8
    at = first + size if direction == OUTBOUND else first
    old = bytes(data[at : at + size])
    data[at : at + size] = address.packed
    if packet.version == 4:
        _update_at(data, 10, old, address.packed)
    return old


def rewritten(packet: Packet, direction: str, address: Address, port: int | None) -> bytes:
    """Give a packet (or a quote of one) another far address and client's port.

    Outbound the destination and the source port change, inbound the source and the
    destination port. `direction` is the packet's own: of a quote, the opposite of the
    error's. A later fragment, which has no ports, changes in its IP header alone.
    """
    data = bytearray(packet.data)
    old = _put_address(data, packet, direction, address)
    new = address.packed
    if packet.is_later_fragment:
        return bytes(data)
    if packet.version == 4 and packet.is_icmp:
        old = new = b""  # the one checksum that covers no addresses
    assert port is not None
    at = packet.transport_at + _near_port_at(packet, direction)
    old += bytes(data[at : at + 2])
    new += port.to_bytes(2)
    data[at : at + 2] = port.to_bytes(2)
    at = packet.transport_at + CHECKSUM_AT[packet.protocol]
    before = bytes(data[at : at + 2])
    if packet.protocol == UDP and before == b"\0\0":
        return bytes(data)  # no checksum was sent, none is invented
    _update_at(data, at, old, new)
    if packet.protocol == UDP and data[at : at + 2] == b"\0\0":
        data[at : at + 2] = b"\xff\xff"
    return bytes(data)


def _near_port_at(packet: Packet, direction: str) -> int:
    if packet.is_icmp:
        return 4
    return 0 if direction == OUTBOUND else 2


def from_inside(packet: Packet, direction: str, session: Session) -> Packet:
    """Show a packet, or a quote, as the client sees it."""
    return _shown(packet, direction, session.proxy, session.client_port)


def from_outside(packet: Packet, direction: str, session: Session) -> Packet:
    """Show a packet, or a quote, as the resource sees it."""
    return _shown(packet, direction, session.resolved, session.port)


def _shown(packet: Packet, direction: str, far: Address, port: int) -> Packet:
    shown = packets.parse_quote(rewritten(packet, direction, far, port))
    assert shown is not None
    return shown


def rewritten_error(error: Packet, direction: str, outer: Address, quote: bytes) -> bytes:
    """Give an ICMP error another far address and another quote."""
    data = bytearray(error.data)
    old = _put_address(data, error, direction, outer)
    new = outer.packed
    if error.version == 4:
        old = new = b""
    at = error.transport_at + 8
    old += bytes(data[at:])
    new += quote
    data[at:] = quote
    _update_at(data, error.transport_at + 2, old, new)
    return bytes(data)
