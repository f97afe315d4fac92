"""Chunks that are read again are those of the first time, however they come."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firezone_filter.replay.errors import WorkersError
from firezone_filter.replay.partitions.reading import chunks_again
from tests.gathering import gathered
from tests.random_captures import records_of


@given(
    sizes=st.lists(st.integers(1, 30), max_size=5),
    chunk=st.integers(1, 40),
    more=st.integers(0, 50),
)
def test_chunks_come_again_in_the_same_sizes(sizes: list[int], chunk: int, more: int) -> None:
    records = list(records_of(random.Random(chunk), sum(sizes) + more))
    frames = list(chunks_again(gathered(records, chunk), sizes))
    assert [len(each) for each in frames] == sizes
    numbers = [number for each in frames for number in each.numbers.tolist()]
    assert numbers == list(range(1, sum(sizes) + 1))
    read = [record.frame for each in frames for record in each.records()]
    assert read == [record.frame for record in records[: sum(sizes)]]


def test_a_capture_that_has_shrunk_cannot_be_read_again() -> None:
    records = list(records_of(random.Random(1), 10))
    with pytest.raises(WorkersError, match="cannot be read again"):
        list(chunks_again(gathered(records, 3), [11]))
