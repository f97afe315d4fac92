"""Policies: JSON that says who may reach what, and until when; and what a policy is asked.

`policy` holds the values and makes a gateway of them, `consistency` the checks that hold for
policies from files and by hand alike, `files` reads and writes the JSON, `analysis` answers what
a policy means, `apply` brings a running gateway to it. No file is opened here.
"""

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
from firezone_filter.policy.files import dump_policy, load_policy
from firezone_filter.policy.parts import (
    PolicyAuthorization,
    PolicyClient,
    PolicyDomain,
    PolicyTest,
)
from firezone_filter.policy.policy import Policy

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
