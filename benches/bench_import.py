"""Importing the package, as a whole process, next to importing attrs alone.

Both are read from compiled bytecode, as installed packages are; the environment may forbid
writing it, and then every import would compile the sources once more. What counts is CPU time,
of which an import consists; the two take turns.
"""

import os
import subprocess
import sys
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from typing import Final

import pytest

from benches.conftest import Measure, Scaled

_ROUNDS: Final = 40
_WARM_UP: Final = 3
_MANY: Final = 1_000
"""More than there are of anything where nothing is timed."""

_MODULES: Final = ("attrs", "firezone_filter")


def _taken() -> float:
    """Return the CPU seconds of all processes that this one has waited for."""
    usage = getrusage(RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


@pytest.fixture(scope="module")
def fastest(tmp_path_factory: pytest.TempPathFactory, scaled: Scaled) -> dict[str, float]:
    """Return the CPU seconds of a process that imports each, in its best round."""
    path = [str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {
        **{name: text for name, text in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
        "PYTHONPYCACHEPREFIX": str(tmp_path_factory.mktemp("bytecode")),
        "PYTHONPATH": os.pathsep.join(path),
    }

    def seconds(module: str) -> float:
        before = _taken()
        # The command is written right here.
        subprocess.run([sys.executable, "-c", f"import {module}"], env=environment, check=True)  # noqa: S603
        return _taken() - before

    is_timed = scaled(_MANY) == _MANY
    rounds = [
        {module: seconds(module) for module in _MODULES}
        for _ in range(_WARM_UP + _ROUNDS if is_timed else 1)
    ]
    return {module: min(one[module] for one in rounds) for module in _MODULES}


@pytest.mark.parametrize("module", _MODULES)
def test_importing(module: str, fastest: dict[str, float], measure: Measure) -> None:
    measure.record("import", module, fastest[module])
    assert fastest[module] > 0
