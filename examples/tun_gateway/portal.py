"""The policy file, in the part of Firezone's portal: who may reach what, until when.

A client that registers is known from the file, and allowed nothing, as after any
`Gateway.client_connected`. Reading the file is what authorizes: `Policy.apply` gives every client
that is connected at that moment what it says, and takes away what it says no more. So a client
that has started again waits for the next reading, as it would wait for the portal.
"""

from attrs import evolve

from firezone_filter import DecisionLog, Gateway, InvalidPolicy, Policy, Resource, TunnelAddresses

Authorizations = dict[str, dict[str, tuple[Resource, float | None]]]
"""By client and resource, what it is allowed, and until when."""


class Portal:
    """Tells a gateway what a policy says; when the policy changes, only what has changed."""

    def __init__(self, gateway: Gateway, log: DecisionLog, policy: Policy) -> None:
        """Begin with nobody connected."""
        self._gateway = gateway
        self._log = log
        self._addresses = _addresses(policy)

    def connect(self, client_id: str, now: float) -> bool:
        """Begin a session that is allowed nothing; return whether the policy has the client."""
        addresses = self._addresses.get(client_id)
        if addresses is None:
            return False
        self._gateway.client_connected(client_id, addresses, now)
        self._log.client_connected(client_id, addresses, now)
        return True

    def update(self, policy: Policy, now: float) -> list[str]:
        """Put a new policy in the place of the old one, without disturbing what stays.

        Returns:
            The clients that had to go: the policy has them no more, or under another address.

        Raises:
            InvalidPolicy: it changes what the devices have been set up with.
            InvalidTime: an expiry is more than 50 years ahead.
        """
        gateway = self._gateway
        own, plan = gateway.addresses, gateway.address_plan
        if (policy.addresses, policy.address_plan) != (own, plan):
            raise InvalidPolicy("gateway or address_plan has changed: restart for that", policy)
        # What ends by now has its own lines in the log.
        gateway.handle_timeout(now)
        before = _authorizations(gateway)
        # Options are those of this host, not of the file.
        evolve(policy, options=gateway.options).apply(gateway, now)
        self._addresses = _addresses(policy)
        gone = [
            client_id
            for client_id in gateway.clients()
            if gateway.client(client_id).addresses != self._addresses.get(client_id)
        ]
        for client_id in gone:
            gateway.client_disconnected(client_id)
            self._log.client_disconnected(client_id, now)
        self._log_changes(before, now)
        return gone

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


def _addresses(policy: Policy) -> dict[str, TunnelAddresses]:
    return {client.id: client.addresses for client in policy.clients}
