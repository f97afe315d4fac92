"""Plain requests to the kernel by netlink, for what pyroute2 has no words for."""

import os
import socket
import struct
from collections.abc import Iterator
from typing import Final

REPLACE: Final = 0x500  # NLM_F_REPLACE and NLM_F_CREATE ...
CREATE: Final = 0x600  # ... or NLM_F_EXCL and NLM_F_CREATE, by <linux/netlink.h>
_REQUEST: Final = 0x01
_REQUEST_ACK: Final = 0x05
_REQUEST_DUMP: Final = 0x301
_ERROR: Final = 2
_DONE: Final = 3
_SOL_NETLINK, _GET_STRICT_CHK = 270, 12  # by <linux/socket.h> and <linux/netlink.h>

NESTED: Final = 0x8000
"""Marks an attribute that has others in it."""

_FLAGS: Final = 0xC000  # NESTED, and another one

HEADER: Final = struct.Struct("=IHHII")
_ATTRIBUTE: Final = struct.Struct("=HH")
_CODE: Final = struct.Struct("=i")


def attribute(kind: int, value: bytes) -> bytes:
    """Return an attribute, with what makes it end at a multiple of four bytes."""
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value + b"\0" * (-len(value) % 4)


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield kind and value of each attribute."""
    while data:
        length, kind = _ATTRIBUTE.unpack_from(data)
        yield kind & ~_FLAGS, data[_ATTRIBUTE.size : length]
        data = data[length + -length % 4 :]


def message(kind: int, flags: int, body: bytes) -> bytes:
    """Return a request."""
    return HEADER.pack(HEADER.size + len(body), kind, flags, 1, 0) + body


def change(kind: int, body: bytes, flags: int = 0) -> None:
    """Have the kernel do something.

    Raises:
        OSError: the kernel refuses.
    """
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
        kernel.send(message(kind, _REQUEST_ACK | flags, body))
        check_answer(kernel.recv(65_535))


def ask(kind: int, body: bytes) -> bytes:
    """Return the one thing that the kernel is asked for.

    Raises:
        OSError: there is none.
    """
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
        kernel.send(message(kind, _REQUEST, body))
        what, answer = next(messages(kernel.recv(65_535)))
        if what == _ERROR:
            _check(answer)
        return answer


def listed(kind: int, body: bytes, *, is_strict: bool = False) -> list[bytes]:
    """Return what the kernel lists.

    Args:
        kind: the kind of the request.
        body: what is asked for.
        is_strict: whether the kernel is to keep to all that *body* says, such as a table; by
            default it lists others as well.

    Raises:
        OSError: it lists nothing, or not everything.
    """
    things: list[bytes] = []
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
        if is_strict:
            kernel.setsockopt(_SOL_NETLINK, _GET_STRICT_CHK, 1)
        kernel.send(message(kind, _REQUEST_DUMP, body))
        while True:
            for what, answer in messages(kernel.recv(65_535)):
                if what in {_DONE, _ERROR}:
                    _check(answer)
                    return things
                things.append(answer)


def messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the messages of which the kernel has sent several at once: kind and body of each."""
    while data:
        length, kind, *_ = HEADER.unpack_from(data)
        yield kind, data[HEADER.size : length]
        data = data[length + -length % 4 :]


def _check(body: bytes) -> None:
    """Raise what the last message of a list, or an answer, says."""
    if code := -_CODE.unpack_from(body)[0]:
        raise OSError(code, os.strerror(code))


def check_answer(answer: bytes) -> None:
    """Raise what an answer of the kernel says.

    Raises:
        OSError: it has refused, or this is no answer.
    """
    kind = HEADER.unpack_from(answer)[1]
    if kind != _ERROR:
        raise OSError(0, "no answer of the kernel")
    _check(answer[HEADER.size :])
