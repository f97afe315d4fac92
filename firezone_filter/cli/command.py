"""The commands with their arguments, options and exit statuses.

Every outcome has its exit status (`ExitStatus`). Failures are reported on standard error, a
line each, without a traceback; a closed pipe or Ctrl-C ends the run in silence. What carries a
command out is imported when it is run.
"""

import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import click

from firezone_filter.capture.choice import FrameSelection
from firezone_filter.cli.arguments import FILE, Command, read_by, to_client, to_nanoseconds
from firezone_filter.cli.ask.commands import COMMANDS
from firezone_filter.cli.exit import ExitStatus, UnusableError
from firezone_filter.cli.gateway.commands import gateway_group
from firezone_filter.cli.inputs import display_name
from firezone_filter.cli.logs.selection import SEVERITIES, Selection, to_field, to_regex
from firezone_filter.cli.logs.time_options import to_key
from firezone_filter.cli.streams import PROGRAM, finish_output, prepare_streams, say
from firezone_filter.compiled.twins import IS_COMPILED
from firezone_filter.replay.partitions import MAX_WORKERS
from firezone_filter.values.addresses import Address
from firezone_filter.values.errors import FirezoneFilterError

PACKAGE: Final = "firezone-filter"


def _print_version(context: click.Context, _: click.Parameter, value: bool) -> None:  # noqa: FBT001 - click's
    if value:
        from importlib.metadata import PackageNotFoundError, version

        try:
            number = version(PACKAGE)
        except PackageNotFoundError:
            number = "(not installed)"
        click.echo(f"{PROGRAM} {number} ({'compiled' if IS_COMPILED else 'plain'})")
        context.exit()


class _Group(click.Group):
    command_class: type[click.Command] | None = Command


@click.group(
    cls=_Group, no_args_is_help=False, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Print the version, and whether this build is compiled.",
)
def cli() -> None:
    """Decide about packets as a Firezone Gateway does."""


@cli.command("replay")
@click.argument("captures", nargs=-1, required=True, type=FILE, metavar="CAPTURE...")
@click.option(
    "--policy", required=True, metavar="FILE", type=FILE, help="The policy, a JSON file."
)
@click.option(
    "--client",
    "clients",
    multiple=True,
    metavar="ID=ADDRESS",
    callback=read_by(to_client),
    help="Give client ID of the policy an ADDRESS of the capture. Repeat it for more.",
)
@click.option(
    "--stateful",
    is_flag=True,
    help="Let only answers come back to clients, also if the policy's options do not say so.",
)
@click.option(
    "--since",
    metavar="TIME",
    callback=read_by(to_nanoseconds),
    help="Only frames from TIME on: 2026-08-22T12:00:00Z, 2026-08-22, yesterday, -1h; in UTC.",
)
@click.option(
    "--until", metavar="TIME", callback=read_by(to_nanoseconds), help="Only frames before TIME."
)
@click.option("--count", metavar="N", type=click.IntRange(min=0), help="Only the first N frames.")
@click.option(
    "--filter",
    "text",
    metavar="FILTER",
    help="Only frames that match, in tcpdump's language, such as 'host 10.0.0.5'.",
)
@click.option(
    "--decisions",
    metavar="FILE",
    type=FILE,
    help="Write every decision to FILE: .jsonl, .csv or .parquet; replay.md has the fields.",
)
@click.option(
    "--flows",
    metavar="FILE",
    type=FILE,
    help="Write flow records to FILE: .jsonl, .csv or .parquet.",
)
@click.option(
    "--forwarded",
    metavar="FILE",
    type=FILE,
    help="Write the packets that pass to FILE, as they leave: .pcap or .pcapng.",
)
@click.option(
    "--refused",
    metavar="FILE",
    type=FILE,
    help="Write the frames with refused packets to FILE, with the reasons as comments: .pcapng.",
)
@click.option(
    "--html",
    metavar="FILE",
    type=FILE,
    help="Write a report to FILE, a page to look at and to print. Needs the extra `report`.",
)
@click.option(
    "--workers",
    metavar="N",
    type=click.IntRange(1, MAX_WORKERS),
    help="Spread the clients over N processes (clusters.md).",
)
@click.option(
    "--scheduler",
    metavar="ADDRESS",
    help="Spread the clients over the workers of the Dask cluster at ADDRESS.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def replay_command(  # noqa: PLR0913 - as many as there are options
    *,
    captures: tuple[str, ...],
    policy: str,
    clients: tuple[tuple[str, Address], ...],
    stateful: bool,
    since: int | None,
    until: int | None,
    count: int | None,
    text: str | None,
    decisions: str | None,
    flows: str | None,
    forwarded: str | None,
    refused: str | None,
    html: str | None,
    workers: int | None,
    scheduler: str | None,
    as_json: bool,
) -> int:
    """Replay each CAPTURE, a pcap or pcapng file, through a policy, and print what happens.

    CAPTURE may be compressed, a directory of captures, or a pattern in quotes; several are
    merged by time. Each packet is decided about at the time at which it was
    captured. The policy's options count, with what --stateful adds; records are made with
    --flows and only then. A FILE of - is standard output, and a CAPTURE or policy of - standard
    input; the summary goes to standard error if something else goes to standard output. Any
    other FILE may also end in .gz or .zst, and gets its name when it is complete. Ctrl-C ends a
    live capture as the end of a file would.

    Exit status: 0; 1 if the capture is cut short or damaged, after deciding up to there, or if
    packets of it are of a link type that is not supported, have time stamps that cannot be
    right, or are out of order; 2 if an argument or a file cannot be used; 130 after Ctrl-C.
    """
    from firezone_filter.cli.replay_job import ReplayJob

    if workers is not None and scheduler is not None:
        say("--workers is for this machine, and --scheduler for a cluster: give one of them")
        return ExitStatus.UNUSABLE
    job = ReplayJob(
        captures=captures,
        policy=policy,
        decisions=decisions,
        flows=flows,
        forwarded=forwarded,
        refused=refused,
        html=html,
        clients=clients,
        selection=FrameSelection(since_ns=since, until_ns=until, count=count, filter=text),
        stateful=stateful,
        as_json=as_json,
        workers=workers,
        scheduler=scheduler,
    )
    try:
        return job.run(say)
    except UnusableError as error:
        for line in error.lines:
            say(line)
    except FirezoneFilterError as error:
        say(f"{display_name(policy)}: {error}")
    except KeyboardInterrupt:
        return ExitStatus.INTERRUPTED
    except BrokenPipeError:
        return ExitStatus.CLOSED_PIPE
    return ExitStatus.UNUSABLE


def _to_key(context: click.Context, _: click.Parameter, value: str | None) -> str | None:
    if value is None:
        return None
    try:
        return to_key(value, datetime.now(UTC), local=context.params["local"])
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@cli.command("logs")
@click.argument("files", nargs=-1, metavar="[FILE]...")
@click.option("--merge", is_flag=True, help="Print the lines of all files in order of time.")
@click.option(
    "--severity",
    metavar="SEVERITY",
    type=click.Choice(SEVERITIES, case_sensitive=False),
    help="Only TRACE, DEBUG, INFO, WARN or ERROR and above.",
)
@click.option(
    "--grep",
    metavar="REGEX",
    callback=read_by(to_regex),
    help="Only messages in which REGEX, in Python's syntax, is found.",
)
@click.option("-i", "--ignore-case", is_flag=True, help="Let --grep find both cases of letters.")
@click.option(
    "--field",
    "fields",
    multiple=True,
    metavar="NAME=VALUE",
    callback=read_by(to_field),
    help="Only lines in which field NAME is VALUE (null if it is missing), or is in VALUE if that "
    "is a network: src=10.0.0.0/8. NAME may be outer.inner. Repeat it for more.",
)
@click.option(
    "--invert",
    is_flag=True,
    help="Only lines that --severity, --grep and --field, taken together, would leave out.",
)
@click.option(
    "--since",
    metavar="TIME",
    callback=_to_key,
    help="Only from TIME on: 2026-08-22T12:00:00Z, 2026-08-22, 14:30 (today), yesterday, "
    "'yesterday 14:30', or -1h (an hour ago; s, m, h, d, w).",
)
@click.option("--until", metavar="TIME", callback=_to_key, help="Only before TIME.")
@click.option(
    "--local",
    is_flag=True,
    is_eager=True,
    help="Take a TIME without a zone as local time, not as UTC.",
)
@click.option("--fields", "all_fields", is_flag=True, help="Print all fields of each line.")
@click.option("--json", "as_json", is_flag=True, help="Print the lines as they were.")
@click.option("--follow", is_flag=True, help="Go on when the files grow, also if they rotate.")
def logs_command(  # noqa: PLR0913 - as many as there are options
    *,
    files: tuple[str, ...],
    merge: bool,
    severity: str | None,
    grep: re.Pattern[str] | None,
    ignore_case: bool,
    fields: tuple[tuple[str, str], ...],
    invert: bool,
    since: str | None,
    until: str | None,
    local: bool,  # noqa: ARG001 - used by the callback of the times
    all_fields: bool,
    as_json: bool,
    follow: bool,
) -> int:
    """Print logs of JSON lines, one FILE after the other: time, severity, message.

    Without FILE, or if it is -, standard input is read. Files that gzip, zstd, xz or lz4 (with
    the extra replay) has compressed are unpacked, whatever their names. A field that a line
    lacks is null. A line that is not JSON is passed through, and named in the end: --severity and
    --field let it pass, --grep searches all of it, and its time is that of the line before. So is
    a line of more than 64 MiB, but --severity and --field leave it out, also with --invert, and
    --grep searches its first 64 MiB. Binary data is named and skipped. --merge takes the lines of
    each file to be in order.

    Exit status: 0; 1 if a line was not JSON; 2 if an argument or a file cannot be used (the
    other files are read).
    """
    from firezone_filter.cli.logs.log_job import LogJob

    if ignore_case:
        if grep is None:
            say("-i needs --grep")
            return ExitStatus.UNUSABLE
        grep = to_regex(grep.pattern, ignore_case=True)
    selection = Selection(severity, grep, fields, since, until, invert)
    job = LogJob(files, selection, merge, all_fields, follow, as_json)
    try:
        return job.run(say)
    except UnusableError as error:
        say(str(error))
    except BrokenPipeError:
        return ExitStatus.CLOSED_PIPE
    return ExitStatus.UNUSABLE


for _command in (*COMMANDS, gateway_group):
    cli.add_command(_command)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: The arguments as the shell splits them; by default those of the process.

    Returns:
        The exit status, one of `ExitStatus`.
    """
    prepare_streams()
    streams = sys.stdout, sys.stderr
    try:
        return int(cli.main(arguments, PROGRAM, standalone_mode=False))
    except click.ClickException as error:
        say(f"{error.format_message()} (see {_path_of(error)} --help)")
        return ExitStatus.UNUSABLE
    except click.Abort:
        return ExitStatus.INTERRUPTED
    except SystemExit as end:
        if streams == (sys.stdout, sys.stderr):
            # The shell has asked for a completion, and got it.
            return int(end.code or 0)
        # The help went into a closed pipe: click exits, after replacing the streams.
        sys.stdout, sys.stderr = streams
        return ExitStatus.CLOSED_PIPE
    except OSError as error:
        say(f"writing stops: {error.strerror}")
        return ExitStatus.UNUSABLE
    finally:
        finish_output()


def _path_of(error: click.ClickException) -> str:
    """Return the command whose help tells what *error* is about."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    return PROGRAM if context is None else context.command_path
