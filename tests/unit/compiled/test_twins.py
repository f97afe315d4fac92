"""Which build is in use, and that its two forms of everything correspond."""

import importlib.util
import inspect
import os
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, Final, cast

import pytest

import firezone_filter
import firezone_filter.capture.walk
import firezone_filter.replay.columns.flow_table
import firezone_filter.replay.columns.links
import firezone_filter.replay.partitions.excerpts
import firezone_filter.replay.partitions.owners
from firezone_filter.compiled import twins
from firezone_filter.compiled.twins import PLAIN

NATIVE: Final = "firezone_filter.compiled._native"
IS_BUILT: Final = importlib.util.find_spec(NATIVE) is not None

built = pytest.mark.skipif(not IS_BUILT, reason="the extension module is not built")


def native() -> ModuleType:
    return import_module(NATIVE)


def own_names() -> set[str]:
    """Return the public names that the extension module has not been supplied with."""
    return {
        name
        for name, value in vars(native()).items()
        if getattr(value, "__module__", None) == NATIVE and not name.startswith("_")
    }


def parameters(method: Callable[..., object]) -> list[tuple[str, object]]:
    return [(one.name, one.default) for one in inspect.signature(method).parameters.values()]


def members(one: object) -> set[str]:
    return {name for name in dir(one) if not name.startswith("_")}


LEFT_TO_SUBCLASSES: Final = {
    "SessionState": {"see_outbound"},
    "SteadyFlow": {"handle_slowly"},
    "CountedFlow": {"count_slowly"},
}
"""Methods that a subclass of ours has: in the plain form they stand for it, the twin has none."""


# --- Two forms of everything ---------------------------------------------------------------


@built
def test_whatever_is_compiled_has_a_plain_form_and_the_other_way_round() -> None:
    assert own_names() - {"document", "supply"} == set(PLAIN)


@built
@pytest.mark.parametrize("name", PLAIN)
def test_twins_are_of_one_kind_and_have_the_same_members(name: str) -> None:
    plain, compiled = PLAIN[name], getattr(native(), name)
    assert isinstance(plain, type) == isinstance(compiled, type)
    assert plain is not compiled
    assert members(plain) - members(compiled) == LEFT_TO_SUBCLASSES.get(name, set())
    assert members(compiled) - members(plain) == set()


@pytest.mark.parametrize("name", LEFT_TO_SUBCLASSES)
def test_what_a_twin_lacks_every_subclass_of_ours_has(name: str) -> None:
    in_use: Any = getattr(native(), name) if twins.IS_COMPILED else PLAIN[name]
    subclasses = in_use.__subclasses__()
    assert subclasses
    for subclass in subclasses:
        assert vars(subclass).keys() >= LEFT_TO_SUBCLASSES[name]


def test_each_name_is_used_once() -> None:
    modules = [value.__module__ for value in PLAIN.values()]
    assert all(module.startswith("firezone_filter.") and module != NATIVE for module in modules)
    assert len(PLAIN) == len({id(value) for value in PLAIN.values()}) > 0


@pytest.mark.parametrize("method", ["handle_packet", "handle_packets", "handle_batch"])
def test_a_gateway_shows_its_signatures_and_docstrings_in_both_builds(method: str) -> None:
    ours = getattr(firezone_filter.Gateway, method)
    plain = getattr(PLAIN["FlowLookup"], method)
    assert inspect.getdoc(ours) == inspect.getdoc(plain)
    # (A signature in a docstring has no types; those are for checkers, which read the plain one.)
    assert parameters(ours) == parameters(plain)


# --- Which is in use -------------------------------------------------------------------------


def told(program: str, **environment: str) -> str:
    """Return what a Python program prints in a process of its own."""
    inherited = {name: text for name, text in os.environ.items() if "FIREZONE" not in name}
    root = str(Path(firezone_filter.__file__).parents[1])
    done = subprocess.run(  # noqa: S603 - the programs stand below
        [sys.executable, "-c", program],
        env=inherited | {"PYTHONPATH": root} | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


SAY: Final = (
    "import firezone_filter as f; print(f.__compiled__, type(f.Gateway.handle_packet).__name__)"
)
PLAINLY: Final = "False function"
HIDE: Final = f"import sys; sys.modules[{NATIVE!r}] = None; "
VERSION: Final = (
    "import sys; from firezone_filter.cli import main; sys.argv[1:] = ['--version']; main()"
)


def test_the_variable_switches_the_extension_module_off() -> None:
    assert told(SAY, FIREZONE_FILTER_PURE="1") == PLAINLY


@built
@pytest.mark.parametrize(
    "environment", [{}, {"FIREZONE_FILTER_PURE": ""}, {"FIREZONE_FILTER_PURE": "0"}]
)
def test_the_extension_module_is_used_where_there_is_one(environment: dict[str, str]) -> None:
    answer = told(SAY, **environment)
    assert answer.startswith("True ")
    assert answer != PLAINLY


def test_without_the_extension_module_the_package_is_plain() -> None:
    assert told(HIDE + SAY) == PLAINLY


def test_the_version_tells_the_build() -> None:
    assert told(VERSION, FIREZONE_FILTER_PURE="1").endswith(" (plain)")
    assert told(VERSION).endswith(" (compiled)" if IS_BUILT else " (plain)")


def test_what_is_in_use_is_what_is_told() -> None:
    assert firezone_filter.__compiled__ is twins.IS_COMPILED
    is_plain = PLAIN["FlowLookup"] in firezone_filter.Gateway.__mro__
    assert is_plain is not twins.IS_COMPILED


# --- How a twin takes its place --------------------------------------------------------------


def twice(number: int) -> int:
    return 2 * number


class Counter:
    def count(self, by: int = 1) -> int:
        """Count on."""
        return by

    def unlike(self) -> None:
        """Do what only a subclass does."""


class QuickCounter:
    def count(self, by: object = 1) -> object:
        return by


def test_a_twin_is_documented_by_its_plain_form(monkeypatch: pytest.MonkeyPatch) -> None:
    texts: dict[object, bytes] = {}
    fast = SimpleNamespace(Counter=QuickCounter, document=texts.__setitem__)
    monkeypatch.setattr(twins, "PLAIN", {})
    monkeypatch.setattr(twins, "_NATIVE", fast)
    assert twins.compiled(Counter) is cast("object", QuickCounter)
    assert texts == {QuickCounter.count: b"count($self, by=1)\n--\n\nCount on."}
    assert Counter().count(2) == QuickCounter().count(2)


def test_without_a_module_what_is_decorated_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(twins, "PLAIN", {})
    monkeypatch.setattr(twins, "_NATIVE", None)
    twins.supply(one=1)
    assert twins.compiled(twice) is twice
    assert twice(2) == 4
    assert {"twice": twice} == twins.PLAIN


def test_with_a_module_its_object_of_that_name_takes_the_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    supplied: dict[str, object] = {}
    fast = SimpleNamespace(twice=int, supply=supplied.update)
    monkeypatch.setattr(twins, "PLAIN", {})
    monkeypatch.setattr(twins, "_NATIVE", fast)
    twins.supply(one=1)
    assert twins.compiled(twice) is cast("object", int)
    assert {"twice": twice} == twins.PLAIN
    assert supplied == {"one": 1}


def test_a_module_that_lacks_a_twin_is_of_another_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(twins, "PLAIN", {})
    monkeypatch.setattr(twins, "_NATIVE", SimpleNamespace())
    with pytest.raises(AttributeError, match="twice"):
        twins.compiled(twice)


def test_a_module_that_cannot_be_loaded_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FIREZONE_FILTER_PURE", raising=False)
    monkeypatch.setitem(sys.modules, NATIVE, None)
    assert twins._load() is None
    monkeypatch.setitem(sys.modules, NATIVE, sys)
    assert twins._load() is sys
    monkeypatch.setenv("FIREZONE_FILTER_PURE", "1")
    assert twins._load() is None
