"""Remembered decisions: an exact-match cache in front of everything else.

Invisible but for its speed: only `Forward` for a whole TCP or UDP packet without options or
extension headers is remembered, under all of the packet that the decision depended on;
whatever else it depended on empties the memory of the client when it changes. Refused
packets push nothing out, and no client can push out another's.
"""

from typing import Final, Generic, Protocol, TypeVar

from firezone_filter.decisions import Forward, Translate
from firezone_filter.packet.headers import Headers
from firezone_filter.packet.numbers import IPV4_HEADER, IPV4_LENGTH, IPV6_HEADER, TCP, UDP

MAX_FLOWS: Final = 2_048
"""Flows remembered of one client, for each direction and protocol: 4,096 a direction, the
oldest out first. A browser has a few hundred. At about 250 bytes a flow, 2 MiB a client."""


def is_plain(headers: Headers) -> bool:
    """Tell whether a packet is one of TCP or UDP with nothing before its ports."""
    # By the family too: IPv4 options may fill the header up to the length of IPv6's.
    plain = IPV4_HEADER if len(headers.source) == IPV4_LENGTH else IPV6_HEADER
    return headers.transport == plain and headers.protocol in (TCP, UDP)


class TranslatedFlow(Protocol):
    """What the NAT has prepared for the packets of one flow in one direction."""

    client_id: str

    def translate(self, packet: bytes, now: float) -> Translate | None:
        """Translate a packet; `None` if its session has ended."""


T = TypeVar("T")

Flows = dict[bytes, T]
"""Something by both addresses and both ports, as they stand in the packet."""


class FlowTables:
    """The remembered flows of all clients: one look-up finds a flow, whosoever it is.

    Source and destination are in the key, so the client is too: the one that has the near
    address. Decisions say who that is.
    """

    __slots__ = (
        "inbound",
        "is_translating",
        "outbound",
        "translated_inbound",
        "translated_outbound",
    )

    def __init__(self) -> None:
        self.outbound: list[Flows[Forward]] = _by_protocol()
        """By protocol number; all but those of TCP and UDP are empty, and stay so."""

        self.inbound: list[Flows[Forward]] = _by_protocol()
        """The same for what comes back."""

        self.translated_outbound: list[Flows[TranslatedFlow]] = _by_protocol()
        """Flows that go through the NAT. No decisions: each packet asks its session."""

        self.translated_inbound: list[Flows[TranslatedFlow]] = _by_protocol()
        """The same for what comes back."""

        self.is_translating = False
        """Whether any flow has gone through the NAT: else there is nothing to look for."""


def _by_protocol() -> list[Flows[T]]:
    # A list, and not a dict of two, because it is asked with every packet: an index takes
    # 5 ns, a `get` 30 ns.
    tables: list[Flows[T]] = [{}] * 256
    tables[TCP], tables[UDP] = {}, {}
    return tables


class _Ring(Generic[T]):
    """The keys of one client in one table, in the order in which they came."""

    __slots__ = ("_flows", "_keys", "_oldest")

    def __init__(self, flows: Flows[T]) -> None:
        self._flows = flows
        self._keys: list[bytes] = []
        self._oldest = 0

    def remember(self, headers: Headers, packet: bytes, value: T) -> None:
        if headers.transport == IPV4_HEADER:
            key = packet[12:24]
        elif is_plain(headers):
            key = packet[8:44]
        else:
            # Behind options or extension headers the ports are not where they are looked for.
            return
        if key not in self._flows:
            self._make_room(key)
        self._flows[key] = value

    def _make_room(self, key: bytes) -> None:
        if len(self._keys) < MAX_FLOWS:
            self._keys.append(key)
        else:
            del self._flows[self._keys[self._oldest]]
            self._keys[self._oldest] = key
            self._oldest = (self._oldest + 1) % MAX_FLOWS

    def forget(self) -> None:
        for key in self._keys:
            del self._flows[key]
        self._keys.clear()
        self._oldest = 0


class FlowMemory:
    """What is remembered of one client."""

    __slots__ = ("_rings", "_tables", "_translated")

    def __init__(self, tables: FlowTables) -> None:
        self._tables = tables
        # Made when they are needed: most clients of a large gateway are idle, and empty
        # rings would be a good part of what such a client costs. By protocol number,
        # negative for what comes in.
        self._rings: dict[int, _Ring[Forward]] = {}
        self._translated: dict[int, _Ring[TranslatedFlow]] = {}

    def remember_outbound(self, headers: Headers, packet: bytes, decision: Forward) -> None:
        """Remember the decision about a whole packet, if it is one that is remembered."""
        protocol = headers.protocol
        ring = self._rings.get(protocol)
        if ring is None:
            ring = _new_ring(self._rings, protocol, self._tables.outbound[protocol])
        if ring is not None:
            ring.remember(headers, packet, decision)

    def remember_inbound(self, headers: Headers, packet: bytes, decision: Forward) -> None:
        """Remember the decision about a whole packet, if it is one that is remembered."""
        protocol = headers.protocol
        ring = self._rings.get(-protocol)
        if ring is None:
            ring = _new_ring(self._rings, -protocol, self._tables.inbound[protocol])
        if ring is not None:
            ring.remember(headers, packet, decision)

    def remember_translated(
        self, headers: Headers, packet: bytes, flow: TranslatedFlow, *, outbound: bool
    ) -> None:
        """Remember what the NAT has prepared for a whole packet, as it arrived."""
        protocol = headers.protocol
        if outbound:
            number, tables = protocol, self._tables.translated_outbound
        else:
            number, tables = -protocol, self._tables.translated_inbound
        self._tables.is_translating = True
        ring = self._translated.get(number)
        if ring is None:
            ring = _new_ring(self._translated, number, tables[protocol])
        if ring is not None:
            ring.remember(headers, packet, flow)

    def forget(self) -> None:
        """Forget all: what the client may do has changed."""
        for ring in self._rings.values():
            ring.forget()
        for translated in self._translated.values():
            translated.forget()

    def forget_inbound(self) -> None:
        """Forget what comes in around the NAT: a new session may take it over."""
        for number, ring in self._rings.items():
            if number < 0:
                ring.forget()


def _new_ring(rings: dict[int, _Ring[T]], number: int, flows: Flows[T]) -> _Ring[T] | None:
    """Make the ring of a protocol, negative for what comes in; `None` for most."""
    if abs(number) not in (TCP, UDP):
        return None
    ring = rings[number] = _Ring(flows)
    return ring
