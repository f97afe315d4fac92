"""What the resource host serves: HTTP on some ports, and an echo of UDP datagrams.

    python -m tests.e2e.resource ADDRESS …

- `GET /` tells by which name the host was asked, and where from;
- `GET /trickle/N`, and whatever is behind it, gives N bytes, about 100,000 a second;
- `PUT` takes what it is given, and tells how much that was.
"""

import contextlib
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HTTP_PORTS = (80, 8080)
ECHO_PORT = 4000
CLOSED_PORT = 4009

PIECE = bytes(range(256)) * 40
PIECES_A_SECOND = 10


class Handler(BaseHTTPRequestHandler):
    """Answers, and logs nothing."""

    def do_GET(self) -> None:
        match self.path.split("/"):
            case ["", "trickle", size, *_]:
                self._trickle(int(size))
            case _:
                client = self.client_address[0].removeprefix("::ffff:")
                self._say(f"{self.headers['Host']} asked from {client}")

    def do_PUT(self) -> None:
        length, taken = int(self.headers["Content-Length"]), 0
        while taken < length and (piece := self.rfile.read(min(65_536, length - taken))):
            taken += len(piece)
        self._say(f"{taken} bytes")

    def _trickle(self, size: int) -> None:
        self._begin(size)
        with contextlib.suppress(OSError):  # the client, or its permission, has gone
            while size > 0:
                self.wfile.write(PIECE[:size])
                size -= len(PIECE)
                time.sleep(1 / PIECES_A_SECOND)

    def _say(self, text: str) -> None:
        self._begin(len(text))
        self.wfile.write(text.encode())

    def _begin(self, size: int) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(size))
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    """Serves IPv4 and IPv6 at one socket."""

    address_family = socket.AF_INET6
    daemon_threads = True
    request_queue_size = 64


def echo(address: str) -> None:
    """Send datagrams back to where they came from."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.bind((address, ECHO_PORT))
        while True:
            sock.sendto(*sock.recvfrom(65_535))


def main() -> None:
    """Serve until killed."""
    for port in HTTP_PORTS:
        server = Server(("::", port), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
    echoes = [threading.Thread(target=echo, args=(address,)) for address in sys.argv[1:]]
    for thread in echoes:
        thread.start()
    print("serving", flush=True)  # noqa: T201 - somebody waits for it
    for thread in echoes:
        thread.join()


if __name__ == "__main__":
    main()
