"""What clients cost in memory, as a ratio to what they may cost."""

from collections.abc import Callable

import pytest

from benches.conftest import Measure, Scaled
from benches.memory import Measuring, alone, bytes_a_client, own, resident, shared, traced
from firezone_filter import CidrResource

_CLIENTS = 10_000
_MAY_COST = 4_096

Resource = Callable[[int], CidrResource]


@pytest.mark.parametrize("measuring", [resident, traced])
@pytest.mark.parametrize("resource", [shared, own])
def test_bytes_a_client(
    resource: Resource, measuring: Measuring, scaled: Scaled, measure: Measure
) -> None:
    took = alone(bytes_a_client, scaled(_CLIENTS), resource, measuring)
    case = f"{resource.__name__} resource, {measuring.__name__}"
    measure.record(f"memory: {case}", "client", took / _MAY_COST)
    assert took >= 0
