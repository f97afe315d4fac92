"""Times as hosts hand them in: any finite number, kept as it is."""

from decimal import Decimal
from fractions import Fraction

import pytest

from firezone_filter.values.errors import InvalidTime
from firezone_filter.values.times import MAX_AHEAD, to_time


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(0, id="zero"),
        pytest.param(-1.5, id="negative"),
        pytest.param(1_750_000_000.25, id="unix"),
        pytest.param(2**1023, id="greatest-finite-power-of-2"),
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
        pytest.param(2**1024, id="int-beyond-float"),
        pytest.param(-(2**1024), id="int-below-float"),
        pytest.param(10**5_000, id="int-too-long-to-print"),
    ],
)
def test_only_finite_numbers_are_times_and_the_error_carries_the_value(value: float) -> None:
    with pytest.raises(InvalidTime) as caught:
        to_time(value)
    assert caught.value.value is value


@pytest.mark.parametrize(
    "value", [True, "0", None, Decimal(1), Fraction(1), 1j], ids=lambda value: type(value).__name__
)
def test_only_int_and_float_are_times(value: object) -> None:
    with pytest.raises(TypeError):
        to_time(value)  # type: ignore[arg-type]


def test_an_expiry_may_be_fifty_years_ahead() -> None:
    assert MAX_AHEAD == 1_577_880_000
