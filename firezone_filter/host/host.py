"""The packets: each is decided about, and goes on as the decision says.

What is read from the outbound device comes from clients, what is read from the inbound one goes to
them: the kernel's rules see to that, so nothing has to be guessed. What has been decided about
is written back into the device that it came from, and the kernel routes it as always.
"""

import time
from collections.abc import Callable, Iterable
from typing import Final, Protocol, assert_never

from attrs import frozen

from firezone_filter import DecisionLog, Direction, Drop, Forward, Gateway, Reject, Translate
from firezone_filter.host.offload import Frame, sent


class Device(Protocol):
    """A device that packets are read from and written to, such as a `TunDevice`."""

    def read(self) -> Iterable[Frame]:
        """Return what waits, some of it if there is much."""

    def write(self, frame: Frame) -> None:
        """Hand a packet to the kernel."""


@frozen
class Devices:
    """The devices of a host."""

    outbound: Device
    """Brings what comes from clients."""

    inbound: Device
    """Brings what goes to clients."""


class GatewayHost:
    """Moves packets between clients and the networks behind, as far as the library permits."""

    def __init__(
        self,
        gateway: Gateway,
        log: DecisionLog,
        devices: Devices,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Take hold of what others have opened, and will close."""
        self._gateway: Final = gateway
        self._log: Final = log
        self._devices: Final = devices
        self._clock: Final = clock

    def from_clients(self) -> None:
        """Pass on what comes from clients."""
        outbound, inbound = self._devices.outbound, self._devices.inbound
        for frame in outbound.read():
            self._pass_on(Direction.OUTBOUND, frame, outbound, inbound)

    def to_clients(self) -> None:
        """Pass on what goes to clients."""
        inbound = self._devices.inbound
        for frame in inbound.read():
            self._pass_on(Direction.INBOUND, frame, inbound, inbound)

    def _pass_on(self, direction: Direction, frame: Frame, onward: Device, back: Device) -> None:
        now = self._clock()
        decision = self._gateway.handle_packet(direction, frame.packet, now)
        self._log.decided(direction, frame.packet, decision, now)
        match decision:
            case Forward() | Translate():
                onward.write(sent(frame, decision))
            case Reject():
                back.write(Frame(decision.reply))
            case Drop():
                pass
            case _:
                assert_never(decision)
