"""Stories in which flows go on for longer than in others, so that memory matters."""

from itertools import product

from firezone_filter import Direction, DnsResource
from tests.model.packets import parse
from tests.numbers import TCP, UDP
from tests.property.pools import CLIENTS, DOMAINS, INBOUND, OUTBOUND, PORTS, PROXIES
from tests.property.story import Story
from tests.property.wire import with_word


class ManyFlows(Story):
    """A story with few names, and many flows to the same ports, permitted or refused."""

    def begin(self) -> None:
        self.tried: dict[Direction, list[bytes]] = {OUTBOUND: [], INBOUND: []}
        super().begin()
        for client_id, resource in product(CLIENTS, self.resources):
            if not isinstance(resource, DnsResource) and self.sometimes(0.3):
                self.twins.call("authorize", client_id, resource, expires_at=None)

    def resolve(self, client_id: str | None = None) -> None:
        # Once a name has resolved, inbound packets may belong to a NAT session.
        if self.sometimes(0.1):
            super().resolve(client_id)

    def hook(self) -> None:
        # Each empties the memory of a client, mostly.
        if self.sometimes(0.4):
            super().hook()

    def build(self, direction: Direction) -> bytes:
        tried = self.tried[direction]
        passed = [one for way, one in self.seen if way is direction and has_ports(one)]
        if passed and self.sometimes(0.4):
            return self.from_another_port(self.draw.choice(passed), direction)
        if tried and self.sometimes(0.5):
            return self.from_another_port(self.draw.choice(tried), direction)
        packet = super().build(direction)
        if has_ports(packet):
            self.tried[direction] = [*tried[-5:], packet]
        return packet

    def from_another_port(self, packet: bytes, direction: Direction) -> bytes:
        """Let a packet have another port at the client's end."""
        read = parse(packet)
        assert read is not None
        place = read.transport_at + (0 if direction is OUTBOUND else 2)
        checksum = read.transport_at + (16 if read.protocol == TCP else 6) - place
        return with_word(packet, place, checksum, self.draw.choice(PORTS).to_bytes(2))


class Vanishing(ManyFlows):
    """A story whose names resolve to nothing every other time, while their flows go on."""

    def hook(self) -> None:
        if self.sometimes(0.5):
            self.resolve()
        else:
            super().hook()

    def resolve(self, client_id: str | None = None) -> None:
        if self.sometimes(0.5):
            Story.resolve(self, client_id)
            return
        client_id = client_id or self.client()
        for resource_id in self.twins.held(client_id):
            number = self.draw.randrange(2)
            mine = slice(2 * number, 2 * number + 2)
            self.twins.call(
                "domain_resolved",
                client_id,
                resource_id,
                DOMAINS[number],
                proxy_addresses=[*PROXIES[4][mine], *PROXIES[6][mine]],
                resolved_addresses=[],
            )


def has_ports(packet: bytes) -> bool:
    read = parse(packet)
    return read is not None and not read.is_later_fragment and read.protocol in (TCP, UDP)
