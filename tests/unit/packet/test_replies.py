"""`unreachable_reply`: the bytes of the ICMP error that answers a refused packet."""

import dpkt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firezone_filter.packet.replies import unreachable_reply
from firezone_filter.testing import checksums_hold, ip, tcp, udp

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


def by_dpkt(quote: bytes, source: bytes, destination: bytes, *, prohibited: bool) -> bytes:
    """Let dpkt fill in lengths and checksums."""
    if len(source) == 4:
        unreachable = dpkt.icmp.ICMP.Unreach(data=quote)
        message = dpkt.icmp.ICMP(type=3, code=13 if prohibited else 0, data=unreachable)
        return bytes(dpkt.ip.IP(src=destination, dst=source, p=1, ttl=64, data=message))
    unreachable = dpkt.icmp6.ICMP6.Unreach(data=quote)
    message = dpkt.icmp6.ICMP6(type=1, code=1 if prohibited else 3, data=unreachable)
    ends = {"src": destination, "dst": source, "plen": len(message)}
    return bytes(dpkt.ip6.IP6(nxt=58, hlim=64, data=message, **ends))


some_bytes = st.one_of(
    st.binary(max_size=1_500),
    st.builds(lambda byte, size: bytes([byte]) * size, st.integers(0, 255), st.integers(0, 1_500)),
)


@given(packet=some_bytes, data=st.data(), prohibited=st.booleans())
def test_dpkt_packs_the_same_bytes(
    packet: bytes, data: st.DataObject, *, prohibited: bool
) -> None:
    size = data.draw(st.sampled_from([4, 16]))
    addresses = st.one_of(
        st.binary(min_size=size, max_size=size), st.just(bytes(size)), st.just(b"\xff" * size)
    )
    source, destination = data.draw(addresses), data.draw(addresses)
    reply = unreachable_reply(packet, source, destination, prohibited=prohibited)
    quote = packet[: 548 if size == 4 else 1_232]
    assert reply == by_dpkt(quote, source, destination, prohibited=prohibited)


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
