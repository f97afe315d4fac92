"""A client and a server with a relay between them: the least network that a host needs.

```text
client  100.64.0.2 ── (wg) gateway (net) ── 10.20.0.10  server
```

The link to the client stands in the place of a WireGuard device: a VPN that ends in an interface.
What comes from it is routed to the relay's outbound device, and what is for a tunnel address to
its inbound one; what the relay writes takes the main way.
"""

import json
import signal
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from tests.e2e.network import DNS_RANGES, FILES, TUNNEL_RANGES, TUNNELS, Namespace
from tests.e2e.policies import Json
from tests.e2e.programs import Logging, must, python

RELAY = "tests.e2e.relay"
MTU = 1420

_WG = {"client": ("192.0.2.2", "fd10:63::2"), "gateway": ("192.0.2.1", "fd10:63::1")}
_NET = ("10.20.0.1", "fd10:14::1")
_PREFIXES = ("/24", "/64")
_FAMILIES = ("-4", "-6")


class Relayed:
    """The three namespaces, and the relay. Use it with `with`: it leaves nothing behind."""

    def __init__(self, token: str, directory: Path) -> None:
        self._token = token
        self._directory = directory
        self._removal = ExitStack()
        self._starts = 0
        self.client, self.gateway, self.server = (
            self._namespace(role) for role in ("client", "gateway", "server")
        )

    def __enter__(self) -> Self:
        try:
            self._build()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._removal.close()

    def start(self, policy: Json, *options: str, module: tuple[str, ...] = (RELAY,)) -> Logging:
        """Start a relay, and route to it."""
        self._starts += 1
        path = self._directory / f"policy{self._starts}.json"
        path.write_text(json.dumps(policy))
        command = python(*module, str(path), "outbound", "inbound", *options)
        program = Logging(self.gateway.name, command, path.with_suffix(".txt"))
        self._removal.enter_context(program)
        program.logs("Started")
        for device, table in (("outbound", "51"), ("inbound", "52")):
            # No link-local address and no multicast: the kernel should look for no neighbours.
            self.gateway.ip("link", "set", device, "addrgenmode", "none", "multicast", "off")
            self.gateway.ip("link", "set", device, "mtu", str(MTU), "up")
            for family in _FAMILIES:
                self.gateway.ip(family, "route", "add", "default", "dev", device, "table", table)
        return program

    def end(self, relay: Logging) -> dict[str, Any]:
        """End a relay, and return what it has done."""
        relay.end(signal.SIGTERM)
        (done,) = relay.lines("Done")
        return done

    def _namespace(self, role: str) -> Namespace:
        namespace = Namespace(f"ff-{self._token}-{role}")
        self._removal.callback(namespace.remove)
        return namespace

    def _build(self) -> None:
        self.gateway.set(ipv4__ip_forward="1", ipv6__conf__all__forwarding="1")
        # What comes back from the relay comes from another device than the one to the client.
        self.gateway.set(ipv4__conf__all__rp_filter="0", ipv4__conf__default__rp_filter="0")
        self._join(self.client, "eth", self.gateway, "wg")
        self._join(self.gateway, "net", self.server, "eth")
        for number, (prefix, family) in enumerate(zip(_PREFIXES, _FAMILIES, strict=True)):
            near, via = _WG["client"][number], _WG["gateway"][number]
            own = TUNNELS["alice"][number]
            self.client.ip("address", "add", near + prefix, "dev", "eth")
            self.client.ip("address", "add", own, "dev", "eth")
            self.client.ip(family, "route", "add", "default", "via", via)
            self.gateway.ip("address", "add", via + prefix, "dev", "wg")
            self.gateway.ip("address", "add", _NET[number] + prefix, "dev", "net")
            self.gateway.ip(family, "route", "add", TUNNEL_RANGES[number], "via", near)
            self.server.ip("address", "add", FILES[number] + prefix, "dev", "eth")
            self.server.ip(family, "route", "add", "default", "via", _NET[number])
            self._rules(family, TUNNEL_RANGES[number], DNS_RANGES[number])

    def _rules(self, family: str, *tunnel: str) -> None:
        """Send to the relay what it is to decide about, and not what it has decided."""
        rules = [("iif", "outbound", "lookup", "main"), ("iif", "inbound", "lookup", "main")]
        rules += [("iif", "wg", "lookup", "51")]
        rules += [("to", network, "lookup", "52") for network in tunnel]
        for number, rule in enumerate(rules, 10):
            self.gateway.ip(family, "rule", "add", "pref", str(number), *rule)

    def _join(self, one: Namespace, device: str, other: Namespace, port: str) -> None:
        near, far = (device, "netns", one.name), ("name", port, "netns", other.name)
        must("ip", "link", "add", *near, "type", "veth", "peer", *far)
        one.ip("link", "set", device, "mtu", str(MTU), "up")
        other.ip("link", "set", port, "mtu", str(MTU), "up")
