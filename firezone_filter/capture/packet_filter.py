"""Filters in tcpdump's language, compiled by libpcap: the only module that imports its binding."""

from typing import Any, Final

import numpy as np
from attrs import define, field
from numpy.typing import NDArray

from firezone_filter.capture.extras import module_of
from firezone_filter.capture.frames import Frames

_DLT: Final = {14: 12, 100: 11, 101: 12}
"""libpcap's own numbers of link types (DLT), where captures have others: raw IP (as OpenBSD
numbers it, and everybody) and ATM."""

_SNAP_LENGTH: Final = 262_144


class InvalidFilterError(ValueError):
    """A filter that libpcap does not compile, for the link type of a capture."""


@define(eq=False)
class PacketFilter:
    """Says which frames fit."""

    text: str
    _binding: Any = field(init=False)
    _programs: dict[int, Any] = field(init=False, factory=dict)

    def __attrs_post_init__(self) -> None:
        """Load libpcap.

        Raises:
            MissingExtraError: Its binding is not installed.
        """
        self._binding = module_of("filter", "cypcap")

    def check(self, link_type: int) -> None:
        """Compile it for frames of *link_type*.

        Raises:
            InvalidFilterError: It cannot be.
        """
        if link_type in self._programs:
            return
        binding = self._binding
        try:
            number = _DLT.get(link_type, link_type)
            with binding.open_dead(number, _SNAP_LENGTH) as fake:
                self._programs[link_type] = fake.compile(self.text, optimize=True)
        except binding.Error as error:
            raise InvalidFilterError(
                f"filter {self.text!r}, link type {link_type}: {error.args[-1]}"
            ) from None

    def fitting(self, frames: Frames) -> NDArray[np.bool_]:
        """Tell of each of *frames* whether it fits.

        Raises:
            InvalidFilterError: The filter cannot be compiled for their link type.
        """
        if isinstance(frames.link_type, int):
            return self._fitting(frames, frames.link_type, slice(None))
        fits = np.zeros(len(frames), np.bool_)
        for link_type in np.unique(frames.link_type).tolist():
            which = np.flatnonzero(frames.link_type == link_type)
            fits[which] = self._fitting(frames, link_type, which)
        return fits

    def _fitting(
        self, frames: Frames, link_type: int, which: slice | NDArray[np.intp]
    ) -> NDArray[np.bool_]:
        self.check(link_type)
        fits = self._programs[link_type].offline_filter
        header = self._binding.Pkthdr(0.0, 0, 0)
        starts, captured = frames.starts[which], frames.captured[which]
        first, end = int(starts.min()), int((starts + captured).max())
        data = frames.data[first:end].tobytes()
        wires = np.maximum(frames.wire[which], captured).tolist()
        found = []
        for start, size, wire in zip(
            (starts - first).tolist(), captured.tolist(), wires, strict=True
        ):
            # libpcap believes the header: it must not claim more than there is.
            header.caplen, header.len = size, wire
            found.append(fits(header, data[start : start + size]))
        return np.array(found, np.bool_)
