"""The network of the stories leaves nothing behind, by whatever end."""

import os
import signal
import sys
from multiprocessing import get_context
from multiprocessing.connection import Connection

import pytest

from tests.e2e.janitor import left
from tests.e2e.network import Network
from tests.e2e.programs import PATIENCE, wait_for
from tests.e2e.tunnels import Tunnel


@pytest.mark.usefixtures("able")
def test_a_network_is_removed_at_its_end(tunnel: Tunnel) -> None:
    with Network(tunnel) as network:
        network.restart("alice")
        assert left(network.token)
    assert not left(network.token)


@pytest.mark.usefixtures("able")
def test_a_network_is_removed_after_a_failure(tunnel: Tunnel) -> None:
    network = Network(tunnel)
    with pytest.raises(RuntimeError):
        fail_in(network)
    assert not left(network.token)


def fail_in(network: Network) -> None:
    with network:
        network.restart("alice")
        network["bob"].ip("link", "set", "nothing", "up")


@pytest.mark.usefixtures("able")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_network_is_removed_when_those_who_made_it_are_killed(
    tunnel: Tunnel, number: signal.Signals
) -> None:
    spawning = get_context("spawn")
    ours, theirs = spawning.Pipe()
    process = spawning.Process(target=die_in, args=(tunnel, number, theirs))
    process.start()
    theirs.close()
    assert ours.poll(PATIENCE)
    token = ours.recv()
    process.join(PATIENCE)
    wait_for("the janitor", lambda: not left(token))


def die_in(tunnel: Tunnel, number: signal.Signals, tell: Connection) -> None:
    os.setsid()  # Ctrl-C is for everybody in a group
    signal.signal(signal.SIGINT, signal.default_int_handler)  # the tests may ignore it
    sys.stderr.close()  # nobody wants to read of it
    with Network(tunnel) as network:
        tell.send(network.token)
        os.killpg(os.getpid(), number)
        signal.pause()
