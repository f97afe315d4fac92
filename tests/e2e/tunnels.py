"""What stands between a client and the gateway: two ways to bring packets to an interface.

`Plain` is an interface and nothing else, the end of any VPN that sees to it by itself who sends
from where. `WireGuard` is the real one, in user space, at both ends.
"""

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from tests.e2e.janitor import WIREGUARD
from tests.e2e.programs import must

if TYPE_CHECKING:
    from tests.e2e.network import Network

PORT: Final = 51820

# Both ends have the same, so that neither has to ask where the other is: the filter lets no
# such question through, and WireGuard has no link-layer addresses.
MAC: Final = "02:00:00:00:00:01"


class Tunnel(Protocol):
    """Joins clients to the gateway; `TUNNELS` of `network` has their addresses."""

    options: tuple[str, ...]
    """What the gateway's command line has to say of it."""

    link: str
    """What a client's end of the link to the gateway is called."""

    end_of_alice: str
    """What the gateway's interface is called behind which Alice is."""

    def interfaces(self, network: "Network") -> list[str]:
        """Return the interfaces of the gateway in which it ends."""

    def begin(self, network: "Network") -> None:
        """Lay the gateway's end."""

    def join(self, network: "Network", client: str) -> None:
        """Lay a client's end; what it was before, the client forgets."""


class Plain:
    """A link to each client, whose end is the interface."""

    options: tuple[str, ...] = ("--no-peers",)
    link: str = "tun"
    end_of_alice: str = "alice"

    def interfaces(self, network: "Network") -> list[str]:
        return [network.device(client) for client in ("alice", "bob")]

    def begin(self, network: "Network") -> None:
        network.own("lo")

    def join(self, network: "Network", client: str) -> None:
        ours, theirs = network.device(client), network.device("tun")
        for end, device in (("gateway", ours), (client, theirs)):
            network[end].ip("link", "set", device, "down")
            network[end].ip("link", "set", device, "address", MAC, "mtu", "1420", "arp", "off")
            network[end].ip("link", "set", device, "addrgenmode", "none")
            network[end].ip("link", "set", device, "up")
        network.equip(client)
        network.lead(client, ours)


class WireGuard:
    """wireguard-go at both ends."""

    options: tuple[str, ...] = ()
    link: str = "up"
    end_of_alice: str = "wg"

    def __init__(self) -> None:
        self._keys: dict[str, tuple[str, str]] = {}

    def interfaces(self, network: "Network") -> list[str]:
        return [network.device("wg")]

    def begin(self, network: "Network") -> None:
        device = network.device("wg")
        self._start(network, "gateway", device)
        self._configure(device, "gateway", "listen-port", str(PORT))
        network["gateway"].ip("link", "set", device, "up")
        network.own(device)

    def join(self, network: "Network", client: str) -> None:
        device = network.device(f"wg-{client}")
        self._start(network, client, device)
        near = network.carry(client)
        self.admit(network, client)
        there = ("peer", self._key("gateway")[1], "endpoint", f"{near}:{PORT}")
        # It speaks first, or the gateway would speak to the machine before until it gives up.
        speak = ("persistent-keepalive", "25")
        self._configure(device, client, *there, "allowed-ips", "0.0.0.0/0,::/0", *speak)
        network[client].ip("link", "set", device, "name", network.device("tun"), "up")
        network.equip(client)

    def renew(self, network: "Network", client: str) -> None:
        """Have a client come with another key the next time."""
        self.bar(network, client)
        del self._keys[client]

    def replace(self, network: "Network", client: str) -> None:
        """Do the same, but without a moment in which nobody has its addresses."""
        old = self._keys.pop(client)[1]
        new, allowed = self._key(client)[1], ",".join(network.addresses(client))
        change = ("peer", old, "remove", "peer", new, "allowed-ips", allowed)
        must("wg", "set", network.device("wg"), *change)

    def public_key(self, role: str) -> str:
        """Return somebody's public key."""
        return self._key(role)[1]

    def admit(self, network: "Network", client: str) -> None:
        """Bind a client's addresses to its key; whoever had them has none any more."""
        allowed = ",".join(network.addresses(client))
        key = self._key(client)[1]
        must("wg", "set", network.device("wg"), "peer", key, "allowed-ips", allowed)
        network.lead(client, network.device("wg"))

    def bar(self, network: "Network", client: str) -> None:
        """Let a client's key be nobody's."""
        must("wg", "set", network.device("wg"), "peer", self._key(client)[1], "remove")

    def _start(self, network: "Network", role: str, device: str) -> None:
        (WIREGUARD / f"{device}.sock").unlink(missing_ok=True)
        must("ip", "netns", "exec", network[role].name, program() or "wireguard-go", device)
        # As the kernel's own WireGuard: nothing but what it is given goes through it.
        network[role].ip("link", "set", device, "addrgenmode", "none")

    def _configure(self, device: str, role: str, *settings: str) -> None:
        _wg("set", device, "private-key", "/dev/stdin", *settings, text=self._key(role)[0])

    def _key(self, role: str) -> tuple[str, str]:
        """Return somebody's private and public key."""
        if role not in self._keys:
            private = _wg("genkey")
            self._keys[role] = private, _wg("pubkey", text=private)
        return self._keys[role]


class Quick(WireGuard):
    """Nothing but the way between: `wg-quick` does the rest, as the documentation says."""

    def begin(self, network: "Network") -> None:
        pass

    def join(self, network: "Network", client: str) -> None:
        network.carry(client)

    def gaps(self, role: str) -> dict[str, str]:
        """Return what the documentation leaves open for somebody to fill in, by how it says so."""
        return {
            "(wg genkey)": self._key(role)[0],
            "(of Alice)": self._key("alice")[1],
            "(of the gateway)": self._key("gateway")[1],
        }


def _wg(*words: str, text: str | None = None) -> str:
    done = subprocess.run(("wg", *words), input=text, capture_output=True, check=True, text=True)
    return done.stdout.strip()


def program() -> str | None:
    """Return where wireguard-go is, or `None`; `.ci/wireguard-go` builds it."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    built = sorted((caches / "firezone-filter").glob("*/wireguard-go"))
    return shutil.which("wireguard-go") or (str(built[-1]) if built else None)


def lacking() -> str | None:
    """Return why there is no real WireGuard, or `None`."""
    if shutil.which("wg") is None:
        return "wg is not installed: apt-get install wireguard-tools"
    return None if program() else "wireguard-go is not built: .ci/wireguard-go"
