"""Policies: JSON that says who may reach what, and until when.

`policy` holds the values and makes a gateway of them, `consistency` the checks that hold for
policies from files and by hand alike, `files` reads and writes the JSON. No file is opened
here.
"""

from firezone_filter.policy.files import dump_policy, load_policy
from firezone_filter.policy.policy import (
    Policy,
    PolicyAuthorization,
    PolicyClient,
    PolicyDomain,
)

__all__ = [
    "Policy",
    "PolicyAuthorization",
    "PolicyClient",
    "PolicyDomain",
    "dump_policy",
    "load_policy",
]
