"""What the arguments and options of all commands have in common."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

import click

from firezone_filter.capture.stream import NS_PER_S
from firezone_filter.cli.logs.time_options import to_key
from firezone_filter.values.addresses import Address, to_address

FILE: Final = click.Path(readable=False, allow_dash=True)
"""Any file name, which a shell can complete; opening it tells whether it can be used."""


class Command(click.Command):
    """A command whose errors are all about itself, so that they can point at its help."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse *args*.

        Raises:
            UsageError: An argument is wrong; with the context, which click's parser leaves out.
        """
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            error.ctx = error.ctx or ctx
            raise


def read_by(read: Callable[[str], object]) -> Callable[..., object]:
    """Return an option's callback, which parses values by *read*.

    A `ValueError` of *read* becomes click's complaint about the option.
    """

    def callback(
        _: click.Context, __: click.Parameter, value: str | tuple[str, ...] | None
    ) -> object:
        try:
            if isinstance(value, tuple):
                return tuple(map(read, value))
            return None if value is None else read(value)
        except ValueError as error:
            raise click.BadParameter(str(error)) from None

    return callback


def to_client(text: str) -> tuple[str, Address]:
    """Read `ID=ADDRESS`, a client of a policy and an address of a capture.

    Raises:
        ValueError: It is something else.
    """
    # An id may have an equals sign, and an address has none.
    client_id, equals, address = text.rpartition("=")
    if not (client_id and equals):
        raise ValueError(f"{text!r} is not ID=ADDRESS")
    return client_id, to_address(address)


def to_nanoseconds(text: str) -> int:
    """Read a time, in UTC, as `logs --since` does; return nanoseconds of Unix time.

    Raises:
        ValueError: It is no time.
    """
    second, _, fraction = to_key(text, datetime.now(UTC)).partition(".")
    # A leap second, which no time stamp of a capture can be in, begins the next minute.
    minute, _, seconds = second.rpartition(":")
    passed = datetime.fromisoformat(f"{minute}:00+00:00") - datetime(1970, 1, 1, tzinfo=UTC)
    ns = int(fraction[:9].ljust(9, "0"))
    return (passed // timedelta(seconds=1) + int(seconds)) * NS_PER_S + ns
