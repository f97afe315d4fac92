"""The network of the stories leaves nothing behind."""

import pytest

from tests.e2e.network import Network
from tests.e2e.programs import run


def left_behind(network: Network) -> str:
    """Return what there is of a network outside its namespaces, and which of those there are."""
    listed = run("ip", "netns", "list").stdout + run("ip", "-oneline", "link").stdout
    return "".join(line for line in listed.splitlines() if network.token in line)


@pytest.mark.usefixtures("able")
def test_a_network_is_removed_at_its_end() -> None:
    with Network() as network:
        network.restart("alice")
        assert left_behind(network)
    assert not left_behind(network)


@pytest.mark.usefixtures("able")
def test_a_network_is_removed_after_a_failure() -> None:
    network = Network()
    with pytest.raises(RuntimeError):
        fail_in(network)
    assert not left_behind(network)


def fail_in(network: Network) -> None:
    with network:
        network.restart("alice")
        network["bob"].ip("link", "set", "nothing", "up")
