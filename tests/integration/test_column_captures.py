"""Captures of real networks, replayed by columns and packet by packet: no field differs."""

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest
from attrs import evolve

from firezone_filter import (
    AddressPlan,
    CidrResource,
    GatewayOptions,
    Icmp,
    InternetResource,
    Policy,
    PolicyAuthorization,
    PolicyClient,
    Tcp,
    TunnelAddresses,
    Udp,
)
from firezone_filter.capture.damage import DamagedCaptureError
from firezone_filter.capture.link import link_reader
from firezone_filter.capture.reader import Capture
from firezone_filter.capture.stream import Record
from firezone_filter.replay.five_tuple import read_addresses
from firezone_filter.values.addresses import Address
from tests.columns import by_columns, by_packets, chunks_of, orders

CAPTURES = Path(__file__).parents[3] / "shared/captures"

pytestmark = pytest.mark.skipif(not CAPTURES.exists(), reason="the shared captures are not here")

FILES = sorted(CAPTURES.glob("*.*cap*"))
OPTIONS = (GatewayOptions(), GatewayOptions(reject=False), GatewayOptions(stateful=True))


def records_of(path: Path) -> list[Record]:
    records: list[Record] = []
    with path.open("rb") as stream, suppress(DamagedCaptureError):
        records.extend(Capture(stream))
    return records


def addresses_of(record: Record) -> Iterator[bytes]:
    read = link_reader(record.link_type)
    found = None if read is None else read(record.frame)
    if isinstance(found, int):
        yield from read_addresses(record.frame[found:]) or ()


def _addresses(by_version: list[list[Address]], place: int) -> TunnelAddresses:
    ipv4, ipv6 = (str(hosts[place]) if place < len(hosts) else None for hosts in by_version)
    return TunnelAddresses(ipv4, ipv6)


def policy_of(records: list[Record]) -> Policy:
    """Return a policy of the busiest hosts, which loses some access halfway through."""
    counted = Counter(packed for record in records for packed in addresses_of(record))
    hosts = [ip_address(packed) for packed, _ in counted.most_common(40)]
    hosts = [host for host in hosts if not host.is_multicast]
    by_version = [[host for host in hosts if host.version == version][:2] for version in (4, 6)]
    middle = records[len(records) // 2].seconds
    authorizations = (
        PolicyAuthorization(CidrResource("low", "0.0.0.0/1", [Tcp(80), Udp(), Icmp()]), middle),
        PolicyAuthorization(InternetResource("internet"), middle + 0.5),
        PolicyAuthorization(CidrResource("six", "2000::/3", [Tcp(443), Udp(53)])),
    )
    clients = [
        PolicyClient(f"host-{place}", _addresses(by_version, place), authorizations)
        for place in range(max(map(len, by_version)))
    ]
    tunnel = [ip_network(host) for hosts in by_version for host in hosts]
    plan = AddressPlan(tunnel=(*tunnel, "100.64.0.0/11"))
    return Policy(TunnelAddresses("100.64.0.1"), plan, tuple(clients))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
@pytest.mark.parametrize("options", OPTIONS, ids=("replies", "silent", "stateful"))
def test_columns_are_packets(path: Path, options: GatewayOptions) -> None:
    records = records_of(path)
    policy = evolve(policy_of(records), options=options)
    flows = options.stateful
    expected = by_packets(records, policy, flows=flows)
    for size in (100_000, 37):
        found = by_columns(chunks_of(records, size), policy, flows=flows)
        assert found == expected
        assert orders(found.summary) == orders(expected.summary)
