"""The commands with their arguments and options, as click has them."""

import inspect
import re
from collections.abc import Iterator
from textwrap import indent
from typing import Final

import click

from firezone_filter.cli.command import cli
from firezone_filter.cli.streams import PROGRAM

_MARKUP: Final = re.compile(r"([\\*_|])")


def commands() -> Iterator[str]:
    """Yield a section of Markdown for the program, and one for each of its commands."""
    yield from _command(PROGRAM, cli, None)


def _command(name: str, command: click.Command, parent: click.Context | None) -> Iterator[str]:
    context = click.Context(command, info_name=name, parent=parent)
    # What was given to the program holds for all of its commands.
    context.help_option_names = parent.help_option_names if parent else ["-h", "--help"]
    path = context.command_path
    usage = " ".join(command.collect_usage_pieces(context))
    yield from (f"## {path}", "", "```{eval-rst}", f".. program:: {path}", "")
    yield from (".. code-block:: text", "", f"   {path} {usage}", "")
    yield from (_escaped(inspect.cleandoc(command.help or "")), "")
    for parameter in command.get_params(context):
        if isinstance(parameter, click.Option) and not parameter.hidden:
            yield from _option(parameter, context)
    yield from ("```", "")
    if isinstance(command, click.Group):
        for each in command.list_commands(context):
            if inner := command.get_command(context, each):
                yield from _command(each, inner, context)


def _option(option: click.Option, context: click.Context) -> Iterator[str]:
    names, meaning = option.get_help_record(context) or ("", "")
    yield f".. option:: {names}"
    yield from ("", indent(_escaped(meaning), "   "), "")


def _escaped(text: str) -> str:
    # `code` stays as it is.
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(
        f"`{part}`" if part.startswith("`") else _MARKUP.sub(r"\\\1", part) for part in parts
    )
