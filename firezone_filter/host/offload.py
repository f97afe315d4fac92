"""What the kernel leaves undone in a packet, and how it stays right on the way through.

With offload a TUN device hands over what a network card would get. A *super-packet* has up to
64 KiB, which whoever sends it on cuts into segments. A *partial* checksum covers only the
pseudo-header, and whoever sends it on adds the rest. A header before each packet says so
(`struct virtio_net_hdr` of <linux/virtio_net.h>).

The library judges, counts and translates a super-packet as the one packet that it looks like: it
reads no transport checksum and no UDP length, and its segments differ from it only in what no
decision depends on (lengths, sequence numbers, PSH and FIN, IPv4's identification). Two things
are left to this module:

- *Before the decision.* The checksum is written later, where the header says, and whoever shares
  a machine with the gateway may have made that header (a virtual machine, a container with raw
  sockets): it could have the kernel write over a port or an address that has been permitted
  already. So `received` keeps partial only what is whole TCP or UDP and has its checksum in its
  place. What is partial elsewhere, such as in the packet within a VXLAN packet, is completed
  at once, and the library decides about what will be sent.
- *After it.* The library updates checksums for the difference (RFC 1624), which is wrong for a
  partial one: that is not complemented, and covers no port. `sent` makes it anew.
"""

from struct import Struct
from typing import Final, NamedTuple, assert_never

from firezone_filter import Forward, Translate
from firezone_filter.packet.headers import read_headers
from firezone_filter.packet.numbers import IPV4, IPV4_LENGTH, IPV6_LENGTH, TCP, UDP

HEADER_SIZE: Final = 10
"""Bytes of the header before each packet, in the byte order of the machine."""

NOTHING_LEFT: Final = bytes(HEADER_SIZE)
"""The header of a packet in which nothing is left undone."""

# Flags, kind of super-packet, length of the headers (a hint), bytes of a segment, where the
# checksum begins to cover, and where it stands from there.
_HEADER = Struct("=BBHHHH").unpack
_NEEDS_CHECKSUM: Final = 1
_NOT_SUPER: Final = 0
_ECN: Final = 0x80  # a flag of TCP super-packets, of which only the first segment has CWR

# Where the checksum stands in the transport header, and whose it is by that.
_CHECKSUM_AT: Final = {TCP: 16, UDP: 6}
_PROTOCOL: Final = {place: protocol for protocol, place in _CHECKSUM_AT.items()}

# What may be left undone: the kind, the place of the checksum, and in what, by protocol and bytes
# of an address.
_ORDINARY: Final = {
    (kind, _CHECKSUM_AT[protocol], protocol, size)
    for kind, protocol, size in (
        (_NOT_SUPER, TCP, IPV4_LENGTH),
        (_NOT_SUPER, TCP, IPV6_LENGTH),
        (_NOT_SUPER, UDP, IPV4_LENGTH),
        (_NOT_SUPER, UDP, IPV6_LENGTH),
        (1, TCP, IPV4_LENGTH),
        (4, TCP, IPV6_LENGTH),
        (5, UDP, IPV4_LENGTH),
        (5, UDP, IPV6_LENGTH),
    )
}

_WORD = Struct("!H").pack
_number = int.from_bytes
# A `Frame(…)` takes half as long again.
_new = tuple.__new__

# Checksums are sums of words modulo this number, which itself stands for a sum of 0.
_MODULUS: Final = 0xFFFF


class Frame(NamedTuple):
    """A packet, and what is left undone in it."""

    packet: bytes
    """The IP packet: what the library decides about."""

    header: bytes = b""
    """What is left undone, as the kernel has it; empty if nothing is, as in a reply."""


def received(header: bytes, packet: bytes) -> Frame | None:
    """Make what a device has handed over ready for a decision.

    Args:
        header: the 10 bytes before the packet.
        packet: the packet.

    Returns:
        The packet as it will be sent, but for what may be left undone, or `None` if nobody
        could say what will be sent: then it must go no further.
    """
    flags, kind, _, _, start, place = _HEADER(header)
    kind &= ~_ECN
    if not flags & _NEEDS_CHECKSUM:
        # No kernel makes a super-packet without a partial checksum.
        return _new(Frame, (packet, b"")) if kind == _NOT_SUPER else None
    headers = read_headers(packet)
    if (
        headers is not None
        and start == headers.transport
        and (kind, place, headers.protocol, len(headers.source)) in _ORDINARY
        and headers.fragment is None
    ):
        return _new(Frame, (packet, header))
    if kind != _NOT_SUPER or start + place + 2 > len(packet):
        return None
    return Frame(_completed(packet, start, start + place))


def sent(frame: Frame, decision: Forward | Translate) -> Frame:
    """Return the frame that goes on in the place of one that is allowed.

    Args:
        frame: what has been received.
        decision: the decision about its packet.
    """
    match decision:
        case Forward():
            return frame
        case Translate(packet=packet):
            header = frame.header
            return Frame(_with_sum(packet, header), header) if header else Frame(packet)
        case _:
            assert_never(decision)


def _completed(packet: bytes, start: int, at: int) -> bytes:
    """Return *packet* with a checksum at *at* of all from *start* on, as a kernel does it.

    What stands there is the sum of what else is covered, such as a pseudo-header.
    """
    covered = packet[start:]
    total = _number(covered + bytes(len(covered) % 2))
    # A computed 0 goes as 0xffff, whatever the protocol: in UDP it would mean that there is none.
    return _put(packet, at, -total % _MODULUS or _MODULUS)


def _with_sum(packet: bytes, header: bytes) -> bytes:
    """Return *packet* with the sum of its pseudo-header in the place of its checksum."""
    *_, start, place = _HEADER(header)
    # The pseudo-headers of both families are the same sum (RFC 9293, section 3.1; RFC 8200,
    # section 8.1). The length is that of the super-packet: who segments it takes that for granted.
    ends = packet[12:20] if packet[0] >> 4 == IPV4 else packet[8:40]
    total = _number(ends) + _PROTOCOL[place] + len(packet) - start
    return _put(packet, start + place, total % _MODULUS or _MODULUS)


def _put(packet: bytes, at: int, word: int) -> bytes:
    # One copy of up to 64 KiB, where `packet[:at] + … + packet[at + 2:]` makes three.
    return b"".join((packet[:at], _WORD(word), memoryview(packet)[at + 2 :]))
