"""Short ways to write packets, frames and capture files, byte by byte with `struct`."""

import io
import struct
from collections.abc import Callable, Iterable, Iterator
from ipaddress import ip_address
from typing import Final, Literal

from attrs import evolve

from firezone_filter.capture import (
    Capture,
    DamagedCaptureError,
    UnreadableCaptureError,
)
from firezone_filter.capture.frames import clamped
from firezone_filter.capture.stream import NS_PER_S, Record
from firezone_filter.policy import Policy, load_policy
from firezone_filter.replay.captured_packet import read_packet
from firezone_filter.replay.summary import Decided
from firezone_filter.values.decisions import Decision, Direction, Drop, Reject

ByteOrder = Literal["<", ">"]

CLIENT = "100.64.0.2"
CLIENT_6 = "fd00:2021:1111::2"
GATEWAY = "100.64.0.1"
RESOURCE = "10.0.0.5"
RESOURCE_6 = "2001:db8::5"

START_S = 1_700_000_000
"""When captures begin; the authorization of `POLICY` lasts 100 seconds more."""

RAW, ETHERNET, WIFI = 101, 1, 105
"""Link types; the last is not supported."""

POLICY: Final = {
    "gateway": {"ipv4": GATEWAY, "ipv6": "fd00:2021:1111::1"},
    "clients": [
        {
            "id": "alice",
            "ipv4": CLIENT,
            "ipv6": CLIENT_6,
            "authorizations": [
                {
                    "resource": {
                        "type": "cidr",
                        "id": "db",
                        "name": "Database",
                        "address": "10.0.0.0/24",
                        "filters": [
                            {"protocol": "tcp", "port_range_start": 5432, "port_range_end": 5432},
                            {"protocol": "icmp"},
                        ],
                    },
                    "expires_at": 1_700_000_100,
                }
            ],
        }
    ],
}


def policy() -> Policy:
    return load_policy(POLICY)


def ipv4(  # noqa: PLR0913 - the fields that a test may want to set
    source: str = CLIENT,
    destination: str = RESOURCE,
    protocol: int = 17,
    payload: bytes = b"",
    *,
    options: bytes = b"",
    fragment: int = 0,
) -> bytes:
    header = 20 + len(options)
    return (
        struct.pack(
            ">BBHHHBBH4s4s",
            0x40 | header // 4,
            0,
            header + len(payload),
            7,
            fragment,
            64,
            protocol,
            0,
            ip_address(source).packed,
            ip_address(destination).packed,
        )
        + options
        + payload
    )


def ipv6(
    source: str = CLIENT_6, destination: str = RESOURCE_6, protocol: int = 17, payload: bytes = b""
) -> bytes:
    addresses = ip_address(source).packed + ip_address(destination).packed
    return struct.pack(">IHBB", 0x6000_0000, len(payload), protocol, 64) + addresses + payload


def ports(source: int, destination: int, size: int = 20) -> bytes:
    """Return a transport header of *size* bytes that begins with two ports."""
    return struct.pack(">HH", source, destination).ljust(size, b"\0")


def tcp(source_port: int, port: int, source: str = CLIENT, destination: str = RESOURCE) -> bytes:
    return ipv4(source, destination, 6, ports(source_port, port))


def ping(source: str = CLIENT, destination: str = RESOURCE) -> bytes:
    return ipv4(source, destination, 1, struct.pack(">BBHHH", 8, 0, 0, 7, 1))


ALLOWED = tcp(40000, 5432)
ANSWER = tcp(5432, 40000, RESOURCE, CLIENT)
REFUSED = tcp(40000, 22)
REFUSED_ANSWER = tcp(22, 40000, RESOURCE, CLIENT)
FOREIGN = tcp(40000, 5432, "10.0.0.9", RESOURCE)


def ethernet(kind: int, payload: bytes, *tags: int) -> bytes:
    """Return a frame; each of *tags* is the type of a VLAN tag, the outermost first."""
    types = b"".join(struct.pack(">HH", tag, 7) for tag in tags) + struct.pack(">H", kind)
    return bytes(12) + types + payload


def cooked(kind: int, payload: bytes, device: int = 1) -> bytes:
    return struct.pack(">HHH8sH", 0, device, 6, b"", kind) + payload


def cooked_v2(kind: int, payload: bytes, device: int = 1) -> bytes:
    return struct.pack(">HHIHBB8s", kind, 0, 1, device, 0, 6, b"") + payload


def snap(kind: int, payload: bytes, organization: bytes = b"\0\0\0") -> bytes:
    """Return an LLC header with SNAP, and what it carries."""
    return b"\xaa\xaa\x03" + organization + struct.pack(">H", kind) + payload


def ethernet_llc(payload: bytes) -> bytes:
    """Return an 802.3 frame, which has a length in the place of the type."""
    return ethernet(len(payload), payload)


def pppoe(protocol: int, payload: bytes, code: int = 0) -> bytes:
    inner = struct.pack(">H", protocol) + payload
    return struct.pack(">BBHH", 0x11, code, 7, len(inner)) + inner


def mpls(payload: bytes, *labels: int) -> bytes:
    """Return a packet behind a stack of *labels*, the outermost first."""
    last = len(labels) - 1
    stack = (label << 12 | (n == last) << 8 | 64 for n, label in enumerate(labels))
    return b"".join(entry.to_bytes(4) for entry in stack) + payload


def pcap_header(
    order: ByteOrder = "<",
    *,
    magic: int = 0xA1B2C3D4,
    version: tuple[int, int] = (2, 4),
    link_type: int = 101,
) -> bytes:
    return struct.pack(order + "IHHIIII", magic, *version, 0, 0, 65_535, link_type)


def pcap_record(
    frame: bytes,
    seconds: int = 1_700_000_000,
    ticks: int = 0,
    *,
    order: ByteOrder = "<",
    wire_length: int | None = None,
) -> bytes:
    length = len(frame) if wire_length is None else wire_length
    return struct.pack(order + "IIII", seconds, ticks, len(frame), length) + frame


def pcap(*frames: bytes, link_type: int = RAW) -> bytes:
    """Return a little-endian capture of *frames*, a second apart."""
    records = (pcap_record(frame, START_S + n) for n, frame in enumerate(frames))
    return pcap_header(link_type=link_type) + b"".join(records)


def record(
    frame: bytes,
    seconds: float = START_S,
    *,
    link_type: int = RAW,
    wire_length: int | None = None,
) -> Record:
    length = len(frame) if wire_length is None else wire_length
    return Record(round(seconds * NS_PER_S), link_type, frame, length)


def decided(
    packet: bytes,
    decision: Decision,
    direction: Direction = Direction.OUTBOUND,
    *,
    time_ns: int = START_S * NS_PER_S,
    wire_length: int | None = None,
) -> Decided:
    """Return a decided packet, as the first frame of a capture of raw IP."""
    length = len(packet) if wire_length is None else wire_length
    resource_id = None if isinstance(decision, Reject | Drop) else decision.resource_id
    captured = read_packet(packet, length)
    return Decided(1, time_ns, direction, captured, length, decision, resource_id)


def read_capture(data: bytes) -> list[Record]:
    """Return the records of a capture, after making sure that its chunks say the same.

    Raises:
        DamagedCaptureError: The same, from both, after the last good record.
        UnreadableCaptureError: Likewise.
    """
    records, error = _read(lambda: Capture(io.BytesIO(data)))
    chunked, same_error = _read(lambda: _by_chunks(Capture(io.BytesIO(data))))
    assert [evolve(one, time_ns=clamped(one.time_ns)) for one in records] == chunked
    assert repr(error) == repr(same_error)
    if error is not None:
        raise error
    return records


def _by_chunks(capture: Capture) -> Iterator[Record]:
    for frames in capture.chunks():
        yield from frames.records()


def _read(read: Callable[[], Iterable[Record]]) -> tuple[list[Record], Exception | None]:
    records: list[Record] = []
    try:
        for one in read():
            records.append(one)  # noqa: PERF402 - those before an error count
    except (DamagedCaptureError, UnreadableCaptureError) as error:
        return records, error
    return records, None


def block(kind: int, body: bytes, order: ByteOrder = "<") -> bytes:
    body += bytes(-len(body) % 4)
    length = struct.pack(order + "I", len(body) + 12)
    return struct.pack(order + "I", kind) + length + body + length


def section(order: ByteOrder = "<", version: tuple[int, int] = (1, 0)) -> bytes:
    return block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, *version, -1), order)


def option(code: int, value: bytes, order: ByteOrder = "<") -> bytes:
    return struct.pack(order + "HH", code, len(value)) + value + bytes(-len(value) % 4)


def interface(
    link_type: int = 101, options: bytes = b"", *, order: ByteOrder = "<", snap_length: int = 0
) -> bytes:
    return block(1, struct.pack(order + "HHI", link_type, 0, snap_length) + options, order)


def enhanced(  # noqa: PLR0913 - the fields that a test may want to set
    frame: bytes,
    ticks: int = 1_700_000_000_000_000,
    *,
    number: int = 0,
    order: ByteOrder = "<",
    captured: int | None = None,
    wire_length: int | None = None,
) -> bytes:
    size = len(frame) if captured is None else captured
    length = len(frame) if wire_length is None else wire_length
    head = struct.pack(order + "IIIII", number, ticks >> 32, ticks & 0xFFFF_FFFF, size, length)
    return block(6, head + frame, order)


def packet_block(frame: bytes, ticks: int = 1_700_000_000_000_000, *, number: int = 0) -> bytes:
    high, low = ticks >> 32, ticks & 0xFFFF_FFFF
    head = struct.pack("<HHIIII", number, 0, high, low, len(frame), len(frame))
    return block(2, head + frame)


def simple(frame: bytes, wire_length: int | None = None) -> bytes:
    length = len(frame) if wire_length is None else wire_length
    return block(3, struct.pack("<I", length) + frame)
