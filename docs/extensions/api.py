"""The public names, from their docstrings, and references between them.

    ```{api} firezone_filter
    Gateway
    Decision
    ```

documents names of a public module, whatever they are. In docstrings, code that is the name of
something public is a link to it, and `rules.md` one to that page.
"""

import ast
import builtins
import enum
import importlib
import inspect
import re
import sys
import typing
from collections.abc import Iterator
from pathlib import Path
from textwrap import indent
from typing import Final, cast

import attrs
from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.domains.python import PythonDomain
from sphinx.environment import BuildEnvironment
from sphinx.ext.napoleon.docstring import GoogleDocstring
from sphinx.util.docutils import SphinxRole
from sphinx.util.typing import ExtensionMetadata

MODULES: Final = (
    "firezone_filter",
    "firezone_filter.aio",
    "firezone_filter.capture",
    "firezone_filter.replay",
    "firezone_filter.testing",
)
"""The modules that are public; a name is looked for in this order."""

_API: Final = re.compile(r"^```\{api\} (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FENCE: Final = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_CODE_AHEAD: Final = re.compile(r"(?<=\w):\n\n(?= {4})")
_PAGE: Final = re.compile(r"\b(?:docs/)?(?:[\w-]+/)*([\w-]+)\.md\b")

_LOOKED_UP: Final = re.compile(r"attr_dict\['(\w+)'\]\.default")

# Others' names, of which the site has no reference.
_OTHERS: Final = sys.stdlib_module_names | {"attrs", "hypothesis", "numpy", "pa", "pandas"}

# Types in public signatures that have no name in public: a parameter's own documentation says
# what it takes.
_UNNAMED: Final = {
    "firezone_filter.logs.loggers.LogsLikeALogger",
    "firezone_filter.testing.strategies.ends.Choices",
    "firezone_filter.values.decisions.T",
    "firezone_filter.values.domains.DomainPattern",
}

# What functions and methods return; nobody makes one.
_NOT_MADE: Final = {"Captures", "Replay"}


def _public() -> dict[str, str]:
    """Return the public name of what is defined elsewhere, by where that is."""
    public: dict[str, str] = {}
    for module in map(importlib.import_module, MODULES):
        for name in module.__all__:
            thing = getattr(module, name)
            if inspect.isclass(thing) or inspect.isfunction(thing):
                home = f"{thing.__module__}.{thing.__qualname__}"
                public.setdefault(home, f"{module.__name__}.{name}")
    return public


_PUBLIC: Final = _public()


# --- What a page documents ----------------------------------------------------------------


def _on_source_read(_: Sphinx, __: str, source: list[str]) -> None:
    source[0] = _API.sub(_documented, source[0])


def _documented(found: re.Match[str]) -> str:
    lines = ["```{eval-rst}", f".. currentmodule:: {found[1]}", ""]
    for name in found[2].split():
        lines += _directive(found[1], name)
    return "\n".join([*lines, "```"])


def _directive(module_name: str, name: str) -> list[str]:
    thing = getattr(importlib.import_module(module_name), name)
    if inspect.isclass(thing):
        return [f".. autoclass:: {name}", "   :members:", ""]
    if inspect.isroutine(thing):
        return [f".. autofunction:: {name}", ""]
    if parts := typing.get_args(thing):
        kind = f"   :type: {' | '.join(part.__name__ for part in parts)}"
    else:
        kind = f"   :value: {thing!r}"
    return [
        f".. py:data:: {name}",
        kind,
        "",
        *(f"   {line}" for line in _below(module_name, name)),
    ]


def _below(module_name: str, name: str) -> list[str]:
    """Return the text below a name that is no class, in the module that defines it."""
    source = inspect.getsource(importlib.import_module(module_name))
    (home,) = {
        node.module
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom) and name in {alias.name for alias in node.names}
    }
    body = iter(ast.parse(inspect.getsource(importlib.import_module(str(home)))).body)
    next(node for node in body if ast.unparse(node).startswith((f"{name} =", f"{name}: ")))
    texts = (node.value for node in body if isinstance(node, ast.Expr))
    text = next(text.value for text in texts if isinstance(text, ast.Constant))
    lines = inspect.cleandoc(str(text)).splitlines()
    return [*_linked(lines), ""]


# --- Docstrings ---------------------------------------------------------------------------


def _on_docstring(
    _: Sphinx, what: str, __: str, ___: object, ____: object, lines: list[str]
) -> None:
    # (Of an attribute, whatever stands before a colon would be taken for its type.)
    lines[:] = _rest("\n".join(lines)).splitlines()
    if what in {"class", "exception", "function", "method"}:
        lines[:] = GoogleDocstring(lines).lines()
    lines[:] = _linked(lines)


def _rest(text: str) -> str:
    """Return a docstring with code blocks as reStructuredText has them."""
    text = _FENCE.sub(lambda code: f".. code-block:: {code[1]}\n\n{indent(code[2], '   ')}", text)
    return _CODE_AHEAD.sub("::\n\n", text)


def _on_signature(
    _: Sphinx, what: str, name: str, cls: type, __: object, signature: str | None, ___: object
) -> tuple[str, None] | None:
    if what != "class":
        return None
    if issubclass(cls, enum.Enum) or name.rpartition(".")[2] in _NOT_MADE:
        return "", None
    if signature is None:
        return None
    # A default that is made anew each time.
    shown = signature.replace(repr(attrs.NOTHING), "...")
    # The code that attrs makes for `__init__` looks defaults up in a place of its own.
    if _LOOKED_UP.search(shown):
        defaults = attrs.fields_dict(cast("type[attrs.AttrsInstance]", cls))
        shown = _LOOKED_UP.sub(lambda found: repr(defaults[found[1]].default), shown)
    return shown, None


def _linked(lines: list[str]) -> Iterator[str]:
    docs = Path(__file__).parents[1]
    pages = {page.stem: page.relative_to(docs).with_suffix("") for page in docs.glob("**/*.md")}
    for line in lines:
        yield _PAGE.sub(lambda found: f":doc:`/{pages[found[1]].as_posix()}`", line)


class _Known(SphinxRole):
    """Code, and a link where it is the name of something public."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Make a reference that may lead nowhere."""
        reference = addnodes.pending_xref(
            "",
            nodes.literal(self.text, self.text, classes=["xref", "py"]),
            refdomain="",
            reftype="known",
            reftarget=self.text.removesuffix("()"),
            refmodule=self.env.ref_context.get("py:module"),
            refclass=self.env.ref_context.get("py:class"),
        )
        return [reference], []


# --- References ---------------------------------------------------------------------------


def _on_doctree_read(_: Sphinx, doctree: nodes.document) -> None:
    # Sphinx would take `bytes` for an attribute of ours that has this name.
    for reference in list(doctree.findall(addnodes.pending_xref)):
        if reference["reftype"] != "known" and hasattr(builtins, reference["reftarget"]):
            reference.replace_self(reference.children)


def _on_missing_reference(
    app: Sphinx, env: BuildEnvironment, node: addnodes.pending_xref, shown: nodes.TextElement
) -> nodes.Node | None:
    target = node["reftarget"]
    if node["reftype"] == "known":
        return _resolved(app, env, node, shown, list(_readings(node))) or _plain(node)
    if target in _PUBLIC:
        return _resolved(app, env, node, shown, [_PUBLIC[target]])
    return shown if target in _UNNAMED or target.partition(".")[0] in _OTHERS else None


def _readings(node: addnodes.pending_xref) -> Iterator[str]:
    target = node["reftarget"]
    if node["refclass"]:
        yield f"{node['refmodule']}.{node['refclass']}.{target}"
    yield from (f"{module}.{target}" for module in (node["refmodule"], *MODULES) if module)


def _plain(node: addnodes.pending_xref) -> nodes.Node:
    text = node.astext()
    return nodes.literal(text, text)


def _resolved(
    app: Sphinx,
    env: BuildEnvironment,
    node: addnodes.pending_xref,
    shown: nodes.TextElement,
    names: list[str],
) -> nodes.Node | None:
    domain = cast("PythonDomain", env.get_domain("py"))
    for name in names:
        if name in domain.objects:
            return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", name, node, shown)
    return None


def setup(app: Sphinx) -> ExtensionMetadata:
    """Turn the extension on."""
    app.add_role("known", _Known())
    app.connect("source-read", _on_source_read)
    app.connect("autodoc-process-docstring", _on_docstring)
    app.connect("autodoc-process-signature", _on_signature)
    app.connect("doctree-read", _on_doctree_read)
    app.connect("missing-reference", _on_missing_reference)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
