"""What `Policy.lint` takes for a whole company: seconds of CPU time, no ratio.

The pathological case is that much is found: half of what each client has, and all in one place.
"""

from collections.abc import Callable
from time import process_time

import pytest
from attrs import evolve

from benches.conftest import Measure, Scaled
from benches.policies import company
from firezone_filter import CidrResource, Policy, PolicyAuthorization, PolicyClient, Tcp, Udp

_CLIENTS = 1_000
_RESOURCES = 50
_FEW = 20
"""Clients where nothing is timed."""


def twice(policy: Policy) -> Policy:
    """Let each client have half of its resources, and each of these again under another id."""
    return evolve(policy, clients=[_twice(client) for client in policy.clients])


def _twice(client: PolicyClient) -> PolicyClient:
    half = client.authorizations[1 : 1 + _RESOURCES // 2]
    again = [
        evolve(one, resource=evolve(one.resource, id=f"{one.resource.id}-again")) for one in half
    ]
    return evolve(client, authorizations=[*half, *again])


def in_one_place(policy: Policy) -> Policy:
    """Let each client have resources of one network, each with some ports of its own."""
    several = [
        PolicyAuthorization(
            CidrResource(f"db-{n}", "10.0.0.0/16", [Tcp(f"{n + 1}-{n + 60}"), Udp(53)])
        )
        for n in range(_RESOURCES)
    ]
    return evolve(policy, clients=[evolve(one, authorizations=several) for one in policy.clients])


def as_it_is(policy: Policy) -> Policy:
    return policy


@pytest.mark.parametrize(
    ("what", "changed", "codes"),
    [
        ("a company", as_it_is, set()),
        ("everything twice", twice, {"FZ102"}),
        ("one place", in_one_place, {"FZ102", "FZ105"}),
    ],
    ids=["company", "twice", "one-place"],
)
def test_linting(
    what: str,
    changed: Callable[[Policy], Policy],
    codes: set[str],
    measure: Measure,
    scaled: Scaled,
) -> None:
    is_timed = scaled(_CLIENTS) == _CLIENTS
    policy = changed(company(_CLIENTS if is_timed else _FEW, _RESOURCES))
    start = process_time()
    found = policy.lint()
    measure.record(f"lint: {what}", "seconds", process_time() - start)
    assert codes <= {one.code for one in found}
