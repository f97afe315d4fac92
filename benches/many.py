"""A gateway with very many clients: `python -m benches.many`. Linux only, as `benches.memory`.

Time is the processor's: what other processes do meanwhile matters less. Once with Python's
cyclic garbage collector as it is, and once without; each in a process of its own.
"""

import argparse
import gc
import sys
import time
from collections.abc import Callable, Sequence
from typing import Final
from uuid import UUID

from benches.memory import alone, resident
from benches.scenes import GATEWAY, NOW, addresses_of, other_resource
from firezone_filter import CidrResource, Gateway, Tcp

RESOURCES: Final = 10
"""What each client has. All have the same."""

_LASTS: Final = 3_600.0


class Crowd:
    """Clients, and what a portal says about all of them."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.authorizations = size * RESOURCES
        self.gateway = Gateway(GATEWAY)
        self._newcomers = [(str(UUID(int=place)), addresses_of(place)) for place in range(size)]
        self._resources = [other_resource(number) for number in range(RESOURCES)]
        ids = {resource.id for resource in self._resources[1:]}
        self._all_but_one = {client_id: ids for client_id, _ in self._newcomers}
        self._until = NOW + _LASTS

    def connect(self) -> None:
        for client_id, addresses in self._newcomers:
            self.gateway.client_connected(client_id, addresses, NOW)

    def disconnect(self) -> None:
        for client_id, _ in self._newcomers:
            self.gateway.client_disconnected(client_id)

    def authorize(self) -> None:
        """Authorize all for everything, until one moment."""
        for client_id, _ in self._newcomers:
            for resource in self._resources:
                self.gateway.authorize(client_id, resource, expires_at=self._until)

    def update(self) -> int:
        """Change what all have."""
        changed = self._resources[0]
        return self.gateway.update_resource(CidrResource(changed.id, changed.network, [Tcp(22)]))

    def update_unknown(self) -> int:
        """Change what nobody has."""
        return self.gateway.update_resource(CidrResource("nobody's", "10.0.0.0/24"))

    def retain(self) -> None:
        """Take one away from each."""
        self.gateway.retain_authorizations(self._all_but_one)

    def retain_nothing(self) -> None:
        """Take everything away, and fetch what is reported of it."""
        self.gateway.retain_authorizations({})
        self.fetch()

    def expire(self) -> None:
        """Let everything end at its one moment."""
        self.gateway.handle_timeout(self._until)
        self._until += _LASTS

    def fetch(self) -> int:
        """Fetch all events; return how many there were."""
        return sum(1 for _ in iter(self.gateway.poll_event, None))


def story(size: int, *, collects: bool) -> list[str]:
    """Let a crowd come and go; return what that took, line by line."""
    if not collects:
        gc.disable()
    lines = []

    def timed(what: str, run: Callable[[], object], count: int) -> None:
        start = time.process_time()
        run()
        took = time.process_time() - start
        each = f", {took / count * 1e6:.2f} µs each of {count:,}" if count > 1 else ""
        lines.append(f"{what}: {took:.2f} s{each}")

    crowd = Crowd(size)
    before = resident()
    timed("client_connected", crowd.connect, crowd.size)
    timed("authorize", crowd.authorize, crowd.authorizations)
    lines.append(f"bytes a client: {(resident() - before) / size:,.0f}")
    timed("update_resource, that all have", crowd.update, crowd.size)
    timed("update_resource, that nobody has", crowd.update_unknown, crowd.size)
    timed("retain_authorizations, all but one", crowd.retain, crowd.size)
    crowd.authorize()
    timed("handle_timeout, when all expire", crowd.expire, crowd.authorizations)
    timed("poll_event", crowd.fetch, crowd.size + crowd.authorizations)
    crowd.authorize()
    timed("gc.collect", gc.collect, 1)
    gc.freeze()
    timed("gc.collect after gc.freeze", gc.collect, 1)
    timed("client_disconnected", crowd.disconnect, crowd.size)
    return lines


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benches.many", description=__doc__)
    parser.add_argument("--clients", type=int, default=100_000)
    size = parser.parse_args(arguments).clients
    for collects in (True, False):
        collector = "as it is" if collects else "off"
        sys.stdout.write(f"{size:,} clients, {RESOURCES} resources, the collector {collector}\n")
        for line in alone(story_of, size, collects):
            sys.stdout.write(f"  {line}\n")


def story_of(size: int, collects: bool) -> list[str]:  # noqa: FBT001 - of another process
    return story(size, collects=collects)


if __name__ == "__main__":
    main()
