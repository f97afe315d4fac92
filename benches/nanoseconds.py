"""Where the nanoseconds of a packet go: `python -m benches.nanoseconds`. Linux, with `perf`.

For each kind of packet and each build a process of its own goes through a loop under `perf`,
which tells in what functions of C it was, by samples; they are put together by what they do,
and multiplied by what a packet takes when nobody watches. The names are those of CPython and of
the extension module, so that it needs an interpreter that was not stripped.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from benches import by_hand
from benches.both import environment
from benches.build import Build
from benches.loops import alone, batched, each, timed
from benches.scenes import (
    NOW,
    OUTBOUND,
    REFUSED_PORT,
    V4,
    Flow,
    forget_flows,
    gateway_for_alice,
    give_name,
    many_hosts,
    packet,
)
from firezone_filter import GatewayOptions

_ROUND: Final = 1_000
_START_MS: Final = 700
"""Until the loop is reached: imports are another story."""

Run = Callable[[], object]


def _floor() -> Run:
    packets = [packet(V4, OUTBOUND)] * _ROUND
    return each(by_hand.floor(4, packets[0]), packets)


def _established() -> Run:
    return alone(gateway_for_alice(), OUTBOUND, [packet(V4, OUTBOUND)] * _ROUND)


def _at_once() -> Run:
    return batched(gateway_for_alice(), OUTBOUND, [packet(V4, OUTBOUND)] * _ROUND, NOW)


def _translated() -> Run:
    gateway = gateway_for_alice()
    give_name(gateway)
    return timed(gateway, OUTBOUND, [packet(V4, OUTBOUND, far=V4.proxy)] * _ROUND, NOW)


def _first() -> Run:
    gateway = gateway_for_alice()
    run = timed(gateway, OUTBOUND, many_hosts(Flow(V4, OUTBOUND), _ROUND), NOW)

    def forget_and_run() -> None:
        # Twice a thousandth of the packets: it does not show.
        forget_flows(gateway)
        run()

    return forget_and_run


def _replied() -> Run:
    options = GatewayOptions(reject_rate=1e9, reject_burst=1_000_000_000)
    packets = many_hosts(Flow(V4, OUTBOUND), _ROUND, port=REFUSED_PORT)
    return timed(gateway_for_alice(options=options), OUTBOUND, packets, NOW)


KINDS: Final[dict[str, Callable[[], Run]]] = {
    "floor": _floor,
    "established": _established,
    "at once": _at_once,
    "translated": _translated,
    "first": _first,
    "replied": _replied,
}
"""What goes through the loop, by name; "at once" is an established flow in `handle_packets`."""

PARTS: Final = (
    ("the extension module", r"_native\."),
    ("hashing", r"(?i)siphash|hash"),
    ("dicts, comparing", r"(?i)dict|richcompare|memcmp|unicodekeys|set_"),
    ("reading bytes", r"_struct\.|_radix\.|Buffer|unpack|subscript|PyLong_From|Size|Index"),
    ("objects made and freed", r"(?i)alloc|free|NewRef|Tuple|FromString|trash|mem(set|move|cpy)"),
    ("the cyclic collector", r"\bgc_|visit_|traverse"),
    ("byte code and calls", r"PyEval|PyFrame|[Vv]ectorcall|[Cc]all|listiter|locals|ThreadState"),
)
"""What functions of C do, by a pattern for "object file, symbol"; the first that fits counts."""

REST: Final = "the rest of the interpreter"


def part_of(function: str) -> str:
    """Return the name of the part that a function belongs to."""
    fitting = (name for name, pattern in PARTS if re.search(pattern, function))
    return next(fitting, REST)


def shares(report: str) -> Counter[str]:
    """Read what `perf report` printed: the share of each part, in hundredths."""
    found = re.findall(r"^\s*([\d.]+)%\s+(\S.*?)\s*$", report, re.MULTILINE)
    parts: Counter[str] = Counter()
    for share, function in found:
        # perf counts hundredths of a percent, and so do we: sums of floats would not be exact.
        parts[part_of(function)] += round(float(share) * 100)
    return parts


def loop(kind: str, seconds: float) -> float:
    """Go through the loop for so long; return the nanoseconds of a packet, in its best round."""
    run, best = KINDS[kind](), float("inf")
    end = time.perf_counter() + seconds
    while (start := time.perf_counter()) < end:
        run()
        best = min(best, time.perf_counter() - start)
    return best / _ROUND * 1e9


def profile(kind: str, build: Build, seconds: float) -> dict[str, float]:
    """Return the nanoseconds of each part."""
    command = [sys.executable, "-m", "benches.nanoseconds", "--loop", kind, "--seconds"]
    nanoseconds = float(_output([*command, str(seconds)], build))
    with tempfile.TemporaryDirectory() as folder:
        data = str(Path(folder, "perf.data"))
        record = ["perf", "record", "-q", "-F", "4999", "-D", str(_START_MS), "-o", data]
        _output([*record, *command, str(seconds + _START_MS / 1e3)], build)
        text = _output(["perf", "report", "-i", data, "-F", "overhead,dso,symbol", "--stdio"])
    parts = shares(text)
    return {name: nanoseconds * share / parts.total() for name, share in parts.items()}


def _output(command: list[str], build: Build = Build.PLAIN) -> str:
    # All commands are written above.
    ran = subprocess.run(command, env=environment(build), check=True, stdout=subprocess.PIPE)  # noqa: S603
    return ran.stdout.decode()


def table(columns: dict[str, dict[str, float]]) -> str:
    """Return the parts of each column, and their sum, as Markdown."""
    lines = [
        ["", *columns],
        ["---", *("---:" for _ in columns)],
        *(
            [part, *(f"{parts.get(part, 0):.0f}" for parts in columns.values())]
            for part in [*dict(PARTS), REST]
        ),
        ["nanoseconds", *(f"{sum(parts.values()):.0f}" for parts in columns.values())],
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a table, with a column for each kind of packet and build."""
    parser = argparse.ArgumentParser(prog="python -m benches.nanoseconds", description=__doc__)
    parser.add_argument("kind", nargs="*", help=", ".join(KINDS))
    parser.add_argument("--seconds", type=float, default=3, help="of each loop")
    parser.add_argument("--loop", choices=KINDS, help="only go through it, for a profiler")
    chosen = parser.parse_args(arguments)
    if chosen.loop:
        sys.stdout.write(f"{loop(chosen.loop, chosen.seconds):.1f}\n")
        return
    columns = {
        f"{kind}, {build}": profile(kind, build, chosen.seconds)
        for kind in chosen.kind or KINDS
        # The floor is none of ours.
        for build in (Build if kind != "floor" else [Build.PLAIN])
    }
    sys.stdout.write(f"{table(columns)}\n")


if __name__ == "__main__":
    main()
