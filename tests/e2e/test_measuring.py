"""The comparisons of hosts, with and without decisions and offload, still work."""

import shutil
from pathlib import Path

import pytest

from benches.offload import (
    BARE,
    HOST,
    PLAIN,
    WATCH,
    WATCH_PLAIN,
    Measured,
    combinations,
    measure,
    table,
)

pytestmark = pytest.mark.skipif(shutil.which("iperf3") is None, reason="iperf3 is not installed")


@pytest.mark.usefixtures("able")
@pytest.mark.parametrize(
    ("transfer", "host"),
    [
        ("upload", BARE),
        ("upload", PLAIN),
        ("upload, translated", WATCH),
        ("download", WATCH_PLAIN),
        ("download, translated", HOST),
    ],
)
def test_hosts_are_measured(transfer: str, host: str, tmp_path: Path) -> None:
    assert (transfer, host) in combinations()
    measured = measure(transfer, host, 1, tmp_path)
    assert measured.gigabits > 0
    assert (measured.size < 1420) is (host in {PLAIN, WATCH_PLAIN})
    assert (measured.decision > 0) is (host in {WATCH, WATCH_PLAIN})
    assert measured.decision < measured.seconds


def test_of_all_hosts_that_are_measured_a_table_is_made() -> None:
    one = Measured(gigabits=1.0, packets=100, size=1000.0, seconds=0.01, decision=0.001)
    lines = list(table(dict.fromkeys(combinations(), one)))
    assert len(lines) == 2 + 2 * 3 + 2 * 2
    assert lines[2:4] == [
        "| upload | bare, offload | 1.00 | 1.00 |  | 1,000 | 100.0 µs |  |",
        "| upload | host, offload | 1.00 | 1.00 | 1.0 | 1,000 | 100.0 µs | 10.0% |",
    ]


def test_a_quick_comparison_has_no_watch_and_no_translation() -> None:
    one = Measured(gigabits=1.0, packets=100, size=1000.0, seconds=0.01, decision=0.0)
    lines = list(table(dict.fromkeys(combinations(quick=True), one)))
    assert len(lines) == 2 + 2 * 3
    assert lines[3] == "| upload | host, offload | 1.00 | 1.00 | 1.0 | 1,000 | 100.0 µs |  |"
