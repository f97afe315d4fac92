"""What a kernel says of its rules; whatever a rule asks that none of ours does is seen."""

from typing import Any

import pytest

from firezone_filter.host.kernel_rules import (
    RoutingError,
    read_rules,
    refuse_others,
    without_effect,
)
from firezone_filter.host.rules import ENTRY, FIRST, LAST, LOCAL_TABLE, Rule, is_ours

KERNEL = 2


class Message(dict[str, Any]):
    """A rule, as pyroute2 reads it."""

    def get_attr(self, name: str) -> object:
        return dict(self["attrs"]).get(name)


class Kernel:
    """Has one rule."""

    def __init__(self, attributes: dict[str, object], **fields: int) -> None:
        plain = {"family": 2, "dst_len": 0, "src_len": 0, "tos": 0, "action": 1, "flags": 1}
        # What a real one says of every rule.
        always = {"FRA_PROTOCOL": KERNEL, "FRA_SUPPRESS_PREFIXLEN": 0xFFFF_FFFF}
        attributes = {"FRA_PRIORITY": LAST, "FRA_TABLE": LOCAL_TABLE} | always | attributes
        self._message = Message(plain | fields, attrs=list(attributes.items()))

    def get_rules(self, family: int) -> list[Message]:
        return [self._message] if family == 2 else []


def test_a_plain_rule_is_read() -> None:
    assert read_rules(Kernel({})) == [(Rule(2, LAST, table=LOCAL_TABLE), KERNEL)]


@pytest.mark.parametrize(
    ("kernel", "more"),
    [
        (Kernel({"FRA_SRC": "10.0.0.0"}, src_len=8), "FRA_SRC"),
        (Kernel({"FRA_FWMARK": 1, "FRA_FWMASK": 0}), "FRA_FWMARK"),
        (Kernel({"FRA_FWMASK": 0xFFFF_FFFF}), "FRA_FWMASK"),
        (Kernel({"FRA_OIFNAME": "eth0"}), "FRA_OIFNAME"),
        (Kernel({"FRA_UID_RANGE": {"start": 0, "end": 0}}), "FRA_UID_RANGE"),
        (Kernel({"FRA_SUPPRESS_PREFIXLEN": 1}), "FRA_SUPPRESS_PREFIXLEN"),
        (Kernel({}, flags=2), "not"),
        (Kernel({}, tos=4), "tos"),
        (Kernel({}, action=8), "action"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_whatever_else_a_rule_asks_makes_it_somebody_elses(kernel: Kernel, more: str) -> None:
    there = read_rules(kernel)
    assert [(rule.more, is_ours(rule)) for rule, _ in there] == [((more,), False)]
    with pytest.raises(RoutingError, match=r"^a rule has priority 96"):
        refuse_others(there)


LED = Rule(2, ENTRY, goto=FIRST)
LOCAL = Rule(2, 0, table=LOCAL_TABLE)


@pytest.mark.parametrize(
    ("there", "around", "passed_over"),
    [
        ([LED, Rule(2, 0, table=254)], None, [0]),
        ([Rule(2, 0, table=254), LED], 0, []),
        ([LED, Rule(10, 0, table=254)], 0, []),
        ([LOCAL, Rule(2, 0, table=254), Rule(2, 5, table=254)], 0, [5]),
        ([LED, Rule(2, 89, table=254), Rule(2, 1, table=254), Rule(2, 1)], None, [1, 89]),
        ([LED, Rule(2, FIRST, table=254)], FIRST, []),
        ([LED, Rule(2, LAST, table=254)], LAST, []),
        ([LED, Rule(2, LAST + 1, table=254), LOCAL], None, []),
    ],
    ids=["behind", "before", "other family", "untouched", "between", "first", "last", "later"],
)
def test_rules_of_others_are_passed_over_unless_they_come_before(
    there: list[Rule], around: int | None, passed_over: list[int]
) -> None:
    read = [(rule, KERNEL) for rule in there]
    told = without_effect(read)
    assert [int(note.split()[4]) for note in told] == passed_over
    if around is None:
        refuse_others(read)
    else:
        with pytest.raises(RoutingError, match=rf"^a rule has priority {around}: "):
            refuse_others(read)
