"""Two builds of one package: what is compiled decides, reports and counts as what is plain."""

import importlib.util

import pytest

from firezone_filter.compiled.twins import IS_COMPILED
from tests.property.builds import Build, tell_all

PACKETS, THOROUGH = 3_000, 30_000

IS_BUILT = importlib.util.find_spec("firezone_filter.compiled._native") is not None


@pytest.mark.skipif(not IS_BUILT, reason="the extension module is not built")
def test_the_other_build_tells_the_same_stories(*, thorough: bool) -> None:
    packets = THOROUGH if thorough else PACKETS
    other = Build(packets, is_compiled=not IS_COMPILED)

    ours = list(tell_all(packets))

    assert list(other.told()) == ours
    assert len({one.digest for one in ours}) == len(ours) >= 15
