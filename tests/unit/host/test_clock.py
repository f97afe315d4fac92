"""A clock that has been set is noticed before its time is used."""

from firezone_filter.host.clock import Clock, since_boot


class Machine:
    """A machine with two clocks, which stands still when a test says so."""

    def __init__(self) -> None:
        self.wall = 1_000.0
        self.steady = 50.0
        self.stalls: list[float] = []
        self.steps: list[tuple[float, float]] = []
        self.clock = Clock(lambda now, by: self.steps.append((now, by)), self._wall, self._steady)

    def _wall(self) -> float:
        return self.wall

    def _steady(self) -> float:
        if self.stalls:
            self.go_on(self.stalls.pop())
        return self.steady

    def go_on(self, seconds: float) -> None:
        self.wall += seconds
        self.steady += seconds


def test_time_that_passes_is_no_step() -> None:
    machine = Machine()
    machine.go_on(1e6)
    assert (machine.clock(), machine.steps) == (1_001_000.0, [])


def test_a_step_is_said_once_and_before_the_time_is_used() -> None:
    machine = Machine()
    for seconds, expected in ((3_600.0, 4_600.0), (-3_602.0, 998.0)):
        machine.wall += seconds
        assert machine.clock() == expected
        assert machine.steps.pop() == (expected, seconds)
        assert (machine.clock(), machine.steps) == (expected, [])


def test_small_steps_are_one_when_they_have_come_to_something() -> None:
    machine = Machine()
    for _ in range(3):
        machine.wall += 0.5
        machine.clock()
    assert machine.steps == [(1_001.5, 1.5)]


def test_a_machine_that_stands_still_has_not_been_set() -> None:
    machine = Machine()
    # Between the two looks, and once more while it looks again.
    machine.stalls = [5.0, 0.0, 5.0]
    assert (machine.clock(), machine.steps) == (1_010.0, [])


def test_one_that_always_stands_still_is_not_looked_at_for_ever() -> None:
    machine = Machine()
    machine.stalls = [5.0] * 30
    assert (machine.clock(), len(machine.stalls)) == (1_100.0, 9)


def test_the_clock_of_the_machine_goes_on() -> None:
    steps: list[float] = []
    before = since_boot()
    clock = Clock(lambda now, _: steps.append(now))
    assert (clock() <= clock(), before <= since_boot(), steps) == (True, True, [])
