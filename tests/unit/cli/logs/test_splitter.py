"""Splitting chunks of bytes into lines."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


@pytest.mark.parametrize("chunks", [[b"x" * MAX_LINE], [b"x" * (MAX_LINE - 1), b"x"]])
def test_the_longest_line_is_one_piece(chunks: list[bytes]) -> None:
    assert split(*chunks, b"\n") == [Piece(1, b"x" * MAX_LINE)]


def test_a_longer_line_is_split_into_pieces() -> None:
    assert split(b"x" * MAX_LINE, b"y", b"z\n", b"next\n") == [
        Piece(1, b"x" * MAX_LINE, starts=True, ends=False),
        Piece(1, b"yz", starts=False, ends=True),
        Piece(2, b"next"),
    ]


def test_a_long_line_without_an_end_is_split_into_pieces_too() -> None:
    assert split(b"x" * (2 * MAX_LINE + 1)) == [
        Piece(1, b"x" * MAX_LINE, starts=True, ends=False),
        Piece(1, b"x" * MAX_LINE, starts=False, ends=False),
        Piece(1, b"x", starts=False, ends=True),
    ]


def test_no_more_than_the_longest_line_is_kept() -> None:
    splitter = Splitter()
    for _ in range(100):
        list(splitter.feed(b"x" * 100_000))
    assert sum(len(piece.data) for piece in splitter.finish()) <= MAX_LINE


@given(st.lists(st.binary(max_size=20)))
def test_lines_do_not_depend_on_the_chunks(chunks: list[bytes]) -> None:
    data = b"".join(chunks)
    assert split(*chunks) == split(data)
    assert joined(split(data)).removesuffix(b"\n") == data.removesuffix(b"\n")
