"""Two sessions take over inbound flows of one far address and near port, of one protocol each."""

from firezone_filter import CidrResource, DnsResource, Gateway, Translate, TunnelAddresses
from firezone_filter.testing import tcp, udp
from tests.scenes import INBOUND, OUTBOUND

BACK = "10.0.0.5:80 > 100.64.0.2:1000"
OUT = "100.64.0.2:1000 > 100.96.0.1:80"


def test_each_session_takes_over_the_inbound_flow_of_its_protocol() -> None:
    gateway = Gateway(TunnelAddresses("100.64.0.1"))
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
    for build in (tcp, udp):
        assert gateway.handle_packet(INBOUND, build(BACK)).allowed
    for build in (udp, tcp):
        assert isinstance(gateway.handle_packet(OUTBOUND, build(OUT)), Translate)
        assert isinstance(gateway.handle_packet(INBOUND, build(BACK)), Translate)


def test_the_ranking_of_clients_does_not_grow_while_their_flows_come_and_go() -> None:
    gateway = Gateway(TunnelAddresses("100.64.0.1"))
    gateway.client_connected("alice", TunnelAddresses("100.64.0.2"), 0.0)
    net = CidrResource("net", "10.0.0.0/24")
    for _ in range(10):
        gateway.authorize("alice", net)
        for port in range(20):
            gateway.handle_packet(OUTBOUND, udp(f"100.64.0.2:{port + 1} > 10.0.0.5:53"))
    assert len(gateway._flow_cache.ranking._heap) == 1
