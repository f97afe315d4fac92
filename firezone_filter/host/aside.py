"""Does what may take long beside the packets, and without keeping the process from ending."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import TypeVar

Result = TypeVar("Result")


async def aside(work: Callable[[], Result], patience: float) -> Result:
    """Return what *work* returns, or raise what it raises; it has a thread of its own.

    Unlike with `asyncio.to_thread` nobody waits for that thread at the end: a file system that
    hangs may keep it for ever.

    Args:
        work: what to do.
        patience: how long to wait for it, in seconds.

    Raises:
        TimeoutError: it takes longer.
    """
    loop = asyncio.get_running_loop()
    outcome: Future[Result] = Future()
    done = asyncio.Event()

    def run() -> None:
        try:
            outcome.set_result(work())
        except Exception as error:  # noqa: BLE001 - it is raised where it is waited for
            outcome.set_exception(error)
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(done.set)

    threading.Thread(target=run, name="aside", daemon=True).start()
    waiting = asyncio.ensure_future(done.wait())
    try:
        await asyncio.wait({waiting}, timeout=patience)
    finally:
        waiting.cancel()
    if not outcome.done():
        raise TimeoutError(f"it takes longer than {patience:g} seconds")
    return outcome.result()
