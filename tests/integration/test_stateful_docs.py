"""The policies, programs and faults of stateful.md and docs/project/upgrading.md are real.

(`test_readme` runs each program by itself.)
"""

import json
from typing import Any, Final

import pytest

from firezone_filter import GatewayOptions, Icmp, InvalidPolicy, Policy, Tcp, Udp, load_policy
from tests import snippets
from tests.snippets import ROOT

STATEFUL: Final = ROOT / "docs" / "explanation" / "stateful.md"
UPGRADING: Final = ROOT / "docs" / "project" / "upgrading.md"


def run(program: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(compile(program, "docs", "exec"), names)  # noqa: S102 - ours
    return names


def test_the_policy_of_the_page_is_stateful() -> None:
    (policy,) = snippets.blocks(STATEFUL, "json")
    assert load_policy(policy).options == GatewayOptions(stateful=True)


def test_without_stateful_the_story_of_the_page_goes_wrong() -> None:
    (story,) = (one for one in snippets.blocks(STATEFUL, "python") if "unsolicited" in one)
    stateless = story.replace("stateful=True", "stateful=False")
    with pytest.raises(AssertionError):
        run(stateless)


def test_own_filters_can_be_what_they_were_in_programs_and_in_policies() -> None:
    before = GatewayOptions(own_filters=(Icmp(), Udp(53535), Tcp(53535)))
    (program,) = (one for one in snippets.blocks(UPGRADING, "python") if "own_filters" in one)
    (policy,) = snippets.blocks(UPGRADING, "json")
    assert before != GatewayOptions()
    assert run(program)["options"] == before
    assert load_policy(policy).options == before


MISSPELT: Final = {
    "gateway": {"ipv4": "100.64.0.1"},
    "clients": [
        {
            "id": "alice",
            "ipv4": "100.64.0.2",
            "authorizations": [
                {
                    "resource": {
                        "type": "cidr",
                        "id": "db",
                        "address": "10.0.0.0/24",
                        "filters": [],
                        "exlude": ["10.0.0.128/25"],
                    }
                }
            ],
            "comment": "from the first floor",
        }
    ],
}


def test_unknown_fields_are_told_as_the_page_says() -> None:
    with pytest.raises(InvalidPolicy) as raised:
        load_policy(MISSPELT)
    (shown,) = snippets.blocks(UPGRADING, "text")
    assert list(raised.value.faults) == shown.splitlines()


def test_comments_can_be_taken_out_of_a_policy() -> None:
    (program,) = (one for one in snippets.blocks(UPGRADING, "python") if "load_commented" in one)
    commented = {
        "gateway": {"ipv4": "100.64.0.1", "comment": "in the cellar"},
        "clients": [{"id": "alice", "ipv4": "100.64.0.2", "authorizations": [], "comment": ""}],
    }
    policy: Policy = run(program)["load_commented"](json.dumps(commented))
    assert [client.id for client in policy.clients] == ["alice"]
