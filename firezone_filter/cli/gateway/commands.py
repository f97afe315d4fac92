"""`firezone-filter gateway run` and `release`.

The host is imported when it is needed: it runs on Linux alone, and needs pyroute2 and dnspython.
"""

import sys
from pathlib import Path
from typing import Final, Literal

import click

from firezone_filter.cli.arguments import FILE, Command, read_by
from firezone_filter.cli.exit import ExitStatus
from firezone_filter.cli.streams import say
from firezone_filter.values.addresses import Address, to_address
from firezone_filter.values.errors import FirezoneFilterError

# What a module is called that the extra brings, and what its package.
_PACKAGES: Final = {"pyroute2": "pyroute2", "dns": "dnspython"}


class _Group(click.Group):
    command_class: type[click.Command] | None = Command


@click.group("gateway", cls=_Group, no_args_is_help=False)
def gateway_group() -> None:
    """Filter what a VPN brings, on Linux, as root.

    The page "A filtering WireGuard gateway" of the documentation tells all of it.
    """


@gateway_group.command("run")
@click.option(
    "--policy",
    required=True,
    metavar="FILE",
    type=FILE,
    help="The policy, a JSON file; read again on SIGHUP.",
)
@click.option(
    "--interface",
    "interfaces",
    required=True,
    multiple=True,
    metavar="NAME",
    help="The interface in which the VPN ends, such as wg0; it need not be there yet. Repeat it "
    "for more.",
)
@click.option(
    "--no-peers",
    is_flag=True,
    help="The VPN is not WireGuard: connect all clients, and leave it to the VPN that each sends "
    "from its own addresses.",
)
@click.option(
    "--stateful",
    is_flag=True,
    help="Let only answers come back to clients, also if the policy's options do not say so.",
)
@click.option(
    "--metrics",
    metavar="PORT",
    type=click.IntRange(1, 65_535),
    help="Serve counters for Prometheus at http://127.0.0.1:PORT/.",
)
@click.option("--no-offload", is_flag=True, help="Take packets one by one from the kernel.")
@click.option(
    "--resolver",
    type=click.Choice(["refuse", "forward"]),
    help="Answer clients' questions for names of DNS resources at the gateway's tunnel address, "
    "port 53; refuse those for other names, or forward them to the name servers behind.",
)
@click.option(
    "--names",
    metavar="FILE",
    type=FILE,
    help="With --resolver: where it keeps which proxy address means which name, so that a restart "
    "does not change it.",
)
@click.option(
    "--name-server",
    "name_servers",
    multiple=True,
    metavar="ADDRESS",
    callback=read_by(to_address),
    help="With --resolver: a name server behind, in the place of those of /etc/resolv.conf. "
    "Repeat it for more.",
)
def run_command(  # noqa: PLR0913 - as many as there are options
    *,
    policy: str,
    interfaces: tuple[str, ...],
    no_peers: bool,
    stateful: bool,
    metrics: int | None,
    no_offload: bool,
    resolver: Literal["refuse", "forward"] | None,
    names: str | None,
    name_servers: tuple[Address, ...],
) -> int:
    """Filter what an interface brings, until SIGTERM or Ctrl-C.

    The log is JSON lines on standard output. When it ends, nothing passes any more, until it
    runs again or `firezone-filter gateway release` says that it is to be so.

    Exit status: 0; 2 if it cannot start, or cannot go on.
    """
    if resolver is None and (names is not None or name_servers):
        raise click.UsageError("--names and --name-server are for --resolver")
    try:
        from firezone_filter.host import daemon  # noqa: PLC0415 - needs the extra
        from firezone_filter.host.resolver.lease_file import LeaseFileError  # noqa: PLC0415
        from firezone_filter.host.resolver.options import (  # noqa: PLC0415
            PORT,
            ResolverOptions,
        )
        from firezone_filter.host.routing import RoutingError  # noqa: PLC0415
    except ModuleNotFoundError as error:
        return _lacking(error)
    settings = daemon.Settings(
        Path(policy),
        tuple(dict.fromkeys(interfaces)),
        stateful,
        not no_peers,
        metrics,
        not no_offload,
        resolver
        and ResolverOptions(
            file=None if names is None else Path(names),
            others=resolver,
            servers=tuple((one, PORT) for one in name_servers) or None,
        ),
    )
    daemon.log_to(sys.stdout)
    try:
        daemon.run(settings)
    except (OSError, FirezoneFilterError, RoutingError, LeaseFileError) as error:
        daemon.report("The gateway ends", error)
        return ExitStatus.UNUSABLE
    return ExitStatus.DONE


@gateway_group.command("release")
def release_command() -> int:
    """Remove the rules that `run` leaves behind: from now on nothing is filtered.

    Exit status: 0, also if there are none; 2 if it fails.
    """
    try:
        from firezone_filter.host.routing import RoutingError, release  # noqa: PLC0415
    except ModuleNotFoundError as error:
        return _lacking(error)
    try:
        say("released: nothing is filtered" if release() else "there is nothing to release")
    except RoutingError as error:
        say(str(error))
        return ExitStatus.UNUSABLE
    return ExitStatus.DONE


def _lacking(error: ModuleNotFoundError) -> int:
    """Say which package the host lacks."""
    package = _PACKAGES.get((error.name or "").partition(".")[0])
    if error.name == "fcntl":
        say("a gateway runs on Linux")
    elif package is not None:
        say(f"{package} is missing: install firezone-filter[gateway]")
    else:
        raise error
    return ExitStatus.UNUSABLE
