"""How every bench is timed: in rounds of many packets, its group and side on record."""

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import pytest

from benches.build import BUILD

T = TypeVar("T")

Scaled = Callable[[int], int]
"""Returns how many there are to be."""

_WARM_UP = 3

# One pass must be cheap in CI, where nothing is timed.
_QUICK = 500


class Benchmark(Protocol):
    """The part of the fixture of pytest-benchmark that is used here."""

    group: str | None
    extra_info: dict[str, object]

    def pedantic(self, target: Callable[[], Any], **options: Any) -> Any:  # noqa: ANN401
        ...


class Measure:
    """Times one side of a comparison."""

    def __init__(self, benchmark: Benchmark) -> None:
        self._benchmark = benchmark

    def __call__(  # noqa: PLR0913 - what is compared, and how it is run
        self,
        group: str,
        side: str,
        run: Callable[[], T],
        *,
        count: int,
        setup: Callable[[], None] | None = None,
        rounds: int = 400,
    ) -> T:
        """Time *run*, which does something *count* times, and return its last result.

        Args:
            group: what is compared, as `benches.report` knows it.
            side: which of those that are compared this is.
            run: a round.
            count: how many packets or calls a round has.
            setup: called before each round, outside the measured time.
            rounds: the fastest counts, so that there must be some.
        """
        self._benchmark.group = group
        self._benchmark.extra_info.update(side=side, count=count)
        result: T = self._benchmark.pedantic(
            run, setup=setup, rounds=rounds, warmup_rounds=_WARM_UP
        )
        return result

    def record(self, group: str, side: str, value: float) -> None:
        """Put on record what was measured otherwise: a ratio, or seconds for each side."""
        self._benchmark.group = group
        self._benchmark.extra_info.update(side=side, value=value)
        self._benchmark.pedantic(lambda: None)


@pytest.fixture
def measure(benchmark: Benchmark) -> Measure:
    return Measure(benchmark)


@pytest.fixture(scope="session")
def scaled(request: pytest.FixtureRequest) -> Scaled:
    """Return how many there are to be: as many as asked for, fewer where nothing is timed."""
    config = request.config
    times_nothing = config.getoption("benchmark_disable") and not config.getoption(
        "benchmark_enable"
    )
    return lambda count: min(count, _QUICK) if times_nothing else count


def pytest_benchmark_update_machine_info(machine_info: dict[str, object]) -> None:
    """Put on record which build a run measures: `benches.report` asks for it."""
    machine_info["build"] = BUILD.value


def pytest_report_header() -> str:
    return f"firezone-filter: {BUILD}"
