"""A steady, realistic mix that a profiler can attach to: `python -m benches.workload`.

Time moves on by a hundredth of a second with each batch, faster than outside: what lives for
minutes in the gateway comes and goes within seconds. The same seed gives the same story.
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from itertools import cycle
from random import Random
from typing import Final

from benches.build import BUILD
from benches.mix import Peer, peer
from benches.scenes import (
    FAMILIES,
    GATEWAY,
    INBOUND,
    NOW,
    OUTBOUND,
    V4,
    give_name,
    other_resource,
)
from firezone_filter import Decision, Gateway, GatewayOptions

_BATCHES: Final = 200
"""How many there are, again and again."""

_TICK: Final = 0.01
"""Seconds from one batch to the next."""

_HOOK: Final = 100
"""Batches from one hook to the next."""

_GRANTED: Final = 30.0
"""Seconds for which something is authorized now and then."""


class Workload:
    """A gateway, and what comes to it."""

    def __init__(
        self, clients: int = 200, *, batch: int = 200, seed: int = 1, flow_records: bool = False
    ) -> None:
        """Connect the clients.

        Args:
            clients: how many.
            batch: packets of established flows that come at once, each way.
            seed: another one gives another story.
            flow_records: whether the gateway records flows.
        """
        self.gateway = Gateway(GATEWAY, options=GatewayOptions(flow_records=flow_records))
        self._random = Random(seed)
        self._batch = batch
        self._now = NOW
        self._steps = 0
        self._peers = [peer(number, self._random) for number in range(clients)]
        for one in self._peers:
            self._connect(one)
        self._outward = cycle([self._outward_batch() for _ in range(_BATCHES)])
        self._inward = cycle([self._inward_batch() for _ in range(_BATCHES)])
        # What touches all clients is rare.
        self._hooks = cycle([self._connect, self._grant, self._resolve] * 5 + [self._change])

    def step(self) -> list[Decision]:
        """Let a batch come each way, and one client do one of everything else."""
        self._steps += 1
        self._now += _TICK
        now, number = self._now, self._steps & 0xFFFF
        one = self._random.choice(self._peers)
        if self._steps % _HOOK == 0:
            self._call(one)
        handle = self.gateway.handle_packet
        decisions = [
            handle(OUTBOUND, packet, now, client_id=client_id)
            for client_id, packet in next(self._outward)
        ]
        decisions += [
            handle(OUTBOUND, template.numbered(number), now, client_id=one.client_id)
            for template in one.outward_new
        ]
        new = [template.numbered(number) for template in one.inward_new]
        decisions += self.gateway.handle_packets(INBOUND, next(self._inward) + new, now)
        return decisions

    # --- Established flows -----------------------------------------------------------------

    def _outward_batch(self) -> list[tuple[str, bytes]]:
        senders = self._random.choices(self._peers, k=self._batch)
        return [(one.client_id, self._random.choice(one.outward)) for one in senders]

    def _inward_batch(self) -> list[bytes]:
        receivers = self._random.choices(self._peers, k=self._batch)
        return [self._random.choice(one.inward) for one in receivers]

    # --- Hooks -----------------------------------------------------------------------------

    def _call(self, one: Peer) -> None:
        """Tell the gateway something about a client, and fetch what it has to tell."""
        next(self._hooks)(one)
        self.gateway.handle_timeout(self._now)
        while self.gateway.poll_event() is not None:
            pass

    def _connect(self, one: Peer) -> None:
        self.gateway.client_connected(one.client_id, one.addresses, self._now)
        for family in FAMILIES:
            self.gateway.authorize(one.client_id, family.resource())
        self._resolve(one)

    def _grant(self, one: Peer) -> None:
        until = self._now + _GRANTED
        self.gateway.authorize(one.client_id, other_resource(0), expires_at=until)

    def _resolve(self, one: Peer) -> None:
        give_name(self.gateway, one.client_id)

    def _change(self, _: Peer) -> None:
        self.gateway.update_resource(V4.resource())


def main(arguments: Sequence[str] | None = None) -> None:
    """Run for as long as asked, and tell how many packets were decided in a second."""
    parser = argparse.ArgumentParser(prog="python -m benches.workload", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--flow-records", action="store_true")
    chosen = parser.parse_args(arguments)
    workload = Workload(chosen.clients, flow_records=chosen.flow_records)
    sys.stdout.write(f"pid {os.getpid()}\n")
    sys.stdout.flush()
    start, packets = time.perf_counter(), 0
    while (took := time.perf_counter() - start) < chosen.seconds:
        packets += len(workload.step())
    sys.stdout.write(
        f"{packets:,} packets in {took:.1f} s: {packets / took:,.0f} packets/s, {BUILD}\n"
    )


if __name__ == "__main__":
    main()
