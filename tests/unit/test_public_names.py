import ast
import inspect
import subprocess
import sys
from types import ModuleType

import pytest

import firezone_filter

NAMES = [
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


def test_the_public_names_are_these_in_order() -> None:
    assert firezone_filter.__all__ == NAMES == sorted(NAMES)


def test_the_root_has_these_names_and_no_others() -> None:
    public = {
        name
        for name in dir(firezone_filter)
        if not name.startswith("_") and not isinstance(getattr(firezone_filter, name), ModuleType)
    }
    # (What tells type checkers about names that are imported later is no name of ours.)
    assert public - {"TYPE_CHECKING"} == set(NAMES)


def test_the_root_only_imports_some_of_it_later() -> None:
    tree = ast.parse(inspect.getsource(firezone_filter))
    *now, later, names = tree.body[1:]
    assert {type(node) for node in now} == {ast.ImportFrom}
    assert isinstance(later, ast.If)
    assert isinstance(names, ast.Assign)
    assert {type(node) for node in later.body} == {ast.ImportFrom}
    hooks = [node.name for node in later.orelse if isinstance(node, ast.FunctionDef)]
    assert hooks == ["__getattr__", "__dir__"]
    assert len(later.orelse) == len(hooks)


def loaded_by(program: str) -> set[str]:
    """Return the modules that a program of its own has loaded at its end."""
    shown = f"import sys; {program}; print(*sys.modules)"
    # The program is written right here.
    ran = subprocess.run([sys.executable, "-c", shown], capture_output=True, text=True, check=True)  # noqa: S603
    return set(ran.stdout.split())


def test_a_gateway_alone_imports_no_logging_json_dates_or_dpkt() -> None:
    loaded = loaded_by("import firezone_filter; firezone_filter.Gateway")
    heavy = {"dpkt", "logging", "json", "datetime", "decimal", "difflib"}
    beside = {f"firezone_filter.{room}" for room in ("logs", "policy", "portal", "documents")}
    assert loaded & (heavy | beside) == set()


def test_all_names_can_be_imported_at_once() -> None:
    program = f"from firezone_filter import *; assert set({NAMES}) <= set(vars())"
    assert "firezone_filter.portal" in loaded_by(program)


def test_a_name_that_there_is_not_is_an_attribute_error() -> None:
    misspelled = "Gatewya"
    with pytest.raises(AttributeError, match="'firezone_filter' has no attribute 'Gatewya'"):
        getattr(firezone_filter, misspelled)


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
