"""The tree of errors, the facts that they carry, and how messages show values."""

import copy
import pickle

import pytest

from firezone_filter.values.errors import (
    AddressInUse,
    FirezoneFilterError,
    InvalidAddress,
    InvalidMessage,
    InvalidPolicy,
    InvalidTime,
    UnknownClient,
    UnknownResource,
    shown,
)

EVERY_ERROR = [
    pytest.param(UnknownClient("no such client", "eve"), id="UnknownClient"),
    pytest.param(UnknownResource("no such resource", "db"), id="UnknownResource"),
    pytest.param(InvalidAddress("no address", "10.0.0.256"), id="InvalidAddress"),
    pytest.param(AddressInUse("taken", "100.64.0.2", "alice"), id="AddressInUse"),
    pytest.param(InvalidPolicy("no port", 65_536), id="InvalidPolicy"),
    pytest.param(InvalidMessage("two faults", {}, ("one", "two")), id="InvalidMessage"),
    pytest.param(InvalidTime("not finite", float("inf")), id="InvalidTime"),
    pytest.param(FirezoneFilterError("root", None), id="FirezoneFilterError"),
]


@pytest.mark.parametrize(
    ("kind", "built_in"),
    [
        (UnknownClient, LookupError),
        (UnknownResource, LookupError),
        (AddressInUse, ValueError),
        (InvalidAddress, ValueError),
        (InvalidMessage, ValueError),
        (InvalidPolicy, ValueError),
        (InvalidTime, ValueError),
    ],
)
def test_each_error_is_one_of_the_library_and_the_built_in_that_fits(
    kind: type[FirezoneFilterError], built_in: type[Exception]
) -> None:
    assert issubclass(kind, built_in)
    assert issubclass(kind, FirezoneFilterError)


def test_the_root_is_no_value_error_and_no_lookup_error() -> None:
    assert FirezoneFilterError.__bases__ == (Exception,)


def test_an_error_says_its_message_alone() -> None:
    assert str(AddressInUse("100.64.0.2 is taken", "100.64.0.2", "alice")) == "100.64.0.2 is taken"


def test_an_error_carries_the_offending_value_itself() -> None:
    value = ["not", "hashable"]
    assert InvalidPolicy("bad", value).value is value


def test_address_in_use_names_the_holder() -> None:
    assert AddressInUse("taken", "100.64.0.2", "alice").client_id == "alice"


def test_an_invalid_policy_without_faults_has_its_message_as_the_only_one() -> None:
    assert InvalidPolicy("bad port", 65_536).faults == ("bad port",)


def test_an_invalid_policy_keeps_all_its_faults() -> None:
    assert InvalidPolicy("two faults", {}, ("one", "two")).faults == ("one", "two")


@pytest.mark.parametrize("error", EVERY_ERROR)
def test_an_error_keeps_its_facts_when_copied_or_pickled(error: FirezoneFilterError) -> None:
    pickled = [pickle.dumps(error, version) for version in range(pickle.HIGHEST_PROTOCOL + 1)]
    copies = [copy.copy(error), *map(pickle.loads, pickled)]
    facts = (type(error), error.args, vars(error))
    assert [(type(one), one.args, vars(one)) for one in copies] == [facts] * len(copies)


def test_a_note_stays_with_a_pickled_error() -> None:
    error = InvalidTime("not finite", float("inf"))
    error.add_note("from the portal")
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert again.__notes__ == ["from the portal"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("10.0.0.256", "'10.0.0.256'"),
        # Python refuses to write out integers of so many digits.
        pytest.param(10**5_000, "int (too long to show)", id="5001 digits"),
    ],
)
def test_a_message_shows_any_value(value: object, text: str) -> None:
    assert shown(value) == text
