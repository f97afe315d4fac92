"""What becomes of partitions on a cluster that loses its workers; the cluster is a stand-in."""

from contextlib import AbstractContextManager, nullcontext
from types import SimpleNamespace

import pytest

from firezone_filter.capture.stream import NS_PER_S
from firezone_filter.replay.errors import WorkersError
from firezone_filter.replay.partitions import dask_team
from firezone_filter.replay.partitions.dask_team import DaskTeam
from firezone_filter.replay.partitions.failure import Failure
from firezone_filter.replay.partitions.piece import Answer, End, Order
from firezone_filter.replay.partitions.team import LostPartitionError
from tests.captures import START_S, policy

ORDER = Order(policy(), START_S * NS_PER_S)


class Future:
    """What a call returns, or raises; it is slow the first time, if it returns anything."""

    def __init__(self, result: object) -> None:
        self._result = result
        self._is_slow = not isinstance(result, Exception)

    def result(self, timeout: float) -> object:  # noqa: ARG002 - at once
        if self._is_slow:
            self._is_slow = False
            raise TimeoutError
        if isinstance(self._result, Exception):
            raise self._result
        return self._result

    def release(self) -> None:
        pass  # pragma: no cover - when nothing else has it


class Cluster:
    """A client of a cluster, in which actors begin as *begins* says."""

    def __init__(self, workers: list[str], begins: dict[str, object]) -> None:
        self.present = workers
        self.begins = begins

    def wait_for_workers(self, count: int, timeout: float) -> None:
        pass

    def nthreads(self) -> dict[str, int]:
        return dict.fromkeys(self.present, 1)

    def submit(self, *_: object, workers: list[str], **__: object) -> Future:
        return Future(self.begins[workers[0]])

    def as_current(self) -> AbstractContextManager[None]:
        return nullcontext()

    def close(self) -> None:
        pass  # pragma: no cover - when nothing else has it


@pytest.fixture
def team(monkeypatch: pytest.MonkeyPatch) -> "tuple[DaskTeam, Cluster]":
    cluster = Cluster(["a", "b"], {})
    distributed = SimpleNamespace(Client=lambda *_, **__: cluster)
    monkeypatch.setattr(dask_team, "module_of", lambda *_: distributed)
    monkeypatch.setattr(dask_team, "check_address", lambda _: None)
    monkeypatch.setattr(dask_team, "_GLANCE", 0.0)
    return DaskTeam("tcp://10.0.0.9:8786"), cluster


def test_a_partition_begins_where_a_worker_stays(team: "tuple[DaskTeam, Cluster]") -> None:
    dask, cluster = team
    actor = SimpleNamespace(finish=lambda _: Future("the counts"))
    cluster.begins = {"a": OSError("gone"), "b": actor}
    assert dask.places() == 2
    assert dask.settle(0, ORDER).finish(End(0, 0)) == "the counts"  # type: ignore[comparison-overlap]


def test_a_cluster_on_which_no_worker_stays_is_said(team: "tuple[DaskTeam, Cluster]") -> None:
    dask, cluster = team
    cluster.begins = {"a": RuntimeError("gone"), "b": LookupError("gone")}
    with pytest.raises(WorkersError, match="no worker of the Dask cluster that stays"):
        dask.settle(0, ORDER)


def test_a_worker_that_is_gone_has_lost_its_partition(team: "tuple[DaskTeam, Cluster]") -> None:
    dask, cluster = team

    def refused(_: object) -> Future:
        raise RuntimeError("the actor is gone")

    answer = Answer(0, [], [])
    calls = iter([[answer], [], TimeoutError()])
    actor = SimpleNamespace(take=lambda _: Future(next(calls)), finish=refused)
    cluster.begins = {"a": actor, "b": actor}
    home = dask.settle(0, ORDER)
    for _ in range(2):
        home.send(None)  # type: ignore[arg-type]
    assert home.answer() is answer
    with pytest.raises(LostPartitionError, match="a has lost what it had before"):
        home.answer()
    home.send(None)  # type: ignore[arg-type]
    cluster.present = ["b"]
    with pytest.raises(LostPartitionError, match="a is gone"):
        home.answer()
    with pytest.raises(LostPartitionError, match="a: the actor is gone"):
        home.finish(End(1, 0))


def test_an_error_of_deciding_is_raised_as_what_it_is(team: "tuple[DaskTeam, Cluster]") -> None:
    dask, cluster = team
    lookup, counting = LookupError("ours"), OSError("ours")
    actor = SimpleNamespace(
        take=lambda _: Future(Failure(lookup)), finish=lambda _: Future(Failure(counting))
    )
    cluster.begins = {"a": actor, "b": actor}
    home = dask.settle(0, ORDER)
    home.send(None)  # type: ignore[arg-type]
    with pytest.raises(LookupError) as raised:
        home.answer()
    assert raised.value is lookup
    with pytest.raises(OSError, match="ours") as raised_last:
        home.finish(End(1, 0))
    assert raised_last.value is counting
