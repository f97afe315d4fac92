"""Ctrl-C before, between and after the records of a capture."""

import signal
import threading
from collections.abc import Iterator

import pytest

from firezone_filter.capture.damage import DamagedCaptureError
from firezone_filter.cli.exit import UnusableError
from firezone_filter.cli.interruptible import Interrupts


def press_ctrl_c() -> None:
    signal.raise_signal(signal.SIGINT)


def pressed_after(*records: int, presses: int = 1) -> Iterator[int]:
    """Yield *records*, and press Ctrl-C while the next is waited for."""
    yield from records
    for _ in range(presses):
        press_ctrl_c()
    yield 99


def read(interrupts: Interrupts, records: Iterator[int]) -> list[int]:
    """Return what is read before the interrupt, of which there must be one."""
    seen: list[int] = []
    with interrupts.heeded(), pytest.raises(KeyboardInterrupt):
        seen.extend(interrupts.records(records))
    return seen


@pytest.mark.parametrize("presses", [1, 2])
def test_ctrl_c_while_a_record_is_worked_on_ends_it_before_the_next(presses: int) -> None:
    interrupts = Interrupts(reads_on=presses > 1)
    with interrupts.heeded():
        each = interrupts.records([1, 2])
        assert next(each) == 1
        for _ in range(presses):
            press_ctrl_c()
        with pytest.raises(KeyboardInterrupt):
            next(each)


@pytest.mark.parametrize("presses", [1, 2])
def test_ctrl_c_while_it_waits_ends_it_at_once(presses: int) -> None:
    assert read(Interrupts(reads_on=presses > 1), pressed_after(1, presses=presses)) == [1]


@pytest.mark.parametrize("presses", [1, 2])
def test_ctrl_c_once_more_ends_the_work_on_a_record(presses: int) -> None:
    interrupts = Interrupts(reads_on=presses > 1)
    with interrupts.heeded():
        next(interrupts.records([1]))
        for _ in range(presses):
            press_ctrl_c()
        with pytest.raises(KeyboardInterrupt):
            press_ctrl_c()


def test_the_first_ctrl_c_may_let_it_read_on_to_the_end() -> None:
    assert read(Interrupts(reads_on=True), pressed_after(1)) == [1, 99]


@pytest.mark.parametrize("end", [DamagedCaptureError("cut"), UnusableError("empty")])
def test_an_end_after_ctrl_c_is_no_damage(end: Exception) -> None:
    def cut() -> Iterator[int]:
        yield from pressed_after(1)
        raise end

    assert read(Interrupts(reads_on=True), cut()) == [1, 99]


@pytest.mark.parametrize("end", [DamagedCaptureError("cut"), UnusableError("empty")])
def test_without_ctrl_c_damage_is_damage(end: Exception) -> None:
    def fail() -> None:
        raise end

    interrupts = Interrupts(reads_on=True)
    with interrupts.heeded(), pytest.raises(type(end)):
        interrupts.wait_for(fail)


def test_afterwards_ctrl_c_is_as_before() -> None:
    before = signal.getsignal(signal.SIGINT)
    interrupts = Interrupts(reads_on=False)
    with interrupts.heeded():
        assert list(interrupts.records([1, 2])) == [1, 2]
    assert signal.getsignal(signal.SIGINT) is before


def test_another_thread_than_the_main_one_gets_the_records_all_the_same() -> None:
    seen: list[int] = []

    def read_all() -> None:
        interrupts = Interrupts(reads_on=False)
        with interrupts.heeded():
            seen.extend(interrupts.records([1, 2]))

    thread = threading.Thread(target=read_all)
    thread.start()
    thread.join()
    assert seen == [1, 2]
