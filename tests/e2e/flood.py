"""Sends datagrams until it is killed, to one port of each address in turn.

python -m tests.e2e.flood PORT ADDRESS …
"""

import itertools
import socket
import sys
import time
from contextlib import suppress

PERIOD = 0.0005


def main() -> None:
    """Send."""
    port, *addresses = sys.argv[1:]
    sockets = {
        address: socket.socket(
            socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM
        )
        for address in addresses
    }
    print("flooding", flush=True)  # noqa: T201 - somebody waits for it
    for address in itertools.cycle(addresses):
        with suppress(OSError):  # its way may be gone just now
            sockets[address].sendto(b"anybody there?", (address, int(port)))
        time.sleep(PERIOD)


if __name__ == "__main__":
    main()
