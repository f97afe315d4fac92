"""Files outside docs as pages, and links to them that work in the site as on a git host.

A page that is nothing but

    ```{include} ../../CHANGELOG.md
    ```

becomes that file. Relative links are written for the folder where they stand, so that a git host
follows them; here, those to a file that is a page lead to the page (of the README, to the first
one), and those of an included file start from its own folder.
"""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata

_INCLUDED: Final = re.compile(r"```\{include\} (\S+)\n```\s*")
_LINK: Final = re.compile(r"\]\((?!\w+:)([^)#\s]+)(#[^)\s]*)?\)")


def included_files(docs: Path) -> dict[Path, str]:
    """Return the files outside *docs* that are pages, each with the name of its page."""
    pages = {}
    for page in sorted(docs.glob("**/*.md")):
        if found := _INCLUDED.fullmatch(page.read_text("utf-8")):
            file = (page.parent / found[1]).resolve()
            pages[file] = page.relative_to(docs).with_suffix("").as_posix()
    return pages


def _on_source_read(app: Sphinx, name: str, source: list[str]) -> None:
    page = app.env.doc2path(name)
    origin = page
    if found := _INCLUDED.fullmatch(source[0]):
        origin = (page.parent / found[1]).resolve()
        app.env.note_dependency(origin)
        source[0] = origin.read_text("utf-8")
    relinked = _relinked(Path(app.srcdir), page.parent, origin.parent)
    source[0] = _LINK.sub(relinked, source[0])


def _relinked(docs: Path, page_folder: Path, folder: Path) -> Callable[[re.Match[str]], str]:
    pages = included_files(docs)

    def relinked(link: re.Match[str]) -> str:
        target = Path(os.path.normpath(folder / link[1]))
        if target == docs.parent / "README.md":
            return "](/index.md)"
        if target in pages:
            return f"](/{pages[target]}.md{link[2] or ''})"
        if target.is_relative_to(docs):
            return f"](/{target.relative_to(docs).as_posix()}{link[2] or ''})"
        return f"]({os.path.relpath(target, page_folder)}{link[2] or ''})"

    return relinked


def setup(app: Sphinx) -> ExtensionMetadata:
    """Turn the extension on."""
    app.connect("source-read", _on_source_read)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
