"""`ShardedDict`: a dict all the same, before it is split and afterwards."""

import pytest

from firezone_filter.structures import shards
from firezone_filter.structures.shards import ShardedDict


@pytest.mark.parametrize("many", [3, 5, 1_000], ids=["whole", "just-split", "split"])
def test_it_keeps_what_a_dict_keeps(many: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "MAX_WHOLE", 4)
    kept: ShardedDict[int] = ShardedDict()
    for number in range(many):
        kept.set(str(number), -1)
        kept.set(str(number), number)
    assert len(kept) == many
    assert [kept.get(str(number)) for number in range(many)] == list(range(many))
    assert kept.get("none") is None
    for number in range(many):
        kept.remove(str(number))
        assert kept.get(str(number)) is None
    assert len(kept) == 0
