"""What a worker does, in a thread of the test in the place of a process."""

import os
import pickle
import signal
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from threading import Thread
from typing import Any, cast

import pytest

from firezone_filter.capture.stream import NS_PER_S
from firezone_filter.replay.partitions.failure import Failure
from firezone_filter.replay.partitions.part import OutOfStepError
from firezone_filter.replay.partitions.piece import Answer, End, Order, Share
from firezone_filter.replay.partitions.processes import ProcessHome, serve, work
from firezone_filter.replay.partitions.reading import PieceMaker
from firezone_filter.replay.partitions.shared import Sender
from firezone_filter.replay.partitions.team import LostPartitionError
from tests.captures import ALLOWED, START_S, policy, record
from tests.gathering import gathered


@pytest.fixture
def served() -> "tuple[Connection, Thread]":
    ours, theirs = Pipe()
    thread = Thread(target=serve, args=(theirs, []))
    thread.start()
    return ours, thread


def test_a_worker_answers_until_the_pipe_ends(served: "tuple[Connection, Thread]") -> None:
    connection, thread = served
    maker = PieceMaker(policy(), 1, flows=False, whole=False)
    (frames,) = gathered([record(ALLOWED)] * 3)
    assert not list(maker.add(frames))
    ((piece,),) = maker.rest()
    connection.send(Order(policy(), START_S * NS_PER_S))
    answers = []
    for message in (piece, piece, End(1, START_S * NS_PER_S)):
        connection.send_bytes(pickle.dumps(message))
        answers.append(connection.recv())
    connection.close()
    thread.join(10)
    assert [type(answer) for answer in answers] == [Answer, Failure, Share]
    assert not thread.is_alive()


def test_a_worker_ends_if_nobody_hears_its_answer() -> None:
    ours, theirs = Pipe()
    ours.send(Order(policy(), START_S * NS_PER_S))
    ours.send(End(0, START_S * NS_PER_S))
    ours.close()
    serve(theirs, [])
    theirs.close()


class Ended:
    """A process that has ended."""

    name, exitcode, pid = "worker 1", -9, 7

    def join(self, timeout: float | None = None) -> None:
        pass


def test_what_a_worker_raises_is_raised_where_the_run_is(
    served: "tuple[Connection, Thread]",
) -> None:
    connection, thread = served
    home = ProcessHome(cast("Any", Ended()), connection, Sender([]))
    home.tell(Order(policy(), START_S * NS_PER_S))
    with pytest.raises(OutOfStepError):
        home.finish(End(7, START_S * NS_PER_S))
    connection.close()
    thread.join(10)


def test_a_worker_that_is_gone_is_lost_whatever_is_asked_of_it() -> None:
    ours, theirs = Pipe()
    theirs.close()
    home = ProcessHome(cast("Any", Ended()), ours, Sender([]))
    with pytest.raises(LostPartitionError, match="worker 1 has ended with status -9"):
        home.tell("anything")
    with pytest.raises(LostPartitionError, match="worker 1 has ended with status -9"):
        home.answer()
    ours.close()


def test_a_copied_worker_closes_what_is_not_its_own_and_gives_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given: list[int] = []
    monkeypatch.setattr(os, "nice", given.append)
    before = signal.getsignal(signal.SIGINT)
    try:
        (ours, theirs), (other, another) = Pipe(), Pipe()
        ours.close()
        work(theirs, [], [other])
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
        assert other.closed
        assert given == [5]
        another.close()
    finally:
        signal.signal(signal.SIGINT, before)
