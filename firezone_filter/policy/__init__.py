"""Policies: who may reach what until when, written down as JSON.

From the bottom up: `faults` collects what is wrong and where, `document` is what readers
see, `text` comes from JSON to it, `portal_shapes` knows resources and filters as the portal
writes them, `values` holds a policy, `files` reads and writes one. No file is opened here.
"""

from firezone_filter.policy.files import dump_policy, load_policy
from firezone_filter.policy.values import (
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
