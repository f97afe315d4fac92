"""The examples of the documents.

What stands behind the language of a fenced block says what becomes of it:

- nothing: a block of `python` is a program of its own, `sh` is run, and `console` prints what
  it shows;
- `fails`, of `console`: the same, with exit status 1;
- a file's name: the reader saves it, and the commands of the page find it;
- `shown`: it is only shown, and not run.

As a program, `python -m tests.snippets FOLDER` writes each example in Python to a file in FOLDER,
for type checkers.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parents[1]
DOCUMENTS: Final = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "benches").glob("*.md")),
    *sorted((ROOT / "docs").glob("**/*.md")),
    *sorted((ROOT / "examples").glob("*/*.md")),
]

_FENCE: Final = re.compile(r"^```(\w*)(?: ([^\n]+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE: Final = re.compile(r"[\w-]+\.\w+")


class Block(NamedTuple):
    """A fenced block of a document."""

    language: str
    """Its language, such as `python`; empty if it says none."""

    label: str
    """What stands behind the language."""

    text: str

    @property
    def is_file(self) -> bool:
        """Whether the reader saves it, under the name that is its label."""
        return _FILE.fullmatch(self.label) is not None


def page_name(document: Path) -> str:
    """Return what a document is called in tests: its path without the ending."""
    return document.relative_to(ROOT).with_suffix("").as_posix()


def fenced(document: Path) -> list[Block]:
    """Return all fenced blocks of a document."""
    return [Block(*found) for found in _FENCE.findall(document.read_text("utf-8"))]


def blocks(document: Path, language: str) -> list[str]:
    """Return the texts of the blocks of *language* that have no label."""
    return [one.text for one in fenced(document) if (one.language, one.label) == (language, "")]


def steps(block: Block) -> Iterator[tuple[str, str]]:
    """Yield each command of a block of `console`, with what it prints."""
    for step in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        command, _, output = step.partition("\n")
        yield command, output


def snippets() -> Iterator[tuple[str, Block]]:
    """Yield the name and the block of each example in Python, alone or saved."""
    for document in DOCUMENTS:
        name = re.sub(r"\W", "_", page_name(document).lower())
        examples = (one for one in fenced(document) if one.language == "python")
        for number, block in enumerate(examples, 1):
            if not block.label or block.is_file:
                yield f"{name}_{number:02}.py", block


def write(folder: Path) -> None:
    """Write all examples in Python into *folder*."""
    for name, block in snippets():
        (folder / name).write_text(block.text)


if __name__ == "__main__":  # pragma: no cover - run by .ci/run
    write(Path(sys.argv[1]))
