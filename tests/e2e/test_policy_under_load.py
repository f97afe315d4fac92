"""The policy changes five times a second, while it lets clients come, go and download."""

import itertools
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime

from attrs import frozen

from tests.e2e.capture import Seen
from tests.e2e.network import FILES, OTHER
from tests.e2e.policies import Json, cidr, policy, tcp, udp
from tests.e2e.resource import ECHO_PORT
from tests.e2e.site import Site
from tests.e2e.talk import CURL, datagrams, stateful_or_not, url

CHANGES = 100
INTERVAL = 0.2
DOWNLOADS = 20
SIZE = 2_200_000  # lasts as long as the policy changes


@frozen
class Times:
    """When a policy held, at least."""

    first: float
    """When the gateway had read it."""

    last: float
    """When the next one was written."""

    def __contains__(self, seen: Seen) -> bool:
        return self.first <= seen.time <= self.last


def policies(number: int) -> Json:
    """Return a policy: downloads always, the other host every second time, Bob mostly."""
    files = cidr("files", FILES[0], tcp(80))
    other = cidr("other", OTHER[0], udp(ECHO_PORT))
    clients = {"alice": [files, other] if number % 2 else [files]}
    return policy(**clients) if number % 15 == 14 else policy(**clients, bob=[files])


@contextmanager
def questions(sock: socket.socket) -> Iterator[None]:
    """Send a datagram every 4 ms; nobody waits for the answers, which come all the same."""
    stop = threading.Event()

    def ask() -> None:
        for number in itertools.count():
            if stop.wait(0.004):
                return
            with suppress(OSError):  # "prohibited": of the one before
                sock.send(b"question %d" % number)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def change_policies(site: Site) -> list[Times]:
    """Change the policy for a while; return when the other host was not permitted."""
    read, written = [], []
    start = time.monotonic()
    for number in range(CHANGES):
        time.sleep(max(0.0, start + number * INTERVAL - time.monotonic()))
        written.append(time.time())
        site.authorize(policies(number))
        line = site.gateway.lines("Policy read")[-1]
        read.append(datetime.fromisoformat(line["time"]).timestamp())
    return [Times(*times) for times in zip(read[::2], written[1::2], strict=True)]


@stateful_or_not
def test_what_is_permitted_finishes_and_what_is_not_never_passes(
    site: Site, options: tuple[str, ...]
) -> None:
    site.start_gateway(policies(0), *options)
    site.authorize(policies(0))
    end_of_alice = site.network.tunnel.end_of_alice
    to_other = site.capture("gateway", "net", "udp and dst", OTHER[0])
    to_alice = site.capture("gateway", end_of_alice, "udp and src", OTHER[0])
    at_once = ("-Z", "--parallel-immediate", "--parallel-max", str(DOWNLOADS))
    curl = (*CURL, "--no-progress-meter", *at_once, "-o", "/dev/null")
    where = url(FILES[0], path=f"/trickle/{SIZE}/[1-{DOWNLOADS}]")
    downloads = site.start("alice", *curl, "-w", "%{size_download}\n", where)
    with datagrams(site.network["alice"], OTHER[0], ECHO_PORT) as sock, questions(sock):
        forbidden = change_policies(site)
    assert (downloads.wait(), downloads.text().split()) == (0, [str(SIZE)] * DOWNLOADS)
    for capture in (to_other, to_alice):
        packets = capture.packets()
        assert [seen for seen in packets if any(seen in times for times in forbidden)] == []
        assert len(packets) > CHANGES
    # Alice has had one session all the time, and Bob a new one whenever he came back.
    came = Counter(line["cid"] for line in site.gateway.lines("Client connected"))
    assert came == {"alice": 1, "bob": 1 + CHANGES // 15}
    assert site.gateway.end(signal.SIGTERM) == 0
    assert [line for line in site.gateway.lines() if line["severity"] == "ERROR"] == []
