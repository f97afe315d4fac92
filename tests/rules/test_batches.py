"""Section 3: `handle_packets` equals as many single calls at one `now`, `handle_batch` as many
with a direction, a time and a client each.

Random stories check it for everything (`property/test_twins.py`, `property/test_batches.py`);
here are packets that depend on the packet before them.
"""

from itertools import chain, cycle, islice
from typing import Final

import pytest

from firezone_filter import (
    AccessExhausted,
    AuthorizationExpired,
    CidrResource,
    Drop,
    Forward,
    Gateway,
    GatewayOptions,
    Icmp,
    Reason,
    Reject,
    Tcp,
    Translate,
    Udp,
)
from firezone_filter.testing import RST, fragment, tcp
from tests.records import fetched
from tests.scenes import (
    INBOUND,
    OUTBOUND,
    V4,
    V6,
    Family,
    both_families,
    gateway_for_alice,
    refusal,
)
from tests.translations import N4, N6, Names, app, resolve

OPTIONS: Final = {
    "replies": GatewayOptions(own_filters=[Tcp(443)], reject_rate=1.0, reject_burst=5),
    "quiet": GatewayOptions(own_filters=[Tcp(443)], reject=False),
    "recorded": GatewayOptions(own_filters=[Tcp(443)], flow_records=True),
    "stateful": GatewayOptions(own_filters=[Tcp(443)], stateful=True),
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


# --- A direction, a time and a client each ------------------------------------------------------

STEPS: Final = (0.0, None, 0.25, 0, -7.0, 0.0, 1.5)
"""Seconds since the beginning of a batch; time goes on by 8 s in the middle of it."""

CLIENTS: Final = ("alice", None, None, "bob", "alice", "nobody", None, "", "alice", None, None)


@pytest.mark.parametrize("options", OPTIONS)
def test_a_batch_of_both_directions_is_decided_like_single_packets(options: str) -> None:
    single, together = (gateway_with_names(OPTIONS[options]) for _ in range(2))
    outbound, inbound = packets()[True], packets()[False]
    ways = [OUTBOUND, INBOUND, INBOUND, OUTBOUND] * len(outbound)
    mixed = [*chain.from_iterable(zip(outbound, inbound, inbound, outbound, strict=True))]
    for start in (0.0, 8.0, 30.0, 7_500.0):
        nows = [
            None if step is None else start + step + 8.0 * (place > len(mixed) // 2)
            for place, step in zip(range(len(mixed)), cycle(STEPS), strict=False)
        ]
        for several in ([*islice(cycle(CLIENTS), len(mixed))], [None] * len(mixed), None):
            expected = [
                single.handle_packet(*one)
                for one in zip(ways, mixed, nows, several or [None] * len(mixed), strict=True)
            ]
            assert together.handle_batch(ways, mixed, nows, several) == expected
            assert together.counters() == single.counters()
            assert fetched(together) == fetched(single)


@both_families
def test_an_expiry_between_two_packets_of_a_batch_ends_what_it_ends(family: Family) -> None:
    gateway = gateway_for_alice(now=0.0)
    gateway.authorize("alice", family.db(), expires_at=5.0)
    packet = family.tcp(OUTBOUND)
    gateway.handle_packet(OUTBOUND, packet, 1.0)

    before, at, earlier, latest = gateway.handle_batch(
        [OUTBOUND] * 4, [packet] * 4, [4.5, 5.0, 1.0, None]
    )

    assert before == Forward("alice", "db")
    assert [refusal(one) for one in (at, earlier, latest)] == [Reason.NO_RESOURCE] * 3
    assert fetched(gateway) == [AuthorizationExpired("alice", "db", 5.0), AccessExhausted("alice")]


@both_families
def test_each_packet_of_a_batch_comes_from_the_client_that_is_named_for_it(family: Family) -> None:
    gateway = gateway_for_alice(family.db())
    packet = family.tcp(OUTBOUND)

    assert gateway.handle_batch(
        [OUTBOUND] * 5, [packet] * 5, [None] * 5, ["alice", "bob", None, "nobody", "alice"]
    ) == [
        Forward("alice", "db"),
        Drop(Reason.SOURCE_NOT_ALLOWED, "bob"),
        Forward("alice", "db"),
        Drop(Reason.UNKNOWN_CLIENT, None),
        Forward("alice", "db"),
    ]


@pytest.mark.parametrize("names", [N4, N6], ids=str)
def test_the_answer_to_a_packet_may_follow_it_in_one_batch(names: Names) -> None:
    gateway = gateway_with_names(GatewayOptions(stateful=True))

    too_early, out, back, over = gateway.handle_batch(
        [INBOUND, OUTBOUND, INBOUND, INBOUND],
        [names.came("udp"), names.sent("udp"), names.came("udp"), names.came("udp")],
        [0.0, 0.0, 59.0, 179.0],
    )

    assert isinstance(out, Translate)
    assert isinstance(back, Translate)
    assert not too_early.allowed
    assert not over.allowed


@both_families
def test_a_flow_of_a_batch_gets_the_decision_of_single_packets(family: Family) -> None:
    gateway = gateway_for_alice(family.db())
    for direction in (OUTBOUND, INBOUND):
        packet = family.tcp(direction)
        shared = gateway.handle_packet(direction, packet)
        decisions = gateway.handle_batch([direction] * 2, [packet] * 2, [None, 1.0])
        assert all(one is shared for one in decisions)


def test_tokens_for_replies_grow_between_the_packets_of_a_batch() -> None:
    gateway = gateway_for_alice(options=GatewayOptions(reject_rate=1.0, reject_burst=1), now=0.0)
    decisions = gateway.handle_batch(
        [OUTBOUND] * 5, [V4.tcp(OUTBOUND)] * 5, [0.0, 0.5, 1.0, 1.0, 9.0]
    )
    assert [type(one) for one in decisions] == [Reject, Drop, Reject, Drop, Reject]
