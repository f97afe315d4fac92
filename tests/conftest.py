"""How thorough property tests are: `HYPOTHESIS_PROFILE`, by default the quick `dev`.

`cover` has a few more examples, and the same every time, since coverage must not depend on
chance. `ci` has 50, `thorough` 1,000 and new ones every time.
"""

import os

import pytest
from hypothesis import HealthCheck, settings

from tests.assertions import explain

PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "dev")

# Whether a machine is busy says nothing about the code.
COMMON = settings(deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])

settings.register_profile("dev", COMMON, max_examples=15)
settings.register_profile("cover", COMMON, max_examples=25, derandomize=True)
settings.register_profile("ci", COMMON, max_examples=50, derandomize=True)
settings.register_profile("thorough", COMMON, max_examples=1_000)
settings.load_profile(PROFILE)


@pytest.fixture(scope="session")
def thorough() -> bool:
    """Whether this run may take minutes."""
    return PROFILE in {"ci", "thorough"}


def pytest_assertrepr_compare(op: str, left: object, right: object) -> list[str] | None:
    """Show what differs in two decisions, or in two lists of them."""
    return explain(left, right) if op == "==" else None
