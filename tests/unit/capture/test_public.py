"""The public names of `firezone_filter.capture`, and what they need."""

import inspect
import subprocess
import sys

import pytest

from firezone_filter import capture

NAMES = [
    "Capture",
    "Captures",
    "DamagedCaptureError",
    "Frames",
    "Interface",
    "InvalidFilterError",
    "MissingExtraError",
    "NotACaptureError",
    "Record",
    "UnreadableCaptureError",
    "open_captures",
]


def run(program: str) -> str:
    done = subprocess.run(  # noqa: S603 - a program written right here
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_only_these_names_are_public() -> None:
    assert capture.__all__ == NAMES
    assert set(NAMES) <= set(dir(capture))


@pytest.mark.parametrize("name", NAMES)
def test_every_name_has_a_docstring(name: str) -> None:
    assert inspect.getdoc(getattr(capture, name))


def test_packet_by_packet_numpy_is_not_imported() -> None:
    program = "import sys, firezone_filter.capture as c; c.Capture; print('numpy' in sys.modules)"
    assert run(program) == "False"


@pytest.mark.parametrize("name", ["Frames", "open_captures", "InvalidFilterError"])
def test_without_numpy_the_extra_is_named(name: str) -> None:
    program = f"""
import sys
sys.modules["numpy"] = None
import firezone_filter.capture as c
try:
    c.{name}
except c.MissingExtraError as error:
    print(error)
"""
    assert run(program) == "numpy is missing: pip install 'firezone-filter[cli]'"


def test_so_it_is_for_whoever_imports_it_later(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("captures", "choice"):
        monkeypatch.delitem(sys.modules, f"firezone_filter.capture.{name}", raising=False)
        monkeypatch.delattr(capture, name, raising=False)
    monkeypatch.setitem(sys.modules, "numpy", None)
    with pytest.raises(capture.MissingExtraError, match=r"firezone-filter\[cli\]"):
        capture.__getattr__("open_captures")


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Frame'"):
        _ = capture.Frame  # type: ignore[attr-defined]
