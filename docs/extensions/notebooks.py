"""Notebooks as pages, with the outputs that they keep. Nothing is run here; a test does that."""

import json
from collections.abc import Iterator
from typing import Any

from docutils import nodes
from myst_parser.parsers.sphinx_ import MystParser
from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata


class NotebookParser(MystParser):
    """Reads a notebook as the Markdown that would show it."""

    supported = ("notebook",)

    def parse(self, inputstring: str, document: nodes.document) -> None:
        """Read a notebook, which is JSON, into *document*."""
        super().parse("\n\n".join(_blocks(json.loads(inputstring))), document)


def _blocks(notebook: dict[str, Any]) -> Iterator[str]:
    for cell in notebook["cells"]:
        text = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            yield text
            continue
        yield f"````python\n{text}\n````"
        for output in cell["outputs"]:
            shown = output["data"]["text/plain"] if "data" in output else output["text"]
            yield f"````text\n{''.join(shown)}\n````"


def setup(app: Sphinx) -> ExtensionMetadata:
    """Turn the extension on."""
    app.add_source_suffix(".ipynb", "notebook")
    app.add_source_parser(NotebookParser)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
