"""Selects entries by severity, message, fields and time.

A line that is not JSON may be a panic, so it is selected unless the message pattern or the time
rules it out. Of a line that comes in pieces, the first one decides about all. Such a line is too
long for its severity and fields to be read: it is left out wherever they matter.
"""

import re
import warnings
from collections.abc import Callable, Iterator
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Final

from attrs import frozen

from firezone_filter.cli.logs.entries import Entry, Fields
from firezone_filter.cli.logs.jq_text import to_text
from firezone_filter.cli.logs.time_keys import NO_TIME

SEVERITIES: Final = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR")
"""From the least to the most severe."""

_RANKS: Final = {name: rank for rank, name in enumerate(SEVERITIES)} | {
    # Google Cloud's names: Firezone can log through tracing-stackdriver.
    "NOTICE": SEVERITIES.index("INFO"),
    "WARNING": SEVERITIES.index("WARN"),
    "CRITICAL": SEVERITIES.index("ERROR"),
    "ALERT": SEVERITIES.index("ERROR"),
    "EMERGENCY": SEVERITIES.index("ERROR"),
}
_NO_RANK: Final = -1

_Check = Callable[[Entry], bool]


@frozen
class Selection:
    """The conditions that an entry has to meet; by default none."""

    severity: str | None = None
    """The lowest severity, one of `SEVERITIES`."""

    pattern: re.Pattern[str] | None = None
    """Must match somewhere in the message, as printed."""

    fields: tuple[tuple[str, str], ...] = ()
    """Fields and their values, as printed; `null` for a missing field. A dot leads into an
    object, unless a field has the whole name. A value that is a network also stands for the
    addresses and networks in it."""

    since: str | None = None
    """The key (`time_keys`) of the earliest time."""

    until: str | None = None
    """The key of the time before which entries must be."""

    invert: bool = False
    """Whether severity, message and fields, taken together, must not be as stated."""

    def has_conditions(self) -> bool:
        """Tell whether there is a condition that can be inverted."""
        return any(True for _ in self._conditions())

    def reads_fields(self) -> bool:
        """Tell whether severity or fields matter: then lines that are too long are left out."""
        return self.severity is not None or bool(self.fields)

    def predicate(self) -> _Check:
        """Return a function that tells whether an entry is selected; call it in their order."""
        checks = (*self._times(), *self._conditions())
        if self.invert:
            checks = (*self._times(), _inverted(tuple(self._conditions()), self.pattern))
        reads_fields = self.reads_fields()
        verdicts: dict[str, bool] = {}

        def meets_all(entry: Entry) -> bool:
            # `all` would take a generator for each entry.
            for check in checks:  # noqa: SIM110
                if not check(entry):
                    return False
            return True

        def is_selected(entry: Entry) -> bool:
            _, _, starts, ends = entry.piece
            if starts and ends:
                return meets_all(entry)
            if starts:
                verdicts[entry.source] = not reads_fields and meets_all(entry)
            return verdicts[entry.source]

        return is_selected

    def _times(self) -> Iterator[_Check]:
        if self.since is not None:
            yield _since(self.since)
        if self.until is not None:
            yield _until(self.until)

    def _conditions(self) -> Iterator[_Check]:
        # The cheapest first.
        if self.severity is not None:
            yield _severity(rank(self.severity))
        for name, value in self.fields:
            yield _field(name, value)
        if self.pattern is not None:
            yield _message(self.pattern)


def to_regex(text: str, *, ignore_case: bool = False) -> re.Pattern[str]:
    """Return the regular expression *text*.

    Raises:
        ValueError: It is not a regular expression.
    """
    with warnings.catch_warnings():
        # Warnings about syntax that a later Python may read differently are no help to users.
        warnings.simplefilter("ignore")
        try:
            return re.compile(text, re.IGNORECASE if ignore_case else 0)
        except (re.error, OverflowError, RecursionError) as error:
            raise ValueError(f"{text!r} is no regular expression: {error}") from None


def to_field(text: str) -> tuple[str, str]:
    """Return the name and the value in *text*, which is `name=value`.

    Raises:
        ValueError: It has no `=`, or no name before it.
    """
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise ValueError(f"{text!r} is not NAME=VALUE")
    return name, value


def rank(severity: object) -> int:
    """Return the index of *severity* in `SEVERITIES`, -1 if it is none of them."""
    return _RANKS.get(severity.upper(), _NO_RANK) if isinstance(severity, str) else _NO_RANK


def _since(key: str) -> _Check:
    return lambda entry: entry.key >= key or entry.key == NO_TIME


def _until(key: str) -> _Check:
    return lambda entry: entry.key < key


def _inverted(conditions: tuple[_Check, ...], pattern: re.Pattern[str] | None) -> _Check:
    def check(entry: Entry) -> bool:
        if entry.fields is None and pattern is None:
            return True
        return not all(condition(entry) for condition in conditions)

    return check


def _severity(lowest: int) -> _Check:
    return lambda entry: entry.fields is None or rank(entry.fields.get("severity")) >= lowest


def _field(name: str, wanted: str) -> _Check:
    network = _to_network(wanted)

    def check(entry: Entry) -> bool:
        if entry.fields is None:
            return True
        value = _found(entry.fields, name)
        return to_text(value) == wanted or (network is not None and _is_in(network, value))

    return check


def _is_in(network: IPv4Network | IPv6Network, value: object) -> bool:
    """Tell whether *value* is an address or a network in *network*."""
    inner = _to_network(value) if isinstance(value, str) else None
    if isinstance(inner, IPv4Network) and isinstance(network, IPv4Network):
        return inner.subnet_of(network)
    if isinstance(inner, IPv6Network) and isinstance(network, IPv6Network):
        return inner.subnet_of(network)
    return False


def _to_network(text: str) -> IPv4Network | IPv6Network | None:
    """Return the network *text*, of which an address is the smallest; `None` if it is none."""
    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None


def _message(pattern: re.Pattern[str]) -> _Check:
    def check(entry: Entry) -> bool:
        if entry.fields is None:
            text = entry.piece.data.decode("utf-8", "replace")
        else:
            text = to_text(entry.fields.get("message"))
        return pattern.search(text) is not None

    return check


def _found(fields: Fields, name: str) -> object:
    """Return the value of *name* in *fields*, or in the object that its dots lead to."""
    if name in fields:
        return fields[name]
    outer, dot, rest = name.partition(".")
    inside = fields.get(outer) if dot else None
    return _found(inside, rest) if isinstance(inside, dict) else None
