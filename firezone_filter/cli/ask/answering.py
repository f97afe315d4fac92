"""What all commands that ask have in common: how they end, and how they print."""

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import ParamSpec, TextIO

from firezone_filter.cli.exit import ExitStatus, UnusableError
from firezone_filter.cli.inputs import display_name
from firezone_filter.cli.streams import say
from firezone_filter.values.errors import FirezoneFilterError

P = ParamSpec("P")


def answering(command: Callable[P, ExitStatus]) -> Callable[P, ExitStatus]:
    """Return *command* with an exit status, and complaints, in the place of errors."""

    @wraps(command)
    def run(*arguments: P.args, **options: P.kwargs) -> ExitStatus:
        try:
            return command(*arguments, **options)
        except UnusableError as error:
            for line in error.lines:
                say(line)
        except KeyboardInterrupt:
            return ExitStatus.INTERRUPTED
        except BrokenPipeError:
            return ExitStatus.CLOSED_PIPE
        return ExitStatus.UNUSABLE

    return run


@contextmanager
def about(name: str) -> Iterator[None]:
    """Let what the library finds wrong with the file or option *name* be a complaint about it.

    Raises:
        UnusableError: It is wrong: a line for each fault.
    """
    try:
        yield
    except FirezoneFilterError as error:
        shown = display_name(name)
        raise UnusableError(*(f"{shown}: {line}" for line in str(error).splitlines())) from None


def print_json(value: object, stream: TextIO | None = None) -> None:
    """Print *value*, of JSON types, to *stream*, by default standard output."""
    to = sys.stdout if stream is None else stream
    to.write(json.dumps(value, indent=2) + "\n")
    to.flush()


def print_lines(lines: Iterable[str]) -> None:
    """Print *lines* to standard output."""
    sys.stdout.writelines(f"{line}\n" for line in lines)
    sys.stdout.flush()
