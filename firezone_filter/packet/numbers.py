"""Numbers from the standards that several modules need."""

from typing import Final

IPV4: Final = 4
IPV6: Final = 6
"""IP versions."""

IPV4_LENGTH: Final = 4
IPV6_LENGTH: Final = 16
"""Bytes of an address."""

IPV4_HEADER: Final = 20
IPV6_HEADER: Final = 40
"""Bytes of an IP header without options or extension headers."""

MAX_PORT: Final = 65_535
"""The highest TCP or UDP port."""

MAX_BYTE: Final = 255
"""The highest ICMP type, and the highest protocol number."""

ICMPV4: Final = 1
TCP: Final = 6
UDP: Final = 17
ICMPV6: Final = 58
"""IANA protocol numbers of the transports that filters and NAT distinguish."""

FIN: Final = 0x01
SYN: Final = 0x02
RST: Final = 0x04
ACK: Final = 0x10
"""TCP flags (RFC 9293, section 3.1)."""

TCP_FLAGS_AT: Final = 13
"""Index of the flags in a TCP header."""

STATE_FLAGS: Final = FIN | SYN | RST
"""Flags that may begin, end or restart a connection."""
