"""The host: it owns the devices, the clock and the log, and asks the library what to do.

    python -m examples.tun_gateway.gateway POLICY --listen ADDRESS …

**There is no encryption and no authentication between it and its clients**: see `carrier`.
"""

import argparse
import asyncio
import logging
import os
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Final, assert_never

from attrs import asdict, evolve, frozen

from examples.tun_gateway.carrier import Carrier, Tunnel
from examples.tun_gateway.daemon import log_to_stdout, work
from examples.tun_gateway.metrics import serve_metrics
from examples.tun_gateway.portal import Portal
from examples.tun_gateway.tun import Losses, Tun
from firezone_filter import (
    DecisionLog,
    Direction,
    Drop,
    FirezoneFilterError,
    Forward,
    Gateway,
    GatewayOptions,
    Icmp,
    InvalidPolicy,
    Policy,
    Reject,
    Translate,
    load_policy,
)

LOG: Final = logging.getLogger("tun_gateway")

# Clients may ping the gateway itself, and nothing else of it.
_OPTIONS: Final = GatewayOptions(own_filters=[Icmp()])

_LONGEST_SLEEP: Final = 1.0
"""Seconds between two looks at the clock, which someone may have set in between."""


@frozen
class Settings:
    """What the command line says."""

    policy: Path
    listen: str
    port: int
    device: str
    mtu: int
    metrics: int | None
    stateful: bool


class TunGateway:
    """Moves packets between clients and the network behind, as far as the library permits."""

    def __init__(
        self, gateway: Gateway, policy: Policy, path: Path, carrier: Carrier, tun: Tun
    ) -> None:
        """Take hold of what others have opened, and will close; *policy* is from *path*."""
        self._gateway = gateway
        self._log = DecisionLog(LOG)
        self._portal = Portal(gateway, self._log, policy)
        self._path = path
        self._carrier = carrier
        self._tunnel = Tunnel(carrier, self._begin_session)
        self._tun = tun
        self._timer: asyncio.TimerHandle | None = None
        self._wake = 0.0

    async def run(self) -> None:
        """Work until SIGTERM or SIGINT; on SIGHUP, read the policy again."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._read_policy)
        self._on_timer()
        stopped = work({self._carrier: self._from_clients, self._tun: self._from_network})
        LOG.info("Started", extra={"pid": os.getpid()})
        await stopped
        self._log.flush(time.time())

    # --- Packets ---------------------------------------------------------------------------

    def _from_clients(self) -> None:
        for client_id, packet in self._tunnel.receive():
            self._pass_on(Direction.OUTBOUND, packet, client_id)
        self._after()

    def _from_network(self) -> None:
        for packet in self._tun.read():
            self._pass_on(Direction.INBOUND, packet)
        self._after()

    def _pass_on(self, direction: Direction, packet: bytes, client_id: str | None = None) -> None:
        now = time.time()
        decision = self._gateway.handle_packet(direction, packet, now, client_id=client_id)
        self._log.decided(direction, packet, decision, now)
        match decision:
            case Forward():
                self._send(direction, packet, decision.client_id)
            case Translate():
                self._send(direction, decision.packet, decision.client_id)
            case Reject():
                self._tunnel.send(decision.client_id, decision.reply)
            case Drop():
                pass
            case _:
                assert_never(decision)

    def _send(self, direction: Direction, packet: bytes, client_id: str) -> None:
        if direction is Direction.OUTBOUND:
            self._tun.write(packet)
        else:
            self._tunnel.send(client_id, packet)

    # --- Clients, policy and time ----------------------------------------------------------

    def _begin_session(self, client_id: str) -> bool:
        return self._portal.connect(client_id, time.time())

    def _read_policy(self) -> None:
        """Read the policy again; whatever is wrong with it, the old one stays."""
        try:
            policy = load_policy(self._path.read_bytes())
            for client_id in self._portal.update(policy, time.time()):
                self._tunnel.forget(client_id)
        except (OSError, FirezoneFilterError) as error:
            report("The old policy stays", error)
        else:
            LOG.info("Policy read")
        self._after()

    def _on_timer(self) -> None:
        now = time.time()
        self._gateway.handle_timeout(now)
        self._log.handle_timeout(now)
        self._wake_at(now + _LONGEST_SLEEP)
        self._after()

    def _after(self) -> None:
        """Fetch what a call has brought about, and be in time for what is next."""
        while (event := self._gateway.poll_event()) is not None:
            self._log.event(event, time.time())
        for due in (self._gateway.poll_timeout(), self._log.poll_timeout()):
            if due is not None and due < self._wake:
                self._wake_at(due)

    def _wake_at(self, moment: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._wake = moment
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(max(0.0, moment - time.time()), self._on_timer)


async def _serve(
    host: TunGateway, gateway: Gateway, losses: Mapping[str, Losses], metrics: int | None
) -> None:
    with ExitStack() as stack:
        if metrics is not None:
            stack.enter_context(closing(await serve_metrics(gateway, losses, metrics)))
        await host.run()


def run(settings: Settings, make_gateway: Callable[..., Gateway] = Gateway) -> None:
    """Open what a gateway needs, let it work, and close everything.

    Args:
        settings: what the command line says.
        make_gateway: makes the `Gateway`; tests put another one in its place.
    """
    policy = load_policy(settings.policy.read_bytes())
    options = evolve(_OPTIONS, stateful=settings.stateful)
    gateway = make_gateway(policy.addresses, address_plan=policy.address_plan, options=options)
    with ExitStack() as stack:
        carrier = stack.enter_context(closing(Carrier(settings.listen, settings.port)))
        tun = Tun(
            settings.device, settings.mtu, policy.addresses.present(), policy.address_plan.tunnel
        )
        stack.enter_context(closing(tun))
        host = TunGateway(gateway, policy, settings.policy, carrier, tun)
        losses = {"tunnel": carrier.losses, "network": tun.losses}
        asyncio.run(_serve(host, gateway, losses, settings.metrics))
    for end, lost in losses.items():
        if lost.full or lost.failed:
            LOG.warning("Packets lost", extra={"end": end, **asdict(lost)})
    LOG.info("Stopped")


def report(message: str, error: Exception) -> None:
    """Log an error, each fault of a policy with its place."""
    faults = error.faults if isinstance(error, InvalidPolicy) else (str(error),)
    for fault in faults:
        LOG.error("%s: %s", message, fault)


def main(make_gateway: Callable[..., Gateway] = Gateway) -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("policy", type=Path, help="the policy file; read again on SIGHUP")
    parser.add_argument("--listen", required=True, help="address for clients' datagrams")
    parser.add_argument("--port", type=int, default=51820, help="UDP port for them")
    parser.add_argument("--device", default="tun-gateway", help="name of the TUN device")
    parser.add_argument("--mtu", type=int, default=1280, help="its MTU")
    parser.add_argument("--metrics", type=int, metavar="PORT", help="counters, on loopback")
    parser.add_argument("--stateful", action="store_true", help="let only answers reach clients")
    settings = Settings(**vars(parser.parse_args()))
    log_to_stdout()
    try:
        run(settings, make_gateway)
    except (OSError, FirezoneFilterError) as error:
        report("The gateway ends", error)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
