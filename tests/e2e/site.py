"""The gateway and its clients at work in the network: one story's own."""

import itertools
import json
import signal
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from tests.e2e.capture import Capture
from tests.e2e.network import (
    CARRIERS,
    DNS_RANGES,
    NETWORKS,
    TUNNEL_MTU,
    TUNNEL_RANGES,
    TUNNELS,
    Network,
)
from tests.e2e.policies import Json
from tests.e2e.programs import Logging, Program, python
from tests.e2e.talk import CURL

GATEWAY = "examples.tun_gateway.gateway"
CLIENT = "examples.tun_gateway.client"

# What a client sends through its tunnel.
ROUTES = (*NETWORKS, *TUNNEL_RANGES, *DNS_RANGES)


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
        """Start the gateway. Who connects a client waits for it by that."""
        self.write(policy)
        listen = ("--listen", "0.0.0.0", "--device", self.network.device("tun"))
        command = python(
            module, str(self.policy_path), *listen, "--mtu", str(TUNNEL_MTU), *options
        )
        self.gateway = self.start_logging("gateway", command)
        return self.gateway

    def connect(self, client: str, *access: str, module: str = CLIENT) -> Logging:
        """Start a client that knows to what it has access, and wait until it is connected."""
        program = self.launch(client, *access, module=module)
        self.gateway.logs("Started")
        program.logs("Registered")
        return program

    def launch(self, client: str, *access: str, module: str = CLIENT) -> Logging:
        """Start a client."""
        lists = (("--address", TUNNELS[client]), ("--route", ROUTES), ("--access", access))
        options = [word for option, values in lists for one in values for word in (option, one)]
        device = ("--device", self.network.device("tun"), "--mtu", str(TUNNEL_MTU))
        command = python(module, client, "--gateway", CARRIERS[client][0], *device, *options)
        return self.start_logging(client, command)

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

    # --- The portal ------------------------------------------------------------------------

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
        """Return how many packets the gateway has counted; it needs `--metrics 9100`."""
        page = self.network["gateway"].run(*CURL, "http://127.0.0.1:9100/metrics").stdout
        name = f'refused_packets_total{{direction="{direction}",reason="{reason}"}}'
        return sum(int(line.split()[1]) for line in page.splitlines() if name in line)
