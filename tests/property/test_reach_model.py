"""What policies say when they are asked is what their model does with packet after packet."""

import random

from hypothesis import given
from hypothesis import strategies as st

from firezone_filter import Policy
from tests.model.values import ICMP, Given
from tests.property.brute import (
    Asked,
    Brute,
    about,
    addresses_of,
    holding,
    is_well_formed,
    kinds,
    numbers_of,
    questions,
)
from tests.property.small_policies import ats, policies

seeds = st.integers(0, 2**32 - 1).map(random.Random)
MANY = 400


@given(policy=policies(), at=ats, chance=seeds)
def test_a_packet_is_in_one_box_of_reach_if_the_model_permits_it_and_else_in_none(
    policy: Policy, at: float | None, chance: random.Random
) -> None:
    brute = Brute(policy, at)
    for client in policy.clients:
        boxes: tuple[Given, ...] = policy.reach(client.id, at)
        assert all(is_well_formed(box) for box in boxes), boxes
        asked = [*questions(chance, MANY, policy), *about(chance, boxes, MANY)]
        for one in filter(is_meant, asked):
            permits = brute.out(client.id, one)
            found = [(box.resource_id,) for box in holding(boxes, one)]
            assert found == ([] if permits is None else [permits]), (client.id, one, boxes)


def is_meant(asked: Asked) -> bool:
    """Tell whether reach is exact about this: all but ICMP of the other family is drawn so."""
    return asked.protocol != ICMP[6 if asked.address.version == 4 else 4]


@given(policy=policies(), at=ats, chance=seeds)
def test_those_are_named_who_may_reach_a_target(
    policy: Policy, at: float | None, chance: random.Random
) -> None:
    brute = Brute(policy, at)
    all_numbers = numbers_of(policy)
    own, fixed = addresses_of(policy)
    names = {
        domain.name
        for client in policy.clients
        for one in client.authorizations
        for domain in one.domains or ()
    }
    targets = [*chance.sample(own, min(len(own), 12)), *chance.sample(fixed, 3), *sorted(names)]
    for target in targets:
        for protocol in (6, 17, 1, 58, chance.choice((47, 50, 59, 132))):
            several = wanted(target, protocol, all_numbers)
            for numbers in (several, [chance.choice(several)]) if several else ():
                number = numbers[0] if len(numbers) == 1 else None
                found: tuple[Given, ...] = policy.who(
                    target,
                    protocol,
                    port=number if protocol in (6, 17) else None,
                    icmp_type=number if protocol in (1, 58) else None,
                    at=at,
                )
                expected = may_reach(brute, target, protocol, numbers)
                assert len(set(found)) == len(found)
                assert {*found} == expected, (target, protocol, numbers, found)


def wanted(target: Given, protocol: int, all_numbers: dict[int, list[int]]) -> list[int | None]:
    """Return every port or type of a protocol that tells something about a target."""
    versions = (4, 6) if isinstance(target, str) else (target.version,)
    return [
        number
        for version in versions
        for one, number in kinds(version, all_numbers)
        if one == protocol
    ] or ([None] if protocol not in (1, 58) else [])


def may_reach(
    brute: Brute, target: Given, protocol: int, numbers: list[int | None]
) -> set[tuple[str, str | None]]:
    found = set()
    for client in brute.policy.clients:
        far = brute.targets(client.id, target) if isinstance(target, str) else [target]
        for address in far:
            for number in numbers:
                asked = Asked(address, protocol, number)
                answers = brute.out(client.id, asked) if is_meant(asked) else None
                if answers is not None:
                    found.add((client.id, answers[0]))
    return found
