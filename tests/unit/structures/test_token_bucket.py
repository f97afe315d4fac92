"""`TokenBucket`: how many tokens there are at a moment, asked and taken."""

import pytest

from firezone_filter.structures.token_bucket import TokenBucket

UNIX = 1_750_000_000.0


def taken(bucket: TokenBucket, now: float, most: int = 10) -> int:
    """Take as many tokens as there are, but no more than *most*; return how many."""
    number = 0
    while number < most and bucket.has_token(now):
        bucket.take(now)
        number += 1
    return number


# Rate, burst, and how many tokens are got when as many as there are get taken at moments.
STORIES = {
    "full-at-first-1": (1.0, 1, [(0.0, 1)]),
    "full-at-first-3": (1.0, 3, [(0.0, 3)]),
    "back-in-time": (4.0, 1, [(0.0, 1), (0.249, 0), (0.25, 1)]),
    "at-the-rate": (4.0, 9, [(0.0, 9), (0.75, 3), (0.75, 0), (1.25, 2)]),
    "never-beyond-the-burst": (4.0, 3, [(0.0, 3), (1_000.0, 3)]),
    "a-part-is-kept": (4.0, 2, [(0.0, 2), (0.375, 1), (0.5, 1)]),
    "asking-in-vain-is-free": (4.0, 1, [(0.0, 1), (0.125, 0), (0.25, 1)]),
    "int-moments": (1.0, 1, [(0, 1), (1, 1), (1.0, 0)]),
    "no-burst": (1_000.0, 0, [(0.0, 0), (1_000.0, 0)]),
    "no-rate": (0.0, 1, [(0.0, 1), (1e9, 0)]),
    "longest-time-without-a-rate": (0.0, 1, [(0.0, 1), (1e308, 0)]),
}


@pytest.mark.parametrize(("rate", "burst", "story"), STORIES.values(), ids=STORIES)
def test_tokens_come_back_at_the_rate_up_to_the_burst(
    rate: float, burst: int, story: list[tuple[float, int]]
) -> None:
    bucket = TokenBucket(rate, burst, 0.0)
    assert [taken(bucket, now) for now, _ in story] == [number for _, number in story]


def test_the_longest_time_fills_the_bucket() -> None:
    bucket = TokenBucket(1.0, 3, -(10**308))
    assert [taken(bucket, -(10**308)), taken(bucket, 10**308)] == [3, 3]


def test_asking_takes_nothing_at_whatever_moment() -> None:
    bucket, twin = TokenBucket(4.0, 2, 0.0), TokenBucket(4.0, 2, 0.0)
    for now in (0.0, 0.1, 0.25, 0.4, 0.9, 5.0):
        for asked_at in (now, now + 1_000.0, now):
            bucket.has_token(asked_at)
        assert [getattr(bucket, name) for name in ("_burst", "_filled", "_rate", "_tokens")] == [
            getattr(twin, name) for name in ("_burst", "_filled", "_rate", "_tokens")
        ]
        assert taken(bucket, now) == taken(twin, now)


def test_a_bucket_counts_from_the_moment_at_which_it_was_made() -> None:
    bucket = TokenBucket(1.0, 1, UNIX)
    assert [taken(bucket, UNIX + later) for later in (0.0, 0.5, 1.0)] == [1, 0, 1]


@pytest.mark.parametrize("by", [UNIX, -UNIX])
def test_no_time_passes_when_the_clock_is_set_and_tokens_stay(by: float) -> None:
    bucket = TokenBucket(1.0, 2, 0.0)
    bucket.take(0.0)
    bucket.shift_clock(by)
    assert [taken(bucket, by + later) for later in (0.0, 0.5, 1.0)] == [1, 0, 1]
