"""The JSON Schema of policy files agrees with `load_policy`, whatever is done to a document."""

import copy
import json
import re
from collections.abc import Iterator

from hypothesis import event, given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from firezone_filter.policy import Policy, dump_policy, load_policy
from firezone_filter.policy.schema import policy_schema
from firezone_filter.values.errors import InvalidPolicy
from tests.property.damage import Json, damaged
from tests.property.test_policy_roundtrip import DOCUMENT, WORDS, policies

STRUCTURAL = re.compile(
    r": (is missing|unknown field|has neither ipv4 nor ipv6|only a DNS resource has domains"
    r"|an id is not empty"
    r"|.* is not (an object|a list|a text|a time|a number|true or false|a port|an ICMP type"
    r"|a whole number of 0 or more|'tcp', 'udp'.*|'cidr', 'dns'.*)"
    r"|.* is written 'icmp'|.* is negative|an Icmp filter has at least one type.*)($|, )"
)
"""Faults that need no more than the structure of a document, its ranges and choices."""

REPLACEMENTS: list[Json] = [None, True, 1.0, -1, 65_536, "", [], {}, ["x"]]

VALIDATOR = Draft202012Validator(policy_schema())


def faults_of(document: Json) -> tuple[str, ...]:
    try:
        load_policy(document if isinstance(document, dict) else json.dumps(document))
    except InvalidPolicy as error:
        return error.faults
    return ()


def agree(document: Json) -> bool:
    """Check that both agree about a document; tell whether it is one."""
    faults = faults_of(document)
    structural = [fault for fault in faults if STRUCTURAL.search(fault)]
    errors = [f"{error.json_path}: {error.message}" for error in VALIDATOR.iter_errors(document)]
    if not faults or structural:
        assert bool(errors) == bool(structural), (document, faults, errors)
    return not faults


@given(policies())
def test_what_is_written_keeps_to_the_schema(policy: Policy) -> None:
    assert VALIDATOR.is_valid(json.loads(dump_policy(policy)))


def mutants(document: Json) -> Iterator[Json]:
    """Yield a document with each single thing in it replaced, removed or added to."""
    for way in ways(document):
        for replacement in REPLACEMENTS:
            mutant = copy.deepcopy(document)
            inside_of(mutant, way)[way[-1]] = replacement
            yield mutant
        mutant = copy.deepcopy(document)
        del inside_of(mutant, way)[way[-1]]
        yield mutant
        if isinstance(inside_of(document, way)[way[-1]], dict):
            for name in ("unheard_of", "exclude", "$schema"):
                mutant = copy.deepcopy(document)
                inside_of(mutant, way)[way[-1]].setdefault(name, [])
                yield mutant


def ways(inside: Json) -> Iterator[tuple[Json, ...]]:
    steps = inside if isinstance(inside, dict) else range(len(inside))
    for step in steps:
        yield (step,)
        if isinstance(inside[step], dict | list):
            yield from ((step, *rest) for rest in ways(inside[step]))


def inside_of(document: Json, way: tuple[Json, ...]) -> Json:
    for step in way[:-1]:
        document = document[step]
    return document


def test_schema_and_loader_agree_about_every_single_change() -> None:
    verdicts = [agree(mutant) for mutant in mutants(DOCUMENT)]
    # Neither refuses everything, nor accepts it.
    assert verdicts.count(True) > 50
    assert verdicts.count(False) > 500


VALUES: list[Json] = [
    *REPLACEMENTS,
    [None],
    0,
    0.5,
    8.0,
    47,
    "tcp",
    "icmp",
    "dns",
    "internet",
    "b",
]

anything = st.recursive(
    # Copies, since what has been put in is damaged further.
    st.sampled_from(VALUES).map(copy.deepcopy),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(WORDS), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(damaged(st.just(DOCUMENT), WORDS, anything))
def test_schema_and_loader_agree_about_many_changes(document: Json) -> None:
    event("loads" if agree(document) else "does not load")
