"""The life of a gateway: everything is opened, works until a signal or an error, and is closed.

The rules of `rules` are laid before anything else can be seen of it, and stay behind.
"""

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from attrs import asdict, evolve, frozen

from firezone_filter import DecisionLog, Gateway, JsonFormatter, Policy, load_policy
from firezone_filter.aio import GatewayTimer
from firezone_filter.host.clock import Clock
from firezone_filter.host.host import Devices, GatewayHost
from firezone_filter.host.links import refuse_unseen
from firezone_filter.host.metrics import serve_metrics
from firezone_filter.host.names import Names
from firezone_filter.host.resolver.options import ResolverOptions
from firezone_filter.host.routing import Routing
from firezone_filter.host.rules import INBOUND_DEVICE, OUTBOUND_DEVICE, Plan
from firezone_filter.host.sessions import Sessions
from firezone_filter.host.switches import refuse_early_demux, unfit
from firezone_filter.host.tun import TunDevice
from firezone_filter.host.watch import LOG, Watch, read_peers, report

__all__ = ["Settings", "log_to", "notify", "report", "run"]


@frozen
class Settings:
    """What the command line says."""

    policy: Path
    """The policy file."""

    interfaces: tuple[str, ...]
    """The interfaces in which the VPN ends."""

    stateful: bool = False
    """Whether only answers reach clients, also if the policy's options do not say so."""

    has_peers: bool = True
    """Whether WireGuard binds addresses to clients; otherwise somebody else does."""

    metrics: int | None = None
    """The port of the counters, on loopback."""

    offload: bool = True
    """Whether to ask the kernel for super-packets."""

    names: ResolverOptions | None = None
    """How to answer clients' questions for names; `None` to answer none."""


def log_to(stream: TextIO) -> None:
    """Log as Firezone does: one JSON object a line."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def run(settings: Settings, make_gateway: Callable[..., Gateway] = Gateway) -> None:
    """Open what a gateway needs, let it work until SIGTERM or SIGINT, and close everything.

    Args:
        settings: what the command line says.
        make_gateway: makes the `Gateway`; tests put another one in its place.

    Raises:
        FirezoneFilterError: the policy is not valid, or the gateway cannot have it.
        LeaseFileError: the file with the proxy addresses cannot be used.
        OSError: a file or a port cannot be had, or there is a gateway already.
        RoutingError: the kernel refuses rules or routes, others have rules before ours, or
            `early_demux` is on, or rules do not see what comes from an interface.
    """
    # One that comes before somebody listens would end it, and the policy is to be read after it.
    early: list[int] = []
    signal.signal(signal.SIGHUP, lambda number, _: early.append(number))
    policy = _load(settings)
    gateway = make_gateway(
        policy.addresses, address_plan=policy.address_plan, options=policy.options
    )
    refuse_early_demux()
    refuse_unseen(settings.interfaces)
    for fault in unfit():
        LOG.warning("%s", fault)
    with ExitStack() as stack:
        # The devices first: who has them is the one gateway of this machine.
        devices = {
            name: stack.enter_context(closing(TunDevice.open(name, offload=settings.offload)))
            for name in (OUTBOUND_DEVICE, INBOUND_DEVICE)
        }
        routing = Routing(Plan(settings.interfaces, policy.addresses, policy.address_plan))
        routing.hold()
        asyncio.run(_serve(settings, gateway, policy, routing, devices, early=early))
    for name, device in devices.items():
        lost = asdict(device.losses)
        if any(lost.values()):
            LOG.warning("Packets lost", extra={"device": name, **lost})
    LOG.info("Stopped")


def _load(settings: Settings) -> Policy:
    policy = load_policy(settings.policy.read_bytes())
    if not settings.stateful:
        return policy
    return evolve(policy, options=evolve(policy.options, stateful=True))


async def _serve(  # noqa: PLR0913 - as many as it brings together
    settings: Settings,
    gateway: Gateway,
    policy: Policy,
    routing: Routing,
    devices: Mapping[str, TunDevice],
    *,
    early: list[int],
) -> None:
    outbound, inbound = devices[OUTBOUND_DEVICE], devices[INBOUND_DEVICE]
    log = DecisionLog(LOG)

    def step(now: float, seconds: float) -> None:
        LOG.warning("The clock has been set by %+.1f seconds", seconds)
        gateway.clock_set(now)
        log.clock_set(now)
        watch.apply_again()

    clock = Clock(step)
    host = GatewayHost(gateway, log, Devices(outbound, inbound), clock)
    async with AsyncExitStack() as stack:
        timer = GatewayTimer(gateway, log.event, log, clock=clock)
        sessions = Sessions(gateway, log, policy)
        names = settings.names and Names(gateway, policy, settings.names, timer.update)

        def changed() -> None:
            if names:
                names.changed(sessions.policy)
            timer.update()

        watch = Watch(
            partial(_load, settings),
            settings.interfaces,
            sessions,
            routing,
            changed=changed,
            peers=read_peers if settings.has_peers else None,
            clock=clock,
        )
        stack.enter_context(timer)
        stopped = _stopped(
            _and_then(names.read_servers, watch.read_policy) if names else watch.read_policy
        )
        if early:
            watch.read_policy()
        if settings.metrics is not None:
            losses = {name: device.losses for name, device in devices.items()}
            others = (names.text,) if names else ()
            server = await serve_metrics(gateway, losses, settings.metrics, *others)
            stack.enter_context(closing(server))
        # Who is there is known before the first packet is.
        await watch.look()
        if names:
            # The addresses to listen on have come with the routes.
            stack.push_async_callback(names.close)
            await names.start()
        loop = asyncio.get_running_loop()
        loop.add_reader(outbound, _and_then(host.from_clients, timer.update))
        loop.add_reader(inbound, _and_then(host.to_clients, timer.update))
        LOG.info("Started", extra={"pid": os.getpid()})
        notify("READY=1")
        watching = asyncio.ensure_future(watch.run())
        done, _ = await asyncio.wait({stopped, watching}, return_when=asyncio.FIRST_COMPLETED)
        watching.cancel()
        log.flush(clock())
        done.pop().result()


def _and_then(first: Callable[[], None], second: Callable[[], None]) -> Callable[[], None]:
    def both() -> None:
        first()
        second()

    return both


def _stopped(read_policy: Callable[[], None]) -> asyncio.Future[None]:
    """Return what SIGTERM and SIGINT complete; on SIGHUP, have the policy read.

    So does an error that nobody has foreseen, anywhere in the loop: better no gateway than one
    that goes on somehow.
    """
    loop = asyncio.get_running_loop()
    stopped: asyncio.Future[None] = loop.create_future()

    def stop() -> None:
        if not stopped.done():
            stopped.set_result(None)

    def fail(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if not stopped.done():
            stopped.set_exception(context.get("exception") or RuntimeError(context["message"]))

    loop.set_exception_handler(fail)
    loop.add_signal_handler(signal.SIGHUP, read_policy)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    return stopped


def notify(state: str, address: str | None = None) -> None:
    """Tell systemd, if it wants to know, as sd_notify(3) does."""
    address = os.environ.get("NOTIFY_SOCKET") if address is None else address
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        # "@" stands for the zero byte that abstract addresses begin with.
        systemd.sendto(state.encode(), "\0" + address[1:] if address[0] == "@" else address)
