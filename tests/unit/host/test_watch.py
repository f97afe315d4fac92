"""What is looked at from time to time, and what SIGHUP has read; whatever is wrong with it."""

import asyncio
import logging
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar, cast

import pytest
from attrs import evolve

from firezone_filter import (
    CidrResource,
    DecisionLog,
    Gateway,
    InvalidPolicy,
    Policy,
    PolicyAuthorization,
    PolicyClient,
    TunnelAddresses,
)
from firezone_filter.host import watch
from firezone_filter.host.links import Links
from firezone_filter.host.peers import Peer, UnreadablePeersError
from firezone_filter.host.routing import Routing, RoutingError
from firezone_filter.host.sessions import Sessions
from firezone_filter.host.watch import Watch, read_peers, report
from firezone_filter.values.addresses import to_network

T = TypeVar("T")

OWN = TunnelAddresses("100.64.0.1")
FILES = PolicyAuthorization(CidrResource("files", "10.0.0.0/24"))
ALICE = PolicyClient("alice", TunnelAddresses("100.64.0.2"))
EMPTY = Policy(OWN)
POLICY = Policy(OWN, clients=[ALICE])
WITH_FILES = Policy(OWN, clients=[PolicyClient("alice", ALICE.addresses, [FILES])])


def peer(key: str) -> tuple[Peer, ...]:
    return (Peer("wg0", key, (to_network("100.64.0.2"),)),)


class Site:
    """A gateway with a watch, whose files, peers and routes are what a test says."""

    def __init__(self, *, has_peers: bool = True) -> None:
        self.gateway = Gateway(OWN)
        self.policy: Policy | Exception = POLICY
        self.peers: tuple[Peer, ...] | Exception = peer("key")
        self.attached: list[int] = []
        self.mended: list[int] = []
        self.gone: tuple[str, ...] = ()
        self.refusal: RoutingError | None = None
        self.notes: tuple[str, ...] = ()
        self.changes = 0
        self.now = 1_000.0
        sessions = Sessions(self.gateway, DecisionLog(logging.getLogger("sessions")), POLICY)
        self.watch = Watch(
            self.load,
            ("wg0",),
            sessions,
            cast("Routing", self),
            changed=self.changed,
            peers=self.read if has_peers else None,
            clock=lambda: self.now,
        )

    def load(self) -> Policy:
        if isinstance(self.policy, Exception):
            raise self.policy
        return self.policy

    async def read(self, interface: str) -> tuple[Peer, ...]:
        assert interface == "wg0"
        if isinstance(self.peers, Exception):
            raise self.peers
        return self.peers

    def attach(self, mtu: int) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.attached.append(mtu)

    def mend(self, mtu: int) -> tuple[str, ...]:
        if self.refusal is not None:
            raise self.refusal
        self.mended.append(mtu)
        gone, self.gone = self.gone, ()
        return gone

    def changed(self) -> None:
        self.changes += 1

    def run(self, *steps: Callable[[], object]) -> None:
        """Look, and then again after each step."""

        async def both() -> None:
            await self.watch.look()
            for step in steps:
                step()
                await self.watch.look()

        asyncio.run(both())


@pytest.fixture(autouse=True)
def said(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, watch.LOG.name)
    return caplog


@pytest.fixture(autouse=True)
def switches(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return what is wrong with the machine's settings."""
    wrong: list[str] = []
    monkeypatch.setattr(watch, "early_demux", lambda: iter(wrong))
    return wrong


class Heard:
    """Stands in the place of what the kernel tells."""

    def __init__(self, _: tuple[str, ...] = ()) -> None:
        self._ours, self._theirs = socket.socketpair()
        Heard.last = self

    last: "Heard"

    def fileno(self) -> int:
        return self._ours.fileno()

    def tell(self, what: bytes) -> None:
        self._theirs.send(what)

    def read(self) -> bool:
        return self._ours.recv(1) == b"!"

    def close(self) -> None:
        self._ours.close()
        self._theirs.close()


@pytest.fixture(autouse=True)
def _nobody_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "Changes", Heard)


@pytest.fixture
def links(monkeypatch: pytest.MonkeyPatch) -> list[Links]:
    """Return what there is to see of the interfaces, from the last on."""
    seen = [Links((("wg0", 3),), 1420)]
    monkeypatch.setattr(Links, "look", lambda _: seen[-1])
    return seen


@pytest.mark.usefixtures("links")
def test_who_is_there_is_connected_once(said: pytest.LogCaptureFixture) -> None:
    site = Site()
    site.run(lambda: None)
    assert (site.gateway.clients(), site.changes, said.messages) == (("alice",), 1, [])


@pytest.mark.usefixtures("links")
def test_without_peers_to_read_all_clients_are_there(said: pytest.LogCaptureFixture) -> None:
    site = Site(has_peers=False)
    site.run(lambda: None)
    assert (site.gateway.clients(), site.changes, said.messages) == (("alice",), 1, [])


@pytest.mark.usefixtures("links")
def test_what_is_wrong_with_peers_is_said_once_until_it_is_right(
    said: pytest.LogCaptureFixture,
) -> None:
    site = Site()
    fault = "Client alice is not connected: no peer has 100.64.0.2 in its AllowedIPs"

    def peers(*there: Peer) -> Callable[[], None]:
        return lambda: setattr(site, "peers", there)

    site.peers = ()
    site.run(lambda: None)
    assert (site.gateway.clients(), said.messages) == ((), [fault])
    site.run(peers(*peer("key")), peers())
    assert (site.gateway.clients(), said.messages) == ((), [fault, fault])
    assert {record.levelname for record in said.records} == {"WARNING"}


@pytest.mark.usefixtures("links")
def test_peers_that_cannot_be_read_stay_as_they_are(said: pytest.LogCaptureFixture) -> None:
    site = Site()
    site.run(lambda: setattr(site, "peers", UnreadablePeersError("wg0: gone")))
    assert site.gateway.clients() == ("alice",)
    assert said.messages == ["Peers that cannot be read stay as they are: wg0: gone"]


def test_rules_and_routes_are_seen_to_each_time(
    links: list[Links], said: pytest.LogCaptureFixture
) -> None:
    site = Site()
    site.run(
        lambda: links.append(Links((("wg0", 9),), 1280)),
        lambda: setattr(site, "gone", ("rule 92", "rule 94")),
        lambda: setattr(site, "notes", ("a rule is without effect",)),
    )
    assert (site.attached, site.mended) == ([1420], [1280] * 3)
    assert said.messages == [
        "Somebody has removed what is laid again: rule 92, rule 94",
        "A rule is without effect",
    ]


def test_what_rules_do_not_see_is_shut_out_while_it_is_so(
    links: list[Links], said: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    guarded: list[str] = []
    monkeypatch.setattr(watch, "shut", lambda index: guarded.append(f"shut {index}"))
    monkeypatch.setattr(watch, "keep_out", lambda index: guarded.append(f"open {index}"))
    seen = links[0]

    def now(*unseen: tuple[int, str]) -> Callable[[], None]:
        return lambda: links.append(evolve(seen, unseen=unseen))

    Site().run(now((3, "wg0 is a port")), now((3, "wg0 is a port")), now(), now())
    assert guarded == ["shut 3", "shut 3", "open 3"]
    assert said.messages == ["Wg0 is a port"]
    # Another one may have come in its place, which `Routing` knows to be new.
    Site().run(now((3, "wg0 is a port")), lambda: links.append(Links((("wg0", 4),), 1420)))
    assert guarded[3:] == ["shut 3"]


def test_an_interface_that_is_not_there_is_said(
    links: list[Links], said: pytest.LogCaptureFixture
) -> None:
    links.append(Links((), 1420))
    Site(has_peers=False).run(lambda: None)
    assert said.messages == ["There is no interface wg0: by another name it would not be filtered"]


@pytest.mark.usefixtures("links")
def test_settings_that_somebody_changes_are_said(
    switches: list[str], said: pytest.LogCaptureFixture
) -> None:
    Site().run(lambda: switches.append("udp is 1"), lambda: None)
    assert said.messages == ["Udp is 1"]


@pytest.mark.usefixtures("links")
def test_what_has_ended_by_a_wrong_clock_comes_back() -> None:
    site = Site()
    grant = PolicyAuthorization(FILES.resource, expires_at=2_000.0)
    site.policy = Policy(OWN, clients=[PolicyClient("alice", ALICE.addresses, [grant])])

    async def tell() -> None:
        running = asyncio.ensure_future(site.watch.run())
        site.watch.read_policy()
        while not granted():  # noqa: ASYNC110 - nobody tells when
            await asyncio.sleep(0.001)
        site.now = 3_000.0
        site.gateway.handle_timeout(site.now)
        assert not granted()
        site.now = 1_001.0
        site.gateway.clock_set(site.now)
        site.watch.apply_again()
        while not granted():  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.001)
        running.cancel()

    def granted() -> bool:
        return "alice" in site.gateway.clients() and bool(
            site.gateway.client("alice").authorizations
        )

    asyncio.run(tell())


def test_what_the_kernel_tells_is_looked_at_at_once(
    links: list[Links], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "INTERVAL", 1e6)
    monkeypatch.setattr(watch, "PAUSE", 0.0)
    site = Site()

    async def tell() -> None:
        await site.watch.look()
        running = asyncio.ensure_future(site.watch.run())
        while len(site.mended) < 1:  # noqa: ASYNC110 - nobody tells when
            await asyncio.sleep(0.001)
        site.peers = ()
        Heard.last.tell(b".!")
        while len(site.mended) < 2:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.001)
        # Peers are others only if an interface is.
        assert site.gateway.clients() == ("alice",)
        links.append(Links((("wg0", 9),), 1420))
        Heard.last.tell(b"!")
        while site.gateway.clients():  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.001)
        running.cancel()

    asyncio.run(tell())


@pytest.mark.usefixtures("links")
def test_without_any_routes_it_does_not_begin() -> None:
    site = Site()
    site.refusal = RoutingError("routes: No such device")
    with pytest.raises(RoutingError):
        site.run()


def test_routes_that_fail_later_are_tried_again(
    links: list[Links], said: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = Site()

    async def at_once(attach: Callable[[int], T], mtu: int) -> T:
        return attach(mtu)

    # Coverage loses its way when an error comes out of a thread.
    monkeypatch.setattr(asyncio, "to_thread", at_once)

    def refuse() -> None:
        links.append(Links((("wg0", 3),), 1280))
        site.refusal = RoutingError("routes: No such device")

    def take() -> None:
        site.refusal = None

    site.run(refuse, refuse, take)
    assert said.messages == ["Routes: No such device"]
    assert (site.attached, site.mended) == ([1420], [1280])


@pytest.mark.usefixtures("links")
def test_a_policy_is_read_at_once_and_a_faulty_one_is_said(
    monkeypatch: pytest.MonkeyPatch, said: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(watch, "INTERVAL", 0.001)
    site = Site()

    async def tell() -> None:
        running = asyncio.ensure_future(site.watch.run())
        for site.policy in (
            WITH_FILES,
            FileNotFoundError(2, "No such file", "policy.json"),
            InvalidPolicy("a\nb", None, faults=("a", "b")),
            EMPTY,
        ):
            before = len(said.messages)
            site.watch.read_policy()
            while len(said.messages) == before:  # noqa: ASYNC110 - nobody tells when
                await asyncio.sleep(0.001)
        running.cancel()

    asyncio.run(tell())
    assert said.messages[:5] == [
        "Policy read",
        "The old policy stays: [Errno 2] No such file: 'policy.json'",
        "The old policy stays: a",
        "The old policy stays: b",
        "Policy read",
    ]
    assert site.gateway.clients() == ()


@pytest.mark.usefixtures("links")
def test_a_policy_that_hangs_holds_nothing_up(
    monkeypatch: pytest.MonkeyPatch, said: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(watch, "READING", 0.01)
    site, go_on = Site(), threading.Event()
    monkeypatch.setattr(site.watch, "_load", go_on.wait)

    async def tell() -> None:
        running = asyncio.ensure_future(site.watch.run())
        site.watch.read_policy()
        while len(site.mended) < 1:  # noqa: ASYNC110 - nobody tells when
            await asyncio.sleep(0.001)
        running.cancel()

    asyncio.run(tell())
    go_on.set()
    assert said.messages[0] == "The old policy stays: it takes longer than 0.01 seconds"
    assert site.gateway.clients() == ("alice",)


@pytest.mark.usefixtures("links")
def test_peers_are_looked_at_from_time_to_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "INTERVAL", 0.001)
    site = Site()

    async def wait() -> None:
        running = asyncio.ensure_future(site.watch.run())
        while not site.gateway.clients():  # noqa: ASYNC110 - nobody tells when
            await asyncio.sleep(0.001)
        running.cancel()

    asyncio.run(wait())
    assert site.changes == 1


def test_errors_of_other_kinds_have_one_line(said: pytest.LogCaptureFixture) -> None:
    report("The gateway ends", OSError("it is over"))
    assert said.messages == ["The gateway ends: it is over"]


@pytest.mark.parametrize(
    ("script", "peers", "complaint"),
    [
        (
            "printf 'a\\tb\\t1\\toff\\nk\\t-\\t-\\t100.64.0.2/32\\t0\\t0\\t0\\toff\\n'",
            peer("k"),
            "",
        ),
        ("echo 'Unable to access' >&2; exit 1", (), "wg0: Unable to access"),
        ("exit 3", (), "wg0: exit status 3"),
        (None, (), "wg0: wg: No such file or directory"),
    ],
    ids=["peers", "refused", "silent", "no wg"],
)
def test_peers_are_read_from_wg(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    script: str | None,
    peers: tuple[Peer, ...],
    complaint: str,
) -> None:
    if script is not None:
        wg = tmp_path / "wg"
        wg.write_text(f'#!/bin/sh\n[ "$*" = "show wg0 dump" ] || exit 9\n{script}\n')
        wg.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/bin" if script else str(tmp_path))
    if not complaint:
        assert asyncio.run(read_peers("wg0")) == peers
    else:
        with pytest.raises(UnreadablePeersError) as error:
            asyncio.run(read_peers("wg0"))
        assert str(error.value) == complaint


def test_a_wg_that_hangs_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wg = tmp_path / "wg"
    wg.write_text("#!/bin/sh\nexec sleep 600\n")
    wg.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/bin")
    monkeypatch.setattr(watch, "PATIENCE", 0.01)
    with pytest.raises(UnreadablePeersError, match=r"^wg0: wg has not answered in time$"):
        asyncio.run(read_peers("wg0"))
