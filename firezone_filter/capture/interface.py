"""The interface on which a frame was captured: what pcapng says of it, and can say again."""

from typing import Final

from attrs import frozen

from firezone_filter.structures.attribute_docs import documented

_BASE_2: Final = 0x80

MICROSECONDS: Final = 6
NANOSECONDS: Final = 9
"""Time resolutions as pcapng writes them: the negative exponents of 10."""


def ticks_per_second(resolution: int) -> int:
    """Return what a pcapng time *resolution* stands for."""
    exponent = resolution & ~_BASE_2
    # The highest bit selects the base.
    return int(2**exponent if resolution & _BASE_2 else 10**exponent)


@documented
@frozen
class Interface:
    """An interface of a capture; a pcap file has one, which has no name."""

    link_type: int
    """LINKTYPE number."""

    snap_length: int = 0
    """0 means no limit."""

    resolution: int = MICROSECONDS
    """That of the time stamps, as the option of pcapng has it."""

    options: tuple[tuple[int, bytes], ...] = ()
    """Codes and values of its options in a pcapng file that mean the same in any other: names,
    addresses and the like."""
