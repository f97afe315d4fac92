import ast
import inspect
from types import ModuleType

import firezone_filter

NAMES = [
    "AccessExhausted",
    "AddressInUse",
    "AddressPlan",
    "AuthorizationExpired",
    "CidrResource",
    "ClientFilterTable",
    "Counters",
    "Decision",
    "DecisionLog",
    "Direction",
    "DnsResource",
    "Drop",
    "Event",
    "Filter",
    "FirezoneFilterError",
    "FlowEnd",
    "FlowEnded",
    "FlowRefused",
    "FlowStarted",
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
    "Policy",
    "PolicyAuthorization",
    "PolicyClient",
    "PolicyDomain",
    "PortRange",
    "PortalEvent",
    "PortalReply",
    "PortalSession",
    "Protocol",
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
    "prometheus_text",
]


def test_the_public_names_are_these_in_order() -> None:
    assert firezone_filter.__all__ == NAMES == sorted(NAMES)


def test_the_root_has_these_names_and_no_others() -> None:
    public = {
        name
        for name, value in vars(firezone_filter).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    assert public == set(NAMES)


def test_the_root_only_imports() -> None:
    tree = ast.parse(inspect.getsource(firezone_filter))
    kinds = [type(node) for node in tree.body]
    assert set(kinds[1:-1]) == {ast.ImportFrom}


def test_every_public_name_has_a_docstring_of_its_own() -> None:
    # Unions are no classes; their docstrings stand in the source.
    others = set(NAMES) - {"Decision", "Event", "Filter", "Resource"}
    assert [name for name in others if not getattr(firezone_filter, name).__doc__] == []


def test_there_are_four_decisions() -> None:
    assert set(firezone_filter.Decision.__args__) == {
        firezone_filter.Drop,
        firezone_filter.Forward,
        firezone_filter.Reject,
        firezone_filter.Translate,
    }
