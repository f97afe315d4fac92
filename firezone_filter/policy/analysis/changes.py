"""What `Policy.diff` returns: the differences between two policies, as values."""

from typing import Literal, final

from attrs import field, frozen

from firezone_filter.policy.analysis.boxes import describe, networks_of
from firezone_filter.structures.attribute_docs import documented
from firezone_filter.values.addresses import Address, AddressPlan, Network, TunnelAddresses
from firezone_filter.values.decisions import Direction
from firezone_filter.values.filters import PortRange
from firezone_filter.values.options import GatewayOptions

Changed = Literal["added", "removed", "readdressed", "changed"]


@documented
@final
@frozen
class BoxChange:
    """Packets of a client that only one of two policies permits.

    `str(box)` is `tcp 10.0.0.0/24:5432` or the like.
    """

    first: Address
    """The lowest address."""

    last: Address
    """The highest address."""

    protocol: int | None
    """IANA protocol number; `None` for every one that no box of either policy names there."""

    ports: PortRange | None
    """The far ports, of TCP and UDP."""

    icmp_types: tuple[int, ...] | None
    """The types, of ICMP; `None` for all that may pass by a filter."""

    before: str | None
    """The resource that answers by the first policy, permitting or refusing; `None` if there is
    none, or the gateway's own filters do."""

    after: str | None
    """The same by the second policy."""

    witness: tuple[Direction, bytes]
    """A packet of the box about which the gateways of the two policies decide differently, and
    the direction in which it goes. It is from the client's address in the policy that permits
    it; hand it to both gateways with the `client_id`."""

    @property
    def networks(self) -> tuple[Network, ...]:
        """The addresses as networks."""
        return networks_of(self.first, self.last)

    def __str__(self) -> str:
        return describe(self.first, self.last, self.protocol, self.ports, self.icmp_types)


@documented
@final
@frozen
class Move:
    """A proxy address that leads somewhere else."""

    address: Address
    """The proxy address."""

    before: Address
    """The real address behind it by the first policy."""

    after: Address
    """The one by the second policy."""


@documented
@final
@frozen
class ExpiryChange:
    """An authorization that both policies have, and that ends at another time."""

    resource_id: str
    """The resource."""

    before: float | None
    """When it ends by the first policy; `None` for never."""

    after: float | None
    """When it ends by the second policy."""


@documented
@final
@frozen
class ClientDiff:
    """What is different for one client."""

    client_id: str
    """The client."""

    change: Changed
    """`added` or `removed` if only one policy has it; `readdressed` if its tunnel addresses are
    others, whatever else is; otherwise `changed`."""

    gained: tuple[BoxChange, ...]
    """What only the second policy permits, as disjoint boxes in the order of `Policy.reach`."""

    lost: tuple[BoxChange, ...]
    """What only the first policy permits."""

    moved: tuple[Move, ...]
    """The proxy addresses that lead to another real address, in order."""

    expiries: tuple[ExpiryChange, ...]
    """The authorizations that end at another time, in the first policy's order."""


@documented
@final
@frozen
class PolicyDiff:
    """What two policies do not have in common; false if there is nothing."""

    clients: tuple[ClientDiff, ...]
    """Those of the first policy for which something is different, in its order; then the added
    ones, in the order of the second."""

    addresses: tuple[TunnelAddresses, TunnelAddresses] | None = field(default=None)
    """The gateway's own addresses in both, if they are different."""

    address_plan: tuple[AddressPlan, AddressPlan] | None = field(default=None)
    """Both address plans, if they are different."""

    options: tuple[GatewayOptions, GatewayOptions] | None = field(default=None)
    """The options of both, if they are different."""

    def __bool__(self) -> bool:
        return bool(
            self.clients
            or self.addresses is not None
            or self.address_plan is not None
            or self.options is not None
        )
