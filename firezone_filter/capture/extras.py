"""Modules that come with the extras of the package, imported when they are needed."""

from importlib import import_module
from types import ModuleType

_SHARED = "backports."
"""What several packages put their modules into."""


class MissingExtraError(ImportError):
    """A package is not installed; the message names the extra that it belongs to.

    `name` is that of the module that is missing.
    """

    def of(self, source: str) -> "MissingExtraError":
        """Return the same, of *source*, which needs it."""
        return MissingExtraError(f"{source}: {self}", name=self.name)


def module_of(extra: str, *names: str) -> ModuleType:
    """Import the module of *extra*; of several *names* the first that there is.

    Raises:
        MissingExtraError: It is not installed.
    """
    *others, name = names
    for other in others:
        try:
            return import_module(other)
        except ImportError:
            continue
    try:
        return import_module(name)
    except ImportError as error:
        raise missing(extra, name, error) from error


def missing(extra: str, name: str | None, error: ImportError) -> MissingExtraError:
    """Return what is to be raised for *error*, with which the module *name* of *extra* ended."""
    module = str(name)
    package = module if module.startswith(_SHARED) else module.partition(".")[0]
    is_there = not isinstance(error, ModuleNotFoundError)
    why = f"cannot be imported ({error})" if is_there else "is missing"
    return MissingExtraError(f"{package} {why}: pip install 'firezone-filter[{extra}]'", name=name)
