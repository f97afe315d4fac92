"""Cleans up after a network when whoever has made it is gone, by whatever end.

    python -m tests.e2e.janitor TOKEN

It waits until nobody holds its standard input any more, which the kernel sees to, `kill -9`
included. (A test runner of several processes kills those that do not end in time.) Then it removes
everything that has the token in its name: namespaces, what runs in them and what is in them, and
the files that belong to them.
"""

import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import IO, Final

from tests.e2e.programs import LONGEST, ROOT, python, run

FILES_OF_NAMESPACES: Final = Path("/etc/netns")
"""What `ip netns exec` lays over files of /etc, in a folder for each namespace."""

WIREGUARD: Final = Path("/var/run/wireguard")
"""Where a WireGuard in user space has a socket for each device."""


class Janitor:
    """A janitor for one token, at work in the background."""

    def __init__(self, token: str) -> None:
        # In a session of its own: Ctrl-C is not for it.
        self._process = subprocess.Popen(
            python("tests.e2e.janitor", token),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=ROOT,
            start_new_session=True,
        )

    def clean(self) -> None:
        """Let it clean up now, and wait for that.

        Raises:
            RuntimeError: something is left.
        """
        says, _ = self._process.communicate(timeout=LONGEST)
        if self._process.returncode:
            raise RuntimeError(f"something is left: {says}")


def remove(namespace: str) -> None:
    """Remove a namespace, with all devices and all that still runs in it."""
    for pid in run("ip", "netns", "pids", namespace).stdout.split():
        run("kill", "-KILL", pid)
    run("ip", "netns", "del", namespace)


def left(token: str) -> str:
    """Return what there is of a network, a line each."""
    listed = run("ip", "netns", "list").stdout + run("ip", "-oneline", "link").stdout
    files = [
        path for place in (FILES_OF_NAMESPACES, WIREGUARD) for path in place.glob(f"*{token}*")
    ]
    lines = [*listed.splitlines(), *map(str, files)]
    return "\n".join(line for line in lines if token in line)


def clean(token: str) -> None:
    """Remove everything that has *token* in its name."""
    for line in run("ip", "netns", "list").stdout.splitlines():
        name = line.split()[0]
        if token in name:
            remove(name)
    for socket in WIREGUARD.glob(f"*{token}*"):
        socket.unlink(missing_ok=True)
    for files in FILES_OF_NAMESPACES.glob(f"*{token}*"):
        shutil.rmtree(files)
    with suppress(OSError):  # there are others', or none at all
        FILES_OF_NAMESPACES.rmdir()


def main(token: str, held: IO[str]) -> int:
    """Wait, clean up, and say what is left; return an exit status."""
    held.read()
    clean(token)
    says = left(token)
    sys.stdout.write(says)
    return bool(says)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.stdin))
