"""What stops a run."""

from firezone_filter.cli.exit import UnusableError
from firezone_filter.cli.terminal import printable


def test_an_error_of_several_lines_keeps_them_apart() -> None:
    assert UnusableError("one", "two").lines == ("one", "two")


def test_what_can_be_printed_stays() -> None:
    assert printable("Büro [1] / \\") == "Büro [1] / \\"


def test_what_would_move_the_cursor_is_escaped() -> None:
    assert printable("a\nb\x1b[2J\u202e") == r"a\nb\x1b[2J\u202e"
