"""What upstream says is remembered for as long as it says."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest

from firezone_filter.host.resolver import resolutions
from firezone_filter.host.resolver.resolutions import (
    MAX_REAL,
    MOST_TTL,
    STALE,
    STALE_TTL,
    Resolutions,
    Resolved,
)
from firezone_filter.host.resolver.upstream import NoAnswerError
from tests.unit.host.resolver.world import Clock, Zone

T = TypeVar("T")

GIT = "git.example.com"


class Scene:
    def __init__(self) -> None:
        self.zone = Zone()
        self.zone.put(GIT, "A", "10.0.0.80", ttl=60)
        self.clock = Clock()
        self.names = Resolutions(self.zone, lambda address: not address.is_loopback, self.clock)

    def find(self, name: str = GIT, version: int = 4) -> tuple[list[str], bool, float]:
        """Return addresses, existence, and the seconds for which they hold."""
        found: Resolved = run(self.names.find(name, version))
        return [str(one) for one in found.addresses], found.exists, found.ends - self.clock.now


def run(story: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(story)


def test_a_name_is_asked_for_again_when_its_time_is_over() -> None:
    scene = Scene()
    assert scene.find() == (["10.0.0.80"], True, 60.0)
    scene.clock.now += 59.0
    assert scene.find() == (["10.0.0.80"], True, 1.0)
    assert len(scene.zone.asked) == 1
    scene.clock.now += 1.0
    scene.zone.put(GIT, "A", "10.0.0.81", ttl=5)
    assert scene.names.fresh(GIT, 4) is None
    assert scene.find() == (["10.0.0.81"], True, 5.0)


def test_what_lasts_for_no_time_is_asked_for_each_time() -> None:
    scene = Scene()
    scene.zone.put(GIT, "A", "10.0.0.80", ttl=0)
    assert scene.find() == scene.find() == (["10.0.0.80"], True, 0.0)
    assert len(scene.zone.asked) == 2


def test_what_lasts_for_ever_is_asked_for_again_after_a_day() -> None:
    scene = Scene()
    scene.zone.put(GIT, "A", "10.0.0.80", ttl=2**31 - 1)
    assert scene.find() == (["10.0.0.80"], True, MOST_TTL)


def test_addresses_have_an_order_of_their_own_since_servers_rotate_them() -> None:
    scene = Scene()
    scene.zone.put(GIT, "A", "10.0.0.81", "10.0.0.9", "10.0.0.80")
    assert scene.find()[0] == ["10.0.0.9", "10.0.0.80", "10.0.0.81"]


def test_addresses_that_are_not_admitted_are_left_out() -> None:
    scene = Scene()
    scene.zone.put(GIT, "A", "127.0.0.1", "10.0.0.80")
    assert scene.find()[0] == ["10.0.0.80"]


def test_of_very_many_addresses_some_are_looked_at() -> None:
    scene = Scene()
    scene.zone.put(GIT, "A", *(f"10.0.0.{n}" for n in range(MAX_REAL + 1)))
    assert len(scene.find()[0]) == MAX_REAL


@pytest.mark.parametrize(
    ("name", "version", "exists"), [(GIT, 6, True), ("nothing.example.com", 4, False)]
)
def test_it_is_believed_for_a_minute_at_most_that_there_is_nothing(
    name: str,
    version: int,
    exists: bool,  # noqa: FBT001
) -> None:
    scene = Scene()
    assert scene.find(name, version) == ([], exists, 60.0)
    scene.clock.now += 60.0
    scene.zone.negative_ttl = 20
    assert scene.find(name, version) == ([], exists, 20.0)


def test_who_asks_for_the_same_at_the_same_time_waits_for_one_answer() -> None:
    scene = Scene()

    async def story() -> None:
        first, second, third = (asyncio.create_task(scene.names.find(GIT, 4)) for _ in range(3))
        await asyncio.sleep(0)
        first.cancel()
        assert await second is await third
        assert first.cancelled()

    run(story())
    assert len(scene.zone.asked) == 1


def test_when_upstream_is_silent_what_it_said_counts_for_an_hour_more() -> None:
    scene = Scene()
    scene.find()
    scene.zone.silent.add(GIT)
    scene.clock.now += 60.0 + STALE - 0.5
    assert scene.find() == (["10.0.0.80"], True, STALE_TTL)
    scene.clock.now += 0.5
    with pytest.raises(NoAnswerError):
        scene.find()


def test_a_silent_upstream_is_left_alone_for_five_seconds() -> None:
    scene = Scene()
    scene.zone.silent.add(GIT)
    for _ in range(2):
        with pytest.raises(NoAnswerError):
            scene.find()
    assert len(scene.zone.asked) == 1
    scene.zone.silent.clear()
    scene.clock.now += 4.9
    with pytest.raises(NoAnswerError):
        scene.find()
    scene.clock.now += 0.1
    assert scene.find()[0] == ["10.0.0.80"]


def test_the_longest_unused_name_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolutions, "MOST_NAMES", 2)
    scene = Scene()
    scene.find()
    scene.find("a.example.com")
    scene.find()
    scene.find("b.example.com")
    assert scene.names.fresh(GIT, 4) is not None
    assert scene.names.fresh("a.example.com", 4) is None
    assert len(scene.names._entries) == 2


def test_what_is_being_asked_can_be_given_up() -> None:
    scene = Scene()

    async def story() -> None:
        asking = asyncio.create_task(scene.names.find(GIT, 4))
        await asyncio.sleep(0)
        await scene.names.close()
        with pytest.raises(asyncio.CancelledError):
            await asking

    run(story())
    assert scene.names.fresh(GIT, 4) is None
