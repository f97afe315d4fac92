"""Parsing log lines."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firezone_filter.cli.logs.entries import MAX_DEPTH, EntryReader, looks_binary, read_objects
from firezone_filter.cli.logs.splitter import Piece

from .log_entries import entries

NOON = "2026-08-22T12:00:00"


def objects(line: bytes | str, number: int = 7) -> list[dict[str, object]] | None:
    return read_objects(Piece(number, line if isinstance(line, bytes) else line.encode()))


def keys(*lines: str) -> list[str]:
    reader = EntryReader("a.log")
    pieces = [Piece(number, line.encode()) for number, line in enumerate(lines, 1)]
    return [entry.key for piece in pieces for entry in reader.read(piece)]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("{}", [{}]),
        ('{"message": "x", "n": 1}', [{"message": "x", "n": 1}]),
        ('  {"a":1}\t\r', [{"a": 1}]),
        ('{"a":1,"a":2}', [{"a": 2}]),
        ('{"a":"\\u0000"}', [{"a": "\0"}]),
        ("null", [{}]),
        ('{"a":1}{"b":2}', [{"a": 1}, {"b": 2}]),
        ('{"a":1} \t{"b":2} null \r', [{"a": 1}, {"b": 2}, {}]),
        ("", []),
        (" \t\r", []),
    ],
)
def test_a_line_holds_objects(line: str, expected: list[object]) -> None:
    assert objects(line) == expected


@pytest.mark.parametrize(
    "line",
    [
        "thread 'main' panicked at gateway.rs:7",
        "{",
        '{"a":1',
        '{"a":1}}',
        '{"a":1,}',
        "{'a':1}",
        '{"a":1} x',
        '{"a":1} 5',
        "5",
        '"text"',
        "[]",
        "true",
        '[{"a":1}]',
        '{"a":"\t"}',
        '{"a":1}\0',
        "\x0b",
        "\ufeff{}",
    ],
)
def test_a_line_of_anything_else_is_invalid(line: str) -> None:
    assert objects(line) is None


@pytest.mark.parametrize(
    "line", [b"\xff", b"\x00\x01\x02", b'{"a":1}\xff', b"\x1f\x8b\x08\x00", b"\xef\xbb\xbf"]
)
def test_binary_data_is_invalid(line: bytes) -> None:
    assert objects(line) is None


def test_the_first_line_may_begin_with_a_byte_order_mark() -> None:
    assert objects('\ufeff{"a":1}', number=1) == [{"a": 1}]


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b"\xe2\x82 ", "\ufffd "),
        (b"\xf0\x9f\x98", "\ufffd"),
        (b"\xc3\xa9", "é"),
    ],
)
def test_bytes_that_are_not_utf_8_are_replaced(raw: bytes, text: str) -> None:
    assert objects(b'{"a":"' + raw + b'"}') == [{"a": text}]


@pytest.mark.parametrize(
    ("number", "value"),
    [
        ("NaN", "nan"),
        ("Infinity", "inf"),
        ("-Infinity", "-inf"),
        ("1e999", "inf"),
        ("9" * 5000, "inf"),
        ("-" + "9" * 5000, "-inf"),
        (str(2**64), str(2**64)),
    ],
    ids=lambda value: value[:10],
)
def test_numbers_may_be_of_any_size(number: str, value: str) -> None:
    (found,) = objects(f'{{"a":{number}}}') or []
    assert str(found["a"]) == value


@pytest.mark.parametrize(("opens", "closes"), [("[", "]"), ('{"a":', "}")])
def test_the_deepest_line_is_valid(opens: str, closes: str) -> None:
    deep = opens * (MAX_DEPTH - 1) + "1" + closes * (MAX_DEPTH - 1)
    line = '{"a":' + deep + ',"b":[[],{}]}'
    assert objects(line) is not None


@pytest.mark.parametrize("depth", [MAX_DEPTH, 10 * MAX_DEPTH, 100_000])
@pytest.mark.parametrize(("opens", "closes"), [("[", "]"), ('{"a":', "}")])
def test_a_deeper_line_is_invalid(opens: str, closes: str, depth: int) -> None:
    assert objects('{"a":' + opens * depth + "1" + closes * depth + "}") is None


def test_brackets_alone_do_not_make_a_line_deep() -> None:
    assert objects(json.dumps({"a": "[" * 1000, "b": [[]] * 1000})) is not None


@pytest.mark.parametrize(("starts", "ends"), [(True, False), (False, False), (False, True)])
def test_a_piece_of_a_line_is_invalid(*, starts: bool, ends: bool) -> None:
    assert read_objects(Piece(1, b"{}", starts, ends)) is None


@given(st.binary())
def test_any_bytes_are_parsed_or_invalid(line: bytes) -> None:
    found = objects(line)
    assert found is None or isinstance(found, list)


@given(st.dictionaries(st.text(), st.one_of(st.text(), st.integers(), st.floats())))
def test_anything_that_json_writes_is_parsed(fields: dict[str, object]) -> None:
    line = json.dumps(fields)
    assert repr(objects(line)) == repr([json.loads(line)])


def test_an_entry_has_its_file_and_its_line() -> None:
    piece = Piece(3, b'{"a":1}')
    (entry,) = EntryReader("a.log").read(piece)
    assert (entry.source, entry.piece, entry.fields) == ("a.log", piece, {"a": 1})


def test_an_invalid_line_is_an_entry_without_fields() -> None:
    (entry,) = EntryReader("a.log").read(Piece(1, b"panic"))
    assert entry.fields is None


def test_a_blank_line_has_no_entry() -> None:
    assert keys("", " ") == []


@pytest.mark.parametrize("line", ["{}", "panic", '{"time":7}', '{"time":"noon"}', '{"time":null}'])
def test_an_entry_without_a_time_has_that_of_the_entry_before(line: str) -> None:
    assert keys(f'{{"time":"{NOON}Z"}}', line) == [NOON, NOON]


def test_entries_before_the_first_time_have_an_empty_key() -> None:
    assert keys("{}", "panic") == ["", ""]


def test_each_object_of_a_line_has_its_own_time() -> None:
    assert keys(f'{{"time":"{NOON}Z"}}{{"time":"{NOON}.50Z"}}{{}}') == [
        NOON,
        f"{NOON}.5",
        f"{NOON}.5",
    ]


# --- Binary data -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        b"\0",
        b"\x7fELF\x02\x01\x01\0",
        b"\x89PNG\r",
        b"\x1a",
        b"{\0}\0",
        b"\xff\xfet\0h\0",
        b"text, and then\0",
        bytes(range(256)),
        b"\xff\xd8\xff\xe0",
        b"\xed\xa0\x80",
        b"x" * 100_000 + b"\0",
    ],
)
def test_a_line_is_binary_data(line: bytes) -> None:
    assert looks_binary(line)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"thread 'main' panicked at gateway.rs:7",
        b"\x1b[31mpanic\x1b[0m\r",
        b"\a\b\t\v\f\r\x1b",
        b"one \x01 in some text",
        "é ü \u4e2d\u6587 \U0001f600".encode(),
        "Gerät getrennt, Gerät".encode("latin-1"),
        b"\x82\xac is the end of a character",
        b"half a character: \xe2\x82",
        b"x" * 100_000,
        "é".encode() * 100_000,
    ],
)
def test_a_line_is_text(line: bytes) -> None:
    assert not looks_binary(line)


def kinds(data: bytes) -> list[str]:
    """Return the kind of each entry of a file."""
    return [
        "json" if entry.fields is not None else "binary" if entry.is_binary else "text"
        for entry in entries(data)
    ]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(b"\0\n", ["binary"], id="zeros"),
        pytest.param(b"\0\0{}\n{}\n", ["binary", "json", "json"], id="zeros before a line"),
        pytest.param(b"\0panic\nat\n", ["binary", "text", "text"], id="zeros before text"),
        pytest.param(b"\0\xff\0\n", ["binary", "binary"], id="zeros before binary data"),
        pytest.param(b"\x01\0\nPK\n{}\nPK\n", ["binary", "binary", "json", "text"],
                     id="text within binary data"),
        pytest.param(b"\x01\0\n\n \nPK\n", ["binary", "binary"],
                     id="blank lines within binary data"),
        pytest.param(b"PK\n\x01\0\n", ["text", "binary"], id="text before binary data"),
    ],
)  # fmt: skip
def test_binary_data_lasts_until_there_is_json_again(data: bytes, expected: list[str]) -> None:
    assert kinds(data) == expected


def test_binary_data_has_the_time_of_the_entry_before() -> None:
    assert keys(f'{{"time":"{NOON}Z"}}', "\0{}", "\1\0") == [NOON, NOON, NOON, NOON]


@pytest.mark.parametrize(("first", "is_binary"), [(b"x", False), (b"\0\0", True), (b"x\0", True)])
def test_the_first_piece_of_a_line_decides_about_all(first: bytes, *, is_binary: bool) -> None:
    reader = EntryReader("a.log")
    pieces = [
        Piece(1, first, starts=True, ends=False),
        Piece(1, b"y", starts=False, ends=False),
        Piece(1, b"\0{}", starts=False, ends=True),
    ]
    found = [entry for piece in pieces for entry in reader.read(piece)]
    assert [entry.is_binary for entry in found] == [is_binary] * 3
