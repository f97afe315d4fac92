"""Ctrl-C between two records."""

import signal
import threading
from collections.abc import Iterator

import pytest

from firezone_filter.cli.interruptible import interruptible


def press_ctrl_c() -> None:
    signal.raise_signal(signal.SIGINT)


def press_ctrl_c_at(record: int) -> None:
    assert record == 1
    press_ctrl_c()


def test_ctrl_c_while_a_record_is_worked_on_ends_it_before_the_next() -> None:
    with interruptible([1, 2]) as records:
        each = iter(records)
        press_ctrl_c_at(next(each))
        with pytest.raises(KeyboardInterrupt):
            next(each)


def test_ctrl_c_while_it_waits_ends_it_at_once() -> None:
    def waiting() -> Iterator[int]:
        yield 1
        press_ctrl_c()

    with interruptible(waiting()) as records, pytest.raises(KeyboardInterrupt):
        list(records)


def test_ctrl_c_once_more_ends_the_work_on_a_record() -> None:
    with interruptible([1]) as records:
        next(iter(records))
        press_ctrl_c()
        with pytest.raises(KeyboardInterrupt):
            press_ctrl_c()


def test_afterwards_ctrl_c_is_as_before() -> None:
    before = signal.getsignal(signal.SIGINT)
    with interruptible([1, 2]) as records:
        assert list(records) == [1, 2]
    assert signal.getsignal(signal.SIGINT) is before


def test_another_thread_than_the_main_one_gets_the_records_all_the_same() -> None:
    seen: list[int] = []

    def read() -> None:
        with interruptible([1, 2]) as records:
            seen.extend(records)

    thread = threading.Thread(target=read)
    thread.start()
    thread.join()
    assert seen == [1, 2]
