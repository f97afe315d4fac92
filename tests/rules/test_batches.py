"""Section 3: `handle_packets` equals as many single calls at one `now`.

Random stories check it for everything (`property/test_twins.py`); here are packets that depend
on the packet before them.
"""

from typing import Final

import pytest

from firezone_filter import CidrResource, Gateway, GatewayOptions, Icmp, Tcp, Udp
from tests.builders import RST, fragment, tcp
from tests.records import fetched
from tests.scenes import INBOUND, OUTBOUND, V4, V6, gateway_for_alice
from tests.translations import N4, N6, app, resolve

OPTIONS: Final = {
    "replies": GatewayOptions(own_filters=[Tcp(443)], reject_rate=1.0, reject_burst=5),
    "quiet": GatewayOptions(own_filters=[Tcp(443)], reject=False),
    "recorded": GatewayOptions(own_filters=[Tcp(443)], flow_records=True),
}


def gateway_with_names(options: GatewayOptions) -> Gateway:
    filters = (Tcp(443), Udp(53), Icmp())
    gateway = gateway_for_alice(
        V4.db(*filters), CidrResource("db6", V6.network, filters), app(), options=options
    )
    for names in (N4, N6):
        resolve(gateway, names)
    return gateway


def packets() -> dict[bool, list[bytes]]:
    """Build packets that depend on those before them, outbound (`True`) and inbound."""
    found: dict[bool, list[bytes]] = {True: [], False: []}
    for names, (way, several) in ((names, item) for names in (N4, N6) for item in found.items()):
        family, direction = names.family, OUTBOUND if way else INBOUND
        build, whole = names.sent if way else names.came, family.udp(direction, size=40)
        several += [
            fragment(whole, 16),
            family.tcp(direction),
            *(build(kind) for kind in ("tcp", "udp", "echo")),
            fragment(whole, 0, 16),
            fragment(whole, 16),
            b"",
            *(family.tcp(direction, far=far) for far in (family.gateway, family.spare)),
            *(family.udp(direction, far=family.stranger) for _ in range(4)),
            tcp(family.flow(direction, 443, near=family.neighbour)),
            tcp(family.flow(direction, 443, near=family.spare)),
            build("tcp", flags=RST),
            build("tcp"),
            fragment(build(payload=bytes(40)), 0, 16, identification=8),
            fragment(build(payload=bytes(40)), 16, identification=8),
            family.tcp(direction),
            build("udp", payload=b"odd"),
        ]
    return found


@pytest.mark.parametrize("client_id", [None, "alice", "bob", "nobody", ""])
@pytest.mark.parametrize("options", OPTIONS)
def test_packets_of_a_batch_are_decided_like_single_packets(
    options: str, client_id: str | None
) -> None:
    single, together = (gateway_with_names(OPTIONS[options]) for _ in range(2))
    for now, passed in ((0.0, client_id), (0.0, None), (1.0, client_id), (1, client_id)):
        for direction in (OUTBOUND, INBOUND, INBOUND, OUTBOUND):
            several = packets()[direction is OUTBOUND]
            expected = [single.handle_packet(direction, one, now, passed) for one in several]
            assert together.handle_packets(direction, several, now, passed) == expected
            assert together.counters() == single.counters()
            assert fetched(together) == fetched(single)
