"""The example gateway tells full queues from broken devices, and counts both."""

import errno
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from examples.tun_gateway.carrier import Carrier
from examples.tun_gateway.metrics import losses_text
from examples.tun_gateway.tun import Losses, Tun
from firezone_filter import Gateway, TunnelAddresses, prometheus_text

FULL = [errno.EAGAIN, errno.ENOBUFS]
FAILED = [errno.EIO, errno.EBADF, errno.ENETDOWN, errno.ENETUNREACH, errno.EPERM, errno.EINVAL]
ROWS = [(number, Losses(full=1)) for number in FULL]
ROWS += [(number, Losses(failed=1)) for number in FAILED]
each_error = pytest.mark.parametrize(
    ("number", "losses"),
    [pytest.param(*row, id=errno.errorcode[row[0]]) for row in ROWS],
)


@pytest.fixture
def tun() -> Iterator[tuple[Tun, int]]:
    """Return a device with a pipe in the place of the kernel, and the pipe's other end."""
    device = Tun.__new__(Tun)
    device.losses = Losses()
    other, device._fd = os.pipe()
    os.set_blocking(device._fd, False)
    yield device, other
    device.close()
    os.close(other)


def failing(number: int) -> Callable[..., int]:
    def fail(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    return fail


@each_error
def test_a_packet_that_the_device_does_not_take_is_counted(
    tun: tuple[Tun, int], monkeypatch: pytest.MonkeyPatch, number: int, losses: Losses
) -> None:
    device, _ = tun
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", failing(number))
        device.write(b"packet")
    assert device.losses == losses


def test_a_queue_that_is_full_is_counted_and_a_packet_that_is_taken_is_not(
    tun: tuple[Tun, int],
) -> None:
    device, other = tun
    device.write(b"packet")
    assert (device.losses, os.read(other, 100)) == (Losses(), b"packet")
    while not device.losses.full:
        device.write(bytes(4_096))
    assert device.losses == Losses(full=1)


@each_error
def test_a_datagram_that_the_socket_does_not_take_is_counted(number: int, losses: Losses) -> None:
    class Broken(socket.socket):
        sendto = failing(number)

    carrier = Carrier("127.0.0.1")
    carrier.close()
    carrier._socket = Broken(socket.AF_INET, socket.SOCK_DGRAM)
    with closing(carrier):
        carrier.send(b"packet", ("127.0.0.1", 9))
    assert carrier.losses == losses


def test_a_datagram_that_is_sent_is_not_counted() -> None:
    with closing(Carrier("127.0.0.1")) as carrier, closing(Carrier("127.0.0.1")) as other:
        carrier.send(b"packet", other._socket.getsockname())
        assert (carrier.losses, other.receive()[0][0]) == (Losses(), b"packet")


def test_losses_stand_on_the_page_of_counters() -> None:
    page = prometheus_text(Gateway(TunnelAddresses("100.64.0.1")).counters())
    page += losses_text({"tunnel": Losses(3, 4), "network": Losses()})
    assert page.endswith(
        "# HELP tun_gateway_lost_packets_total Packets that an end did not take.\n"
        "# TYPE tun_gateway_lost_packets_total counter\n"
        'tun_gateway_lost_packets_total{end="tunnel",cause="full"} 3\n'
        'tun_gateway_lost_packets_total{end="tunnel",cause="failed"} 4\n'
        'tun_gateway_lost_packets_total{end="network",cause="full"} 0\n'
        'tun_gateway_lost_packets_total{end="network",cause="failed"} 0\n'
    )
