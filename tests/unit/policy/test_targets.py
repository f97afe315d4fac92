"""Targets: every way to write one, and what is wrong with what is none."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from firezone_filter.policy.targets import parse_target
from firezone_filter.values.errors import InvalidPolicy


@pytest.mark.parametrize(
    "text",
    [
        "tcp 10.0.0.5:5432",
        "udp [2001:db8::1]:53",
        "ping 10.0.0.5",
        "icmp/13 10.0.0.5",
        "icmp 10.0.0.5",
        "icmp 2001:db8::/32",
        "47 10.0.0.5",
        "tcp git.example.com:443",
        "ping git.example.com",
        "tcp 10.0.0.0/24:8000-8010",
        "tcp [2001:db8::/32]:0-65535",
        "tcp 10.0.0.5",
        "udp 2001:db8::/32",
        "icmp/9 10.0.0.5",  # never leaves its link, and is judged by its type
        "icmp/136 fe80::1",
        "icmp/8 git.example.com",  # of its IPv4 addresses
        "51 10.0.0.5",  # in IPv6 an extension header
        "51 git.example.com",
    ],
)
def test_a_target_is_written_as_it_was_read(text: str) -> None:
    assert str(parse_target(text)) == text


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("icmp [2001:db8::/32]", "icmp 2001:db8::/32"),
        ("tcp [2001:DB8:0::1]", "tcp 2001:db8::1"),
        ("tcp 10.0.0.5/32:80-80", "tcp 10.0.0.5:80"),
        ("tcp Git.Example.com.:443", "tcp git.example.com:443"),
        ("047 10.0.0.5", "47 10.0.0.5"),
        ("icmpv6 2001:db8::/32", "icmp 2001:db8::/32"),
        ("icmpv6/128 [fd00::1]", "icmp/128 fd00::1"),
    ],
)
def test_each_way_to_write_a_target_has_one_text(text: str, written: str) -> None:
    assert str(parse_target(text)) == written
    assert parse_target(text) == parse_target(written)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "is a protocol, a space and a place"),
        ("tcp", "is a protocol, a space and a place"),
        ("tcp ", "is a protocol, a space and a place"),
        ("tcp 10.0.0.5 443", "is a protocol, a space and a place"),
        ("tcp  10.0.0.5", "is a protocol, a space and a place"),
        ("TCP 10.0.0.5", "'TCP' is not tcp, udp, ping, icmp"),
        ("sctp 10.0.0.5", "'sctp' is not tcp, udp, ping, icmp"),
        ("-1 10.0.0.5", "'-1' is not tcp, udp, ping, icmp"),
        ("6 10.0.0.5", "protocol 6 is written 'tcp'"),
        ("17 10.0.0.5", "protocol 17 is written 'udp'"),
        ("1 10.0.0.5", "protocol 1 is written 'icmp'"),
        ("58 fd00::1", "protocol 58 is written 'icmp'"),
        ("256 10.0.0.5", "'256' is not a protocol (0 to 255)"),
        ("icmp/256 10.0.0.5", "'256' is not an ICMP type (0 to 255)"),
        ("icmp/ 10.0.0.5", "'' is not an ICMP type (0 to 255)"),
        ("icmp/echo 10.0.0.5", "'echo' is not an ICMP type (0 to 255)"),
        ("icmp/3 10.0.0.5", "type 3 are judged by the packet that they quote"),
        ("icmp/3 git.example.com", "type 3 are judged by the packet that they quote"),
        ("icmp/13 fd00::1", "type 13 are judged by the packet that they quote"),
        ("icmp/137 fd00::1", "type 137 are judged by the packet that they quote"),
        ("icmpv6 10.0.0.5", "icmpv6 is for IPv6 addresses, and at 10.0.0.5 written icmp"),
        ("icmpv6/128 git.example.com", "at git.example.com written icmp"),
        ("icmpv6/ fd00::1", "'' is not an ICMP type (0 to 255)"),
        ("ping/8 10.0.0.5", "'ping/8' is not tcp, udp, ping, icmp"),
        ("44 fd00::1", "44 is an extension header of IPv6"),
        ("icmp 10.0.0.5:8", "only tcp and udp have ports, and icmp has none"),
        ("ping 10.0.0.5:8", "only tcp and udp have ports, and ping has none"),
        ("47 [fd00::1]:8", "only tcp and udp have ports, and 47 has none"),
        ("tcp 10.0.0.5:", "'' is neither a port nor a range of ports"),
        ("tcp [fd00::1]:", "'' is neither a port nor a range of ports"),
        ("tcp 10.0.0.5:http", "'http' is neither a port nor a range of ports"),
        ("tcp 10.0.0.5:80,443", "'80,443' is neither a port nor a range of ports"),
        ("tcp 10.0.0.5:65536", "65536 is not a port"),
        ("tcp 10.0.0.5:9-8", "the first is behind the last"),
        ("tcp 10.0.0.5/24:80", "host bits"),
        ("tcp 10.0.0.0/255.0.0.0:80", "is not a network with a prefix length"),
        ("tcp 10.0.0.0/33", "is not a network"),
        ("tcp 10.0.0.256", "'10.0.0.256' is not an IP address"),
        ("tcp 10.0.0:80", "'10.0.0' is not an IP address"),
        ("tcp fd00::1:443:", "is not an IP address"),
        ("tcp fe80::1%eth0", "has a scope"),
        ("tcp [fd00::1", "is not [address] or [address]:ports"),
        ("tcp [fd00::1]443", "is not [address] or [address]:ports"),
        ("tcp [10.0.0.5]:443", "'10.0.0.5' stands in brackets, as only IPv6 does"),
        ("tcp [git.example.com]", "stands in brackets, as only IPv6 does"),
        ("tcp *.example.com", "'*.example.com' is not a domain name"),
        ("tcp :443", "'' is not a domain name"),
    ],
)
def test_what_is_no_target_says_what_is_wrong(text: str, what: str) -> None:
    with pytest.raises(InvalidPolicy) as caught:
        parse_target(text)
    assert str(caught.value).startswith(f"target {text!r}: ")
    assert what in str(caught.value)
    assert caught.value.value == text


def test_only_a_text_is_a_target() -> None:
    with pytest.raises(TypeError, match="a target is a str, not 443"):
        parse_target(443)  # type: ignore[arg-type]


@example("tcp 10.0.0.5:443")
@given(st.text(alphabet="tcpicmpv6udpping/0123456789 .:[]-gf", max_size=24))
def test_any_text_is_a_target_or_an_invalid_policy(text: str) -> None:
    try:
        target = parse_target(text)
    except InvalidPolicy:
        return
    assert parse_target(str(target)) == target


@pytest.mark.parametrize(
    ("text", "protocols", "types"),
    [
        ("tcp git.example.com", (6, 6), (None, None)),
        ("udp git.example.com", (17, 17), (None, None)),
        ("icmp git.example.com", (1, 58), (None, None)),
        ("ping git.example.com", (1, 58), (8, 128)),
        ("icmp/160 git.example.com", (1, 58), (160, 160)),
        ("47 git.example.com", (47, 47), (None, None)),
    ],
)
def test_protocol_and_type_are_those_of_the_ip_version(
    text: str, protocols: tuple[int, int], types: tuple[int | None, int | None]
) -> None:
    target = parse_target(text)
    assert (target.protocol_in(4), target.protocol_in(6)) == protocols
    assert (target.type_in(4), target.type_in(6)) == types
    assert target.name == "git.example.com"
    assert target.address is None


@pytest.mark.parametrize(
    ("text", "of_ipv4", "of_ipv6"),
    [
        ("tcp 10.0.0.5", True, False),
        ("tcp fd00::/64", False, True),
        ("tcp git.example.com", True, True),
        ("icmp git.example.com", True, True),
        ("icmp/8 git.example.com", True, False),
        ("icmp/137 git.example.com", True, False),
        ("icmp/128 git.example.com", True, True),
        ("47 git.example.com", True, True),
        ("51 git.example.com", True, False),
    ],
)
def test_a_target_is_of_the_versions_whose_packets_it_can_name(
    text: str, *, of_ipv4: bool, of_ipv6: bool
) -> None:
    target = parse_target(text)
    assert (target.is_of(4), target.is_of(6)) == (of_ipv4, of_ipv6)


@pytest.mark.parametrize(
    ("text", "address"),
    [("tcp 10.0.0.5:1", "10.0.0.5"), ("tcp fd00::1/128", "fd00::1"), ("tcp 10.0.0.0/31", None)],
)
def test_a_single_address_is_named_by_itself(text: str, address: str | None) -> None:
    found = parse_target(text).address
    assert (None if found is None else str(found)) == address
