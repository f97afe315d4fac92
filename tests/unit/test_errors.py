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


@pytest.mark.parametrize("kind", [UnknownClient, UnknownResource])
def test_what_is_unknown_is_a_lookup_error(kind: type[FirezoneFilterError]) -> None:
    assert issubclass(kind, LookupError)


@pytest.mark.parametrize(
    "kind", [AddressInUse, InvalidAddress, InvalidMessage, InvalidPolicy, InvalidTime]
)
def test_what_cannot_be_is_a_value_error(kind: type[FirezoneFilterError]) -> None:
    assert issubclass(kind, ValueError)


@pytest.mark.parametrize("error", EVERY_ERROR)
def test_each_error_derives_from_the_root(error: FirezoneFilterError) -> None:
    assert isinstance(error, FirezoneFilterError)


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


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("error", EVERY_ERROR)
def test_an_error_keeps_its_facts_through_pickle(
    error: FirezoneFilterError, protocol: int
) -> None:
    again = pickle.loads(pickle.dumps(error, protocol))  # noqa: S301 - our own bytes
    assert (type(again), again.args, vars(again)) == (type(error), error.args, vars(error))


@pytest.mark.parametrize("error", EVERY_ERROR)
def test_an_error_keeps_its_facts_when_copied(error: FirezoneFilterError) -> None:
    again = copy.copy(error)
    assert (type(again), again.args, vars(again)) == (type(error), error.args, vars(error))


def test_a_note_stays_with_a_pickled_error() -> None:
    error = InvalidTime("not finite", float("inf"))
    error.add_note("from the portal")
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert again.__notes__ == ["from the portal"]


def test_a_message_shows_a_value_as_python_does() -> None:
    assert shown("10.0.0.256") == "'10.0.0.256'"


def test_a_message_says_of_a_number_that_python_does_not_write_out_that_it_is_long() -> None:
    assert shown(10**5_000) == "int (too long to show)"
