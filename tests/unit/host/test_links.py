"""The interfaces of a VPN: which are there, and how much fits into them."""

import fcntl
import socket
from struct import pack

import pytest

from firezone_filter.host.links import USUAL_MTU, Links


def test_what_is_not_there_yet_has_the_usual_mtu() -> None:
    assert Links.look(["nowhere-yet"]) == Links((), USUAL_MTU)


def test_the_smallest_mtu_of_those_that_are_there_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    mtus = {b"wg0": 1420, b"wg1": 1280, b"lo": 65_536}

    def ioctl(_: socket.socket, request: int, argument: bytes) -> bytes:
        name = argument[:16].rstrip(b"\0")
        if name == b"gone":
            raise OSError
        assert request == 0x8921
        return pack("16si20x", name, mtus[name])

    monkeypatch.setattr(socket, "if_nametoindex", {"wg0": 3, "wg1": 4, "lo": 1, "gone": 5}.get)
    monkeypatch.setattr(fcntl, "ioctl", ioctl)
    two = Links.look(["lo", "wg1", "wg0", "gone", "never"])
    assert two == Links((("lo", 1), ("wg1", 4), ("wg0", 3), ("gone", 5)), 1280)
    assert Links.look(["gone"]) == Links((("gone", 5),), USUAL_MTU)


def test_a_real_device_has_a_real_mtu() -> None:
    (loopback,) = Links.look(["lo"]).there
    assert loopback == ("lo", socket.if_nametoindex("lo"))
    assert Links.look(["lo"]).mtu > USUAL_MTU
