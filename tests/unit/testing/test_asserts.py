"""Asserts say nothing where they hold, and explain themselves where they do not."""

import pytest

from firezone_filter import (
    CidrResource,
    DnsResource,
    Policy,
    PolicyAuthorization,
    PolicyClient,
    PolicyDomain,
    PolicyTest,
    Reason,
    Tcp,
    TunnelAddresses,
)
from firezone_filter.testing import assert_allowed, assert_policy_tests, assert_refused
from tests.scenes import (
    INBOUND,
    OUTBOUND,
    Family,
    both_families,
    gateway_for_alice,
)


@both_families
def test_what_holds_is_asserted_without_a_word(family: Family) -> None:
    gateway = gateway_for_alice(family.db(Tcp(443)))
    assert_allowed(gateway, OUTBOUND, family.tcp(OUTBOUND, 443))
    assert_refused(gateway, OUTBOUND, family.tcp(OUTBOUND, 22))
    assert_refused(gateway, OUTBOUND, family.tcp(OUTBOUND, 22), reason=Reason.TCP_PORT)


@both_families
def test_what_should_pass_and_does_not_is_explained(family: Family) -> None:
    gateway, packet = gateway_for_alice(family.db(Tcp(443))), family.tcp(OUTBOUND, 22)
    with pytest.raises(AssertionError) as raised:
        assert_allowed(gateway, OUTBOUND, packet)
    assert str(raised.value) == str(gateway.explain(OUTBOUND, packet))


@both_families
@pytest.mark.parametrize("reason", [None, Reason.TCP_PORT], ids=["any", "tcp-port"])
def test_what_should_be_refused_and_passes_is_explained(
    family: Family, reason: Reason | None
) -> None:
    gateway, packet = gateway_for_alice(family.db(Tcp(443))), family.tcp(OUTBOUND, 443)
    with pytest.raises(AssertionError) as raised:
        assert_refused(gateway, OUTBOUND, packet, reason=reason)
    assert str(raised.value) == str(gateway.explain(OUTBOUND, packet))


def test_what_is_refused_for_another_reason_is_explained() -> None:
    gateway = gateway_for_alice()
    with pytest.raises(AssertionError) as raised:
        assert_refused(gateway, OUTBOUND, b"", reason=Reason.TCP_PORT)
    told = gateway.explain(OUTBOUND, b"")
    assert str(raised.value) == f"refused, but not for tcp-port:\n{told}"


@both_families
def test_moment_and_client_are_those_that_are_asked_about(family: Family) -> None:
    gateway = gateway_for_alice()
    gateway.authorize("alice", family.db(), expires_at=10.0)
    packet = family.tcp(OUTBOUND)
    assert_allowed(gateway, OUTBOUND, packet, 9.0, "alice")
    assert_refused(gateway, OUTBOUND, packet, 10.0, "alice", reason=Reason.NO_RESOURCE)
    assert_refused(gateway, OUTBOUND, packet, 9.0, "bob", reason=Reason.SOURCE_NOT_ALLOWED)


@both_families
def test_asserts_have_no_effect(family: Family) -> None:
    gateway = gateway_for_alice(family.db())
    before = gateway.counters()
    assert_allowed(gateway, OUTBOUND, family.tcp(OUTBOUND), 5.0)
    assert_refused(gateway, INBOUND, family.tcp(INBOUND, far=family.stranger), 5.0)
    assert (gateway.counters(), gateway.poll_event()) == (before, None)


# --- Tests of a policy ---------------------------------------------------------------------------


def policy_with(*tests: PolicyTest) -> Policy:
    web = PolicyAuthorization(CidrResource("web", "10.0.0.0/24", [Tcp(443)]))
    git = PolicyAuthorization(
        DnsResource("git", "git.example.com"), domains=[PolicyDomain("git.example.com", [], [])]
    )
    alice = PolicyClient("alice", TunnelAddresses("100.64.0.2"), [web, git])
    return Policy(TunnelAddresses("100.64.0.1"), clients=[alice], tests=tests)


def test_tests_that_pass_are_asserted_without_a_word() -> None:
    assert_policy_tests(policy_with(PolicyTest("works", "alice", allow=["tcp 10.0.0.5:443"])))


def test_a_policy_without_tests_has_nothing_asserted() -> None:
    with pytest.raises(AssertionError, match="no tests"):
        assert_policy_tests(policy_with())


def test_every_test_that_fails_is_told_with_its_target_and_explained() -> None:
    policy = policy_with(
        PolicyTest("works", "alice", allow=["tcp 10.0.0.5:443"]),
        PolicyTest("reads mail", "alice", allow=["tcp 10.0.0.5:143"]),
        PolicyTest("keeps out", "alice", deny=["tcp 10.0.0.0/25"]),
        # No packet can show this: the name has no address.
        PolicyTest("clones", "alice", allow=["tcp git.example.com:443"]),
    )
    with pytest.raises(AssertionError) as raised:
        assert_policy_tests(policy)
    _, mail, out, _ = policy.run_tests()
    assert str(raised.value) == (
        f"reads mail: allow tcp 10.0.0.5:143\n{mail.explanation}\n\n"
        f"keeps out: deny tcp 10.0.0.0/25\n{out.explanation}\n\n"
        "clones: allow tcp git.example.com:443"
    )
