"""The network of the stories: namespaces that are joined to each other and to nothing else.

```text
alice  192.0.2.2 ── 192.0.2.1 ┐
                              gateway  10.0.0.1 ── 10.0.0.2  router ──┬── 10.20.0.10  host
bob    192.0.2.6 ── 192.0.2.5 ┘                                       └── 10.30.0.10
```

What is between the clients' machines and the gateway is the tunnel's own (`tunnels`): it is either
the link itself, or WireGuard over it.

All links have an MTU of 1,500 bytes, but the router's way to 10.30.0.10 has one of 1,300. The
host sends everything by the other link, so nobody but the router knows of the narrow one. In
IPv6 it is the same with other addresses; the clients reach the gateway over IPv4.
"""

import secrets
import subprocess
from pathlib import Path
from typing import Self

from tests.e2e.janitor import Janitor, remove
from tests.e2e.programs import inside, must, run
from tests.e2e.tunnels import Plain, Tunnel

NARROW_MTU = 1300

CARRIERS = {"alice": ("192.0.2.1", "192.0.2.2"), "bob": ("192.0.2.5", "192.0.2.6")}
"""The gateway's and the client's ends of the link between them."""

TUNNELS = {
    "gateway": ("100.64.0.1", "fd00:2021:1111::1"),
    "alice": ("100.64.0.2", "fd00:2021:1111::2"),
    "bob": ("100.64.0.3", "fd00:2021:1111::3"),
}
"""Addresses inside the tunnel."""

TUNNEL_RANGES = ("100.64.0.0/11", "fd00:2021:1111::/107")
DNS_RANGES = ("100.96.0.0/11", "fd00:2021:1111:8000::/107")
PROXIES = ("100.96.0.1", "fd00:2021:1111:8000::1")
"""Stand for some name."""

ROUTER = ("10.0.0.2", "fd10:a::2")
FILES = ("10.20.0.10", "fd10:14::10")
OTHER = ("10.20.0.11", "fd10:14::11")
NARROW = ("10.30.0.10", "fd10:1e::10")
NETWORKS = ("10.0.0.0/8", "fd10::/16")
"""What the clients find behind the gateway."""

ROUTES_OF_CLIENTS = (*NETWORKS, *TUNNEL_RANGES, *DNS_RANGES)
"""What a client sends through its tunnel."""

STRICT = {"alice": "0", "bob": "0", "gateway": "1", "router": "0", "host": "0"}
"""Who checks by which way packets come (`rp_filter`): the gateway, as hosts of the library
should. What comes for 10.30.0.10 and what comes from there take different ways."""

ADDRESSES = (
    ("gateway", "net", "10.0.0.1/24", "fd10:a::1/64"),
    ("router", "up", "10.0.0.2/24", "fd10:a::2/64"),
    ("router", "net", "10.20.0.1/24", "fd10:14::1/64"),
    ("router", "narrow", "10.30.0.1/24", "fd10:1e::1/64"),
    ("host", "eth", "10.20.0.10/24", "fd10:14::10/64", "10.20.0.11/24", "fd10:14::11/64"),
    ("host", "narrow", "10.30.0.10/32", "fd10:1e::10/128"),
)

ROUTES = (
    ("gateway", ("10.0.0.0/8", "10.0.0.2"), ("fd10::/16", "fd10:a::2")),
    ("router", ("100.64.0.0/11", "10.0.0.1"), ("fd00:2021:1111::/107", "fd10:a::1")),
    ("host", ("default", "10.20.0.1"), ("default", "fd10:14::1")),
)


class Namespace:
    """A network namespace of this run, in which programs run."""

    def __init__(self, name: str) -> None:
        self.name = name
        must("ip", "netns", "add", name)
        try:
            self.ip("link", "set", "lo", "up")
            # No address is another's too, and nobody has to wait to find that out.
            self.set(ipv6__conf__default__accept_dad="0", ipv6__conf__all__accept_dad="0")
        except BaseException:
            self.remove()
            raise

    def ip(self, *command: str) -> None:
        """Change something by `ip`."""
        must("ip", "-n", self.name, *command)

    def run(self, *command: str, timeout: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Run a program to its end."""
        return run("ip", "netns", "exec", self.name, *command, timeout=timeout)

    def set(self, **switches: str) -> None:
        """Write to files of /proc/sys/net; `__` stands for `/`."""
        with inside(self.name):
            for switch, value in switches.items():
                Path("/proc/sys/net", switch.replace("__", "/")).write_text(value)

    def counter(self, name: str) -> int:
        """Return what the kernel has counted: one of `nstat -az`, such as `IpFragCreates`."""
        return int(self.run("nstat", "-asz", name).stdout.split()[-2])

    def remove(self) -> None:
        """Remove it, with all devices and all that still runs in it."""
        remove(self.name)


class Network:
    """The network of the stories. Use it with `with`: at the end it is removed."""

    def __init__(self, tunnel: Tunnel | None = None) -> None:
        self.tunnel = tunnel or Plain()
        self.token = secrets.token_hex(3)
        """What all names of this run have in them."""
        self._namespaces: dict[str, Namespace] = {}
        self._janitor = Janitor(self.token)
        self._restarts = 0

    def __getitem__(self, role: str) -> Namespace:
        """Return the namespace of `alice`, `bob`, `gateway`, `router` or `host`."""
        return self._namespaces[role]

    def __enter__(self) -> Self:
        try:
            self._build()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._janitor.clean()

    def device(self, role: str) -> str:
        """Return a name for a device, this run's own; names have at most 15 characters."""
        return f"{role}-{self.token}"

    def restart(self, client: str) -> None:
        """Put a client's whole machine out of the way: the new one knows nothing of the old."""
        self._restarts += 1
        old, new = self[client], self._namespace(f"{client}{self._restarts}")
        old.ip("link", "set", self.device(self.tunnel.link), "netns", new.name)
        old.remove()
        self._namespaces[client] = new
        self.tunnel.join(self, client)

    # --- For tunnels -----------------------------------------------------------------------

    def carry(self, client: str) -> str:
        """Let a client and the gateway reach each other; return the address of the gateway."""
        near, far = CARRIERS[client]
        for role, device, address in (("gateway", client, near), (client, "up", far)):
            self[role].ip("link", "set", self.device(device), "up")
            self[role].ip("address", "replace", f"{address}/30", "dev", self.device(device))
        return near

    def addresses(self, role: str) -> list[str]:
        """Return somebody's addresses inside the tunnel, with their lengths."""
        ipv4, ipv6 = TUNNELS[role]
        return [f"{ipv4}/32", f"{ipv6}/128"]

    def own(self, device: str) -> None:
        """Give the gateway its addresses inside the tunnel."""
        for address in self.addresses("gateway"):
            self["gateway"].ip("address", "add", address, "dev", device)

    def equip(self, client: str) -> None:
        """Give a client its addresses, and let it send what it should through the tunnel."""
        device = self.device("tun")
        for address in self.addresses(client):
            self[client].ip("address", "replace", address, "dev", device)
        for network in ROUTES_OF_CLIENTS:
            self[client].ip("route", "replace", network, "dev", device)

    def lead(self, client: str, device: str) -> None:
        """Let the gateway's kernel find a client behind a device."""
        for address in self.addresses(client):
            self["gateway"].ip("route", "replace", address, "dev", device)

    def _namespace(self, role: str) -> Namespace:
        return Namespace(f"ff-{self.token}-{role}")

    def _build(self) -> None:
        for role, strict in STRICT.items():
            self._namespaces[role] = self._namespace(role)
            self[role].set(ipv4__conf__all__rp_filter=strict)
            self[role].set(ipv4__conf__default__rp_filter=strict)
        for role in ("gateway", "router"):
            self[role].set(ipv4__ip_forward="1", ipv6__conf__all__forwarding="1")
        self["gateway"].set(ipv4__tcp_early_demux="0", ipv4__udp_early_demux="0")
        self.tunnel.begin(self)
        for client in CARRIERS:
            self._join(client, self.tunnel.link, "gateway", client)
            self.tunnel.join(self, client)
        self._join("gateway", "net", "router", "up")
        self._join("router", "net", "host", "eth")
        self._join("router", "narrow", "host", "narrow")
        for role, device, *addresses in ADDRESSES:
            self._address(role, device, *addresses)
        self["router"].ip("link", "set", self.device("narrow"), "mtu", str(NARROW_MTU))
        for role, *ways in ROUTES:
            self._route(role, *ways)

    def _join(self, one: str, device: str, other: str, port: str) -> None:
        """Lay a link; its devices are never outside the two namespaces."""
        near = (self.device(device), "netns", self[one].name)
        far = ("name", self.device(port), "netns", self[other].name)
        must("ip", "link", "add", *near, "type", "veth", "peer", *far)
        self[one].ip("link", "set", self.device(device), "up")
        self[other].ip("link", "set", self.device(port), "up")

    def _address(self, role: str, device: str, *addresses: str) -> None:
        for address in addresses:
            self[role].ip("address", "add", address, "dev", self.device(device))

    def _route(self, role: str, *ways: tuple[str, str]) -> None:
        for network, router in ways:
            family = "-6" if ":" in router else "-4"
            self[role].ip(family, "route", "add", network, "via", router)
