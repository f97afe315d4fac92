"""The notebooks of the docs run, and show what is kept in them."""

import re
from pathlib import Path

import pytest

from tests.notebooks import NOTEBOOKS, executed, keep, shown

nbformat = pytest.importorskip("nbformat", reason="nbformat, which reads notebooks, is missing")
pytest.importorskip("nbclient", reason="nbclient, which runs notebooks, is missing")
pytest.importorskip("ipykernel", reason="ipykernel, in which notebooks run, is missing")
pytest.importorskip("duckdb", reason="duckdb, which notebooks use, is missing")
pytest.importorskip("pandas", reason="pandas, which notebooks use, is missing")
pytest.importorskip("pyarrow", reason="pyarrow, which notebooks use, is missing")

pytestmark = pytest.mark.filterwarnings("ignore")  # of Jupyter's own

_NOTHING = {"NaN", "None", "NaT", "NA"}


def words(text: str) -> list[str]:
    """Return what a text says, however pandas sets it, and whatever it calls nothing."""
    return [word for word in re.findall(r"[\w.:+-]+", text) if word not in _NOTHING]


def test_there_are_notebooks() -> None:
    assert [path.name for path in NOTEBOOKS] == ["refusals.ipynb"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_shows_what_is_kept_in_it(path: Path) -> None:
    kept = shown(nbformat.read(path, as_version=4))
    assert [words(text) for text in shown(executed(path))] == [words(text) for text in kept]
    assert sum(map(bool, kept)) > len(kept) // 2


def test_what_is_shown_is_kept_as_text_alone(tmp_path: Path) -> None:
    path = tmp_path / "small.ipynb"
    cells = [
        nbformat.v4.new_markdown_cell("# Small", id="title"),
        nbformat.v4.new_code_cell("import sys\nprint('one')\nprint(2, file=sys.stderr)", id="a"),
        nbformat.v4.new_code_cell("1 + 2", id="b"),
    ]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    keep([path])
    once = path.read_text()
    keep([path])
    assert path.read_text() == once
    assert shown(nbformat.read(path, as_version=4)) == ["one\n", "3"]
    assert '"execution_count": null' in once
