"""What offload is worth, and what the decision costs beside it: `python -m benches.offload`.

Linux, as root, with iperf3. The host, `firezone-filter gateway run`, carries a TCP transfer
between the namespaces of the end-to-end tests: bare with offload (it decides nothing), with
offload and without, and with a watch at each decision. They take turns, since only what was
measured side by side can be compared; of each the round with the highest throughput counts, as
other processes only ever make a round slower.

CPU time is that of the host's process alone, the kernel's work on its behalf included.
"""

import argparse
import json
import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from attrs import frozen

from tests.e2e.network import PROXIES, ROUTER, TUNNELS, Network
from tests.e2e.policies import cidr, named, policy, tcp
from tests.e2e.site import GATEWAY, Site

PORT: Final = 5201
SERVER: Final = ROUTER[0]
"""The next machine after the gateway: what is measured is the host's, not that of routers."""

PROXY: Final = PROXIES[0]
POLICY: Final = policy(
    alice=[
        cidr("net", SERVER, tcp(PORT)),
        named("name", "files.example.com", [PROXY], [SERVER], tcp(PORT)),
    ]
)

BARE: Final = "bare, offload"
HOST: Final = "host, offload"
PLAIN: Final = "host, no offload"
WATCH: Final = "watch, offload"
WATCH_PLAIN: Final = "watch, no offload"
HOSTS: Final = {
    BARE: ("benches.bare_host",),
    HOST: (GATEWAY,),
    PLAIN: (GATEWAY, "--no-offload"),
    WATCH: ("benches.watched_host",),
    WATCH_PLAIN: ("benches.watched_host", "--no-offload"),
}
"""What is compared: a module, with its options. A watched host tells only how long decisions
take."""

TRANSFERS: Final = {
    "upload": (SERVER,),
    "download": (SERVER, "-R"),
    "upload, translated": (PROXY,),
    "download, translated": (PROXY, "-R"),
}
"""What is transferred. A bare host translates nothing, so it stands beside the direct ones."""

QUICK: Final = (BARE, HOST, PLAIN)
"""What is compared if it is to be quick, for direct transfers alone."""

_WATCHES: Final = {HOST: WATCH, PLAIN: WATCH_PLAIN}
_SERVE: Final = ("iperf3", "-s", "--forceflush", "-p", str(PORT))
_TICKS: Final = os.sysconf("SC_CLK_TCK")


@frozen
class Measured:
    """One transfer."""

    gigabits: float
    """A second, as iperf3 has it."""

    packets: int
    """Read by the host, in both directions; super-packets count once."""

    size: float
    """Bytes of one of them."""

    seconds: float
    """CPU time of the host."""

    decision: float
    """Seconds of it that decisions took, if it was watched; otherwise 0."""


def measure(transfer: str, host: str, seconds: int, directory: Path) -> Measured:
    """Let a host carry one transfer, with its files in *directory*."""
    with Network() as network, Site(network, directory) as site:
        site.start("router", *_SERVE).says("listening")
        module, *options = HOSTS[host]
        program = site.start_gateway(POLICY, *options, module=module)
        began = _cpu_time(program.pid)
        where, *direction = TRANSFERS[transfer]
        client = ("iperf3", "-J", "-c", where, "-B", TUNNELS["alice"][0], "-p", str(PORT))
        done = network["alice"].run(*client, "-t", str(seconds), *direction)
        taken = _cpu_time(program.pid) - began
        packets, size = map(sum, zip(*site.carried().values(), strict=True))
        program.end(signal.SIGTERM)
        return Measured(
            gigabits=json.loads(done.stdout)["end"]["sum_received"]["bits_per_second"] / 1e9,
            packets=packets,
            size=size / packets,
            seconds=taken,
            decision=sum(line["seconds"] for line in program.lines("Decided")),
        )


def _cpu_time(pid: int) -> float:
    """Return the CPU time of a process, in seconds, the kernel's work on its behalf included."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / _TICKS


def combinations(*, quick: bool = False) -> Iterator[tuple[str, str]]:
    """Yield what is measured, in its order."""
    for transfer, (where, *_) in TRANSFERS.items():
        for host in QUICK if quick else HOSTS:
            if where != PROXY or not (quick or host == BARE):
                yield transfer, host


def table(best: dict[tuple[str, str], Measured]) -> Iterator[str]:
    """Yield the lines of a table."""
    yield (
        "| transfer | host | Gbit/s | of bare | times no offload | bytes a packet "
        "| CPU time a packet | the decision's share |"
    )
    yield "|---|---|---:|---:|---:|---:|---:|---:|"
    for (transfer, host), one in best.items():
        if host in _WATCHES.values():
            continue
        bare = best.get((transfer, BARE))
        plain = best.get((transfer, PLAIN)) if host != BARE else None
        watched = best.get((transfer, _WATCHES.get(host, "")))
        yield (
            f"| {transfer} | {host} | {one.gigabits:.2f} "
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
    parser.add_argument("--quick", action="store_true", help="no watch and no translation")
    arguments = parser.parse_args()
    best: dict[tuple[str, str], Measured] = {}
    for _ in range(arguments.rounds):
        for key in combinations(quick=arguments.quick):
            with tempfile.TemporaryDirectory() as directory:
                measured = measure(*key, arguments.seconds, Path(directory))
            best[key] = max(measured, best.get(key, measured), key=lambda one: one.gigabits)
    for line in table(best):
        print(line)  # noqa: T201 - the table is what it is run for


if __name__ == "__main__":
    main()
