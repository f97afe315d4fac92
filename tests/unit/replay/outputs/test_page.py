"""The page of a report as an output."""

from io import BytesIO

import pytest

from firezone_filter.replay.outputs.page import PageWriter
from firezone_filter.replay.summary import Summary
from tests.captures import policy


def written(captures: str, *, interrupted: bool = False) -> str:
    stream = BytesIO()
    PageWriter(stream).write(Summary(interrupted=interrupted), policy(), captures)
    return stream.getvalue().decode()


def test_an_interrupted_replay_says_so() -> None:
    assert "interrupted before the end" in written("a.pcap", interrupted=True)
    assert "interrupted before the end" not in written("a.pcap")


@pytest.mark.parametrize(
    ("captures", "shown"),
    [
        ("a.pcap", "a.pcap"),
        ("/home/alice/a.pcap and 3 more", "a.pcap and 3 more"),
        ("captures/", "captures"),
        ("s3://bucket/night/*.pcap", "*.pcap"),
        ("/", "/"),
    ],
)
def test_folders_are_not_told(captures: str, shown: str) -> None:
    assert f"<h1><bdi>{shown}</bdi></h1>" in written(captures)
