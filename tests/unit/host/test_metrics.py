"""The counters, and the losses at devices beside them, on a page for Prometheus."""

import asyncio

import pytest

from firezone_filter import Gateway, TunnelAddresses
from firezone_filter.host import metrics
from firezone_filter.host.metrics import losses_text, serve_metrics
from firezone_filter.host.tun import Losses

GATEWAY = Gateway(TunnelAddresses("100.64.0.1"))


def test_losses_have_their_device_and_their_cause() -> None:
    assert losses_text({"ff-out": Losses(3, 4, 5), "ff-in": Losses()}) == (
        "# HELP firezone_filter_gateway_lost_packets_total Packets that were lost at a device.\n"
        "# TYPE firezone_filter_gateway_lost_packets_total counter\n"
        'firezone_filter_gateway_lost_packets_total{device="ff-out",cause="full"} 3\n'
        'firezone_filter_gateway_lost_packets_total{device="ff-out",cause="failed"} 4\n'
        'firezone_filter_gateway_lost_packets_total{device="ff-out",cause="odd"} 5\n'
        'firezone_filter_gateway_lost_packets_total{device="ff-in",cause="full"} 0\n'
        'firezone_filter_gateway_lost_packets_total{device="ff-in",cause="failed"} 0\n'
        'firezone_filter_gateway_lost_packets_total{device="ff-in",cause="odd"} 0\n'
    )


def test_the_page_is_served_and_who_asks_nothing_gets_nothing() -> None:
    async def ask(question: bytes) -> bytes:
        server = await serve_metrics(GATEWAY, {"ff-in": Losses()}, 0)
        address = server.sockets[0].getsockname()
        reader, writer = await asyncio.open_connection(*address)
        writer.write(question)
        writer.write_eof()
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()
        return answer

    head, _, page = asyncio.run(ask(b"GET / HTTP/1.1\r\n\r\n")).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert f"Content-Length: {len(page)}\r\n".encode() in head
    assert page.endswith(b'{device="ff-in",cause="odd"} 0\n')
    assert asyncio.run(ask(b"GET /")) == b""


def test_so_many_may_wait_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "_MOST", 1)

    async def story() -> None:
        server = await serve_metrics(GATEWAY, {}, 0)
        address = server.sockets[0].getsockname()
        first, asks = await asyncio.open_connection(*address)
        second, asks_too = await asyncio.open_connection(*address)
        assert await second.read() == b""
        asks.write(b"GET / HTTP/1.1\r\n\r\n")
        assert (await first.read()).startswith(b"HTTP/1.1 200 OK\r\n")
        for writer in (asks, asks_too):
            writer.close()
            await writer.wait_closed()
        server.close()
        await server.wait_closed()

    asyncio.run(story())
