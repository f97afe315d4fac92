"""What a machine would take in without asking the rules: which packets, and how they are kept out.

The program is run here by a few lines that know its instructions. tests/e2e lets a kernel run it.
"""

import errno
import os
from functools import partial
from ipaddress import ip_address
from typing import Final

import pytest

from firezone_filter.host import guard
from firezone_filter.host.guard import keep_out, let_in, noted, shut
from firezone_filter.host.netlink import attribute

LOAD, EQUAL, AT_LEAST, AND, RETURN = (0x20, 0x28, 0x30), 0x15, 0x35, 0x54, 0x06
WIDTHS: Final = {0x28: 2, 0x30: 1}
Program = tuple[tuple[int, int, int, int], ...]
IPV4, IPV6, ARP = 0x0800, 0x86DD, 0x0806


def verdict(protocol: int, packet: bytes, program: Program = guard._PROGRAM) -> int:
    """Run the program."""
    at, value = 0, 0
    while True:
        code, if_so, if_not, number = program[at]
        at += 1
        if code == RETURN:
            return number
        if code == LOAD[0]:
            value = protocol
        elif code in LOAD:
            start = number - 0xFFF0_0000
            value = int.from_bytes(packet[start : start + WIDTHS[code]])
        elif code == AND:
            value &= number
        else:
            is_so = value == number if code == EQUAL else value >= number
            at += if_so if is_so else if_not


def to(address: str) -> tuple[int, bytes]:
    destination = ip_address(address)
    if destination.version == 4:
        return IPV4, bytes(16) + destination.packed
    return IPV6, bytes(24) + destination.packed


FOR_THE_MACHINE = ["224.0.0.0", "224.0.0.1", "255.255.255.255", "0.0.0.0"]  # noqa: S104
FOR_THE_MACHINE_IPV6 = ["ff00::", "ff02::1", "ff0e::1", "fe80::", "febf:ffff::1"]
FOR_THE_RULES = ["1.0.0.0", "10.0.0.1", "100.64.0.1", "223.255.255.255"]
FOR_THE_RULES_IPV6 = ["::1", "fd00::1", "fe7f::1", "fec0::1", "feff::1"]


@pytest.mark.parametrize("address", [*FOR_THE_MACHINE, *FOR_THE_MACHINE_IPV6])
def test_what_is_for_the_machine_itself_is_dropped(address: str) -> None:
    assert verdict(*to(address)) == 2


@pytest.mark.parametrize("address", [*FOR_THE_RULES, *FOR_THE_RULES_IPV6])
def test_everything_else_is_for_the_rules(address: str) -> None:
    assert verdict(*to(address)) == 0xFFFF_FFFF


def test_what_is_no_ip_is_not_looked_at() -> None:
    assert verdict(ARP, b"\xff" * 40) == 0xFFFF_FFFF


def test_where_rules_see_nothing_all_is_dropped() -> None:
    assert {verdict(*to(address), guard._NOTHING) for address in FOR_THE_RULES} == {2}


class Kernel:
    """Keeps what it was told, and refuses what a test says."""

    def __init__(self) -> None:
        self.told: list[int] = []
        self.flags: list[int] = []
        self.refusals: dict[int, int] = {}
        self.bodies: list[bytes] = []
        self.others: list[bytes] | OSError = []

    def change(self, kind: int, body: bytes, flags: int = 0) -> None:
        assert (body[4:8], flags in {0, 0x500, 0x600}) == (b"\7\0\0\0", True)
        if kind in self.refusals:
            raise OSError(self.refusals[kind], os.strerror(self.refusals[kind]))
        self.told.append(kind)
        self.bodies.append(body)
        self.flags.append(flags)

    def listed(self, kind: int, body: bytes) -> list[bytes]:
        assert (kind, len(body)) == (46, 20)
        if isinstance(self.others, OSError):
            raise self.others
        return self.others


NEW_QDISC, DELETE_QDISC, NEW_FILTER, DELETE_FILTER = 36, 37, 44, 45


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    kernel = Kernel()
    monkeypatch.setattr(guard, "change", kernel.change)
    monkeypatch.setattr(guard, "listed", kernel.listed)
    return kernel


def test_it_is_laid_and_taken_away(kernel: Kernel) -> None:
    keep_out(7)
    let_in(7)
    assert kernel.told == [NEW_QDISC, NEW_FILTER, DELETE_FILTER, DELETE_QDISC]


def test_what_others_have_there_stays(kernel: Kernel) -> None:
    kernel.refusals = {NEW_QDISC: errno.EEXIST}
    kernel.others = [bytes(20)]
    keep_out(7)
    let_in(7)
    assert kernel.told == [NEW_FILTER, DELETE_FILTER]


def test_what_may_be_others_stays_as_well(kernel: Kernel) -> None:
    kernel.others = OSError(errno.EBUSY, "nobody knows")
    let_in(7)
    assert kernel.told == [DELETE_FILTER]


def test_it_is_replaced_at_the_start_and_later_only_laid_where_it_is_gone(kernel: Kernel) -> None:
    keep_out(7)
    keep_out(7, anew=False)
    kernel.refusals = dict.fromkeys((NEW_QDISC, NEW_FILTER), errno.EEXIST)
    keep_out(7, anew=False)
    assert kernel.told == [NEW_QDISC, NEW_FILTER] * 2
    assert kernel.flags == [0x600, 0x500, 0x600, 0x600]


def test_a_note_stays_with_it_whatever_is_laid(kernel: Kernel) -> None:
    kernel.others = OSError(errno.EBUSY, "nobody knows")
    assert noted(7) is None
    foreign = bytes(20) + attribute(2, attribute(3, b"\1\0\1\0"))
    kernel.others = [bytes(20), foreign]
    assert noted(7) is None
    for lay in (partial(keep_out, 7, note=1), partial(shut, 7), partial(keep_out, 7)):
        lay()
        kernel.others = [foreign, kernel.bodies[-1]]
        assert noted(7) == 1
    keep_out(7, note=0)
    kernel.others = [kernel.bodies[-1]]
    assert noted(7) == 0


def test_whatever_is_there_is_replaced_by_one_that_keeps_all_out(kernel: Kernel) -> None:
    kernel.refusals = {NEW_QDISC: errno.EEXIST}
    shut(7)
    assert (kernel.told, kernel.flags) == ([NEW_FILTER], [0x500])


@pytest.mark.parametrize("code", [errno.ENOENT, errno.EINVAL], ids=["filter", "qdisc"])
def test_where_nothing_is_nothing_is_taken_away(kernel: Kernel, code: int) -> None:
    kernel.refusals = {DELETE_FILTER: code}
    let_in(7)
    assert kernel.told == []


def test_what_the_kernel_refuses_is_an_error(kernel: Kernel) -> None:
    for kind, call in ((NEW_QDISC, keep_out), (DELETE_FILTER, let_in)):
        kernel.refusals = {kind: errno.EPERM}
        with pytest.raises(PermissionError):
            call(7)
