"""The site: `sphinx-build -n -W --keep-going docs FOLDER`, with the extra `docs`.

FOLDER can be read from a disk, without a server and without a network.
"""

import sys
import tomllib
from pathlib import Path

from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx

# The extensions are beside this file.
sys.path.insert(0, str(Path(__file__).parent))

project = "firezone-filter"
# (What is installed may be another version.)
_settings = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text("utf-8"))
version = release = _settings["project"]["version"]

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "extensions.api",
    "extensions.from_code",
    "extensions.notebooks",
    "extensions.outer_files",
]
exclude_patterns = ["extensions"]

# Options begin with two dashes, and what is quoted may be pasted.
smartquotes = False
myst_heading_anchors = 4

# What is in backticks in docstrings.
default_role = "known"
autodoc_default_options = {
    "members": True,
    "inherited-members": "BaseException, Formatter, dict, str",
}
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints_format = "short"
add_module_names = False
toc_object_entries_show_parents = "hide"

html_theme = "furo"
# (The usual one underlines names of modules as if they were links.)
pygments_dark_style = "github-dark"
html_title = f"{project} {version}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_show_copyright = False
html_show_sphinx = False
html_copy_source = False
# A summary is read from the page that was found, which browsers refuse to do from a disk.
html_show_search_summary = False


def setup(app: Sphinx) -> None:
    """Take languages that Pygments has no colours for as they are."""
    app.add_lexer("nft", TextLexer)
