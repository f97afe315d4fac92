"""What attributes mean, for `help` and `inspect.getdoc`.

A string below an attribute is what editors and the reference show, but Python drops it. It is read
from the source once somebody asks: nothing is paid for it before, and where there is no source,
there is no answer.
"""

from enum import Enum
from functools import cache
from itertools import pairwise
from typing import Any, Self, TypeVar, overload

AnyClass = TypeVar("AnyClass", bound=type)
Member = TypeVar("Member", bound=Enum)


def documented(cls: AnyClass) -> AnyClass:
    """Let `help` and `inspect.getdoc` tell what the attributes of a slotted class mean.

    They take that from a `__slots__` that is a mapping. It has the same names as before, which is
    all that others (`copy`, `pickle`, attrs) want of it.
    """
    cls.__slots__ = _SlotDocs(cls)  # type: ignore[attr-defined]
    return cls


def documented_members(cls: type[Member]) -> type[Member]:
    """Let `help` and `inspect.getdoc` tell what the members of an enum mean."""
    cls.__doc__ = _MemberDocs(cls.__doc__ or "")
    return cls


class _SlotDocs(dict[str, str | None]):
    """The names of a class's slots, each with what the source says below it."""

    def __init__(self, cls: type) -> None:
        super().__init__(dict.fromkeys(vars(cls)["__slots__"]))
        self._cls = cls

    def __getitem__(self, name: str) -> str | None:
        return _attribute_docs(self._cls).get(name)


class _MemberDocs(str):
    """The docstring of an enum, which its members do not take for theirs.

    (It is a string, since `pydoc` takes what the class holds and asks no descriptor.)
    """

    __slots__ = ()

    @overload
    def __get__(self, member: None, owner: type) -> Self: ...

    @overload
    def __get__(self, member: Enum, owner: type) -> str | None: ...

    def __get__(self, member: Enum | None, owner: type) -> str | None:
        return self if member is None else _attribute_docs(owner).get(member.name)


@cache
def _attribute_docs(cls: type) -> dict[str, str]:
    """Return what the source of *cls* says below its attributes."""
    # They take longer to import than all the rest, and hardly any program asks.
    import ast  # noqa: PLC0415
    import inspect  # noqa: PLC0415

    module = inspect.getmodule(cls)
    try:
        body: list[Any] = ast.parse(inspect.getsource(module)).body if module else []
    except (OSError, TypeError):
        # As in a folder of compiled files alone; or a module that says it is built in.
        return {}
    for name in cls.__qualname__.split("."):
        classes = (node for node in body if isinstance(node, ast.ClassDef) and node.name == name)
        body = next((node.body for node in classes), [])
    docs = {}
    for node, below in pairwise(body):
        match node, below:
            case (
                ast.AnnAssign(target=ast.Name(attribute))
                | ast.Assign(targets=[ast.Name(attribute)]),
                ast.Expr(ast.Constant(str(text))),
            ):
                docs[attribute] = inspect.cleandoc(text)
    return docs
