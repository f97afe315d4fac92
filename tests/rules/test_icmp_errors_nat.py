"""Section 6, ICMP errors about translated packets: which session they are of."""

from struct import pack, unpack_from

import pytest

from firezone_filter import CidrResource, Direction, Drop, Forward, Reason, Translate, Udp
from firezone_filter.testing import icmp_echo, icmp_error, ip, patched
from tests.numbers import ESP
from tests.scenes import INBOUND, OUTBOUND, both_directions, gateway_for_alice, reasons
from tests.translations import (
    TICK,
    Names,
    app,
    both_names,
    every_kind,
    gateway_in_use,
    resolve,
    through,
)

REFUSED = Drop(Reason.ICMP_ERROR, "alice")


def told(names: Names, far: str, quote: bytes) -> bytes:
    """Build an error to the client about what it sent."""
    family = names.family
    return icmp_error(f"{far} > {family.client}", family.unreachable, quoting=quote)


def telling(names: Names, far: str, quote: bytes) -> bytes:
    """Build an error of the client about what it got."""
    family = names.family
    return icmp_error(f"{family.client} > {far}", family.unreachable, quoting=quote)


@every_kind
@both_names
def test_each_session_has_its_own_number_and_proxy_in_quotes(names: Names, kind: str) -> None:
    gateway = gateway_for_alice(app())
    resolve(gateway, names, proxies=names.proxies[:3])
    real = names.real[0]
    for proxy in names.proxies[:3]:
        assert gateway.handle_packet(OUTBOUND, names.sent(kind, far=proxy)).allowed
    for number, proxy in enumerate(names.proxies[:3], 5401):
        came = told(names, real, names.sent(kind, number, far=real))
        seen = told(names, proxy, names.sent(kind, 5401, far=proxy))
        assert gateway.handle_packet(INBOUND, came) == through(seen)
        sent = telling(names, proxy, names.came(kind, 5401, far=proxy))
        gone_on = telling(names, real, names.came(kind, number))
        assert gateway.handle_packet(OUTBOUND, sent) == through(gone_on)


@every_kind
@both_names
def test_without_a_session_of_the_quote_an_error_is_refused(names: Names, kind: str) -> None:
    client, proxy, real = names.family.client, names.proxies[0], names.real[0]
    gateway = gateway_for_alice(app())
    outbound = [telling(names, proxy, names.came(kind, far=proxy))]
    assert gateway.handle_packets(OUTBOUND, outbound) == [REFUSED]
    resolve(gateway, names)
    assert gateway.handle_packets(OUTBOUND, outbound) == [REFUSED]
    assert gateway.handle_packet(OUTBOUND, names.sent(kind, 9)).allowed
    # The real address is of no session of the client's.
    outbound += [telling(names, real, names.came(kind, 9))]
    assert gateway.handle_packets(OUTBOUND, outbound) == [REFUSED] * 2
    others = {"tcp", "udp", "echo"} - {kind}
    quotes = [
        names.sent(kind, 10, far=real),
        *(names.sent(other, 9, far=real) for other in sorted(others)),
        names.sent(kind, 9, far=names.real[1]),
        names.sent(kind, 9, far=proxy),
        icmp_echo(f"{client} > {real}", reply=True, identifier=9),
        ip(f"{client} > {real}", ESP, bytes(8)),
    ]
    inbound = [told(names, real, quote) for quote in quotes]
    assert gateway.handle_packets(INBOUND, inbound) == [REFUSED] * len(inbound)


@both_names
def test_an_error_about_a_session_is_judged_as_the_dns_resources(names: Names) -> None:
    gateway, real = gateway_in_use(names), names.real[0]
    gateway.authorize("alice", CidrResource("direct", real))
    gateway.update_resource(app(Udp(444)))
    errors = [told(names, real, names.sent(number=number, far=real)) for number in (5401, 9)]
    decisions = gateway.handle_packets(INBOUND, errors)
    assert decisions == [REFUSED, Forward("alice", "direct")]


@every_kind
@both_names
def test_an_error_passes_until_the_session_is_over(names: Names, kind: str) -> None:
    gateway, real, proxy = gateway_in_use(names, kind), names.real[0], names.proxies[0]
    for now, expected in ((60.0 - TICK, None), (60.0, Reason.ICMP_ERROR)):
        inbound = told(names, real, names.sent(kind, far=real))
        assert reasons(gateway, INBOUND, [inbound], now) == [expected]
        outbound = telling(names, proxy, names.came(kind, far=proxy))
        assert reasons(gateway, OUTBOUND, [outbound], now) == [expected]


@pytest.mark.parametrize("wrong_by", [1, 0x0100, 0x8000])
@both_directions
@both_names
def test_a_wrong_checksum_of_an_error_stays_as_wrong_as_it_was(
    names: Names, direction: Direction, wrong_by: int
) -> None:
    gateway, real, proxy = gateway_in_use(names), names.real[0], names.proxies[0]
    handed_in, expected = (
        (told(names, real, names.sent(far=real)), told(names, proxy, names.sent()))
        if direction is INBOUND
        else (telling(names, proxy, names.came(far=proxy)), telling(names, real, names.came()))
    )
    place = names.family.header + 2
    (before,), (right,) = unpack_from("!H", handed_in, place), unpack_from("!H", expected, place)
    damaged = patched(handed_in, place, pack("!H", before ^ wrong_by))
    decision = gateway.handle_packet(direction, damaged)
    assert isinstance(decision, Translate)
    (after,) = unpack_from("!H", decision.packet, place)
    assert (after - right) % 0xFFFF == ((before ^ wrong_by) - before) % 0xFFFF
    assert patched(decision.packet, place, expected[place : place + 2]) == expected
