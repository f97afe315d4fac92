"""The gateway's counters over HTTP, for Prometheus, on this machine only."""

import asyncio
from contextlib import suppress
from typing import Final

from firezone_filter import Gateway, prometheus_text

_PATIENCE: Final = 5.0  # seconds that a client may take over its request

_HEADERS: Final = (
    "HTTP/1.1 200 OK\r\n"
    "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
    "Content-Length: {length}\r\n"
    "Connection: close\r\n\r\n"
)


async def serve_metrics(gateway: Gateway, port: int) -> asyncio.Server:
    """Serve the counters at every path of http://127.0.0.1:*port*."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A client that misbehaves is left alone; it gets nothing, and disturbs nobody.
        # (TimeoutError is an OSError, IncompleteReadError an EOFError.)
        with suppress(OSError, EOFError, asyncio.LimitOverrunError):
            async with asyncio.timeout(_PATIENCE):
                await reader.readuntil(b"\r\n\r\n")
                text = prometheus_text(gateway.counters()).encode()
                writer.write(_HEADERS.format(length=len(text)).encode() + text)
                await writer.drain()
        writer.close()

    return await asyncio.start_server(answer, "127.0.0.1", port)
