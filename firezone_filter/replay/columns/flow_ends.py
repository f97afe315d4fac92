"""What the columns of decisions say about the two ends of flows."""

from ipaddress import ip_address
from typing import Final

import numpy as np
from numpy.typing import NDArray

from firezone_filter.packet.numbers import IPV4_LENGTH
from firezone_filter.replay.columns.near_ends import packed_of
from firezone_filter.replay.columns.outcomes import Texts

_ROOM: Final = 1 << 10
"""Flows that there is room for at first."""


class FlowEnds:
    """The two ends of each flow, and the texts of all addresses."""

    def __init__(self) -> None:
        self.texts: Texts = Texts()
        """All addresses as text."""
        self.values: NDArray[np.int32] = np.empty((5, _ROOM), dtype=np.int32)
        """A column for each flow, with the numbers of both addresses, protocol and ports."""
        self._known: dict[tuple[int, int, bool], int] = {}
        self._packed: dict[bytes, int] = {}

    def clear(self) -> None:
        """Forget all flows."""
        self.texts = Texts()
        self._known.clear()
        self._packed.clear()

    def add(self, first: int, words: NDArray[np.uint64]) -> None:
        """Take note of new flows, by their *words* (`Flows.words`), from number *first* on."""
        end = first + words.shape[1]
        while end > self.values.shape[1]:
            self.values = np.concatenate([self.values, self.values], axis=1)
        a, b, c, d, last = words
        is_ipv6 = (last >> np.uint64(40)).astype(np.bool_)
        low = last.astype(np.uint32)
        self.values[:, first:end] = (
            self._numbers(a, b, is_ipv6),
            self._numbers(c, d, is_ipv6),
            (last >> np.uint64(32)).astype(np.uint8),
            low.astype(np.uint16).byteswap(),
            (low >> np.uint32(16)).astype(np.uint16).byteswap(),
        )

    def text(self, packed: bytes) -> int:
        """Return the number of an address."""
        number = self._packed.get(packed)
        if number is None:
            is_ipv4 = len(packed) == IPV4_LENGTH
            # A fifth of the time that `ip_address` takes.
            text = "%d.%d.%d.%d" % tuple(packed) if is_ipv4 else str(ip_address(packed))  # noqa: UP031
            number = self._packed[packed] = self.texts.number(text)
        return number

    def _numbers(
        self, first: NDArray[np.uint64], second: NDArray[np.uint64], is_ipv6: NDArray[np.bool_]
    ) -> list[int]:
        numbers = []
        for words in zip(first.tolist(), second.tolist(), is_ipv6.tolist(), strict=True):
            number = self._known.get(words)
            if number is None:
                packed = packed_of(words[0], words[1], is_ipv6=words[2])
                number = self._known[words] = self.text(packed)
            numbers.append(number)
        return numbers
