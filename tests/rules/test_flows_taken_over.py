"""A session takes over a counted inbound flow, which is evicted afterwards: both have one key."""

import pytest

from firezone_filter import (
    CidrResource,
    DnsResource,
    Gateway,
    GatewayOptions,
    Translate,
    TunnelAddresses,
)
from firezone_filter.gateway.flow_cache import MAX_FLOWS
from firezone_filter.testing import ACK, RST, tcp
from tests.scenes import INBOUND, OUTBOUND

IN = "10.0.0.5:80 > 100.64.0.2:1000"
OUT = "100.64.0.2:1000 > 100.96.0.1:80"


@pytest.mark.parametrize("most", [1_000_000, 1])
@pytest.mark.parametrize("ends", ["reset", "time"])
def test_a_session_ends_whose_flow_has_been_evicted(most: int, ends: str) -> None:
    gateway = Gateway(
        TunnelAddresses("100.64.0.1"),
        options=GatewayOptions(flow_records=True, max_remembered=most),
    )
    gateway.client_connected("alice", TunnelAddresses("100.64.0.2"), 0.0)
    gateway.authorize("alice", CidrResource("net", "10.0.0.0/24"))
    gateway.authorize("alice", DnsResource("app", "app.example.com"))
    gateway.domain_resolved(
        "alice",
        "app",
        "app.example.com",
        proxy_addresses=["100.96.0.1"],
        resolved_addresses=["10.0.0.5"],
    )
    assert gateway.handle_packet(INBOUND, tcp(IN), 1.0).allowed
    assert isinstance(gateway.handle_packet(OUTBOUND, tcp(OUT)), Translate)
    assert isinstance(gateway.handle_packet(INBOUND, tcp(IN)), Translate)
    for port in range(MAX_FLOWS):
        gateway.handle_packet(INBOUND, tcp(f"10.0.0.6:80 > 100.64.0.2:{2_000 + port}"))
    if ends == "reset":
        assert gateway.handle_packet(OUTBOUND, tcp(OUT, flags=RST | ACK)).allowed
    else:
        gateway.handle_timeout(20_000.0)
    counters = gateway.counters()
    assert counters.nat_sessions == 0
