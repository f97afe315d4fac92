"""The comparison of the example host with and without decisions still works."""

import shutil

import pytest

from benches.tun_gateway.__main__ import HOSTS, measure

pytestmark = pytest.mark.skipif(shutil.which("iperf3") is None, reason="iperf3 is not installed")


@pytest.mark.usefixtures("able")
@pytest.mark.parametrize("host", HOSTS)
def test_a_host_is_measured(host: str) -> None:
    measured = measure(host, "upload", seconds=1)
    assert measured.packets > measured.megabits > 0
    assert (measured.decision is not None) is (host == "with a watch")
    assert (measured.decision or 0) < measured.cost
