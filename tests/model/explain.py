"""Why a packet is decided as it is (section 8): what is written down on the way."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from . import packets
from .values import Address, Given

if TYPE_CHECKING:
    from .packets import Packet
    from .policy import Candidate


@dataclass
class Account:
    """What the checks of one packet said, in their order; the last one decides."""

    checks: list[tuple[str, bool]] = field(default_factory=list)
    candidates: list[Candidate] = field(default_factory=list)  # best first: that one wins
    excluded: list[str] = field(default_factory=list)
    client_id: str | None = None

    def check(self, name: str, passed: Given) -> bool:
        """Write a check down, and say what it said."""
        self.checks.append((name, bool(passed)))
        return bool(passed)


@dataclass(frozen=True)
class Summary:
    """What was read of a packet."""

    version: int
    source: Address
    destination: Address
    protocol: int
    source_port: int | None
    destination_port: int | None
    icmp_type: int | None
    icmp_code: int | None
    fragment: str | None
    length: int
    quoted: Summary | None


def summary(packet: Packet, *, is_quote: bool = False) -> Summary:
    """Say what was read of a packet, and of the one that it quotes if it is an ICMP error.

    reading: the same *once* more: of a quoted error, what that quotes is not said.
    """
    fragment, quoted = None, None
    if packet.fragment is not None:
        fragment = "later" if packet.is_later_fragment else "first"
    if packet.is_icmp_error and not is_quote:
        quote = packets.parse_quote(packet.data[packet.transport_at + 8 :])
        quoted = None if quote is None else summary(quote, is_quote=True)
    return Summary(
        packet.version,
        packet.source,
        packet.destination,
        packet.protocol,
        packet.source_port,
        packet.destination_port,
        packet.icmp_type,
        None if packet.icmp_type is None else packet.data[packet.transport_at + 1],
        fragment,
        len(packet.data),
        quoted,
    )


@dataclass(frozen=True)
class Explanation:
    """What `handle_packet` would decide, and why."""

    decision: tuple[Given, ...]
    account: Account
    packet: Summary | None
