"""The parts of a `Policy`: plain values, which know nothing of each other."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from attrs import Attribute, field, frozen

from firezone_filter.policy.targets import parse_target
from firezone_filter.structures.attribute_docs import documented
from firezone_filter.values.addresses import (
    Address,
    TunnelAddresses,
    to_addresses,
    to_resolved,
)
from firezone_filter.values.arguments import check_type, to_text
from firezone_filter.values.domains import to_domain
from firezone_filter.values.errors import shown
from firezone_filter.values.resources import (
    CidrResource,
    DnsResource,
    InternetResource,
    Resource,
    to_id,
)
from firezone_filter.values.times import to_time

T = TypeVar("T")


def is_a(*kinds: type) -> Callable[[Any, "Attribute[Any]", Any], None]:
    """Return a type validator; that of attrs fails for values that have no `repr`."""

    def check(_: object, attribute: "Attribute[Any]", value: object) -> None:
        check_type(attribute.name, value, *kinds)

    return check


def to_tuple(name: str, values: Iterable[T], kind: type[T]) -> tuple[T, ...]:
    """Return the *values* called *name* as a tuple; `TypeError` if any is not of *kind*."""
    # Texts and mappings are iterable only by accident: an empty one is a mistake, not "none".
    if isinstance(values, str | bytes | bytearray | memoryview | Mapping) or not isinstance(
        values, Iterable
    ):
        raise TypeError(f"{name} are an iterable of {kind.__name__}, not {shown(values)}")
    several = []
    for one in values:
        # At once: what is meant as something else may go on for ever, as a network's addresses do.
        check_type(f"each of {name}", one, kind)
        several.append(one)
    return tuple(several)


def _to_moment(value: float | None) -> float | None:
    return None if value is None else to_time(value)


def _to_text(value: str) -> str:
    return to_text("a name", value)


def _to_targets(values: Iterable[str]) -> tuple[str, ...]:
    texts = tuple(to_text("a target", one) for one in to_tuple("targets", values, str))
    for text in texts:
        parse_target(text)
    return texts


def _to_domains(
    values: Iterable["PolicyDomain"] | None,
) -> tuple["PolicyDomain", ...] | None:
    return None if values is None else to_tuple("domains", values, PolicyDomain)


def _to_authorizations(
    values: Iterable["PolicyAuthorization"],
) -> tuple["PolicyAuthorization", ...]:
    return to_tuple("authorizations", values, PolicyAuthorization)


@documented
@frozen
class PolicyDomain:
    """One resolved name of a DNS resource: the arguments of `Gateway.domain_resolved`.

    Raises:
        InvalidAddress: an address is malformed, or a proxy address has a scope.
        InvalidPolicy: *name* is not a domain name.
        TypeError: an argument is of the wrong type.
    """

    name: str = field(converter=to_domain)
    """The name, in lower case and without a final dot."""

    proxy_addresses: tuple[Address, ...] = field(converter=to_addresses)
    """The addresses that the client assigned to the name, in the client's order."""

    resolved_addresses: tuple[Address, ...] = field(converter=to_resolved)
    """The addresses that it resolved to, without those that have a scope. A gateway leaves
    out more: the addresses that a name server must not be able to give access to."""


@documented
@frozen
class PolicyAuthorization:
    """One client's permission for one resource.

    Raises:
        InvalidTime: *expires_at* is not finite, or 2**33 or more.
        TypeError: an argument is of the wrong type.
    """

    resource: Resource = field(validator=is_a(CidrResource, DnsResource, InternetResource))
    """The resource that the client may reach."""

    expires_at: float | None = field(default=None, converter=_to_moment)
    """When the permission ends, in Unix seconds; `None` for never."""

    domains: tuple[PolicyDomain, ...] | None = field(default=None, converter=_to_domains)
    """Resolved names, for a DNS resource: all that it has. `None` says nothing about them, so
    that `Policy.apply` leaves them alone; a new gateway has none then. Where a proxy address
    stands more than once, for one name, its last place decides. Other resources have no names:
    for them it is `None`, also where it is given as empty."""

    def __attrs_post_init__(self) -> None:
        if self.domains == () and not isinstance(self.resource, DnsResource):
            # Equal policies are those that mean the same.
            object.__setattr__(self, "domains", None)


@documented
@frozen
class PolicyClient:
    """A client and its authorizations.

    Raises:
        InvalidPolicy: the id is empty.
        TypeError: an argument is of the wrong type.
    """

    id: str = field(converter=to_id)
    """Names the client."""

    addresses: TunnelAddresses = field(validator=is_a(TunnelAddresses))
    """Its addresses inside the tunnel."""

    authorizations: tuple[PolicyAuthorization, ...] = field(
        default=(), converter=_to_authorizations
    )
    """Its permissions; without any it may reach nothing."""


@documented
@frozen
class PolicyTest:
    """What a client must be able to reach, and what it must not: for `Policy.run_tests`.

    Each target is a text such as `tcp 10.0.0.5:5432`, `udp [2001:db8::1]:53`, `ping 10.0.0.5`,
    `icmp/13 10.0.0.5`, `47 10.0.0.5`, `tcp git.example.com:443` or `tcp 10.0.0.0/24:8000-8010`.
    Without ports it is every port; `icmp` without a type is every type that may pass at all. A
    name stands for those of its proxy addresses that have a translation.

    Raises:
        InvalidPolicy: the client's id is empty, or a text is no target.
        InvalidTime: *at* is not finite, or 2**33 or more.
        TypeError: an argument is of the wrong type.
    """

    name: str = field(converter=_to_text)
    """What the test is for; several may have one name."""

    client: str = field(converter=to_id)
    """The id of the client."""

    at: float | None = field(default=None, converter=_to_moment)
    """The moment, in Unix seconds: what has expired by then permits nothing. `None`: nothing has
    expired."""

    allow: tuple[str, ...] = field(default=(), converter=_to_targets)
    """Targets of which every address, port and type must be permitted, and answers come back."""

    deny: tuple[str, ...] = field(default=(), converter=_to_targets)
    """Targets of which nothing may be permitted, and from which nothing may come in."""
