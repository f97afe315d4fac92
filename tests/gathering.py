"""Chunks of frames from single records."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from firezone_filter.capture.frames import CHUNK_BYTES, CHUNK_FRAMES, Frames, clamped
from firezone_filter.capture.interface import Interface
from firezone_filter.capture.stream import Record


def gathered(records: Iterable[Record], most: int = CHUNK_FRAMES) -> Iterator[Frames]:
    """Yield *records* in chunks of at most *most* frames.

    Raises:
        BaseException: what *records* raise, after a chunk of the records before it.
    """
    waiting: list[Record] = []
    number, size = 1, 0
    records = iter(records)
    failure: BaseException | None = None
    while failure is None:
        try:
            record = next(records)
        except BaseException as error:  # noqa: BLE001 - raised again, in its turn
            failure = error
        else:
            waiting.append(record)
            size += len(record.frame)
        is_full = len(waiting) >= most or size >= CHUNK_BYTES
        if waiting and (is_full or failure is not None):
            yield _chunk(waiting, number)
            number += len(waiting)
            waiting, size = [], 0
    if not isinstance(failure, StopIteration):
        raise failure


def _chunk(records: list[Record], first_number: int) -> Frames:
    captured = np.array([len(record.frame) for record in records], dtype=np.int64)
    ends = captured.cumsum()
    interfaces, interface = interfaces_of(records)
    return Frames(
        np.frombuffer(b"".join(record.frame for record in records), dtype=np.uint8),
        ends - captured,
        captured,
        np.array([record.wire_length for record in records], dtype=np.int64),
        np.array([clamped(record.time_ns) for record in records], dtype=np.int64),
        np.array([record.link_type for record in records], dtype=np.int32),
        first_number,
        interfaces=interfaces,
        interface=interface,
    )


def interfaces_of(
    records: Sequence[Record],
) -> tuple[tuple[Interface, ...], int | NDArray[np.int32]]:
    """Return the interfaces of *records*, of which either all have one or none, and each one's."""
    places: dict[Interface, int] = {}
    for record in records:
        if record.interface is not None:
            places.setdefault(record.interface, len(places))
    indexes = [places[record.interface] for record in records if record.interface is not None]
    return tuple(places), np.array(indexes, dtype=np.int32) if len(places) > 1 else 0
