"""The workload for profilers: what is in its mix, and that it is steady."""

import re
import subprocess
import sys
from collections import Counter

import pytest

from benches.workload import Workload, main
from firezone_filter import Direction, Reason

STEPS = 1_700
"""Long enough that every hook has been called."""

BATCH = 50
"""Fewer packets of established flows than a profiler gets."""


@pytest.fixture(scope="module")
def workload() -> Workload:
    return Workload(clients=4, batch=BATCH)


@pytest.fixture(scope="module")
def kinds(workload: Workload) -> Counter[str]:
    """Return how many decisions there were of each kind."""
    return Counter(type(decision).__name__ for _ in range(STEPS) for decision in workload.step())


def test_most_packets_go_on(kinds: Counter[str]) -> None:
    allowed = kinds["Forward"] + kinds["Translate"]
    assert 0.85 < allowed / kinds.total() < 0.95


def test_some_packets_are_translated(kinds: Counter[str]) -> None:
    assert 0.1 < kinds["Translate"] / kinds.total() < 0.3


def test_refusals_are_told_and_not_told(kinds: Counter[str]) -> None:
    assert kinds["Reject"] > STEPS
    assert kinds["Drop"] > STEPS


@pytest.mark.usefixtures("kinds")
@pytest.mark.parametrize(
    ("direction", "reason"),
    [
        (Direction.OUTBOUND, Reason.TCP_PORT),
        (Direction.OUTBOUND, Reason.NO_RESOURCE),
        (Direction.OUTBOUND, Reason.SOURCE_NOT_ALLOWED),
        (Direction.INBOUND, Reason.TCP_PORT),
        (Direction.INBOUND, Reason.NO_RESOURCE),
        (Direction.INBOUND, Reason.MALFORMED),
    ],
)
def test_each_refusal_is_there_with_both_families(
    workload: Workload, direction: Direction, reason: Reason
) -> None:
    assert workload.gateway.counters().refusals[direction, reason] >= 2 * STEPS


@pytest.mark.usefixtures("kinds")
def test_fragments_pass_and_errors_pass(workload: Workload) -> None:
    counters = workload.gateway.counters()
    assert counters.fragments > 0
    assert not any(
        counters.refusals[direction, reason]
        for direction in Direction
        for reason in (Reason.FRAGMENT, Reason.ICMP_ERROR)
    )


@pytest.mark.usefixtures("kinds")
def test_clients_come_again_and_none_is_lost(workload: Workload) -> None:
    assert len(workload.gateway.clients()) == 4


def test_the_same_seed_gives_the_same_story() -> None:
    one, other = (Workload(clients=3, batch=5, seed=7) for _ in range(2))
    assert [one.step() for _ in range(300)] == [other.step() for _ in range(300)]


def test_another_seed_gives_another_story() -> None:
    one, other = Workload(clients=3, seed=7), Workload(clients=3, seed=8)
    assert one.step() != other.step()


def test_flows_are_recorded_on_request() -> None:
    workload = Workload(clients=2, flow_records=True)
    workload.step()
    assert (workload.gateway.counters().tx_packets or 0) > 0


def test_it_tells_its_process_and_its_pace() -> None:
    command = [sys.executable, "-m", "benches.workload", "--seconds", "0.05", "--clients", "2"]
    # The command is written above.
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout  # noqa: S603
    pace = r"pid \d+\n[\d,]+ packets in \d+\.\d s: [1-9][\d,]* packets/s, (compiled|plain)\n"
    assert re.fullmatch(pace, printed)


def test_it_runs_for_as_long_as_asked(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--seconds", "0", "--clients", "1", "--flow-records"])
    assert "\n0 packets in 0.0 s" in capsys.readouterr().out
