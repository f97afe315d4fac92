"""Sends objects with large arrays to a process of this machine through memory that both share.

A pipe takes what is written to it in bits, and copies them twice; it takes but the rest here.
"""

import pickle
from multiprocessing.heap import BufferWrapper
from typing import Any, Final

from attrs import define, field, frozen

SLOT: Final = 4 << 20
"""The bytes of a slot, for the arrays of one object: enough for headers of 30,000 packets."""

_ALIGNMENT: Final = 64


@frozen
class _Placed:
    """An object whose arrays are in a slot."""

    slot: int
    ends: list[tuple[int, int]]
    pickled: bytes


def shared_slots(count: int) -> list[BufferWrapper]:
    """Return slots, which can be given to a new process alone."""
    # What `RawArray` stands on: that writes zeros to all of it, which takes longer than to fork.
    return [BufferWrapper(SLOT) for _ in range(count)]


@define
class Sender:
    """Packs objects for a process that unpacks them in order."""

    _slots: list[Any]
    _free: list[int] = field(init=False)
    _used: list[int | None] = field(init=False, factory=list)

    def __attrs_post_init__(self) -> None:
        self._free = list(range(len(self._slots)))

    def packed(self, message: object) -> bytes:
        """Return what `unpacked` takes; the arrays stay in a slot, if there is one for them."""
        buffers: list[pickle.PickleBuffer] = []
        pickled = pickle.dumps(message, protocol=5, buffer_callback=buffers.append)
        raw = [buffer.raw() for buffer in buffers]
        ends, end = [], 0
        for view in raw:
            start = -(-end // _ALIGNMENT) * _ALIGNMENT
            end = start + view.nbytes
            ends.append((start, end))
        if not self._free or end > SLOT:
            self._used.append(None)
            return pickle.dumps(message, protocol=5)
        slot = self._free.pop()
        self._used.append(slot)
        memory = self._slots[slot].create_memoryview()
        for (start, stop), view in zip(ends, raw, strict=True):
            memory[start:stop] = view
        return pickle.dumps(_Placed(slot, ends, pickled), protocol=5)

    def done(self) -> None:
        """Use the slot of the earliest object again, which is not needed any more."""
        if (slot := self._used.pop(0)) is not None:
            self._free.append(slot)


def unpacked(data: bytes, slots: list[Any]) -> object:
    """Return the object; its arrays stay in shared memory, until the sender knows it is done."""
    message = pickle.loads(data)  # noqa: S301 - from the process that began this one
    if not isinstance(message, _Placed):
        return message
    memory = slots[message.slot].create_memoryview()
    buffers = [memory[start:end] for start, end in message.ends]
    return pickle.loads(message.pickled, buffers=buffers)  # noqa: S301 - likewise
