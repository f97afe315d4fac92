"""`ResolverOptions`: the settings of the resolver that come from the host."""

from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from typing import Final, Literal

from attrs import field, frozen
from attrs.validators import in_

from firezone_filter.values.addresses import Address

PORT: Final = 53
"""The port of name servers (RFC 1035, section 4.2)."""

RESOLV_CONF: Final = Path("/etc/resolv.conf")
"""Where the system keeps its name servers (resolv.conf(5))."""

ServerAddress = tuple[Address, int]
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

    servers: tuple[ServerAddress, ...] | None = None
    """The name servers to ask, in this order; `None` for those of /etc/resolv.conf."""

    port: int = PORT
    """The port to listen on, of UDP and of TCP."""


def system_servers() -> tuple[ServerAddress, ...]:
    """Return the name servers of the system, in its order.

    Those that have a scope, or are no addresses, are left out.

    Raises:
        OSError: `RESOLV_CONF` cannot be read.
    """
    servers: list[ServerAddress] = []
    for line in RESOLV_CONF.read_text(encoding="utf-8", errors="replace").splitlines():
        match line.split():
            case ["nameserver", text, *_] if "%" not in text:
                with suppress(ValueError):
                    servers.append((ip_address(text), PORT))
    return tuple(servers)
