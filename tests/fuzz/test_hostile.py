"""The search with hostile bytes, without sanitizers: it reaches what it is for."""

import random
from collections import Counter
from pathlib import Path
from types import FunctionType, ModuleType

import pytest

from firezone_filter.compiled.twins import PLAIN
from tests.fuzz import hostile
from tests.fuzz.interpret import Fed


def test_the_seeds_hand_in_packets_and_calls_of_every_target_get_to_the_end() -> None:
    done = Counter(what for seed in hostile.seeds() for what in hostile.tell(seed))
    assert done["packets"] >= 2_000
    for target in hostile.TARGETS:
        assert done[target.name] >= 8, target.name


def test_calls_by_chance_get_to_the_end_of_every_target_and_sometimes_do_not() -> None:
    draw = random.Random(5)
    known = [seed for seed in hostile.seeds() if seed[1] >= 0xC0]
    done = Counter(
        what
        for _ in range(1_500)
        for what in hostile.tell(hostile.changed(draw.choice(known), draw))
    )
    for target in hostile.TARGETS:
        assert done[target.name] >= 20, target.name
    in_vain = {target.name for target in hostile.TARGETS if done[f"{target.name}, in vain"]}
    assert {target.name for target in hostile.METHODS} <= in_vain


def test_every_function_with_a_twin_is_a_target() -> None:
    functions = {name for name, plain in PLAIN.items() if isinstance(plain, FunctionType)}
    assert functions - {target.name for target in hostile.TARGETS} == set()
    for target in hostile.METHODS:
        of_class, method = target.name.split(".")
        assert method in vars(PLAIN[of_class])


def test_random_inputs_do_no_harm(*, thorough: bool) -> None:
    draw = random.Random(3)
    known = [*hostile.seeds()]
    for _ in range(4_000 if thorough else 300):
        hostile.run(hostile.changed(draw.choice(known), draw))


@pytest.mark.parametrize("change", range(16))
def test_a_packet_is_cut_continued_changed_and_given_its_length(change: int) -> None:
    for which, place in ((0, 33), (20, 50), (0xF0, 3)):
        base = hostile.BASES[which] if which < 0xF0 else b""
        fed = Fed(bytes([which, change, place, 9, *range(40, 49)]))
        packet = hostile.draw_packet(fed)
        assert len(packet) == len(base[: place if change & 1 else None]) + 9 * (change >> 1 & 1)
        assert change or packet == base


class FakeAtheris(ModuleType):
    """Atheris as `main` uses it."""

    arguments: list[str] | None = None
    fuzzed = False

    def Setup(self, arguments: list[str], run: object) -> None:  # noqa: N802
        assert run is hostile.run
        self.arguments = arguments

    def Fuzz(self) -> None:  # noqa: N802
        self.fuzzed = True


def test_the_fuzzer_begins_with_the_seeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hostile, "mkdtemp", lambda prefix: str(tmp_path / prefix[:0]))
    fuzzer = FakeAtheris("atheris")
    hostile.main(["hostile", "-runs=1"], fuzzer)
    assert fuzzer.fuzzed
    assert fuzzer.arguments == ["hostile", "-runs=1", str(tmp_path)]
    assert {path.read_bytes() for path in tmp_path.iterdir()} == set(hostile.seeds())


def test_without_the_fuzzer_seeds_are_changed_by_chance(
    capsys: pytest.CaptureFixture[str],
) -> None:
    hostile.main(["hostile", "-max_total_time=0.1"], None)
    assert int(capsys.readouterr().out.split()[0]) > 0
