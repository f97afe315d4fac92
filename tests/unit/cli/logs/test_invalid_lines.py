"""Lines that are not JSON."""

import pytest

from firezone_filter.cli.logs.invalid_lines import MAX_NAMED, InvalidLines

from .log_entries import entries, invalid_line


def invalid_lines(data: bytes) -> InvalidLines:
    found = InvalidLines()
    for entry in entries(data):
        found.add(entry)
    return found


def test_without_such_lines_there_is_no_report() -> None:
    assert (InvalidLines().count, list(InvalidLines().report())) == (0, [])


def test_an_invalid_line_is_counted_and_named() -> None:
    found = invalid_lines(b"panic\nat\n")
    assert found.count == 2
    assert list(found.report()) == [
        "a.log:1: not JSON, passed through",
        "a.log:2: not JSON, passed through",
    ]


def test_pieces_of_one_line_are_counted_once() -> None:
    found = InvalidLines()
    found.add(invalid_line(b"a", ends=False))
    found.add(invalid_line(b"b", starts=False))
    assert found.count == 1


@pytest.mark.parametrize(
    ("more", "rest"),
    [
        (0, []),
        (1, ["and 1 more line that is not JSON"]),
        (1234, ["and 1,234 more lines that are not JSON"]),
    ],
)
def test_lines_beyond_the_limit_are_only_counted(more: int, rest: list[str]) -> None:
    report = list(invalid_lines(b"panic\n" * (MAX_NAMED + more)).report())
    assert report[MAX_NAMED - 1 :] == [f"a.log:{MAX_NAMED}: not JSON, passed through", *rest]
