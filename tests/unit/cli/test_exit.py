"""The error that stops a run."""

from firezone_filter.cli.exit import UnusableError


def test_the_complaints_of_an_error_stay_apart() -> None:
    assert UnusableError("one", "two").lines == ("one", "two")
