"""Hooks that are timed in more than one bench: beside many resources, beside many clients."""

from collections.abc import Callable
from typing import Final

from benches.conftest import Measure
from benches.scenes import other_resource
from firezone_filter import CidrResource, Gateway

CALLS: Final = 50
"""Calls that are timed together."""

SPARE: Final = 100_000
"""A number from which on nothing is there yet."""


def measure_authorize(
    measure: Measure,
    group: str,
    size: int,
    gateway: Gateway,
    make: Callable[[int], CidrResource] = other_resource,
) -> None:
    """Time giving Alice more resources."""
    resources = [make(SPARE + number) for number in range(CALLS)]

    def run() -> None:
        for resource in resources:
            gateway.authorize("alice", resource)

    def setup() -> None:
        for resource in resources:
            gateway.revoke("alice", resource.id)

    measure(group, f"{size:,}", run, count=CALLS, setup=setup)
    assert resources[-1].id in gateway.authorizations("alice")
    # What one client holds is shared, and would be cheaper for the gateway of the next size.
    setup()


def measure_revoke(
    measure: Measure,
    group: str,
    size: int,
    gateway: Gateway,
    make: Callable[[int], CidrResource] = other_resource,
) -> None:
    """Time taking them away."""
    resources = [make(SPARE + number) for number in range(CALLS)]

    def run() -> bool:
        for resource in resources:
            revoked = gateway.revoke("alice", resource.id)
        return revoked

    def setup() -> None:
        for resource in resources:
            gateway.authorize("alice", resource)

    assert measure(group, f"{size:,}", run, count=CALLS, setup=setup)
