"""What the library relies on in py-radix, on the version installed."""

import subprocess
import sys
from ipaddress import ip_address, ip_network
from typing import Any

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
