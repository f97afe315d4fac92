"""Explanations: what `Gateway.explain` answers about a packet.

Each is a value, says itself in words (`str`), and in JSON types for machines (`to_dict`).
"""

from collections.abc import Iterable, Iterator
from typing import Final, assert_never, final

from attrs import frozen

from firezone_filter.packet.numbers import ICMPV4, ICMPV6, TCP, UDP
from firezone_filter.structures.attribute_docs import documented
from firezone_filter.values.addresses import Address, Network
from firezone_filter.values.decisions import Decision, Drop, Forward, Reason, Reject, Translate
from firezone_filter.values.json_types import to_dict

_PASSED: Final = "\N{CHECK MARK}"
_FAILED: Final = "\N{BALLOT X}"

_NAMES: Final = {ICMPV4: "icmp", TCP: "tcp", UDP: "udp", ICMPV6: "icmpv6"} | {
    2: "igmp", 41: "ipv6", 47: "gre", 50: "esp", 51: "ah", 132: "sctp"
}  # fmt: skip


def protocol_name(protocol: int) -> str:
    """Return the usual name of an IP protocol: `tcp`, or `protocol 253` without one."""
    return _NAMES.get(protocol, f"protocol {protocol}")


@documented
@final
@frozen
class PacketSummary:
    """What was read of a packet. What it does not have is `None`."""

    version: int
    """4 or 6."""

    source: Address
    """Source address."""

    destination: Address
    """Destination address."""

    protocol: int
    """IANA protocol number of the transport, behind any IPv6 extension headers."""

    source_port: int | None
    """TCP or UDP source port; later fragments have none."""

    destination_port: int | None
    """TCP or UDP destination port; likewise."""

    icmp_type: int | None
    """ICMP or ICMPv6 type; likewise."""

    icmp_code: int | None
    """ICMP or ICMPv6 code; likewise."""

    fragment: str | None
    """`"first"` for the fragment with the transport header, `"later"` for any other, `None` for
    a whole packet."""

    length: int
    """Its bytes; of a quoted packet, those of the quote."""

    quoted: "PacketSummary | None" = None
    """The packet that an ICMP error quotes, if that can be read; it quotes none itself."""

    def __str__(self) -> str:
        source = _end(self.source, self.source_port)
        destination = _end(self.destination, self.destination_port)
        name = protocol_name(self.protocol)
        if self.icmp_type is not None:
            name = f"{name} type {self.icmp_type} code {self.icmp_code}"
        what = "" if self.fragment is None else f", {self.fragment} fragment"
        about = "" if self.quoted is None else f", about {self.quoted}"
        return f"{name} {source} > {destination}, {self.length} bytes{what}{about}"

    def to_dict(self) -> dict[str, object]:
        """Return the fields in JSON types."""
        quoted = None if self.quoted is None else self.quoted.to_dict()
        return {**to_dict(self), "quoted": quoted}


def _end(address: Address, port: int | None) -> str:
    if port is None:
        return str(address)
    return f"{address}:{port}" if address.version == 4 else f"[{address}]:{port}"  # noqa: PLR2004 - IP version


@documented
@final
@frozen
class Check:
    """One row of the table by which a packet was judged (rules.md, section 4)."""

    name: str
    """Names the row: `headers`, `multicast`, `tunnel`, `client`, `source`, `fragment`,
    `peer-address`, `icmp-error`, `link-local-icmp`, `own-address`, `session`, `resource`, `flow`
    or `translation`."""

    passed: bool
    """Whether the packet passed it. Only the last check of an explanation may have failed."""

    detail: str
    """What was compared with what, in words. The wording may change from release to release."""

    def __str__(self) -> str:
        return f"{_PASSED if self.passed else _FAILED} {self.name}: {self.detail}"

    def to_dict(self) -> dict[str, object]:
        """Return the fields in JSON types."""
        return to_dict(self)


@documented
@final
@frozen
class Candidate:
    """A resource of the client that covers the address that was judged (section 5, rule 1)."""

    resource_id: str
    """The resource."""

    name: str
    """Its name for people; may be empty."""

    covers: Network | Address | None
    """Its network that has the address, or the proxy address; `None` for the Internet."""

    permits: bool
    """Whether it permits the packet."""

    reason: Reason | None
    """Why it does not; `None` if it does."""

    wins: bool
    """Whether it is the one that answers (section 5, rule 2)."""

    def to_dict(self) -> dict[str, object]:
        """Return the fields in JSON types."""
        return to_dict(self)


@documented
@final
@frozen
class Explanation:
    """What `Gateway.handle_packet` would decide about a packet at a moment, and why.

    `str(explanation)` is for people: the packet, each check with a mark, the candidates as a
    table, and the decision. Its wording may change from release to release; for programs there
    are the fields and `to_dict`.
    """

    decision: Decision
    """The decision, with its reply or translated packet."""

    checks: tuple[Check, ...]
    """The checks that apply to the packet, in the order in which they are made. The last is the
    one that decides, and only that may have failed."""

    candidates: tuple[Candidate, ...]
    """All resources of the client that cover the address that was judged, best first. Exactly
    one wins, if there is any. For an ICMP error, those that cover the far address of the packet
    that it quotes; for a packet of a translated session, those of the proxy address. None where
    an earlier check decides, for later fragments, and for the gateway's own address."""

    excluded: tuple[str, ...]
    """The ids of the resources whose network has the address, but excludes it: those that would
    cover it otherwise."""

    client_id: str | None
    """The connected client that was found, if any."""

    packet: PacketSummary | None
    """What was read of the packet; `None` if it is malformed."""

    def __str__(self) -> str:
        return "\n".join(map(_printable, self._lines()))

    def _lines(self) -> Iterator[str]:
        yield "a malformed packet" if self.packet is None else str(self.packet)
        width = max(len(check.name) for check in self.checks)
        for check in self.checks:
            yield f"  {_PASSED if check.passed else _FAILED} {check.name:<{width}}  {check.detail}"
        if self.candidates:
            yield "candidates:"
            yield from _table(self.candidates)
        if self.excluded:
            yield f"excluding the address: {', '.join(self.excluded)}"
        yield _in_words(self.decision)

    def to_dict(self) -> dict[str, object]:
        """Return the fields in JSON types: decision, checks, candidates and packet as objects."""
        return {
            "decision": self.decision.to_dict(),
            "checks": [check.to_dict() for check in self.checks],
            "candidates": [candidate.to_dict() for candidate in self.candidates],
            "excluded": list(self.excluded),
            "client_id": self.client_id,
            "packet": None if self.packet is None else self.packet.to_dict(),
        }


def _printable(line: str) -> str:
    # Ids and names come from the portal: none may move a terminal's cursor, or fake a line.
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in line
    )


def _table(candidates: Iterable[Candidate]) -> Iterator[str]:
    rows = [
        (
            ">" if one.wins else " ",
            one.resource_id,
            "the Internet" if one.covers is None else str(one.covers),
            "permits it" if one.reason is None else f"refuses it: {one.reason}",
            one.name,
        )
        for one in candidates
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield f"  {'  '.join(cells).rstrip()}"


def _in_words(decision: Decision) -> str:
    match decision:
        case Forward(client_id, None):
            return f"forward: {client_id} and the gateway itself may exchange it"
        case Forward(client_id, resource_id):
            return f"forward: {client_id} may reach {resource_id}"
        case Translate(_, client_id, resource_id):
            return f"translate: {client_id} may reach {resource_id}"
        case Reject(_, reason, client_id):
            return f"reject, {client_id} gets a reply: {reason}. {reason.description}"
        case Drop(reason, _):
            return f"drop: {reason}. {reason.description}"
        case _:
            assert_never(decision)
