"""Random stories, told to a gateway and to its naive model: not one difference.

Seeds are fixed, so a run repeats itself. What a story hits is counted, so that a generator
that no longer reaches something shows.
"""

import random
from collections import Counter

import pytest

from firezone_filter import DnsResource, Reason
from firezone_filter.testing import FIN, tcp
from tests.property.policies import connected, resolve
from tests.property.pools import INBOUND, OUTBOUND
from tests.property.story import Story
from tests.scenes import refusal

STEPS = 200
QUICK, THOROUGH = {False: 80, True: 80}, {False: 1_200, True: 1_800}
"""Stories, stateless and stateful ones; each has about 175 packets, and 25 hooks in between."""

ALLOWED = [
    f"{direction} {decision} {what} v{version}"
    for direction in ("outbound", "inbound")
    for decision in ("forward", "translate")
    for what in ("whole", "error", "first fragment", "later fragment")
    for version in (4, 6)
]
REPLIES = [
    f"outbound reject {reason}"
    for reason in (
        Reason.PEER_ADDRESS,
        Reason.NO_RESOURCE,
        Reason.TCP_PORT,
        Reason.UDP_PORT,
        Reason.ICMP,
        Reason.PROTOCOL,
        Reason.NOT_INTERNET,
        Reason.NO_TRANSLATION,
    )
]
BOTH_WAYS = [
    f"{direction} drop {reason}"
    for direction in ("outbound", "inbound")
    for reason in (
        Reason.MALFORMED,
        Reason.UNKNOWN_CLIENT,
        Reason.FRAGMENT,
        Reason.ICMP_ERROR,
        Reason.NO_RESOURCE,
        Reason.TCP_PORT,
        Reason.UDP_PORT,
        Reason.ICMP,
        Reason.NOT_INTERNET,
    )
]
HOOKS = [
    f"hook {name}"
    for name in (
        "client_connected",
        "client_disconnected",
        "authorize",
        "revoke",
        "update_resource",
        "update_expiry",
        "retain_authorizations",
        "domain_resolved",
        "set_addresses",
        "handle_timeout",
        "clock_set",
        "refused",
    )
]
DNS = DnsResource("dns-0", "*.example.com")

EVENTS = ["event authorization-expired", "event access-exhausted"]

STATEFUL = [
    "inbound drop unsolicited",
    "outbound drop flows-exhausted",
    "a flow gave way",
    "a flow began anew",
    "a flow ended with a packet out",
    "a flow ended with a packet in",
    "a packet went as it came",
    "a quote went as it came",
    *(
        f"a flow of {protocol}"
        for protocol in ("tcp", "udp", "icmp echo", "icmp request", "other")
    ),
]


@pytest.fixture(scope="module")
def tallies(*, thorough: bool) -> dict[bool, Counter[str]]:
    """Tell the stories, and return what was hit how often, without `stateful` and with it."""
    return {stateful: told(stateful=stateful, thorough=thorough) for stateful in (False, True)}


def told(*, stateful: bool, thorough: bool) -> Counter[str]:
    hit: Counter[str] = Counter()
    for seed in range((THOROUGH if thorough else QUICK)[stateful]):
        story = Story(random.Random(seed), stateful=stateful)
        story.twins.log.insert(0, f"seed {seed}")
        story.tell(STEPS)
        hit.update(story.twins.tally)
    return hit


@pytest.mark.parametrize("hook", ["authorize", "update_expiry"])
def test_a_session_that_was_over_first_is_remembered_when_its_permission_ends_in_the_past(
    hook: str,
) -> None:
    twins = connected()
    twins.call("authorize", "alice", DNS)
    resolve(twins, "alice", DNS.id, 0, resolved=2)
    out, back = "100.64.0.2:1 > 100.96.0.1:443", "203.0.113.80:443 > 100.64.0.2:1"
    twins.packet(OUTBOUND, tcp(out, flags=FIN), 0.0)
    twins.packet(INBOUND, tcp(back, flags=FIN), 0.0)

    # Over by now, and nobody has noticed.
    twins.packet(OUTBOUND, b"", 240.0)
    if hook == "authorize":
        twins.call("authorize", "alice", DNS, expires_at=239.0)
    else:
        twins.call("update_expiry", "alice", DNS.id, 239.0)

    decision = twins.packet(INBOUND, tcp(back))
    assert refusal(decision) is Reason.EXPIRED_NAT_SESSION


def test_a_difference_is_told_with_its_story() -> None:
    twins = connected()
    twins.model.client_disconnected("alice")

    with pytest.raises(AssertionError, match=r"(?s)gateway: .*'no-resource'.*client_connected"):
        twins.packet(OUTBOUND, tcp("100.64.0.2:1 > 10.0.0.5:443"))


@pytest.mark.parametrize(("stateful", "least"), [(False, 200_000), (True, 300_000)])
def test_a_gateway_and_its_model_decide_alike(
    tallies: dict[bool, Counter[str]], least: int, *, stateful: bool, thorough: bool
) -> None:
    tally = tallies[stateful]
    packets = sum(n for what, n in tally.items() if what.startswith(("outbound", "inbound")))

    assert packets >= (least if thorough else 10_000)


@pytest.mark.parametrize("reason", Reason)
def test_stories_give_each_reason(
    reason: Reason, tallies: dict[bool, Counter[str]], *, thorough: bool
) -> None:
    given = sum(n for what, n in tallies[True].items() if what.endswith(f" {reason}"))

    assert given >= (150 if thorough else 3)


@pytest.mark.parametrize("stateful", [False, True], ids=["stateless", "stateful"])
@pytest.mark.parametrize("outcome", ALLOWED + REPLIES + BOTH_WAYS + HOOKS + EVENTS)
def test_stories_reach_each_outcome(
    outcome: str, tallies: dict[bool, Counter[str]], *, stateful: bool, thorough: bool
) -> None:
    assert tallies[stateful][outcome] >= (30 if thorough else 1)


@pytest.mark.parametrize("outcome", STATEFUL)
def test_stateful_stories_reach_each_outcome(
    outcome: str, tallies: dict[bool, Counter[str]], *, thorough: bool
) -> None:
    assert tallies[True][outcome] >= (30 if thorough else 2)
    assert tallies[False][outcome] == 0
