"""What the library relies on in py-radix and dpkt, on the versions installed."""

import subprocess
import sys
from ipaddress import ip_address, ip_network
from struct import Struct
from typing import Any

import dpkt
import pytest
from radix import Radix

# --- py-radix ----------------------------------------------------------------------------


def add(tree: Radix, network: str) -> Any:  # noqa: ANN401 - py-radix is untyped
    wanted = ip_network(network)
    return tree.add(packed=wanted.network_address.packed, masklen=wanted.prefixlen)


def delete(tree: Radix, network: str) -> None:
    wanted = ip_network(network)
    tree.delete(packed=wanted.network_address.packed, masklen=wanted.prefixlen)


def tree_of(*networks: str) -> Radix:
    tree = Radix()
    for network in networks:
        add(tree, network)
    return tree


def covering(tree: Radix, address: str) -> list[str]:
    """Return the networks that cover an address, as the library walks them."""
    found = []
    node = tree.search_best(packed=ip_address(address).packed)
    while node is not None:
        found.append(node.prefix)
        node = node.parent
    return found


def test_the_tree_is_the_one_in_c() -> None:
    # py-radix falls back to pure Python without a word, whose nodes are of `radix.radix`.
    assert type(add(Radix(), "10.0.0.0/8")).__module__ == "_radix"


def test_without_its_c_extension_the_library_does_not_start() -> None:
    # The tree in Python forgets networks that were not deleted, and keeps some that were.
    hidden = "import sys; sys.modules['radix._radix'] = None; import firezone_filter"
    run = subprocess.run(  # noqa: S603 - a program written right here
        [sys.executable, "-c", hidden], capture_output=True, text=True, check=False
    )
    assert run.returncode == 1
    assert run.stderr.splitlines()[-1].startswith("ImportError: py-radix is installed without")


def test_an_empty_tree_covers_nothing() -> None:
    assert Radix().search_best(packed=b"\x0a\x00\x00\x01") is None


def test_arguments_may_be_positional_with_minus_one_for_no_mask_length() -> None:
    tree = tree_of("10.0.0.0/8")
    assert tree.search_best(None, -1, b"\x0a\x00\x00\x01").prefix == "10.0.0.0/8"


def test_adding_searching_and_deleting_take_their_arguments_in_this_order() -> None:
    tree = Radix()
    tree.add(None, 8, b"\x0a\x00\x00\x00")
    assert tree.search_exact(None, 8, b"\x0a\x00\x00\x00").prefix == "10.0.0.0/8"
    tree.delete(None, 8, b"\x0a\x00\x00\x00")
    assert tree.search_exact(None, 8, b"\x0a\x00\x00\x00") is None


def test_a_bound_method_leads_back_to_its_tree() -> None:
    tree = tree_of("10.0.0.0/8")
    assert tree.add.__self__.search_best("10.0.0.1").prefix == "10.0.0.0/8"


def test_covering_networks_come_longest_first() -> None:
    tree = tree_of("10.0.0.0/8", "0.0.0.0/0", "10.0.0.0/24", "10.0.0.1/32", "10.0.0.0/16")
    assert covering(tree, "10.0.0.1") == [
        "10.0.0.1/32",
        "10.0.0.0/24",
        "10.0.0.0/16",
        "10.0.0.0/8",
        "0.0.0.0/0",
    ]


def test_covering_networks_come_longest_first_in_ipv6() -> None:
    tree = tree_of("fd00::/8", "::/0", "fd00::1/128", "fd00::/64")
    assert covering(tree, "fd00::1") == ["fd00::1/128", "fd00::/64", "fd00::/8", "::/0"]


def test_networks_beside_the_address_do_not_cover_it() -> None:
    tree = tree_of("10.0.0.0/24", "10.0.2.0/24", "10.0.0.0/8", "11.0.0.0/8")
    assert covering(tree, "10.0.1.1") == ["10.0.0.0/8"]


@pytest.mark.parametrize(
    ("network", "address"), [("0.0.0.0/0", "::"), ("::/0", "10.0.0.1"), ("::/96", "10.0.0.1")]
)
def test_families_are_kept_apart(network: str, address: str) -> None:
    assert covering(tree_of(network), address) == []


@pytest.mark.parametrize("network", ["0.0.0.0/0", "::/0"])
def test_the_network_of_everything_has_no_parent(network: str) -> None:
    assert add(Radix(), network).parent is None


def test_branching_points_are_never_returned() -> None:
    # These two meet in a node of the tree's own at 10.0.0.0/23.
    tree = tree_of("10.0.0.0/24", "10.0.1.0/24")
    assert covering(tree, "10.0.0.1") == ["10.0.0.0/24"]


def test_a_deleted_network_that_is_still_a_branching_point_is_not_returned() -> None:
    tree = tree_of("10.0.0.0/23", "10.0.0.0/24", "10.0.1.0/24")
    delete(tree, "10.0.0.0/23")
    assert covering(tree, "10.0.0.1") == ["10.0.0.0/24"]


def test_a_branching_point_can_become_a_network() -> None:
    tree = tree_of("10.0.0.0/24", "10.0.1.0/24")
    add(tree, "10.0.0.0/23")
    assert covering(tree, "10.0.0.1") == ["10.0.0.0/24", "10.0.0.0/23"]


def test_a_node_starts_without_data() -> None:
    assert add(Radix(), "10.0.0.0/8").data == {}


def test_adding_again_returns_the_node_with_its_data() -> None:
    tree = Radix()
    add(tree, "10.0.0.0/8").data["entries"] = ["kept"]
    assert add(tree, "10.0.0.0/8").data == {"entries": ["kept"]}


def test_searching_finds_the_data_itself() -> None:
    tree, entries = Radix(), ["kept"]
    add(tree, "10.0.0.0/8").data["entries"] = entries
    assert tree.search_best(packed=b"\x0a\x00\x00\x01").data["entries"] is entries


def test_parents_have_their_own_data() -> None:
    tree = Radix()
    add(tree, "10.0.0.0/8").data["entries"] = ["wide"]
    add(tree, "10.0.0.0/24").data["entries"] = ["narrow"]
    assert tree.search_best(packed=b"\x0a\x00\x00\x01").parent.data["entries"] == ["wide"]


def test_a_deleted_network_covers_nothing() -> None:
    tree = tree_of("10.0.0.0/8")
    delete(tree, "10.0.0.0/8")
    assert covering(tree, "10.0.0.1") == []


def test_deleting_leaves_shorter_and_longer_prefixes() -> None:
    tree = tree_of("10.0.0.0/8", "10.0.0.0/16", "10.0.0.0/24")
    delete(tree, "10.0.0.0/16")
    assert covering(tree, "10.0.0.1") == ["10.0.0.0/24", "10.0.0.0/8"]


def test_data_is_not_left_behind_by_a_deleted_network() -> None:
    tree = tree_of("10.0.0.0/24", "10.0.1.0/24")
    add(tree, "10.0.0.0/23").data["entries"] = ["old"]
    delete(tree, "10.0.0.0/23")
    assert add(tree, "10.0.0.0/23").data == {}


# --- dpkt --------------------------------------------------------------------------------

SOURCE_4, DESTINATION_4 = ip_address("10.0.0.5").packed, ip_address("100.64.0.2").packed
SOURCE_6 = ip_address("2001:db8::5").packed
DESTINATION_6 = ip_address("fd00:2021:1111::2").packed


def internet_checksum(data: bytes) -> int:
    """Return what a receiver computes over data and checksum: 0 if they agree (RFC 1071)."""
    padded = data + b"\x00" * (len(data) % 2)
    total = sum(word for (word,) in Struct("!H").iter_unpack(padded))
    return ~(total % 0xFFFF or 0xFFFF) & 0xFFFF


def icmp4(quote: bytes) -> bytes:
    message = dpkt.icmp.ICMP(type=3, code=13, data=dpkt.icmp.ICMP.Unreach(data=quote))
    return bytes(dpkt.ip.IP(src=SOURCE_4, dst=DESTINATION_4, p=1, ttl=64, data=message))


def icmp6(quote: bytes) -> bytes:
    message = dpkt.icmp6.ICMP6(type=1, code=1, data=dpkt.icmp6.ICMP6.Unreach(data=quote))
    return bytes(
        dpkt.ip6.IP6(
            src=SOURCE_6, dst=DESTINATION_6, nxt=58, hlim=64, plen=len(message), data=message
        )
    )


# Even and odd, none, and bytes that are no packet at all.
QUOTES = {
    "nothing": b"",
    "one-byte": b"\x45",
    "ones": b"\xff" * 20,
    "odd": bytes(range(255)),
    "548-zeros": bytes(548),
    "1232-zeros": bytes(1_232),
}
every_quote = pytest.mark.parametrize("quote", QUOTES.values(), ids=QUOTES)


@every_quote
def test_dpkt_fills_in_length_and_checksums_of_an_icmpv4_error(quote: bytes) -> None:
    packet = icmp4(quote)
    assert (len(packet), packet[28:]) == (28 + len(quote), quote)
    assert int.from_bytes(packet[2:4]) == len(packet)
    assert internet_checksum(packet[:20]) == internet_checksum(packet[20:]) == 0


def test_the_headers_of_an_icmpv4_error_are_what_was_asked_for() -> None:
    packet = icmp4(b"quote")
    assert (packet[0], packet[6:10]) == (0x45, bytes([0, 0, 64, 1]))
    assert packet[12:20] == SOURCE_4 + DESTINATION_4
    assert (packet[20:22], packet[24:28]) == (bytes([3, 13]), bytes(4))


@every_quote
def test_dpkt_fills_in_the_checksum_of_an_icmpv6_error_and_takes_its_length(quote: bytes) -> None:
    packet = icmp6(quote)
    assert (len(packet), packet[48:]) == (48 + len(quote), quote)
    assert int.from_bytes(packet[4:6]) == 8 + len(quote)
    pseudo_header = packet[8:40] + (len(packet) - 40).to_bytes(4) + bytes([0, 0, 0, 58])
    assert internet_checksum(pseudo_header + packet[40:]) == 0


def test_dpkt_does_not_fill_in_the_payload_length_of_ipv6() -> None:
    packet = bytes(dpkt.ip6.IP6(src=SOURCE_6, dst=DESTINATION_6, nxt=58, data=b"payload"))
    assert int.from_bytes(packet[4:6]) == 0


def test_the_headers_of_an_icmpv6_error_are_what_was_asked_for() -> None:
    packet = icmp6(b"quote")
    assert (packet[:4], packet[6:8]) == (bytes([0x60, 0, 0, 0]), bytes([58, 64]))
    assert packet[8:40] == SOURCE_6 + DESTINATION_6
    assert (packet[40:42], packet[44:48]) == (bytes([1, 1]), bytes(4))
