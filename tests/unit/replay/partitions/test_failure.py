"""What deciding has raised is sent, or else an error that names it."""

import pickle

from firezone_filter.replay.errors import WorkersError
from firezone_filter.replay.partitions.failure import failure_of


def test_an_error_is_sent_as_it_is() -> None:
    sent = pickle.loads(pickle.dumps(failure_of(KeyError("why"))))  # noqa: S301 - made here
    assert (type(sent.error), sent.error.args) == (KeyError, ("why",))


def test_an_error_that_cannot_be_made_anew_is_told_in_words() -> None:
    told = failure_of(NoPlainError(7, 8)).error
    assert (type(told), str(told)) == (WorkersError, "NoPlainError: 15")


class NoPlainError(Exception):
    def __init__(self, one: int, other: int) -> None:
        super().__init__(one + other)
        self.detail = Unmade()


class Unmade:
    def __reduce__(self) -> tuple[object, ...]:
        return len, ()
