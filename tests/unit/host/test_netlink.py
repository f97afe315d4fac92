"""Requests by netlink, and what a kernel answers."""

import errno
import socket
import struct
from typing import Self

import pytest

from firezone_filter.host.netlink import (
    NESTED,
    ask,
    attribute,
    attributes,
    change,
    check_answer,
    listed,
    message,
)

GET_ROUTE = 26
GET_LINK, SET_LINK = 18, 19


def test_attributes_end_at_four_bytes_and_their_length_is_their_own() -> None:
    assert attribute(7, b"abcde") == bytes.fromhex("0900 0700 6162636465 000000")
    assert attribute(7, b"abcd") == bytes.fromhex("0800 0700 61626364")
    assert (
        message(19, 5, b"body") == bytes.fromhex("14000000 1300 0500 01000000 00000000") + b"body"
    )


def test_attributes_are_read_as_they_are_written() -> None:
    written = attribute(7, b"abcde") + attribute(9 | NESTED, b"abcd")
    assert list(attributes(written)) == [(7, b"abcde"), (9, b"abcd")]


def test_a_kernel_tells_of_one_thing() -> None:
    request = struct.Struct("=BxHiII")
    index = socket.if_nametoindex("lo")
    answer = ask(GET_LINK, request.pack(0, 0, index, 0, 0))
    assert dict(attributes(answer[request.size :]))[3] == b"lo\0"
    with pytest.raises(OSError, match="No such device"):
        ask(GET_LINK, request.pack(0, 0, 0x7FFF_FFFF, 0, 0))


@pytest.mark.parametrize(
    ("kind", "code", "said"),
    [(2, -errno.EPERM, "Operation not permitted"), (3, 0, "no answer of the kernel")],
    ids=["refused", "no answer"],
)
def test_an_answer_says_what_is_wrong(kind: int, code: int, said: str) -> None:
    answer = struct.pack("=IHHIIi", 20, kind, 0, 1, 0, code)
    with pytest.raises(OSError, match=said):
        check_answer(answer)


def test_an_answer_says_that_it_was_done() -> None:
    check_answer(struct.pack("=IHHIIi", 20, 2, 0, 1, 0, 0))


def test_a_kernel_answers() -> None:
    # Who may not change anything hears that; who may, that there is no such device.
    nowhere = struct.pack("=BxHiII", 0, 0, 0x7FFF_FFFF, 0, 0)
    with pytest.raises(OSError, match=r"No such device|not permitted"):
        change(SET_LINK, nowhere)


def test_a_kernel_lists_its_devices() -> None:
    assert len(listed(GET_LINK, struct.pack("=BxHiII", 0, 0, 0, 0, 0))) == len(
        socket.if_nameindex()
    )


def test_a_strict_kernel_lists_no_more_than_it_is_asked_for() -> None:
    local = attribute(15, struct.pack("=I", 255))
    for_local = struct.pack("=BBBBBBBBI", socket.AF_INET, 0, 0, 0, 0, 0, 0, 0, 0) + local
    routes = listed(GET_ROUTE, for_local, is_strict=True)
    assert all((15, local[4:]) in attributes(route[12:]) for route in routes)


def test_what_the_kernel_cannot_list_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Kernel:
        """Lists one thing, and then no more."""

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def send(self, request: bytes) -> None:
            assert request[4:6] == b"\x12\0"

        def recv(self, _: int) -> bytes:
            return (
                message(16, 0, b"\0") + b"\0\0\0" + message(3, 0, struct.pack("=i", -errno.EINTR))
            )

    monkeypatch.setattr(socket, "socket", lambda *_: Kernel())
    with pytest.raises(InterruptedError):
        listed(GET_LINK, b"")
