"""The least that is a gateway between two devices: it reads, decides and writes.

    python -m tests.e2e.relay POLICY OUTBOUND INBOUND …

What is read from the device *OUTBOUND* comes from clients, what is read from *INBOUND* goes to
them, and what passes is written back. It serves the clients of the policy from the start, does
nothing when time passes, and tells at its end what it has done.
"""

import argparse
import asyncio
import json
import signal
import time
from collections import Counter
from contextlib import closing
from functools import partial
from pathlib import Path
from statistics import median
from typing import Final, assert_never

from attrs import asdict

from firezone_filter import (
    Decision,
    Direction,
    Drop,
    Forward,
    Gateway,
    Reject,
    Translate,
    load_policy,
)
from firezone_filter.host.offload import Frame, sent
from firezone_filter.host.tun import TunDevice

_NOW: Final = time.thread_time_ns  # CPU time: it stands still while others have the processor


class Relay:
    """Decides about every packet; other relays decide otherwise."""

    def __init__(self, gateway: Gateway, devices: dict[Direction, TunDevice]) -> None:
        self._gateway = gateway
        self._devices = devices
        self.packets = self.bytes = self.largest = 0
        self.refused: Counter[str] = Counter()
        self.decision_ns = 0
        self._began = time.process_time()

    def carry(self, direction: Direction) -> None:
        """Read what waits, and write what passes."""
        now = time.time()
        device = self._devices[direction]
        for frame in device.read():
            self.packets += 1
            size = len(frame.packet)
            self.bytes += size
            self.largest = max(size, self.largest)
            self._pass_on(device, frame, self.decide(direction, frame, now))

    def decide(self, direction: Direction, frame: Frame, now: float) -> Decision:
        """Return what to do with a frame."""
        return self._gateway.handle_packet(direction, frame.packet, now)

    def seconds(self) -> float:
        """Return the CPU time that it has taken since it was made."""
        return time.process_time() - self._began

    def _pass_on(self, device: TunDevice, frame: Frame, decision: Decision) -> None:
        match decision:
            case Forward() | Translate():
                device.write(sent(frame, decision))
            case Reject(reply=reply, reason=reason):
                self.refused[reason] += 1
                self._devices[Direction.INBOUND].write(Frame(reply))
            case Drop(reason=reason):
                self.refused[reason] += 1
            case _:
                assert_never(decision)


class Bare(Relay):
    """Decides nothing: what is left is what moving packets costs."""

    forward = Forward("nobody", None)

    def decide(self, direction: Direction, frame: Frame, now: float) -> Decision:  # noqa: ARG002
        return self.forward


class Watched(Relay):
    """Looks at the watch before and after each decision."""

    def decide(self, direction: Direction, frame: Frame, now: float) -> Decision:
        before = _NOW()
        decision = super().decide(direction, frame, now)
        self.decision_ns += _NOW() - before
        return decision


RELAYS: Final = {"filter": Relay, "bare": Bare, "watched": Watched}


def watch() -> float:
    """Return the nanoseconds that looking at the watch takes."""
    return median(-(_NOW() - _NOW()) for _ in range(10_000))


async def work(relay: Relay, devices: dict[Direction, TunDevice]) -> None:
    """Carry packets until SIGTERM."""
    loop = asyncio.get_running_loop()
    stopped = loop.create_future()
    loop.add_signal_handler(signal.SIGTERM, stopped.set_result, None)
    loop.set_exception_handler(lambda _, context: stopped.set_exception(context["exception"]))
    for direction, device in devices.items():
        loop.add_reader(device, partial(relay.carry, direction))
    print(json.dumps({"message": "Started"}), flush=True)  # noqa: T201 - somebody waits for it
    await stopped


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("policy", type=Path)
    parser.add_argument("outbound")
    parser.add_argument("inbound")
    parser.add_argument("--relay", choices=RELAYS, default="filter")
    parser.add_argument("--no-offload", action="store_false", dest="offload")
    arguments = parser.parse_args()
    gateway = load_policy(arguments.policy.read_bytes()).gateway(time.time())
    names = {Direction.OUTBOUND: arguments.outbound, Direction.INBOUND: arguments.inbound}
    devices = {
        direction: TunDevice.open(name, offload=arguments.offload)
        for direction, name in names.items()
    }
    with closing(devices[Direction.OUTBOUND]), closing(devices[Direction.INBOUND]):
        relay = RELAYS[arguments.relay](gateway, devices)
        asyncio.run(work(relay, devices))
    done = {
        "packets": relay.packets,
        "bytes": relay.bytes,
        "largest": relay.largest,
        "refused": relay.refused,
        "seconds": relay.seconds(),
        "decision_ns": relay.decision_ns - relay.packets * watch(),
        "offload": [int(device.offload) for device in devices.values()],
        "losses": [asdict(device.losses) for device in devices.values()],
    }
    print(json.dumps(done | {"message": "Done"}), flush=True)  # noqa: T201 - the tests read it


if __name__ == "__main__":
    main()
