"""What is said to change from one policy to another is what their models decide differently."""

import random
from collections.abc import Iterable

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from firezone_filter import Policy
from firezone_filter.policy import PolicyClient
from tests.model import packets
from tests.model.values import Given
from tests.property.brute import (
    Asked,
    Brute,
    about,
    has_address,
    has_number,
    is_refused,
    model_of,
    questions,
)
from tests.property.pools import OUTBOUND
from tests.property.small_policies import ats, pairs, policies, variants
from tests.property.test_reach_model import is_meant

seeds = st.integers(0, 2**32 - 1).map(random.Random)
MANY = 120

two = st.one_of(pairs(), variants(), st.tuples(policies(), policies())).map(
    lambda pair: (pair[0], with_stateful(pair[1], stateful=pair[0].options.stateful))
)
"""Policies that have much in common, and others that have not."""


def with_stateful(policy: Policy, *, stateful: bool) -> Policy:
    return evolve(policy, options=evolve(policy.options, stateful=stateful))


@given(pair=two, at=ats, chance=seeds)
def test_a_packet_is_gained_or_lost_if_the_models_decide_differently_about_it(
    pair: tuple[Policy, Policy], at: float | None, chance: random.Random
) -> None:
    before, after = pair
    models = Brute(before, at), Brute(after, at)
    by_client = {one.client_id: one for one in before.diff(after, at).clients}
    for client_id in ids_of(before) | ids_of(after):
        diff = by_client.get(client_id)
        gained, lost = ((), ()) if diff is None else (diff.gained, diff.lost)
        named = reaches(pair, client_id, at)
        asked = [*questions(chance, MANY, *pair), *about(chance, [*gained, *lost], MANY)]
        for one in filter(is_meant, asked):
            was, now = (what(brute, client_id, one) for brute in models)
            change = (client_id, one, was, now, diff)
            assert len(boxes_with(gained, one, named)) == (now - was != set()), change
            assert len(boxes_with(lost, one, named)) == (was - now != set()), change


@given(pair=two, at=ats)
def test_each_witness_is_one_of_its_box(pair: tuple[Policy, Policy], at: float | None) -> None:
    before, after = pair
    for client in before.diff(after, at).clients:
        named = reaches(pair, client.client_id, at)
        boxes = [(one, False) for one in client.lost] + [(one, True) for one in client.gained]
        for box, is_gained in boxes:
            direction, data = box.witness
            was, now = (
                not is_refused(
                    model_of(policy, at).handle_packet(direction, data, client_id=client.client_id)
                )
                for policy in pair
            )
            assert (was, now) == (not is_gained, is_gained), box
            assert boxes_with([box], of_witness(box), named) == [box]


@given(pair=two, at=ats)
def test_a_box_names_the_resources_that_answer_on_both_sides(
    pair: tuple[Policy, Policy], at: float | None
) -> None:
    before, after = pair
    models = Brute(before, at), Brute(after, at)
    for client in before.diff(after, at).clients:
        for box in (*client.gained, *client.lost):
            answers = [one.winner(client.client_id, of_witness(box)) for one in models]
            assert [box.before, box.after] == answers, box


@given(pair=two, at=ats)
def test_the_rest_of_a_difference_is_what_the_policies_say(
    pair: tuple[Policy, Policy], at: float | None
) -> None:
    before, after = pair
    diff = before.diff(after, at)
    by_client = {one.client_id: one for one in diff.clients}
    assert len(by_client) == len(diff.clients)
    for policy, client_ids in ((after, ids_of(before)), (before, ids_of(after))):
        for client_id in client_ids - ids_of(policy):
            assert by_client[client_id].change == ("removed" if policy is after else "added")
    models = Brute(before, at), Brute(after, at)
    for client_id in ids_of(before) & ids_of(after):
        one = by_client.get(client_id)
        was, now = (client_of(policy, client_id) for policy in pair)
        if was.addresses != now.addresses:
            assert one is not None
            assert one.change == "readdressed"
        elif one is not None:
            assert one.change == "changed"
            assert one.gained or one.lost or one.moved or one.expiries
        leads, leads_now = (brute.leads(client_id) for brute in models)
        moved = {
            (address, leads[address], leads_now[address])
            for address in leads.keys() & leads_now.keys()
            if leads[address] != leads_now[address]
        }
        told = set() if one is None else {(m.address, m.before, m.after) for m in one.moved}
        assert told == moved
        check_expiries(was, now, at, () if one is None else one.expiries)
    for name in ("addresses", "address_plan", "options"):
        values = (getattr(before, name), getattr(after, name))
        assert getattr(diff, name) == (None if values[0] == values[1] else values)


def check_expiries(
    was: PolicyClient, now: PolicyClient, at: float | None, told: Iterable[Given]
) -> None:
    """Check what ends at another time: an authorization that lives in both policies."""
    ends, ends_now = (
        {
            one.resource.id: one.expires_at
            for one in client.authorizations
            if at is None or one.expires_at is None or at < one.expires_at
        }
        for client in (was, now)
    )
    found = {one.resource_id: (one.before, one.after) for one in told}
    for resource_id, pair in found.items():
        assert pair == (ends[resource_id], ends_now[resource_id])
        assert pair[0] != pair[1]
    # Where all else is the same, it must be told.
    same = {one.resource.id for one in was.authorizations} & {
        one.resource.id
        for one in now.authorizations
        if any(
            (one.resource, one.domains) == (other.resource, other.domains)
            for other in was.authorizations
        )
    }
    for resource_id in same & ends.keys() & ends_now.keys():
        assert (ends[resource_id] != ends_now[resource_id]) == (resource_id in found)


@given(policy=policies(), at=ats)
def test_a_policy_differs_from_itself_in_nothing(policy: Policy, at: float | None) -> None:
    assert not policy.diff(policy, at)


# --- What is asked -------------------------------------------------------------------------


def of_witness(box: Given) -> Asked:
    """Say what a box's witness is about."""
    direction, data = box.witness
    read = packets.parse(data)
    assert read is not None
    far = read.destination if direction is OUTBOUND else read.source
    return Asked(far, read.protocol, read.number(direction.name))


def ids_of(policy: Policy) -> set[str]:
    return {one.id for one in policy.clients}


def client_of(policy: Policy, client_id: str) -> PolicyClient:
    [client] = [one for one in policy.clients if one.id == client_id]
    return client


def what(brute: Brute, client_id: str, asked: Asked) -> set[str]:
    """Return the directions in which a packet passes that nobody has asked for.

    With `stateful` nothing comes in so, but from the gateway itself: that is no difference.
    """
    if client_id not in ids_of(brute.policy):
        return set()
    return {
        direction
        for direction, passes in (
            ("in", not brute.policy.options.stateful and brute.comes(client_id, asked)),
            ("out", brute.out(client_id, asked) is not None),
        )
        if passes
    }


def reaches(pair: tuple[Policy, Policy], client_id: str, at: float | None) -> list[Given]:
    """Return the boxes of both policies: they name what a box of no protocol leaves out."""
    return [
        box
        for policy in pair
        if client_id in ids_of(policy)
        for box in policy.reach(client_id, at)
    ]


def boxes_with(boxes: Iterable[Given], asked: Asked, named: list[Given]) -> list[Given]:
    """Return the boxes that have a packet."""
    names = {box.protocol for box in named if has_address(box, asked.address)}
    protocol = asked.protocol if asked.protocol in names else None
    return [
        box
        for box in boxes
        if has_address(box, asked.address)
        and box.protocol == protocol
        and has_number(box, asked.number)
    ]
