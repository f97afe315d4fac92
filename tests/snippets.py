"""The Python examples of the documents: each is a program of its own.

As a program, `python -m tests.snippets FOLDER` writes each to a file in FOLDER, for type checkers.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]


def blocks(document: Path, language: str) -> list[str]:
    """Return the fenced blocks of *language*; `python excerpt` and the like are languages too."""
    fence = re.compile(rf"^```{re.escape(language)}\n(.*?)^```", re.MULTILINE | re.DOTALL)
    return fence.findall(document.read_text())


def console(document: Path) -> Iterator[tuple[str, str, int]]:
    """Yield each command that a document shows, with what it prints and its exit status.

    That is 0, or 1 in a block of `console fails`.
    """
    for status, language in enumerate(("console", "console fails")):
        for block in blocks(document, language):
            for step in block.split("$ ")[1:]:
                command, _, output = step.partition("\n")
                yield command, output, status


def snippets() -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each example."""
    for document in DOCUMENTS:
        for number, block in enumerate(blocks(document, "python"), 1):
            yield f"{document.stem.lower()}_{number:02}.py", block


def write(folder: Path) -> None:
    """Write all examples into *folder*."""
    for name, block in snippets():
        (folder / name).write_text(block)


if __name__ == "__main__":  # pragma: no cover - run by .ci/run
    write(Path(sys.argv[1]))
