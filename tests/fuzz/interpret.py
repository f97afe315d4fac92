"""Bytes as a story: hooks and packets as a fuzzer has them, and whole packets as they are.

Whatever the bytes, the gateway and its naive model decide alike.
"""

import random
from collections.abc import Iterator
from pathlib import Path

import dpkt

from firezone_filter.testing import patched
from tests.property.pools import CLIENTS, INBOUND, OUTBOUND, STEPS, TUNNEL
from tests.property.story import Story
from tests.property.wire import version_of

CAPTURES = Path(__file__).parents[3] / "shared" / "captures"
"""Packets of real networks, where somebody has put them."""

PER_SEED = 20
"""Captured packets in one input."""

MAX_PACKET = 2_047
MAX_SHORT = 127
"""Random bytes had better be few."""

# What stands before the IP header, by link type.
LINK_HEADERS = {dpkt.pcap.DLT_EN10MB: 14, dpkt.pcap.DLT_LINUX_SLL: 16, dpkt.pcap.DLT_RAW: 0}


HEADERS = {4: 20, 6: 40}


class Spent(Exception):  # noqa: N818 - it is none
    """The input is at its end, and so is the story."""


class Fed(random.Random):
    """A source of randomness that is what it is fed."""

    def __init__(self, data: bytes) -> None:
        super().__init__(0)
        self._data = data
        self._at = 0

    def take(self, count: int) -> bytes:
        taken = self._data[self._at : self._at + count]
        if len(taken) < count:
            raise Spent
        self._at += count
        return taken

    def getrandbits(self, k: int, /) -> int:
        return int.from_bytes(self.take((k + 7) // 8)) >> (-k % 8)

    def random(self) -> float:
        return self.getrandbits(16) / 2**16


def run(data: bytes) -> None:
    """Tell the story of an input; raise where gateway and model differ."""
    tell(data)


def tell(data: bytes) -> Story:
    """Tell the story of an input to its end."""
    # The beginning is one of 256: from there on the input tells.
    story = Story(random.Random(data[:1]))
    fed = Fed(data[1:])
    story.draw = story.wire.draw = fed
    try:
        while True:
            if fed.take(1)[0] % 2:
                whole_packet(story, fed)
            else:
                story.step()
    except Spent:
        return story


def whole_packet(story: Story, fed: Fed) -> None:
    """Hand a packet in as the input has it; if it says so, as one of a client's."""
    way, whose, step = fed.take(3)
    size = int.from_bytes(fed.take(2)) & (MAX_PACKET if way >> 3 == 1 else MAX_SHORT)
    packet = fed.take(size)
    direction = INBOUND if way & 1 else OUTBOUND
    if way & 2 and size >= HEADERS.get(version_of(packet or b"\0"), MAX_PACKET):
        packet = aimed(packet, whose % len(CLIENTS), inbound=bool(way & 1))
    client_id = CLIENTS[whose % len(CLIENTS)] if way & 4 else None
    story.now += STEPS[step] if step < len(STEPS) else 0.0
    story.twins.packet(direction, packet, story.now, client_id)


def aimed(packet: bytes, client: int, *, inbound: bool) -> bytes:
    """Put a client's address at the near end of a packet."""
    if version_of(packet) == 4:
        near = bytes(map(int, TUNNEL[4][client].split(".")))
        return patched(packet, 16 if inbound else 12, near)
    # All of the prefix is in the first of them.
    near = bytes.fromhex("fd002021111100000000000000000002")[:-1] + bytes([2 + client])
    return patched(packet, 24 if inbound else 8, near)


# --- Seeds -----------------------------------------------------------------------------------


def seeds(captures: Path) -> Iterator[bytes]:
    """Yield inputs to begin with: the packets of captures, each handed in both ways."""
    for path in sorted(captures.glob("*.*cap*")):
        packets = list(captured(path))
        for first in range(0, len(packets), PER_SEED):
            some = packets[first : first + PER_SEED]
            yield bytes([first % 256]) + b"".join(
                bytes([1, way, 0, 255]) + len(packet).to_bytes(2) + packet
                for packet in some
                for way in (10, 11)
            )


def captured(path: Path) -> Iterator[bytes]:
    """Yield the IP packets of a capture, as far as it can be read."""
    with path.open("rb") as file:
        reader = dpkt.pcap.UniversalReader(file)
        before = LINK_HEADERS.get(reader.datalink(), 0)
        for _, frame in reader:
            packet = frame[before:]
            if 0 < len(packet) <= MAX_PACKET:
                yield packet
