"""`who`: the clients that may reach something, each with the resource that answers."""

from collections.abc import Iterator
from ipaddress import ip_address
from typing import Final

from firezone_filter.access.authorizations import ClientAccess
from firezone_filter.packet.icmp import ICMP_OF
from firezone_filter.packet.numbers import ICMPV4, ICMPV6, MAX_PORT, TCP, UDP
from firezone_filter.policy.analysis.areas import Area, HasPolicy, Surveyor, gateway_to_ask
from firezone_filter.values.addresses import Address, to_address
from firezone_filter.values.arguments import check_type
from firezone_filter.values.domains import to_domain
from firezone_filter.values.errors import InvalidAddress, InvalidPolicy, shown
from firezone_filter.values.filters import to_byte, to_port
from firezone_filter.values.times import to_time

_PROTOCOLS: Final = {"tcp": TCP, "udp": UDP}
_ICMP: Final = "icmp"


def who(  # noqa: PLR0913, PLR0917 - as many as `Policy.who` has
    policy: HasPolicy,
    target: str | Address,
    protocol: int | str,
    port: int | None,
    icmp_type: int | None,
    at: float | None,
) -> tuple[tuple[str, str | None], ...]:
    """Return who may reach a target; see `Policy.who`."""
    wanted = _to_target(target)
    number = _to_protocol(protocol)
    within = _to_numbers(number, port, icmp_type)
    moment = None if at is None else to_time(at)
    surveyor = Surveyor(gateway_to_ask(policy, moment))
    found: dict[tuple[str, str | None], None] = {}
    for client_id, client in surveyor.inside.clients.items():
        for address in _addresses(client.access, wanted):
            area = surveyor.area_at(client_id, address)
            if area is not None:
                for resource_id in _answers(area, number, within):
                    found[client_id, resource_id] = None
    return tuple(found)


def _to_target(target: str | Address) -> str | Address:
    """Return an address, or a domain name in its usual form."""
    try:
        return to_address(target)
    except InvalidAddress:
        # Names end in letters, so this is a misspelt address: "nobody" would be a wrong answer.
        text = str(target)
        if ":" in text or "/" in text or text.rpartition(".")[2].isdecimal():
            raise
    return to_domain(str(target))


def _to_protocol(protocol: int | str) -> int | None:
    """Return a protocol number; `None` for ICMP of the address's family."""
    check_type("a protocol", protocol, int, str)
    if not isinstance(protocol, str):
        return to_byte("a protocol number", protocol)
    if protocol == _ICMP:
        return None
    number = _PROTOCOLS.get(protocol)
    if number is None:
        raise InvalidPolicy(
            f"a protocol is a number, 'tcp', 'udp' or 'icmp', not {shown(protocol)}", protocol
        )
    return number


def _to_numbers(protocol: int | None, port: int | None, icmp_type: int | None) -> tuple[int, int]:
    """Return the ports or types that are asked about, any of them: (first, after)."""
    if port is not None and protocol not in (TCP, UDP):
        raise InvalidPolicy("only TCP and UDP have ports", port)
    if icmp_type is not None and protocol not in (None, ICMPV4, ICMPV6):
        raise InvalidPolicy("only ICMP has types", icmp_type)
    if port is not None:
        return to_port(port), port + 1
    if icmp_type is not None:
        return to_byte("an ICMP type", icmp_type), icmp_type + 1
    return 0, MAX_PORT + 1


def _addresses(access: ClientAccess, target: str | Address) -> Iterator[Address]:
    """Yield what a target stands for: itself, or the client's proxy addresses of a name."""
    if not isinstance(target, str):
        yield target
        return
    for packed, proxy in access.proxies.items():
        if proxy.domain == target:
            yield ip_address(packed)


def _answers(area: Area, protocol: int | None, within: tuple[int, int]) -> Iterator[str | None]:
    number = ICMP_OF[area.version] if protocol is None else protocol
    for place in area.shape.places(area.version, number, *within):
        yield area.resource_id(place)
