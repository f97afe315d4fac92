"""What offload is worth, and what the decision costs beside it: `python -m benches.offload`.

Linux, as root, with iperf3. A relay with two TUN devices, between the namespaces of the end-to-end
tests, carries a TCP transfer: bare with offload (it decides nothing), as a filter with offload and
without, and with a watch at each decision. So does the whole host, `firezone-filter gateway run`,
with offload and without. They take turns, since only what was measured side by side can be
compared; of each the round with the highest throughput counts, as other processes only ever make a
round slower.

CPU time is that of the relay's or host's process alone, the kernel's work on its behalf included.
"""

import argparse
import json
import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from attrs import frozen

from tests.e2e.hosted import Hosted
from tests.e2e.network import FILES, TUNNELS
from tests.e2e.policies import cidr, named, policy, tcp
from tests.e2e.programs import Program
from tests.e2e.relayed import Relayed

PORT: Final = 5201
PROXY: Final = "100.96.0.1"
POLICY: Final = policy(
    alice=[
        cidr("net", FILES[0], tcp(PORT)),
        named("name", "files.example.com", [PROXY], [FILES[0]], tcp(PORT)),
    ]
)

BARE: Final = "bare, offload"
FILTER: Final = "filter, offload"
PLAIN: Final = "filter, no offload"
HOST: Final = "host, offload"
HOST_PLAIN: Final = "host, no offload"
RELAYS: Final = {
    BARE: ("--relay", "bare"),
    FILTER: (),
    PLAIN: ("--no-offload",),
    "watch, offload": ("--relay", "watched"),
    "watch, no offload": ("--relay", "watched", "--no-offload"),
    HOST: (),
    HOST_PLAIN: ("--no-offload",),
}
"""What is compared, with its options. A watched relay tells only how long decisions take."""

TRANSFERS: Final = {
    "upload": (FILES[0],),
    "download": (FILES[0], "-R"),
    "upload, translated": (PROXY,),
    "download, translated": (PROXY, "-R"),
}
"""What is transferred. A bare relay translates nothing, so it stands beside the direct ones."""

QUICK: Final = (BARE, HOST, HOST_PLAIN)
"""What is compared if it is to be quick, for direct transfers alone."""

_HOSTS: Final = {HOST, HOST_PLAIN}
_WITHOUT: Final = {HOST: HOST_PLAIN, HOST_PLAIN: HOST_PLAIN}
_WATCHES: Final = {FILTER: "watch, offload", PLAIN: "watch, no offload"}


@frozen
class Measured:
    """One transfer."""

    gigabits: float
    """A second, as iperf3 has it."""

    packets: int
    """Read by the relay, in both directions; super-packets count once."""

    size: float
    """Bytes of one of them."""

    seconds: float
    """CPU time of the relay."""

    decision: float
    """Seconds of it that decisions took, if it was watched; otherwise 0."""


def measure(transfer: str, relay: str, seconds: int) -> Measured:
    """Let a relay carry one transfer."""
    with (
        tempfile.TemporaryDirectory() as directory,
        (Hosted if relay in _HOSTS else Relayed)(secrets.token_hex(3), Path(directory)) as net,
        Program(net.server.name, SERVE, Path(directory, "iperf3.txt")) as server,
    ):
        program = net.start(POLICY, *RELAYS[relay])
        server.says("listening")
        where, *direction = TRANSFERS[transfer]
        client = ("iperf3", "-J", "-c", where, "-B", TUNNELS["alice"][0], "-p", str(PORT))
        done = net.client.run(*client, "-t", str(seconds), *direction)
        carried = net.end(program)
    return Measured(
        gigabits=json.loads(done.stdout)["end"]["sum_received"]["bits_per_second"] / 1e9,
        packets=carried["packets"],
        size=carried["bytes"] / carried["packets"],
        seconds=carried["seconds"],
        decision=carried["decision_ns"] / 1e9,
    )


SERVE: Final = ("iperf3", "-s", "--forceflush", "-p", str(PORT))


def combinations(*, quick: bool = False) -> Iterator[tuple[str, str]]:
    """Yield what is measured, in its order."""
    for transfer, (where, *_) in TRANSFERS.items():
        for relay in QUICK if quick else RELAYS:
            if where != PROXY or not (quick or relay == BARE):
                yield transfer, relay


def table(best: dict[tuple[str, str], Measured]) -> Iterator[str]:
    """Yield the lines of a table."""
    yield (
        "| transfer | relay | Gbit/s | of bare | times no offload | bytes a packet "
        "| CPU time a packet | the decision's share |"
    )
    yield "|---|---|---:|---:|---:|---:|---:|---:|"
    for (transfer, relay), one in best.items():
        if relay in _WATCHES.values():
            continue
        bare = best.get((transfer, BARE))
        plain = best.get((transfer, _WITHOUT.get(relay, PLAIN)))
        watched = best.get((transfer, _WATCHES.get(relay, "")))
        yield (
            f"| {transfer} | {relay} | {one.gigabits:.2f} "
            f"| {'' if bare is None else f'{one.gigabits / bare.gigabits:.2f}'} "
            f"| {'' if plain is None else f'{one.gigabits / plain.gigabits:.1f}'} "
            f"| {one.size:,.0f} "
            f"| {one.seconds / one.packets * 1e6:.1f} µs "
            f"| {'' if watched is None else f'{watched.decision / watched.seconds:.1%}'} |"
        )


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=2, help="of one transfer")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--quick", action="store_true", help="only a bare relay and the host, and no translation"
    )
    arguments = parser.parse_args()
    best: dict[tuple[str, str], Measured] = {}
    for _ in range(arguments.rounds):
        for key in combinations(quick=arguments.quick):
            measured = measure(*key, arguments.seconds)
            best[key] = max(measured, best.get(key, measured), key=lambda one: one.gigabits)
    for line in table(best):
        print(line)  # noqa: T201 - the table is what it is run for


if __name__ == "__main__":
    main()
