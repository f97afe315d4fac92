"""Packets of direct flows, thousands at a time: what nine in ten packets of a capture are.

Every packet has right lengths and checksums. Half of the packets are of a few flows that last as
long as the capture; the others are of flows that come and go, some hundreds at a time. A flow of
TCP begins with its handshake.
"""

from ipaddress import ip_address
from typing import Final

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from benches.traffic_policy import (
    CLIENTS,
    DATABASE,
    METRICS,
    WEB,
    WEB6,
    client_ipv4,
    client_ipv6,
)

Bytes = NDArray[np.uint8]
Numbers = NDArray[np.int64]

TCP, UDP = 6, 17
ETHERNET, VLAN_TAG, IPV4, IPV6 = 14, 4, 20, 40

_LONG_FLOWS: Final = 64
_AT_A_TIME: Final = 256
"""Flows that come and go, of which packets are mixed."""

_PACKETS_OF_A_FLOW: Final = 120
"""Packets of the whole capture for each flow that comes and goes: it gets half of them."""

_OUTBOUND_SHARE: Final = 0.45
_SEGMENT: Final = 1_448
_LEAST_FRAME: Final = 60
_FIRST_PORT, _PORTS = 10_000, 50_000
_SYN, _SYN_ACK, _ACK, _PUSH = 0x02, 0x12, 0x10, 0x18


@frozen
class _Service:
    """Something that all clients may reach."""

    protocol: int
    first: str
    """The first of its addresses."""
    hosts: int
    port: int
    ports: int
    weight: float


_SERVICES: Final = (
    _Service(TCP, WEB, 60, 443, 1, 0.45),
    _Service(UDP, WEB, 60, 443, 1, 0.20),
    _Service(TCP, WEB, 60, 8_000, 101, 0.06),
    _Service(TCP, DATABASE, 8, 5_432, 1, 0.12),
    _Service(UDP, METRICS, 1, 8_125, 1, 0.05),
    _Service(TCP, WEB6, 60, 443, 1, 0.08),
    _Service(UDP, WEB6, 60, 443, 1, 0.04),
)


def has_tag(client: int) -> bool:
    """Tell whether frames of a client have a VLAN tag."""
    return client % 8 == 3


def ethernet(*, outbound: bool, ethertype: int, tagged: bool) -> bytes:
    """Return a header of Ethernet between clients and networks."""
    ends = [b"\x02\0\0\0\0\x01", b"\x02\0\0\0\0\x02"]
    tag = b"\x81\x00\x00\x14" if tagged else b""
    return b"".join(ends if outbound else ends[::-1]) + tag + ethertype.to_bytes(2)


def put16(block: Bytes, at: int, values: "Numbers | int") -> None:
    """Write numbers of 16 bits into a column of a block, a row for each packet."""
    block[:, at] = np.asarray(values) >> 8 & 0xFF
    block[:, at + 1] = np.asarray(values) & 0xFF


def get16(block: Bytes, at: int) -> Numbers:
    return block[:, at].astype(np.int64) << 8 | block[:, at + 1]


def folded(sums: Numbers) -> Numbers:
    """Return the checksums of sums of words (RFC 1071)."""
    for _ in range(3):
        sums = (sums & 0xFFFF) + (sums >> 16)
    return ~sums & 0xFFFF


def _sums(block: Bytes) -> Numbers:
    words = block.view(">u2") if block.flags.c_contiguous else block.copy().view(">u2")
    total: Numbers = words.sum(axis=1, dtype=np.int64)
    return total


class Canvas:
    """What payloads consist of: the bytes that are there before headers are written."""

    _PERIOD: Final = 1 << 21

    def __init__(self, random: np.random.Generator) -> None:
        self._bytes = np.frombuffer(random.bytes(self._PERIOD), np.uint8)
        self._buffer = np.empty(0, np.uint8)
        weights = np.where(np.arange(self._PERIOD) % 2, 1, 256)
        whole, halved = self._bytes * weights, self._bytes * (257 - weights)
        # The sums of words that begin at even places, and at odd ones, up to each place.
        self._sums = np.array([np.concatenate(([0], np.cumsum(one))) for one in (whole, halved)])

    def painted(self, size: int) -> Bytes:
        """Return so many bytes, in a buffer that the next call uses again."""
        if size > len(self._buffer):
            self._buffer = np.empty(size + size // 8, np.uint8)
        out = self._buffer[:size]
        for first in range(0, size, self._PERIOD):
            part = out[first : first + self._PERIOD]
            part[:] = self._bytes[: len(part)]
        return out

    def sums(self, first: Numbers, last: Numbers) -> Numbers:
        """Return the sums of the words in each range, *last* not included."""
        odd = first % 2
        return self._until(last, odd) - self._until(first, odd)

    def _until(self, at: Numbers, odd: Numbers) -> Numbers:
        result: Numbers = (
            at // self._PERIOD * self._sums[odd, -1] + self._sums[odd, at % self._PERIOD]
        )
        return result


@frozen
class Chosen:
    """Packets that are to be written: a number for each."""

    flow: Numbers
    count: Numbers
    """How many packets of its flow came before."""
    outbound: NDArray[np.bool_]
    payload: Numbers
    length: Numbers
    """Bytes of the frame."""


class DirectFlows:
    """All direct flows of a capture."""

    def __init__(self, packets: int, random: np.random.Generator) -> None:
        """Make up the flows of a capture of so many packets."""
        self.packets, self.random = packets, random
        flows = _LONG_FLOWS + self._short_flows + _AT_A_TIME
        draw = self.random.integers
        weights = [service.weight for service in _SERVICES]
        self._seen = np.zeros(flows, np.int64)
        self._client = draw(CLIENTS, size=flows)
        service = self.random.choice(len(_SERVICES), size=flows, p=weights)
        self._protocol = np.array([one.protocol for one in _SERVICES])[service]
        self._version = np.array([ip_address(one.first).version for one in _SERVICES])[service]
        self._client_port = _FIRST_PORT + np.arange(flows) % _PORTS
        ports = np.array([one.ports for one in _SERVICES])[service]
        self._far_port = np.array([one.port for one in _SERVICES])[service] + draw(ports)
        host = draw(np.array([one.hosts for one in _SERVICES])[service])
        self._far = _packed([one.first for one in _SERVICES])[service]
        # (IPv4 addresses stand at the beginning of 16 bytes.)
        for version, end in ((4, 4), (6, 16)):
            rows = self._version == version
            far = self._far[rows]
            put16(far, end - 2, get16(far, end - 2) + host[rows])
            self._far[rows] = far
        v4 = _packed([client_ipv4(number) for number in range(CLIENTS)])[self._client]
        v6 = _packed([client_ipv6(number) for number in range(CLIENTS)])[self._client]
        self._near = np.where((self._version == 4)[:, None], v4, v6)

    @property
    def _short_flows(self) -> int:
        return self.packets // _PACKETS_OF_A_FLOW

    def choose(self, at: Numbers) -> Chosen:
        """Choose the packets at these places of the capture."""
        size = len(at)
        long = (_LONG_FLOWS * self.random.random(size) ** 2).astype(np.int64)
        begun = at * self._short_flows // self.packets
        short = _LONG_FLOWS + begun + self.random.integers(_AT_A_TIME, size=size)
        flow = np.where(self.random.random(size) < 0.5, long, short)
        count = self._seen[flow] + _ranks(flow)
        self._seen += np.bincount(flow, minlength=len(self._seen))
        outbound = (self.random.random(size) < _OUTBOUND_SHARE) & (count != 1) | (count == 0)
        payload = self._payloads(flow, count, outbound)
        headers = (
            ETHERNET
            + np.where(has_tag_of(self._client[flow]), VLAN_TAG, 0)
            + np.where(self._version[flow] == 4, IPV4, IPV6)
            + np.where(self._protocol[flow] == TCP, 20, 8)
        )
        # What comes from a network has been padded by a network card.
        least = np.where(outbound, 0, _LEAST_FRAME)
        return Chosen(flow, count, outbound, payload, np.maximum(headers + payload, least))

    def _payloads(self, flow: Numbers, count: Numbers, outbound: NDArray[np.bool_]) -> Numbers:
        """Return sizes: acknowledgements, requests, downloads."""
        size = len(flow)
        kind, is_tcp = self.random.random(size), self._protocol[flow] == TCP
        some = self.random.integers(40, 400, size=size)
        many = self.random.integers(700, 1_400, size=size)
        payload = np.where(kind < np.where(outbound, 0.05, 0.35), many, some)
        nothing = is_tcp & ((kind > np.where(outbound, 0.35, 0.65)) | (count < 2))
        return np.where(nothing, 0, payload)

    def write(self, out: Bytes, starts: Numbers, chosen: Chosen, canvas: Canvas) -> None:
        """Write the headers of frames to *out*, where payloads are already."""
        l3 = starts + ETHERNET
        client, version = self._client[chosen.flow], self._version[chosen.flow]
        for outbound in (False, True):
            for number, ethertype, size in ((4, 0x0800, IPV4), (6, 0x86DD, IPV6)):
                rows = (chosen.outbound == outbound) & (version == number)
                for tagged in (False, True):
                    head = ethernet(outbound=outbound, ethertype=ethertype, tagged=tagged)
                    these = rows & (has_tag_of(client) == tagged)
                    scatter(out, starts[these], np.frombuffer(head, np.uint8)[None])
                    l3[these] = starts[these] + len(head)
                of = np.flatnonzero(rows)
                self._write_ip(out, l3[of], _picked(chosen, of), size, canvas)

    def _write_ip(
        self, out: Bytes, l3: Numbers, chosen: Chosen, size: int, canvas: Canvas
    ) -> None:
        flow, is_v4 = chosen.flow, size == IPV4
        width = 4 if is_v4 else 16
        near, far = self._near[flow, :width], self._far[flow, :width]
        outbound = chosen.outbound[:, None]
        ends = np.hstack([np.where(outbound, near, far), np.where(outbound, far, near)])
        protocol = self._protocol[flow]
        body = chosen.payload + np.where(protocol == TCP, 20, 8)
        block = np.zeros((len(flow), size), np.uint8)
        block[:, size - 2 * width :] = ends
        if is_v4:
            block[:, 0], block[:, 8], block[:, 9] = 0x45, 64, protocol
            put16(block, 2, body + IPV4)
            put16(block, 4, chosen.count)
            put16(block, 6, 0x4000)  # not to be cut
            put16(block, 10, folded(_sums(block)))
        else:
            block[:, 0], block[:, 6], block[:, 7] = 0x60, protocol, 64
            put16(block, 4, body)
        scatter(out, l3, block)
        pseudo = _sums(ends) + protocol + body
        for kind in (TCP, UDP):
            of = np.flatnonzero(protocol == kind)
            head = (
                self._tcp(_picked(chosen, of)) if kind == TCP else self._udp(_picked(chosen, of))
            )
            begin = l3[of] + size + head.shape[1]
            payload = canvas.sums(begin, begin + chosen.payload[of])
            # The words of a payload begin at the payload, wherever that is.
            checksum = folded(pseudo[of] + _sums(head) + payload)
            # Of UDP, 0 would mean that there is none (RFC 768).
            if kind == TCP:
                put16(head, 16, checksum)
            else:
                put16(head, 6, np.where(checksum == 0, 0xFFFF, checksum))
            scatter(out, begin - head.shape[1], head)

    def _tcp(self, chosen: Chosen) -> Bytes:
        head = self._with_ports(chosen, 20)
        mine = chosen.flow * 40_503 + np.where(chosen.outbound, 0, 1 << 30)
        other = chosen.flow * 40_503 + np.where(chosen.outbound, 1 << 30, 0)
        for at, base in ((4, mine), (8, other)):
            value = base + chosen.count * _SEGMENT
            put16(head, at, value >> 16)
            put16(head, at + 2, value)
        later = np.where(chosen.payload > 0, _PUSH, _ACK)
        head[chosen.count == 0, 8:12] = 0
        head[:, 12] = 5 << 4
        head[:, 13] = np.select([chosen.count == 0, chosen.count == 1], [_SYN, _SYN_ACK], later)
        put16(head, 14, 64_240)
        return head

    def _udp(self, chosen: Chosen) -> Bytes:
        head = self._with_ports(chosen, 8)
        put16(head, 4, chosen.payload + 8)
        return head

    def _with_ports(self, chosen: Chosen, size: int) -> Bytes:
        head = np.zeros((len(chosen.flow), size), np.uint8)
        near, far = self._client_port[chosen.flow], self._far_port[chosen.flow]
        put16(head, 0, np.where(chosen.outbound, near, far))
        put16(head, 2, np.where(chosen.outbound, far, near))
        return head


def has_tag_of(clients: Numbers) -> NDArray[np.bool_]:
    tags: NDArray[np.bool_] = np.array([has_tag(number) for number in range(CLIENTS)])[clients]
    return tags


def scatter(out: Bytes, starts: Numbers, block: Bytes) -> None:
    """Write each row of a block, or its only one, to its place."""
    out[starts[:, None] + np.arange(block.shape[1])] = block


def _picked(chosen: Chosen, of: Numbers) -> Chosen:
    return Chosen(
        chosen.flow[of],
        chosen.count[of],
        chosen.outbound[of],
        chosen.payload[of],
        chosen.length[of],
    )


def _packed(addresses: list[str]) -> Bytes:
    rows = [ip_address(address).packed.ljust(16, b"\0") for address in addresses]
    return np.frombuffer(b"".join(rows), np.uint8).reshape(-1, 16).copy()


def _ranks(values: Numbers) -> Numbers:
    """Return how many equal ones stand before each."""
    order = np.argsort(values, kind="stable")
    begins = np.flatnonzero(np.diff(values[order], prepend=-1))
    ranks = np.empty(len(values), np.int64)
    ranks[order] = np.arange(len(values)) - np.repeat(begins, np.diff(begins, append=len(values)))
    return ranks
