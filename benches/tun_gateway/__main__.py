"""How much of a packet's time the decision takes: `python -m benches.tun_gateway`.

Linux, as root, with iperf3. The example host moves a TCP transfer between a client and a host,
in the namespaces of the end-to-end tests: with the library's decisions, with none (whatever
comes is forwarded), and with a watch at each decision. The three take turns, since only what
was measured side by side can be compared; of each the round with the cheapest packets counts,
as other processes only ever make packets dearer.

CPU time is that of the host's process alone, the kernel's work on its behalf included.
"""

import argparse
import json
import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from attrs import frozen

from tests.e2e.network import FILES, NETWORKS, Network
from tests.e2e.policies import cidr, policy, tcp
from tests.e2e.site import GATEWAY, Site

PORT: Final = 5201
HOSTS: Final = {
    "everything forwarded": "benches.tun_gateway.everything",
    "with decisions": GATEWAY,
    "with a watch": "benches.tun_gateway.timed",
}
DIRECTIONS: Final = {"upload": (), "download": ("-R",)}

_TICKS: Final = os.sysconf("SC_CLK_TCK")


@frozen
class Measured:
    """One transfer."""

    megabits: float
    """A second, as iperf3 has it."""

    packets: int
    """Through the host's TUN device, in both directions."""

    seconds: float
    """CPU time of the host."""

    decision: float | None
    """Microseconds of one decision, if there was a watch."""

    @property
    def cost(self) -> float:
        """Microseconds of CPU time for one packet."""
        return self.seconds / self.packets * 1e6


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=5, help="of one transfer")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    best: dict[tuple[str, str], Measured] = {}
    for _ in range(arguments.rounds):
        for direction in DIRECTIONS:
            for host in HOSTS:
                measured = measure(host, direction, arguments.seconds)
                key = direction, host
                best[key] = min(measured, best.get(key, measured), key=lambda one: one.cost)
    for line in table(best):
        print(line)  # noqa: T201 - the table is what it is run for


def measure(host: str, direction: str, seconds: int) -> Measured:
    """Let a host move one transfer."""
    with at_work(HOSTS[host]) as site:
        before = spent(site), moved(site)
        command = ("iperf3", "-J", "-c", FILES[0], "-p", str(PORT), "-t", str(seconds))
        done = site.network["alice"].run(*command, *DIRECTIONS[direction])
        after = spent(site), moved(site)
        site.gateway.end(signal.SIGTERM)
        report = json.loads(done.stdout)["end"]["sum_received"]
        return Measured(
            megabits=report["bits_per_second"] / 1e6,
            packets=after[1] - before[1],
            seconds=after[0] - before[0],
            decision=decision_time(site.gateway.lines("Measured")),
        )


@contextmanager
def at_work(module: str) -> Iterator[Site]:
    """Yield a site whose host serves iperf3, which Alice may reach."""
    with (
        tempfile.TemporaryDirectory() as directory,
        Network() as network,
        Site(network, Path(directory)) as site,
    ):
        site.start_gateway(policy(alice=[]), module=module)
        site.start("host", "iperf3", "-s", "--forceflush", "-p", str(PORT)).says("listening")
        site.connect("alice", *NETWORKS)
        site.authorize(policy(alice=[cidr("files", FILES[0], tcp(PORT))]))
        yield site


def spent(site: Site) -> float:
    """Return the seconds of CPU time that the host has taken so far."""
    fields = Path("/proc", str(site.gateway.pid), "stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def moved(site: Site) -> int:
    """Return how many packets have gone through the host's TUN device so far."""
    device = site.network.device("tun")
    shown = site.network["gateway"].run("ip", "-j", "-s", "link", "show", "dev", device).stdout
    (link,) = json.loads(shown)
    return int(link["stats64"]["rx"]["packets"]) + int(link["stats64"]["tx"]["packets"])


def decision_time(lines: list[dict[str, Any]]) -> float | None:
    """Return the microseconds of one decision, from what a host with a watch has printed."""
    for line in lines:
        return float(line["nanoseconds"]) / int(line["decisions"]) / 1e3
    return None


def table(best: dict[tuple[str, str], Measured]) -> Iterator[str]:
    """Yield the lines of a table."""
    yield "| transfer | host | Mbit/s | packets | CPU time a packet | the decision | its share |"
    yield "|---|---|---:|---:|---:|---:|---:|"
    for direction in DIRECTIONS:
        watched = best[direction, "with a watch"].decision or 0.0
        for host in ("everything forwarded", "with decisions"):
            one = best[direction, host]
            rate, cost = f"{one.megabits:.0f} | {one.packets:,}", f"{one.cost:.1f} µs"
            share = f"{watched:.2f} µs | {watched / one.cost:.0%}"
            decision = share if host == "with decisions" else "|"
            yield f"| {direction} | {host} | {rate} | {cost} | {decision} |"


if __name__ == "__main__":
    main()
