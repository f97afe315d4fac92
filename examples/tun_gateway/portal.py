"""The policy file, in the part of Firezone's portal: who may reach what, until when.

A client that registers is known from the file, and allowed nothing, as after any
`Gateway.client_connected`. Reading the file is what authorizes: it gives every client that is
connected at that moment what it says, and takes away what it says no more. So a client that
has started again waits for the next reading, as it would wait for the portal.
"""

from typing import assert_never

from firezone_filter import (
    CidrResource,
    DecisionLog,
    DnsResource,
    Gateway,
    InternetResource,
    InvalidPolicy,
    Policy,
    PolicyAuthorization,
    PolicyClient,
    Resource,
)

Grants = tuple[PolicyAuthorization, ...]
"""What a client has been granted, in the order of the file."""


class Portal:
    """Tells a gateway what a policy says; when the policy changes, only what has changed."""

    def __init__(self, gateway: Gateway, log: DecisionLog, policy: Policy) -> None:
        """Begin with nobody connected."""
        self._gateway = gateway
        self._log = log
        self._policy = policy
        self._granted: dict[str, Grants] = {}

    def connect(self, client_id: str, now: float) -> bool:
        """Begin a session that is allowed nothing; return whether the policy has the client."""
        client = _client(self._policy, client_id)
        if client is None:
            return False
        self._gateway.client_connected(client_id, client.addresses, now)
        self._log.client_connected(client_id, client.addresses, now)
        self._granted[client_id] = ()
        return True

    def update(self, policy: Policy, now: float) -> list[str]:
        """Put a new policy in the place of the old one, without disturbing what stays.

        Returns:
            The clients that had to go: the policy has them no more, or under another address.

        Raises:
            InvalidPolicy: it changes what the devices have been set up with.
            InvalidTime: an expiry is more than 50 years ahead.
        """
        old = self._policy
        if (policy.addresses, policy.address_plan) != (old.addresses, old.address_plan):
            raise InvalidPolicy("gateway or address_plan has changed: restart for that", policy)
        # Whatever else may be wrong shows on a gateway that nobody uses; below, nothing raises.
        policy.gateway(now)
        self._gateway.handle_timeout(now)
        self._policy = policy
        gone = []
        for client_id, had in list(self._granted.items()):
            before, after = _client(old, client_id), _client(policy, client_id)
            if before is None or after is None or before.addresses != after.addresses:
                self._disconnect(client_id, now)
                gone.append(client_id)
            elif had != after.authorizations:
                self._change(client_id, had, after.authorizations, now)
        return gone

    def _disconnect(self, client_id: str, now: float) -> None:
        self._gateway.client_disconnected(client_id)
        self._log.client_disconnected(client_id, now)
        del self._granted[client_id]

    def _change(self, client_id: str, had: Grants, wanted: Grants, now: float) -> None:
        before = {one.resource.id: one for one in had}
        after = {one.resource.id: one for one in wanted}
        for resource_id, one in before.items():
            if not _goes_on(one, after.get(resource_id)):
                self._revoke(client_id, resource_id, now)
        for resource_id, one in after.items():
            # What has expired and stands there as before stays expired.
            if one != before.get(resource_id):
                self._grant(client_id, before.get(resource_id), one, now)
        # All of them, in their order: where two share a proxy address the last one decides.
        for one in wanted:
            self._tell_names(client_id, one)
        self._granted[client_id] = wanted

    def _revoke(self, client_id: str, resource_id: str, now: float) -> None:
        if self._gateway.revoke(client_id, resource_id):
            self._log.revoked(client_id, resource_id, now)

    def _grant(
        self, client_id: str, old: PolicyAuthorization | None, new: PolicyAuthorization, now: float
    ) -> None:
        resource = new.resource
        is_held = resource.id in self._gateway.authorizations(client_id)
        if old is not None and old.resource == resource and is_held:
            self._gateway.update_expiry(client_id, resource.id, new.expires_at)
        else:
            self._gateway.authorize(client_id, resource, expires_at=new.expires_at)
        self._log.authorized(client_id, resource, now, expires_at=new.expires_at)

    def _tell_names(self, client_id: str, one: PolicyAuthorization) -> None:
        if one.resource.id not in self._gateway.authorizations(client_id):
            return  # It has expired.
        for domain in one.domains:
            self._gateway.domain_resolved(
                client_id,
                one.resource.id,
                domain.name,
                proxy_addresses=domain.proxy_addresses,
                resolved_addresses=domain.resolved_addresses,
            )


def _client(policy: Policy, client_id: str) -> PolicyClient | None:
    return next((client for client in policy.clients if client.id == client_id), None)


def _goes_on(old: PolicyAuthorization, new: PolicyAuthorization | None) -> bool:
    """Tell whether an authorization can be changed into another, or has to end first.

    Proxy addresses are not taken back one by one, and one that got another name would mean
    that the client has given all of them anew.
    """
    return (
        new is not None
        and _place(old.resource) == _place(new.resource)
        and _proxies(old) <= _proxies(new)
    )


def _place(resource: Resource) -> tuple[type[Resource], object]:
    """Return what never changes under one resource id."""
    match resource:
        case CidrResource(network=network):
            return CidrResource, network
        case DnsResource(address=pattern):
            return DnsResource, pattern
        case InternetResource():
            return InternetResource, None
        case _:
            assert_never(resource)


def _proxies(one: PolicyAuthorization) -> set[tuple[str, object]]:
    return {(domain.name, proxy) for domain in one.domains for proxy in domain.proxy_addresses}
