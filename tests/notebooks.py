"""Runs the notebooks of the docs, and keeps what they show: `python -m tests.notebooks`.

Outputs are kept as text alone, without what is different in each run.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

NOTEBOOKS: Final = sorted((Path(__file__).parents[1] / "docs").glob("**/*.ipynb"))


def executed(path: Path) -> Any:  # noqa: ANN401 - nbformat has no types
    """Return a notebook as it is after running all of its cells.

    Raises:
        ImportError: what runs notebooks is missing.
    """
    # Most who import this module, or collect its tests, run none.
    import nbformat  # noqa: PLC0415
    from nbclient import NotebookClient  # noqa: PLC0415

    notebook: Any = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    resources = {"metadata": {"path": str(path.parent)}}
    NotebookClient(notebook, timeout=300, resources=resources).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.execution_count = None
            cell.outputs = [_kept(output) for output in cell.outputs if _is_shown(output)]
    return notebook


def shown(notebook: Any) -> list[str]:  # noqa: ANN401
    """Return what each cell of code shows, as text."""
    return [
        "\n".join(
            output.data["text/plain"] if "data" in output else output.text
            for output in cell.outputs
        )
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]


def keep(paths: Iterable[Path]) -> None:
    """Run notebooks, and write what they show into them."""
    import nbformat  # noqa: PLC0415

    for path in paths:
        nbformat.write(executed(path), path)  # type: ignore[no-untyped-call]


def _is_shown(output: Any) -> bool:  # noqa: ANN401
    # What a kernel warns of is its own.
    return output.output_type != "stream" or bool(output.name == "stdout")


def _kept(output: Any) -> Any:  # noqa: ANN401
    if "data" in output:
        output.execution_count = None
        output.data = {"text/plain": output.data["text/plain"]}
    return output


if __name__ == "__main__":  # pragma: no cover
    keep(NOTEBOOKS)
