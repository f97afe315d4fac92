"""Policies: JSON that says who may reach what, and until when; and what a policy is asked.

`policy` holds the values and makes a gateway of them, `consistency` the checks that hold for
policies from files and by hand alike, `files` reads and writes the JSON, `analysis` answers what
a policy means, `apply` brings a running gateway to it. No file is opened here.
"""

from typing import TYPE_CHECKING

from firezone_filter.policy.files import dump_policy, load_policy
from firezone_filter.policy.parts import (
    PolicyAuthorization,
    PolicyClient,
    PolicyDomain,
    PolicyTest,
)
from firezone_filter.policy.policy import Policy

if TYPE_CHECKING:
    from firezone_filter.policy.analysis.changes import (
        BoxChange,
        ClientDiff,
        ExpiryChange,
        Move,
        PolicyDiff,
    )
    from firezone_filter.policy.analysis.findings import Finding
    from firezone_filter.policy.analysis.reach import Reach
    from firezone_filter.policy.analysis.tests import TestResult
else:
    # Analysis is imported when it is first asked for: a program that decides needs none of it.

    def __getattr__(name: str) -> object:
        match name:
            case "BoxChange" | "ClientDiff" | "ExpiryChange" | "Move" | "PolicyDiff":
                from firezone_filter.policy.analysis import changes as module
            case "Finding":
                from firezone_filter.policy.analysis import findings as module
            case "Reach":
                from firezone_filter.policy.analysis import reach as module
            case "TestResult":
                from firezone_filter.policy.analysis import tests as module
            case _:
                raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(module, name)


__all__ = [
    "BoxChange",
    "ClientDiff",
    "ExpiryChange",
    "Finding",
    "Move",
    "Policy",
    "PolicyAuthorization",
    "PolicyClient",
    "PolicyDiff",
    "PolicyDomain",
    "PolicyTest",
    "Reach",
    "TestResult",
    "dump_policy",
    "load_policy",
]
