"""The compiled build, the plain one and the model: stories that must not differ.

    python -m tests.property.builds --packets 2000000

One process has one build, so each build tells the stories in a process of its own, to the model
beside it. A story follows what was decided, and its digest is of all that was shown.
"""

import argparse
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Final, NamedTuple
from unittest.mock import patch

import firezone_filter
from firezone_filter.compiled.twins import IS_COMPILED
from tests.property import story
from tests.property.batched import Recording
from tests.property.many_flows import ManyFlows, Vanishing
from tests.property.story import Story

ROOT: Final = Path(__file__).parents[2]
MODULE: Final = "tests.property.builds"

KINDS: Final = (Story, ManyFlows, Vanishing)
FIRST_SEED: Final = 70_000
STEPS: Final = 200


class Told(NamedTuple):
    """A story that a build and its model were told, and agreed about."""

    number: int
    packets: int
    digest: str
    """Of all decisions, events, errors, counters and timeouts."""


def tell(number: int) -> Told:
    """Tell a story to the build of this process; raise if a gateway and the model differ."""
    kind, stateful = KINDS[number % len(KINDS)], number // len(KINDS) % 2 == 1
    with patch.object(story, "Twins", Recording):
        one = kind(random.Random(FIRST_SEED + number), stateful=stateful)
    twins = one.twins
    assert isinstance(twins, Recording)
    twins.log.insert(0, f"story {number}")
    one.tell(STEPS)
    twins.hand_in()
    packets = sum(n for what, n in twins.tally.items() if what.startswith(("outbound", "inbound")))
    return Told(number, packets, twins.digest.hexdigest())


def tell_all(packets: int) -> Iterator[Told]:
    """Tell stories of so many packets together, or a few more."""
    told = 0
    for number in count():  # pragma: no branch - it has no end
        if told >= packets:
            return
        one = tell(number)
        told += one.packets
        yield one


class Build:
    """A process with one build, which tells stories."""

    def __init__(self, packets: int, *, is_compiled: bool) -> None:
        self.is_compiled = is_compiled
        self.name = "compiled" if is_compiled else "plain"
        self.process = subprocess.Popen(  # noqa: S603 - the arguments are ours
            [sys.executable, "-m", MODULE, f"--packets={packets}", f"--only={self.name}"],
            cwd=ROOT,
            env={
                **os.environ,
                "FIREZONE_FILTER_PURE": "0" if is_compiled else "1",
                # The package that this process has, wherever that is.
                "PYTHONPATH": str(Path(firezone_filter.__file__).parents[1]),
            },
            stdout=subprocess.PIPE,
            text=True,
        )

    def told(self) -> Iterator[Told]:
        """Yield the stories as they are told."""
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                number, packets, digest = line.split()
                yield Told(int(number), int(packets), digest)
        assert self.process.wait() == 0, f"the {self.name} build failed: see above"


def main(arguments: list[str]) -> None:  # pragma: no cover - in processes of its own
    parser = argparse.ArgumentParser()
    parser.add_argument("--packets", type=int, default=20_000)
    parser.add_argument("--only", choices=["compiled", "plain"])
    options = parser.parse_args(arguments)
    if options.only is not None:
        assert IS_COMPILED is (options.only == "compiled"), f"this build is not {options.only}"
        for one in tell_all(options.packets):
            sys.stdout.write("{} {} {}\n".format(*one))
            sys.stdout.flush()
        return
    packets = stories = 0
    builds = [Build(options.packets, is_compiled=one).told() for one in (True, False)]
    for compiled, plain in zip(*builds, strict=True):
        if compiled != plain:
            sys.exit(f"the builds differ: {compiled}, {plain}")
        packets += compiled.packets
        stories += 1
    sys.stdout.write(
        f"{packets:,} packets in {stories:,} stories: compiled, plain and the model agree\n"
    )


if __name__ == "__main__":  # pragma: no cover
    main(sys.argv[1:])
