"""Captures by tcpdump: what a kernel has seen on a device."""

import signal
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import dpkt
from attrs import frozen

from tests.e2e.network import Namespace
from tests.e2e.programs import Program, wait_for


@frozen
class Seen:
    """An IP packet that a kernel has seen."""

    time: float
    """When, in Unix time."""

    source: str
    """Its source, as text."""

    destination: str
    """Its destination, as text."""

    protocol: int
    """What is in it."""

    payload: bytes
    """All that is behind the IP header."""

    size: int
    """Its length."""


class Capture(Program):
    """A running tcpdump. Use it with `with`, and ask for the packets once, at the end."""

    def __init__(self, namespace: Namespace, device: str, *expression: str, path: Path) -> None:
        # Packets are handed over at once (--immediate-mode) and written at once (-U), so that
        # none is missing at the end; -Z, or it would write as a user that may not write here.
        options = ("-n", "-U", "--immediate-mode", "-Z", "root", "-B", "16384")
        command = ("tcpdump", *options, "-i", device, "-w", str(path), *expression)
        super().__init__(namespace.name, command, path.with_suffix(".txt"))
        self._path = path

    def packets(self) -> list[Seen]:
        """End the capture, and return what is in it."""
        wait_for("tcpdump to take what is there", self.is_asleep)
        self.end(signal.SIGINT)
        if "\n0 packets dropped by kernel" not in self.text():
            raise RuntimeError(f"the capture is not complete: {self.text()}")
        return list(read(self._path))


def read(path: Path) -> Iterator[Seen]:
    """Yield the IP packets of a capture."""
    with path.open("rb") as file:
        reader = dpkt.pcap.Reader(file)
        start = 14 if reader.datalink() == dpkt.pcap.DLT_EN10MB else 0
        for seconds, frame in reader:
            if (seen := parse(float(seconds), bytes(frame[start:]))) is not None:
                yield seen


def parse(seconds: float, packet: bytes) -> Seen | None:
    """Return what *packet* is; `None` for what is not IP, such as ARP."""
    match packet[0] >> 4:
        case 4:
            ends, protocol, start = packet[12:20], packet[9], (packet[0] & 15) * 4
        case 6:
            ends, protocol, start = packet[8:40], packet[6], 40
        case _:
            return None
    half = len(ends) // 2
    source, destination = str(ip_address(ends[:half])), str(ip_address(ends[half:]))
    return Seen(seconds, source, destination, protocol, packet[start:], len(packet))
