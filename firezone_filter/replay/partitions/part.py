"""A partition: decides about the packets of some clients, piece by piece, in order.

It holds a gateway, which cannot be sent anywhere. So it stays where it began; if it is lost, a
new one begins at the first piece. It takes each piece once, in order, and nothing else: whoever
hands in a piece a second time, or hands it to a new partition that has not seen those before,
is told so, and counts nothing.
"""

from firezone_filter.replay.partitions.column_part import ColumnPart
from firezone_filter.replay.partitions.packet_part import PacketPart
from firezone_filter.replay.partitions.piece import Answer, End, Order, Piece, Share


class OutOfStepError(Exception):
    """A partition was handed another piece than the next one."""


class Part:
    """One partition, with the engine that suits what is wanted of it."""

    def __init__(self, order: Order) -> None:
        """Begin, before the first piece."""
        self._engine = ColumnPart(order) if order.by_columns else PacketPart(order)
        self._next = 0

    def take(self, piece: Piece) -> Answer:
        """Decide about the frames of the next piece.

        Raises:
            OutOfStepError: it is not the next.
        """
        self._check(piece.chunk)
        self._next += 1
        return self._engine.take(piece)

    def finish(self, end: End) -> Share:
        """Return the counts of all pieces, if there were as many as *end* says.

        Raises:
            OutOfStepError: there were others.
        """
        self._check(end.chunks)
        return self._engine.finish(end.last_ns)

    def _check(self, chunk: int) -> None:
        if chunk != self._next:
            raise OutOfStepError(f"this is piece {chunk}, and the next would be {self._next}")
