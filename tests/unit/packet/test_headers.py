"""Section 4, the headers: what is read of a packet, and what makes one malformed."""

import pytest

from firezone_filter.packet.headers import (
    MAX_EXTENSIONS,
    NO_PORT,
    Headers,
    read_headers,
    read_quoted_headers,
)
from firezone_filter.testing import (
    Extension,
    authentication,
    destination_options,
    fragment,
    fragment_header,
    hop_by_hop,
    icmp_echo,
    ip,
    ip_fragment,
    patched,
    resized,
    routing,
    tcp,
    udp,
)
from tests.numbers import (
    AUTHENTICATION,
    DESTINATION_OPTIONS,
    ESP,
    FRAGMENT,
    GRE,
    ICMPV4,
    ICMPV6,
    MOBILITY,
    NO_NEXT_HEADER,
    ROUTING,
    TCP,
    UDP,
)
from tests.unit.reading import read

V4 = "100.64.0.2:5401 > 10.0.0.5:443"
V6 = "[fd00:2021:1111::2]:5401 > [fd00:5::5]:443"
BARE_V4 = "100.64.0.2 > 10.0.0.5"
BARE_V6 = "fd00:2021:1111::2 > fd00:5::5"
BARE = [pytest.param(BARE_V4, id="ipv4"), pytest.param(BARE_V6, id="ipv6")]

CLIENT_V4 = bytes.fromhex("64400002")
HOST_V4 = bytes.fromhex("0a000005")
CLIENT_V6 = bytes.fromhex("fd002021111100000000000000000002")
HOST_V6 = bytes.fromhex("fd000005000000000000000000000005")

TCP_SYN_V4 = bytes.fromhex(
    "45"  # version 4, header of 5 words
    "00"  # service
    "002c"  # total length 44
    "1c46"  # identification
    "4000"  # don't fragment, offset 0
    "40"  # TTL 64
    "06"  # TCP
    "ee3e"  # header checksum
    "64400002"  # 100.64.0.2
    "0a000005"  # 10.0.0.5
    "1519"  # source port 5401
    "01bb"  # destination port 443
    "00000001"  # sequence number
    "00000000"  # acknowledgement
    "6002"  # header of 6 words, SYN
    "faf0"  # window
    "0000"  # checksum: the end hosts' to check
    "0000"  # urgent pointer
    "020405b4"  # option: maximum segment size 1460
)

UDP_WITH_OPTIONS_V4 = bytes.fromhex(
    "48"  # version 4, header of 8 words
    "c0"  # service
    "002c"  # total length 44
    "0001"  # identification
    "0000"  # whole
    "01"  # TTL 1
    "11"  # UDP
    "0000"  # header checksum: nobody looks
    "64400002"  # 100.64.0.2
    "0a000005"  # 10.0.0.5
    "94040000"  # option: router alert
    "01"  # option: no operation
    "070304"  # option: record route, 3 bytes
    "00000000"  # end of options, and filling
    "1519"  # source port 5401
    "01bb"  # destination port 443
    "000c"  # UDP length 12
    "0000"  # no checksum
    "64617461"  # data
)

ECHO_V4 = bytes.fromhex(
    "45"  # version 4, header of 5 words
    "00"  # service
    "001e"  # total length 30
    "0001"  # identification
    "0000"  # whole
    "40"  # TTL 64
    "01"  # ICMP
    "0000"  # header checksum: nobody looks
    "64400002"  # 100.64.0.2
    "0a000005"  # 10.0.0.5
    "08"  # echo request
    "00"  # code
    "0000"  # checksum: nobody looks
    "0001"  # identifier
    "0002"  # sequence number
    "6869"  # data
)

ESP_V4 = bytes.fromhex(
    "45"  # version 4, header of 5 words
    "00"  # service
    "0016"  # total length 22
    "0001"  # identification
    "0000"  # whole
    "40"  # TTL 64
    "32"  # ESP
    "0000"  # header checksum: nobody looks
    "64400002"  # 100.64.0.2
    "0a000005"  # 10.0.0.5
    "1234"  # the beginning of something that nobody reads
)

TCP_V6 = bytes.fromhex(
    "60012345"  # version 6, traffic class 0, flow label
    "0015"  # payload length 21
    "06"  # TCP
    "40"  # hop limit 64
    "fd002021111100000000000000000002"  # fd00:2021:1111::2
    "fd000005000000000000000000000005"  # fd00:5::5
    "1519"  # source port 5401
    "01bb"  # destination port 443
    "00000001"  # sequence number
    "00000002"  # acknowledgement
    "5010"  # header of 5 words, ACK
    "faf0"  # window
    "0000"  # checksum: nobody looks
    "0000"  # urgent pointer
    "21"  # data
)

UDP_BEHIND_EVERY_EXTENSION_V6 = bytes.fromhex(
    "60000000"  # version 6
    "0044"  # payload length 68
    "00"  # hop-by-hop options follow
    "40"  # hop limit 64
    "fd002021111100000000000000000002"  # fd00:2021:1111::2
    "fd000005000000000000000000000005"  # fd00:5::5
    # hop-by-hop options
    "3c"  # destination options follow
    "00"  # 8 bytes
    "05020000"  # router alert
    "0100"  # PadN of 2
    # destination options
    "2b"  # a routing header follows
    "01"  # 16 bytes
    "010c000000000000000000000000"  # PadN of 14
    # routing header
    "2c"  # a fragment header follows
    "00"  # 8 bytes
    "04"  # type 4: segment routing
    "00"  # no segments left
    "00000000"  # the rest of it
    # fragment header
    "33"  # an authentication header follows
    "00"  # reserved
    "0000"  # offset 0, nothing to come: an atomic fragment
    "00000007"  # identification
    # authentication header
    "11"  # UDP follows
    "02"  # 4 words, less two
    "0000"  # reserved
    "00000001"  # security parameters index
    "00000001"  # sequence number
    "deadbeef"  # integrity check value
    # UDP
    "1519"  # source port 5401
    "01bb"  # destination port 443
    "000c"  # UDP length 12
    "0000"  # checksum: nobody looks
    "64617461"  # data
)

ECHO_V6 = bytes.fromhex(
    "60000000"  # version 6
    "000a"  # payload length 10
    "3a"  # ICMPv6
    "ff"  # hop limit 255
    "fd002021111100000000000000000002"  # fd00:2021:1111::2
    "fd000005000000000000000000000005"  # fd00:5::5
    "80"  # echo request
    "00"  # code
    "0000"  # checksum: nobody looks
    "0001"  # identifier
    "0002"  # sequence number
    "6869"  # data
)

# Each with the least size that it can be cut to.
GOLDEN = [
    pytest.param(TCP_SYN_V4, 40, id="tcp-syn-v4"),
    pytest.param(UDP_WITH_OPTIONS_V4, 40, id="udp-with-options-v4"),
    pytest.param(ECHO_V4, 28, id="echo-v4"),
    pytest.param(ESP_V4, 20, id="esp-v4"),
    pytest.param(TCP_V6, 60, id="tcp-v6"),
    pytest.param(UDP_BEHIND_EVERY_EXTENSION_V6, 104, id="udp-behind-every-extension-v6"),
    pytest.param(ECHO_V6, 48, id="echo-v6"),
]


def is_malformed(packet: bytes) -> bool:
    return read_headers(packet) is None


# --- Golden packets ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("packet", "expected"),
    [
        (
            TCP_SYN_V4,
            Headers(CLIENT_V4, HOST_V4, TCP, 5401, 443, NO_PORT, 20, fragment=None),
        ),
        (
            UDP_WITH_OPTIONS_V4,
            Headers(CLIENT_V4, HOST_V4, UDP, 5401, 443, NO_PORT, 32, fragment=None),
        ),
        (
            ECHO_V4,
            Headers(CLIENT_V4, HOST_V4, ICMPV4, NO_PORT, NO_PORT, 8, 20, fragment=None),
        ),
        (
            ESP_V4,
            Headers(CLIENT_V4, HOST_V4, ESP, NO_PORT, NO_PORT, NO_PORT, 20, fragment=None),
        ),
        (
            TCP_V6,
            Headers(CLIENT_V6, HOST_V6, TCP, 5401, 443, NO_PORT, 40, fragment=None),
        ),
        (
            UDP_BEHIND_EVERY_EXTENSION_V6,
            Headers(CLIENT_V6, HOST_V6, UDP, 5401, 443, NO_PORT, 96, fragment=None),
        ),
        (
            ECHO_V6,
            Headers(CLIENT_V6, HOST_V6, ICMPV6, NO_PORT, NO_PORT, 128, 40, fragment=None),
        ),
    ],
    ids=["tcp-v4", "udp-options-v4", "echo-v4", "esp-v4", "tcp-v6", "extensions-v6", "echo-v6"],
)
def test_golden_packets_are_read_field_by_field(packet: bytes, expected: Headers) -> None:
    assert read_headers(packet) == expected


@pytest.mark.parametrize(("packet", "_least"), GOLDEN)
def test_every_truncation_of_a_golden_packet_is_malformed(packet: bytes, _least: int) -> None:
    assert all(is_malformed(packet[:size]) for size in range(len(packet)))


@pytest.mark.parametrize(("packet", "least"), GOLDEN)
def test_a_truncation_that_owns_up_to_its_length_passes_from_the_fixed_part_on(
    packet: bytes, least: int
) -> None:
    whole_header = 20 if packet[0] >> 4 == 4 else 40
    sizes = range(whole_header, len(packet) + 1)
    passed = [size for size in sizes if not is_malformed(resized(packet[:size]))]
    assert passed == list(range(least, len(packet) + 1))


@pytest.mark.parametrize(("packet", "_least"), GOLDEN)
@pytest.mark.parametrize("by", [-1, 1])
def test_a_length_field_that_lies_by_one_is_malformed(packet: bytes, _least: int, by: int) -> None:
    assert is_malformed(resized(packet, by))


# --- Rule 1: version, header, length -------------------------------------------------------


def test_nothing_at_all_is_malformed() -> None:
    assert is_malformed(b"")


@pytest.mark.parametrize("version", [0, 1, 2, 3, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15])
@pytest.mark.parametrize("packet", [TCP_SYN_V4, TCP_V6], ids=["ipv4", "ipv6"])
def test_only_versions_4_and_6_are_known(packet: bytes, version: int) -> None:
    assert is_malformed(patched(packet, 0, bytes([version << 4 | packet[0] & 0x0F])))


@pytest.mark.parametrize("words", range(5))
def test_an_ipv4_header_of_less_than_20_bytes_is_malformed(words: int) -> None:
    assert is_malformed(patched(ip(BARE_V4, GRE, bytes(40)), 0, bytes([0x40 | words])))


def test_an_ipv4_header_may_take_up_the_whole_packet() -> None:
    assert read(ip(BARE_V4, GRE, options=bytes(40))).transport == 60


def test_an_ipv4_header_that_is_longer_than_the_packet_is_malformed() -> None:
    assert is_malformed(patched(ip(BARE_V4, GRE, options=bytes(36)), 0, b"\x4f"))


def test_an_ipv4_packet_may_be_65535_bytes_long() -> None:
    assert not is_malformed(ip(BARE_V4, GRE, bytes(65_535 - 20)))


def test_an_ipv6_packet_may_carry_65535_bytes() -> None:
    assert not is_malformed(ip(BARE_V6, GRE, bytes(65_535)))


def test_an_ipv6_jumbogram_is_malformed() -> None:
    assert is_malformed(patched(ip(BARE_V6, GRE, bytes(65_535)) + b"x", 4, bytes(2)))


@pytest.mark.parametrize("flow", BARE)
def test_a_packet_of_an_unknown_protocol_needs_no_payload(flow: str) -> None:
    assert read(ip(flow, GRE)).protocol == GRE


# --- Rule 2: IPv4 options ------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        pytest.param("00000000", id="end at once"),
        pytest.param("01010101", id="no operation, to the end"),
        pytest.param("44040500", id="timestamp that fills the header"),
        pytest.param("07020000", id="shortest option"),
        pytest.param("0101070200000000", id="option behind no operations"),
        pytest.param("0083ff00", id="a source route behind the end is filling"),
        pytest.param("0703830000000000", id="a source route inside an option is data"),
        pytest.param("1f040000", id="unknown option"),
    ],
)
def test_well_formed_ipv4_options_pass(options: str) -> None:
    headers = read(udp(V4, options=bytes.fromhex(options)))
    assert headers.destination_port == 443


@pytest.mark.parametrize(
    "options",
    [
        pytest.param("01010107", id="no room for a length"),
        pytest.param("07000000", id="length 0"),
        pytest.param("07010000", id="length 1"),
        pytest.param("07050000", id="runs one byte past the header"),
        pytest.param("07ff0000", id="runs far past the header"),
        pytest.param("0101010107030044", id="last byte begins an option"),
        pytest.param("0702010107050400", id="a later option runs past the header"),
    ],
)
def test_ipv4_options_that_run_past_the_header_are_malformed(options: str) -> None:
    assert is_malformed(udp(V4, options=bytes.fromhex(options)))


@pytest.mark.parametrize("kind", [131, 137], ids=["loose", "strict"])
@pytest.mark.parametrize("before", [b"", b"\x01", b"\x07\x02"], ids=["first", "nop", "option"])
def test_ipv4_source_routes_are_malformed(kind: int, before: bytes) -> None:
    route = bytes([kind, 7, 4]) + HOST_V4
    assert is_malformed(udp(V4, options=before + route))


@pytest.mark.parametrize("kind", [130, 132, 136, 138])
def test_neighbours_of_the_source_routes_pass(kind: int) -> None:
    assert not is_malformed(udp(V4, options=bytes([kind, 4, 0, 0])))


# --- Rule 3: IPv6 extension headers --------------------------------------------------------


def test_a_chain_of_8_extension_headers_is_walked() -> None:
    assert MAX_EXTENSIONS == 8
    headers = read(udp(V6, extensions=[destination_options()] * 8))
    assert (headers.protocol, headers.destination_port) == (UDP, 443)


def test_a_chain_of_9_extension_headers_is_malformed() -> None:
    assert is_malformed(udp(V6, extensions=[destination_options()] * 9))


def test_a_fragment_header_counts_towards_the_8() -> None:
    chain = [destination_options()] * 7
    assert not is_malformed(udp(V6, extensions=[*chain, fragment_header()]))
    assert is_malformed(udp(V6, extensions=[*chain, fragment_header(), destination_options()]))


def test_a_later_fragment_may_stand_behind_7_extension_headers_and_not_behind_8() -> None:
    later = ip_fragment(BARE_V6, UDP, bytes(8), start=8, extensions=[destination_options()] * 7)
    assert read(later).is_later_fragment
    assert is_malformed(
        ip_fragment(BARE_V6, UDP, bytes(8), start=8, extensions=[destination_options()] * 8)
    )


@pytest.mark.parametrize(
    "extension",
    [
        hop_by_hop(),
        hop_by_hop(255),
        destination_options(255),
        routing(),
        routing(units=255),
        authentication(),
        authentication(255),
        fragment_header(),
    ],
)
def test_each_extension_header_is_walked_by_its_own_length(extension: Extension) -> None:
    headers = read(udp(V6, extensions=[extension]))
    assert headers.transport == 40 + 1 + len(extension.body)
    assert (headers.source_port, headers.destination_port) == (5401, 443)


@pytest.mark.parametrize("units", [0, 1, 2, 3, 4, 5])
def test_the_authentication_header_counts_in_words_less_two(units: int) -> None:
    headers = read(udp(V6, extensions=[authentication(units)]))
    assert headers.transport == 40 + 4 * (units + 2)


def test_in_ipv4_the_authentication_header_is_a_protocol_like_any_other() -> None:
    headers = read(ip(BARE_V4, AUTHENTICATION, b"\x06"))
    assert (headers.protocol, headers.transport) == (AUTHENTICATION, 20)


@pytest.mark.parametrize("number", [0, ROUTING, FRAGMENT, DESTINATION_OPTIONS])
def test_in_ipv4_no_extension_header_is_walked(number: int) -> None:
    assert read(ip(BARE_V4, number, b"\x06")).protocol == number


@pytest.mark.parametrize("missing", range(1, 9))
@pytest.mark.parametrize(
    "extension",
    [hop_by_hop(), destination_options(), routing(), authentication(0), fragment_header()],
)
def test_an_extension_header_of_less_than_8_bytes_is_malformed(
    extension: Extension, missing: int
) -> None:
    whole = ip(BARE_V6, GRE, extensions=[extension])
    assert not is_malformed(whole)
    assert is_malformed(resized(whole[:-missing]))


@pytest.mark.parametrize(
    "extension", [hop_by_hop(1), destination_options(1), routing(units=1), authentication(2)]
)
def test_an_extension_header_that_is_one_byte_short_is_malformed(extension: Extension) -> None:
    whole = ip(BARE_V6, GRE, extensions=[extension])
    assert not is_malformed(whole)
    assert is_malformed(resized(whole[:-1]))


@pytest.mark.parametrize(
    "chain",
    [
        [destination_options(), hop_by_hop()],
        [hop_by_hop(), hop_by_hop()],
        [fragment_header(), hop_by_hop()],
        [fragment_header(more=True), hop_by_hop()],
    ],
)
def test_hop_by_hop_options_come_only_first(chain: list[Extension]) -> None:
    assert is_malformed(udp(V6, extensions=chain))


@pytest.mark.parametrize("left", [0, 1, 255])
def test_a_routing_header_of_type_0_is_malformed(left: int) -> None:
    assert is_malformed(udp(V6, extensions=[routing(0, left)]))


@pytest.mark.parametrize("kind", [1, 2, 3, 4, 253, 255])
def test_another_routing_header_passes_only_with_no_segments_left(kind: int) -> None:
    assert not is_malformed(udp(V6, extensions=[routing(kind, 0)]))
    assert is_malformed(udp(V6, extensions=[routing(kind, 1)]))
    assert is_malformed(udp(V6, extensions=[routing(kind, 255)]))


@pytest.mark.parametrize(
    "chain",
    [
        [destination_options(), routing(0)],
        [routing(), routing(2, 1)],
        [fragment_header(), routing(0)],
        [fragment_header(more=True), routing(2, 1)],
    ],
)
def test_a_source_route_deeper_in_the_chain_is_malformed(chain: list[Extension]) -> None:
    assert is_malformed(udp(V6, extensions=chain))


@pytest.mark.parametrize(
    "chain",
    [
        [fragment_header(), fragment_header()],
        [fragment_header(more=True), fragment_header()],
        [fragment_header(), destination_options(), fragment_header(8)],
    ],
)
def test_a_second_fragment_header_is_malformed(chain: list[Extension]) -> None:
    assert is_malformed(udp(V6, extensions=chain))


@pytest.mark.parametrize("number", [ESP, NO_NEXT_HEADER, MOBILITY, 139, 140, 253, 255])
def test_any_other_number_ends_the_walk_and_is_the_protocol(number: int) -> None:
    headers = read(ip(BARE_V6, number, b"\x06", extensions=[destination_options()]))
    assert (headers.protocol, headers.transport) == (number, 48)
    assert headers.destination_port == NO_PORT


# --- Rule 4: fragments, and ICMP in its family ---------------------------------------------


@pytest.mark.parametrize(
    ("flow", "header"),
    [
        pytest.param(BARE_V4, 20, id="ipv4: the header counts along"),
        pytest.param(BARE_V6, 0, id="ipv6: the header does not"),
    ],
)
def test_a_fragment_may_end_at_byte_65535_and_not_one_later(flow: str, header: int) -> None:
    start = 65_528 - 8 * 3
    last = 65_535 - header - start
    assert read(ip_fragment(flow, UDP, bytes(last), start=start)).fragment is not None
    assert is_malformed(ip_fragment(flow, UDP, bytes(last + 1), start=start))


def test_ipv4_options_count_along_in_a_fragments_end() -> None:
    def at_end(size: int) -> bytes:
        return ip_fragment(BARE_V4, UDP, bytes(size), start=65_496, options=bytes(4))

    assert not is_malformed(at_end(65_535 - 65_496 - 24))
    assert is_malformed(at_end(65_535 - 65_496 - 24 + 1))


def test_extension_headers_before_the_fragment_header_count_along_in_its_end() -> None:
    def at_end(size: int) -> bytes:
        return ip_fragment(BARE_V6, UDP, bytes(size), start=65_520, extensions=[hop_by_hop()])

    assert not is_malformed(at_end(7))
    assert is_malformed(at_end(8))


@pytest.mark.parametrize("start", [0, 8])
@pytest.mark.parametrize("flow", BARE)
def test_a_fragment_with_more_to_come_is_a_multiple_of_8_long(flow: str, start: int) -> None:
    lengths = [
        size
        for size in range(8, 25)
        if not is_malformed(ip_fragment(flow, UDP, bytes(size), start=start, more=True))
    ]
    assert lengths == [8, 16, 24]


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9])
@pytest.mark.parametrize("flow", BARE)
def test_a_last_fragment_may_be_of_any_length(flow: str, size: int) -> None:
    assert not is_malformed(ip_fragment(flow, UDP, bytes(size), start=8))


@pytest.mark.parametrize("flow", BARE)
def test_a_first_fragment_tells_where_it_stands_and_what_was_judged(flow: str) -> None:
    piece = read(ip_fragment(flow, TCP, bytes(24), more=True)).fragment
    assert piece == (7, 0, True, 20)


@pytest.mark.parametrize("flow", BARE)
@pytest.mark.parametrize("more", [False, True])
def test_a_later_fragment_tells_where_it_stands_and_has_no_ports(flow: str, more: bool) -> None:  # noqa: FBT001
    headers = read(ip_fragment(flow, TCP, b"\x01" * 24, start=65_504 - 32, more=more))
    assert headers.fragment == (7, 65_472, more, 0)
    assert headers.is_later_fragment
    assert (headers.source_port, headers.destination_port) == (NO_PORT, NO_PORT)


@pytest.mark.parametrize(
    ("flow", "number", "part"),
    [
        (BARE_V4, TCP, 20),
        (BARE_V4, UDP, 8),
        (BARE_V4, ICMPV4, 8),
        (BARE_V4, ESP, 0),
        (BARE_V6, TCP, 20),
        (BARE_V6, UDP, 8),
        (BARE_V6, ICMPV6, 8),
        (BARE_V6, ESP, 0),
    ],
)
def test_what_is_judged_ends_with_the_fixed_part_of_the_transport(
    flow: str, number: int, part: int
) -> None:
    piece = read(ip_fragment(flow, number, bytes(24), more=True)).fragment
    assert piece is not None
    assert piece.judged == part


def test_headers_behind_the_fragment_header_are_judged_too() -> None:
    whole = udp(V6, bytes(32), extensions=[hop_by_hop(), destination_options(1), routing()])
    piece = read(fragment(whole, 0, 40, before=1)).fragment
    assert piece is not None
    assert piece.judged == 16 + 8 + 8


@pytest.mark.parametrize("flow", [V4, V6], ids=["ipv4", "ipv6"])
def test_a_whole_packet_is_no_fragment(flow: str) -> None:
    headers = read(udp(flow))
    assert headers.fragment is None
    assert not headers.is_later_fragment


def test_an_atomic_fragment_is_an_ordinary_packet() -> None:
    headers = read(udp(V6, b"odd", extensions=[fragment_header(0, more=False)]))
    assert headers.fragment is None
    assert headers.destination_port == 443


def test_reserved_bits_of_the_fragment_header_make_no_fragment() -> None:
    reserved = Extension(FRAGMENT, bytes.fromhex("ff0006 00000007"))
    assert read(udp(V6, extensions=[reserved])).fragment is None


@pytest.mark.parametrize("flags", [0x00, 0x40, 0x80, 0xC0])
def test_other_flags_of_ipv4_make_no_fragment(flags: int) -> None:
    assert read(patched(udp(V4), 6, bytes([flags]))).fragment is None


@pytest.mark.parametrize(("flow", "number"), [(BARE_V4, ICMPV6), (BARE_V6, ICMPV4)])
def test_icmp_in_the_wrong_family_is_malformed(flow: str, number: int) -> None:
    assert is_malformed(ip(flow, number, bytes(8)))


@pytest.mark.parametrize("start", [0, 8])
@pytest.mark.parametrize(("flow", "number"), [(BARE_V4, ICMPV6), (BARE_V6, ICMPV4)])
def test_icmp_in_the_wrong_family_is_malformed_also_in_fragments(
    flow: str, number: int, start: int
) -> None:
    assert is_malformed(ip_fragment(flow, number, bytes(8), start=start, more=True))
    assert is_malformed(ip_fragment(flow, number, bytes(8), start=start + 8))


def test_icmp_in_the_wrong_family_is_malformed_behind_extension_headers() -> None:
    assert is_malformed(ip(BARE_V6, ICMPV4, bytes(8), extensions=[destination_options()]))


# --- Rule 5: the transport's fixed part ----------------------------------------------------


@pytest.mark.parametrize(
    ("flow", "number", "part"),
    [
        (BARE_V4, TCP, 20),
        (BARE_V4, UDP, 8),
        (BARE_V4, ICMPV4, 8),
        (BARE_V6, TCP, 20),
        (BARE_V6, UDP, 8),
        (BARE_V6, ICMPV6, 8),
    ],
)
def test_the_fixed_part_of_the_transport_header_is_there(
    flow: str, number: int, part: int
) -> None:
    assert not is_malformed(ip(flow, number, bytes(part)))
    assert is_malformed(ip(flow, number, bytes(part - 1)))


@pytest.mark.parametrize("flow", BARE)
def test_a_first_fragment_must_have_the_fixed_part_too(flow: str) -> None:
    assert not is_malformed(ip_fragment(flow, TCP, bytes(24), more=True))
    assert is_malformed(ip_fragment(flow, TCP, bytes(16), more=True))


@pytest.mark.parametrize("flow", BARE)
def test_a_later_fragment_needs_no_transport_header(flow: str) -> None:
    assert not is_malformed(ip_fragment(flow, TCP, b"x", start=24))


@pytest.mark.parametrize("flow", [V4, V6], ids=["ipv4", "ipv6"])
def test_nothing_else_of_the_transport_is_looked_at(flow: str) -> None:
    whole = tcp(flow)
    offset = len(whole) - 8
    assert read(patched(whole, offset, bytes(4))) == read(whole)
    datagram = udp(flow)
    assert read(patched(datagram, len(datagram) - 4, b"\xff\xff\xff\xff")) == read(datagram)


# --- Quotes: the same rules, lengths aside -------------------------------------------------

QUOTABLE = [
    pytest.param(TCP_SYN_V4, 28, id="tcp-syn-v4"),
    pytest.param(UDP_WITH_OPTIONS_V4, 40, id="udp-with-options-v4"),
    pytest.param(ECHO_V4, 28, id="echo-v4"),
    pytest.param(ESP_V4, 20, id="esp-v4"),
    pytest.param(TCP_V6, 48, id="tcp-v6"),
    pytest.param(UDP_BEHIND_EVERY_EXTENSION_V6, 104, id="udp-behind-every-extension-v6"),
    pytest.param(ECHO_V6, 48, id="echo-v6"),
]


@pytest.mark.parametrize(("packet", "least"), QUOTABLE)
def test_a_quote_may_be_cut_behind_8_bytes_of_the_transport(packet: bytes, least: int) -> None:
    read_sizes = [
        size
        for size in range(len(packet) + 1)
        if read_quoted_headers(packet[:size]) == read_headers(packet)
    ]
    assert read_sizes == list(range(least, len(packet) + 1))


@pytest.mark.parametrize(("packet", "least"), QUOTABLE)
def test_a_quote_that_is_cut_before_is_of_no_use(packet: bytes, least: int) -> None:
    assert all(read_quoted_headers(packet[:size]) is None for size in range(least))


@pytest.mark.parametrize(("packet", "_least"), QUOTABLE)
@pytest.mark.parametrize("by", [-1, 1])
def test_the_length_field_of_a_quote_does_not_count(packet: bytes, _least: int, by: int) -> None:
    assert read_quoted_headers(resized(packet, by)) == read_headers(packet)


@pytest.mark.parametrize("flow", BARE)
def test_the_length_of_a_quoted_fragment_does_not_count(flow: str) -> None:
    odd = read_quoted_headers(ip_fragment(flow, UDP, bytes(9), more=True))
    assert odd is not None
    assert odd.fragment is not None
    beyond = read_quoted_headers(ip_fragment(flow, UDP, bytes(80), start=65_528))
    assert beyond is not None
    assert beyond.is_later_fragment


@pytest.mark.parametrize(
    "quote",
    [
        pytest.param(patched(TCP_SYN_V4, 0, b"\x55"), id="version"),
        pytest.param(patched(TCP_SYN_V4, 0, b"\x44"), id="header length"),
        pytest.param(udp(V4, options=b"\x83\x03\x04"), id="source route"),
        pytest.param(udp(V6, extensions=[routing(0)]), id="routing header of type 0"),
        pytest.param(udp(V6, extensions=[routing(2, 1)]), id="segments left"),
        pytest.param(udp(V6, extensions=[destination_options()] * 9), id="chain of 9"),
        pytest.param(ip(BARE_V4, ICMPV6, bytes(8)), id="ICMPv6 in IPv4"),
        pytest.param(ip(BARE_V6, ICMPV4, bytes(8)), id="ICMPv4 in IPv6"),
    ],
)
def test_a_quote_that_breaks_the_other_rules_is_of_no_use(quote: bytes) -> None:
    assert read_quoted_headers(quote) is None


def test_an_echo_in_a_quote_has_its_type() -> None:
    quoted = read_quoted_headers(icmp_echo(BARE_V6, reply=True)[:48])
    assert quoted is not None
    assert quoted.icmp_type == 129
