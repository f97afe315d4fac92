"""The host with nothing decided about packets: what is left is what moving them costs.

python -m benches.bare_host gateway run …
"""

from firezone_filter.cli import main
from firezone_filter.host import daemon
from firezone_filter.host.host import Device, GatewayHost


class BareHost(GatewayHost):
    """Writes back whatever it reads."""

    def from_clients(self) -> None:
        _carry(self._devices.outbound)

    def to_clients(self) -> None:
        _carry(self._devices.inbound)


def _carry(device: Device) -> None:
    for frame in device.read():
        device.write(frame)


if __name__ == "__main__":
    daemon.GatewayHost = BareHost  # type: ignore[attr-defined]
    main()
