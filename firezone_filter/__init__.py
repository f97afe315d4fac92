"""Decides about every packet of a Firezone Gateway, in both directions, without any I/O.

Only the names in `__all__` are public.
"""

from firezone_filter.addresses import AddressPlan, TunnelAddresses
from firezone_filter.decisions import (
    Decision,
    Direction,
    Drop,
    Forward,
    Reason,
    Reject,
    Translate,
)
from firezone_filter.errors import (
    AddressInUse,
    FirezoneFilterError,
    InvalidAddress,
    InvalidPolicy,
    InvalidTime,
    UnknownClient,
    UnknownResource,
)
from firezone_filter.events import AccessExhausted, AuthorizationExpired, Event
from firezone_filter.gateway import Gateway
from firezone_filter.policy import (
    Policy,
    PolicyAuthorization,
    PolicyClient,
    PolicyDomain,
    dump_policy,
    load_policy,
)
from firezone_filter.resources import (
    CidrResource,
    DnsResource,
    Filter,
    Icmp,
    InternetResource,
    PortRange,
    Resource,
    Tcp,
    Udp,
)
from firezone_filter.site import GatewayOptions
from firezone_filter.table import ClientFilterTable, Match

__all__ = [
    "AccessExhausted",
    "AddressInUse",
    "AddressPlan",
    "AuthorizationExpired",
    "CidrResource",
    "ClientFilterTable",
    "Decision",
    "Direction",
    "DnsResource",
    "Drop",
    "Event",
    "Filter",
    "FirezoneFilterError",
    "Forward",
    "Gateway",
    "GatewayOptions",
    "Icmp",
    "InternetResource",
    "InvalidAddress",
    "InvalidPolicy",
    "InvalidTime",
    "Match",
    "Policy",
    "PolicyAuthorization",
    "PolicyClient",
    "PolicyDomain",
    "PortRange",
    "Reason",
    "Reject",
    "Resource",
    "Tcp",
    "Translate",
    "TunnelAddresses",
    "Udp",
    "UnknownClient",
    "UnknownResource",
    "dump_policy",
    "load_policy",
]
