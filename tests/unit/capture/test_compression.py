"""Unpacking compressed captures and logs."""

import gzip
import importlib
import lzma
import zlib
from contextlib import suppress
from itertools import pairwise
from types import ModuleType
from typing import Any

import lz4.frame
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firezone_filter.capture import extras
from firezone_filter.capture.compression import (
    UNPACKED_CHUNK,
    Unpacker,
    UnpackingError,
)
from firezone_filter.capture.extras import MissingExtraError

LOG = b'{"time":"2026-08-22T12:00:00Z","message":"one"}\n{"message":"two"}\n'


def zstd() -> Any:  # noqa: ANN401 - one of two modules, by the version of Python
    try:
        return importlib.import_module("compression.zstd")
    except ImportError:
        return importlib.import_module("backports.zstd")


def zstd_frame(data: bytes) -> bytes:
    frame: bytes = zstd().compress(data)
    return frame


def skippable(data: bytes, number: int = 0) -> bytes:
    return bytes([0x50 + number]) + b"\x2a\x4d\x18" + len(data).to_bytes(4, "little") + data


def xz_stream(data: bytes) -> bytes:
    return lzma.compress(data)


def lz4_frame(data: bytes) -> bytes:
    frame: bytes = lz4.frame.compress(data)
    return frame


def gzip_member(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


def unpacked(*chunks: bytes) -> bytes:
    unpacker = Unpacker()
    found = [data for chunk in chunks for data in unpacker.feed(chunk)]
    return b"".join([*found, *unpacker.finish()])


PACKERS = [
    pytest.param(gzip_member, id="gzip"),
    pytest.param(zstd_frame, id="zstd"),
    pytest.param(xz_stream, id="xz"),
    pytest.param(lz4_frame, id="lz4"),
]
PACKED = [
    pytest.param(gzip_member(LOG), id="gzip"),
    pytest.param(gzip_member(LOG[:20]) + gzip_member(LOG[20:]), id="gzip, two members"),
    pytest.param(gzip_member(LOG) + b"\0" * 700, id="gzip with padding"),
    pytest.param(gzip_member(b"") + gzip_member(LOG), id="gzip, an empty member"),
    pytest.param(zstd_frame(LOG), id="zstd"),
    pytest.param(zstd_frame(LOG[:20]) + zstd_frame(LOG[20:]), id="zstd, two frames"),
    pytest.param(skippable(b"size", 0) + zstd_frame(LOG), id="zstd, skippable frame first"),
    pytest.param(zstd_frame(LOG) + skippable(b"", 15), id="zstd, skippable frame last"),
    pytest.param(xz_stream(LOG), id="xz"),
    pytest.param(xz_stream(LOG[:20]) + bytes(4) + xz_stream(LOG[20:]), id="xz, two streams"),
    pytest.param(lz4_frame(LOG), id="lz4"),
    pytest.param(lz4_frame(LOG[:20]) + lz4_frame(LOG[20:]), id="lz4, two frames"),
]


@pytest.mark.parametrize("packed", PACKED)
def test_a_compressed_log_is_unpacked(packed: bytes) -> None:
    assert unpacked(packed) == LOG


@pytest.mark.parametrize("packed", PACKED)
def test_it_may_come_byte_by_byte(packed: bytes) -> None:
    assert unpacked(*(bytes([byte]) for byte in packed)) == LOG


@pytest.mark.parametrize("packed", PACKED)
def test_it_may_come_in_any_two_parts(packed: bytes) -> None:
    for cut in range(len(packed)):
        assert unpacked(packed[:cut], packed[cut:]) == LOG


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"\x1f",
        b"(",
        b"(\xb5/",
        b"P*M",
        b"\x1f\x8aabc",
        b"(thread) panicked",
        b"P*Mabc",
        b"O*M\x18abc",
        b"`*M\x18abc",
        b"BZh91AY&SY",
        LOG,
    ],
)
def test_anything_else_is_passed_on(data: bytes) -> None:
    assert unpacked(data) == data
    assert unpacked(*(bytes([byte]) for byte in data)) == data


def test_what_cannot_be_compressed_is_passed_on_at_once() -> None:
    assert list(Unpacker().feed(b"{")) == [b"{"]


@pytest.mark.parametrize("pack", PACKERS)
@pytest.mark.parametrize(
    "size", [UNPACKED_CHUNK - 1, UNPACKED_CHUNK, 3 * UNPACKED_CHUNK + 1, 10**7]
)
def test_output_comes_in_chunks_of_bounded_size(pack: Any, size: int) -> None:  # noqa: ANN401 - a function
    unpacker = Unpacker()
    chunks = list(unpacker.feed(pack(b"x" * size)))
    assert max(map(len, chunks)) <= UNPACKED_CHUNK
    assert sum(map(len, chunks)) == size
    assert list(unpacker.finish()) == []


@given(
    st.lists(st.binary()),
    st.lists(st.integers(0, 200)),
    st.sampled_from([gzip_member, zstd_frame, xz_stream, lz4_frame]),
)
def test_it_does_not_depend_on_the_chunks(parts: list[bytes], cuts: list[int], pack: Any) -> None:  # noqa: ANN401
    packed = b"".join(map(pack, parts))
    places = sorted(min(cut, len(packed)) for cut in cuts)
    chunks = [packed[a:b] for a, b in pairwise([0, *places, len(packed)])]
    assert unpacked(*chunks) == b"".join(parts)


# --- Damage ------------------------------------------------------------------------------


@pytest.mark.parametrize("pack", PACKERS)
def test_data_that_is_cut_short_is_unpacked_as_far_as_it_goes(pack: Any) -> None:  # noqa: ANN401
    packed = pack(b"".join(f'{{"n":{number}}}\n'.encode() for number in range(100_000)))
    for size in (7, 20, len(packed) // 2, len(packed) - 1):
        unpacker = Unpacker()
        found = b"".join(unpacker.feed(packed[:size]))
        assert b'{"n":0}\n{"n":1}\n'.startswith(found[:16])
        with pytest.raises(UnpackingError, match="cut short"):
            list(unpacker.finish())


@pytest.mark.parametrize(
    "packed",
    [
        pytest.param(gzip_member(LOG)[:-5] + b"\0" * 5, id="gzip checksum"),
        pytest.param(b"\x1f\x8b\x07" + gzip_member(LOG)[3:], id="gzip method"),
        pytest.param(gzip_member(LOG) + b"garbage", id="bytes behind gzip"),
        pytest.param(b"\x1f\x8b\x08\x00" + b"\xff" * 20, id="no gzip"),
        pytest.param(zstd_frame(LOG) + b"garbage", id="bytes behind zstd"),
        pytest.param(b"\x28\xb5\x2f\xfd" + b"\xff" * 20, id="no zstd"),
        pytest.param(xz_stream(LOG) + b"garbage" * 9, id="bytes behind xz"),
        pytest.param(b"\xfd7zXZ\0" + b"\xff" * 20, id="no xz"),
        pytest.param(lz4_frame(LOG) + b"garbage", id="bytes behind lz4"),
        pytest.param(b"\x04\x22\x4d\x18" + b"\xff" * 20, id="no lz4"),
    ],
)
def test_damaged_data_is_reported(packed: bytes) -> None:
    with pytest.raises(UnpackingError, match="the compressed data is damaged"):
        unpacked(packed)


@pytest.mark.parametrize(
    "magic",
    [
        b"\x1f\x8b",
        b"\x28\xb5\x2f\xfd",
        b"\x50\x2a\x4d\x18",
        b"\xfd7zXZ\0",
        b"\x04\x22\x4d\x18",
    ],
)
@given(st.binary(max_size=300))
def test_any_bytes_are_unpacked_or_reported(magic: bytes, rest: bytes) -> None:
    with suppress(UnpackingError):
        unpacked(magic + rest)


# --- zstd --------------------------------------------------------------------------------


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch) -> dict[str, ModuleType]:
    """Let only the modules in this dictionary be there for zstd."""
    modules: dict[str, ModuleType] = {}

    def find(name: str) -> ModuleType:
        if name in modules:
            return modules[name]
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(extras, "import_module", find)
    return modules


@pytest.mark.parametrize("name", ["compression.zstd", "backports.zstd"])
def test_either_module_will_do(only: dict[str, ModuleType], name: str) -> None:
    only[name] = zstd()
    assert unpacked(zstd_frame(LOG)) == LOG


@pytest.mark.usefixtures("only")
@pytest.mark.parametrize(("pack", "extra"), [(zstd_frame, "cli"), (lz4_frame, "replay")])
def test_without_a_module_the_extra_is_named(pack: Any, extra: str) -> None:  # noqa: ANN401
    with pytest.raises(MissingExtraError, match=rf"install 'firezone-filter\[{extra}\]'"):
        unpacked(pack(LOG))


@pytest.mark.usefixtures("only")
def test_gzip_needs_none() -> None:
    assert unpacked(gzip_member(LOG)) == LOG


def test_deflate_without_a_header_of_gzip_is_passed_on() -> None:
    packed = zlib.compress(LOG)
    assert unpacked(packed) == packed
