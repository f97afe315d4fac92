"""Replays over worker processes: equal to one process, whatever becomes of a worker."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from io import BytesIO
from pathlib import Path

import pytest

from firezone_filter.capture.stream import Record
from firezone_filter.cli.command import run
from firezone_filter.cli.exit import ExitStatus
from firezone_filter.replay.by_packet import replay_packets
from firezone_filter.replay.errors import WorkersError
from firezone_filter.replay.outputs.tables import DecisionWriter, JsonLines
from firezone_filter.replay.partitions.processes import ProcessTeam
from firezone_filter.replay.partitions.run import MAX_LOSSES
from firezone_filter.replay.sinks import Writer
from tests.captures import ALLOWED, POLICY, pcap_header, pcap_record
from tests.gathering import gathered
from tests.parted import replay_in_parts
from tests.random_captures import policy_of, records_of

COUNT = 2_000


class Killing:
    """A team that tells its processes, and records that kill one of them on the way."""

    def __init__(self, kills: int, workers: int) -> None:
        self.team = ProcessTeam(workers)
        self.kills = kills

    def records(self, records: list[Record]) -> Iterator[Record]:
        for number, record in enumerate(records):
            if number == COUNT // 2 and self.kills:
                self.kills -= 1
                # The last to begin is one that is in use.
                os.kill(self.team.pids()[-1], signal.SIGKILL)
            yield record


def test_a_killed_worker_changes_nothing() -> None:
    rng = random.Random(18)
    policy = policy_of(rng)
    records = list(records_of(rng, COUNT))
    lines = Told()
    killing = Killing(1, 2)
    with closing(killing.team) as team:
        result = replay_in_parts(
            lambda: gathered(killing.records(records), 100),
            policy,
            team,
            2,
            writers=lines.writers,
        )
        pids = team.pids()
    expected = Told()
    assert result.summary == replay_packets(records, policy, expected.writers)
    assert lines.text == expected.text
    assert result.losses == 1
    assert not any(map(is_alive, pids))


class Told:
    """The lines of a replay."""

    def __init__(self) -> None:
        self._stream = BytesIO()
        self.writers: list[Writer] = [DecisionWriter(JsonLines(self._stream))]

    @property
    def text(self) -> str:
        return self._stream.getvalue().decode()


def test_a_capture_on_which_workers_die_ends_the_replay() -> None:
    rng = random.Random(18)
    policy = policy_of(rng)
    records = list(records_of(rng, COUNT))
    killing = Killing(100, 1)
    with (
        closing(killing.team) as team,
        pytest.raises(WorkersError, match=f"was lost {MAX_LOSSES} times.*status -9"),
    ):
        replay_in_parts(lambda: gathered(killing.records(records), 100), policy, team, 1)


def test_the_command_line_gives_what_one_process_gives(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = inputs(tmp_path, pcap_record(ALLOWED) * 50)
    results = []
    for spread in ((), ("--workers", "2")):
        status = run(["replay", *arguments, "--json", *spread])
        results.append((status, capsys.readouterr()))
    assert results[0] == results[1]


def test_ctrl_c_ends_the_reading_and_all_workers(tmp_path: Path) -> None:
    fifo = tmp_path / "live.pcap"
    os.mkfifo(fifo)
    (tmp_path / "policy.json").write_text(json.dumps(POLICY))
    with started(str(fifo), tmp_path) as process, fifo.open("wb", buffering=0) as live:
        live.write(pcap_header() + pcap_record(ALLOWED) * 10)
        workers = wait_for_workers(process, live)
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == ExitStatus.INTERRUPTED, err
    assert json.loads(out)["interrupted"]
    assert not any(map(is_alive, workers))


def test_workers_end_with_the_process_that_began_them(tmp_path: Path) -> None:
    fifo = tmp_path / "live.pcap"
    os.mkfifo(fifo)
    (tmp_path / "policy.json").write_text(json.dumps(POLICY))
    with started(str(fifo), tmp_path) as process, fifo.open("wb", buffering=0) as live:
        live.write(pcap_header() + pcap_record(ALLOWED) * 10)
        workers = wait_for_workers(process, live)
        process.kill()
        process.communicate(timeout=60)
    for _ in range(600):
        if not any(map(is_alive, workers)):
            return
        time.sleep(0.1)  # pragma: no cover - only if they take their time
    raise AssertionError(workers)  # pragma: no cover - a finding


def test_files_are_read_again_and_standard_input_cannot_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = inputs(tmp_path, pcap_record(ALLOWED) * 50)
    lost: list[int] = []

    class Lost(ProcessTeam):
        def settle(self, number: int, order: object) -> object:  # type: ignore[override]
            home = super().settle(number, order)  # type: ignore[arg-type]
            if number == 1 and len(lost) < 2:
                lost.append(number)
                os.kill(self.pids()[-1], signal.SIGKILL)
            return home

    monkeypatch.setattr("firezone_filter.replay.partitions.processes.ProcessTeam", Lost)
    assert run(["replay", *arguments, "--workers", "2"]) == ExitStatus.DONE
    assert "50 packets" in capsys.readouterr().out
    lost.clear()
    with monkeypatch.context() as patch, Path(arguments[0]).open() as stream:
        patch.setattr("sys.stdin", stream)
        status = run(["replay", "-", *arguments[1:], "--workers", "2"])
    assert status == ExitStatus.UNUSABLE
    assert "standard input cannot be read again" in capsys.readouterr().err


def inputs(folder: Path, records: bytes) -> list[str]:
    capture, policy = folder / "a.pcap", folder / "policy.json"
    capture.write_bytes(pcap_header() + records)
    policy.write_text(json.dumps(POLICY))
    return [str(capture), "--policy", str(policy)]


def started(capture: str, folder: Path) -> "subprocess.Popen[bytes]":
    policy = str(folder / "policy.json")
    command = (sys.executable, "-m", "firezone_filter", "replay", capture, "--policy", policy)
    return subprocess.Popen(  # noqa: S603 - as written here
        [*command, "--workers", "2", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def wait_for_workers(process: "subprocess.Popen[bytes]", live: object) -> list[int]:
    """Feed records until the workers have begun, and most of the records have been taken."""
    more = pcap_record(ALLOWED) * 10_000
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    for _ in range(50):
        live.write(more)  # type: ignore[attr-defined]
        found = [int(pid) for pid in children.read_text().split()]
        if len(found) == 2:  # pragma: no branch - only if they take their time
            # A pipe holds a tenth of these, so the command reads by now.
            live.write(more)  # type: ignore[attr-defined]
            return found
    raise AssertionError(process.poll())  # pragma: no cover - a finding


def is_alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
