"""`TunDevice`: what it asks the kernel for, and what it makes of what the kernel gives."""

import errno
import fcntl
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from struct import pack, unpack
from typing import Any

import pytest
from attrs import define, field

from firezone_filter.host.offload import NOTHING_LEFT, Frame
from firezone_filter.host.tun import MAX_BATCH, Losses, Offload, TunDevice
from firezone_filter.testing import tcp

SET_INTERFACE, SET_OFFLOAD = 0x400454CA, 0x400454D0
TUN_WITHOUT_INFORMATION, HEADERS, NEW = 0x1001, 0x4000, 0x8000
PLAIN, WITH_HEADERS = TUN_WITHOUT_INFORMATION | NEW, TUN_WITHOUT_INFORMATION | NEW | HEADERS
EVERYTHING, WITHOUT_USO, CHECKSUMS = 0x6F, 0x0F, 0x01

PACKET = tcp("100.64.0.2:5401 > 10.0.0.5:443", b"data")
SUPER_PACKET_OF_NOBODY = pack("=BBHHHH", 0, 1, 40, 1000, 0, 0)
FULL = [errno.EAGAIN, errno.ENOBUFS]
FAILED = [errno.EIO, errno.EBADF, errno.ENETDOWN, errno.EINVAL, errno.ENOMEM]


# --- Making one ----------------------------------------------------------------------------


@define
class Kernel:
    """A kernel that has a choice of flags and offload; its devices are files that end at once."""

    knows: int = WITH_HEADERS
    grants: tuple[int, ...] = (EVERYTHING, WITHOUT_USO, CHECKSUMS)
    refusal: int = errno.EINVAL
    asked: list[int] = field(factory=list)
    names: set[str] = field(factory=set)
    opened: list[int] = field(factory=list)

    def open(self, path: str, flags: int) -> int:
        assert (path, flags) == ("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        self.opened.append(os.memfd_create("tun"))
        return self.opened[-1]

    def ioctl(self, fd: int, request: int, argument: Any) -> None:  # noqa: ANN401 - as `fcntl`
        assert fd == self.opened[-1]
        if request == SET_INTERFACE:
            name, flags = unpack("16sH22x", argument)
            self.names.add(name.rstrip(b"\0").decode())
            refused = flags & ~self.knows
        else:
            assert request == SET_OFFLOAD
            flags, refused = argument, argument not in self.grants
        self.asked.append(flags)
        if refused:
            raise OSError(self.refusal, os.strerror(self.refusal))


@pytest.fixture
def made_by(monkeypatch: pytest.MonkeyPatch) -> Callable[..., TunDevice]:
    """Return what makes a device of a kernel."""

    def make(kernel: Kernel, *, offload: bool = True, name: str = "tun0") -> TunDevice:
        with monkeypatch.context() as patch:
            patch.setattr(os, "open", kernel.open)
            patch.setattr(fcntl, "ioctl", kernel.ioctl)
            device = TunDevice.open(name, offload=offload)
        device.close()
        return device

    return make


@pytest.mark.parametrize(
    ("grants", "asked"),
    [
        ((EVERYTHING, WITHOUT_USO, CHECKSUMS), [EVERYTHING]),
        ((WITHOUT_USO, CHECKSUMS), [EVERYTHING, WITHOUT_USO]),
        ((CHECKSUMS,), [EVERYTHING, WITHOUT_USO, CHECKSUMS]),
    ],
    ids=["everything", "no-uso", "checksums"],
)
def test_a_device_has_as_much_offload_as_the_kernel_grants(
    made_by: Callable[..., TunDevice], grants: tuple[int, ...], asked: list[int]
) -> None:
    kernel = Kernel(grants=grants)
    assert made_by(kernel).offload == Offload(asked[-1])
    assert (kernel.names, kernel.asked) == ({"tun0"}, [WITH_HEADERS, *asked])


def test_a_kernel_that_grants_no_offload_still_has_headers(
    made_by: Callable[..., TunDevice],
) -> None:
    device = made_by(Kernel(grants=()))
    assert (device.offload, device._has_headers) == (Offload(0), True)


def test_a_kernel_without_headers_is_asked_for_none_and_for_no_offload(
    made_by: Callable[..., TunDevice],
) -> None:
    kernel = Kernel(knows=PLAIN)
    device = made_by(kernel)
    assert (device.offload, device._has_headers) == (Offload(0), False)
    assert kernel.asked == [WITH_HEADERS, PLAIN]


def test_a_device_that_is_to_have_no_offload_asks_for_none(
    made_by: Callable[..., TunDevice],
) -> None:
    kernel = Kernel()
    assert not made_by(kernel, offload=False)._has_headers
    assert kernel.asked == [PLAIN]


@pytest.mark.parametrize("offload", [True, False], ids=["with", "without"])
@pytest.mark.parametrize("refusal", [errno.EPERM, errno.EBUSY, errno.EINVAL])
def test_a_refused_device_names_itself_and_leaves_no_file_open(
    made_by: Callable[..., TunDevice],
    offload: bool,  # noqa: FBT001 - pytest passes it by name
    refusal: int,
) -> None:
    kernel = Kernel(knows=0, refusal=refusal)
    with pytest.raises(OSError, match=f"tun0: {os.strerror(refusal)}") as raised:
        made_by(kernel, offload=offload)
    assert raised.value.errno == refusal
    assert not Path(f"/proc/self/fd/{kernel.opened[-1]}").exists()
    # Only what a kernel says that knows no such flag leads to another try.
    assert len(kernel.asked) == (2 if offload and refusal == errno.EINVAL else 1)


@pytest.mark.parametrize(
    ("refusal", "hint"),
    [
        (errno.ENOENT, "No such file or directory; `modprobe tun` brings it, and a container"),
        (errno.EACCES, "Permission denied; whoever runs the gateway needs read and write access"),
        (errno.EMFILE, "Too many open files$"),
    ],
    ids=["missing", "no access", "other"],
)
def test_where_devices_cannot_be_asked_for_a_hint_is_given(
    monkeypatch: pytest.MonkeyPatch, refusal: int, hint: str
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(refusal, os.strerror(refusal))

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        with pytest.raises(OSError, match=f"/dev/net/tun: {hint}") as raised:
            TunDevice.open("tun0")
    assert raised.value.errno == refusal


def test_a_device_takes_a_privilege(made_by: Callable[..., TunDevice]) -> None:
    with pytest.raises(PermissionError, match="; it takes root, or CAP_NET_ADMIN"):
        made_by(Kernel(knows=0, refusal=errno.EPERM))


def test_a_name_is_at_most_15_bytes_long(made_by: Callable[..., TunDevice]) -> None:
    kernel = Kernel()
    made_by(kernel, name="a" * 15)
    with pytest.raises(OSError, match=f"{'ä' * 8}: File name too long"):
        made_by(kernel, name="ä" * 8)
    assert (kernel.names, len(kernel.opened)) == ({"a" * 15}, 1)


# --- Reading and writing -------------------------------------------------------------------


@define
class Ends:
    """A device with a socket in the place of the kernel, and the kernel's end of it."""

    device: TunDevice
    kernel: socket.socket


def ends(*, has_headers: bool) -> Iterator[Ends]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    ours.settimeout(0)
    with closing(theirs):
        device = TunDevice(ours.detach(), offload=Offload(0), has_headers=has_headers)
        yield Ends(device, theirs)
        device.close()


@pytest.fixture
def offloading() -> Iterator[Ends]:
    yield from ends(has_headers=True)


@pytest.fixture
def plain() -> Iterator[Ends]:
    yield from ends(has_headers=False)


def test_a_plain_device_reads_and_writes_packets(plain: Ends) -> None:
    plain.kernel.send(PACKET)
    plain.kernel.send(b"other")
    assert list(plain.device.read()) == [Frame(PACKET), Frame(b"other")]
    plain.device.write(Frame(PACKET))
    assert plain.kernel.recv(100) == PACKET


def test_with_offload_each_packet_has_a_header(offloading: Ends) -> None:
    partial = pack("=BBHHHH", 1, 0, 40, 0, 20, 16)
    offloading.kernel.send(NOTHING_LEFT + PACKET)
    offloading.kernel.send(partial + PACKET)
    frames = list(offloading.device.read())
    assert frames == [Frame(PACKET), Frame(PACKET, partial)]
    for frame in frames:
        offloading.device.write(frame)
    sent = offloading.kernel.recv(100), offloading.kernel.recv(100)
    assert sent == (NOTHING_LEFT + PACKET, partial + PACKET)


@pytest.mark.parametrize("size", [65_535, 65_575], ids=["ipv4", "ipv6"])
@pytest.mark.parametrize("header", [b"", NOTHING_LEFT], ids=["plain", "offloading"])
def test_the_longest_packet_is_read_whole(
    plain: Ends, offloading: Ends, header: bytes, size: int
) -> None:
    one = offloading if header else plain
    one.kernel.send(header + bytes(size))
    assert list(one.device.read()) == [Frame(bytes(size))]


@pytest.mark.parametrize("header", [b"", NOTHING_LEFT], ids=["plain", "offloading"])
def test_a_batch_ends_though_more_waits(
    plain: Ends, offloading: Ends, header: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = offloading if header else plain
    with monkeypatch.context() as patch:
        patch.setattr("firezone_filter.host.tun.MAX_BATCH", 3)
        for _ in range(4):
            one.kernel.send(header + PACKET)
        assert [len(list(one.device.read())) for _ in range(3)] == [3, 1, 0]
    assert MAX_BATCH == 64


def test_a_packet_of_which_nobody_can_say_what_will_be_sent_is_lost(offloading: Ends) -> None:
    offloading.kernel.send(SUPER_PACKET_OF_NOBODY + PACKET)
    offloading.kernel.send(NOTHING_LEFT + PACKET)
    assert list(offloading.device.read()) == [Frame(PACKET)]
    assert offloading.device.losses == Losses(odd=1)


def failing(*numbers: int) -> Callable[..., int]:
    errors = iter(numbers)

    def fail(*_: object) -> int:
        number = next(errors)
        raise OSError(number, os.strerror(number))

    return fail


def test_what_the_kernel_cannot_describe_is_lost_and_the_next_is_read(
    offloading: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "readv", failing(errno.EINVAL, errno.EINVAL, errno.EAGAIN))
        assert list(offloading.device.read()) == []
    assert offloading.device.losses == Losses(odd=2)


@pytest.mark.parametrize("header", [b"", NOTHING_LEFT], ids=["plain", "offloading"])
def test_a_device_that_is_gone_is_an_error(
    plain: Ends, offloading: Ends, header: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = offloading if header else plain
    with monkeypatch.context() as patch:
        patch.setattr(os, "readv", failing(errno.EBADFD))
        patch.setattr(os, "read", failing(errno.EBADFD))
        with pytest.raises(OSError, match=os.strerror(errno.EBADFD)):
            next(one.device.read())


@pytest.mark.parametrize("header", [b"", NOTHING_LEFT], ids=["plain", "offloading"])
@pytest.mark.parametrize(
    ("number", "losses"),
    [
        *(pytest.param(one, Losses(full=1), id=errno.errorcode[one]) for one in FULL),
        *(pytest.param(one, Losses(failed=1), id=errno.errorcode[one]) for one in FAILED),
    ],
)
def test_a_packet_that_the_kernel_does_not_take_is_counted(  # noqa: PLR0913, PLR0917 - fixtures
    plain: Ends,
    offloading: Ends,
    header: bytes,
    number: int,
    losses: Losses,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = offloading if header else plain
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", failing(number))
        patch.setattr(os, "writev", failing(number))
        one.device.write(Frame(PACKET))
    assert one.device.losses == losses


def test_a_plain_device_refuses_what_is_not_whole(plain: Ends) -> None:
    with pytest.raises(ValueError, match="only whole packets"):
        plain.device.write(Frame(PACKET, NOTHING_LEFT))


def test_an_event_loop_can_wait_for_a_device(offloading: Ends) -> None:
    assert offloading.device.fileno() == offloading.device._fd
