"""What a gateway explains is what its model says: every check, every candidate, the decider."""

import random
from collections import Counter
from unittest.mock import patch

import pytest

from firezone_filter import CidrResource, DnsResource, InternetResource, TunnelAddresses
from firezone_filter.testing import tcp
from tests.property import story
from tests.property.explained import ExplainingTwins
from tests.property.policies import UNLIMITED
from tests.property.pools import INBOUND, OUTBOUND, OWN
from tests.property.story import Story

STEPS = 200
FIRST_SEED = 170_000
QUICK, THOROUGH = 8, 300
"""Stories, of each kind; each asks about 350 times."""

EVERYWHERE = [
    *(
        f"{check} refuses"
        for check in (
            *("headers", "multicast", "client", "source", "tunnel", "fragment"),
            *("peer-address", "icmp-error", "link-local-icmp", "own-address"),
            *("resource", "translation"),
        )
    ),
    *(f"{check} permits" for check in ("fragment", "icmp-error", "own-address", "translation")),
    *("several candidates", "excluded", "quoted", "candidates of a quote", "session"),
]


@pytest.fixture(scope="module")
def tallies(*, thorough: bool) -> dict[bool, Counter[str]]:
    """Tell the stories, and return what was explained how often, by `stateful`."""
    return {stateful: told(stateful=stateful, thorough=thorough) for stateful in (False, True)}


def told(*, stateful: bool, thorough: bool) -> Counter[str]:
    hit: Counter[str] = Counter()
    for seed in range(FIRST_SEED, FIRST_SEED + (THOROUGH if thorough else QUICK)):
        with patch.object(story, "Twins", ExplainingTwins):
            one = Story(random.Random(seed), stateful=stateful)
        one.twins.log.insert(0, f"seed {seed}")
        one.tell(STEPS)
        one.twins.check()
        one.twins.events()
        one.twins.count()
        hit.update(one.twins.tally)
    return hit


@pytest.mark.parametrize("stateful", [False, True], ids=["stateless", "stateful"])
@pytest.mark.parametrize("what", EVERYWHERE)
def test_explanations_equal_those_of_the_model_wherever_a_packet_is_decided(
    what: str, tallies: dict[bool, Counter[str]], *, stateful: bool
) -> None:
    assert tallies[stateful][what] >= 1


@pytest.mark.parametrize("what", ["flow refuses", "flow permits"])
def test_stateful_gateways_explain_by_flows(what: str, tallies: dict[bool, Counter[str]]) -> None:
    assert tallies[True][what] >= 1
    assert tallies[False][what] == 0


def test_stateless_gateways_permit_by_resources(tallies: dict[bool, Counter[str]]) -> None:
    assert tallies[False]["resource permits"] >= 1


# Rarer than stories have it.
EVERYTHING = CidrResource(
    "all", "0.0.0.0/0", exclude=["127.0.0.0/8", "100.96.0.0/16", "169.254.0.0/16", "9.9.9.9/32"]
)
SERVICES = CidrResource("services", "169.254.0.0/16", exclude=["169.254.1.0/24"])
PUBLIC = InternetResource("internet", exclude=["9.9.9.0/24"])


@pytest.mark.parametrize(
    "far",
    ["127.0.0.1", "100.96.0.1", "100.96.0.2", "169.254.1.1", "169.254.2.1", "9.9.9.9", "9.9.9.8"],
)
def test_what_is_left_out_where_special_addresses_are(far: str) -> None:
    twins = ExplainingTwins(OWN[0], UNLIMITED)
    twins.call("client_connected", "alice", TunnelAddresses("100.64.0.2"), 0.0)
    for resource in (EVERYTHING, SERVICES, PUBLIC, DnsResource("dns", "a.example.com")):
        twins.call("authorize", "alice", resource)
    twins.call(
        "domain_resolved",
        *("alice", "dns", "a.example.com"),
        proxy_addresses=["100.96.0.1"],
        resolved_addresses=["10.0.0.5"],
    )
    twins.packet(OUTBOUND, tcp(f"100.64.0.2:1 > {far}:2"))
    twins.packet(INBOUND, tcp(f"{far}:2 > 100.64.0.2:1"))
