"""What deciding has raised, on its way from a worker to the run."""

import pickle

from attrs import frozen

from firezone_filter.replay.errors import WorkersError


@frozen
class Failure:
    """An error of deciding: no worker is lost with it, and trying again would not help."""

    error: Exception


def failure_of(error: Exception) -> Failure:
    """Return *error* as it can be sent; in place of one that cannot, another that names it."""
    try:
        # Not every exception can be made anew from its arguments.
        pickle.loads(pickle.dumps(error, protocol=5))  # noqa: S301 - from the same line
    except Exception:  # noqa: BLE001 - whatever its class raises
        return Failure(WorkersError(f"{type(error).__name__}: {error}"))
    return Failure(error)
