"""From JSON text to a document: malformed text, and values that no document may hold."""

import sys
from io import StringIO
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias

import pytest

from firezone_filter.documents.nodes import Node
from firezone_filter.documents.parsing import MAX_DEPTH, read_document
from firezone_filter.values.errors import InvalidPolicy

Given: TypeAlias = Any

TEXT = '{"ä": [1, {}]}'


def error_of(source: str | bytes | dict[str, object]) -> InvalidPolicy:
    # The reader looks at nothing: faults are found where nobody reads, too.
    with pytest.raises(InvalidPolicy) as caught:
        read_document(source, as_it_is)
    return caught.value


def faults_of(source: str | bytes | dict[str, object]) -> tuple[str, ...]:
    return error_of(source).faults


def as_it_is(node: Node) -> object:
    return node.value


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


# --- Text and bytes -----------------------------------------------------------------------


FORMS: dict[str, Given] = {
    "mark": "\ufeff" + TEXT,
    "mark in bytes": TEXT.encode("utf-8-sig"),
    "bytes": TEXT.encode(),
    "blanks": f" \n{TEXT}\n",
    "mapping": {"ä": [1, {}]},
}


@pytest.mark.parametrize("source", FORMS.values(), ids=FORMS.keys())
def test_a_document_may_have_any_form_a_byte_order_mark_and_blanks(source: Given) -> None:
    assert read_document(source, as_it_is) == {"ä": [1, {}]}


def test_any_mapping_and_tuples_will_do() -> None:
    source: Given = MappingProxyType({"a": (MappingProxyType({}),)})
    assert read_document(source, as_it_is) is source


MALFORMED = [
    ("", "line 1, column 1: Expecting value"),
    ("\ufeff", "line 1, column 1: Expecting value"),
    ("policy.json", "line 1, column 1: Expecting value"),
    ('{"gateway": {}\n  "clients": []}', "line 2, column 3: Expecting ',' delimiter"),
    ('{"gateway":\n\n {]}', "line 3, column 3: Expecting property name"),
    ("{}\n{}", "line 2, column 1: Extra data"),
    ('{"a": "\x01"}', "line 1, column 8: Invalid control character at"),
    ('{"a": "b', "line 1, column 7: Unterminated string starting at"),
]


@pytest.mark.parametrize(("text", "fault"), MALFORMED)
def test_malformed_json_is_a_fault_with_line_and_column(text: str, fault: str) -> None:
    error = error_of(text)
    assert str(error).startswith(fault)
    assert (error.faults, error.value) == ((str(error),), text)


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        (b'{"id":\n "\xff"}', "line 2, column 3: not UTF-8"),
        (b"\xff\xfe{\x00", "line 1, column 1: not UTF-8"),
        (b'{"a": "\xed\xa0\x80"}', "line 1, column 8: not UTF-8"),
    ],
)
def test_bytes_that_are_not_utf_8_are_a_fault_with_line_and_column(
    source: bytes, fault: str
) -> None:
    assert faults_of(source) == (fault,)


@pytest.mark.parametrize("text", ["[]", "5", '"policy"', "true", "null"])
def test_a_fault_of_the_whole_document_is_one_of_the_document(text: str) -> None:
    with pytest.raises(InvalidPolicy, match=r"^document: .* is not an object$"):
        read_document(text, Node.fields)


@pytest.mark.parametrize(
    "source",
    [Path("policy.json"), StringIO(TEXT), bytearray(TEXT, "utf-8"), None, [TEXT], 5],
)
def test_another_type_is_a_type_error_that_asks_for_the_text(source: Given) -> None:
    with pytest.raises(TypeError, match="hand in the text of the file"):
        read_document(source, as_it_is)


# --- Names given twice --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ('{"a": 1, "a": 2}', ("a: given more than once",)),
        ('{"a": 1, "a": 1, "a": 1}', ("a: given more than once",)),
        ('[{"x": [{"": 1, "": 2}]}]', ("[0].x[0]['']: given more than once",)),
        ('{"a": 1, "\\u0061": 2}', ("a: given more than once",)),
        (
            '{"b": 1, "a": 1, "a": 1, "c": 1, "b": 1}',
            ("a: given more than once", "b: given more than once"),
        ),
    ],
)
def test_a_name_given_twice_is_a_fault(text: str, faults: tuple[str, ...]) -> None:
    assert faults_of(text) == faults


def test_the_last_value_of_a_name_given_twice_is_read() -> None:
    with pytest.raises(InvalidPolicy) as caught:
        read_document('{"a": 1, "a": 5}', read_a)
    assert caught.value.faults == ("a: given more than once", "a: 5 is not a list")


def read_a(node: Node) -> object:
    fields = node.fields()
    assert fields is not None
    return fields.require("a").each(as_it_is)


def test_one_name_in_two_objects_is_no_fault() -> None:
    assert read_document('[{"a": 1}, {"a": 2}]', as_it_is) == [{"a": 1}, {"a": 2}]


# --- Numbers ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        ("NaN", "NaN"),
        ("Infinity", "Infinity"),
        ("-Infinity", "-Infinity"),
        ("1e999", "Infinity"),
        ("-1e999", "-Infinity"),
        pytest.param("9" * 400, "an integer of too many digits", id="400 digits"),
        pytest.param("9" * 401, "Infinity", id="401 digits"),
        pytest.param("-" + "9" * 100_000, "-Infinity", id="100,000 digits"),
    ],
)
def test_a_number_that_is_not_finite_is_a_fault_wherever_it_stands(
    number: str, shown: str
) -> None:
    faults = (f"a[1]: {shown} is outside the range of numbers",)
    assert faults_of(f'{{"a": [0, {number}]}}') == faults


@pytest.mark.parametrize(
    "number",
    [0, -7, 2**64, pytest.param(10**308, id="10**308"), 1.5, 1e308, -1e-320],
)
def test_a_finite_number_stays_what_it_is(number: float) -> None:
    assert read_document(f"[{number!r}]", as_it_is) == [number]


# --- Depth --------------------------------------------------------------------------------


def test_the_deepest_permitted_level_is_no_fault() -> None:
    assert read_document(nested(MAX_DEPTH + 1), as_it_is)


def test_one_level_more_is_a_fault() -> None:
    assert faults_of(nested(MAX_DEPTH + 2)) == (f"{'[0]' * (MAX_DEPTH + 1)}: nested too deeply",)


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_nesting_beyond_the_interpreters_stack_is_a_fault(opening: str) -> None:
    assert faults_of(opening * 200_000)[0].startswith("document: nested too deeply")


def test_a_mapping_that_holds_itself_comes_to_an_end() -> None:
    ring: dict[str, object] = {}
    ring |= {"a": ring, "b": [ring, ring]}
    assert read_document(ring, as_it_is) is ring


def test_a_deep_mapping_is_a_fault_whatever_is_left_of_the_stack() -> None:
    deep: dict[str, object] = {}
    for _ in range(sys.getrecursionlimit() * 2):
        deep = {"a": deep}
    assert faults_of(deep)[0].endswith(".a: nested too deeply")


# --- Fail closed --------------------------------------------------------------------------


def test_a_reader_that_fails_without_a_fault_lets_nothing_out() -> None:
    with pytest.raises(InvalidPolicy, match="document: cannot be read"):
        read_document("{}", lambda _: None)
