"""Where partitions live: what the run asks of their place."""

from typing import Protocol

from firezone_filter.replay.partitions.piece import Answer, End, Order, Piece, Share


class LostPartitionError(Exception):
    """A partition is gone, with its worker; *reason* says what is known of that."""


class Home(Protocol):
    """One partition, wherever it lives. Answers come in the order of the pieces."""

    def send(self, piece: Piece) -> None:
        """Hand the next piece to it, without waiting until that is decided.

        Raises:
            LostPartitionError: it is gone.
        """

    def answer(self) -> Answer:
        """Wait for the answer to the earliest piece without one.

        Raises:
            LostPartitionError: it is gone.
            Exception: what deciding about the piece has raised.
        """

    def finish(self, end: End) -> Share:
        """Return its counts after all answers.

        Raises:
            LostPartitionError: it is gone.
            Exception: what counting has raised.
        """

    def leave(self) -> None:
        """Let it go, in whatever state it is."""


class Team(Protocol):
    """A place for partitions."""

    def settle(self, number: int, order: Order) -> Home:
        """Begin partition *number*, anew if it has been there before.

        Raises:
            WorkersError: there is no place for it.
        """

    def close(self) -> None:
        """End everything that was begun here."""
