"""Replaying a million packets, as a whole command, next to others that read the same capture.

Nine in ten packets belong to established direct flows ([captures.py](captures.py)). What counts is
CPU time, start included. The pathological case is what is not established: a scan, sessions of
names, fragments, of which all are judged one by one.
"""

import json
import subprocess
from typing import Final

import pytest
from attrs import frozen

from benches.captures import MILLION, kept_captures
from benches.commands import (
    BASELINES,
    OURS,
    SUMMARY,
    Taken,
    commands,
    environment,
    fastest,
)
from benches.conftest import Measure, Scaled

_ROUNDS: Final = 3

_FEWER: Final = 10
"""By how much the smaller capture is smaller."""


@frozen
class Race:
    """What each command took."""

    packets: int
    taken: dict[str, Taken]

    fewer: dict[str, Taken]
    """For the smaller capture."""


@pytest.fixture(scope="module")
def race(tmp_path_factory: pytest.TempPathFactory, scaled: Scaled) -> Race:
    folder = tmp_path_factory.mktemp("replay")
    packets = scaled(MILLION)
    (capture,), (smaller,) = kept_captures(packets), kept_captures(packets // _FEWER)
    these, environ = commands(capture, folder), environment(folder)
    # The first run of all compiles bytecode; and it tells that everything is counted.
    command = [*these[SUMMARY], "--json"]
    # The command is one of benches.commands.
    ran = subprocess.run(command, env=environ, check=True, stdout=subprocess.PIPE)  # noqa: S603
    told = json.loads(ran.stdout)
    assert told["frames"]["packets"] == packets
    taken = fastest(these, environ, _ROUNDS if packets == MILLION else 1)
    ours = {name: one for name, one in commands(smaller, folder).items() if name in OURS}
    return Race(packets, taken, fastest(ours, environ, 1))


@pytest.mark.parametrize("side", [*OURS, *BASELINES])
def test_reading_a_capture(side: str, race: Race, measure: Measure) -> None:
    if side not in race.taken:
        pytest.skip(f"{side} cannot be run here")
    measure.record("replay", side, race.taken[side].cpu / race.packets)


@pytest.mark.parametrize("how_many", ["all", "fewer"])
@pytest.mark.parametrize("side", OURS)
def test_memory(side: str, how_many: str, race: Race, measure: Measure) -> None:
    if side not in race.taken:
        pytest.skip(f"{side} cannot be run here")
    taken = race.taken if how_many == "all" else race.fewer
    measure.record(f"replay memory: {side}", how_many, taken[side].memory)
