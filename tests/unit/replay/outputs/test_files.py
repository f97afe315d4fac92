"""Files that get their names when they are complete, and what is written in place."""

import gzip
import os
import threading
from pathlib import Path

import pytest

from firezone_filter.replay.errors import UnknownEndingError
from firezone_filter.replay.outputs.endings import (
    FORWARDED,
    REFUSED,
    TABLES,
    Compression,
    Ending,
    Format,
    ending_of,
)
from firezone_filter.replay.outputs.files import OutputFile, compressing, is_in_place


@pytest.mark.parametrize(
    ("name", "ending"),
    [
        ("a.jsonl", Ending(Format.JSON_LINES)),
        ("A.CSV.GZ", Ending(Format.CSV, Compression.GZIP)),
        ("b.csv/a.parquet.zst", Ending(Format.PARQUET, Compression.ZSTD)),
    ],
)
def test_the_ending_tells_format_and_compression(name: str, ending: Ending) -> None:
    assert ending_of(name, TABLES) == ending


@pytest.mark.parametrize("name", ["a", "a.json", "a.gz", "a.jsonl.gz.zst", "a.pcap", "jsonl"])
def test_another_ending_is_an_error_that_names_the_known_ones(name: str) -> None:
    with pytest.raises(UnknownEndingError) as raised:
        ending_of(name, TABLES)
    known = ".jsonl, .csv or .parquet, also followed by .gz or .zst"
    assert str(raised.value) == f"{name}: its name has to end in {known}"
    assert raised.value.value == name


def test_each_output_has_its_own_endings() -> None:
    assert ending_of("a.pcapng", FORWARDED).format is Format.PCAPNG
    with pytest.raises(UnknownEndingError, match=r"has to end in \.pcapng, also"):
        ending_of("a.pcap", REFUSED)


def test_a_file_has_its_name_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    path.chmod(0o640)
    file = OutputFile(str(path))
    file.stream.write(b"new")
    assert path.read_bytes() == b"old"
    file.complete()
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"new", 0o640)
    assert list(tmp_path.iterdir()) == [path]


def test_a_settled_file_has_all_of_its_bytes_but_not_its_name(tmp_path: Path) -> None:
    path = tmp_path / "a"
    file = OutputFile(str(path))
    file.stream.write(b"new")
    file.settle()
    (part,) = tmp_path.iterdir()
    assert (part.read_bytes(), path.exists()) == (b"new", False)
    file.publish()
    assert list(tmp_path.iterdir()) == [path]


def test_a_discarded_file_leaves_nothing(tmp_path: Path) -> None:
    file = OutputFile(str(tmp_path / "a"))
    file.stream.write(b"new")
    (part,) = tmp_path.iterdir()
    assert (part.name[:3], part.suffix) == (".a.", ".part")
    file.discard()
    assert list(tmp_path.iterdir()) == []


def test_a_link_goes_on_leading_to_the_file(tmp_path: Path) -> None:
    link, path = tmp_path / "link", tmp_path / "folder" / "a"
    path.parent.mkdir()
    link.symlink_to(path)
    file = OutputFile(str(link))
    file.stream.write(b"new")
    file.complete()
    assert (link.is_symlink(), path.read_bytes()) == (True, b"new")


@pytest.mark.parametrize("name", ["no/a", "."])
def test_what_cannot_be_written_is_named_as_it_was(tmp_path: Path, name: str) -> None:
    with pytest.raises(OSError, match=r"No such file|Is a directory") as raised:
        OutputFile(str(tmp_path / name))
    assert raised.value.filename == str(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_pipe_is_written_in_place(tmp_path: Path) -> None:
    path, read = tmp_path / "pipe", list[bytes]()
    os.mkfifo(path)
    reader = threading.Thread(target=lambda: read.append(path.read_bytes()))
    reader.start()
    file = OutputFile(str(path))
    file.stream.write(b"new")
    file.complete()
    reader.join()
    assert (read, path.is_fifo()) == ([b"new"], True)


@pytest.mark.parametrize("name", [os.devnull, "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_devices_and_streams_are_written_in_place(name: str) -> None:
    assert is_in_place(name)


def test_the_same_is_compressed_to_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        with (tmp_path / name).open("wb") as stream:
            packed = compressing(stream, Compression.GZIP)
            packed.write(b"new")
            packed.close()
    one, other = ((tmp_path / name).read_bytes() for name in ("a", "b"))
    assert one == other
    assert gzip.decompress(one) == b"new"
