"""The library spreads replays as the command does."""

import os
import signal
from pathlib import Path

import pytest

from firezone_filter.policy import load_policy
from firezone_filter.replay import replay
from firezone_filter.replay.partitions import part, processes
from firezone_filter.replay.partitions.processes import ProcessTeam
from firezone_filter.testing import SYN, tcp
from tests.captures import ALLOWED, REFUSED, START_S, pcap, policy
from tests.parted import HereTeam


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    path = tmp_path / "a.pcap"
    path.write_bytes(pcap(*[ALLOWED, REFUSED] * 20))
    return path


def test_programs_get_the_same_from_workers(capture: Path) -> None:
    one, two = replay(capture, policy()), replay(capture, policy(), workers=2)
    assert two.summary == one.summary
    assert two.events == one.events
    assert list(two.packets()) == list(one.packets())
    assert two.decisions().read_all().to_pylist() == one.decisions().read_all().to_pylist()


def test_no_packet_is_sent_for_the_sake_of_columns(
    capture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Here(HereTeam):
        def places(self) -> int:
            return 2

    expected = replay(capture, policy()).decisions().read_all()
    monkeypatch.setattr(processes, "ProcessTeam", lambda *_, **__: Here())
    # What decides packet by packet sends the packets, which takes forty times as long.
    monkeypatch.delattr(part, "PacketPart")
    found = replay(capture, policy(), workers=2).decisions().read_all()
    assert found.to_pylist() == expected.to_pylist()


def test_limits_of_all_clients_together_are_said(tmp_path: Path) -> None:
    addresses = [f"100.64.0.{number}" for number in (2, 3, 4)]
    internet = {"resource": {"type": "internet", "id": "internet"}}
    ends = {"expires_at": START_S + 0.5}
    limited = load_policy(
        {
            "gateway": {"ipv4": "100.64.0.1"},
            "options": {"stateful": True, "max_flows": 1},
            "clients": [
                {
                    "id": address,
                    "ipv4": address,
                    "authorizations": [internet | expiry],
                }
                for address, expiry in zip(addresses, ({}, {}, ends), strict=True)
            ],
        }
    )
    path = tmp_path / "b.pcap"
    flows = [tcp(f"{each}:40000 > 1.1.1.1:443", flags=SYN) for each in addresses[:2]]
    path.write_bytes(pcap(*flows))
    run = replay(path, limited, workers=2)
    with pytest.warns(RuntimeWarning, match="behind 1 chunks; one process might have decided"):
        summary = run.summary
    assert summary.frames.packets == 2
    assert summary.event_count
    assert run.events == replay(path, limited).events


@pytest.mark.parametrize(
    ("workers", "scheduler", "message"),
    [
        (0, None, "from 1 to 64: 0"),
        (65, None, "from 1 to 64: 65"),
        (2, "tcp://10.0.0.9:8786", "give one"),
    ],
)
def test_what_cannot_be_is_refused(
    capture: Path, workers: int, scheduler: str | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        replay(capture, policy(), workers=workers, scheduler=scheduler)


def test_programs_are_warned_of_what_is_odd_about_workers(
    capture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle = ProcessTeam.settle

    def lost_at_first(team: ProcessTeam, number: int, order: object) -> object:
        home = settle(team, number, order)  # type: ignore[arg-type]
        if len(team.pids()) == 2 and number == 1:
            os.kill(team.pids()[-1], signal.SIGKILL)
        return home

    monkeypatch.setattr(ProcessTeam, "settle", lost_at_first)
    with pytest.warns(RuntimeWarning, match="workers were lost.* anew: 1"):
        summary = replay(capture, policy(), workers=2).summary
    assert summary == replay(capture, policy()).summary
