"""Faults: their places, the values that they quote, and their order."""

import pytest

from firezone_filter.documents.faults import Faults, Occurrence, Place, quoted
from firezone_filter.values.errors import InvalidAddress, InvalidPolicy


def place(*steps: tuple[object, int]) -> Place:
    """Return the place at the end of steps, each with the number of siblings before it."""
    here = Place()
    for step, order in steps:
        here = Place(here, step, order)
    return here


FIRST, SECOND, THIRD = place(("a", 0)), place(("b", 1), (0, 0)), place(("b", 1), (1, 1))


def error_of(faults: Faults) -> InvalidPolicy:
    with pytest.raises(InvalidPolicy) as caught:
        faults.raise_if_any()
    return caught.value


# --- Places and values --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("steps", "path"),
    [
        ([], "document"),
        (["clients", 0, "id"], "clients[0].id"),
        ([1, "x"], "[1].x"),
        (["a b\n", "c"], "['a b\\n'].c"),
        (["", 7], "[''][7]"),
    ],
)
def test_a_place_is_written_as_a_path(steps: list[object], path: str) -> None:
    assert str(place(*[(step, 0) for step in steps])) == path


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": 1}, "an object"),
        ([1], "a list"),
        ((1,), "a list"),
        ("a\n'b'", repr("a\n'b'")),
        pytest.param("x" * 80, f"'{'x' * 80}'", id="80 characters"),
        pytest.param("x" * 81, f"'{'x' * 80}'…", id="81 characters"),
        (None, "null"),
        (True, "true"),
        (7, "7"),
        (7.0, "7.0"),
        (float("nan"), "NaN"),
        (float("-inf"), "-Infinity"),
        # Python refuses to write it out.
        pytest.param(10**5000, "an integer of too many digits", id="5001 digits"),
        (b"alice", "a Python bytes"),
    ],
)
def test_a_value_is_quoted_briefly_and_on_one_line(value: object, text: str) -> None:
    assert quoted(value) == text


# --- Faults -------------------------------------------------------------------------------


def test_without_faults_nothing_is_raised() -> None:
    faults = Faults()
    faults.raise_if_any()
    assert not faults


def test_faults_are_raised_together_in_the_order_of_the_document() -> None:
    faults, cause = Faults(), InvalidAddress("x", "y")
    faults.add(THIRD, "is wrong", 3)
    faults.add(FIRST, "is odd", 1, cause)
    faults.add(SECOND, "is missing", 2)
    error = error_of(faults)
    assert faults
    assert error.faults == ("a: is odd", "b[0]: is missing", "b[1]: is wrong")
    assert str(error) == "\n".join(error.faults)
    assert (error.value, error.__cause__) == (1, cause)


def test_a_long_fault_is_cut() -> None:
    faults = Faults()
    faults.add(FIRST, "x" * 400, None)
    faults.add(SECOND, "x" * 401, None)
    assert error_of(faults).faults == (f"a: {'x' * 400}", f"b[0]: {'x' * 400}…")


# --- What must be unique ------------------------------------------------------------------


def test_an_occurrence_is_a_fault_at_each_later_place_in_the_document() -> None:
    faults = Faults()
    for here, value in ((THIRD, "DB"), (FIRST, "db"), (SECOND, "Db")):
        faults.require_unique("ids", "db", Occurrence(here, value))
    assert faults
    assert error_of(faults).faults == ("b[0]: 'Db' is already a", "b[1]: 'DB' is already a")


def test_occurrences_of_one_meaning_are_no_faults() -> None:
    faults = Faults()
    for here, meaning in ((FIRST, "one"), (SECOND, "another"), (THIRD, "one")):
        faults.require_unique("ids", "db", Occurrence(here, "db", meaning))
    assert error_of(faults).faults == ("b[0]: 'db' is already a, for 'one'",)


@pytest.mark.parametrize("other", [("ids", "web"), ("names", "db")])
def test_other_keys_and_other_scopes_are_no_faults(other: tuple[str, str]) -> None:
    faults = Faults()
    faults.require_unique("ids", "db", Occurrence(FIRST, "db"))
    faults.require_unique(*other, Occurrence(SECOND, "db"))
    faults.raise_if_any()
    assert not faults
