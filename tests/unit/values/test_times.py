"""Times as hosts hand them in: seconds on one clock."""

from decimal import Decimal
from fractions import Fraction
from math import nextafter

import pytest

from firezone_filter.values.errors import InvalidTime
from firezone_filter.values.times import MAX_AHEAD, TOO_LATE, to_now, to_time
from tests.translations import TICK


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(0, id="zero"),
        pytest.param(-1.5, id="negative"),
        pytest.param(1_750_000_000.25, id="unix"),
        pytest.param(2**33 - 1, id="last-second"),
        pytest.param(nextafter(2.0**33, 0.0), id="last-moment"),
        pytest.param(-(2**33), id="long-ago"),
        pytest.param(-(2**1023), id="least-finite-power-of-2"),
    ],
)
def test_a_finite_number_is_a_time_and_kept_as_it_is(value: float) -> None:
    assert to_time(value) is value


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(float("nan"), id="nan"),
        pytest.param(float("inf"), id="inf"),
        pytest.param(float("-inf"), id="-inf"),
        pytest.param(2**33, id="2**33"),
        pytest.param(2.0**33, id="2.0**33"),
        pytest.param(1_790_000_000_000, id="milliseconds"),
        pytest.param(1.79e18, id="nanoseconds"),
        pytest.param(2**1023, id="greatest-finite-power-of-2"),
        pytest.param(2**1024, id="int-beyond-float"),
        pytest.param(-(2**1024), id="int-below-float"),
        pytest.param(10**5_000, id="int-too-long-to-print"),
    ],
)
def test_other_numbers_are_no_times_and_the_error_carries_the_value(value: float) -> None:
    with pytest.raises(InvalidTime) as caught:
        to_time(value)
    assert caught.value.value is value


@pytest.mark.parametrize(
    "value", [True, "0", None, Decimal(1), Fraction(1), 1j], ids=lambda value: type(value).__name__
)
def test_only_int_and_float_are_times(value: object) -> None:
    with pytest.raises(TypeError):
        to_time(value)  # type: ignore[arg-type]


def test_a_time_may_be_fifty_years_ahead() -> None:
    assert MAX_AHEAD == 50 * 365.25 * 24 * 3_600
    assert TOO_LATE == 2**33


@pytest.mark.parametrize("latest", [-1_000.0, 0, 1_790_000_000.0])
def test_a_now_lies_within_fifty_years_of_the_latest(latest: float) -> None:
    for distance in (-MAX_AHEAD, -1, 0, 1, MAX_AHEAD):
        assert to_now(latest + distance, latest) == latest + distance
    for beyond in (
        latest + MAX_AHEAD + TICK,
        latest - MAX_AHEAD - TICK,
        latest + MAX_AHEAD + 1,
        -(10**300),
    ):
        with pytest.raises(InvalidTime, match="50 years") as caught:
            to_now(beyond, latest)
        assert caught.value.value is beyond


@pytest.mark.parametrize("first", [0, -1e300, 1_790_000_000.0, 2**33 - 1])
def test_the_first_now_may_be_any_time(first: float) -> None:
    now = to_now(first, None)
    assert (type(now), now) == (float, first)


def test_what_is_no_time_is_no_now() -> None:
    for wrong in (2**33, float("nan"), 2**1024):
        for latest in (None, 2.0**33 - 1):
            with pytest.raises(InvalidTime):
                to_now(wrong, latest)
    with pytest.raises(TypeError):
        to_now(True, None)  # noqa: FBT003 - a bool is no number
