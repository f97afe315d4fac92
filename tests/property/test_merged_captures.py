"""Many captures are merged as `mergecap` does it: the earliest of all next frames comes first."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from attrs import frozen
from hypothesis import given
from hypothesis import strategies as st

from firezone_filter.capture import Frames, Record
from firezone_filter.capture.frames import LEAST_NS, MOST_NS
from firezone_filter.capture.merge import merged

TIMES = st.integers(0, 12) | st.sampled_from([LEAST_NS, MOST_NS])


@frozen
class Chunked:
    """A capture in chunks, whose frames say where they come from."""

    place: int
    times: Sequence[int]
    sizes: Sequence[int]
    """How many frames each chunk has, in turn."""

    link_types: Sequence[int]
    is_known: bool
    """Whether it is known when it begins."""

    @property
    def first_ns(self) -> int | None:
        return self.times[0] if self.is_known and self.times else None

    def records(self) -> list[Record]:
        return [
            Record(time_ns, self.link_type(number), f"{self.place}/{number}".encode(), 99)
            for number, time_ns in enumerate(self.times)
        ]

    def link_type(self, number: int) -> int:
        return self.link_types[number % len(self.link_types)]

    def chunks(self, size: Callable[[], int]) -> Iterator[Frames]:
        assert size() > 0
        left, turn = self.records(), 0
        while left:
            count = self.sizes[turn % len(self.sizes)]
            turn += 1
            yield columns(left[:count])
            left = left[count:]


def columns(records: Sequence[Record]) -> Frames:
    captured = np.array([len(one.frame) for one in records])
    link_types = np.array([one.link_type for one in records], np.int32)
    is_one = bool((link_types == link_types[0]).all())
    return Frames(
        # With a byte between two frames, as captures have headers.
        data=np.frombuffer(b"".join(b"-" + one.frame for one in records), np.uint8),
        starts=np.cumsum(captured + 1) - captured,
        captured=captured,
        wire=np.array([one.wire_length for one in records]),
        time_ns=np.array([one.time_ns for one in records], np.int64),
        link_type=int(link_types[0]) if is_one else link_types,
        first_number=1,
    )


def like_mergecap(captures: Sequence[Chunked]) -> Iterator[Record]:
    left = [capture.records() for capture in captures]
    while any(left):
        first = min((one for one in left if one), key=lambda one: one[0].time_ns)
        yield first.pop(0)


CAPTURES = st.lists(
    st.builds(
        lambda times, is_sorted, **rest: (sorted(times) if is_sorted else times, rest),
        st.lists(TIMES, max_size=12),
        st.booleans(),
        sizes=st.lists(st.integers(1, 5), min_size=1, max_size=3),
        link_types=st.lists(st.sampled_from([1, 101]), min_size=1, max_size=2),
        is_known=st.booleans(),
    ),
    min_size=1,
    max_size=6,
).map(
    lambda drawn: [
        Chunked(place=place, times=times, **rest) for place, (times, rest) in enumerate(drawn)
    ]
)


@given(CAPTURES)
def test_the_earliest_of_all_next_frames_comes_first(captures: list[Chunked]) -> None:
    chunks = list(merged(captures))
    assert [one for frames in chunks for one in frames.records()] == list(like_mergecap(captures))
    numbers = [number for frames in chunks for number in frames.numbers.tolist()]
    assert numbers == list(range(1, len(numbers) + 1))
