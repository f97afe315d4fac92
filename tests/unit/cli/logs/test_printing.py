"""The printed form of entries."""

import io

import pytest

from firezone_filter.cli.logs.entries import Entry
from firezone_filter.cli.logs.printing import Printer, other_fields

from .log_entries import entries, entry, invalid_line

LINE = {"time": "2026-08-22T12:00:00Z", "severity": "INFO", "message": "Refused packet"}


class Terminal(io.TextIOWrapper):
    """A terminal that keeps its output."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def colours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the environment announce a terminal with colours."""
    monkeypatch.setenv("TERM", "xterm")
    for name in ("NO_COLOR", "FORCE_COLOR", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)


def printed(
    stream: io.TextIOWrapper, *entries: Entry, all_fields: bool = False, as_json: bool = False
) -> bytes:
    printer = Printer(stream, all_fields=all_fields, as_json=as_json)
    for each in entries:
        printer.add(each)
    printer.finish()
    buffer = stream.buffer
    assert isinstance(buffer, io.BytesIO)
    return buffer.getvalue()


def piped(*entries: Entry, **options: bool) -> bytes:
    return printed(io.TextIOWrapper(io.BytesIO(), "ascii"), *entries, **options)


def displayed(*entries: Entry, encoding: str = "utf-8", **options: bool) -> str:
    data = printed(Terminal(io.BytesIO(), encoding), *entries, **options)
    return data.decode(encoding)


# --- To a pipe --------------------------------------------------------------------------


def test_a_line_is_time_severity_and_message() -> None:
    assert piped(entry(**LINE, cid="alice")) == b"2026-08-22T12:00:00Z INFO Refused packet\n"


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({}, b"null null null\n"),
        ({"time": 1.0, "severity": True, "message": {"a": [1, None]}}, b'1 true {"a":[1,null]}\n'),
        ({"message": ""}, b"null null \n"),
    ],
)
def test_a_missing_field_is_null_and_a_value_that_is_no_text_is_json(
    fields: dict[str, object], line: bytes
) -> None:
    assert piped(entry(**fields)) == line


@pytest.mark.parametrize("text", ["a\nb", "\x1b[2J", "\r\x00\x7f", "é\u2028\U0001f600"])
def test_a_pipe_gets_a_message_unchanged(text: str) -> None:
    assert piped(entry(message=text)) == f"null null {text}\n".encode()


def test_a_lone_surrogate_is_replaced() -> None:
    assert piped(entry(message="a\ud800b")) == "null null a\ufffdb\n".encode()


@pytest.mark.parametrize("data", [b"panic", b"", b"\x00\xff\x1b[2J", b"crlf\r"])
def test_a_pipe_gets_an_invalid_line_unchanged(data: bytes) -> None:
    assert piped(invalid_line(data)) == data + b"\n"


def test_pieces_of_a_line_are_joined() -> None:
    pieces = [
        invalid_line(b"a", ends=False),
        invalid_line(b"b", starts=False, ends=False),
        invalid_line(b"c", starts=False),
    ]
    assert piped(*pieces, entry(message="x")) == b"abc\nnull null x\n"


def test_an_incomplete_line_does_not_run_into_the_next() -> None:
    assert piped(invalid_line(b"a", ends=False), entry(message="x")) == b"a\nnull null x\n"


def test_an_incomplete_line_is_ended_at_the_end() -> None:
    assert piped(invalid_line(b"a", ends=False)) == b"a\n"


def test_a_text_stream_gets_text() -> None:
    stream = io.StringIO()
    Printer(stream).add(entry(message="é"))
    assert stream.getvalue() == "null null é\n"


# --- All fields --------------------------------------------------------------------------


def test_all_fields_follow_in_their_order() -> None:
    line = piped(entry(cid="alice", **LINE, port=22), all_fields=True)
    assert line == b"2026-08-22T12:00:00Z INFO Refused packet cid=alice port=22\n"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a", "a=a"),
        (1.0, "a=1"),
        (None, "a=null"),
        (True, "a=true"),
        (["x", 1], r'a="[\"x\",1]"'),
        ([1, 2], "a=[1,2]"),
        ("", 'a=""'),
        ("a b", 'a="a b"'),
        ('a"b', r'a="a\"b"'),
        ("a=b", 'a="a=b"'),
        ("a\\b", r"a=a\b"),
        ("a\nb", r'a="a\nb"'),
        ("é", "a=é"),
    ],
)
def test_a_value_that_could_run_into_the_next_field_is_in_quotes(value: object, text: str) -> None:
    assert other_fields({"a": value}) == f" {text}"


@pytest.mark.parametrize(
    ("name", "text"), [("a b", '"a b"=1'), ("", '""=1'), ("a.b/c", "a.b/c=1")]
)
def test_so_is_a_name(name: str, text: str) -> None:
    assert other_fields({name: 1}) == f" {text}"


# --- As JSON -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        b'{"time":1.0,"message":"a\\u00e9"}',
        b' {"b": 1,\t"a" :2}\r',
        b'{"a":1,"a":2}',
        b'{"a":"\xff"}',
        b"null",
        b'{"a":1} {"b":2}{"c":3}',
        b"panic\r",
    ],
)
def test_a_line_is_printed_as_it_was(line: bytes) -> None:
    assert piped(*entries(line + b"\n" + line), as_json=True) == (line + b"\n") * 2


def test_some_objects_of_a_line_print_all_of_it() -> None:
    _, second, third = entries(b'{"a":1} {"b":2} {"c":3}\n')
    assert piped(second, third, as_json=True) == b'{"a":1} {"b":2} {"c":3}\n'


def test_all_fields_are_in_a_line_as_it_was_anyway() -> None:
    assert piped(entry(a=1), as_json=True, all_fields=True) == b'{"a": 1}\n'


def test_a_terminal_gets_lines_as_they_were_without_control_characters() -> None:
    shown = displayed(*entries('{"a":"\x7f\u202eé"}\r\n'.encode()), as_json=True)
    assert shown == '{"a":"\\x7f\\u202eé"}\n'


# --- To a terminal -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("severity", "coloured"),
    [
        ("TRACE", "\x1b[2mTRACE\x1b[0m"),
        ("DEBUG", "\x1b[34mDEBUG\x1b[0m"),
        ("INFO", "\x1b[32mINFO\x1b[0m"),
        ("WARN", "\x1b[33mWARN\x1b[0m"),
        ("ERROR", "\x1b[1;31mERROR\x1b[0m"),
        ("WARNING", "\x1b[33mWARNING\x1b[0m"),
        ("LOUD", "LOUD"),
    ],
)
def test_a_terminal_gets_severities_in_colour(severity: str, coloured: str) -> None:
    assert displayed(entry(severity=severity)) == f"null {coloured} null\n"


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_a_terminal_without_colours_gets_none(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    assert displayed(entry(**LINE)) == "2026-08-22T12:00:00Z INFO Refused packet\n"


def test_a_pipe_gets_no_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert b"\x1b" not in piped(entry(**LINE))


@pytest.mark.parametrize("name", ["time", "severity", "message", "cid"])
def test_a_terminal_gets_no_control_characters_in_any_field(name: str) -> None:
    line = displayed(entry(**{name: "a\x1b[2J\nb\u202e"}), all_fields=True)
    assert line.rstrip("\n").isprintable()


def test_a_terminal_gets_control_characters_escaped() -> None:
    assert displayed(entry(message="a\nb\x1b[2J\x7f\ud800")) == (
        "null null a\\nb\\x1b[2J\\x7f\\ud800\n"
    )


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"panic", "panic"),
        (b"panic\r", "panic"),
        (b"\x00\x1b[2J", r"\x00\x1b[2J"),
        (b"a\xff", "a\ufffd"),
        (b"a\tb", r"a\tb"),
    ],
)
def test_a_terminal_gets_an_invalid_line_escaped(data: bytes, text: str) -> None:
    assert displayed(invalid_line(data)) == f"{text}\n"


def test_characters_beyond_the_encoding_of_the_terminal_are_escaped() -> None:
    assert displayed(entry(message="é"), encoding="ascii") == "null null \\xe9\n"


def test_a_terminal_gets_all_fields_too() -> None:
    assert displayed(entry(message="x", cid="alice"), all_fields=True) == (
        "null null x cid=alice\n"
    )
