"""Packets that are not of direct flows: names, refusals, fragments, ICMP, and what is no IP.

They come as small stories of one to four packets, each with a number of its own: the port of a
client, or whatever else tells one from another.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray

from benches.traffic_flows import (
    IPV4,
    IPV6,
    Bytes,
    Numbers,
    ethernet,
    folded,
    get16,
    has_tag,
    put16,
    scatter,
)
from benches.traffic_policy import (
    CLIENTS,
    PROXY,
    PROXY6,
    SCANNER,
    STRANGER,
    STRANGER6,
    TRIAL,
    TRIAL_HOST,
    WIKI,
    WIKI6,
    client_ipv4,
    client_ipv6,
)
from firezone_filter.testing import fragment, icmp_echo, icmp_error, tcp, udp

Weights = NDArray[np.float64]

SHARES: Final = {
    "names": 0.030,
    "not ours": 0.012,
    "refused": 0.010,
    "not IP": 0.010,
    "echoes": 0.007,
    "fragments": 0.005,
    "errors": 0.003,
    "trial": 0.002,
    "malformed": 0.001,
}
"""How many packets of a capture are of each kind."""

OTHERS: Final = sum(SHARES.values())

SCAN_BEGINS: Final = 0.6
"""Where in the capture one client begins to scan, in place of half of everything here."""

_SCAN: Final = "scan"
_WEB_HOST, _WEB_HOST6 = "10.20.0.9", "fd10:20::9"
_PORT: Final = 10_000
_ANY: Final = 50_000
_SESSIONS: Final = 40
"""Ports of a client from which it reaches names."""


@frozen
class Packet:
    """A packet with a number in it."""

    frame: bytes
    place: int | None = None
    """Where two bytes stand to which the number is added."""
    checksum: int | None = None
    """Where the checksum over them stands."""
    numbers: int = _ANY
    """How many numbers there are, before they begin again."""


@frozen
class Story:
    """Packets that follow one another, with one number."""

    kind: str
    packets: Sequence[Packet]


def stories() -> list[Story]:
    """Return all of them."""
    return [story for client in range(CLIENTS) for story in _stories(client)] + list(_no_ip())


def _stories(client: int) -> Iterator[Story]:
    for near, proxy, wiki, web, stranger in (
        (client_ipv4(client), PROXY, WIKI, _WEB_HOST, STRANGER),
        (f"{client_ipv6(client)}", PROXY6, WIKI6, _WEB_HOST6, STRANGER6),
    ):
        ends = _Ends(client, near)
        yield Story(
            "names",
            [
                ends.out(proxy, 443, b"x" * 80, numbers=_SESSIONS),
                ends.back(wiki, 443, b"x" * 1_200, numbers=_SESSIONS),
                ends.back(wiki, 443, b"x" * 700, numbers=_SESSIONS),
                ends.out(proxy, 443, numbers=_SESSIONS),
            ],
        )
        yield Story("refused", [ends.out(web, 22)])
        yield Story("refused", [ends.out(stranger, 443)])
        yield Story("refused", [ends.back(stranger, 443)])
        yield Story("echoes", ends.echo(web))
        yield Story("fragments", ends.fragments(web))
        yield Story("errors", ends.error(web, stranger))
        whole = ends.out(web, 443)
        yield Story("malformed", [_cut(whole)])
    ends = _Ends(client, client_ipv4(client))
    yield Story("not ours", [_Ends(client, "192.168.7.9").out("192.168.7.20", 445, b"x" * 300)])
    if client == TRIAL:
        yield Story("trial", [ends.out(TRIAL_HOST, 443), ends.back(TRIAL_HOST, 443, b"x" * 400)])
    if client == SCANNER:
        probe = ends.out(_WEB_HOST, 1)
        assert probe.place is not None
        # What is different each time is the port that is tried.
        yield Story(_SCAN, [Packet(probe.frame, probe.place + 2, probe.checksum, 7_000)])


@frozen
class _Ends:
    """A client, and the address that it sends from."""

    client: int
    near: str

    def out(self, far: str, port: int, payload: bytes = b"", *, numbers: int = _ANY) -> Packet:
        flow = f"{_at(self.near, _PORT)} > {_at(far, port)}"
        return self._numbered(tcp(flow, payload), 0, 16, outbound=True, numbers=numbers)

    def back(self, far: str, port: int, payload: bytes = b"", *, numbers: int = _ANY) -> Packet:
        flow = f"{_at(far, port)} > {_at(self.near, _PORT)}"
        return self._numbered(tcp(flow, payload), 2, 16, outbound=False, numbers=numbers)

    def echo(self, far: str) -> list[Packet]:
        flows = (f"{self.near} > {far}", f"{far} > {self.near}")
        return [
            self._numbered(
                icmp_echo(flow, reply=reply, identifier=self.client, payload=b"x" * 48),
                6,
                2,
                outbound=not reply,
            )
            for flow, reply in zip(flows, (False, True), strict=True)
        ]

    def fragments(self, far: str) -> list[Packet]:
        whole = udp(f"{_at(far, 443)} > {_at(self.near, _PORT)}", b"x" * 1_800)
        parts = [fragment(whole, 0, 1_240), fragment(whole, 1_240)]
        head = self._head(outbound=False)
        if ":" in self.near:  # the lower half of the identification
            return [Packet(head + part, len(head) + IPV6 + 6) for part in parts]
        return [Packet(head + part, len(head) + 4, len(head) + 10) for part in parts]

    def error(self, far: str, router: str) -> list[Packet]:
        """Return a packet, and a router's answer that its time is exceeded."""
        sent = self.out(far, 443)
        kind = 3 if ":" in self.near else 11
        head = self._head(outbound=False)
        told = icmp_error(f"{router} > {self.near}", kind, quoting=sent.frame[len(head) :])
        quoted = len(head) + self._size + 8 + self._size
        # Port and checksum of the quote change against each other: the message's checksum stays.
        return [sent, Packet(head + told, quoted, quoted + 16)]

    @property
    def _size(self) -> int:
        return IPV6 if ":" in self.near else IPV4

    def _head(self, *, outbound: bool) -> bytes:
        ethertype = 0x86DD if ":" in self.near else 0x0800
        return ethernet(outbound=outbound, ethertype=ethertype, tagged=has_tag(self.client))

    def _numbered(
        self, packet: bytes, place: int, checksum: int, *, outbound: bool, numbers: int = _ANY
    ) -> Packet:
        head = self._head(outbound=outbound)
        transport = len(head) + self._size
        return Packet(head + packet, transport + place, transport + checksum, numbers)


def _cut(packet: Packet) -> Packet:
    # The frame ends in the middle of the header of TCP, as no snap length explains.
    return Packet(packet.frame[:-12])


def _no_ip() -> Iterator[Story]:
    ask = bytes.fromhex("0001080006040001 020000000002 0a140001 000000000000 0a140009")
    tell = bytes.fromhex("0001080006040002 020000000001 0a140009 020000000002 0a140001")
    arp = ethernet(outbound=False, ethertype=0x0806, tagged=False)
    yield Story("not IP", [Packet((arp + one).ljust(60, b"\0")) for one in (ask, tell)])
    # A bridge's hello: a length in the place of the type, then LLC.
    bridge = ethernet(outbound=True, ethertype=38, tagged=False) + b"\x42\x42\x03"
    yield Story("not IP", [Packet((bridge + bytes(35)).ljust(60, b"\0"))])
    lldp = ethernet(outbound=False, ethertype=0x88CC, tagged=False)
    station = bytes.fromhex("0207 04 020000000002 0403 05 3031 0602 0078 0000")
    yield Story("not IP", [Packet((lldp + station).ljust(60, b"\0"))])


def _at(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


@frozen
class Told:
    """Packets that are to be written: a number for each."""

    packet: Numbers
    number: Numbers
    length: Numbers
    """Bytes of the frame."""


class OtherPackets:
    """All packets of a capture that are of no direct flow."""

    def __init__(self, random: np.random.Generator) -> None:
        self._random = random
        all_of_them = stories()
        packets = [packet for story in all_of_them for packet in story.packets]
        self._sizes = np.array([len(story.packets) for story in all_of_them])
        self._firsts = np.cumsum(self._sizes) - self._sizes
        self._lengths = np.array([len(packet.frame) for packet in packets])
        self._numbers = np.array([packet.numbers for packet in packets])
        self._templates = [_Template.of(packet) for packet in packets]
        kinds = [story.kind for story in all_of_them]
        usual = np.array([SHARES.get(kind, 0) / kinds.count(kind) for kind in kinds])
        scan = np.array([float(kind == _SCAN) for kind in kinds])
        # A share is one of packets, and stories are drawn.
        self._usual = _weights(usual / self._sizes)
        self._with_scan = _weights(0.5 * usual / OTHERS / self._sizes + 0.5 * scan)

    def choose(self, progress: Weights) -> Told:
        """Choose packets, at places of the capture from 0 to 1, in order."""
        before = int(np.searchsorted(progress, SCAN_BEGINS))
        usual = self._drawn(before, self._usual)
        scanned = self._drawn(len(progress) - before, self._with_scan)
        packet, number = np.hstack([usual, scanned])
        return Told(packet, number % self._numbers[packet], self._lengths[packet])

    def _drawn(self, size: int, weights: Weights) -> tuple[Numbers, Numbers]:
        """Return which packets come, and their numbers."""
        story = self._random.choice(len(self._sizes), size=size, p=weights)
        sizes = self._sizes[story]
        within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        packet = (np.repeat(self._firsts[story], sizes) + within)[:size]
        number = np.repeat(self._random.integers(_ANY, size=size), sizes)[:size]
        return packet, number

    def write(self, out: Bytes, starts: Numbers, told: Told) -> None:
        """Write the frames to *out*."""
        order = np.argsort(told.packet, kind="stable")
        packets, begins = np.unique(told.packet[order], return_index=True)
        for packet, rows in zip(packets, np.split(order, begins[1:]), strict=True):
            block = self._templates[packet].numbered(told.number[rows])
            scatter(out, starts[rows], block)


def _weights(values: Weights) -> Weights:
    weights: Weights = values / values.sum()
    return weights


@frozen
class _Template:
    frame: Bytes = field(eq=False)
    packet: Packet

    @classmethod
    def of(cls, packet: Packet) -> "_Template":
        return cls(np.frombuffer(packet.frame, np.uint8), packet)

    def numbered(self, numbers: Numbers) -> Bytes:
        block = np.repeat(self.frame[None], len(numbers), axis=0)
        if (place := self.packet.place) is None:
            return block
        before = get16(block, place)
        after = before + numbers & 0xFFFF
        put16(block, place, after)
        if (checksum := self.packet.checksum) is not None:
            # As RFC 1624, section 3, has it.
            put16(
                block,
                checksum,
                folded((~get16(block, checksum) & 0xFFFF) + (~before & 0xFFFF) + after),
            )
        return block
