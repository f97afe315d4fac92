"""The fuzzer's way of reading bytes, without the fuzzer; and the fuzzer for a short while."""

import importlib.util
import os
import random
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import ModuleType

import dpkt
import pytest

from firezone_filter.testing import tcp, udp
from tests.fuzz import fuzz_gateway, interpret
from tests.scenes import V4, Family, both_families

RUNS = 2_000


def capture(path: Path, frames: list[bytes], link: int = dpkt.pcap.DLT_RAW) -> None:
    with path.open("wb") as file:
        writer = dpkt.pcap.Writer(file, linktype=link)
        for frame in frames:
            writer.writepkt(frame, ts=1.0)


def test_random_inputs_tell_stories_without_a_difference(*, thorough: bool) -> None:
    draw = random.Random(1)

    for _ in range(400 if thorough else 50):
        interpret.run(draw.randbytes(2_000))


def test_captured_packets_tell_stories_without_a_difference() -> None:
    for seed in interpret.seeds(interpret.CAPTURES):
        interpret.run(seed)


@both_families
@pytest.mark.parametrize(("link", "before"), [(dpkt.pcap.DLT_RAW, 0), (dpkt.pcap.DLT_EN10MB, 14)])
def test_a_seed_hands_in_what_was_captured_both_ways(
    tmp_path: Path, family: Family, link: int, before: int
) -> None:
    packet = tcp("9.9.9.9:1 > 8.8.8.8:2") if family is V4 else udp("[fd01::1]:1 > [fd01::2]:2")
    capture(tmp_path / "some.pcap", [bytes(before) + packet, b"", bytes(3_000)], link)

    (seed,) = interpret.seeds(tmp_path)
    tally = interpret.tell(seed).twins.tally

    handed = [what for what in tally if what.startswith(("outbound", "inbound"))]
    assert {what.partition(" ")[0] for what in handed} == {"outbound", "inbound"}
    assert sum(tally[what] for what in handed) == 2


def test_a_client_of_a_captured_packet_is_at_its_near_end() -> None:
    four, six = tcp("9.9.9.9:1 > 8.8.8.8:2"), udp("[fd01::1]:1 > [fd01::2]:2")

    assert interpret.aimed(four, 0, inbound=False)[12:16] == bytes([100, 64, 0, 2])
    assert interpret.aimed(four, 2, inbound=True)[16:20] == bytes([100, 64, 0, 4])
    assert interpret.aimed(six, 0, inbound=False)[8:24].hex() == "fd0020211111" + 19 * "0" + "2"
    assert interpret.aimed(six, 2, inbound=True)[24:40].hex() == "fd0020211111" + 19 * "0" + "4"


class FakeFuzzer(ModuleType):
    """Atheris as `main` uses it."""

    def __init__(self) -> None:
        super().__init__("atheris")
        self.arguments: list[str] = []
        self.fuzzed = False

    def instrument_imports(self, include: list[str]) -> AbstractContextManager[None]:
        assert include == ["firezone_filter"]
        return nullcontext()

    def Setup(self, arguments: list[str], run: Callable[[bytes], None]) -> None:  # noqa: N802
        assert run is interpret.run
        self.arguments = arguments

    def Fuzz(self) -> None:  # noqa: N802
        self.fuzzed = True


def test_the_fuzzer_begins_with_the_seeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    capture(tmp_path / "some.pcap", [tcp("9.9.9.9:1 > 8.8.8.8:2")])
    monkeypatch.setattr(interpret, "CAPTURES", tmp_path)
    monkeypatch.setattr(fuzz_gateway, "mkdtemp", lambda prefix: str(tmp_path / prefix[:0]))
    fuzzer = FakeFuzzer()

    fuzz_gateway.main(["fuzz", "-runs=1"], fuzzer)

    assert fuzzer.fuzzed
    assert fuzzer.arguments == ["fuzz", "-runs=1", str(tmp_path)]
    assert list(interpret.seeds(tmp_path)) == [(tmp_path / "seed-0").read_bytes()]


def test_the_fuzzer_runs_a_named_input_again() -> None:
    fuzzer = FakeFuzzer()

    fuzz_gateway.main(["fuzz", "crash-1"], fuzzer)

    assert fuzzer.arguments == ["fuzz", "crash-1"]


@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris is not installed")
def test_a_short_search_finds_no_difference(tmp_path: Path) -> None:  # pragma: no cover
    command = [sys.executable, fuzz_gateway.__file__, f"-runs={RUNS}", "-max_total_time=15"]

    done = subprocess.run(  # noqa: S603 - the arguments are ours
        command,
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 0, done.stderr
