"""What a program can do wrong with a replay; captures have errors of their own."""

from firezone_filter.values.errors import FirezoneFilterError


class UnknownEndingError(FirezoneFilterError, ValueError):
    """The ending of an output's name stands for no format; `value` is the name."""


class OutputClashError(FirezoneFilterError, ValueError):
    """An output would take the place of a capture, or of another output; `value` is its name."""


class AlreadyReadError(FirezoneFilterError, RuntimeError):
    """A stream was to be replayed a second time; `value` is the stream."""


class WorkersError(FirezoneFilterError, RuntimeError):
    """Workers cannot be had or reached, or are lost again and again; `value` is their place."""

    def __init__(self, message: str, value: object = None) -> None:
        super().__init__(message, value)
