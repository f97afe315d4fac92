"""What may take long: its result, its error, and that nobody has to wait for it."""

import asyncio
import threading

import pytest

from firezone_filter.host.aside import aside


def test_it_returns_and_raises_what_the_work_does() -> None:
    assert asyncio.run(aside(lambda: 7, 60)) == 7
    with pytest.raises(ValueError, match="seven"):
        asyncio.run(aside(lambda: int("seven"), 60))


def test_nobody_waits_for_what_hangs() -> None:
    go_on, threads = threading.Event(), set(threading.enumerate())
    with pytest.raises(TimeoutError, match=r"^it takes longer than 0\.01 seconds$"):
        asyncio.run(aside(go_on.wait, 0.01))
    (left,) = set(threading.enumerate()) - threads
    # The loop is closed by now, and nobody hears of it.
    go_on.set()
    left.join()
    assert left.daemon
