"""What becomes of a packet, by its direction and its decision."""

import logging

import pytest

from firezone_filter import CidrResource, DecisionLog, Gateway, Tcp, TunnelAddresses
from firezone_filter.host.host import Devices, GatewayHost
from firezone_filter.host.offload import Frame
from firezone_filter.testing import tcp

NOW = 1_000.0
ALLOWED = Frame(tcp("100.64.0.2:4000 > 10.0.0.5:443"))
REFUSED = Frame(tcp("100.64.0.2:4000 > 10.0.0.5:80"))
SPOOFED = Frame(tcp("100.64.0.9:4000 > 10.0.0.5:443"))
ANSWER = Frame(tcp("10.0.0.5:443 > 100.64.0.2:4000"))
UNASKED = Frame(tcp("10.0.0.5:80 > 100.64.0.2:4000"))


class Ends:
    """A device with what waits in it, and what was written."""

    def __init__(self) -> None:
        self.waits: list[Frame] = []
        self.written: list[Frame] = []

    def read(self) -> list[Frame]:
        waiting, self.waits = self.waits, []
        return waiting

    def write(self, frame: Frame) -> None:
        self.written.append(frame)


def test_what_passes_goes_back_where_it_came_from_and_replies_go_to_clients(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    gateway = Gateway(TunnelAddresses("100.64.0.1"))
    gateway.client_connected("alice", TunnelAddresses("100.64.0.2"), NOW)
    gateway.authorize("alice", CidrResource("files", "10.0.0.0/24", [Tcp(443)]))
    outbound, inbound = Ends(), Ends()
    log = DecisionLog(logging.getLogger("test"))
    host = GatewayHost(gateway, log, Devices(outbound, inbound), clock=lambda: NOW)
    outbound.waits = [ALLOWED, REFUSED, SPOOFED]
    host.from_clients()
    (reply,) = inbound.written
    assert (outbound.written, reply.packet[16:20], reply.header) == (
        [ALLOWED],
        b"\x64\x40\0\2",
        b"",
    )
    inbound.waits = [ANSWER, UNASKED]
    host.to_clients()
    assert (outbound.written, inbound.written) == ([ALLOWED], [reply, ANSWER])
    assert [one.message for one in caplog.records] == ["Refused packet"] * 3
