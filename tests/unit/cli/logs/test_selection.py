"""Which entries are selected."""

import re

import pytest

from firezone_filter.cli.logs.selection import SEVERITIES, Selection, rank, to_field, to_regex

from .log_entries import entry, invalid_line

NOON = "2026-08-22T12:00:00"
BEFORE_NOON = "2026-08-22T11:59:59"


@pytest.mark.parametrize("fields", [{}, {"time": 7}, {"severity": "TRACE"}])
def test_by_default_every_entry_is_selected(fields: dict[str, object]) -> None:
    assert Selection().predicate()(entry(**fields))


@pytest.mark.parametrize(
    ("selection", "selected"),
    [
        pytest.param(Selection(), True, id="all"),
        pytest.param(Selection(severity="ERROR"), True, id="severity"),
        pytest.param(Selection(fields=(("cid", "alice"),)), True, id="field"),
        pytest.param(Selection(pattern=re.compile("panic")), True, id="pattern"),
        pytest.param(Selection(pattern=re.compile("warning")), False, id="another pattern"),
        pytest.param(Selection(since=NOON), True, id="since its time"),
        pytest.param(Selection(until=NOON), False, id="until its time"),
    ],
)
def test_only_pattern_and_time_rule_out_an_invalid_line(
    selection: Selection, *, selected: bool
) -> None:
    assert selection.predicate()(invalid_line(b"a panic\xff", key=NOON)) is selected


@pytest.mark.parametrize(("key", "since", "until"), [(BEFORE_NOON, False, True), ("", True, True)])
def test_an_invalid_line_has_the_time_of_the_line_before(
    key: str, *, since: bool, until: bool
) -> None:
    line = invalid_line(b"panic", key=key)
    assert Selection(since=NOON).predicate()(line) is since
    assert Selection(until=NOON).predicate()(line) is until


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
def test_a_severity_has_a_rank(severity: object, place: int) -> None:
    assert rank(severity) == place


@pytest.mark.parametrize(
    ("lowest", "selected"), [(name, list(SEVERITIES[n:])) for n, name in enumerate(SEVERITIES)]
)
def test_a_severity_selects_itself_and_everything_above(lowest: str, selected: list[str]) -> None:
    check = Selection(severity=lowest).predicate()
    assert [name for name in SEVERITIES if check(entry(severity=name))] == selected


@pytest.mark.parametrize("fields", [{}, {"severity": None}, {"severity": "LOUD"}])
def test_an_entry_without_a_known_severity_has_the_lowest_of_all(
    fields: dict[str, object],
) -> None:
    assert not Selection(severity="TRACE").predicate()(entry(**fields))


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
def test_a_pattern_is_searched_in_the_message_as_printed(
    pattern: str, message: object, *, taken: bool
) -> None:
    assert Selection(pattern=re.compile(pattern)).predicate()(entry(message=message)) is taken


def test_a_pattern_is_searched_in_no_other_field() -> None:
    assert not Selection(pattern=re.compile("alice")).predicate()(entry(message="x", cid="alice"))


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
def test_the_value_of_a_field_is_compared_as_printed(
    name: str, value: str, *, taken: bool
) -> None:
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


@pytest.mark.parametrize(
    ("wanted", "value", "taken"),
    [
        ("10.0.0.0/8", "10.0.0.0", True),
        ("10.0.0.0/8", "10.255.255.255", True),
        ("10.0.0.0/8", "9.255.255.255", False),
        ("10.0.0.0/8", "11.0.0.0", False),
        ("10.1.2.3/8", "10.9.9.9", True),
        ("10.0.0.0/255.0.0.0", "10.9.9.9", True),
        ("10.0.0.0/8", "10.1.0.0/16", True),
        ("10.0.0.0/8", "10.0.0.0/8", True),
        ("10.0.0.0/8", "10.0.0.0/7", False),
        ("10.0.0.5", "10.0.0.5", True),
        ("10.0.0.5", "10.0.0.50", False),
        ("0.0.0.0/0", "255.255.255.255", True),
        ("0.0.0.0/0", "::", False),
        ("::/0", "0.0.0.1", False),
        ("fd00:5::/32", "fd00:5:ffff::1", True),
        ("fd00:5::/32", "fd00:6::", False),
        ("fd00:5:0::5", "fd00:5::5", True),
        ("fd00:5::5", "FD00:5::0005", True),
        ("10.0.0.0/8", "10.0.0.5:443", False),
        ("10.0.0.0/8", "gateway", False),
        ("10.0.0.0/8", "", False),
        ("10.0.0.0/8", 167772165, False),
        ("10.0.0.0/8", None, False),
        ("10.0.0.0/8", ["10.0.0.5"], False),
        ("10.0.0.0/33", "10.0.0.5", False),
        ("10.0.0.0/33", "10.0.0.0/33", True),
        ("10/8", "10.0.0.5", False),
        ("0.0.0.22", 22, False),
    ],
)
def test_a_network_matches_the_addresses_and_networks_in_it(
    wanted: str, value: object, *, taken: bool
) -> None:
    check = Selection(fields=(("src", wanted),)).predicate()
    assert check(entry(src=value)) is taken
    inside = Selection(fields=(("flow.src", wanted),)).predicate()
    assert inside(entry(flow={"src": value})) is taken


def test_every_field_must_have_its_value() -> None:
    check = Selection(fields=(("a", "1"), ("b", "2"))).predicate()
    assert [check(entry(a=1, b=2)), check(entry(a=1, b=3))] == [True, False]


@pytest.mark.parametrize(
    ("time", "since", "until"),
    [
        ("2026-08-22T11:59:59.999999999Z", False, True),
        ("2026-08-22T12:00:00Z", True, False),
        ("2026-08-22T14:00:00+02:00", True, False),
        ("2026-08-22T12:00:00.000000001Z", True, False),
    ],
)
def test_since_includes_its_own_time_and_until_does_not(
    time: str, *, since: bool, until: bool
) -> None:
    assert Selection(since=NOON).predicate()(entry(time=time)) is since
    assert Selection(until=NOON).predicate()(entry(time=time)) is until


def test_an_entry_must_meet_every_condition() -> None:
    check = Selection("WARN", re.compile("x"), (("a", "1"),), NOON).predicate()
    fields = {"severity": "WARN", "message": "x", "a": 1, "time": f"{NOON}Z"}
    others = {"severity": "INFO", "message": "y", "a": 2, "time": "2026-08-21T12:00:00Z"}
    assert check(entry(**fields))
    assert not any(check(entry(**fields | {name: value})) for name, value in others.items())


# --- Inverted ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("selection", "taken"),
    [
        (Selection(severity="WARN", invert=True), [True, False, True, False]),
        (Selection(pattern=re.compile("x"), invert=True), [False, False, True, True]),
        (Selection(fields=(("a", "1"),), invert=True), [False, True, False, True]),
        (Selection("WARN", re.compile("x"), invert=True), [True, False, True, True]),
        (Selection("WARN", None, (("a", "1"),), invert=True), [True, True, True, True]),
    ],
)
def test_what_the_conditions_together_leave_out_may_be_selected(
    selection: Selection, taken: list[bool]
) -> None:
    check = selection.predicate()
    assert [
        check(entry(severity="INFO", message="x", a=1)),
        check(entry(severity="ERROR", message="x", a=2)),
        check(entry(severity="INFO", message="y", a=1)),
        check(entry(severity="WARN", message="y", a=2)),
    ] == taken


@pytest.mark.parametrize(
    ("time", "message", "taken"),
    [
        ("2026-08-22T11:59:59Z", "y", False),
        ("2026-08-22T12:00:00Z", "y", True),
        ("2026-08-22T12:00:00Z", "x", False),
        ("2026-08-22T13:00:00Z", "y", False),
    ],
)
def test_times_are_never_inverted(time: str, message: str, *, taken: bool) -> None:
    check = Selection(
        pattern=re.compile("x"), since=NOON, until="2026-08-22T13:00:00", invert=True
    ).predicate()
    assert check(entry(time=time, message=message)) is taken


@pytest.mark.parametrize(
    ("selection", "taken"),
    [
        (Selection(severity="ERROR", invert=True), True),
        (Selection(fields=(("cid", "alice"),), invert=True), True),
        (Selection(pattern=re.compile("panic"), invert=True), False),
        (Selection(pattern=re.compile("other"), invert=True), True),
        (Selection("ERROR", re.compile("panic"), invert=True), False),
        (Selection(None, re.compile("panic"), (("cid", "alice"),), invert=True), False),
    ],
)
def test_only_the_pattern_tells_of_an_invalid_line_when_inverted(
    selection: Selection, *, taken: bool
) -> None:
    assert selection.predicate()(invalid_line(b"a panic")) is taken


@pytest.mark.parametrize(
    ("selection", "has"),
    [
        (Selection(), False),
        (Selection(since=NOON, until=NOON, invert=True), False),
        (Selection(severity="TRACE"), True),
        (Selection(pattern=re.compile("")), True),
        (Selection(fields=(("a", "1"),)), True),
    ],
)
def test_a_selection_knows_whether_it_has_conditions(selection: Selection, *, has: bool) -> None:
    assert selection.has_conditions() is has


# --- Lines in pieces ---------------------------------------------------------------------


@pytest.mark.parametrize("invert", [False, True])
@pytest.mark.parametrize(("first", "later"), [(b"a panic", b"rest"), (b"text", b"panic")])
def test_the_first_piece_of_a_line_decides_about_all(
    first: bytes, later: bytes, *, invert: bool
) -> None:
    check = Selection(pattern=re.compile("panic"), invert=invert).predicate()
    pieces = [
        invalid_line(first, ends=False),
        invalid_line(later, starts=False, ends=False),
        invalid_line(later, starts=False),
    ]
    assert {check(piece) for piece in pieces} == {(b"panic" in first) is not invert}
    assert check(invalid_line(b"panic")) is not invert


@pytest.mark.parametrize(
    ("text", "found"), [("a+", "caat"), ("[[a]", "[")], ids=["plain", "with a FutureWarning"]
)
def test_a_regular_expression_is_compiled_without_a_warning(text: str, found: str) -> None:
    assert to_regex(text).search(found)


def test_a_regular_expression_may_ignore_case() -> None:
    assert to_regex("refused É", ignore_case=True).search("REFUSED é")
    assert not to_regex("refused").search("REFUSED")


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
def test_a_bad_regular_expression_is_reported(text: str) -> None:
    with pytest.raises(ValueError, match="no regular expression"):
        to_regex(text)


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("cid=alice", ("cid", "alice")),
        ("cid=", ("cid", "")),
        ("a=b=c", ("a", "b=c")),
        ("a b=c d", ("a b", "c d")),
    ],
)
def test_a_field_is_selected_by_name_and_value(text: str, field: tuple[str, str]) -> None:
    assert to_field(text) == field


@pytest.mark.parametrize("text", ["", "cid", "=alice"])
def test_text_without_a_name_and_a_value_is_reported(text: str) -> None:
    with pytest.raises(ValueError, match="is not NAME=VALUE"):
        to_field(text)
