"""The site: `sphinx-build -n -W --keep-going docs FOLDER`, with the extra `docs`.

FOLDER can be read from a disk, without a server and without a network.
"""

import sys
from importlib.metadata import version as version_of
from pathlib import Path

from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx

# The extensions are beside this file.
sys.path.insert(0, str(Path(__file__).parent))

project = "firezone-filter"
version = release = version_of(project)

extensions = [
    "myst_parser",
    "extensions.notebooks",
    "extensions.outer_files",
]
exclude_patterns = ["extensions"]

myst_heading_anchors = 4

html_theme = "furo"
html_title = f"{project} {version}"
html_show_copyright = False
html_show_sphinx = False
html_copy_source = False


def setup(app: Sphinx) -> None:
    """Take languages that Pygments has no colours for as they are."""
    app.add_lexer("nft", TextLexer)
