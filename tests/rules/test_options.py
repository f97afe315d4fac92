"""`GatewayOptions`: defaults, types and limits."""

import math
import pickle
from typing import Any, Final

import pytest
from attrs.exceptions import FrozenInstanceError

from firezone_filter import Filter, Gateway, GatewayOptions, Icmp, InvalidPolicy, Tcp, Udp
from tests.scenes import GATEWAY

SWITCHES: Final = {"reject": True, "flow_records": False}
RATES: Final = {"reject_rate": 100.0}
COUNTS: Final = {
    "reject_burst": 100,
    "max_sessions_per_client": 16_384,
    "max_sessions": 1_048_576,
    "max_remembered": 1_048_576,
    "max_flows_per_client": 16_384,
    "max_flows": 1_048_576,
}
OWN_FILTERS: Final = (Icmp.echo(), Udp(53535), Tcp(53535))
DEFAULTS: Final[dict[str, object]] = {**SWITCHES, **RATES, **COUNTS, "own_filters": OWN_FILTERS}


def made(**options: Any) -> GatewayOptions:  # noqa: ANN401 - anything at all
    return GatewayOptions(**options)


@pytest.mark.parametrize("option", DEFAULTS)
def test_every_option_has_its_default(option: str) -> None:
    assert getattr(GatewayOptions(), option) == DEFAULTS[option]


@pytest.mark.parametrize("option", SWITCHES)
def test_a_switch_is_a_bool_and_nothing_like_it(option: str) -> None:
    for value in (True, False):
        assert getattr(made(**{option: value}), option) is value
    for wrong in (0, 1, None, "no", "", ()):
        with pytest.raises(TypeError, match=option):
            made(**{option: wrong})


@pytest.mark.parametrize("option", [*RATES, *COUNTS])
def test_a_number_is_finite_and_not_negative(option: str) -> None:
    for value in (0, 1, 2**40, 10**30):
        assert getattr(made(**{option: value}), option) == value
        Gateway(GATEWAY, options=made(**{option: value}))
    wrong: Any
    for wrong in (-1, 2**1024, 10**5_000):
        with pytest.raises(InvalidPolicy, match=option) as raised:
            made(**{option: wrong})
        assert raised.value.value == wrong
    for wrong in (True, False, None, "100", b"", 1j):
        with pytest.raises(TypeError, match=option):
            made(**{option: wrong})


def test_a_rate_may_have_a_fraction_and_a_count_may_not() -> None:
    for value in (0.001, 1e300):
        assert made(reject_rate=value).reject_rate == value
    for wrong in (math.inf, -math.inf, math.nan, -0.001):
        with pytest.raises(InvalidPolicy):
            made(reject_rate=wrong)
    for option in COUNTS:
        with pytest.raises(TypeError):
            made(**{option: 1.0})


def test_own_filters_are_read_once_and_never_none_by_a_slip() -> None:
    filters: list[Filter] = [Udp(53), Icmp()]
    assert made(own_filters=iter(filters)).own_filters == (Udp(53), Icmp())
    wrong: Any
    for wrong in (None, "", {}, Tcp(443), [None]):
        with pytest.raises(TypeError):
            made(own_filters=wrong)


def test_options_are_values() -> None:
    options = made(own_filters=[Udp(53)], reject_rate=1)
    assert pickle.loads(pickle.dumps(options)) == options  # noqa: S301 - our own bytes
    assert hash(options) == hash(made(own_filters=(Udp("53"),), reject_rate=1.0))
    assert not hasattr(options, "__dict__")
    with pytest.raises(FrozenInstanceError):
        options.reject = False  # type: ignore[misc]
