"""The rules: in which order they are asked, and in which they are laid."""

import socket
from itertools import pairwise
from typing import Any

import pytest
from attrs import evolve

from firezone_filter import AddressPlan, TunnelAddresses
from firezone_filter.host.rules import ENTRY, FIRST, LAST, LOCAL_TABLE, Plan, Rule, is_ours

PLAN = Plan(("wg0", "wg1"), TunnelAddresses("100.64.0.1", "fd00:2021:1111::1"), AddressPlan())


def said(rule: Rule) -> str:
    words = [f"{rule.priority}:"]
    words += [f"to {rule.to}"] if rule.to else []
    words += [f"iif {rule.interface}"] if rule.interface else []
    words += [f"goto {rule.goto}"] if rule.goto else []
    words += [f"lookup {rule.table}"] if rule.table else []
    words += ["blackhole"] if rule.drops else []
    return " ".join(words)


def test_what_comes_from_the_vpn_is_led_away_before_any_local_address() -> None:
    rules = [rule for rule in PLAN.rules((4, 6)) if rule.family == socket.AF_INET]
    assert sorted(map(said, rules)) == [
        "0: goto 90",
        "90: iif ff-in goto 96",
        "90: iif ff-out goto 96",
        "91: to 100.64.0.1/32 iif lo goto 96",
        "92: iif wg0 lookup 20211111",
        "92: iif wg1 lookup 20211111",
        "93: iif wg0 blackhole",
        "93: iif wg1 blackhole",
        "94: to 100.64.0.0/11 lookup 20211112",
        "94: to 100.96.0.0/11 lookup 20211112",
        "95: to 100.64.0.0/11 blackhole",
        "95: to 100.96.0.0/11 blackhole",
        f"96: lookup {LOCAL_TABLE}",
    ]


def test_both_families_have_the_same_and_one_alone_does_without_the_other() -> None:
    rules = list(PLAN.rules((4, 6)))
    ipv6 = [rule for rule in rules if rule.family == socket.AF_INET6]
    assert len(ipv6) * 2 == len(rules)
    only = list(PLAN.rules((4,)))
    assert {rule.family for rule in only} == {socket.AF_INET}
    assert len(only) * 2 == len(rules)


def test_a_rule_is_laid_after_those_that_it_leads_to() -> None:
    rules = list(PLAN.rules((4,)))
    assert (rules[0].priority, rules[-1].priority) == (LAST, ENTRY)
    assert all(one.priority >= other.priority for one, other in pairwise(rules))


def test_where_all_packets_are_led_to_there_are_two_rules_of_any_plan() -> None:
    # A gateway without an IPv6 address, for one, has no rule that lets it speak to itself.
    rules = list(Plan((), TunnelAddresses("100.64.0.1"), AddressPlan()).rules((4, 6)))
    entries = {(rule.family, rule.goto) for rule in rules if rule.priority == ENTRY}
    assert entries == {(socket.AF_INET, FIRST), (socket.AF_INET6, FIRST)}
    for family in (socket.AF_INET, socket.AF_INET6):
        first = [rule for rule in rules if (rule.family, rule.priority) == (family, FIRST)]
        assert len(first) == 2


def test_rules_of_any_plan_are_ours() -> None:
    assert all(is_ours(rule) for rule in PLAN.rules((4, 6)))


@pytest.mark.parametrize(
    "change",
    [
        {"priority": FIRST},
        {"priority": LAST + 1},
        {"table": 254},
        {"goto": 32766, "table": None},
        {"interface": None},
        {"drops": True},
        {"more": ("FRA_FWMARK",)},
    ],
    ids=lambda change: " ".join(map(str, change.values())),
)
def test_a_rule_that_is_otherwise_is_not_ours(change: dict[str, Any]) -> None:
    ours = Rule(socket.AF_INET, 92, table=20211111, interface="wg0")
    assert (is_ours(ours), is_ours(evolve(ours, **change))) == (True, False)
