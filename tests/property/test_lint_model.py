"""What lint says of authorizations holds when they are taken away, by the model."""

import random
import re

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from firezone_filter import Policy
from tests.model.values import Given
from tests.property.brute import Brute, questions
from tests.property.small_policies import ats, policies, variants

seeds = st.integers(0, 2**32 - 1).map(random.Random)
MANY = 80
MOMENTS = (0.0, 99.5, 100.0, 150.0, 200.0)
PLACE = re.compile(r"clients\[(\d+)\]\.authorizations\[(\d+)\]")

UNREACHABLE, REDUNDANT, EXPIRED, NO_ACCESS = "FZ101", "FZ102", "FZ106", "FZ107"
PERMITS_NOTHING = {UNREACHABLE, "FZ203", "FZ205", "FZ206"}
one_policy = policies() | variants().map(lambda pair: pair[1])


@given(policy=one_policy, at=ats, chance=seeds)
def test_what_is_redundant_or_permits_nothing_may_go(
    policy: Policy, at: float | None, chance: random.Random
) -> None:
    for finding in policy.lint(at):
        place = PLACE.match(finding.place)
        if place is None or finding.code not in {REDUNDANT, EXPIRED, *PERMITS_NOTHING}:
            continue
        client, nth = policy.clients[int(place[1])], int(place[2])
        # What it leads nowhere leads elsewhere without it.
        if finding.code in PERMITS_NOTHING and shares_proxies(client, nth):
            continue
        rest = without(policy, client, nth)
        for moment in {at, chance.choice(moments_from(at))}:
            was, now = Brute(policy, moment), Brute(rest, moment)
            for one in questions(chance, MANY, policy):
                permits = [brute.out(client.id, one) is not None for brute in (was, now)]
                assert permits[0] == permits[1], (finding, one, moment)
            leads = was.leads(client.id), now.leads(client.id)
            assert all(leads[1][one] == leads[0][one] for one in leads[1]), finding


@given(policy=one_policy, at=ats)
def test_what_may_go_is_found(policy: Policy, at: float | None) -> None:
    found = {(finding.place, finding.code) for finding in policy.lint(at)}
    with_any = {place for place, _ in found}
    for c, client in enumerate(policy.clients):
        for nth, _ in enumerate(client.authorizations):
            rest = without(policy, client, nth)
            changes = any(policy.diff(rest, moment).clients for moment in moments_from(at))
            place = f"clients[{c}].authorizations[{nth}]"
            told = any(one.startswith(place) for one in with_any)
            # Of equals only the later is redundant.
            later = any(
                (f"clients[{c}].authorizations[{other}]", REDUNDANT) in found
                for other in range(nth + 1, len(client.authorizations))
            )
            assert changes or told or later, (place, found)


@given(policy=one_policy, at=ats, chance=seeds)
def test_a_client_without_access_may_reach_nothing(
    policy: Policy, at: float | None, chance: random.Random
) -> None:
    codes = {(finding.place, finding.code) for finding in policy.lint(at)}
    brute = Brute(policy, at)
    for c, client in enumerate(policy.clients):
        if (f"clients[{c}]", NO_ACCESS) not in codes:
            assert any(box.resource_id is not None for box in policy.reach(client.id, at))
            continue
        for one in questions(chance, MANY, policy):
            assert brute.out(client.id, one) in (None, (None,)), one


def shares_proxies(client: Given, nth: int) -> bool:
    """Tell whether another authorization of a client names a proxy address of this one."""
    mine, *others = (
        {proxy for domain in one.domains or () for proxy in domain.proxy_addresses}
        for one in (client.authorizations[nth], *client.authorizations)
    )
    return any(mine & other for place, other in enumerate(others) if place != nth)


def without(policy: Policy, client: Given, nth: int) -> Policy:
    """Take one authorization of a client away."""
    left = [one for place, one in enumerate(client.authorizations) if place != nth]
    return evolve(
        policy,
        clients=[
            evolve(one, authorizations=left) if one.id == client.id else one
            for one in policy.clients
        ],
    )


def moments_from(at: float | None) -> list[float | None]:
    """Return a moment and later ones, about when something expires; `None`: nothing has."""
    return [at, *(moment for moment in MOMENTS if at is None or moment > at)]
