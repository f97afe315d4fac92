"""The network of `relayed` with the whole host in the relay's place."""

import json
import os
import signal
from pathlib import Path
from typing import Any

from tests.e2e.policies import Json
from tests.e2e.programs import Logging, python
from tests.e2e.relayed import Relayed
from tests.e2e.tunnels import MAC

DEVICES = ("ff-out", "ff-in")

_TICKS = os.sysconf("SC_CLK_TCK")


class Hosted(Relayed):
    """The three namespaces, and `firezone-filter gateway run`, which lays its own rules."""

    _began = 0.0

    def start(
        self, policy: Json, *options: str, module: tuple[str, ...] = ("firezone_filter",)
    ) -> Logging:
        """Start the host."""
        path = self._directory / "policy.json"
        path.write_text(json.dumps(policy))
        words = ("gateway", "run", "--policy", str(path), "--interface", "wg", "--no-peers")
        program = Logging(
            self.gateway.name, python(*module, *words, *options), path.with_suffix(".txt")
        )
        self._removal.enter_context(program)
        program.logs("Started")
        self._began = _cpu_time(program.pid)
        return program

    def end(self, relay: Logging) -> dict[str, Any]:
        """End the host; return what it has done, as its devices and the kernel have it."""
        seconds = _cpu_time(relay.pid) - self._began
        lines = self.gateway.run("cat", "/proc/net/dev").stdout.splitlines()
        counts = {
            name.strip(): [int(count) for count in rest.split()]
            for name, _, rest in (line.partition(":") for line in lines[2:])
        }
        # What the kernel has sent by a device, the host has read.
        sent = [counts[device][8:10] for device in DEVICES]
        relay.end(signal.SIGTERM)
        return {
            "packets": sum(packets for _, packets in sent),
            "bytes": sum(size for size, _ in sent),
            "seconds": seconds,
            "decision_ns": 0,
        }

    def _build(self) -> None:
        super()._build()
        self.gateway.set(ipv4__tcp_early_demux="0", ipv4__udp_early_demux="0")
        # Nobody has to ask where the other is: the host lets no such question through.
        for end, device in ((self.client, "eth"), (self.gateway, "wg")):
            end.ip("link", "set", device, "arp", "off", "address", MAC)

    def _rules(self, family: str, *tunnel: str) -> None:
        """Lay none: the host does."""


def _cpu_time(pid: int) -> float:
    """Return the CPU time of a process, in seconds, the kernel's work on its behalf included."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / _TICKS
