"""Preconditions: arguments of hooks against the gateway's state, before anything changes.

`values.arguments` checks types and forms; these checks need the state as well. The hooks of
`Gateway` make them, and so does `portal`, which applies a message with several effects only
if none of them can fail.
"""

from firezone_filter.access.special_ranges import DNS, NOT_RESOLVED, TUNNEL
from firezone_filter.gateway.client import Client
from firezone_filter.gateway.clients import ClientTable
from firezone_filter.gateway.context import GatewayContext
from firezone_filter.nat.proxies import MAX_PROXIES, Resolution
from firezone_filter.values.addresses import Address, TunnelAddresses
from firezone_filter.values.errors import AddressInUse, InvalidAddress, InvalidPolicy, InvalidTime
from firezone_filter.values.times import MAX_AHEAD, to_time


def check_in_tunnel(addresses: TunnelAddresses, context: GatewayContext) -> None:
    """Check that all *addresses* of a peer are in the plan's tunnel ranges."""
    for address in addresses.present():
        if not context.flags(address.packed) & TUNNEL:
            raise InvalidAddress(f"{address} is outside the plan's tunnel ranges", address)


def check_not_own(addresses: TunnelAddresses, context: GatewayContext) -> None:
    """Check that none of the *addresses* of a client is the gateway's own."""
    for address in addresses.present():
        if address.packed in context.own:
            raise InvalidAddress(f"{address} is the gateway's own", address)


def check_free(addresses: TunnelAddresses, clients: ClientTable, client_id: str | None) -> None:
    """Check that no client but *client_id* has one of the *addresses*."""
    for address in addresses.present():
        holder = clients.by_address.get(address.packed)
        if holder is not None and holder.id != client_id:
            raise AddressInUse(f"{address} belongs to {holder.id!r}", address, holder.id)


def check_proxies(proxies: tuple[Address, ...], context: GatewayContext) -> None:
    """Check that all *proxies* are in the plan's DNS ranges, and none occurs twice."""
    seen: set[Address] = set()
    for address in proxies:
        if address in seen:
            raise InvalidAddress(f"proxy address {address} is given twice", address)
        if not context.flags(address.packed) & DNS:
            raise InvalidAddress(f"{address} is outside the plan's DNS ranges", address)
        seen.add(address)


def to_resolution(
    domain: str,
    proxies: tuple[Address, ...],
    resolved: tuple[Address, ...],
    client: Client,
    context: GatewayContext,
) -> Resolution:
    """Return the resolution of a name, without the real addresses that it must not have.

    Raises:
        InvalidAddress: a proxy address is outside the DNS ranges, or occurs twice.
        InvalidPolicy: the client would have too many proxy addresses.
    """
    check_proxies(proxies, context)
    given = tuple(address.packed for address in resolved)
    resolution = Resolution(
        domain,
        tuple(address.packed for address in proxies),
        # DNS rebinding: a name server must not be able to open a path to other clients, to
        # the tunnel side of the gateway or to its loopback.
        tuple(packed for packed in given if not context.flags(packed) & NOT_RESOLVED),
        given,
    )
    number = client.proxies_after(resolution)
    if number > MAX_PROXIES:
        raise InvalidPolicy(
            f"client {client.id!r} would have {number} proxy addresses, more than {MAX_PROXIES}",
            number,
        )
    return resolution


def to_expiry(expires_at: float | None, now: float | None) -> float | None:
    """Return the checked expiry of an authorization, in seconds; `None` for never.

    Args:
        expires_at: the expiry as the caller passed it.
        now: the current time; `None` before the first `now`.

    Raises:
        InvalidTime: not finite, 2**33 or more, more than 50 years ahead, or there is no time
            to compare it with.
        TypeError: not a number.
    """
    if expires_at is None:
        return None
    checked = to_time(expires_at)
    if now is None:
        raise InvalidTime(f"expires_at {expires_at!r} before any now: no clock yet", expires_at)
    if checked > now + MAX_AHEAD:
        raise InvalidTime(
            f"expires_at {expires_at!r} is more than 50 years after now {now!r}: "
            "two clocks mixed?",
            expires_at,
        )
    return checked
