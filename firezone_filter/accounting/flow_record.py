"""The record of one flow: its identity, its traffic, and the events that report it.

A gateway may hold a million records. So each is one object, with its ends packed into bytes.
"""

import math
from ipaddress import IPv4Address, IPv6Address
from struct import Struct
from typing import Final, NamedTuple, TypedDict

from firezone_filter.compiled.twins import compiled
from firezone_filter.packet.numbers import IPV4_LENGTH
from firezone_filter.values.events import FlowEnd, FlowEnded, FlowStarted

IDLE: Final = 120
"""Seconds without a packet after which, strictly, a flow is over."""

_ENDS = Struct("!BBHH")  # protocol, which ports there are, near port, far port
_HAS_NEAR_PORT: Final = 1
_HAS_FAR_PORT: Final = 2


class FlowEnds(NamedTuple):
    """What tells a flow from others of its client and resource, as the resource sees it."""

    protocol: int
    near: bytes
    near_port: int | None
    far: bytes
    far_port: int | None

    def packed(self) -> bytes:
        """Return all of it in one key."""
        protocol, near, near_port, far, far_port = self
        ports = 0
        if near_port is None:
            near_port = 0
        else:
            ports = _HAS_NEAR_PORT
        if far_port is None:
            far_port = 0
        else:
            ports |= _HAS_FAR_PORT
        return _ENDS.pack(protocol, ports, near_port, far_port) + near + far

    @classmethod
    def unpack(cls, packed: bytes) -> "FlowEnds":
        """Return the ends that `packed` has put into a key."""
        protocol, ports, near_port, far_port = _ENDS.unpack_from(packed)
        # Both addresses are of one family.
        middle = (_ENDS.size + len(packed)) // 2
        return cls(
            protocol,
            packed[_ENDS.size : middle],
            near_port if ports & _HAS_NEAR_PORT else None,
            packed[middle:],
            far_port if ports & _HAS_FAR_PORT else None,
        )


class Traffic(NamedTuple):
    """Packets and bytes of one flow or several: tx from clients, rx to them."""

    tx_packets: int = 0
    tx_bytes: int = 0
    rx_packets: int = 0
    rx_bytes: int = 0


# States. One number takes a quarter of the memory of four flags.
_SPOKEN: Final = 1
_FIN_OUTBOUND: Final = 2
_FIN_INBOUND: Final = 4
_FINISHED: Final = _FIN_OUTBOUND | _FIN_INBOUND
ENDED: Final = 8
"""The bit of `FlowRecord.state` for one that has ended."""
UNREPORTED: Final = 16
"""The bit of one that is to be reported when the turn of its deadline comes."""


@compiled
class Tally:
    """The traffic of one flow, and up to when a packet may simply be added."""

    __slots__ = ("last_packet", "open_until", "rx_bytes", "rx_packets", "tx_bytes", "tx_packets")

    def __init__(self, now: float, open_until: float) -> None:
        self.tx_packets: int = 0
        self.tx_bytes: int = 0
        self.rx_packets: int = 0
        self.rx_bytes: int = 0
        self.last_packet: float = now
        self.open_until: float = open_until
        """A moment up to which the record is certainly open, and a packet can be counted without
        a second look; -inf if it has ended, or is finished and may end any time. Handlers then
        need one check."""


class FlowRecord(Tally):
    """The record of one flow, ordered by `deadline`, and then by when it began."""

    __slots__ = (
        "deadline",
        "domain",
        "ends",
        "flow_start",
        "number",
        "passed_over",
        "resource_id",
        "state",
    )

    open_until: float
    tx_packets: int
    tx_bytes: int
    rx_packets: int
    rx_bytes: int

    def __init__(
        self, resource_id: str, ends: bytes, domain: str | None, number: int, now: float
    ) -> None:
        super().__init__(now, now + IDLE)
        self.resource_id: str = resource_id
        self.ends: bytes = ends
        self.domain: str | None = domain
        self.number: int = number
        self.flow_start: float = now
        self.passed_over: float = now
        self.state: int = 0
        self.deadline: float = now + IDLE
        """When the flow has to be looked at. Packets do not move it, which would cost a
        microsecond each."""

    def __lt__(self, other: "FlowRecord") -> bool:
        # Records themselves are in the heaps, since a tuple for each would take 64 bytes.
        mine, theirs = self.deadline, other.deadline
        return mine < theirs or (mine == theirs and self.number < other.number)

    # --- State -----------------------------------------------------------------------------

    @property
    def has_spoken(self) -> bool:
        """Whether the client has sent more than its SYN; then another SYN begins a new flow."""
        return self.state & _SPOKEN != 0

    @property
    def is_finished(self) -> bool:
        """Whether both ends have sent a FIN."""
        return self.state & _FINISHED == _FINISHED

    @property
    def ended(self) -> bool:
        """Whether it is over, and no packet counts any more."""
        return self.state & ENDED != 0

    @property
    def is_unreported(self) -> bool:
        """Whether it has ended, and is to be reported when the turn of its deadline comes."""
        return self.state & UNREPORTED != 0

    def note_speech(self) -> None:
        """Take note that the client has sent more than its SYN."""
        self.state |= _SPOKEN

    def note_fin(self, *, outbound: bool) -> None:
        """Take note of a FIN."""
        self.state |= _FIN_OUTBOUND if outbound else _FIN_INBOUND
        self.prolong()

    def note_end(self, *, unreported: bool = False) -> None:
        """Take note that it has ended; *unreported* if `is_unreported` is to be true."""
        self.state |= ENDED | UNREPORTED if unreported else ENDED
        self.open_until = -math.inf

    # --- Counting --------------------------------------------------------------------------

    @property
    def traffic(self) -> Traffic:
        """The traffic counted so far."""
        return Traffic(self.tx_packets, self.tx_bytes, self.rx_packets, self.rx_bytes)

    def count(self, payload: int, now: float, *, outbound: bool) -> None:
        """Count a packet with *payload* bytes of payload."""
        self.last_packet = now
        self.prolong()
        if outbound:
            self.tx_packets += 1
            self.tx_bytes += payload
        else:
            self.rx_packets += 1
            self.rx_bytes += payload

    def prolong(self) -> None:
        """Set `open_until` anew."""
        self.open_until = -math.inf if self.is_finished else self.last_packet + IDLE

    # --- Reporting -------------------------------------------------------------------------

    def start_event(self, client_id: str) -> FlowStarted:
        """Return the event that reports its beginning."""
        return FlowStarted(**self._identity(client_id))

    def end_event(self, client_id: str, cause: FlowEnd, at: float) -> FlowEnded:
        """Return the event that reports its end."""
        return FlowEnded(
            **self._identity(client_id),
            last_packet=self.last_packet,
            flow_end=at,
            tx_packets=self.tx_packets,
            tx_bytes=self.tx_bytes,
            rx_packets=self.rx_packets,
            rx_bytes=self.rx_bytes,
            cause=cause,
        )

    def _identity(self, client_id: str) -> "_Identity":
        """Return the fields that all events of a flow have in common."""
        protocol, near, near_port, far, far_port = FlowEnds.unpack(self.ends)
        return {
            "client_id": client_id,
            "resource_id": self.resource_id,
            "protocol": protocol,
            "inner_src_ip": _to_address(near),
            "inner_src_port": near_port,
            "inner_dst_ip": _to_address(far),
            "inner_dst_port": far_port,
            "domain": self.domain,
            "flow_start": self.flow_start,
        }


def _to_address(packed: bytes) -> IPv4Address | IPv6Address:
    # `ip_address` tries one after the other, which takes 2 µs for IPv6.
    return IPv4Address(packed) if len(packed) == IPV4_LENGTH else IPv6Address(packed)


class _Identity(TypedDict):
    client_id: str
    resource_id: str
    protocol: int
    inner_src_ip: IPv4Address | IPv6Address
    inner_src_port: int | None
    inner_dst_ip: IPv4Address | IPv6Address
    inner_dst_port: int | None
    domain: str | None
    flow_start: float


def _no_record() -> FlowRecord:
    record = FlowRecord("", b"", None, 0, 0.0)
    record.note_end()
    return record


NO_RECORD: Final = _no_record()
"""Stands for the absence of a record, as one that has ended: handlers then need one check, not
two."""
