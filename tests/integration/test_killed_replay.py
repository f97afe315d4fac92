"""A replay that does not come to its end leaves no half-written output under its name.

Each kind of output is there: in every folder an older file of each name stays as it was, or is
replaced by the whole new one.
"""

import io
import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest
from attrs import frozen

from firezone_filter import load_policy
from firezone_filter.cli.command import run
from firezone_filter.cli.exit import ExitStatus
from firezone_filter.replay import replay
from tests.captures import ALLOWED, ANSWER, POLICY, REFUSED, pcap

pytest.importorskip("pyarrow", reason="needs the extra replay")
pytest.importorskip("backports.zstd", reason="needs the extra cli")

ROOT = Path(__file__).parents[2]
KINDS = {
    "plain": ("d.jsonl", "f.csv", "p.pcap", "r.pcapng"),
    "gz": ("d.csv.gz", "f.jsonl.gz", "p.pcap.gz", "r.pcapng.gz"),
    "zst": ("d.jsonl.zst", "f.csv.zst", "p.pcapng.zst", "r.pcapng.zst"),
    "parquet": ("d.parquet", "f.parquet", "p.pcapng", "r.pcapng.gz"),
    "decisions alone": ("d.parquet",),
}
"""Names of outputs; what begins with the same letter is of the same option."""

OPTIONS = {"d": "decisions", "f": "flows", "p": "forwarded", "r": "refused"}
OLD = b"an older file, which is whole"
CAPTURE = pcap(*[ALLOWED, ANSWER, REFUSED] * 1_200)

KILLED_AT_A_NAME = """
import os, signal, sys
from firezone_filter.cli.command import run

def replace(*names, given=os.replace, left=[int(sys.argv[1])]):
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    left[0] -= 1
    given(*names)

os.replace = replace
sys.exit(run(sys.argv[2:]))
"""
"""Runs the command, and is killed when so many of its files have their names."""


class Interrupted(io.BytesIO):
    """Standard input at whose end the user presses Ctrl-C."""

    @property
    def buffer(self) -> Self:
        return self

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        if not data:
            signal.raise_signal(signal.SIGINT)
        return data

    read1 = read


class Failing(io.BytesIO):
    """A capture whose second half is somewhere that fails."""

    def read(self, size: int | None = -1) -> bytes:
        if self.tell() > len(self.getvalue()) // 2:
            raise RuntimeError("no more of it")
        return super().read(min(size or 0, 1 << 16))

    read1 = read


@frozen
class Folder:
    """Where a replay writes outputs of one kind."""

    path: Path
    kind: str

    @property
    def names(self) -> dict[str, Path]:
        return {OPTIONS[name[0]]: self.path / name for name in KINDS[self.kind]}

    @property
    def found(self) -> list[bytes]:
        """What is in the files."""
        return [path.read_bytes() for path in self.names.values()]

    @property
    def parts(self) -> list[Path]:
        return list(self.path.glob(".*.part"))

    def assert_as_before(self) -> None:
        assert set(self.found) == {OLD}
        expected = {self.path / "a.pcap", self.path / "p.json", *self.names.values()}
        assert set(self.path.iterdir()) == expected

    def arguments(self, capture: str = "a.pcap") -> list[str]:
        named = [
            part for option, path in self.names.items() for part in (f"--{option}", path.name)
        ]
        return ["replay", capture, "--policy", "p.json", *named]

    def started(self, *program: str) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(  # noqa: S603 - ourselves
            [sys.executable, *program, *self.arguments()],
            cwd=self.path,
            env={"PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


@frozen
class Whole:
    """What a replay to its end writes."""

    files: list[bytes]
    took: float
    """Seconds."""

    def assert_whole_or_old(self, folder: Folder) -> None:
        pairs = zip(folder.found, self.files, strict=True)
        assert all(data in {OLD, new} for data, new in pairs)


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def whole(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    folder = Folder(tmp_path_factory.mktemp("whole"), kind)
    outputs: dict[str, Any] = {**folder.names}
    begun = time.monotonic()
    replay(io.BytesIO(CAPTURE), load_policy(POLICY)).write(**outputs)
    return Whole(folder.found, time.monotonic() - begun)


@pytest.fixture
def folder(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    """Return a folder with the inputs, and an older file of each name; it is the current one."""
    monkeypatch.chdir(tmp_path)
    Path("p.json").write_text(json.dumps(POLICY))
    Path("a.pcap").write_bytes(CAPTURE)
    folder = Folder(tmp_path, kind)
    for path in folder.names.values():
        path.write_bytes(OLD)
    return folder


@pytest.fixture(params=[0.0, 1.0], ids=["at once", "at the last byte"])
def full(folder: Folder, whole: Whole, request: pytest.FixtureRequest) -> Iterator[Folder]:
    """Return a folder whose disk is full when so much of the largest file is written."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = int(request.param * (max(map(len, whole.files)) - 1))
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    yield folder
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def _ctrl_c() -> Iterator[None]:
    # What a shell starts in the background ignores Ctrl-C, and so would the tests.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("seed", range(3))
def test_a_kill_at_any_moment_leaves_each_file_whole_or_as_it_was(
    folder: Folder, whole: Whole, seed: int
) -> None:
    process = folder.started("-m", "firezone_filter")
    while process.poll() is None and not folder.parts:
        time.sleep(0.001)
    time.sleep(random.Random(f"{folder.kind} {seed}").random() * 1.2 * whole.took)
    process.kill()
    process.wait()
    whole.assert_whole_or_old(folder)


@pytest.mark.parametrize("part", [0.0, 0.5])
def test_a_kill_between_names_leaves_each_file_whole_or_as_it_was(
    folder: Folder, whole: Whole, part: float
) -> None:
    named = int(len(whole.files) * part)
    process = folder.started("-c", KILLED_AT_A_NAME, str(named))
    assert process.wait() == -signal.SIGKILL
    whole.assert_whole_or_old(folder)
    assert folder.found.count(OLD) == len(whole.files) - named == len(folder.parts)


def test_a_full_disk_leaves_every_file_as_it_was(
    full: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(full.arguments()) == ExitStatus.UNUSABLE
    full.assert_as_before()
    *told, last = capsys.readouterr().err.splitlines()
    names = [path.name for path in full.names.values()]
    assert sorted(told) == sorted(f"firezone-filter: {name}: not written" for name in names)
    assert last == "firezone-filter: writing stops: File too large"


def test_an_error_in_the_middle_leaves_every_file_as_it_was(folder: Folder) -> None:
    outputs: dict[str, Any] = {**folder.names}
    with pytest.raises(RuntimeError, match="no more of it"):
        replay(Failing(CAPTURE), load_policy(POLICY)).write(**outputs)
    folder.assert_as_before()


@pytest.mark.usefixtures("_ctrl_c")
def test_ctrl_c_completes_every_file_with_what_was_read(
    folder: Folder, whole: Whole, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", Interrupted(CAPTURE))
    assert run(folder.arguments("-")) == ExitStatus.INTERRUPTED
    assert folder.found == whole.files


@pytest.mark.usefixtures("_ctrl_c")
def test_ctrl_c_while_files_are_completed_leaves_every_file_as_it_was(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: signal.raise_signal(signal.SIGINT))
    assert run(folder.arguments()) == ExitStatus.INTERRUPTED
    folder.assert_as_before()
    assert capsys.readouterr().err.count(": not written\n") == len(folder.names)


@pytest.mark.parametrize("named", [0, 1])
def test_a_report_gets_its_name_as_a_whole(tmp_path: Path, named: int) -> None:
    page = tmp_path / "r.html"
    page.write_bytes(OLD)
    (tmp_path / "p.json").write_text(json.dumps(POLICY))
    (tmp_path / "a.pcap").write_bytes(CAPTURE)
    arguments = ["replay", "a.pcap", "--policy", "p.json", "--html", "r.html"]
    program = [sys.executable, "-c", KILLED_AT_A_NAME, str(named), *arguments]
    ended = subprocess.run(program, check=False, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)})  # noqa: S603 - ourselves
    assert ended.returncode == (0 if named else -signal.SIGKILL)
    found = page.read_bytes()
    assert found.endswith(b"</html>\n") if named else found == OLD
