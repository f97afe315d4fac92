"""Replaying many files with two workers, next to one: elapsed time, since that is what they save.

The pathological case is what they cannot share: reading, and sending packets to where they belong.
"""

import subprocess
import sys
from typing import Final

import pytest

from benches.captures import MILLION, kept_captures
from benches.commands import environment, fastest
from benches.conftest import Measure, Scaled

_PACKETS: Final = 5 * MILLION
_FILES: Final = 10
_WORKERS: Final = ("1", "2")
_ROUNDS: Final = 2


@pytest.fixture(scope="module")
def elapsed(tmp_path_factory: pytest.TempPathFactory, scaled: Scaled) -> dict[str, float]:
    """Return the seconds that one worker took, and two."""
    folder = tmp_path_factory.mktemp("workers")
    environ = environment(folder)
    replay = [sys.executable, "-m", "firezone_filter", "replay"]
    # The command is written right here.
    told = subprocess.run([*replay, "--help"], env=environ, check=True, stdout=subprocess.PIPE)  # noqa: S603
    if b"--workers" not in told.stdout:
        pytest.skip("replays know no workers")
    packets = scaled(_PACKETS)
    files = kept_captures(packets, files=_FILES)
    replay += [*map(str, files), "--policy", str(files[0].with_name("policy.json")), "--workers"]
    rounds = _ROUNDS if packets == _PACKETS else 1
    taken = fastest({many: [*replay, many] for many in _WORKERS}, environ, rounds)
    return {many: one.wall for many, one in taken.items()}


@pytest.mark.parametrize("many", _WORKERS)
def test_replaying_with_workers(many: str, elapsed: dict[str, float], measure: Measure) -> None:
    measure.record("workers", many, elapsed[many])
