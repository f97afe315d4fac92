"""The kernel's rules of policy routing, by pyroute2: all of them read, one laid or taken away."""

from collections.abc import Iterator
from typing import Any, Final

from firezone_filter.host.rules import ENTRY, FAMILIES, FIRST, LAST, LOCAL_TABLE, Rule, is_ours
from firezone_filter.values.addresses import to_network

# From <linux/fib_rules.h>.
_TO_TABLE, _GOTO, _BLACKHOLE = 1, 2, 6  # FR_ACT_…
_INVERT: Final = 0x02  # FIB_RULE_INVERT

# What `Rule` has fields for, and whose the rule is, which says nothing about packets.
_FIELDS: Final = frozenset(
    {"FRA_PRIORITY", "FRA_TABLE", "FRA_GOTO", "FRA_IIFNAME", "FRA_DST", "FRA_PROTOCOL"}
)
_SUPPRESSIONS: Final = frozenset({"FRA_SUPPRESS_PREFIXLEN", "FRA_SUPPRESS_IFGROUP"})
_NONE: Final = 0xFFFF_FFFF  # what a suppression says that suppresses nothing


class RoutingError(Exception):
    """The kernel's rules are not, or cannot be made, as they have to be."""


def read_rules(kernel: Any) -> list[tuple[Rule, int]]:  # noqa: ANN401 - pyroute2 has no types
    """Return all rules in the order in which they are asked, with whose they are."""
    return [
        (_read(message), message.get_attr("FRA_PROTOCOL") or 0)
        for family in sorted(FAMILIES.values())
        for message in kernel.get_rules(family=family)
        if message["family"] == family
    ]


def change_rule(kernel: Any, how: str, rule: Rule, protocol: int) -> None:  # noqa: ANN401
    """Lay a rule (`add`), or take it away (`del`)."""
    fields: dict[str, object] = {"family": rule.family, "priority": rule.priority}
    if rule.table is not None:
        fields["table"] = rule.table
    if rule.goto is not None:
        fields |= {"action": _GOTO, "goto": rule.goto}
    if rule.drops:
        fields["action"] = _BLACKHOLE
    if rule.interface is not None:
        fields["iifname"] = rule.interface
    if rule.to is not None:
        fields["dst"] = str(rule.to)
    kernel.rule(how, FRA_PROTOCOL=protocol, **fields)


def is_local(rule: Rule) -> bool:
    """Tell whether this is the first rule of a machine that nobody has touched."""
    return rule == Rule(rule.family, 0, table=LOCAL_TABLE)


def refuse_others(there: list[tuple[Rule, int]]) -> None:
    """Make sure that no rule comes before ours.

    Raises:
        RoutingError: there is one.
    """
    for rule, is_passed_over in _early(there):
        if not is_passed_over:
            raise RoutingError(
                f"a rule has priority {rule.priority}: packets would go around the filter, which "
                f"has {ENTRY}, and {FIRST} to {LAST} (ip rule, ip -6 rule)"
            )


def without_effect(there: list[tuple[Rule, int]]) -> tuple[str, ...]:
    """Return in words which rules of others are passed over, and how to have them asked."""
    priorities = {rule.priority for rule, is_passed_over in _early(there) if is_passed_over}
    return tuple(
        f"a rule with priority {priority} is without effect beside the filter: give it one above "
        f"{LAST} (ip rule, ip -6 rule)"
        for priority in sorted(priorities)
    )


def _early(there: list[tuple[Rule, int]]) -> Iterator[tuple[Rule, bool]]:
    """Yield the rules of others that come before our last, and whether they are passed over."""
    entered = set[int]()  # families
    for rule, _ in there:
        if is_ours(rule):
            if rule.priority == ENTRY:
                entered.add(rule.family)
        elif rule.priority <= LAST and not is_local(rule):
            # Of equal priorities the one that was there before comes before.
            is_behind_entry = rule.priority > ENTRY or rule.family in entered
            yield rule, is_behind_entry and rule.priority < FIRST


def _read(message: Any) -> Rule:  # noqa: ANN401 - as above
    to = message.get_attr("FRA_DST")
    return Rule(
        message["family"],
        message.get_attr("FRA_PRIORITY") or 0,
        message.get_attr("FRA_TABLE") or None,
        message.get_attr("FRA_GOTO"),
        message.get_attr("FRA_IIFNAME"),
        to and to_network(f"{to}/{message['dst_len']}"),
        message["action"] == _BLACKHOLE,
        tuple(_more(message)),
    )


def _more(message: Any) -> list[str]:  # noqa: ANN401 - as above
    more = [
        name
        for name, value in message["attrs"]
        if name not in _FIELDS and value and not (name in _SUPPRESSIONS and value == _NONE)
    ]
    if message["action"] not in {_TO_TABLE, _GOTO, _BLACKHOLE}:
        more.append("action")
    if message["flags"] & _INVERT:
        more.append("not")
    if message["tos"]:
        more.append("tos")
    return more
