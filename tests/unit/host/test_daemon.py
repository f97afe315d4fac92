"""The life of a gateway, with pipes in the place of devices and a kernel that takes everything."""

import asyncio
import json
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from firezone_filter import Gateway, Policy, load_policy
from firezone_filter.host import daemon, watch
from firezone_filter.host.clock import Clock
from firezone_filter.host.daemon import Settings, log_to, notify, run
from firezone_filter.host.links import Links
from firezone_filter.host.resolver.options import ResolverOptions
from firezone_filter.host.routing import RoutingError
from firezone_filter.host.rules import Plan
from firezone_filter.host.tun import Offload, TunDevice
from firezone_filter.host.watch import LOG, Watch
from firezone_filter.testing import tcp

ALICE = {"id": "alice", "ipv4": "100.64.0.2", "authorizations": []}
POLICY = {"gateway": {"ipv4": "100.64.0.1"}, "clients": [ALICE]}
REFUSED = tcp("100.64.0.2:4000 > 10.0.0.5:443")
UNASKED = tcp("10.0.0.5:443 > 100.64.0.2:4000")


class Kernel:
    """Stands in the place of devices, rules and routes."""

    def __init__(self) -> None:
        self.orders: list[object] = []
        self.refusal: Exception | None = None
        self.notes: tuple[str, ...] = ()
        self.others: dict[str, int] = {}

    def open(self, name: str, *, offload: bool = True) -> TunDevice:
        """Make a device whose other end is ours, and keeps each packet apart from the next."""
        theirs, ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        theirs.settimeout(0)
        self.others[name] = ours.detach()
        self.orders.append((name, offload))
        return TunDevice(theirs.detach(), offload=Offload(0), has_headers=False)

    def routing(self, plan: Plan) -> "Kernel":
        self.orders.append(plan.interfaces)
        return self

    def hold(self) -> None:
        self.orders.append("hold")
        if self.refusal is not None:
            raise self.refusal

    def attach(self, mtu: int) -> None:
        self.orders.append(mtu)

    def mend(self, mtu: int) -> tuple[str, ...]:
        assert mtu == 1420
        return ()


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Iterator[Kernel]:
    kernel = Kernel()
    monkeypatch.setattr(TunDevice, "open", kernel.open)
    monkeypatch.setattr(daemon, "Routing", kernel.routing)
    monkeypatch.setattr(daemon, "refuse_early_demux", lambda: kernel.orders.append("switches"))
    monkeypatch.setattr(daemon, "unfit", lambda: ["odd"])
    monkeypatch.setattr(watch, "early_demux", tuple)
    yield kernel
    for fd in kernel.others.values():
        os.close(fd)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    path = tmp_path / "policy.json"
    path.write_text(json.dumps(POLICY))
    return Settings(path, ("nowhere",), has_peers=False)


@pytest.fixture(autouse=True)
def said(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, LOG.name)
    return caplog


@pytest.fixture
def when_ready(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Return what has something done as soon as the gateway works."""

    def do(what: Callable[[], object]) -> None:
        def ready(state: str) -> None:
            assert state == "READY=1"
            what()

        monkeypatch.setattr(daemon, "notify", ready)

    return do


WhenReady = Callable[[Callable[[], object]], None]


def kill(number: int) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_works_until_a_signal_and_leaves_its_rules(
    kernel: Kernel,
    settings: Settings,
    when_ready: WhenReady,
    said: pytest.LogCaptureFixture,
    number: int,
) -> None:
    when_ready(lambda: kill(number))
    run(settings)
    devices = [("ff-out", True), ("ff-in", True)]
    assert kernel.orders == ["switches", *devices, ("nowhere",), "hold", 1420]
    assert said.messages == [
        "odd",
        "There is no interface nowhere: by another name it would not be filtered",
        "Client connected",
        "Started",
        "Stopped",
    ]


def test_packets_are_judged_and_replies_written(
    kernel: Kernel, settings: Settings, when_ready: WhenReady, said: pytest.LogCaptureFixture
) -> None:
    def send() -> None:
        os.write(kernel.others["ff-out"], REFUSED)
        os.write(kernel.others["ff-in"], UNASKED)

    reasons: list[str] = []

    class Watched(Gateway):
        """Ends the host after two packets."""

        def handle_packet(self, *arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - as it is
            decision = super().handle_packet(*arguments, **named)
            reasons.append(getattr(decision, "reason", "none"))
            if len(reasons) == 2:
                kill(signal.SIGTERM)
            return decision

    when_ready(send)
    run(settings, Watched)
    assert reasons == ["no-resource", "no-resource"]
    assert os.read(kernel.others["ff-in"], 100)[16:20] == b"\x64\x40\0\2"
    assert said.messages.count("Refused packet") == 2


def test_on_sighup_the_policy_is_read_with_what_the_command_line_adds(
    kernel: Kernel, settings: Settings, when_ready: WhenReady, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Policy] = []

    def load(data: bytes) -> Policy:
        read.append(load_policy(data))
        if len(read) == 2:
            kill(signal.SIGTERM)
        return read[-1]

    made: list[Gateway] = []

    def make(*arguments: Any, **named: Any) -> Gateway:  # noqa: ANN401 - as a gateway's
        made.append(Gateway(*arguments, **named))
        return made[-1]

    monkeypatch.setattr(daemon, "load_policy", load)
    when_ready(lambda: kill(signal.SIGHUP))
    run(evolve(settings, stateful=True), make)
    assert ([one.options.stateful for one in made], len(read)) == ([True], 2)
    assert kernel.orders[-1] == 1420


def test_one_that_comes_while_it_starts_is_kept(
    kernel: Kernel, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Policy] = []

    def load(data: bytes) -> Policy:
        read.append(load_policy(data))
        kill(signal.SIGHUP if len(read) == 1 else signal.SIGTERM)
        return read[-1]

    monkeypatch.setattr(daemon, "load_policy", load)
    run(settings)
    assert (len(read), kernel.orders[-1]) == (2, 1420)


def test_counters_are_served_and_losses_logged(
    kernel: Kernel, settings: Settings, when_ready: WhenReady, said: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    pages: list[bytes] = []

    def ask() -> None:
        with socket.create_connection(("127.0.0.1", port)) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
            while data := sock.recv(65_535):
                pages.append(data)
        kill(signal.SIGTERM)

    def lose() -> None:
        # Nobody takes what is written any more: the reply to the refused packet is lost.
        os.close(kernel.others.pop("ff-in"))
        os.write(kernel.others["ff-out"], REFUSED)
        threading.Thread(target=ask).start()

    when_ready(lose)
    run(evolve(settings, metrics=port, offload=False))
    assert kernel.orders[1:3] == [("ff-out", False), ("ff-in", False)]
    assert b'lost_packets_total{device="ff-in",cause="failed"}' in b"".join(pages)
    assert "Packets lost" in said.messages


@pytest.mark.usefixtures("kernel")
def test_names_are_answered_and_counted_beside(
    settings: Settings, when_ready: WhenReady, said: pytest.LogCaptureFixture
) -> None:
    plan = {"tunnel": ["127.0.0.0/8"], "dns_resources": ["100.96.0.0/11"]}
    policy = {"gateway": {"ipv4": "127.0.0.1"}, "address_plan": plan, "clients": []}
    settings.policy.write_text(json.dumps(policy))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    pages: list[bytes] = []

    def ask() -> None:
        while "Policy read" not in said.messages:
            time.sleep(0.001)
        with socket.create_connection(("127.0.0.1", port)) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
            while data := sock.recv(65_535):
                pages.append(data)
        kill(signal.SIGTERM)

    def begin() -> None:
        kill(signal.SIGHUP)
        threading.Thread(target=ask).start()

    when_ready(begin)
    run(evolve(settings, metrics=port, names=ResolverOptions(servers=(), port=0)))
    assert b"\nfirezone_filter_resolver_own_total 0\n" in b"".join(pages)


@pytest.mark.usefixtures("kernel")
def test_an_error_that_nobody_has_foreseen_ends_it(
    settings: Settings, when_ready: WhenReady
) -> None:
    def fail() -> None:
        loop = asyncio.get_running_loop()
        loop.call_soon(int, "a mistake")
        loop.call_soon(int, "one more")
        loop.call_soon(kill, signal.SIGTERM)

    when_ready(fail)
    with pytest.raises(ValueError, match="a mistake"):
        run(settings)


@pytest.mark.usefixtures("kernel")
def test_a_clock_that_is_set_is_told_before_its_time_is_used(
    settings: Settings,
    when_ready: WhenReady,
    monkeypatch: pytest.MonkeyPatch,
    said: pytest.LogCaptureFixture,
) -> None:
    ahead = [0.0]
    monkeypatch.setattr(daemon, "Clock", partial(Clock, wall=lambda: time.time() + ahead[0]))
    heard: list[str] = []

    class Watched(Gateway):
        """Remembers what it hears of time after the step, and ends the host."""

        def clock_set(self, now: float) -> None:
            super().clock_set(now)
            heard.append("clock_set")

        def handle_timeout(self, now: float) -> None:
            super().handle_timeout(now)
            if ahead[0]:
                heard.append("handle_timeout")
                kill(signal.SIGTERM)

    def set_clock() -> None:
        ahead[0] = 3_600.0
        kill(signal.SIGHUP)

    when_ready(set_clock)
    run(settings, Watched)
    assert heard[:2] == ["clock_set", "handle_timeout"]
    assert "The clock has been set by +3600.0 seconds" in said.messages


@pytest.mark.usefixtures("kernel")
def test_so_does_one_of_the_watch(
    settings: Settings, when_ready: WhenReady, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_: Watch) -> None:
        raise RoutingError("no more")

    monkeypatch.setattr(Watch, "run", fail)
    when_ready(lambda: None)
    with pytest.raises(RoutingError, match="no more"):
        run(settings)


def test_it_does_not_start_where_rules_see_nothing(
    kernel: Kernel, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Links, "look", lambda _: Links((), 1420, ((3, "a port"), (4, "a name"))))
    with pytest.raises(RoutingError, match=r"^a port; a name$"):
        run(settings)
    assert kernel.orders == ["switches"]


def test_without_its_rules_it_does_not_start(kernel: Kernel, settings: Settings) -> None:
    kernel.refusal = RoutingError("rules of others")
    with pytest.raises(RoutingError, match="rules of others"):
        run(settings)
    assert kernel.orders[-1] == "hold"


@pytest.mark.parametrize("prefix", ["", "@"], ids=["file", "abstract"])
def test_systemd_is_told_if_it_wants_to_know(
    prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"{prefix}{tmp_path}/notify"
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify("nobody hears this")
    monkeypatch.setenv("NOTIFY_SOCKET", name)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(name.replace("@", "\0"))
        notify("READY=1")
        assert systemd.recv(100) == b"READY=1"


def test_the_log_is_json_lines(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers.clear()
    log_to(sys.stdout)
    LOG.info("Here")
    root.handlers[:] = handlers
    root.setLevel(level)
    assert json.loads(capsys.readouterr().out)["message"] == "Here"
