"""A partition takes each piece once, in order; also where calls overtake each other."""

import random
from typing import ClassVar, cast

import pytest
from attrs import evolve

from firezone_filter.capture.stream import NS_PER_S
from firezone_filter.policy import Policy
from firezone_filter.replay.columns.decisions import DecisionColumns
from firezone_filter.replay.partitions.dask_team import ActorPart
from firezone_filter.replay.partitions.failure import Failure
from firezone_filter.replay.partitions.part import OutOfStepError, Part
from firezone_filter.replay.partitions.piece import Answer, End, Order, Piece, Share
from firezone_filter.replay.partitions.reading import PieceMaker
from tests.captures import ALLOWED, START_S, policy, record
from tests.gathering import gathered

ORDER = Order(policy(), START_S * NS_PER_S)
END = End(4, START_S * NS_PER_S)


@pytest.fixture
def pieces() -> list[Piece]:
    records = [record(ALLOWED)] * 8
    maker = PieceMaker(policy(), 1, flows=False, whole=False)
    made = [pieces for frames in gathered(records, 2) for pieces in maker.add(frames)]
    return [piece for (piece,) in made]


def test_a_piece_that_is_not_the_next_is_refused(pieces: list[Piece]) -> None:
    part = Part(ORDER)
    part.take(pieces[0])
    for piece in (pieces[0], pieces[2]):
        with pytest.raises(OutOfStepError, match=f"this is piece {piece.chunk}.* would be 1"):
            part.take(piece)


def test_a_partition_that_has_not_seen_everything_has_no_counts(pieces: list[Piece]) -> None:
    part = Part(ORDER)
    part.take(pieces[0])
    with pytest.raises(OutOfStepError):
        part.finish(END)


def test_an_actor_puts_pieces_in_order(pieces: list[Piece]) -> None:
    random.Random(1).shuffle(pieces)
    actor = ActorPart(ORDER)
    answers = [answer for piece in pieces for answer in cast("list[Answer]", actor.take(piece))]
    assert [answer.chunk for answer in answers] == [0, 1, 2, 3]
    share = cast("Share", actor.finish(END))
    assert sum(client.packets for client in share.summary.clients.values()) == 8


def test_an_actor_takes_no_piece_twice(pieces: list[Piece]) -> None:
    actor = ActorPart(ORDER)
    for piece in (pieces[0], pieces[2]):
        actor.take(piece)
        with pytest.raises(OutOfStepError, match="a second time"):
            actor.take(piece)


class Faulty:
    """A renderer with a fault."""

    needs_payload: ClassVar = False

    def add_columns(self, columns: DecisionColumns) -> None:
        raise LookupError(f"{len(columns)} rows")

    def taken(self) -> list[object]:
        raise NotImplementedError


def test_an_actor_returns_what_deciding_has_raised(pieces: list[Piece]) -> None:
    failed = ActorPart(evolve(ORDER, renderers=(Faulty,))).take(pieces[0])
    assert isinstance(failed, Failure)
    assert repr(failed.error) == "LookupError('2 rows')"


def test_so_it_does_with_what_counting_or_beginning_has_raised() -> None:
    failed = ActorPart(Order(cast("Policy", None), 0)).finish(END)
    assert isinstance(failed, Failure)
    assert type(failed.error) is AttributeError


def test_an_actor_that_has_not_seen_everything_has_no_counts() -> None:
    with pytest.raises(OutOfStepError):
        ActorPart(ORDER).finish(END)
