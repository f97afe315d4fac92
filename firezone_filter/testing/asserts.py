"""Asserts about gateways and policies, whose messages are explanations.

They ask `Gateway.explain` and not `Gateway.handle_packet`: an assert has no effect on what it is
about. So a packet that was asserted to pass has begun no flow, and what answers it may still be
refused.
"""

from firezone_filter import Direction, Gateway, Policy, Reason, TestResult


def assert_allowed(
    gateway: Gateway,
    direction: Direction,
    packet: bytes,
    now: float | None = None,
    client_id: str | None = None,
) -> None:
    """Assert that a gateway would let a packet pass. Nothing happens to the gateway.

    Args:
        gateway: the gateway.
        direction: from a client (`OUTBOUND`) or to one (`INBOUND`).
        packet: one IP packet.
        now: the moment to ask about, in seconds; by default the latest `now` so far.
        client_id: as for `Gateway.handle_packet`.

    Raises:
        AssertionError: it would be refused; the message is the explanation.
        InvalidTime: as `Gateway.explain`.
        TypeError: a wrong type.
    """
    __tracebackhide__ = True
    explanation = gateway.explain(direction, packet, now, client_id)
    if not explanation.decision.allowed:
        raise AssertionError(str(explanation))


def assert_refused(  # noqa: PLR0913 - those of `explain`, and what is expected
    gateway: Gateway,
    direction: Direction,
    packet: bytes,
    now: float | None = None,
    client_id: str | None = None,
    *,
    reason: Reason | None = None,
) -> None:
    """Assert that a gateway would refuse a packet. Nothing happens to the gateway.

    Args:
        gateway: the gateway.
        direction: from a client (`OUTBOUND`) or to one (`INBOUND`).
        packet: one IP packet.
        now: the moment to ask about, in seconds; by default the latest `now` so far.
        client_id: as for `Gateway.handle_packet`.
        reason: why; by default any reason will do. A test that means a port should name it:
            otherwise it also passes where the client was not even found.

    Raises:
        AssertionError: it would pass, or be refused for another reason; the message has the
            explanation.
        InvalidTime: as `Gateway.explain`.
        TypeError: a wrong type.
    """
    __tracebackhide__ = True
    explanation = gateway.explain(direction, packet, now, client_id)
    decision = explanation.decision
    if decision.allowed:
        raise AssertionError(str(explanation))
    if reason is not None and decision.reason is not reason:
        raise AssertionError(f"refused, but not for {reason}:\n{explanation}")


def assert_policy_tests(policy: Policy) -> None:
    """Assert that the tests that a policy carries pass, and that it has some.

    Args:
        policy: the policy.

    Raises:
        AssertionError: tests fail, or there are none; the message names each that fails with
            the target and the explanation of a packet that shows it.
    """
    __tracebackhide__ = True
    results = policy.run_tests()
    if not results:
        raise AssertionError("the policy has no tests")
    if failed := [one for one in results if not one.passed]:
        raise AssertionError("\n\n".join(_told(one) for one in failed))


def _told(failed: TestResult) -> str:
    first = f"{failed.name}: {failed.side} {failed.part}"
    return first if failed.explanation is None else f"{first}\n{failed.explanation}"
