"""What a client had is freed with it, by reference counting alone."""

import gc

import pytest

from firezone_filter import CidrResource, DnsResource, Gateway, GatewayOptions, TunnelAddresses
from firezone_filter.testing import udp
from tests.scenes import OUTBOUND


@pytest.mark.parametrize("flow_records", [False, True])
def test_a_client_that_disconnects_leaves_nothing_to_the_collector(*, flow_records: bool) -> None:
    gateway = Gateway(
        TunnelAddresses("100.64.0.1"), options=GatewayOptions(flow_records=flow_records)
    )
    gc.collect()
    gc.disable()
    try:
        for number in range(3):
            now = float(number)
            gateway.client_connected("alice", TunnelAddresses("100.64.0.2"), now)
            gateway.authorize("alice", CidrResource("net", "10.0.0.0/24"), expires_at=now + 9.0)
            gateway.authorize("alice", DnsResource("app", "app.example.com"))
            gateway.domain_resolved(
                "alice",
                "app",
                "app.example.com",
                proxy_addresses=["100.96.0.1"],
                resolved_addresses=["10.0.0.5"],
            )
            for far in ("10.0.0.5", "100.96.0.1"):
                packet = udp(f"100.64.0.2:1000 > {far}:80")
                assert gateway.handle_packet(OUTBOUND, packet, now).allowed
            gateway.client_disconnected("alice")
        assert gc.collect() == 0
    finally:
        gc.enable()
