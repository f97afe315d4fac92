"""`unreachable_reply`: the bytes of the ICMP error that answers a refused packet."""

import dpkt
import pytest

from firezone_filter.packet.replies import unreachable_reply
from tests.builders import checksums_hold, ip, tcp, udp

V4 = "100.64.0.2:5401 > 10.0.0.5:443"
V6 = "[fd00:2021:1111::2]:5401 > [fd00:5::5]:443"
CLIENT_V4 = bytes.fromhex("64400002")
HOST_V4 = bytes.fromhex("0a000005")
CLIENT_V6 = bytes.fromhex("fd002021111100000000000000000002")
HOST_V6 = bytes.fromhex("fd000005000000000000000000000005")


def answer(packet: bytes, *, prohibited: bool = True) -> bytes:
    source, destination = (CLIENT_V4, HOST_V4) if packet[0] >> 4 == 4 else (CLIENT_V6, HOST_V6)
    return unreachable_reply(packet, source, destination, prohibited=prohibited)


def test_an_ipv4_reply_field_by_field() -> None:
    packet = udp(V4, b"data")
    reply = answer(packet)
    assert reply[0:1] == b"\x45"
    assert int.from_bytes(reply[2:4]) == len(reply) == 20 + 8 + len(packet)
    assert reply[6:8] == bytes(2)
    assert (reply[8], reply[9]) == (64, 1)
    assert reply[12:20] == HOST_V4 + CLIENT_V4
    assert reply[20:22] == bytes([3, 13])
    assert reply[24:28] == bytes(4)
    assert reply[28:] == packet


def test_an_ipv6_reply_field_by_field() -> None:
    packet = udp(V6, b"data")
    reply = answer(packet)
    assert reply[0] >> 4 == 6
    assert int.from_bytes(reply[4:6]) == len(reply) - 40 == 8 + len(packet)
    assert (reply[6], reply[7]) == (58, 64)
    assert reply[8:40] == HOST_V6 + CLIENT_V6
    assert reply[40:42] == bytes([1, 1])
    assert reply[44:48] == bytes(4)
    assert reply[48:] == packet


@pytest.mark.parametrize(
    ("flow", "code"), [(V4, bytes([3, 0])), (V6, bytes([1, 3]))], ids=["ipv4", "ipv6"]
)
def test_an_unreachable_destination_has_a_code_of_its_own(flow: str, code: bytes) -> None:
    reply = answer(udp(flow), prohibited=False)
    assert (reply[20:22] if reply[0] == 0x45 else reply[40:42]) == code


@pytest.mark.parametrize("size", [0, 1, 2, 3, 500, 1_401])
@pytest.mark.parametrize("flow", [V4, V6], ids=["ipv4", "ipv6"])
@pytest.mark.parametrize("prohibited", [True, False])
def test_replies_have_correct_checksums(flow: str, size: int, prohibited: bool) -> None:  # noqa: FBT001
    assert checksums_hold(
        answer(tcp(flow, bytes(range(256)) * 6)[: 40 + size], prohibited=prohibited)
    )


def test_dpkt_reads_an_ipv4_reply_and_finds_the_same_checksums() -> None:
    reply = answer(udp(V4, b"odd"))
    parsed = dpkt.ip.IP(reply)
    parsed.sum = parsed.data.sum = 0
    assert bytes(parsed) == reply
    assert parsed.data.data.data.data.data == b"odd"


def test_dpkt_reads_an_ipv6_reply_and_finds_the_same_checksum() -> None:
    reply = answer(udp(V6, b"odd"))
    parsed = dpkt.ip6.IP6(reply)
    parsed.data.sum = 0
    assert bytes(parsed) == reply
    assert parsed.data.data.data.data.data == b"odd"


@pytest.mark.parametrize(
    ("flow", "size", "reply_size"),
    [
        pytest.param(V4, 547, 575, id="ipv4-a-byte-left"),
        pytest.param(V4, 548, 576, id="ipv4-just-fits"),
        pytest.param(V4, 549, 576, id="ipv4-a-byte-too-long"),
        pytest.param(V4, 65_535, 576, id="ipv4-longest"),
        pytest.param(V6, 1_231, 1_279, id="ipv6-a-byte-left"),
        pytest.param(V6, 1_232, 1_280, id="ipv6-just-fits"),
        pytest.param(V6, 1_233, 1_280, id="ipv6-a-byte-too-long"),
        pytest.param(V6, 65_535, 1_280, id="ipv6-longest"),
    ],
)
def test_a_reply_quotes_as_much_as_fits(flow: str, size: int, reply_size: int) -> None:
    overhead = 28 if flow == V4 else 48
    packet = udp(flow, bytes(size - overhead))
    assert len(packet) == size
    reply = answer(packet)
    assert len(reply) == reply_size
    assert reply[overhead:] == packet[: reply_size - overhead]
    assert checksums_hold(reply)


def test_a_reply_quotes_ipv4_options_too() -> None:
    packet = ip("100.64.0.2 > 10.0.0.5", 47, options=b"\x01")
    assert answer(packet)[28:] == packet
