"""What both programs have in common: a log of JSON lines, and a loop that signals end."""

import asyncio
import logging
import signal
import sys
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from firezone_filter import JsonFormatter


class Readable(Protocol):
    """What an event loop can wait for."""

    def fileno(self) -> int:
        """Return a file descriptor."""


def log_to_stdout() -> None:
    """Log as Firezone does: one JSON object a line."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def work(readers: Mapping[Readable, Callable[[], None]]) -> asyncio.Future[None]:
    """Call each reader whenever there is something to read, from now on.

    Returns:
        What SIGTERM and SIGINT complete. So does an error that nobody has foreseen, in a
        reader or anywhere else in the loop: better no gateway than one that goes on somehow.
    """
    loop = asyncio.get_running_loop()
    stopped: asyncio.Future[None] = loop.create_future()

    def stop() -> None:
        if not stopped.done():
            stopped.set_result(None)

    def fail(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if not stopped.done():
            stopped.set_exception(context.get("exception") or RuntimeError(context["message"]))

    loop.set_exception_handler(fail)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    for file, reader in readers.items():
        loop.add_reader(file, reader)
    return stopped
