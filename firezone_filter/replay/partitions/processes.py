"""Partitions in processes of this machine: `--workers N`.

A worker process holds one partition, and talks to this process through a pipe. It ends when the
pipe does, so none outlives this process, however that ends; Ctrl-C reaches it as part of the
terminal's foreground, and is left to this process.
"""

import multiprocessing
import os
import pickle
import signal
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from queue import SimpleQueue
from threading import Thread
from typing import Any, Final, cast

from firezone_filter.replay.partitions.failure import Failure, failure_of
from firezone_filter.replay.partitions.part import Part
from firezone_filter.replay.partitions.piece import Answer, End, Order, Piece, Share
from firezone_filter.replay.partitions.shared import Sender, shared_slots, unpacked
from firezone_filter.replay.partitions.team import LostPartitionError

SLOTS: Final = 4
"""Pieces that a worker may have in shared memory: more than are sent ahead."""

_PATIENCE: Final = 5.0
"""Seconds until a worker of which the pipe has ended is sure to have ended, too."""


class ProcessTeam:
    """Worker processes, one for each partition."""

    def __init__(self, places: int, *, forks: bool = False) -> None:
        """Begin so many, which import meanwhile what they will need.

        Args:
            places: How many.
            forks: Whether they are copies of this process, which begin at once. That is for
                programs of which it is known that they have no threads and connections that must
                not be copied.
        """
        self._places = places
        self._context: Any = multiprocessing.get_context("fork" if forks else "spawn")
        self._homes: list[ProcessHome] = []
        self._idle: deque[ProcessHome] = deque()
        self._idle.extend(self._begun() for _ in range(places))

    def places(self) -> int:
        """Return how many processes there may be."""
        return self._places

    def settle(self, number: int, order: Order) -> "ProcessHome":  # noqa: ARG002 - any of them will do
        """Begin a partition in a process that has none, or a new one."""
        home = self._idle.popleft() if self._idle else self._begun()
        home.tell(order)
        return home

    def _begun(self) -> "ProcessHome":
        ours, theirs = self._context.Pipe()
        slots = shared_slots(SLOTS)
        # A copy of this process has our ends of all pipes, too, which have to end with us.
        is_copy = self._context.get_start_method() == "fork"
        copied = [ours, *(home.connection for home in self._homes)] if is_copy else []
        process = self._context.Process(
            target=work,
            args=(theirs, slots, copied),
            name=f"worker {len(self._homes) + 1}",
            daemon=True,
        )
        process.start()
        theirs.close()
        home = ProcessHome(process, ours, Sender(slots))
        self._homes.append(home)
        return home

    def pids(self) -> list[int]:
        """Return the ids of all processes that were begun, in order."""
        return [home.pid for home in self._homes]

    def close(self) -> None:
        """End all worker processes, whatever they are doing."""
        for home in self._homes:
            home.leave()


class ProcessHome:
    """A partition in a worker process."""

    def __init__(
        self,
        process: "multiprocessing.context.SpawnProcess",
        connection: Connection,
        sender: Sender,
    ) -> None:
        self._process = process
        self.connection = connection
        self._sender = sender
        self.pid = process.pid or 0

    def send(self, piece: Piece) -> None:
        """Hand the next piece to it."""
        self._send(self._sender.packed(piece))

    def answer(self) -> Answer:
        """Wait for the earliest answer."""
        answer = cast("Answer", self._hear())
        self._sender.done()
        return answer

    def finish(self, end: End) -> Share:
        """Return its counts."""
        self.tell(end)
        return cast("Share", self._hear())

    def leave(self) -> None:
        """End the process."""
        if self.connection.closed:
            return
        self.connection.close()
        # It has nothing to tidy up.
        self._process.kill()
        self._process.join()
        self._process.close()

    def tell(self, message: object) -> None:
        """Send *message*, which waits until the worker takes it from the pipe."""
        self._send(pickle.dumps(message, protocol=5))

    def _send(self, data: bytes) -> None:
        try:
            self.connection.send_bytes(data)
        except OSError as error:
            raise LostPartitionError(self._fate()) from error

    def _hear(self) -> object:
        try:
            message = pickle.loads(self.connection.recv_bytes())  # noqa: S301 - our own process
        except (EOFError, OSError) as error:
            raise LostPartitionError(self._fate()) from error
        if isinstance(message, Failure):
            raise message.error
        return message

    def _fate(self) -> str:
        self._process.join(_PATIENCE)
        return f"{self._process.name} has ended with status {self._process.exitcode}"


def work(connection: Connection, slots: list[Any], copied: list[Connection]) -> None:
    """Serve as a worker, until the other end of *connection* is closed; *copied* are not ours."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # All wait for the reader: where there are no more cores than workers, it comes first
    # (measured: 1.90 s in the place of 2.02, 5,000,000 packets, two workers on two cores).
    with suppress(AttributeError):  # Windows has no such call.
        os.nice(5)
    for each in copied:
        each.close()
    serve(connection, slots)


def serve(connection: Connection, slots: list[Any]) -> None:
    """Decide about the pieces that come in, whose arrays may be in *slots*."""
    # A thread empties the pipe, so that whoever fills it never waits for a worker that waits for
    # room for its answer. (What the sender has sent ahead is bounded: it counts.)
    inbox: SimpleQueue[bytes | None] = SimpleQueue()
    Thread(target=_receive, args=(connection, inbox.put), daemon=True).start()
    part: Part
    while (data := inbox.get()) is not None:
        message = unpacked(data, slots)
        try:
            if isinstance(message, Order):
                part = Part(message)
                continue
            if isinstance(message, Piece):
                answer: object = part.take(message)
            else:
                answer = part.finish(cast("End", message))
        except Exception as error:  # noqa: BLE001 - raised where the run is
            answer = failure_of(error)
        try:
            connection.send_bytes(pickle.dumps(answer, protocol=5))
        except OSError:
            return


def _receive(connection: Connection, put: Callable[[bytes | None], None]) -> None:
    try:
        while True:
            put(connection.recv_bytes())
    except (EOFError, OSError):
        put(None)
