"""What a failing assertion shows of decisions."""

import pytest

from firezone_filter import Decision, Drop, Forward, Reason, Reject, Translate
from firezone_filter.testing import hop_by_hop, icmp_echo, icmp_error, ip, patched, tcp, udp
from tests.assertions import describe, explain, field_at
from tests.conftest import pytest_assertrepr_compare
from tests.numbers import GRE

V4 = "10.0.0.5:443 > 100.64.0.2:5401"
V6 = "[fd00:5::5]:443 > [fd00::2]:5401"
FORWARD = Forward("alice", "db")
DROP = Drop(Reason.TCP_PORT, "alice")
TRANSLATE_SHOWN = "Translate(client_id=alice, resource_id=app)"
FORWARD_SHOWN = "Forward(client_id=alice, resource_id=db)"
DROP_SHOWN = "Drop(reason=tcp-port, client_id=alice)"


@pytest.mark.parametrize(
    ("left", "right", "shown"),
    [
        (
            FORWARD,
            DROP,
            [f"{FORWARD_SHOWN} != {DROP_SHOWN}"],
        ),
        (
            DROP,
            Drop(Reason.ICMP, None),
            [
                f"{DROP_SHOWN} != Drop(reason=icmp, client_id=None)",
                "  reason: <Reason.TCP_PORT: 'tcp-port'> != <Reason.ICMP: 'icmp'>",
                "  client_id: 'alice' != None",
            ],
        ),
        (
            Translate(udp(V4), "alice", "app"),
            FORWARD,
            [
                f"{TRANSLATE_SHOWN} != {FORWARD_SHOWN}",
                "  left: 28 bytes, 10.0.0.5 > 100.64.0.2, UDP 443 > 5401",
            ],
        ),
        (
            DROP,
            Reject(b"no packet", Reason.TCP_PORT, "alice"),
            [
                f"{DROP_SHOWN} != Reject(reason=tcp-port, client_id=alice)",
                "  right: 9 bytes, no IP packet",
            ],
        ),
        (
            Translate(udp(V4, bytes(40)), "alice", "app"),
            Translate(patched(udp(V4, bytes(40)), 27, b"\xff"), "alice", "app"),
            [
                f"{TRANSLATE_SHOWN} != {TRANSLATE_SHOWN}",
                "  packet: they differ first at byte 27, UDP checksum",
                "  left: 68 bytes, 10.0.0.5 > 100.64.0.2, UDP 443 > 5401",
                "       0  45 00 00 44 00 00 00 00 40 11 0c 63 0a 00 00 05",
                "      16  64 40 00 02 01 bb 15 19 00 30 7a 73 00 00 00 00",
                "      32  00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00",
                "  right: 68 bytes, 10.0.0.5 > 100.64.0.2, UDP 443 > 5401",
                "       0  45 00 00 44 00 00 00 00 40 11 0c 63 0a 00 00 05",
                "      16  64 40 00 02 01 bb 15 19 00 30 7a ff 00 00 00 00",
                "      32  00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00",
            ],
        ),
        (
            [FORWARD, DROP, FORWARD],
            (FORWARD, FORWARD),
            [
                "3 decisions != 2",
                "decisions differ first at index 1:",
                f"{DROP_SHOWN} != {FORWARD_SHOWN}",
            ],
        ),
        ([FORWARD], [FORWARD, DROP], ["1 decisions != 2"]),
        (
            [DROP],
            [FORWARD],
            ["decisions differ first at index 0:", f"{DROP_SHOWN} != {FORWARD_SHOWN}"],
        ),
    ],
    ids=["kinds", "fields", "translated", "rejected", "bytes", "lists", "lengths", "first"],
)
def test_the_difference_of_decisions_is_shown(
    left: Decision | list[Decision], right: Decision | list[Decision], shown: list[str]
) -> None:
    assert pytest_assertrepr_compare("==", left, right) == shown


def test_of_anything_else_pytest_shows_what_it_shows() -> None:
    assert pytest_assertrepr_compare("!=", FORWARD, FORWARD) is None
    for other in (None, [], [1], [FORWARD, None], "text"):
        assert explain([FORWARD], other) is None
        assert explain(FORWARD, other) is None


def test_a_failing_assertion_shows_it() -> None:
    with pytest.raises(AssertionError, match=r"client_id: 'alice' != 'bob'"):
        assert Drop(Reason.ICMP, "alice") == Drop(Reason.ICMP, "bob")


@pytest.mark.parametrize(
    ("packet", "places"),
    [
        (tcp(V4, b"data"), {0: "IP version and length", 11: "IP header checksum"}),
        (tcp(V4, b"data"), {19: "IP destination", 37: "TCP checksum", 40: "TCP payload"}),
        (udp(V4, options=b"\x01"), {20: "IP options", 24: "UDP source port"}),
        (udp(V6), {7: "IP hop limit", 8: "IP source", 39: "IP destination", 47: "UDP checksum"}),
        (udp(V6, extensions=[hop_by_hop()]), {40: "protocol 0 payload"}),
        (icmp_echo("10.0.0.5 > 10.0.0.6"), {20: "ICMP type", 25: "ICMP rest"}),
        (ip("10.0.0.5 > 10.0.0.6", GRE, b"1"), {20: "protocol 47 payload"}),
        (
            icmp_error("fd00::1 > fd00::2", 1, quoting=tcp(V6)),
            {
                43: "ICMPv6 checksum",
                56: "ICMPv6 quote: IP source",
                88: "ICMPv6 quote: TCP source port",
            },
        ),
        (icmp_error("10.0.0.5 > 10.0.0.6", 3, quoting=b"cut"), {30: "ICMP body"}),
        (b"\x45", {0: "of no IP packet"}),
    ],
    ids=range(10),
)
def test_a_byte_is_named_by_its_field(packet: bytes, places: dict[int, str]) -> None:
    assert {place: field_at(packet, place) for place in places} == places


def test_a_packet_is_described_in_one_line_with_its_quote() -> None:
    error = icmp_error("10.0.0.1 > 100.64.0.2", 3, 13, quoting=tcp(V4))
    assert describe(error) == (
        "68 bytes, 10.0.0.1 > 100.64.0.2, ICMP type 3 code 13, "
        "quoting 40 bytes, 10.0.0.5 > 100.64.0.2, TCP 443 > 5401"
    )
    assert describe(tcp(V4)[:22]) == "22 bytes, 10.0.0.5 > 100.64.0.2, TCP"
    ping = icmp_echo("::1 > ::2")
    assert describe(ping) == "48 bytes, ::1 > ::2, ICMPv6 type 128 code 0"
    assert describe(ping[:40]) == "40 bytes, ::1 > ::2, ICMPv6"
