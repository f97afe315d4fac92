"""What is public, and what the source says about its attributes."""

import ast
import enum
import importlib
import inspect
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

MODULES: Final = (
    "firezone_filter",
    "firezone_filter.aio",
    "firezone_filter.capture",
    "firezone_filter.replay",
    "firezone_filter.testing",
)
"""The modules that are public."""


def public_names() -> Iterator[tuple[str, object]]:
    """Yield every public name, with its module before it, and what it is."""
    for module in map(importlib.import_module, MODULES):
        for name in module.__all__:
            yield f"{module.__name__}.{name}", getattr(module, name)


CLASSES: Final = {name: one for name, one in public_names() if inspect.isclass(one)}
"""The public classes, by their names."""


def our_bases(cls: type) -> list[type]:
    """Return the classes of ours that a class is made of, itself last."""
    return [
        each for each in reversed(cls.__mro__) if each.__module__.startswith("firezone_filter")
    ]


def attributes(cls: type) -> dict[str, object]:
    """Return the public attributes of a class that are ours, methods and properties included."""
    members = {name: one for base in our_bases(cls) for name, one in vars(base).items()}
    if issubclass(cls, enum.Enum):
        members |= cls.__members__
    return {name: one for name, one in members.items() if not name.startswith("_")}


def written_docs(cls: type) -> Iterator[tuple[str, str]]:
    """Yield the attributes of a class that have a string below them in the source, and that."""
    written = [base for base in our_bases(cls) if not base.__module__.endswith("._native")]
    for base in written:
        (tree,) = ast.parse(inspect.getsource(base)).body
        for node, below in pairwise(ast.iter_child_nodes(tree)):
            match node, below:
                case (
                    ast.AnnAssign(target=ast.Name(name)) | ast.Assign(targets=[ast.Name(name)]),
                    ast.Expr(ast.Constant(str(text))),
                ):
                    yield name, inspect.cleandoc(text)
