import re
import sys
from importlib import import_module

import pytest

from firezone_filter.capture.captures import open_captures
from firezone_filter.capture.damage import UnreadableCaptureError
from firezone_filter.capture.extras import MissingExtraError
from firezone_filter.capture.locations import find_urls, is_url, open_url
from tests.captures import ALLOWED, pcap


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("s3://captures/a.pcap", True),
        ("memory://a.pcap", True),
        ("simplecache::s3://captures/a.pcap", True),
        ("/captures/a.pcap", False),
        ("C:\\captures\\a.pcap", False),
        ("C://captures/a.pcap", False),
        ("12:30.pcap", False),
        ("-", False),
    ],
)
def test_a_url_is_told_from_a_path(name: str, expected: bool) -> None:  # noqa: FBT001 - a table
    assert is_url(name) is expected


@pytest.fixture
def bucket() -> str:
    system = import_module("fsspec").filesystem("memory")
    for name in ("b10.pcap", "b2.pcap", ".hidden.pcap", "notes.txt", "below/b3.pcap"):
        data = b"no capture" if name.endswith("txt") else pcap(ALLOWED)
        system.pipe(f"/bucket/{name}", data)
    return "memory://bucket/"


@pytest.mark.parametrize(
    ("name", "expected", "left_out"),
    [
        ("", ["b2.pcap", "b10.pcap"], ["notes.txt"]),
        ("*.pcap", [".hidden.pcap", "b2.pcap", "b10.pcap"], []),
        ("b[1]*.pcap", ["b10.pcap"], []),
        ("below/b3.pcap", ["below/b3.pcap"], []),
    ],
)
def test_captures_at_urls_are_found_like_files(
    bucket: str, name: str, expected: list[str], left_out: list[str]
) -> None:
    with open_captures(bucket + name) as captures:
        assert [url.removeprefix("memory:///bucket/") for url in captures.names] == [
            each if name != each else bucket + each for each in expected
        ]
        assert [url.rpartition("/")[2] for url in captures.left_out] == left_out
        assert captures.size == len(expected) * len(pcap(ALLOWED))
        assert len(list(captures.records())) == len(expected)


def test_a_chain_of_urls_is_kept(bucket: str) -> None:
    found = find_urls(f"simplecache::{bucket}b*.pcap")
    assert sorted(found or ()) == [
        "simplecache::memory:///bucket/b10.pcap",
        "simplecache::memory:///bucket/b2.pcap",
    ]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("missing/", "missing/: "),
        ("x*", r"x\*: no file fits"),
        ("missing.pcap", "missing.pcap: "),
        ("empty/", "empty/: there are no files in this directory"),
    ],
)
def test_what_is_not_there_is_named(bucket: str, name: str, why: str) -> None:
    import_module("fsspec").filesystem("memory").makedirs("/bucket/empty", exist_ok=True)
    with pytest.raises(UnreadableCaptureError, match=f"{bucket}{why}"):
        open_captures(bucket + name)


def test_what_nothing_searches_is_named() -> None:
    with pytest.raises(UnreadableCaptureError, match=r"nowhere://a/: Protocol not known"):
        open_captures("nowhere://a/")
    with pytest.raises(UnreadableCaptureError, match=r"nowhere://a: Protocol not known"):
        open_captures("nowhere://a")


def test_what_nothing_opens_is_named() -> None:
    with pytest.raises(UnreadableCaptureError, match="Protocol not known: nowhere"):
        open_url("nowhere://a.pcap")


@pytest.mark.parametrize("name", ["a.pcap", "a*", "a/"])
def test_without_fsspec_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setitem(sys.modules, "fsspec", None)
    complaint = f"memory://{name}: fsspec is missing: pip install 'firezone-filter[cluster]'"
    with pytest.raises(MissingExtraError, match=f"^{re.escape(complaint)}$"):
        open_captures(f"memory://{name}")
