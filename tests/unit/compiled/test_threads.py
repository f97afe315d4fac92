"""Gateways in threads of their own do not disturb each other, in either build.

(One gateway is for one thread at a time.) The extension module needs the GIL; on a build of
Python without it, importing the module turns it on.
"""

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from firezone_filter import Decision
from tests.fuzz.hostile import BASES, CLIENTS, OPTIONS, STEPS, gateway_with_flows
from tests.scenes import INBOUND, OUTBOUND

ROUNDS = 40
THREADS = 4


@pytest.fixture
def _hurry() -> Iterator[None]:
    """Let threads take turns after every few instructions."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


def tell(number: int, begin: Barrier) -> list[Decision]:
    """Hand all packets to a gateway in an order of its own, by all three methods."""
    begin.wait()
    gateway = gateway_with_flows(OPTIONS[number % len(OPTIONS)])
    said: list[Decision] = []
    for turn in range(ROUNDS):
        now = 10.0 * turn + STEPS[(turn + number) % 2]
        packets = BASES[(turn + number) % len(BASES) :]
        for packet in packets:
            said.append(gateway.handle_packet(OUTBOUND, packet, now, CLIENTS[turn % 3]))
            said.append(gateway.handle_packet(INBOUND, packet, now))
        said += gateway.handle_packets(INBOUND, packets, now)
        ways, nows = [OUTBOUND, INBOUND] * len(packets), [now + 1.0, None] * len(packets)
        size = len(packets)
        said += gateway.handle_batch(ways[:size], packets, nows[:size])
    return said


@pytest.mark.usefixtures("_hurry")
def test_gateways_in_threads_decide_as_they_do_alone() -> None:
    alone = [tell(number, Barrier(1)) for number in range(THREADS)]
    together = Barrier(THREADS)
    with ThreadPoolExecutor(THREADS) as pool:
        told = [pool.submit(tell, number, together) for number in range(THREADS)]
    assert [one.result() for one in told] == alone
    assert all(any(one.allowed for one in said) for said in alone)
