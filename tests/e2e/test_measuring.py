"""The comparisons of hosts, with and without decisions and offload, still work."""

import shutil

import pytest

from benches.offload import (
    BARE,
    FILTER,
    HOST,
    HOST_PLAIN,
    PLAIN,
    Measured,
    combinations,
    measure,
    table,
)

pytestmark = pytest.mark.skipif(shutil.which("iperf3") is None, reason="iperf3 is not installed")


@pytest.mark.usefixtures("able")
@pytest.mark.parametrize(
    ("transfer", "relay"),
    [
        ("upload", BARE),
        ("upload", PLAIN),
        ("download", FILTER),
        ("upload, translated", "watch, offload"),
        ("upload", HOST_PLAIN),
        ("download, translated", HOST),
    ],
)
def test_relays_and_hosts_are_measured(transfer: str, relay: str) -> None:
    assert (transfer, relay) in combinations()
    measured = measure(transfer, relay, seconds=1)
    assert measured.gigabits > 0
    assert (measured.size < 1420) is (relay in {PLAIN, HOST_PLAIN})
    assert (measured.decision > 0) is (relay == "watch, offload")
    assert measured.decision < measured.seconds


def test_of_all_relays_that_are_measured_a_table_is_made() -> None:
    one = Measured(gigabits=1.0, packets=100, size=1000.0, seconds=0.01, decision=0.001)
    lines = list(table(dict.fromkeys(combinations(), one)))
    assert len(lines) == 2 + 2 * 5 + 2 * 4
    assert (
        lines[3] == "| upload | filter, offload | 1.00 | 1.00 | 1.0 | 1,000 | 100.0 µs | 10.0% |"
    )


def test_a_quick_comparison_is_of_the_host_and_a_bare_relay() -> None:
    one = Measured(gigabits=1.0, packets=100, size=1000.0, seconds=0.01, decision=0.0)
    lines = list(table(dict.fromkeys(combinations(quick=True), one)))
    assert len(lines) == 2 + 2 * 3
    assert lines[2:4] == [
        "| upload | bare, offload | 1.00 | 1.00 |  | 1,000 | 100.0 µs |  |",
        "| upload | host, offload | 1.00 | 1.00 | 1.0 | 1,000 | 100.0 µs |  |",
    ]
