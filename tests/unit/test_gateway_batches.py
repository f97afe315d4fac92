"""`handle_packets` has a way of its own to what is remembered: it must be the same way."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import pytest

from firezone_filter import CidrResource, Direction, Gateway, GatewayOptions, Icmp, Tcp, Udp
from tests.builders import (
    ESP,
    ICMPV4,
    ICMPV6,
    RST,
    TCP,
    UDP,
    destination_options,
    fragment,
    icmp,
    icmp_error,
    ip,
    patched,
    resized,
    tcp,
    udp,
)
from tests.records import fetched
from tests.scenes import INBOUND, OUTBOUND, V4, V6, Family, both_directions, gateway_for_alice
from tests.translations import N4, N6, Names, app, resolve

OPTIONS: Final = {
    "replies": GatewayOptions(own_filters=[Tcp(443)], reject_rate=1.0, reject_burst=5),
    "quiet": GatewayOptions(own_filters=[Tcp(443)], reject=False),
    "recorded": GatewayOptions(own_filters=[Tcp(443)], flow_records=True),
}


def short_ones(family: Family, direction: Direction) -> list[bytes]:
    """Build what ends where the fixed part of the transport does, and a byte before it."""
    header = 20 if family is V4 else 40
    return [
        resized(packet[: header + part - less])
        for packet, part in (
            (family.tcp(direction), 20),
            (family.udp(direction), 8),
            (family.echo(direction), 8),
        )
        for less in (1, 0)
    ]


def direct(family: Family, direction: Direction) -> list[bytes]:
    """Build packets of many kinds that are not translated: permitted, refused, malformed."""
    whole = family.udp(direction, size=40)
    error, foreign = (3, ICMPV6) if family is V4 else (1, ICMPV4)
    quote = family.tcp(INBOUND if direction is OUTBOUND else OUTBOUND)
    return [
        family.tcp(direction),
        family.udp(direction),
        family.echo(direction),
        tcp(family.flow(direction, 443, near=family.neighbour)),
        tcp(family.flow(direction, 443, near=family.spare)),
        tcp(family.flow(direction, 443, near=family.stranger)),
        family.tcp(direction, 444),
        family.udp(direction, 54),
        family.tcp(direction, far=family.stranger),
        family.tcp(direction, far=family.neighbour),
        family.tcp(direction, far=family.gateway),
        family.udp(direction, far=family.gateway),
        family.udp(direction, far=family.multicast),
        fragment(whole, 16),
        fragment(whole, 0, 16),
        fragment(whole, 16),
        ip(family.flow(direction), ESP, bytes(24)),
        ip(family.flow(direction), foreign, bytes(24)),
        icmp_error(family.flow(direction), error, quoting=quote),
        icmp(family.flow(direction), 9 if family is V4 else 133),
        # Lies about the length, and versions that nobody speaks.
        *(resized(family.tcp(direction), by) for by in (-1, 1)),
        *(patched(family.tcp(direction), 0, bytes([version << 4 | 5])) for version in (0, 5, 15)),
        *short_ones(family, direction),
        *short_ones(family, direction),
        family.tcp(direction)[:27],
        family.tcp(direction)[:47],
        family.tcp(direction)[:1],
        b"",
    ]


def translated(names: Names, direction: Direction) -> list[bytes]:
    """Build packets through the NAT; inbound they belong to sessions if those have begun."""
    build = names.sent if direction is OUTBOUND else names.came
    far = names.proxies[1] if direction is OUTBOUND else names.real[1]
    return [
        build("tcp"),
        build("udp"),
        build("echo"),
        build("tcp", 5402, port=444),
        build("udp", far=far),
        build("echo", 5402, far=far),
        fragment(build(payload=bytes(40)), 0, 16, identification=8),
        fragment(build(payload=bytes(40)), 16, identification=8),
        build("tcp", flags=RST),
        build("tcp"),
        build("udp", payload=b"odd"),
    ]


def with_options(direction: Direction) -> list[bytes]:
    return [
        udp(V4.flow(direction, 53), options=b"\x01"),
        tcp(V4.flow(direction, 443), options=b"\x83\x07\x04\x0a\x00\x00\x05"),
        udp(V6.flow(direction, 53), extensions=[destination_options()]),
        fragment(udp(V6.flow(direction, 53)), 0, more=False),
    ]


def all_kinds(direction: Direction) -> list[bytes]:
    return [
        *(one for names in (N4, N6) for one in translated(names, direction)),
        *(one for family in (V4, V6) for one in direct(family, direction)),
        *with_options(direction),
    ]


def gateway_with_names(options: GatewayOptions) -> Gateway:
    filters = (Tcp(443), Udp(53), Icmp())
    gateway = gateway_for_alice(
        V4.db(*filters), CidrResource("db6", V6.network, filters), app(), options=options
    )
    for names in (N4, N6):
        resolve(gateway, names, proxies=names.proxies[:1], real=names.real[:1])
    return gateway


def gateway_without(options: GatewayOptions) -> Gateway:
    """Let nothing be translated: then what comes in has no NAT to ask."""
    filters = (Tcp(443), Udp(53), Icmp())
    resources = (V4.db(*filters), CidrResource("db6", V6.network, filters))
    return gateway_for_alice(*resources, options=options)


class Alias(str):
    """Another class of text."""

    __slots__ = ()


CLIENT_IDS: Final = {
    "none": None,
    "same": "alice",
    "equal": "ALICE".lower(),
    "subclass": Alias("alice"),
    "bob": "bob",
    "nobody": "nobody",
    "empty": "",
}


@pytest.mark.parametrize("make", [gateway_with_names, gateway_without])
@pytest.mark.parametrize("client_id", CLIENT_IDS.values(), ids=CLIENT_IDS)
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_packets_together_get_what_each_gets_by_itself(
    make: Callable[[GatewayOptions], Gateway], client_id: str | None, options: GatewayOptions
) -> None:
    single, batch = make(options), make(options)
    # At first nothing is remembered, then everything is, also of others than the client.
    for now, passed in ((0.0, client_id), (0.0, None), (1.0, client_id), (1, client_id)):
        for direction in (OUTBOUND, INBOUND, INBOUND, OUTBOUND):
            packets = all_kinds(direction)
            expected = [
                single.handle_packet(direction, one, now, client_id=passed) for one in packets
            ]
            decided = batch.handle_packets(direction, packets, now, client_id=passed)
            assert decided == expected
            assert batch.counters() == single.counters()
            assert fetched(batch) == fetched(single)


def filled(tables: Sequence[Mapping[bytes, object]]) -> set[int]:
    """Return the protocols of which something is remembered."""
    return {number for number, table in enumerate(tables) if table}


@both_directions
def test_these_packets_meet_every_kind_of_memory(direction: Direction) -> None:
    gateway = gateway_with_names(OPTIONS["quiet"])
    for way in (OUTBOUND, direction):
        gateway.handle_packets(way, all_kinds(way))
    flows = gateway._site.flows
    plain, ready = (
        (flows.outbound, flows.prepared_outbound)
        if direction is OUTBOUND
        else (flows.inbound, flows.prepared_inbound)
    )
    assert filled(plain) == {TCP, UDP}
    assert filled(ready) == {ICMPV4, TCP, UDP, ICMPV6}


@both_directions
def test_packets_together_may_be_any_iterable_of_any_buffers(direction: Direction) -> None:
    packets = all_kinds(direction)
    expected = gateway_with_names(OPTIONS["quiet"]).handle_packets(direction, packets)

    def one_by_one() -> Iterator[bytes | bytearray | memoryview]:
        for number, packet in enumerate(packets):
            yield (packet, bytearray(packet), memoryview(packet))[number % 3]

    for handed_in in (
        tuple(packets),
        [bytearray(packet) for packet in packets],
        [memoryview(packet) for packet in packets],
        one_by_one(),
    ):
        gateway = gateway_with_names(OPTIONS["quiet"])
        assert gateway.handle_packets(direction, handed_in) == expected


@both_directions
def test_what_the_first_of_several_packets_begins_holds_for_those_behind_it(
    direction: Direction,
) -> None:
    gateway = gateway_with_names(OPTIONS["quiet"])
    expected = gateway_with_names(OPTIONS["quiet"])
    packets = [N4.sent(), N4.sent("echo"), N4.sent(), N4.sent("tcp", flags=RST), N4.sent("tcp")]
    back = [N4.came(), N4.came("echo"), N4.came(), N4.came("tcp"), N4.came("tcp")]
    for way, several in ((OUTBOUND, packets), (direction, packets), (INBOUND, back)):
        assert gateway.handle_packets(way, several) == [
            expected.handle_packet(way, one) for one in several
        ]
