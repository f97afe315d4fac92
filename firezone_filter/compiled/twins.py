"""Twins: functions and classes of which the extension module has a faster form.

Theory of operation. What is written in Python is the whole library. The extension module
`_native` is optional: it is made when the package is built where there is a C compiler. It has
a twin of some functions and classes, of the same name, that gives the same results; `compiled`
puts it in the place of the plain one. It knows bytes, tables and times, no rule of access.

The module imports nothing of the package. The few classes and functions of ours that it needs
are handed to it by the modules that have them, with `supply`.

With `FIREZONE_FILTER_PURE=1` in the environment the plain ones are used, as if there were no
extension module.
"""

import os
from importlib import import_module
from inspect import Parameter, isfunction, signature
from types import ModuleType
from typing import Final, TypeVar

T = TypeVar("T")


def _load() -> ModuleType | None:
    if os.environ.get("FIREZONE_FILTER_PURE", "") not in {"", "0"}:
        return None
    try:
        return import_module("firezone_filter.compiled._native")
    except ImportError:
        return None


_NATIVE: Final = _load()

IS_COMPILED: Final = _NATIVE is not None
"""Whether the extension module is there and in use."""

__compiled__: Final = IS_COMPILED
"""The same, under the name that the package root has for it."""

PLAIN: Final[dict[str, object]] = {}
"""The plain form of everything that has a twin, by name: tests hold the two together."""


def compiled(plain: T) -> T:
    """Return the twin of a function or class; itself, where there is no extension module."""
    name: str = plain.__name__  # type: ignore[attr-defined]
    PLAIN[name] = plain
    if _NATIVE is None:
        return plain
    twin: T = getattr(_NATIVE, name)
    if isinstance(plain, type):
        _describe(plain, twin)
    return twin


def _describe(plain: type, twin: object) -> None:
    """Let the public methods of a twin show the parameters and docstrings of the plain ones."""
    for name, method in vars(plain).items():
        # (What a subclass of ours adds, the twin need not have.)
        if not name.startswith("_") and isfunction(method) and name in vars(twin):
            parameters = ", ".join(
                str(parameter.replace(annotation=Parameter.empty))
                for parameter in signature(method).parameters.values()
            )
            # The form in which CPython takes a signature from a docstring.
            text = f"{name}(${parameters})\n--\n\n{method.__doc__}"
            _NATIVE.document(vars(twin)[name], text.encode())  # type: ignore[union-attr]


def supply(**ours: object) -> None:
    """Hand functions and classes of the package to the extension module, by name."""
    if _NATIVE is not None:
        _NATIVE.supply(ours)
