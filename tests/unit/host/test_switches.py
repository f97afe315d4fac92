"""Settings of the machine: what makes the host refuse, and what it only says."""

from pathlib import Path

import pytest

from firezone_filter.host import switches
from firezone_filter.host.kernel_rules import RoutingError
from firezone_filter.host.switches import early_demux, refuse_early_demux, unfit

UDP, TCP, MASTER = (f"net.ipv4.{name}early_demux" for name in ("udp_", "tcp_", "ip_"))


@pytest.fixture
def on(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Return the switches that are on; of IPv6 there are none."""
    on = {UDP, TCP, MASTER, "net.ipv4.ip_forward"}

    def name(path: Path) -> str:
        return path.as_posix().removeprefix("/proc/sys/").replace("/", ".")

    monkeypatch.setattr(Path, "exists", lambda path: "ipv6" not in name(path))
    monkeypatch.setattr(Path, "read_text", lambda path: f"{int(name(path) in on)}\n")
    monkeypatch.setattr(switches, "versions", lambda: (4, 6))
    return on


def test_early_demux_is_refused_with_what_turns_it_off(on: set[str]) -> None:
    with pytest.raises(RoutingError) as error:
        refuse_early_demux()
    assert f"{UDP} is 1: connected UDP sockets of this machine would get" in str(error.value)
    assert f"; sysctl --write {TCP}=0, and in /etc/sysctl.d" in str(error.value)
    on.remove(UDP)
    assert [fault.partition(" ")[0] for fault in early_demux()] == [TCP]


@pytest.mark.parametrize("off", [{UDP, TCP}, {MASTER}], ids=["both", "all"])
def test_where_it_is_off_nothing_is_refused(on: set[str], off: set[str]) -> None:
    on -= off
    refuse_early_demux()


def test_what_does_no_harm_is_said(on: set[str]) -> None:
    assert list(unfit()) == ["net.ipv6.conf.all.forwarding is 0: no IPv6 is forwarded"]
    on.clear()
    assert next(unfit()) == "net.ipv4.ip_forward is 0: no IPv4 is forwarded"


def test_ipv6_that_is_switched_off_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(switches, "_NO_IPV6", "kernel.pid_max")
    monkeypatch.setattr(switches, "_FORWARDING", dict.fromkeys((4, 6), "kernel.pid_max"))
    assert list(unfit()) == ["kernel.pid_max is 1: clients have no IPv6"]
