import copy
import enum
import inspect
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import attrs
import pytest

import firezone_filter
from firezone_filter.structures.attribute_docs import documented, documented_members


@documented
@attrs.frozen
class Point:
    """A place."""

    x: int = 0
    """To the
    right."""

    y: int = 0

    z = 1
    """No field."""


@attrs.frozen
class Far(Point):
    """A place that is far away."""

    unit: str = "mm"


@documented_members
class Colour(enum.Enum):
    """A colour."""

    RED = 1
    """That of blood."""

    BLUE = 2


class Outer:
    @documented
    @attrs.frozen
    class Inner:
        x: int
        """Inside."""


def test_the_doc_of_a_slot_is_the_text_below_it() -> None:
    assert inspect.getdoc(Point.x) == "To the\nright."
    assert inspect.getdoc(Outer.Inner.x) == "Inside."


def test_where_there_is_no_text_there_is_no_doc() -> None:
    assert inspect.getdoc(Point.y) is None
    assert Colour.BLUE.__doc__ is None


def test_a_subclass_has_what_its_base_says() -> None:
    assert inspect.getdoc(Far.x) == "To the\nright."
    assert Far(1, 2, "km") == Far(x=1, y=2, unit="km")


def test_a_member_has_the_text_below_it_and_the_enum_its_own() -> None:
    assert (Colour.RED.__doc__, Colour.__doc__) == ("That of blood.", "A colour.")
    assert inspect.getdoc(Colour) == "A colour."


@pytest.mark.parametrize("value", [Point(1, 2), Far(1, 2), Colour.RED])
def test_values_are_copied_and_pickled_as_before(value: object) -> None:
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(value, protocol)) == value  # noqa: S301 - ours
    assert copy.deepcopy(value) == value


def test_values_evolve_as_before() -> None:
    assert attrs.evolve(Far(1, 2), x=3) == Far(3, 2)
    assert list(Point.__slots__) == ["x", "y", "__weakref__"]  # type: ignore[attr-defined]


def made_without_source(module: str) -> type:
    """Make a class, a copy of `Point`, that says it is of *module*."""
    cls = documented(attrs.make_class("Point", {"x": attrs.field()}, slots=True))
    cls.__module__ = module
    return cls


@pytest.mark.parametrize("module", ["nowhere", "sys", "json", "frozen"])
def test_without_the_source_of_the_class_there_is_no_doc(
    module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    without = type(sys)("frozen")
    without.__file__ = "/nowhere/frozen.pyc"
    monkeypatch.setitem(sys.modules, "frozen", without)
    assert inspect.getdoc(vars(made_without_source(module))["x"]) is None


@pytest.mark.parametrize("option", ["-O", "-OO"])
def test_a_zipped_package_has_its_docs_also_without_docstrings(
    option: str, tmp_path: Path
) -> None:
    package = Path(firezone_filter.__file__).parent
    shutil.copytree(
        package,
        tmp_path / "whole" / "firezone_filter",
        ignore=shutil.ignore_patterns("*.so", "__pycache__"),
    )
    zipped = shutil.make_archive(str(tmp_path / "zipped"), "zip", tmp_path / "whole")
    program = (
        f"import sys; sys.path.insert(0, {zipped!r}); import firezone_filter as f, inspect;"
        "assert '.zip' in f.__file__;"
        "print(inspect.getdoc(f.Reject.reason), inspect.getdoc(f.Direction.INBOUND))"
    )
    ran = subprocess.run(  # noqa: S603 - the program is written right here
        [sys.executable, option, "-c", program], capture_output=True, text=True, check=True
    )
    assert ran.stdout == (
        "Why the packet was refused. To a client, from a resource or from the gateway itself.\n"
    )
