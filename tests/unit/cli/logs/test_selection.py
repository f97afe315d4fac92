"""Which entries are asked for."""

import re

import pytest

from firezone_filter.cli.logs.selection import SEVERITIES, Selection, rank, to_field, to_regex

from .log_entries import entry, invalid_line

NOON = "2026-08-22T12:00:00"


@pytest.mark.parametrize("fields", [{}, {"time": 7}, {"severity": "TRACE"}])
def test_by_default_all_is_asked_for(fields: dict[str, object]) -> None:
    assert Selection().predicate()(entry(**fields))


def test_by_default_an_invalid_line_is_asked_for() -> None:
    assert Selection().predicate()(invalid_line(b"panic"))


@pytest.mark.parametrize(
    ("severity", "place"),
    [
        ("TRACE", 0),
        ("DEBUG", 1),
        ("INFO", 2),
        ("WARN", 3),
        ("ERROR", 4),
        ("warn", 3),
        ("Notice", 2),
        ("WARNING", 3),
        ("CRITICAL", 4),
        ("ALERT", 4),
        ("EMERGENCY", 4),
        ("", -1),
        ("DEFAULT", -1),
        (None, -1),
        (3, -1),
    ],
)
def test_a_severity_has_its_place(severity: object, place: int) -> None:
    assert rank(severity) == place


@pytest.mark.parametrize(
    ("lowest", "taken"), [(name, list(SEVERITIES[n:])) for n, name in enumerate(SEVERITIES)]
)
def test_a_severity_takes_itself_and_all_above(lowest: str, taken: list[str]) -> None:
    check = Selection(severity=lowest).predicate()
    assert [name for name in SEVERITIES if check(entry(severity=name))] == taken


@pytest.mark.parametrize("fields", [{}, {"severity": None}, {"severity": "LOUD"}])
def test_a_severity_leaves_out_what_has_none(fields: dict[str, object]) -> None:
    assert not Selection(severity="TRACE").predicate()(entry(**fields))


def test_a_severity_lets_an_invalid_line_pass() -> None:
    assert Selection(severity="ERROR").predicate()(invalid_line(b"panic"))


@pytest.mark.parametrize(
    ("pattern", "message", "taken"),
    [
        ("Refused", "Refused packet", True),
        ("packet$", "Refused packet", True),
        ("^packet", "Refused packet", False),
        ("refused", "Refused packet", False),
        ("(?i)refused", "Refused packet", True),
        ("null", None, True),
        (r"^\[1,2\]$", [1, 2], True),
        ("", "", True),
    ],
)
def test_a_pattern_is_looked_for_in_the_message_as_it_is_printed(
    pattern: str, message: object, *, taken: bool
) -> None:
    assert Selection(pattern=re.compile(pattern)).predicate()(entry(message=message)) is taken


def test_a_pattern_is_looked_for_in_no_other_field() -> None:
    assert not Selection(pattern=re.compile("alice")).predicate()(entry(message="x", cid="alice"))


@pytest.mark.parametrize(("line", "taken"), [(b"a panic\xff", True), (b"a warning", False)])
def test_a_pattern_is_looked_for_in_all_of_an_invalid_line(line: bytes, *, taken: bool) -> None:
    assert Selection(pattern=re.compile("panic")).predicate()(invalid_line(line)) is taken


@pytest.mark.parametrize(
    ("name", "value", "taken"),
    [
        ("cid", "alice", True),
        ("cid", "alic", False),
        ("cid", "Alice", False),
        ("port", "22", True),
        ("ratio", "1", True),
        ("open", "true", True),
        ("list", "[1]", True),
        ("missing", "null", True),
        ("missing", "", False),
        ("span", '{"cid":"bob","in":{"x":1}}', True),
        ("span.cid", "bob", True),
        ("span.in.x", "1", True),
        ("span.no", "null", True),
        ("cid.no", "null", True),
        ("a.b", "whole", True),
        ("a.c", "inner", True),
    ],
)
def test_a_field_has_a_value_as_it_is_printed(name: str, value: str, *, taken: bool) -> None:
    fields = {
        "cid": "alice",
        "port": 22,
        "ratio": 1.0,
        "open": True,
        "list": [1],
        "span": {"cid": "bob", "in": {"x": 1}},
        "a.b": "whole",
        "a": {"b": "not this", "c": "inner"},
    }
    assert Selection(fields=((name, value),)).predicate()(entry(**fields)) is taken


def test_all_fields_must_have_their_values() -> None:
    check = Selection(fields=(("a", "1"), ("b", "2"))).predicate()
    assert [check(entry(a=1, b=2)), check(entry(a=1, b=3))] == [True, False]


def test_a_field_lets_an_invalid_line_pass() -> None:
    assert Selection(fields=(("cid", "alice"),)).predicate()(invalid_line(b"panic"))


@pytest.mark.parametrize(
    ("time", "taken"),
    [
        ("2026-08-22T11:59:59.999999999Z", False),
        ("2026-08-22T12:00:00Z", True),
        ("2026-08-22T14:00:00+02:00", True),
        ("2026-08-22T12:00:00.000000001Z", True),
    ],
)
def test_since_takes_its_own_moment(time: str, *, taken: bool) -> None:
    assert Selection(since=NOON).predicate()(entry(time=time)) is taken


@pytest.mark.parametrize(
    ("time", "taken"),
    [
        ("2026-08-22T11:59:59.999999999Z", True),
        ("2026-08-22T12:00:00Z", False),
        ("2026-08-22T12:00:00.000000001Z", False),
    ],
)
def test_until_leaves_out_its_own_moment(time: str, *, taken: bool) -> None:
    assert Selection(until=NOON).predicate()(entry(time=time)) is taken


@pytest.mark.parametrize(
    ("key", "taken"), [(NOON, True), ("2026-08-22T11:59:59", False), ("", True)]
)
def test_since_goes_by_the_time_of_the_line_before(key: str, *, taken: bool) -> None:
    assert Selection(since=NOON).predicate()(invalid_line(b"panic", key=key)) is taken


@pytest.mark.parametrize(("key", "taken"), [(NOON, False), ("", True)])
def test_until_goes_by_the_time_of_the_line_before(key: str, *, taken: bool) -> None:
    assert Selection(until=NOON).predicate()(invalid_line(b"panic", key=key)) is taken


def test_all_that_is_asked_for_must_be_so() -> None:
    check = Selection("WARN", re.compile("x"), (("a", "1"),), NOON).predicate()
    fields = {"severity": "WARN", "message": "x", "a": 1, "time": f"{NOON}Z"}
    others = {"severity": "INFO", "message": "y", "a": 2, "time": "2026-08-21T12:00:00Z"}
    assert check(entry(**fields))
    assert not any(check(entry(**fields | {name: value})) for name, value in others.items())


def test_a_regular_expression_is_read() -> None:
    assert to_regex("a+").search("caat")


@pytest.mark.parametrize(
    "text",
    [
        "(",
        "*",
        "a{2,1}",
        r"\1",
        "(?P<x>",
        "a{99999999999999999999}",
        pytest.param("(" * 5000 + ")" * 5000, id="deep"),
    ],
)
def test_what_is_no_regular_expression_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="no regular expression"):
        to_regex(text)


def test_a_regular_expression_that_may_change_its_meaning_is_read() -> None:
    assert to_regex("[[a]").search("[")


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("cid=alice", ("cid", "alice")),
        ("cid=", ("cid", "")),
        ("a=b=c", ("a", "b=c")),
        ("a b=c d", ("a b", "c d")),
    ],
)
def test_a_field_is_asked_for_by_name_and_value(text: str, field: tuple[str, str]) -> None:
    assert to_field(text) == field


@pytest.mark.parametrize("text", ["", "cid", "=alice"])
def test_what_names_no_field_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="is not NAME=VALUE"):
        to_field(text)
