"""The gateway and its clients at work in the network: one story's own."""

import itertools
import json
import signal
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from tests.e2e.capture import Capture
from tests.e2e.network import Network
from tests.e2e.policies import Json
from tests.e2e.programs import Logging, Program, python
from tests.e2e.talk import CURL

GATEWAY = "firezone_filter"
DEVICES = ("ff-out", "ff-in")


class Site:
    """A gateway with its policy file, and clients. Use it with `with`: it ends them all."""

    def __init__(self, network: Network, directory: Path) -> None:
        self.network = network
        self.policy_path = directory / "policy.json"
        self._directory = directory
        self._numbers = itertools.count()
        self._programs = ExitStack()
        self._readings = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._programs.close()

    # --- Programs --------------------------------------------------------------------------

    def start_gateway(self, policy: Json, *options: str, module: str = GATEWAY) -> Logging:
        """Start the gateway, and wait until it works."""
        self.write(policy)
        return self.start_again(*options, module=module)

    def start_again(self, *options: str, module: str = GATEWAY) -> Logging:
        """Start the gateway with the policy that there is, and wait until it works."""
        self._readings = 0
        self.gateway = self.start_logging("gateway", self.command(*options, module=module))
        self.gateway.logs("Started")
        return self.gateway

    def command(self, *options: str, module: str = GATEWAY) -> tuple[str, ...]:
        """Return the command that starts the gateway; *module* may have words of its own."""
        tunnel = self.network.tunnel
        names = [word for one in tunnel.interfaces(self.network) for word in ("--interface", one)]
        policy = ("--policy", str(self.policy_path))
        return python(
            *module.split(), "gateway", "run", *policy, *names, *tunnel.options, *options
        )

    def start(self, role: str, *command: str) -> Program:
        """Start some program."""
        program = Program(self.network[role].name, command, self.path(role))
        return self._programs.enter_context(program)

    def capture(self, role: str, device: str, *expression: str) -> Capture:
        """Capture what a kernel sees on a device from now on."""
        path = self.path(role).with_suffix(".pcap")
        capture = Capture(self.network[role], self.network.device(device), *expression, path=path)
        self._programs.enter_context(capture).says("listening on")
        return capture

    def start_logging(self, role: str, command: tuple[str, ...]) -> Logging:
        """Start a program that logs JSON lines."""
        program = Logging(self.network[role].name, command, self.path(role))
        return self._programs.enter_context(program)

    def path(self, role: str) -> Path:
        """Return a file that is not there yet."""
        return self._directory / f"{next(self._numbers)}-{role}.txt"

    # --- The policy ------------------------------------------------------------------------

    def write(self, policy: Json) -> None:
        """Put a policy in the place of the old one, at once."""
        new = self.policy_path.with_suffix(".new")
        new.write_text(json.dumps(policy))
        new.replace(self.policy_path)

    def authorize(self, policy: Json) -> None:
        """Make the gateway read this policy."""
        self.write(policy)
        self._readings += 1
        self.gateway.send_signal(signal.SIGHUP)
        self.gateway.logs("Policy read", self._readings)

    def refusals(self, reason: str) -> list[Json]:
        """Return the gateway's log lines about what was refused for *reason*."""
        return [line for line in self.gateway.lines() if line.get("reason") == reason]

    def refused(self, direction: str, reason: str) -> int:
        """Return how many packets the gateway has refused; it needs `--metrics 9100`."""
        return self._counted(f'refused_packets_total{{direction="{direction}",reason="{reason}"}}')

    def allowed(self, direction: str) -> int:
        """Return how many packets the gateway has allowed; it needs `--metrics 9100`."""
        return self._counted(f'allowed_packets_total{{direction="{direction}"')

    def _counted(self, name: str) -> int:
        page = self.network["gateway"].run(*CURL, "http://127.0.0.1:9100/metrics").stdout
        return sum(int(line.split()[1]) for line in page.splitlines() if name in line)

    def carried(self) -> dict[str, tuple[int, int]]:
        """Return by device how many packets and bytes the kernel has handed to the gateway."""
        lines = self.network["gateway"].run("cat", "/proc/net/dev").stdout.splitlines()
        counts = {
            name.strip(): [int(count) for count in rest.split()]
            for name, _, rest in (line.partition(":") for line in lines[2:])
        }
        return {device: (counts[device][9], counts[device][8]) for device in DEVICES}
