"""Splitting chunks of bytes into lines."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from firezone_filter.cli.logs import splitter as splitter_module
from firezone_filter.cli.logs.splitter import MAX_LINE, Piece, Splitter


def split(*chunks: bytes) -> list[Piece]:
    splitter = Splitter()
    pieces = [piece for chunk in chunks for piece in splitter.feed(chunk)]
    return [*pieces, *splitter.finish()]


def joined(pieces: list[Piece]) -> bytes:
    return b"".join(piece.data + b"\n" * piece.ends for piece in pieces)


@pytest.mark.parametrize(
    ("chunks", "lines"),
    [
        ([], []),
        ([b""], []),
        ([b"a\n"], [b"a"]),
        ([b"a"], [b"a"]),
        ([b"a\nb"], [b"a", b"b"]),
        ([b"a\n", b"b\n"], [b"a", b"b"]),
        ([b"a", b"b\n"], [b"ab"]),
        ([b"a", b"\n"], [b"a"]),
        ([b"\n\n"], [b"", b""]),
        ([b"a\r\n"], [b"a\r"]),
        ([b"\x00\xff\n\x85\n"], [b"\x00\xff", b"\x85"]),
    ],
)
def test_lines_end_with_a_line_feed_or_at_the_end(chunks: list[bytes], lines: list[bytes]) -> None:
    assert split(*chunks) == [Piece(number, line) for number, line in enumerate(lines, 1)]


def test_an_unfinished_line_waits_for_its_end() -> None:
    splitter = Splitter()
    assert list(splitter.feed(b"a\nb")) == [Piece(1, b"a")]
    assert list(splitter.feed(b"c\n")) == [Piece(2, b"bc")]


def test_finishing_twice_yields_nothing_more() -> None:
    splitter = Splitter()
    list(splitter.feed(b"a"))
    assert [list(splitter.finish()), list(splitter.finish())] == [[Piece(1, b"a")], []]


@pytest.fixture
def five_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(splitter_module, "MAX_LINE", 5)


def test_a_line_may_have_64_mib() -> None:
    assert MAX_LINE == 64 * 1024 * 1024


@pytest.mark.usefixtures("five_at_most")
@pytest.mark.parametrize(
    "chunks", [[b"abcde\n"], [b"abcde", b"\n"], [b"abcd", b"e\n"], [b"abcde"]]
)
def test_the_longest_line_is_one_piece(chunks: list[bytes]) -> None:
    assert split(*chunks) == [Piece(1, b"abcde")]


@pytest.mark.usefixtures("five_at_most")
@pytest.mark.parametrize(
    "chunks",
    [
        [b"abcdefghijkl\nnext\n"],
        [b"abcde", b"fgh", b"ijkl\n", b"next\n"],
        [b"abcd", b"efghijkl\nnext"],
        [bytes([byte]) for byte in b"abcdefghijkl\nnext\n"],
    ],
)
def test_a_longer_line_is_split_into_pieces(chunks: list[bytes]) -> None:
    assert split(*chunks) == [
        Piece(1, b"abcde", starts=True, ends=False),
        Piece(1, b"fghij", starts=False, ends=False),
        Piece(1, b"kl", starts=False, ends=True),
        Piece(2, b"next"),
    ]


@pytest.mark.usefixtures("five_at_most")
def test_a_long_line_without_an_end_is_split_into_pieces_too() -> None:
    assert split(b"abcdefghijk") == [
        Piece(1, b"abcde", starts=True, ends=False),
        Piece(1, b"fghij", starts=False, ends=False),
        Piece(1, b"k", starts=False, ends=True),
    ]


@pytest.mark.usefixtures("five_at_most")
def test_no_more_than_the_longest_line_is_kept() -> None:
    splitter = Splitter()
    for _ in range(100):
        list(splitter.feed(b"x" * 9))
    assert sum(len(piece.data) for piece in splitter.finish()) <= 5


@pytest.mark.usefixtures("five_at_most")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text("ab\n", max_size=20).map(str.encode)))
def test_pieces_do_not_depend_on_the_chunks_either(chunks: list[bytes]) -> None:
    data = b"".join(chunks)
    pieces = split(*chunks)
    assert pieces == split(data)
    assert joined(pieces).removesuffix(b"\n") == data.removesuffix(b"\n")


@given(st.lists(st.binary(max_size=20)))
def test_lines_do_not_depend_on_the_chunks(chunks: list[bytes]) -> None:
    data = b"".join(chunks)
    assert split(*chunks) == split(data)
    assert joined(split(data)).removesuffix(b"\n") == data.removesuffix(b"\n")
