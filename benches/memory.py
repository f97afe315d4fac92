"""What clients cost in memory: `python -m benches.memory`. Linux only, as it reads /proc.

Two measures, since neither is the whole: the resident set counts what the C part of
py-radix takes and what the allocator wastes, tracemalloc only what Python asked for.
"""

import gc
import os
import sys
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Final
from uuid import UUID

from benches.scenes import (
    FILTERS,
    GATEWAY,
    MALLORY,
    NOW,
    OUTBOUND,
    V4,
    addresses_of,
    network,
    scan,
)
from firezone_filter import CidrResource, Gateway

CLIENTS: Final = 50_000
SCANNED: Final = 1_000_000
_TARGET: Final = 4_096
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


def resident() -> int:
    """Return the bytes of this process that are in memory."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE


def traced() -> int:
    """Return the bytes that Python has asked for since tracing began."""
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def shared(_: int) -> CidrResource:
    """Return the resource that all clients share."""
    return _SHARED


def own(number: int) -> CidrResource:
    """Return a resource that one client alone has."""
    return CidrResource(str(UUID(int=number)), network(number), FILTERS)


_SHARED = own(0)


def bytes_a_client(resource: Callable[[int], CidrResource], measure: Callable[[], int]) -> float:
    """Connect clients, each with both addresses and one resource, and no traffic."""
    if measure is traced:
        tracemalloc.start()
    gateway = Gateway(GATEWAY)
    before = measure()
    for number in range(CLIENTS):
        client_id = str(UUID(int=number))
        gateway.client_connected(client_id, addresses_of(number), NOW)
        gateway.authorize(client_id, resource(number))
    return (measure() - before) / CLIENTS


def bytes_of_a_scan(measure: Callable[[], int]) -> tuple[int, int]:
    """Return what a scan by one client has taken when it is a tenth done, and at its end."""
    if measure is traced:
        tracemalloc.start()
    gateway = Gateway(GATEWAY)
    gateway.client_connected("mallory", MALLORY, NOW)
    gateway.authorize("mallory", V4.resource())
    before, early = measure(), 0
    for place, probe in enumerate(scan(V4, str(MALLORY.ipv4), SCANNED)):
        assert gateway.handle_packet(OUTBOUND, probe).allowed
        if place == SCANNED // 10:
            early = measure() - before
    return early, measure() - before


def main() -> None:
    write = sys.stdout.write
    # A process for each: what one has given back, the next would take again unseen.
    fresh = get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=fresh, max_tasks_per_child=1) as processes:
        write(f"bytes a client, {CLIENTS:,} clients (target: at most {_TARGET:,})\n")
        for name, resource in (("a shared resource", shared), ("a resource of its own", own)):
            for measure in (resident, traced):
                took = processes.submit(bytes_a_client, resource, measure).result()
                write(f"  {name}, {measure.__name__}: {took:,.0f}\n")
        write(f"a scan of {SCANNED:,} flows, when a tenth is done, and at its end\n")
        for measure in (resident, traced):
            early, late = processes.submit(bytes_of_a_scan, measure).result()
            write(f"  {measure.__name__}: {early / 1024:,.0f} KiB, {late / 1024:,.0f} KiB\n")


if __name__ == "__main__":
    main()
