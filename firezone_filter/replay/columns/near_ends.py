"""Whose addresses those of many packets are, found at once."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from firezone_filter.packet.numbers import IPV4_LENGTH
from firezone_filter.replay.columns.distinct import distinct

NOBODY = -1
"""Stands for an address of no client."""

_WORD = 8


def words_of(packed: bytes) -> tuple[int, int]:
    """Return an address in words, as they are read of packets; that of IPv4 has but one."""
    return int.from_bytes(packed[:_WORD], "little"), int.from_bytes(packed[_WORD:], "little")


def packed_of(first: int, second: int, *, is_ipv6: bool) -> bytes:
    """Return the address that has these words."""
    if not is_ipv6:
        return first.to_bytes(IPV4_LENGTH, "little")
    return first.to_bytes(_WORD, "little") + second.to_bytes(_WORD, "little")


class NearEnds:
    """The tunnel addresses of clients.

    An address has a rank among all first words, and one among all second words; both together,
    with the family, are one number, and it is looked for among those of the clients.
    """

    def __init__(self, addresses: Sequence[tuple[bytes, int]]) -> None:
        """Know the clients, as numbers, by their *addresses*."""
        words = [words_of(packed) for packed, _ in addresses]
        first, second = np.array(words, dtype=np.uint64).reshape(-1, 2).T
        is_ipv6 = np.array([len(packed) > IPV4_LENGTH for packed, _ in addresses], dtype=np.bool_)
        self._first, self._second = distinct(first)[0], distinct(second)[0]
        codes = self._codes(
            self._first.searchsorted(first), self._second.searchsorted(second), is_ipv6
        )
        order = np.argsort(codes)
        self._known = codes[order]
        self._clients = np.array([client for _, client in addresses], dtype=np.int32)[order]

    def find(
        self,
        first: NDArray[np.uint64],
        second: NDArray[np.uint64],
        is_ipv6: NDArray[np.bool_],
    ) -> NDArray[np.int32]:
        """Return the client of each address, or `NOBODY`."""
        if not len(self._known):
            return np.full(len(first), NOBODY, dtype=np.int32)
        at_first, has_first = _places(self._first, first)
        at_second, has_second = _places(self._second, second)
        at, is_known = _places(self._known, self._codes(at_first, at_second, is_ipv6))
        return np.where(has_first & has_second & is_known, self._clients[at], np.int32(NOBODY))

    def _codes(
        self,
        first: NDArray[np.int64],
        second: NDArray[np.int64],
        is_ipv6: NDArray[np.bool_],
    ) -> NDArray[np.int64]:
        return (first * len(self._second) + second) * 2 + is_ipv6


def _places(
    among: NDArray[np.generic], values: NDArray[np.generic]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return where *values* stand among some in order, and whether they do."""
    at = np.minimum(among.searchsorted(values), len(among) - 1)
    return at, among[at] == values
