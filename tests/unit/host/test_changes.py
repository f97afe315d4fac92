"""What the kernel tells of changes, and which of it is a reason to look."""

import errno
import os
import select
import socket
import struct
from contextlib import closing

import pytest

from firezone_filter.host.changes import Changes
from firezone_filter.host.netlink import attribute, message

NEW_LINK, DELETED_LINK, NEW_ADDRESS, DELETED_ADDRESS = 16, 17, 20, 21
NEW_ROUTE, DELETED_ROUTE, NEW_RULE, DELETED_RULE = 24, 25, 32, 33
DELETED_QDISC, DELETED_FILTER = 37, 45


class Kernel:
    """A socket of which a test says what comes."""

    def __init__(self, *_: int) -> None:
        self.comes: list[bytes | OSError] = []
        self.groups = 0

    def bind(self, address: tuple[int, int]) -> None:
        self.groups = address[1]

    def recv(self, size: int) -> bytes:
        assert size == 65_535
        if not self.comes:
            raise BlockingIOError
        one = self.comes.pop(0)
        if isinstance(one, OSError):
            raise one
        return one


def link(name: bytes) -> bytes:
    return bytes(16) + attribute(3, name + b"\0") + attribute(4, struct.pack("=I", 1420))


def route(table: int) -> bytes:
    return bytes(12) + attribute(15, struct.pack("=I", table))


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    kernel = Kernel()
    monkeypatch.setattr(socket, "socket", lambda *_: kernel)
    return kernel


@pytest.mark.parametrize(
    ("kind", "body", "matters"),
    [
        (NEW_LINK, link(b"wg0"), True),
        (DELETED_LINK, link(b"ff-in"), True),
        (NEW_LINK, link(b"wg01"), False),
        (NEW_LINK, link(b"eth0"), False),
        (DELETED_ROUTE, route(20211111), True),
        (DELETED_ROUTE, route(20211112), True),
        (DELETED_ROUTE, route(254), False),
        (NEW_ROUTE, route(20211111), True),
        (NEW_ROUTE, route(254), False),
        (NEW_RULE, bytes(12), True),
        (DELETED_RULE, bytes(12), True),
        (DELETED_ADDRESS, bytes(8), True),
        (NEW_ADDRESS, bytes(8), False),
        (DELETED_QDISC, bytes(20), True),
        (DELETED_FILTER, bytes(20), True),
    ],
)
def test_what_may_have_changed_what_is_laid_is_a_reason(
    kernel: Kernel, kind: int, body: bytes, *, matters: bool
) -> None:
    changes = Changes(["wg0"])
    kernel.comes = [message(NEW_ADDRESS, 0, bytes(8)) + message(kind, 0, body)]
    assert (changes.read(), changes.read()) == (matters, False)


def test_what_was_too_much_to_be_told_is_a_reason_and_what_follows_is_taken(
    kernel: Kernel,
) -> None:
    changes = Changes([])
    kernel.comes = [OSError(errno.ENOBUFS, os.strerror(errno.ENOBUFS)), message(NEW_LINK, 0, b"")]
    assert (changes.read(), kernel.comes) == (True, [])


def test_packets_get_their_turn(kernel: Kernel) -> None:
    changes = Changes([])
    kernel.comes = [message(NEW_ADDRESS, 0, bytes(8))] * 100
    assert (changes.read(), len(kernel.comes)) == (False, 36)


def test_a_kernel_lets_everybody_listen() -> None:
    with closing(Changes(["wg0"])) as changes:
        assert (select.select([changes], [], [], 0)[0], changes.read()) == ([], False)
