"""Tells a gateway who is there, and what the policy says of them; only what has changed.

Clients are connected that the policy has and WireGuard binds to a peer. A peer with another key
is a client that has begun anew: nothing is left of its old session.
"""

from collections.abc import Mapping
from typing import Final

from attrs import evolve

from firezone_filter import DecisionLog, Gateway, InvalidPolicy, Policy, Resource, TunnelAddresses
from firezone_filter.policy.apply import differences

Authorizations = dict[str, dict[str, tuple[Resource, float | None]]]
"""By client and resource, what it is allowed, and until when."""

UNCHECKED: Final = "(not WireGuard's)"
"""Stands for a key where there are no peers to read."""


class Sessions:
    """The clients of a gateway, as a policy and the peers have them."""

    def __init__(self, gateway: Gateway, log: DecisionLog, policy: Policy) -> None:
        """Begin with nobody connected."""
        self._gateway = gateway
        self._log = log
        self._policy = policy
        self._keys: dict[str, str] = {}

    @property
    def policy(self) -> Policy:
        """The policy that holds."""
        return self._policy

    def update(self, policy: Policy, keys: Mapping[str, str], now: float) -> None:
        """Put a policy and the keys of its clients in the place of the old ones.

        Args:
            policy: the policy.
            keys: by client that is there, the public key of its peer.
            now: Unix time, in seconds.

        Raises:
            InvalidPolicy: it changes what the devices have been set up with, or the options.
                Then, as with the following, nothing has changed.
            InvalidTime: an expiry is more than 50 years ahead.
        """
        gateway = self._gateway
        own, plan = gateway.addresses, gateway.address_plan
        if (policy.addresses, policy.address_plan) != (own, plan):
            raise InvalidPolicy("gateway or address_plan has changed: restart for that", policy)
        if policy.options != gateway.options:
            changed = differences(gateway.options, policy.options)
            raise InvalidPolicy(f"options: {changed}: restart for that", policy.options)
        # What ends by now has its own lines in the log.
        gateway.handle_timeout(now)
        before, was_at = _authorizations(gateway), _addresses(gateway)
        here = evolve(policy, clients=[one for one in policy.clients if one.id in keys], tests=())
        here.apply(gateway, now, connect=True)
        anew = [
            client.id
            for client in here.clients
            if was_at.get(client.id) == client.addresses
            and self._keys.get(client.id) != keys[client.id]
        ]
        for client_id in anew:
            gateway.client_connected(client_id, was_at[client_id], now)
        if anew:
            here.apply(gateway, now, connect=True)
        self._policy = policy
        self._keys = {client.id: keys[client.id] for client in here.clients}
        self._log_clients(was_at, set(anew), before, now)

    def _log_clients(
        self,
        was_at: Mapping[str, TunnelAddresses],
        anew: set[str],
        before: Authorizations,
        now: float,
    ) -> None:
        is_at = _addresses(self._gateway)
        for client_id, addresses in was_at.items():
            if is_at.get(client_id) != addresses:
                self._log.client_disconnected(client_id, now)
        for client_id, addresses in is_at.items():
            if client_id in anew or was_at.get(client_id) != addresses:
                self._log.client_connected(client_id, addresses, now)
                before[client_id] = {}
        self._log_changes(before, now)

    def _log_changes(self, before: Authorizations, now: float) -> None:
        for client_id, after in _authorizations(self._gateway).items():
            had = before[client_id]
            for resource_id in had:
                if resource_id not in after:
                    self._log.revoked(client_id, resource_id, now)
            for resource_id, one in after.items():
                if had.get(resource_id) != one:
                    resource, expires_at = one
                    self._log.authorized(client_id, resource, now, expires_at=expires_at)


def _authorizations(gateway: Gateway) -> Authorizations:
    return {
        client_id: {
            one.resource.id: (one.resource, one.expires_at)
            for one in gateway.client(client_id).authorizations
        }
        for client_id in gateway.clients()
    }


def _addresses(gateway: Gateway) -> dict[str, TunnelAddresses]:
    return {one: gateway.client(one).addresses for one in gateway.clients()}
