"""A gateway that notes which hooks are called."""

from collections.abc import Callable
from functools import partial

from firezone_filter import (
    AddressPlan,
    Gateway,
    GatewayOptions,
    Policy,
    PolicyDomain,
    TunnelAddresses,
)

HOOKS = (
    "client_connected",
    "client_disconnected",
    "authorize",
    "revoke",
    "update_resource",
    "update_expiry",
    "retain_authorizations",
    "domain_resolved",
    "domain_withdrawn",
    "set_addresses",
    "clock_set",
)


class HookedGateway(Gateway):
    """A gateway that notes which hooks are called."""

    def __init__(
        self, addresses: TunnelAddresses, plan: AddressPlan, options: GatewayOptions
    ) -> None:
        super().__init__(addresses, address_plan=plan, options=options)
        self.called: list[str] = []
        for name in HOOKS:
            setattr(self, name, partial(self._hook, name, getattr(self, name)))

    def _hook(
        self, name: str, call: Callable[..., object], *args: object, **more: object
    ) -> object:
        return self.note(name, call, *args, **more)

    def note(
        self, name: str, call: Callable[..., object], *args: object, **more: object
    ) -> object:
        """Note and make a call."""
        self.called.append(name)
        return call(*args, **more)


def gateway_of(policy: Policy, now: float) -> HookedGateway:
    """Return a gateway to which a policy has been applied, and of which no event waits."""
    gateway = HookedGateway(policy.addresses, policy.address_plan, policy.options)
    policy.apply(gateway, now, connect=True)
    gateway.called.clear()
    list(iter(gateway.poll_event, None))
    return gateway


def tell(gateway: Gateway, client_id: str, resource_id: str, domain: PolicyDomain) -> None:
    """Resolve a name."""
    gateway.domain_resolved(
        client_id,
        resource_id,
        domain.name,
        proxy_addresses=domain.proxy_addresses,
        resolved_addresses=domain.resolved_addresses,
    )
