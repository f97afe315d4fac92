"""Decides about every packet of a Firezone Gateway, in both directions, without any I/O.

Only the names in `__all__` are public, and `__compiled__`: whether the extension module is in use.
Nothing but speed depends on it.
"""

from typing import TYPE_CHECKING

from firezone_filter.access.table import ClientFilterTable, Match
from firezone_filter.compiled.twins import __compiled__ as __compiled__
from firezone_filter.gateway.gateway import Gateway
from firezone_filter.values.addresses import AddressPlan, TunnelAddresses
from firezone_filter.values.counters import Counters
from firezone_filter.values.decisions import (
    Decision,
    Direction,
    Drop,
    Forward,
    Reason,
    Reject,
    Translate,
)
from firezone_filter.values.errors import (
    AddressInUse,
    FirezoneFilterError,
    InvalidAddress,
    InvalidMessage,
    InvalidPolicy,
    InvalidTime,
    UnknownClient,
    UnknownResource,
)
from firezone_filter.values.events import (
    AccessExhausted,
    AuthorizationExpired,
    Event,
    FlowEnd,
    FlowEnded,
    FlowRefused,
    FlowStarted,
)
from firezone_filter.values.filters import Filter, Icmp, PortRange, Protocol, Tcp, Udp
from firezone_filter.values.options import GatewayOptions
from firezone_filter.values.resources import (
    CidrResource,
    DnsResource,
    InternetResource,
    Resource,
)

if TYPE_CHECKING:
    from firezone_filter.accounting.prometheus import prometheus_text
    from firezone_filter.logs import DecisionLog, JsonFormatter
    from firezone_filter.policy import (
        BoxChange,
        ClientDiff,
        ExpiryChange,
        Finding,
        Move,
        Policy,
        PolicyAuthorization,
        PolicyClient,
        PolicyDiff,
        PolicyDomain,
        PolicyTest,
        Reach,
        TestResult,
        dump_policy,
        load_policy,
    )
    from firezone_filter.portal import PortalEvent, PortalReply, PortalSession
    from firezone_filter.values.explanations import Candidate, Check, Explanation, PacketSummary
    from firezone_filter.values.states import (
        AuthorizationState,
        ClientState,
        FlowState,
        NameState,
        NatSessionState,
        ProxyState,
    )
else:
    # What stands beside the gateway is imported when it is first asked for (PEP 562): it takes
    # a third of the time of importing everything, and a program that decides needs none of it.

    def __getattr__(name: str) -> object:
        match name:
            case "DecisionLog" | "JsonFormatter":
                from firezone_filter import logs as room
            case (
                "BoxChange"
                | "ClientDiff"
                | "ExpiryChange"
                | "Finding"
                | "Move"
                | "Policy"
                | "PolicyAuthorization"
                | "PolicyClient"
                | "PolicyDiff"
                | "PolicyDomain"
                | "PolicyTest"
                | "Reach"
                | "TestResult"
                | "dump_policy"
                | "load_policy"
            ):
                from firezone_filter import policy as room
            case "PortalEvent" | "PortalReply" | "PortalSession":
                from firezone_filter import portal as room
            case "Candidate" | "Check" | "Explanation" | "PacketSummary":
                from firezone_filter.values import explanations as room
            case (
                "AuthorizationState"
                | "ClientState"
                | "FlowState"
                | "NameState"
                | "NatSessionState"
                | "ProxyState"
            ):
                from firezone_filter.values import states as room
            case "prometheus_text":
                from firezone_filter.accounting import prometheus as room
            case _:
                raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return globals().setdefault(name, getattr(room, name))

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})


__all__ = [
    "AccessExhausted",
    "AddressInUse",
    "AddressPlan",
    "AuthorizationExpired",
    "AuthorizationState",
    "BoxChange",
    "Candidate",
    "Check",
    "CidrResource",
    "ClientDiff",
    "ClientFilterTable",
    "ClientState",
    "Counters",
    "Decision",
    "DecisionLog",
    "Direction",
    "DnsResource",
    "Drop",
    "Event",
    "ExpiryChange",
    "Explanation",
    "Filter",
    "Finding",
    "FirezoneFilterError",
    "FlowEnd",
    "FlowEnded",
    "FlowRefused",
    "FlowStarted",
    "FlowState",
    "Forward",
    "Gateway",
    "GatewayOptions",
    "Icmp",
    "InternetResource",
    "InvalidAddress",
    "InvalidMessage",
    "InvalidPolicy",
    "InvalidTime",
    "JsonFormatter",
    "Match",
    "Move",
    "NameState",
    "NatSessionState",
    "PacketSummary",
    "Policy",
    "PolicyAuthorization",
    "PolicyClient",
    "PolicyDiff",
    "PolicyDomain",
    "PolicyTest",
    "PortRange",
    "PortalEvent",
    "PortalReply",
    "PortalSession",
    "Protocol",
    "ProxyState",
    "Reach",
    "Reason",
    "Reject",
    "Resource",
    "Tcp",
    "TestResult",
    "Translate",
    "TunnelAddresses",
    "Udp",
    "UnknownClient",
    "UnknownResource",
    "dump_policy",
    "load_policy",
    "prometheus_text",
]
