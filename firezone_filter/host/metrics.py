"""The gateway's counters over HTTP, for Prometheus, on this machine only."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

from attrs import asdict

from firezone_filter import Gateway, prometheus_text
from firezone_filter.host.tun import Losses

_PATIENCE: Final = 5.0  # seconds that a client may take over its request
_MOST: Final = 16
"""Connections at a time. Each has a file, and whoever is on this machine may open them: a gateway
that has no file left ends."""
_NAME: Final = "firezone_filter_gateway_lost_packets_total"

_HEADERS: Final = (
    "HTTP/1.1 200 OK\r\n"
    "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
    "Content-Length: {length}\r\n"
    "Connection: close\r\n\r\n"
)


def losses_text(losses: Mapping[str, Losses]) -> str:
    """Return the losses at each device, as Prometheus reads them."""
    lines = [f"# HELP {_NAME} Packets that were lost at a device.", f"# TYPE {_NAME} counter"]
    for device, lost in losses.items():
        for cause, number in asdict(lost).items():
            lines.append(f'{_NAME}{{device="{device}",cause="{cause}"}} {number}')
    return "".join(f"{line}\n" for line in lines)


def _nothing() -> str:
    return ""


async def serve_metrics(
    gateway: Gateway,
    losses: Mapping[str, Losses],
    port: int,
    others: Callable[[], str] = _nothing,
) -> asyncio.Server:
    """Serve the counters at every path of http://127.0.0.1:*port*.

    *others* returns lines of further counters.

    Raises:
        OSError: the port is in use.
    """
    waiting = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal waiting
        waiting += 1
        # A client that misbehaves is left alone; it gets nothing, and disturbs nobody.
        # (TimeoutError is an OSError, IncompleteReadError an EOFError.)
        with suppress(OSError, EOFError, asyncio.LimitOverrunError):
            if waiting > _MOST:
                raise ConnectionRefusedError
            async with asyncio.timeout(_PATIENCE):
                await reader.readuntil(b"\r\n\r\n")
                text = prometheus_text(gateway.counters()) + losses_text(losses) + others()
                writer.write((_HEADERS.format(length=len(text)) + text).encode())
                await writer.drain()
        writer.close()
        waiting -= 1

    return await asyncio.start_server(answer, "127.0.0.1", port)
