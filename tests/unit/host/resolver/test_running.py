"""The parts put together: the file, the servers to ask, and what happens when one is wrong."""

import asyncio
import socket
import time
from ipaddress import ip_address
from pathlib import Path

import pytest

from firezone_filter.host.resolver import options as options_module
from firezone_filter.host.resolver import running
from firezone_filter.host.resolver.lease_file import LeaseFile, LeaseFileError
from firezone_filter.host.resolver.leases import Lease
from firezone_filter.host.resolver.options import ResolverOptions, system_servers
from firezone_filter.host.resolver.renewal import Renewal
from firezone_filter.host.resolver.running import RunningResolver
from tests.unit.host.resolver.world import world

HERE = ip_address("127.0.0.1")


def start(options: ResolverOptions) -> None:
    async def story() -> None:
        await RunningResolver.start(world().names, options, [HERE])

    asyncio.run(story())


def test_setting_the_clock_ends_no_lease(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "names.db"
    file = LeaseFile(path)
    file.save(Lease("alice", "git.example.com", 4, (ip_address("100.96.0.1"),), 1e300))
    file.close()

    async def story() -> None:
        options = ResolverOptions(file=path, servers=(), port=0)
        resolver = await RunningResolver.start(world().names, options, [HERE])
        monkeypatch.setattr(time, "time", lambda: 1e9 * 5)
        await resolver._renewal.forget_over()
        await resolver.close()

    asyncio.run(story())
    file = LeaseFile(path)
    assert [one.name for one in file.load(0.0)] == ["git.example.com"]
    file.close()


def test_a_start_that_fails_leaves_nothing_open(tmp_path: Path) -> None:
    path = tmp_path / "names.db"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match="Address already in use"):
            start(ResolverOptions(file=path, servers=(), port=port))
    LeaseFile(path).close()


def test_a_file_that_cannot_be_used_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LeaseFileError):
        start(ResolverOptions(file=tmp_path, servers=(), port=0))


def test_the_resolver_does_not_ask_itself() -> None:
    servers = ((HERE, 53), (HERE, 5353), (ip_address("10.0.0.53"), 53))
    assert running._servers(ResolverOptions(servers=servers), [HERE]) == list(servers[1:])


def test_the_servers_of_the_system_are_those_of_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "resolv.conf"
    path.write_text(
        "# \xff\nsearch example.com\nnameserver 10.0.0.53\nnameserver fe80::1%eth0\n"
        " nameserver\t2001:db8::53 # the other\nnameserver\nnameserver ns.example.com\n"
        ";nameserver 10.0.0.54\noptions timeout:1\n",
        encoding="latin-1",
    )
    wanted = [(ip_address("10.0.0.53"), 53), (ip_address("2001:db8::53"), 53)]
    monkeypatch.setattr(options_module, "RESOLV_CONF", path)
    assert list(system_servers()) == wanted
    assert running._servers(ResolverOptions(), []) == wanted


def test_the_system_may_have_no_servers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "resolv.conf"
    path.write_text("search example.com\n")
    monkeypatch.setattr(options_module, "RESOLV_CONF", path)
    assert system_servers() == ()


def test_the_servers_can_be_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "resolv.conf"
    path.write_text("nameserver 10.0.0.53\n")
    monkeypatch.setattr(options_module, "RESOLV_CONF", path)

    async def story() -> None:
        resolver = await RunningResolver.start(world().names, ResolverOptions(port=0), [HERE])
        path.write_text("nameserver 10.0.0.54\n")
        resolver.read_servers()
        assert resolver.upstream.servers == [(ip_address("10.0.0.54"), 53)]
        path.unlink()
        with pytest.raises(FileNotFoundError):
            resolver.read_servers()
        await resolver.close()

    asyncio.run(story())


def test_an_error_that_nobody_has_foreseen_reaches_the_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def fail(_: Renewal) -> None:
        await asyncio.sleep(0)
        raise ZeroDivisionError

    async def story() -> None:
        errors: asyncio.Queue[dict[str, object]] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: errors.put_nowait(context))
        options = ResolverOptions(servers=(), port=0)
        resolver = await RunningResolver.start(world().names, options, [HERE])
        error = await errors.get()
        await resolver.close()
        assert isinstance(error["exception"], ZeroDivisionError)

    monkeypatch.setattr(Renewal, "run", fail)
    asyncio.run(story())


def test_others_is_one_of_two_words() -> None:
    with pytest.raises(ValueError, match="others"):
        ResolverOptions(others="perhaps")  # type: ignore[arg-type]
