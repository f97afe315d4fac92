"""What is public: every name of every public module, and every command, as lines of text.

`public_api.txt` has those of the latest release. Whatever is different since then has to be in the
newest section of the changelog; when this has got its version, `python -m tests.public_api`
renews the listing.
"""

import inspect
import re
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType
from typing import Any, Final

import click

import firezone_filter
from firezone_filter.cli.command import cli
from firezone_filter.compiled.twins import PLAIN

ROOT: Final = Path(__file__).parents[1]
CHANGELOG: Final = ROOT / "CHANGELOG.md"
LISTING: Final = Path(__file__).parent / "integration" / "public_api.txt"
UNRELEASED: Final = "Unreleased"

PACKAGE: Final = "firezone_filter"
PROGRAM: Final = "firezone-filter"

# Between a name and what is said of it.
GAP: Final = "  "

# What a class can be used for beside its methods; the others are made by attrs, and by Python.
PROTOCOLS: Final = {
    *("__bool__", "__call__", "__contains__", "__getitem__", "__iter__", "__len__", "__next__"),
    *("__aenter__", "__aexit__", "__enter__", "__exit__"),
}


def public_modules() -> list[ModuleType]:
    """Return the package and those of its rooms that have public names; `cli` is for commands."""
    rooms = [name for _, name, is_package in iter_modules(firezone_filter.__path__) if is_package]
    modules = [import_module(f"firezone_filter.{room}") for room in rooms if room != "cli"]
    return [firezone_filter, *(module for module in modules if hasattr(module, "__all__"))]


def listing() -> list[str]:
    """Return a line for everything public, in order, the same for every Python and both builds."""
    lines: list[str] = []
    names: dict[int, str] = {}
    for module in public_modules():
        lines.append(f"{module.__name__}{GAP}module")
        for name in module.__all__:
            value, full = getattr(module, name), f"{module.__name__}.{name}"
            if callable(value) and (first := names.setdefault(id(value), full)) != full:
                lines.append(f"{full}{GAP}{first}")
            else:
                lines += (f"{one}{GAP}{said}" for one, said in _described(full, value))
    lines += (f"{name}{GAP}{said}" for name, said in _command(PROGRAM, cli))
    return sorted(lines)


def _described(name: str, value: object) -> Iterator[tuple[str, str]]:
    if not isinstance(value, type):
        yield name, _said(value)
        return
    members = getattr(value, "__members__", {})
    # What others than this package have written, errors of Python say, is not ours to pin.
    makers = [getattr(value, name) for name in ("__init__", "__new__")]
    ours = any(inspect.isfunction(one) and one.__module__.startswith(PACKAGE) for one in makers)
    bases = f"({of})" if (of := _bases(value)) else ""
    yield name, f"class{bases}" + (f" {_said(value)}" if ours and not members else "")
    yield from ((f"{name}.{one}", repr(member.value)) for one, member in members.items())
    for attribute, said in _attributes(value).items():
        if attribute not in members:
            yield f"{name}.{attribute}", said


def _bases(cls: type) -> str:
    """Return what a class may be caught or used as, but for classes that are not public."""
    known = {id(getattr(module, name)) for module in public_modules() for name in module.__all__}
    return ", ".join(
        base.__name__
        for base in cls.__mro__[1:-1]
        if id(base) in known or not base.__module__.startswith(PACKAGE)
    )


def _attributes(cls: type) -> dict[str, str]:
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if base.__module__.startswith(PACKAGE):
            # Of a class that has a twin, the plain one has the annotations.
            plain: Any = PLAIN[base.__name__] if base.__module__.endswith("._native") else base
            for name, value in _public(vars(plain)):
                # (What slots hold is in the annotations.)
                if isinstance(value, property) or not inspect.isdatadescriptor(value):
                    found[name] = _said(value)
            for name, value in _public(inspect.get_annotations(plain)):
                found[name] = _text(value)
    return found


def _public(names: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    return ((name, of) for name, of in names.items() if name in PROTOCOLS or name[0] != "_")


def _said(value: object) -> str:
    """Return what there is to know of a value, a callable or a property."""
    match value:
        case property():
            return f"property{'' if value.fset is None else ', settable'} {_said(value.fget)}"
        case classmethod() | staticmethod():
            return f"{type(value).__name__} {_said(value.__func__)}"
    if not isinstance(value, type) and not inspect.isfunction(value):
        return _text(value)
    signature = inspect.signature(value)
    parameters = ", ".join(_text(str(one)) for one in signature.parameters.values())
    return f"({parameters})" + (
        "" if isinstance(value, type) else f" -> {_text(signature.return_annotation)}"
    )


# How versions of Python and numpy write the same type.
SPELLINGS: Final = (
    (r"<class '(.*?)'>", r"\1"),
    (r"\b(?:[A-Za-z_]\w*\.)+(?=[A-Za-z_])", ""),  # where it is defined is nobody's business
    (r"ndarray\[(?:tuple\[Any, \.\.\.\]|Any), dtype\[(\w+)\]\]", r"NDArray[\1]"),
    (r"Unpack\[(\w+)\]", r"*\1"),
    (r"Optional\[((?:[^][]|\[(?:[^][]|\[[^][]*\])*\])*)\]", r"\1 | None"),
)


def _text(value: object) -> str:
    """Return a value or an annotation, spelled in one way."""
    text = value if isinstance(value, str) else inspect.formatannotation(value)
    for spelling, ours in SPELLINGS:
        text = re.sub(spelling, ours, text)
    return text


def _command(name: str, command: click.Command) -> Iterator[tuple[str, str]]:
    yield name, "command"
    for one in command.params:
        text = "/".join(one.opts) if isinstance(one, click.Option) else one.human_readable_name
        choices = f" {'|'.join(one.type.choices)}" if isinstance(one.type, click.Choice) else ""
        ways = [way for way in ("required", "multiple", "is_flag") if getattr(one, way, False)]
        # (What click has for no default changes from one version to the next.)
        default = (
            f" = {one.default}" if isinstance(one.default, str | int | float) and not ways else ""
        )
        yield f"{name} {max(one.opts, key=len)}", " ".join([text + choices + default, *ways])
    for inner, of in getattr(command, "commands", {}).items():
        yield from _command(f"{name} {inner}", of)


# --- The changelog -----------------------------------------------------------------------


def due(stored: str, now: list[str], changelog: str) -> str:
    """Return the text that the listing should have: that of the latest release.

    Raises:
        ValueError: The newest section of the changelog does not mention what has changed.
    """
    version, section = newest(changelog)
    if names := unmentioned(stored.splitlines()[1:], now, section):
        raise ValueError(f"unmentioned in the CHANGELOG below {version}: {', '.join(names)}")
    return stored if version == UNRELEASED else "\n".join([f"{PROGRAM} {version}", *now, ""])


def newest(changelog: str) -> tuple[str, str]:
    """Return the version of the first section, or "Unreleased", and its text."""
    _, version, section, *_ = re.split(r"^## \[(.*?)\].*$", changelog, flags=re.MULTILINE)
    return version, section


def unmentioned(before: list[str], now: list[str], section: str) -> list[str]:
    """Return what is new, gone or other than it was, and is in no entry of *section*.

    An entry mentions `firezone_filter.testing.Step.name` if it has `Step` and `name` in code,
    and `firezone-filter replay --json` if it has `replay` and `--json`. What comes or goes with
    its class, command or module needs no entry of its own.
    """
    old, new = (dict(line.split(GAP, 1) for line in lines) for lines in (before, now))
    entries = [set(_words(entry)) for entry in re.split(r"^- ", section, flags=re.MULTILINE)]
    names = [name for name in sorted({*old, *new}) if old.get(name) != new.get(name)]
    alone = [name for name in names if (_owner(name) in old) == (_owner(name) in new)]
    modules = {name for name, said in {**old, **new}.items() if said == "module"}
    return [name for name in alone if not any(_parts(name, modules) <= one for one in entries)]


def _owner(name: str) -> str:
    return name[: max(name.rfind("."), name.rfind(" "), 0)]


def _parts(name: str, modules: set[str]) -> set[str]:
    owner = _owner(name)
    last = name[len(owner) :].lstrip(". ")
    return {last} if owner in {*modules, PROGRAM, ""} else {last, *_parts(owner, modules)}


def _words(entry: str) -> Iterator[str]:
    for code in re.findall(r"`([^`]+)`", entry):
        yield from re.findall(r"-{0,2}\w[\w-]*", code)


if __name__ == "__main__":  # pragma: no cover - the test says when it is due
    LISTING.write_text(due(LISTING.read_text(), listing(), CHANGELOG.read_text()))
