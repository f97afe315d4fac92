"""The errors that callers' mistakes raise; traffic never raises any.

Each derives from `FirezoneFilterError` and from the built-in that fits, so that a host
can catch the library's errors as one, or treat them as the `ValueError` or `LookupError`
that they are.
"""


def shown(value: object) -> str:
    """Return *value* as a message shows it.

    Python refuses to write out integers of more than 4,300 digits, with a `ValueError` of
    its own that would take the place of the error to be reported.
    """
    try:
        return repr(value)
    except ValueError:
        return f"{type(value).__name__} (too long to show)"


class FirezoneFilterError(Exception):
    """Root of every error that the library raises on purpose."""

    value: object
    """The offending value."""

    def __init__(self, message: str, value: object) -> None:
        super().__init__(message)
        self.value = value

    def __reduce__(self) -> tuple[object, ...]:
        """Keep the facts when the error crosses a process border.

        `BaseException` pickles its message alone and would then miss an argument.
        """
        return (_rebuild, (type(self), self.args, self.__dict__))


def _rebuild(
    kind: type[FirezoneFilterError], args: tuple[object, ...], state: dict[str, object]
) -> FirezoneFilterError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error


class UnknownClient(FirezoneFilterError, LookupError):  # noqa: N818 - the name says what went wrong
    """No client of this id is connected."""


class UnknownResource(FirezoneFilterError, LookupError):  # noqa: N818 - the name says what went wrong
    """The client is not authorized for a resource of this id."""


class InvalidAddress(FirezoneFilterError, ValueError):  # noqa: N818 - the name says what went wrong
    """An address or network is malformed, or not allowed in this place."""


class AddressInUse(FirezoneFilterError, ValueError):  # noqa: N818 - the name says what went wrong
    """A tunnel address belongs to another client."""

    client_id: str
    """The client that holds the address."""

    def __init__(self, message: str, value: object, client_id: str) -> None:
        super().__init__(message, value)
        self.client_id = client_id


class _FaultyError(FirezoneFilterError, ValueError):
    """What was handed in may have many faults; they are reported together."""

    faults: tuple[str, ...]
    """Every fault that was found, a line each."""

    def __init__(self, message: str, value: object, faults: tuple[str, ...] = ()) -> None:
        super().__init__(message, value)
        self.faults = faults or (message,)


class InvalidPolicy(_FaultyError):  # noqa: N818 - the name says what went wrong
    """A filter, pattern, resource, option or policy file says what cannot be."""


class InvalidMessage(_FaultyError):  # noqa: N818 - the name says what went wrong
    """A portal message says what cannot be; nothing of it has taken effect.

    Where a hook of the gateway would have refused it, that error is the `__cause__`.
    """


class InvalidTime(FirezoneFilterError, ValueError):  # noqa: N818 - the name says what went wrong
    """A time is not finite, or cannot belong to the clock that brought the others."""
