"""The errors that callers' mistakes raise; traffic never raises any.

Each derives from `FirezoneFilterError` and from the built-in error that fits, so that hosts
can catch the library's errors all at once, or as the `ValueError` or `LookupError` they are.
"""


def shown(value: object) -> str:
    """Return the `repr` of *value* for a message, or a stand-in if it has none.

    Python refuses to write out integers of more than 4,300 digits, with a `ValueError` that
    would replace the error to be reported.
    """
    try:
        return repr(value)
    except ValueError:
        return f"{type(value).__name__} (too long to show)"


class FirezoneFilterError(Exception):
    """The root of all errors that the library raises on purpose."""

    def __init__(self, message: str, value: object) -> None:
        super().__init__(message)
        self._value = value

    @property
    def value(self) -> object:
        """The offending value."""
        return self._value

    def __reduce__(self) -> tuple[object, ...]:
        """Keep the attributes when the error crosses a process boundary.

        `BaseException` would pickle the message alone, and fail to construct the error from it.
        """
        return (_rebuild, (type(self), self.args, self.__dict__))


def _rebuild(
    kind: type[FirezoneFilterError], args: tuple[object, ...], state: dict[str, object]
) -> FirezoneFilterError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error


class UnknownClient(FirezoneFilterError, LookupError):  # noqa: N818 - the name says what went wrong
    """No client with this id is connected."""


class UnknownResource(FirezoneFilterError, LookupError):  # noqa: N818 - the name says what went wrong
    """The client is not authorized for a resource with this id."""


class InvalidAddress(FirezoneFilterError, ValueError):  # noqa: N818 - the name says what went wrong
    """An address or network is malformed, or is not allowed here."""


class AddressInUse(FirezoneFilterError, ValueError):  # noqa: N818 - the name says what went wrong
    """A tunnel address belongs to another client."""

    def __init__(self, message: str, value: object, client_id: str) -> None:
        super().__init__(message, value)
        self._client_id = client_id

    @property
    def client_id(self) -> str:
        """The client that has the address."""
        return self._client_id


class _FaultyError(FirezoneFilterError, ValueError):
    """An error about input that may have many faults, which are reported together."""

    def __init__(self, message: str, value: object, faults: tuple[str, ...] = ()) -> None:
        super().__init__(message, value)
        self._faults = faults or (message,)

    @property
    def faults(self) -> tuple[str, ...]:
        """The faults that were found, one line each.

        They are the first hundred, and then a line that says how many more there are.
        """
        return self._faults


class InvalidPolicy(_FaultyError):  # noqa: N818 - the name says what went wrong
    """A filter, pattern, resource, option or policy file is invalid."""


class InvalidMessage(_FaultyError):  # noqa: N818 - the name says what went wrong
    """A portal message is invalid; it has granted nothing, but may have revoked.

    If a hook of the gateway would have refused it, the error of that hook is the `__cause__`.
    """

    def __init__(
        self,
        message: str,
        value: object,
        faults: tuple[str, ...] = (),
        revoked_from: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message, value, faults)
        self._revoked_from = revoked_from

    @property
    def revoked_from(self) -> tuple[str, ...]:
        """The ids of the clients from which the message has taken something away all the same.

        If there are none, nothing at all has changed. If there are some, the last line of the
        error's text says so.
        """
        return self._revoked_from


class InvalidTime(FirezoneFilterError, ValueError):  # noqa: N818 - the name says what went wrong
    """A time is not finite, or cannot be of the same clock as the times before it.

    That is one of 2**33 or more, and one too far from the latest `now` (rules.md,
    section 2).
    """
