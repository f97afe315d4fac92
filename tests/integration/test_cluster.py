"""Replays on a real Dask cluster of two worker processes."""

import json
import os
import random
import signal
import warnings
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import pytest

from firezone_filter.capture.stream import Record
from firezone_filter.cli.command import run
from firezone_filter.cli.exit import ExitStatus
from firezone_filter.policy import Policy
from firezone_filter.replay.by_packet import replay_packets
from firezone_filter.replay.errors import WorkersError
from firezone_filter.replay.partitions.dask_team import DaskTeam, check_address
from firezone_filter.replay.partitions.piece import End, Order
from tests.captures import ALLOWED, POLICY, pcap_header, pcap_record
from tests.gathering import gathered
from tests.integration.test_workers import Told
from tests.parted import replay_in_parts
from tests.random_captures import policy_of, records_of

fsspec = pytest.importorskip("fsspec")
distributed = pytest.importorskip("distributed")

# What Dask leaves open for a moment when it ends is not ours.
pytestmark = pytest.mark.filterwarnings("ignore")

COUNT = 2_000


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    with (
        warnings.catch_warnings(),
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as it,
    ):
        yield it


@pytest.mark.parametrize("partitions", [2, 5])
def test_a_cluster_gives_what_one_process_gives(cluster: Any, partitions: int) -> None:  # noqa: ANN401 - Dask's
    rng = random.Random(partitions)
    policy = policy_of(rng)
    records = list(records_of(rng, COUNT))
    lines = Told()
    with closing(DaskTeam(cluster.scheduler_address)) as team:
        result = replay_in_parts(
            lambda: gathered(records, 100),
            policy,
            team,
            partitions,
            writers=lines.writers,
        )
    expected = Told()
    assert result.summary == replay_packets(records, policy, expected.writers)
    assert lines.text == expected.text
    assert result.losses == 0


def test_a_killed_worker_of_a_cluster_changes_nothing(cluster: Any) -> None:  # noqa: ANN401 - Dask's
    rng = random.Random(7)
    policy = policy_of(rng)
    records = list(records_of(rng, COUNT))
    lines = Told()
    with closing(DaskTeam(cluster.scheduler_address)) as team:
        victims = [worker.pid for worker in cluster.workers.values()][:1]

        def killing() -> Iterator[Record]:
            for number, record in enumerate(records):
                if number == COUNT // 2 and victims:
                    os.kill(victims.pop(), signal.SIGKILL)
                yield record

        result = replay_in_parts(
            lambda: gathered(killing(), 100),
            policy,
            team,
            3,
            writers=lines.writers,
        )
    expected = Told()
    assert result.summary == replay_packets(records, policy, expected.writers)
    assert lines.text == expected.text
    assert result.losses >= 1


def test_an_error_of_deciding_comes_as_what_it_is(cluster: Any) -> None:  # noqa: ANN401 - Dask's
    with closing(DaskTeam(cluster.scheduler_address)) as team:
        home = team.settle(0, Order(cast("Policy", None), 0))
        with pytest.raises(AttributeError, match="'NoneType' object has no attribute"):
            home.finish(End(0, 0))


def test_the_command_line_reads_a_url_and_decides_on_a_cluster(
    cluster: Any,  # noqa: ANN401 - Dask's
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with fsspec.open("memory://captures/office.pcap", "wb") as stream:
        stream.write(pcap_header() + pcap_record(ALLOWED) * 50)
    policy = tmp_path / "policy.json"
    policy.write_text(json.dumps(POLICY))
    arguments = ["replay", "memory://captures/office.pcap", "--policy", str(policy), "--json"]
    results = []
    for spread in ((), ("--scheduler", cluster.scheduler_address)):
        status = run([*arguments, *spread])
        results.append((status, capsys.readouterr().out))
    assert results[0] == results[1]
    assert results[0][0] == ExitStatus.DONE


def test_a_scheduler_that_cannot_be_reached_is_named() -> None:
    with pytest.raises(WorkersError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:1:"):
        DaskTeam("tcp://127.0.0.1:1", patience=0.5)


def test_an_address_within_the_process_is_one() -> None:
    check_address("inproc://10.0.0.9/1/2")


@pytest.mark.parametrize("address", ["", "garbage", "tcp://10.0.0.9", "foo://10.0.0.9:1"])
def test_what_is_no_address_is_named_without_waiting(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.delattr(distributed, "Client")
    with pytest.raises(WorkersError, match=f"no Dask scheduler answers at {address}: "):
        DaskTeam(address)


def test_a_cluster_without_workers_is_said() -> None:
    with (
        distributed.LocalCluster(n_workers=0, dashboard_address=None) as empty,
        pytest.raises(WorkersError, match="has no workers"),
    ):
        DaskTeam(empty.scheduler_address, patience=0.5)
