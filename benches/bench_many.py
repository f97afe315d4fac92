"""What a portal says about all clients at once: for each it must cost the same, few or many.

All clients have the same resources. The pathological case is that everything ends at one
moment. A hundred thousand clients take too long for a bench: `python -m benches.many`.
"""

import pytest

from benches.conftest import Measure, Scaled
from benches.hooks import measure_authorize, measure_revoke
from benches.many import Crowd
from benches.scenes import gateway_with_clients
from firezone_filter import Gateway

_CLIENTS = (1, 100, 10_000)
_ROUNDS = 5

each_number_of_clients = pytest.mark.parametrize("size", _CLIENTS)
each_number = pytest.mark.parametrize("size", [100, 2_000])


# --- One of them -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def busy(scaled: Scaled) -> dict[int, Gateway]:
    """Return gateways by how many clients are connected."""
    return {size: gateway_with_clients(scaled(size)) for size in _CLIENTS}


@each_number_of_clients
def test_authorizing_one(size: int, busy: dict[int, Gateway], measure: Measure) -> None:
    measure_authorize(measure, "clients: authorize", size, busy[size])


@each_number_of_clients
def test_revoking_one(size: int, busy: dict[int, Gateway], measure: Measure) -> None:
    measure_revoke(measure, "clients: revoke", size, busy[size])


# --- All of them -------------------------------------------------------------------------


def crowd_of(size: int) -> Crowd:
    crowd = Crowd(size)
    crowd.connect()
    return crowd


def authorized(crowd: Crowd) -> int:
    """Return how many authorizations there are."""
    return crowd.gateway.counters().authorizations


@each_number
def test_authorizing_all(size: int, scaled: Scaled, measure: Measure) -> None:
    crowd = crowd_of(scaled(size))
    measure(
        "many: authorize",
        f"{size:,}",
        crowd.authorize,
        count=crowd.authorizations,
        setup=crowd.retain_nothing,
        rounds=_ROUNDS,
    )
    assert authorized(crowd) == crowd.authorizations


@each_number
def test_everything_ends_at_one_moment(size: int, scaled: Scaled, measure: Measure) -> None:
    crowd = crowd_of(scaled(size))

    def setup() -> None:
        crowd.fetch()
        crowd.authorize()

    measure(
        "many: expire",
        f"{size:,}",
        crowd.expire,
        count=crowd.authorizations,
        setup=setup,
        rounds=_ROUNDS,
    )
    assert authorized(crowd) == 0
    assert crowd.fetch() == crowd.authorizations + crowd.size


@each_number
def test_updating_what_all_have(size: int, scaled: Scaled, measure: Measure) -> None:
    crowd = crowd_of(scaled(size))
    crowd.authorize()
    run, group = crowd.update, "many: update_resource"
    assert measure(group, f"{size:,}", run, count=crowd.size, rounds=_ROUNDS) == crowd.size


@each_number
def test_taking_one_of_ten_from_each(size: int, scaled: Scaled, measure: Measure) -> None:
    crowd = crowd_of(scaled(size))
    measure(
        "many: retain_authorizations",
        f"{size:,}",
        crowd.retain,
        count=crowd.size,
        setup=crowd.authorize,
        rounds=_ROUNDS,
    )
    assert authorized(crowd) == crowd.authorizations - crowd.size
