"""Leases in a file: whole after kill -9, for one process, and nobody else's business."""

import os
import signal
import sqlite3
import stat
import subprocess
import sys
from ipaddress import ip_address
from pathlib import Path

import pytest

from firezone_filter.host.resolver.lease_file import LeaseFile, LeaseFileError
from firezone_filter.host.resolver.leases import LEASE, MAX_TTL, Lease


def lease(name: str, *several: str, client_id: str = "alice", until: float = 5_000.0) -> Lease:
    addresses = tuple(map(ip_address, several))
    return Lease(client_id, name, addresses[0].version, addresses, until)


GIT = lease("git.example.com", "100.96.0.9", "100.96.0.1")
GIT6 = lease("git.example.com", "fd00:2021:1111:8000::1")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "names.db"


def kept(path: Path) -> list[Lease]:
    file = LeaseFile(path)
    try:
        return file.load(0.0)
    finally:
        file.close()


def test_leases_come_back_in_the_order_of_their_addresses(path: Path) -> None:
    file = LeaseFile(path)
    bob = lease("git.example.com", "100.96.0.9", client_id="bob")
    for one in (GIT, GIT6, bob):
        file.save(one)
    file.close()
    assert kept(path) == [GIT, GIT6, bob]


def test_a_lease_takes_the_place_of_the_one_before_and_its_addresses_from_others(
    path: Path,
) -> None:
    file = LeaseFile(path)
    file.save(lease("old.example.com", "100.96.0.1", "100.96.0.2"))
    file.save(lease("git.example.com", "100.96.0.3"))
    file.save(GIT)
    file.close()
    assert kept(path) == [GIT, lease("old.example.com", "100.96.0.2")]


def test_leases_that_are_over_are_removed(path: Path) -> None:
    file = LeaseFile(path)
    file.save(GIT)
    file.save(lease("www.example.com", "100.96.0.7", until=5_001.0))
    file.remove(5_000.0)
    assert [one.name for one in file.load(0.0)] == ["www.example.com"]
    file.close()


def test_the_file_is_for_its_owner_alone(path: Path) -> None:
    before = os.umask(0)
    try:
        file = LeaseFile(path)
        file.save(GIT)
        modes = {stat.S_IMODE(one.stat().st_mode) for one in path.parent.iterdir()}
        file.close()
    finally:
        os.umask(before)
    assert modes == {0o600}


def test_only_one_process_has_the_file(path: Path) -> None:
    file = LeaseFile(path)
    with pytest.raises(LeaseFileError, match=r"names\.db: database is locked"):
        LeaseFile(path)
    file.close()
    assert kept(path) == []


def test_kill_9_loses_nothing(path: Path) -> None:
    program = (
        "import os, signal, sys; from pathlib import Path; from ipaddress import ip_address;"
        "from firezone_filter.host.resolver.lease_file import LeaseFile;"
        "from firezone_filter.host.resolver.leases import Lease;"
        "LeaseFile(Path(sys.argv[1])).save("
        "Lease('alice', 'git.example.com', 4, (ip_address('100.96.0.1'),), 5_000.0));"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    ended = subprocess.run(  # noqa: S603 - a program written right here
        [sys.executable, "-c", program, path], check=False
    )
    assert ended.returncode == -signal.SIGKILL
    assert kept(path) == [lease("git.example.com", "100.96.0.1")]


def test_a_file_that_cannot_be_made_says_why(tmp_path: Path) -> None:
    with pytest.raises(LeaseFileError, match=r"nowhere/names\.db: No such file or directory"):
        LeaseFile(tmp_path / "nowhere" / "names.db")


def test_another_file_is_not_written_to(path: Path) -> None:
    path.write_text("something else " * 100)
    with pytest.raises(LeaseFileError, match=r"names\.db: file is not a database"):
        LeaseFile(path)
    assert path.read_text().startswith("something else")


def change(path: Path, statement: str) -> None:
    database = sqlite3.connect(path)
    with database:
        database.execute(statement)
    database.close()


def test_a_file_of_a_later_version_is_refused(path: Path) -> None:
    kept(path)
    change(path, "PRAGMA user_version=2")
    with pytest.raises(LeaseFileError, match="of another version"):
        LeaseFile(path)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("address = 'nowhere'", "'nowhere' does not appear to be"),
        ("address = 'fd00::1'", "no lease can be .*'fd00::1'"),
        ("version = 'six'", "no lease can be .*'six'"),
        ("client = x'00'", "no lease can be .*b'.x00'"),
        ("name = x'00'", "a domain name is a str, not b'.x00'"),
        ("name = 'a..b'", "'a..b' is not a domain name"),
        ("name = 'GIT.example.com'", "no lease can be .*'GIT.example.com'"),
        ("name = CAST(x'ff' AS TEXT)", "Could not decode to UTF-8"),
    ],
)
def test_a_file_with_something_else_in_the_place_of_a_lease_is_refused(
    path: Path, damage: str, said: str
) -> None:
    file = LeaseFile(path)
    file.save(GIT)
    file.close()
    change(path, f"UPDATE lease SET {damage} WHERE place = 1")  # noqa: S608 - from right here
    with pytest.raises(LeaseFileError, match=rf"names\.db: {said}"):
        kept(path)


@pytest.mark.parametrize("until", ["-1e300", "0", "1e300", "9e999", "'a text'"])
def test_whatever_the_clock_was_a_lease_lasts_as_long_as_answers_and_no_longer_than_a_new_one(
    path: Path, until: str
) -> None:
    file = LeaseFile(path)
    file.save(GIT)
    file.close()
    change(path, f"UPDATE lease SET until = {until}")  # noqa: S608 - from right here
    file = LeaseFile(path)
    (found,) = file.load(1_000.0)
    assert found.until == 1_000.0 + (MAX_TTL if until in {"-1e300", "0"} else LEASE)
    # In the file as well: who is over in memory is over there.
    file.remove(found.until)
    assert file.load(1_000.0) == []
    file.close()


def test_a_disk_that_is_full_for_a_while_costs_only_what_comes_then(path: Path) -> None:
    program = (
        "import os, resource, signal, sys; from pathlib import Path;"
        "from tests.unit.host.resolver.test_lease_file import *;"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); file = LeaseFile(Path(sys.argv[1]));"
        "file.save(lease('before.example.com', '100.96.0.1'));"
        "size = os.path.getsize(sys.argv[1] + '-wal');"
        "of = resource.RLIMIT_FSIZE; endless = resource.RLIM_INFINITY;"
        "resource.setrlimit(of, (size, endless))\n"
        "with pytest.raises(LeaseFileError): file.save(lease('full.example.com', '100.96.0.2'))\n"
        "resource.setrlimit(of, (endless, endless));"
        "file.save(lease('after.example.com', '100.96.0.3'))"
    )
    subprocess.run([sys.executable, "-c", program, path], check=True)  # noqa: S603 - see above
    assert [one.name for one in kept(path)] == ["after.example.com", "before.example.com"]


def test_what_cannot_be_saved_changes_nothing(path: Path) -> None:
    file = LeaseFile(path)
    file.save(GIT)
    for name in ("git.example.com", "www.example.com"):
        with pytest.raises(LeaseFileError, match="surrogates not allowed"):
            file.save(lease(name, "100.96.0.9", client_id="\ud800"))
    assert file.load(0.0) == [GIT]
    file.close()
