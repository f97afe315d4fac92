import pytest

from firezone_filter.structures.token_bucket import TokenBucket


def taken(bucket: TokenBucket, now: float, times: int) -> int:
    return sum(bucket.take(now) for _ in range(times))


@pytest.mark.parametrize("burst", [1, 2, 100])
def test_a_bucket_is_full_at_first(burst: int) -> None:
    assert taken(TokenBucket(1.0, burst, 0.0), 0.0, burst + 1) == burst


def test_a_token_is_back_when_its_time_has_passed() -> None:
    bucket = TokenBucket(4.0, 1, 0.0)
    bucket.take(0.0)
    assert bucket.take(0.25)


def test_a_token_is_not_back_before_its_time_has_passed() -> None:
    bucket = TokenBucket(4.0, 1, 0.0)
    bucket.take(0.0)
    assert not bucket.take(0.249)


def test_at_the_same_moment_nothing_comes_back_however_often_it_is_asked() -> None:
    bucket = TokenBucket(4.0, 2, 0.0)
    assert taken(bucket, 0.0, 10) == 2
    # Afterwards all the time that has passed counts, and only once.
    assert taken(bucket, 0.25, 10) == 1
    assert taken(bucket, 0.25, 10) == 0
    assert taken(bucket, 0.75, 10) == 2


@pytest.mark.parametrize("later", [1, 1.0])
def test_a_moment_may_be_any_number_that_is_equal(later: float) -> None:
    bucket = TokenBucket(1.0, 1, 0)
    assert (taken(bucket, 0.0, 2), taken(bucket, later, 2), taken(bucket, 1.0, 2)) == (1, 1, 0)


def test_asking_in_vain_costs_nothing() -> None:
    bucket = TokenBucket(4.0, 1, 0.0)
    bucket.take(0.0)
    bucket.take(0.125)
    assert bucket.take(0.25)


def test_tokens_gather_at_the_rate() -> None:
    bucket = TokenBucket(4.0, 10, 0.0)
    taken(bucket, 0.0, 10)
    assert taken(bucket, 0.75, 10) == 3


def test_no_more_tokens_gather_than_the_burst() -> None:
    bucket = TokenBucket(4.0, 3, 0.0)
    taken(bucket, 0.0, 3)
    assert taken(bucket, 1_000.0, 10) == 3


def test_a_part_of_a_token_is_kept_for_later() -> None:
    bucket = TokenBucket(4.0, 2, 0.0)
    taken(bucket, 0.0, 2)
    assert (taken(bucket, 0.375, 2), taken(bucket, 0.5, 2)) == (1, 1)


def test_without_a_burst_there_is_never_a_token() -> None:
    assert taken(TokenBucket(1_000.0, 0, 0.0), 1_000.0, 10) == 0


def test_without_a_rate_what_was_taken_never_comes_back() -> None:
    bucket = TokenBucket(0.0, 1, 0.0)
    bucket.take(0.0)
    assert not bucket.take(1e9)


def test_a_bucket_counts_from_its_start_on_the_clock() -> None:
    bucket = TokenBucket(1.0, 1, 1_750_000_000.0)
    bucket.take(1_750_000_000.0)
    assert not bucket.take(1_750_000_000.5)


def test_no_time_has_passed_before_the_clock_starts() -> None:
    bucket = TokenBucket(1.0, 1, 0.0)
    bucket.take(0.0)
    bucket.start_clock(1_750_000_000.0)
    assert not bucket.take(1_750_000_000.5)


def test_starting_the_clock_brings_back_no_token() -> None:
    bucket = TokenBucket(1.0, 2, 0.0)
    bucket.take(0.0)
    bucket.start_clock(1_750_000_000.0)
    assert taken(bucket, 1_750_000_000.0, 2) == 1


def test_the_longest_time_fills_the_bucket() -> None:
    bucket = TokenBucket(1.0, 3, -(10**308))
    taken(bucket, -(10**308), 3)
    assert taken(bucket, 10**308, 10) == 3


def test_without_a_rate_the_longest_time_brings_nothing_back() -> None:
    bucket = TokenBucket(0.0, 1, -1e308)
    bucket.take(-1e308)
    assert not bucket.take(1e308)
