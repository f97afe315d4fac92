"""The Internet checksum (RFC 1071), and changing it along with what it covers (RFC 1624).

A one's complement sum of 16-bit words is a remainder modulo 0xffff, and so is the number
that the same bytes make: Python's integers sum a whole header at once.
"""

from typing import Final

_WORD: Final = 0xFFFF


def difference(old: bytes, new: bytes) -> int:
    """Return what changing *old* to *new* adds to a checksum's sum of words.

    Both start at an even byte of what the checksum covers and are equally long.
    """
    pad = b"\x00" * (len(old) % 2)
    return (int.from_bytes(new + pad) - int.from_bytes(old + pad)) % _WORD


def adjust(checksum: int, change: int) -> int:
    """Return *checksum* after its sum of words has changed by *change* (RFC 1624, eqn. 3).

    A wrong checksum stays as wrong as it was: whether a packet arrived intact is for its
    receiver to find out.
    """
    # The checksum is the complement of the sum: what the sum gains, the checksum loses.
    changed = checksum - change
    return changed if changed >= 0 else changed + _WORD


def adjust_udp(checksum: int, change: int) -> int:
    """Do the same for UDP, where 0 means that there is no checksum (RFC 768)."""
    if checksum == 0:
        return 0
    return adjust(checksum, change) or _WORD
