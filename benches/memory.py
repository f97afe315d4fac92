"""What things cost in memory, each measured in a process of its own. Linux only: reads /proc.

No measure is the whole: the resident set counts what the C part of py-radix takes and what
the allocator wastes, tracemalloc only what Python asked for. For a million packets tracemalloc
would take a minute; how many blocks Python has in use costs nothing to know.
"""

import gc
import os
import sys
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Final, TypeVar
from uuid import UUID

from benches.scenes import (
    FILTERS,
    GATEWAY,
    NOW,
    OUTBOUND,
    Scan,
    addresses_of,
    gateway_with_mallory,
    network,
)
from firezone_filter import CidrResource, Gateway

T = TypeVar("T")

_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


def resident() -> int:
    """Return the bytes of this process that are in memory."""
    gc.collect()
    return in_memory()


def in_memory() -> int:
    """Return the same without a look at what could be given back."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE


def traced() -> int:
    """Return the bytes that Python has asked for since this was called first."""
    if not tracemalloc.is_tracing():
        tracemalloc.start()
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def blocks() -> int:
    """Return how many blocks of memory Python has in use."""
    gc.collect()
    return sys.getallocatedblocks()


Measuring = Callable[[], int]


def alone(function: Callable[..., T], *arguments: object) -> T:
    """Call a function in a process of its own, and return its result.

    What one measurement has given back, the next would take again unseen.
    """
    fresh = get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=fresh) as processes:
        return processes.submit(function, *arguments).result()


# --- Clients -----------------------------------------------------------------------------


def shared(_: int) -> CidrResource:
    """Return the resource that all clients share."""
    return _SHARED


def own(number: int) -> CidrResource:
    """Return a resource that one client alone has."""
    return CidrResource(str(UUID(int=number)), network(number), FILTERS)


_SHARED = own(0)


def bytes_a_client(
    clients: int, resource: Callable[[int], CidrResource], measure: Measuring
) -> float:
    """Connect clients, each with both addresses and one resource, and no traffic."""
    before = measure()
    gateway = Gateway(GATEWAY)
    for number in range(clients):
        client_id = str(UUID(int=number))
        gateway.client_connected(client_id, addresses_of(number), NOW)
        gateway.authorize(client_id, resource(number))
    return (measure() - before) / clients


# --- A scan ------------------------------------------------------------------------------


def measured_during_a_scan(scan: Scan, flows: int, measure: Measuring) -> tuple[int, int]:
    """Return how much the process has when a tenth of a scan is done, and at its end."""
    early = measure()
    gateway = gateway_with_mallory()
    for place, probe in enumerate(scan.probes(flows)):
        assert gateway.handle_packet(OUTBOUND, probe, NOW).allowed is scan.is_permitted
        if place == flows // 10:
            early = measure()
    return early, measure()
