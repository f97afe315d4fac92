"""What `Policy.diff` takes for a whole company: seconds of CPU time, no ratio.

The pathological case is that every client is different, so that none is skipped.
"""

from time import process_time

from attrs import evolve

from benches.conftest import Measure, Scaled
from benches.policies import company
from firezone_filter import CidrResource, Policy, PolicyClient, Tcp

_CLIENTS = 1_000
_RESOURCES = 50


def changed(policy: Policy) -> Policy:
    """Let every client lose a resource, and have other ports at a network."""
    return evolve(policy, clients=[_changed(client) for client in policy.clients])


def _changed(client: PolicyClient) -> PolicyClient:
    kept = list(client.authorizations[:-1])
    for place, one in enumerate(kept):
        if isinstance(one.resource, CidrResource):
            kept[place] = evolve(one, resource=evolve(one.resource, filters=[Tcp(22)]))
            break
    return evolve(client, authorizations=kept)


def test_a_diff_in_which_every_client_is_different(measure: Measure, scaled: Scaled) -> None:
    clients = scaled(_CLIENTS * _RESOURCES) // _RESOURCES
    before = company(clients, _RESOURCES)
    after = changed(before)
    start = process_time()
    diff = before.diff(after)
    measure.record("diff: every client", "seconds", process_time() - start)
    assert len(diff.clients) == clients
    assert all(client.gained or client.lost for client in diff.clients)


def test_a_diff_of_equal_policies(measure: Measure, scaled: Scaled) -> None:
    clients = scaled(_CLIENTS * _RESOURCES) // _RESOURCES
    before, after = company(clients, _RESOURCES), company(clients, _RESOURCES)
    start = process_time()
    diff = before.diff(after)
    measure.record("diff: equal", "seconds", process_time() - start)
    assert not diff
