"""Captures from real networks, each with one of its hosts as the client."""

import json
from ipaddress import ip_network
from pathlib import Path

import pytest
from attrs import frozen

from firezone_filter.cli.command import run
from firezone_filter.cli.exit import ExitStatus

CAPTURES = Path(__file__).parents[4] / "shared/captures"
pytestmark = pytest.mark.skipif(not CAPTURES.exists(), reason="the shared captures are not here")


@frozen
class Real:
    """A capture and the host in it that plays the client."""

    name: str

    host: str
    """The host named in the README of the folder, otherwise the busiest."""

    tunnel: str

    ours: int
    """Packets from and to the host."""

    status: ExitStatus = ExitStatus.DONE
    """`DAMAGED` where packets are out of order."""

    def policy(self) -> dict[str, object]:
        tunnel = ip_network(self.tunnel)
        family = f"ipv{tunnel.version}"
        internet = {"resource": {"type": "internet", "id": "internet"}}
        return {
            "gateway": {family: str(tunnel[-1])},
            "address_plan": {"tunnel": [self.tunnel], "dns_resources": ["100.96.0.0/11"]},
            "clients": [{"id": "host", family: self.host, "authorizations": [internet]}],
        }


REAL = [
    Real("sites.pcapng", "192.168.1.128", "192.168.0.0/16", 287, ExitStatus.DAMAGED),
    Real("quic.pcap", "192.168.1.109", "192.168.0.0/16", 482),
    Real("http_ipv6.pcap", "2a00:d40:1:3:7aac:c0ff:fea7:d4c", "2a00:d40:1:3::/64", 193),
    Real(
        "dnscrypt-v1-and-resolver-pings.pcap", "10.0.0.1", "10.0.0.0/24", 608, ExitStatus.DAMAGED
    ),
    Real("dns_fragmented.pcap", "2001:470:765b::a25:53", "2001:470:765b::/64", 22),
    Real("ip_fragmented_garbage.pcap", "10.0.0.2", "10.0.0.0/24", 1252),
    Real("6in4tunnel.pcap", "174.3.73.24", "174.3.73.0/24", 127),
    Real("sctp.cap", "10.28.6.44", "10.28.6.44/31", 4),
    Real("fuzz-2006-09-29-28586.pcap", "172.20.3.5", "172.20.3.0/24", 108),
    Real("malformed_icmp.pcap", "218.152.179.213", "218.152.179.208/28", 1),
]


@pytest.mark.parametrize("real", REAL, ids=lambda real: real.name)
def test_every_packet_of_the_host_is_decided(
    real: Real, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = tmp_path / "policy.json"
    policy.write_text(json.dumps(real.policy()))
    capture = str(CAPTURES / real.name)
    assert run(["replay", capture, "--policy", str(policy), "--decisions", "-"]) == real.status
    assert len(capsys.readouterr().out.splitlines()) == real.ours
