"""`ResolverOptions`: the settings of the resolver that come from the host."""

from ipaddress import ip_address
from pathlib import Path
from typing import Final, Literal

import dns.resolver
from attrs import field, frozen
from attrs.validators import in_

from firezone_filter.values.addresses import Address

PORT: Final = 53
"""The port of name servers (RFC 1035, section 4.2)."""

RESOLV_CONF: Final = Path("/etc/resolv.conf")
"""Where the system keeps its name servers (resolv.conf(5))."""

Server = tuple[Address, int]
"""Address and port of a name server."""


@frozen
class ResolverOptions:
    """The settings of the resolver that come from the host.

    Raises:
        ValueError: `others` is neither of the two words.
    """

    file: Path | None = None
    """Where proxy addresses are kept, so that they mean the same after a restart; made with mode
    0600 if there is none. `None` keeps them in memory alone."""

    others: Literal["forward", "refuse"] = field(
        default="refuse", validator=in_(("forward", "refuse"))
    )
    """What becomes of questions for names that are no DNS resource of the client."""

    servers: tuple[Server, ...] | None = None
    """The name servers to ask, in this order; `None` for those of /etc/resolv.conf."""

    device: str | None = None
    """The network device that questions must come from; `None` for any."""

    port: int = PORT
    """The port to listen on, of UDP and of TCP."""


def system_servers() -> tuple[Server, ...]:
    """Return the name servers of the system, in its order; without those that have a scope.

    Raises:
        OSError: `RESOLV_CONF` cannot be read.
    """
    resolver = dns.resolver.Resolver(configure=False)
    with RESOLV_CONF.open(encoding="utf-8", errors="replace") as file:
        try:
            resolver.read_resolv_conf(file)
        except dns.resolver.NoResolverConfiguration:
            return ()
    names = [str(server) for server in resolver.nameservers]
    return tuple((ip_address(name), PORT) for name in names if "%" not in name)
