"""docs/project/upgrading.md: the office policy of 0.1 is read, and decides as it did.

`office_0_1` has the policy of the office as 0.1 had it, and what 0.1 decided about each packet.
"""

import csv
from typing import Final

import pytest

from firezone_filter import Drop, GatewayOptions, Policy, Reject, load_policy
from firezone_filter.replay import Decided, Replay, replay
from tests.snippets import ROOT

BEFORE: Final = ROOT / "tests" / "integration" / "office_0_1"
CAPTURE: Final = ROOT / "examples" / "office" / "office.pcap"
DECIDED: Final = list(csv.DictReader((BEFORE / "decisions.csv").read_text().splitlines()))


@pytest.fixture
def policy() -> Policy:
    return load_policy((BEFORE / "policy.json").read_bytes())


@pytest.fixture
def run(policy: Policy) -> Replay:
    return replay(CAPTURE, policy)


def as_before(decided: Decided) -> dict[str, str]:
    """Return what the lines of 0.1 had of a packet, but for the resource of refusals."""
    decision = decided.decision
    reason = decision.reason.value if isinstance(decision, Reject | Drop) else ""
    return {
        "direction": decided.direction.value,
        "decision": type(decision).__name__.lower(),
        "reason": reason,
        "client": decision.client_id or "",
        "resource": "" if reason else decided.resource_id or "",
    }


def test_every_packet_is_decided_as_in_0_1(run: Replay) -> None:
    assert [as_before(decided) for decided in run.packets()] == DECIDED


def test_it_has_as_many_packets_as_the_page_says(run: Replay) -> None:
    page = (ROOT / "docs" / "project" / "upgrading.md").read_text()
    assert f"{run.summary.frames.packets} packets" in page


def test_refusals_name_the_resource_that_refused_too(run: Replay) -> None:
    named = [one.resource_id for one in run.packets() if isinstance(one.decision, Reject | Drop)]
    assert len(named) - named.count(None) == 13


def test_nothing_is_stateful_until_an_option_says_so(policy: Policy) -> None:
    assert policy.options == GatewayOptions()
    assert not policy.options.stateful


def test_nothing_is_found_in_it(policy: Policy) -> None:
    assert policy.lint() == ()
