"""Lines that are not JSON."""

import pytest

from firezone_filter.cli.logs.invalid_lines import MAX_NAMED, InvalidLines

from .log_entries import entries, invalid_line


def invalid_lines(data: bytes) -> InvalidLines:
    found = InvalidLines()
    for entry in entries(data):
        if entry.fields is None:
            found.add(entry)
    return found


def test_without_such_lines_there_is_no_report() -> None:
    assert (bool(InvalidLines()), list(InvalidLines().report())) == (False, [])


def test_an_invalid_line_is_counted_and_named() -> None:
    found = invalid_lines(b"panic\nat\n")
    assert found
    assert list(found.report()) == [
        "a.log:1: not JSON, passed through",
        "a.log:2: not JSON, passed through",
    ]


def test_pieces_of_one_line_are_counted_once() -> None:
    found = InvalidLines()
    found.add(invalid_line(b"a", ends=False))
    found.add(invalid_line(b"b", starts=False))
    assert list(found.report()) == ["a.log:1: too long to be read as JSON, passed through"]


@pytest.mark.parametrize(
    ("data", "report"),
    [
        (b"\xff\x00\n", ["a.log:1: binary data, skipped"]),
        (b"{}\n\0\0{}\n", ["a.log:2: binary data, skipped"]),
        (b"\0\xff\0\n", ["a.log:1: binary data, skipped"]),
        (
            b"panic\n\0\n{}\n" + b"\xff\0\n" * 1234,
            [
                "a.log:1: not JSON, passed through",
                "a.log:2: binary data, 1,235 lines up to 1,237 skipped",
            ],
        ),
    ],
)
def test_binary_data_is_named_once_for_each_file(data: bytes, report: list[str]) -> None:
    found = invalid_lines(data)
    assert found
    assert list(found.report()) == report


def test_binary_data_of_several_files_is_told_apart() -> None:
    found = InvalidLines()
    for name in ("a.log", "b.log"):
        for entry in entries(b"\0\n", name):
            found.add(entry)
    assert list(found.report()) == [
        f"{name}:1: binary data, skipped" for name in ("a.log", "b.log")
    ]


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
