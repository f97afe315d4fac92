"""JSON values as text, as jq writes them."""

import math

import pytest

from firezone_filter.cli.logs.jq_text import to_json, to_text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("text", "text"),
        ("", ""),
        ('a "b"\n\x1b\x7fé', 'a "b"\n\x1b\x7fé'),
        (None, "null"),
        (True, "true"),
        (False, "false"),
        (7, "7"),
        ([], "[]"),
        ({}, "{}"),
    ],
)
def test_a_string_is_itself_and_everything_else_is_json(value: object, text: str) -> None:
    assert to_text(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a", '"a"'),
        ('"\\/', r'"\"\\/"'),
        ("\b\t\n\f\r\x01\x1f\x7f", r'"\b\t\n\f\r\u0001\u001f\u007f"'),
        ("\x80é\u2028\U0001f600", '"\x80é\u2028\U0001f600"'),
        ({"b": [1, None], "a": {}}, '{"b":[1,null],"a":{}}'),
        ({'"': [[]]}, r'{"\"":[[]]}'),
        ([True, 1.0, "x"], '[true,1,"x"]'),
    ],
)
def test_json_is_compact_and_keeps_the_order(value: object, text: str) -> None:
    assert to_json(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (-0.0, "-0"),
        (1.0, "1"),
        (1.5, "1.5"),
        (-2.25, "-2.25"),
        (0.1, "0.1"),
        (0.0001, "0.0001"),
        (0.00001, "1e-05"),
        (1.5e-7, "1.5e-07"),
        (5e-324, "5e-324"),
        (1e15, "1000000000000000"),
        (1e16, "1e+16"),
        (1.5e16, "15000000000000000"),
        (-1.5e16, "-15000000000000000"),
        (1.5e17, "1.5e+17"),
        (1234567890123456789012.0, "1234567890123456800000"),
        (1.7976931348623157e308, "1.7976931348623157e+308"),
        (math.inf, "1.7976931348623157e+308"),
        (-math.inf, "-1.7976931348623157e+308"),
        (math.nan, "null"),
    ],
)
def test_floats_are_written_as_by_jq(value: float, text: str) -> None:
    assert to_json(value) == text


@pytest.mark.parametrize("value", [0, -1, 2**53, 2**64 + 1, 10**100])
def test_integers_keep_all_their_digits(value: int) -> None:
    assert to_json(value) == str(value)
