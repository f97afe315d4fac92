"""Brings a running gateway to a policy, and disturbs nothing that the policy does not change.

Everything that could be refused is found before the first change. Then what the policy takes away
goes first; and if something fails all the same, for want of memory, whatever was still to be
changed is taken away.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial

from attrs import AttrsInstance, fields, frozen

from firezone_filter.gateway.checks import to_expiry
from firezone_filter.gateway.gateway import Gateway
from firezone_filter.policy.building import resolved_names, states_of
from firezone_filter.policy.client_changes import Resolved, find_changes
from firezone_filter.policy.parts import PolicyAuthorization, PolicyClient
from firezone_filter.values.addresses import AddressPlan, TunnelAddresses
from firezone_filter.values.errors import AddressInUse, InvalidPolicy
from firezone_filter.values.options import GatewayOptions
from firezone_filter.values.states import ClientState


@frozen
class Step:
    """One call of a hook."""

    call: Callable[[], object]
    """Makes it."""

    client_id: str | None = None
    """The client that it concerns; `None` for the gateway's own addresses."""

    resource_id: str | None = None
    """The resource; `None` if it concerns the client as a whole."""


def check_same(gateway: Gateway, plan: AddressPlan, options: GatewayOptions) -> None:
    """Raise `InvalidPolicy` unless a gateway has this plan and these options, which stay."""
    for name, has, wants in (
        ("address_plan", gateway.address_plan, plan),
        ("options", gateway.options, options),
    ):
        if has != wants:
            raise InvalidPolicy(
                f"{name}: {differences(has, wants)}. That does not change: make a new gateway",
                wants,
            )


def differences(has: AttrsInstance, wants: AttrsInstance) -> str:
    """Return each field that a gateway was made with otherwise, of its plan or its options.

    All the others are left out: among a dozen options nobody finds the one that differs.
    """
    return "; ".join(
        f"{one.name} is {_shown(wanted)}, but the gateway was made with {_shown(made_with)}"
        for one in fields(type(has))
        if (wanted := getattr(wants, one.name)) != (made_with := getattr(has, one.name))
    )


def _shown(value: object) -> str:
    # The `repr` of a tuple of networks is full of class names.
    return f"({', '.join(map(str, value))})" if isinstance(value, tuple) else str(value)


def moment(gateway: Gateway, now: float | None, clients: Iterable[PolicyClient]) -> float:
    """Return the time at which a call with *now* happens, if the expiries can be set then.

    Raises:
        InvalidTime: it can be no time of a call; or an expiry comes before any `now`, or lies
            more than 50 years ahead.
    """
    has_clock = now is not None or gateway._started  # noqa: SLF001 - of one library
    at = gateway._now if now is None else gateway._time_at(now)  # noqa: SLF001 - as above
    for client in clients:
        for one in client.authorizations:
            to_expiry(one.expires_at, at if has_clock else None)
    return at


def find_steps(
    gateway: Gateway,
    addresses: TunnelAddresses,
    clients: Sequence[PolicyClient],
    at: float,
    *,
    connect: bool,
) -> list[Step]:
    """Return the calls of hooks that bring a gateway to a policy at a moment.

    Arguments are those of the policy, without what has expired by then.

    Raises:
        AddressInUse: a client that stays connected has one of the gateway's own addresses.
        InvalidPolicy: a client would have too many proxy addresses.
    """
    states = states_of(gateway, at)
    known = {client.id: client for client in clients}
    same = {
        state.client_id: known[state.client_id]
        for state in states.values()
        if state.client_id in known and known[state.client_id].addresses == state.addresses
    }
    said = resolved_names(addresses, gateway.address_plan, same.values())
    takes: list[Step] = []
    gives: list[Step] = []
    for client_id, state in states.items():
        if client_id in same:
            wanted = same[client_id].authorizations
            changes = find_changes(state, wanted, said.get(client_id))
            takes += (_revoke(gateway, client_id, one) for one in changes.revoked)
            gives += (_authorize(gateway, client_id, one) for one in changes.authorized)
            gives += (_set_expiry(gateway, client_id, one) for one in changes.timed)
            gives += (_resolve(gateway, client_id, one) for one in changes.resolved)
        elif connect:
            takes.append(Step(partial(gateway.client_disconnected, client_id), client_id))
        else:
            _check_free(state, addresses)
            for one in state.authorizations:
                takes.append(_revoke(gateway, client_id, one.resource.id))
    if addresses != gateway.addresses:
        gives.insert(0, Step(partial(gateway.set_addresses, addresses)))
    if connect:
        for client in clients:
            if client.id not in same:
                gives += _connect(gateway, client)
    return takes + gives


def _check_free(state: ClientState, own: TunnelAddresses) -> None:
    for address in state.addresses.present():
        if address in own.present():
            raise AddressInUse(
                f"{address} belongs to {state.client_id!r}", address, state.client_id
            )


def _revoke(gateway: Gateway, client_id: str, resource_id: str) -> Step:
    return Step(partial(gateway.revoke, client_id, resource_id), client_id, resource_id)


def _authorize(gateway: Gateway, client_id: str, one: PolicyAuthorization) -> Step:
    call = partial(gateway.authorize, client_id, one.resource, expires_at=one.expires_at)
    return Step(call, client_id, one.resource.id)


def _set_expiry(gateway: Gateway, client_id: str, one: PolicyAuthorization) -> Step:
    resource_id = one.resource.id
    call = partial(gateway.update_expiry, client_id, resource_id, one.expires_at)
    return Step(call, client_id, resource_id)


def _resolve(gateway: Gateway, client_id: str, resolved: Resolved) -> Step:
    resource_id, domain = resolved
    call = partial(
        gateway.domain_resolved,
        client_id,
        resource_id,
        domain.name,
        proxy_addresses=domain.proxy_addresses,
        resolved_addresses=domain.resolved_addresses,
    )
    return Step(call, client_id, resource_id)


def _connect(gateway: Gateway, client: PolicyClient) -> Iterator[Step]:
    yield Step(partial(gateway.client_connected, client.id, client.addresses), client.id)
    for one in client.authorizations:
        yield _authorize(gateway, client.id, one)
    for one in client.authorizations:
        for domain in one.domains or ():
            yield _resolve(gateway, client.id, (one.resource.id, domain))


def carry_out(gateway: Gateway, steps: Sequence[Step]) -> None:
    """Make the calls. If one fails, whatever was still to be changed is taken away."""
    for number, step in enumerate(steps):
        try:
            step.call()
        except BaseException:
            for left in steps[number:]:
                with suppress(Exception):
                    _take_away(gateway, left)
            raise


def _take_away(gateway: Gateway, step: Step) -> None:
    if step.client_id is None:
        return
    if step.resource_id is None:
        gateway.client_disconnected(step.client_id)
    else:
        gateway.revoke(step.client_id, step.resource_id)
