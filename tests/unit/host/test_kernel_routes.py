"""Which routes in the host's tables are its own, as a kernel says them."""

import errno
import os
import socket
import struct
from functools import partial

import pytest

from firezone_filter.host import kernel_routes as module
from firezone_filter.host.kernel_routes import Held
from firezone_filter.host.netlink import attribute
from firezone_filter.values.addresses import to_address

TABLE = 20211111
OWN = {4: to_address("100.64.0.1"), 6: to_address("fd00:2021:1111::1")}
UNICAST, BLACKHOLE, THROW = 1, 6, 9
OUR_DEVICE, OTHER_DEVICE, LOOPBACK = 4, 2, 1


def number(name: int, value: int) -> bytes:
    return attribute(name, struct.pack("=I", value))


OIF, PRIORITY, TABLE_OF = (partial(number, name) for name in (4, 6, 15))


def route(
    kind: int, *attributes: bytes, version: int = 4, table: int = TABLE, tos: int = 0
) -> bytes:
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    head = struct.pack("=BBBBBBBBI", family, 0, 0, tos, 252, 2, 0, kind, 0)
    return head + TABLE_OF(table) + b"".join(attributes)


SOURCE = {version: attribute(7, own.packed) for version, own in OWN.items()}
LED = PRIORITY(1) + OIF(OUR_DEVICE) + SOURCE[4]
CACHE = attribute(12, bytes(32)) + attribute(20, b"\0")

OURS = {
    "led": (route(UNICAST, LED), 4),
    "led, of IPv6": (route(UNICAST, PRIORITY(1), OIF(OUR_DEVICE), SOURCE[6], CACHE, version=6), 6),
    "held": (route(BLACKHOLE, PRIORITY(2**31)), 4),
    "held, of IPv6": (route(BLACKHOLE, PRIORITY(2**31), OIF(LOOPBACK), CACHE, version=6), 6),
    "another table's": (route(UNICAST, table=254), 4),
}
OTHERS = {
    "device": route(UNICAST, PRIORITY(1), OIF(OTHER_DEVICE), SOURCE[4]),
    "metric": route(UNICAST, PRIORITY(2), OIF(OUR_DEVICE), SOURCE[4]),
    "source": route(UNICAST, PRIORITY(1), OIF(OUR_DEVICE)),
    "gateway": route(UNICAST, LED, attribute(5, bytes(4))),
    "TOS": route(UNICAST, LED, tos=16),
    "held for a metric": route(BLACKHOLE, PRIORITY(1)),
    "as of the blackhole": route(UNICAST, PRIORITY(2**31)),
    "throw": route(THROW, LED),
    "several": route(UNICAST, PRIORITY(1), attribute(9, bytes(16))),
}


class Kernel:
    """Lists routes, and forgets what it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.routes: list[bytes] | OSError = []
        self.removed: list[bytes] = []
        self.refusal: OSError | None = None
        monkeypatch.setattr(module, "listed", self.listed)
        monkeypatch.setattr(module, "change", self.change)
        monkeypatch.setattr(socket, "if_nametoindex", {"ff-out": OUR_DEVICE}.__getitem__)

    def listed(self, kind: int, body: bytes, *, is_strict: bool) -> list[bytes]:
        assert (kind, is_strict) == (26, True)
        assert body[12:] == TABLE_OF(TABLE)
        if isinstance(self.routes, OSError):
            raise self.routes
        return self.routes

    def change(self, kind: int, body: bytes) -> None:
        assert kind == 25
        if self.refusal is not None:
            raise self.refusal
        self.removed.append(body)


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    return Kernel(monkeypatch)


def held(version: int = 4) -> Held:
    return Held(version, TABLE, "ff-out", OWN[version])


@pytest.mark.parametrize(("ours", "version"), OURS.values(), ids=OURS)
def test_what_the_host_lays_stays(kernel: Kernel, ours: bytes, version: int) -> None:
    kernel.routes = [ours]
    assert (held(version).remove_others(), kernel.removed) == (0, [])


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_what_is_otherwise_is_removed(kernel: Kernel, other: bytes) -> None:
    kernel.routes = [OURS["led"][0], other, OURS["held"][0]]
    assert (held().remove_others(), kernel.removed) == (1, [other])


def test_without_an_address_of_its_own_a_table_suggests_none(kernel: Kernel) -> None:
    kernel.routes = [OTHERS["source"], OURS["led"][0]]
    assert Held(4, TABLE, "ff-out", None).remove_others() == 1
    assert kernel.removed == [OURS["led"][0]]


def test_nothing_leads_into_a_device_that_is_not_there(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(_: str) -> int:
        raise OSError(errno.ENODEV, "No such device")

    monkeypatch.setattr(socket, "if_nametoindex", gone)
    kernel.routes = [OURS["led"][0], OURS["held"][0]]
    assert (held().remove_others(), kernel.removed) == (1, [OURS["led"][0]])


def test_a_table_that_is_not_there_has_none(kernel: Kernel) -> None:
    kernel.routes = OSError(errno.ENOENT, os.strerror(errno.ENOENT))
    assert held().remove_others() == 0


def test_one_that_goes_by_itself_is_passed_over(kernel: Kernel) -> None:
    kernel.routes = [OTHERS["device"]]
    kernel.refusal = ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))
    assert held().remove_others() == 1


def test_what_the_kernel_refuses_is_said(kernel: Kernel) -> None:
    kernel.routes = PermissionError(errno.EPERM, os.strerror(errno.EPERM))
    with pytest.raises(PermissionError):
        held().remove_others()


def test_a_kernel_lists_a_table_to_everybody() -> None:
    for version in OWN:
        assert Held(version, TABLE, "nowhere", None).remove_others() == 0
