"""Partitions on the workers of a Dask cluster: `--scheduler ADDRESS`.

Each partition is an actor: an object that stays on one worker. Pieces go to it directly. Dask lets
calls of an actor overtake each other on their way, begins an actor anew elsewhere if its worker
is lost, and then sends the calls there. So the actor puts pieces in order itself, and takes
none twice; and a home whose calls have all returned without its answer has lost its partition.

What a call raises is Dask's: whatever is raised on the way, the worker is as good as lost. So an
error of deciding is returned, and raised here.
"""

import time
from collections import deque
from typing import Any, Final

from firezone_filter.capture.extras import module_of
from firezone_filter.replay.errors import WorkersError
from firezone_filter.replay.partitions.failure import Failure, failure_of
from firezone_filter.replay.partitions.part import OutOfStepError, Part
from firezone_filter.replay.partitions.piece import Answer, End, Order, Piece, Share
from firezone_filter.replay.partitions.team import LostPartitionError

PATIENCE: Final = 30.0
"""Seconds within which a cluster has to have a worker."""

_TRIES: Final = 10
"""Attempts to begin a partition somewhere."""

_GLANCE: Final = 1.0
"""Seconds between two looks at whether the worker that is waited for is still there."""


class ActorPart:
    """A partition that may be handed pieces out of order."""

    def __init__(self, order: Order) -> None:
        """Wait for the first piece."""
        self._order = order
        self._begun: Part | None = None
        self._next = 0
        self._early: dict[int, Piece] = {}

    def take(self, piece: Piece) -> list[Answer] | Failure:
        """Decide about *piece*, if it is the next, and about those that have waited for it.

        Raises:
            OutOfStepError: it has been there before.
        """
        if piece.chunk < self._next or piece.chunk in self._early:
            raise OutOfStepError(f"piece {piece.chunk} comes a second time")
        self._early[piece.chunk] = piece
        try:
            return self._taken()
        except Exception as error:  # noqa: BLE001 - raised where the run is
            return failure_of(error)

    def _taken(self) -> list[Answer]:
        answers = []
        while (following := self._early.pop(self._next, None)) is not None:
            self._next += 1
            answers.append(self._part().take(following))
        return answers

    def finish(self, end: End) -> Share | Failure:
        """Return the counts of all pieces, if there were as many as *end* says.

        Raises:
            OutOfStepError: there were others.
        """
        try:
            return self._part().finish(end)
        except OutOfStepError:
            raise
        except Exception as error:  # noqa: BLE001 - as above
            return failure_of(error)

    def _part(self) -> Part:
        # Not when the actor is made, which can return no error.
        if self._begun is None:
            self._begun = Part(self._order)
        return self._begun


def check_address(address: str) -> None:
    """Make sure that *address* can be one: a client that it is none for takes a minute to end.

    Raises:
        ValueError: It cannot.
    """
    comm = module_of("cluster", "distributed.comm")
    scheme, place = comm.parse_address(address)
    comm.registry.get_backend(scheme)
    if scheme in {"tcp", "tls"}:
        comm.parse_host_port(place)


class DaskTeam:
    """The workers of a Dask cluster."""

    def __init__(self, address: str, *, patience: float = PATIENCE) -> None:
        """Connect to the scheduler at *address*.

        Raises:
            MissingExtraError: `dask.distributed` is not installed.
            WorkersError: no scheduler answers there, or it has no workers.
        """
        distributed = module_of("cluster", "distributed")
        try:
            check_address(address)
            # (Pieces do not go by way of the scheduler.)
            self._client: Any = distributed.Client(
                address, timeout=patience, direct_to_workers=True, set_as_default=False
            )
        except (OSError, ValueError) as error:
            raise WorkersError(f"no Dask scheduler answers at {address}: {error}") from None
        self._patience = patience
        self._places: dict[int, str] = {}
        try:
            self.workers()
        except BaseException:
            self.close()
            raise

    def workers(self) -> list[str]:
        """Return the addresses of the workers.

        Raises:
            WorkersError: there are none, and there come none.
        """
        try:
            self._client.wait_for_workers(1, timeout=self._patience)
        except TimeoutError:
            raise WorkersError("the Dask cluster has no workers") from None
        return sorted(self._client.nthreads())

    def places(self) -> int:
        """Return how many workers there are; each has one partition."""
        return len(self.workers())

    def settle(self, number: int, order: Order) -> "DaskHome":
        """Begin a partition on the worker that has the fewest.

        Raises:
            WorkersError: there is none on which it could begin.
        """
        gone: set[str] = set()
        for _ in range(_TRIES):
            self._places.pop(number, None)
            # The scheduler does not know yet of every worker that it is gone.
            workers = [worker for worker in self.workers() if worker not in gone]
            if not workers:
                time.sleep(_GLANCE)
                continue
            worker = min(workers, key=list(self._places.values()).count)
            self._places[number] = worker
            future = self._client.submit(
                ActorPart, order, actor=True, pure=False, workers=[worker]
            )
            try:
                return DaskHome(self._client, worker, future)
            except LostPartitionError:
                gone.add(worker)
        raise WorkersError("there is no worker of the Dask cluster that stays")

    def close(self) -> None:
        """Let go of all partitions, and of the cluster."""
        self._client.close()


class DaskHome:
    """A partition on a worker of a Dask cluster."""

    def __init__(self, client: Any, worker: str, future: Any) -> None:  # noqa: ANN401 - Dask's
        self._client = client
        self._worker = worker
        self._future = future
        self._actor: Any = self._wait(future)
        self._calls: deque[Any] = deque()
        self._answers: dict[int, Answer] = {}
        self._next = 0

    def send(self, piece: Piece) -> None:
        """Hand a piece to it."""
        self._calls.append(self._call("take", piece))

    def answer(self) -> Answer:
        """Wait for the earliest answer."""
        while self._next not in self._answers:
            if not self._calls:
                raise LostPartitionError(f"{self._worker} has lost what it had before")
            for answer in self._decided(self._calls.popleft()):
                self._answers[answer.chunk] = answer
        self._next += 1
        return self._answers.pop(self._next - 1)

    def finish(self, end: End) -> Share:
        """Return its counts."""
        share: Share = self._decided(self._call("finish", end))
        return share

    def leave(self) -> None:
        """Let the actor go."""
        self._future.release()

    def _call(self, method: str, argument: object) -> Any:  # noqa: ANN401 - Dask's
        try:
            # An actor finds its client by what is current.
            with self._client.as_current():
                return getattr(self._actor, method)(argument)
        except (OSError, RuntimeError) as error:
            raise LostPartitionError(f"{self._worker}: {error}") from error

    def _decided(self, call: Any) -> Any:  # noqa: ANN401 - whatever the method returns
        """Wait for a call, and raise the error of deciding that it returns."""
        result = self._wait(call)
        if isinstance(result, Failure):
            raise result.error
        return result

    def _wait(self, future: Any) -> Any:  # noqa: ANN401 - whatever the method returns
        """Wait for a call, as long as the worker is there."""
        while True:
            try:
                return future.result(timeout=_GLANCE)
            except TimeoutError:
                # A call to a lost actor would wait for another of the same key to begin.
                if self._worker not in self._client.nthreads():
                    raise LostPartitionError(f"{self._worker} is gone") from None
            except (OSError, RuntimeError, LookupError, OutOfStepError) as error:
                raise LostPartitionError(f"{self._worker}: {error}") from error
