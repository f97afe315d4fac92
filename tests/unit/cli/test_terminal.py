"""Consoles with their sizes, and escaped text."""

import io

import pytest

from firezone_filter.cli.terminal import MIN_WIDTH, WIDTH, console, printable

from .terminal import terminal


@pytest.mark.parametrize(
    ("columns", "width"),
    [(0, MIN_WIDTH), (MIN_WIDTH - 1, MIN_WIDTH), (MIN_WIDTH, MIN_WIDTH), (132, 132)],
)
def test_a_terminal_has_its_own_width_but_a_minimum(columns: int, width: int) -> None:
    with terminal(columns) as (stream, _):
        assert console(stream).width == width


def test_any_other_stream_and_a_closed_one_have_the_default_width() -> None:
    assert console(io.StringIO()).width == WIDTH
    with terminal(132) as (stream, _):
        pass
    assert console(stream, interactive=False).width == WIDTH


@pytest.mark.parametrize("variable", ["COLUMNS", "LINES"])
@pytest.mark.parametrize(
    "size", ["0", "1", "²", "9" * 5000, "no"], ids=["0", "1", "²", "huge", "no"]
)
def test_the_environment_does_not_change_the_width(
    monkeypatch: pytest.MonkeyPatch, variable: str, size: str
) -> None:
    monkeypatch.setenv(variable, size)
    with terminal(132) as (stream, _):
        assert console(stream).width == 132


@pytest.mark.parametrize("interactive", [True, False])
def test_the_caller_may_say_whether_it_is_interactive(*, interactive: bool) -> None:
    assert console(io.StringIO(), interactive=interactive).is_interactive is interactive


def test_a_terminal_is_interactive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    with terminal(80) as (stream, _):
        assert console(stream).is_interactive


@pytest.mark.parametrize(
    ("text", "expected"),
    [("Büro [1] / \\", "Büro [1] / \\"), ("a\nb\x1b[2J\u202e", r"a\nb\x1b[2J\u202e")],
    ids=["printable", "control characters"],
)
def test_only_control_characters_are_escaped(text: str, expected: str) -> None:
    assert printable(text) == expected
