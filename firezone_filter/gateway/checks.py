"""Checking what is handed in against what a gateway has, before anything changes.

Hooks make these checks, and so does whoever has to know beforehand that none will fail.
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
    """Check that no client has one of the *addresses*, but the one that they are for."""
    for address in addresses.present():
        holder = clients.by_address.get(address.packed)
        if holder is not None and holder.id != client_id:
            raise AddressInUse(f"{address} belongs to {holder.id!r}", address, holder.id)


def check_proxies(proxies: tuple[Address, ...], context: GatewayContext) -> None:
    """Check that *proxies* are in the plan's DNS ranges, and none is given twice."""
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
    """Return what a name stands for, if the client may have these proxy addresses for it."""
    check_proxies(proxies, context)
    resolution = Resolution(
        domain,
        tuple(address.packed for address in proxies),
        # A name server must not be able to open a way to other clients, to the tunnel side
        # of the gateway or to its loopback (DNS rebinding).
        tuple(
            address.packed
            for address in resolved
            if not context.flags(address.packed) & NOT_RESOLVED
        ),
    )
    number = client.proxies_after(resolution)
    if number > MAX_PROXIES:
        raise InvalidPolicy(
            f"client {client.id!r} would have {number} proxy addresses, more than {MAX_PROXIES}",
            number,
        )
    return resolution


def to_expiry(expires_at: float | None, now: float | None) -> float | None:
    """Return when a permission ends; `None` for never.

    Args:
        expires_at: the end, as it was handed in.
        now: when it is set; `None` before the first `now`.
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
