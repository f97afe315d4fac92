"""Programs in network namespaces: started, waited for and ended, whatever happens."""

import contextlib
import ctypes
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self, TypeVar

T = TypeVar("T")

ROOT = Path(__file__).parents[2]

PATIENCE = 20.0
"""Seconds after which something that should have happened has not. Generous: a test that
waits for it does not pass by being quick."""

LONGEST = 60.0
"""Seconds after which a program that was run is killed."""


def wait_for(what: str, look: Callable[[], T], patience: float = PATIENCE) -> T:
    """Look until there is something to see, and return it."""
    give_up_at = time.monotonic() + patience
    while not (found := look()):
        if time.monotonic() > give_up_at:
            raise TimeoutError(f"waited in vain for {what}")
        time.sleep(0.01)
    return found


class Program:
    """A program that runs in a namespace. Use it with `with`: at the end it is killed."""

    def __init__(self, namespace: str, command: tuple[str, ...], output: Path) -> None:
        self.output = output
        with output.open("wb") as file:
            self._process = subprocess.Popen(
                ("ip", "netns", "exec", namespace, *command),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
            )
        self.pid = self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait(PATIENCE)

    def send_signal(self, number: int) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    def end(self, number: int, patience: float = PATIENCE) -> int:
        """Send a signal that ends it, and return its exit status."""
        self._process.send_signal(number)
        return self.wait(patience)

    def wait(self, patience: float = LONGEST) -> int:
        """Wait for its end, and return its exit status."""
        return self._process.wait(patience)

    def is_asleep(self) -> bool:
        """Tell whether it waits for something to do; one that has to do does not, however late."""
        state = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state == "S"

    def text(self) -> str:
        """Return what it has said so far."""
        return self.output.read_text(errors="replace")

    def _ended(self) -> bool:
        """Return `False`, but raise if it has ended: nothing more will come."""
        if self._process.poll() is not None:
            raise RuntimeError(f"ended: {self.text()}")
        return False

    def says(self, text: str) -> None:
        """Wait until it has said *text*."""

        wait_for(repr(text), lambda: text in self.text() or self._ended())


class Logging(Program):
    """A program that logs JSON lines."""

    def lines(self, message: str = "") -> list[dict[str, Any]]:
        """Return the whole lines that it has logged, or those with a message that contains."""
        whole = self.text().rpartition("\n")[0].splitlines()
        lines = [json.loads(line) for line in whole if line.startswith("{")]
        return [line for line in lines if message in line["message"]]

    def logs(self, message: str, count: int = 1) -> list[dict[str, Any]]:
        """Wait until it has logged *message* so many times, and return these lines."""

        what = f"{count} lines {message!r}"
        wait_for(what, lambda: len(self.lines(message)) >= count or self._ended())
        return self.lines(message)


def python(module: str, *arguments: str) -> tuple[str, ...]:
    """Return the command that runs a module of this project."""
    return (sys.executable, "-m", module, *arguments)


def run(*command: str, timeout: float = LONGEST) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, whatever that is; standard error is in its output."""
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=timeout,
        check=False,
        cwd=ROOT,
    )


def must(*command: str) -> None:
    """Run a program that has to succeed."""
    done = run(*command)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stdout}")


@contextlib.contextmanager
def inside(namespace: str) -> Iterator[None]:
    """Open sockets in *namespace*; they stay in it afterwards."""
    libc = ctypes.CDLL(None, use_errno=True)  # os.setns came with Python 3.12

    def enter(fd: int) -> None:
        if libc.setns(fd, 0):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    # The thread's own: another thread may be in another namespace.
    with (
        Path("/proc/thread-self/ns/net").open() as ours,
        Path("/run/netns", namespace).open() as theirs,
    ):
        enter(theirs.fileno())
        try:
            yield
        finally:
            enter(ours.fileno())
