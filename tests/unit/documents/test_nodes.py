"""Nodes: what each kind of reader accepts, and the fault that it reports otherwise."""

from collections.abc import Callable
from typing import Any, TypeAlias

import pytest

from firezone_filter.documents.nodes import Node, build_if_complete
from firezone_filter.documents.parsing import read_document
from firezone_filter.values.addresses import to_network
from firezone_filter.values.errors import InvalidAddress, InvalidPolicy

Given: TypeAlias = Any
Read: TypeAlias = Callable[[Node], object]


def read(value: object, reader: Read) -> object:
    """Read the field `x` of a document."""
    return read_document({"x": value}, lambda node: required(node, reader))


def required(node: Node, reader: Read) -> object:
    fields = node.fields()
    assert fields is not None
    return reader(fields.require("x"))


def error_of(value: object, reader: Read) -> InvalidPolicy:
    with pytest.raises(InvalidPolicy) as caught:
        read(value, reader)
    return caught.value


READERS: dict[str, Read] = {
    "a text": lambda node: node.text(str),
    "a list": lambda node: node.each(lambda item: item.whole("a port", 9)),
    "an object": lambda node: node.fields_only("x"),
    "a time": lambda node: node.number("a time"),
    "true or false": lambda node: node.switch(),
    "a count": lambda node: node.whole("a count"),
    "a port": lambda node: node.whole("a port", 65_535),
    "'a', 'b' or 'c'": lambda node: node.one_of({"a": 1, "b": 2, "c": 3}),
}
ACCEPTED: dict[str, list[tuple[Given, Given]]] = {
    "a text": [("", ""), ("é", "é")],
    "a list": [([], ()), ([1, 2], (1, 2)), ((3,), (3,))],
    "a time": [(7, 7), (-1.5, -1.5), (0, 0)],
    "true or false": [(True, True), (False, False)],
    "a count": [(0, 0), (10**300, 10**300), (7.0, 7)],
    "a port": [(0, 0), (65_535, 65_535), (80.0, 80)],
    "'a', 'b' or 'c'": [("a", 1), ("c", 3)],
}
REFUSED: dict[str, list[tuple[Given, str]]] = {
    "a text": [(7, "7"), (None, "null"), ([], "a list"), (True, "true"), (b"x", "a Python bytes")],
    "a list": [({}, "an object"), ("", "''"), (None, "null")],
    "an object": [([], "a list"), ("x", "'x'"), (0, "0"), (None, "null")],
    "a time": [("7", "'7'"), (True, "true"), (None, "null"), ([7], "a list")],
    "true or false": [(1, "1"), (0, "0"), (None, "null"), ("true", "'true'"), ([], "a list")],
    "a count": [(-1, "-1"), (1.5, "1.5"), (True, "true"), (None, "null"), ("1", "'1'")],
    "a port": [
        (65_536, "65536"),
        (-1, "-1"),
        (80.5, "80.5"),
        (65_536.0, "65536.0"),
        ("80", "'80'"),
        (True, "true"),
        (None, "null"),
        ([80], "a list"),
    ],
    "'a', 'b' or 'c'": [("d", "'d'"), ("A", "'A'"), (["a"], "a list"), (6, "6"), (None, "null")],
}


def rows(table: dict[str, list[tuple[Given, Given]]]) -> list[tuple[str, Given, Given]]:
    return [(kind, *row) for kind, several in table.items() for row in several]


@pytest.mark.parametrize(("kind", "value", "meaning"), rows(ACCEPTED))
def test_a_value_of_its_kind_is_read(kind: str, value: object, meaning: object) -> None:
    found = read(value, READERS[kind])
    assert (found, type(found)) == (meaning, type(meaning))


@pytest.mark.parametrize(("kind", "value", "shown"), rows(REFUSED))
def test_a_value_of_another_kind_is_a_fault(kind: str, value: object, shown: str) -> None:
    error = error_of(value, READERS[kind])
    assert error.faults == (f"x: {shown} is not {kind}",)
    assert error.value == value


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS.keys())
def test_a_missing_field_is_one_fault_whoever_reads_it(reader: Read) -> None:
    with pytest.raises(InvalidPolicy) as caught:
        read_document({"y": 1}, lambda node: required(node, reader))
    assert caught.value.faults == ("x: is missing",)
    assert caught.value.value == {"y": 1}


@pytest.mark.parametrize("number", [float("inf"), 10**400], ids=["infinity", "too long"])
@pytest.mark.parametrize("reader", READERS.values(), ids=READERS.keys())
def test_a_number_that_is_not_finite_is_one_fault_whoever_reads_it(
    reader: Read, number: float
) -> None:
    assert len(error_of(number, reader).faults) == 1


@pytest.mark.parametrize("half", ["\ud800", "a\udc00"])
def test_half_of_a_surrogate_pair_is_not_a_text(half: str) -> None:
    error = error_of(half, READERS["a text"])
    assert error.faults == (f"x: {half!r} is not Unicode: half of a surrogate pair",)


def test_an_error_of_the_library_is_a_fault_with_that_cause() -> None:
    error = error_of("a..b", lambda node: node.text(to_network))
    assert error.faults[0].startswith("x: 'a..b' is not a network")
    assert isinstance(error.__cause__, InvalidAddress)


def test_every_item_of_a_list_is_read_even_after_a_faulty_one() -> None:
    assert error_of([1, "x", 2, None], READERS["a list"]).faults == (
        "x[1]: 'x' is not a port",
        "x[3]: null is not a port",
    )


# --- Fields -------------------------------------------------------------------------------


def test_a_field_that_is_null_is_there_unless_null_counts_as_missing() -> None:
    def found(node: Node) -> object:
        fields = node.fields()
        assert fields is not None
        nodes = (fields.get(name) for name in ("null", "none", "one"))
        others = (fields.get_unless_null(name) for name in ("null", "none", "one"))
        return [node is not None for node in (*nodes, *others)]

    assert read_document({"null": None, "one": 1}, found) == [
        True,
        False,
        True,
        False,
        False,
        True,
    ]


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("expire_at", "expire_at: unknown field, did you mean 'expires_at'?"),
        ("EXPIRES_AT", "EXPIRES_AT: unknown field, did you mean 'expires_at'?"),
        ("x", "x: unknown field, known are resource, expires_at"),
        (7, "[7]: unknown field, known are resource, expires_at"),
        ("a b\n", "['a b\\n']: unknown field, known are resource, expires_at"),
    ],
)
def test_an_unknown_field_is_a_fault_with_the_name_that_was_meant(name: Given, fault: str) -> None:
    with pytest.raises(InvalidPolicy) as caught:
        read_document(
            {"resource": 1, name: 2}, lambda node: node.fields_only("resource", "expires_at")
        )
    assert caught.value.faults == (fault,)
    assert caught.value.value == name


def test_an_ignored_field_is_no_fault_and_is_meant_by_what_resembles_it() -> None:
    def reader(node: Node) -> object:
        return node.fields_only("id", ignored=("version",))

    assert read_document({"id": 1, "version": None}, reader)
    with pytest.raises(InvalidPolicy) as caught:
        read_document({"vresion": 1, "x": 2}, reader)
    assert caught.value.faults == (
        "vresion: unknown field, did you mean 'version'?",
        "x: unknown field, known are id",
    )


def test_fields_without_some_names_lack_these_alone() -> None:
    def found(node: Node) -> object:
        fields = node.fields()
        assert fields is not None
        kept = fields.without(("b", "d"))
        return [name for name in "abc" if kept.get(name) is not None]

    assert read_document({"a": 1, "b": 2, "c": 3}, found) == ["a", "c"]


def test_faults_of_fields_stand_in_the_order_of_the_document_with_missing_ones_last() -> None:
    def reader(node: Node) -> None:
        fields = node.fields()
        assert fields is not None
        for name in ("c", "a", "b"):
            fields.require(name).one_of({"x": 1, "y": 2})

    with pytest.raises(InvalidPolicy) as caught:
        read_document({"b": 1, "a": 2}, reader)
    assert caught.value.faults == (
        "b: 1 is not 'x' or 'y'",
        "a: 2 is not 'x' or 'y'",
        "c: is missing",
    )


def test_nothing_is_built_of_parts_that_are_faulty() -> None:
    assert build_if_complete(dict, a=1, b=0) == {"a": 1, "b": 0}
    assert build_if_complete(dict, a=1, b=None) is None
