"""Tests in policies pass exactly if what they claim is so, packet by packet."""

import random

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from firezone_filter import Policy
from firezone_filter.policy.analysis.tests import TestResult
from firezone_filter.policy.parts import PolicyTest
from tests.model.values import Given
from tests.property.brute import is_refused, model_of
from tests.property.claims import Claim, claims, holds
from tests.property.small_policies import ats, policies

seeds = st.integers(0, 2**32 - 1).map(random.Random)
CLAIMS = 6


@given(policy=policies(), at=ats, chance=seeds)
def test_single_claims_hold_if_the_model_says_so(
    policy: Policy, at: float | None, chance: random.Random
) -> None:
    for client in policy.clients:
        for claim in claims(chance, policy, client.id, CLAIMS):
            for allow in (True, False):
                if allow and stands_for_nothing(claim, policy, client.id, at):
                    continue
                judged(policy, client.id, at, [(claim, allow)], brackets=chance.random() < 0.5)


@given(policy=policies(), at=ats, chance=seeds)
def test_a_test_passes_if_all_its_claims_hold(
    policy: Policy, at: float | None, chance: random.Random
) -> None:
    client = policy.clients[0]
    several = [
        (claim, holds(claim, policy, client.id, at, allow=True) or chance.random() < 0.1)
        for claim in claims(chance, policy, client.id, 5)
        if not stands_for_nothing(claim, policy, client.id, at)
    ]
    judged(policy, client.id, at, several)


def stands_for_nothing(claim: Claim, policy: Policy, client_id: str, at: float | None) -> bool:
    """Tell whether a claim is about a name that leads nowhere at that moment."""
    proxies = model_of(policy, at)._clients[client_id].proxies.values()
    leads = {one.domain for one in proxies if one.target is not None}
    return isinstance(claim.target, str) and claim.target not in leads


def judged(
    policy: Policy,
    client_id: str,
    at: float | None,
    several: list[tuple[Claim, bool]],
    *,
    brackets: bool = False,
) -> None:
    """Put one test into a policy, and compare its result with what the model says."""
    texts = [(claim.text(brackets=brackets), allow) for claim, allow in several]
    failing = {
        text
        for (claim, allow), (text, _) in zip(several, texts, strict=True)
        if not holds(claim, policy, client_id, at, allow=allow)
    }
    test = PolicyTest(
        name="claims",
        client=client_id,
        at=at,
        allow=[text for text, allow in texts if allow],
        deny=[text for text, allow in texts if not allow],
    )
    result: Given
    [result] = evolve(policy, tests=[test]).run_tests()
    assert result.name == "claims"
    assert result.passed is not bool(failing), (test, failing, result)
    if failing:
        assert {result.part, *(text for _, text in result.others)} == failing
        is_allow = (result.part, True) in texts
        check_witness(policy, client_id, at, result, is_allow=is_allow)
    else:
        assert result == TestResult("claims", passed=True, client=client_id)


def check_witness(
    policy: Policy, client_id: str, at: float | None, result: Given, *, is_allow: bool
) -> None:
    """Check that what is shown is decided as the test would not have it."""
    if result.witness is None:  # pragma: no cover - drawn in longer runs
        [client] = [one for one in policy.clients if one.id == client_id]
        assert None in (client.addresses.ipv4, client.addresses.ipv6), result
        return
    direction, packet = result.witness
    decision = model_of(policy, at).handle_packet(direction, packet, client_id=client_id)
    assert is_refused(decision) is is_allow, result
    assert result.explanation.decision.allowed is not is_allow, result
