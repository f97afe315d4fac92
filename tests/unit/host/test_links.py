"""The interfaces of a VPN: which are there, how much fits into them, and what rules see."""

import socket
from collections.abc import Callable
from struct import pack, unpack_from

import pytest

from firezone_filter.host import links
from firezone_filter.host.links import USUAL_MTU, Links, refuse_unseen
from firezone_filter.host.netlink import attribute
from firezone_filter.host.routing import RoutingError

Lay = Callable[..., None]


@pytest.fixture
def lay(monkeypatch: pytest.MonkeyPatch) -> Lay:
    """Return what puts an interface into a kernel."""
    names: dict[str, int] = {}
    answers: dict[int, bytes] = {}

    def lay(name: str, index: int, mtu: int, *, master: int = 0, real: str = "") -> None:
        names[name] = index
        answers[index] = bytes(16) + attribute(3, (real or name).encode() + b"\0")
        answers[index] += attribute(4, pack("=I", mtu))
        if master:
            answers[index] += attribute(10, pack("=I", master))

    def ask(kind: int, body: bytes) -> bytes:
        assert (kind, len(body)) == (18, 16)
        (index,) = unpack_from("=i", body, 4)
        if index not in answers:
            raise OSError
        return answers[index]

    def number(name: str) -> int:
        if name not in names:
            raise OSError
        return names[name]

    monkeypatch.setattr(socket, "if_nametoindex", number)
    monkeypatch.setattr(socket, "if_indextoname", {9: "br0"}.__getitem__)
    monkeypatch.setattr(links, "ask", ask)
    names["gone"] = 5
    return lay


def test_what_is_not_there_yet_has_the_usual_mtu() -> None:
    assert Links.look(["nowhere-yet"]) == Links((), USUAL_MTU)


def test_the_smallest_mtu_of_those_that_are_there_counts(lay: Lay) -> None:
    for name, index, mtu in (("wg0", 3, 1420), ("wg1", 4, 1280), ("lo", 1, 65_536)):
        lay(name, index, mtu)
    two = Links.look(["lo", "wg1", "wg0", "gone", "never"])
    assert two == Links((("lo", 1), ("wg1", 4), ("wg0", 3)), 1280)
    assert Links.look(["gone"]) == Links((), USUAL_MTU)


def test_what_rules_do_not_see_is_refused(lay: Lay) -> None:
    lay("wg0", 3, 1420, master=9)
    lay("vpn", 4, 1420, real="wg1")
    lay("wg2", 6, 1420)
    port = (
        "interface wg0 is a port of br0: packets come by that, and no rule sees them "
        "(ip link set wg0 nomaster)"
    )
    name = "interface vpn is wg1 by another name, which rules do not know: say wg1"
    assert Links.look(["wg0", "vpn", "wg2"]).unseen == ((3, port), (4, name))
    with pytest.raises(RoutingError) as error:
        refuse_unseen(["wg0", "vpn", "wg2"])
    assert str(error.value) == f"{port}; {name}"
    refuse_unseen(["wg2", "never"])


def test_a_real_device_has_a_real_mtu() -> None:
    (loopback,) = Links.look(["lo"]).there
    assert loopback == ("lo", socket.if_nametoindex("lo"))
    assert Links.look(["lo"]).mtu > USUAL_MTU
