"""Domain names, and the patterns of DNS resources.

Names are compared as DNS compares them: ASCII letters without regard to case (RFC 4343), a
final dot ignored. Names in other scripts are written in their `xn--` form (RFC 5890).
"""

import re
from collections.abc import Callable, Sequence
from typing import Final

from attrs import frozen

from firezone_filter.values.errors import InvalidPolicy, shown

MAX_NAME: Final = 253
"""The longest name, in characters: 255 octets on the wire (RFC 1035, section 2.3.4)."""

# Host names have no underscores, but the names of services do (RFC 8552).
_LABEL = re.compile(r"[a-z0-9_-]{1,63}", re.ASCII)
_PATTERN_LABEL = re.compile(r"\*\*|(?!.*\*\*)[a-z0-9_*?-]{1,63}", re.ASCII)


def to_domain(value: str) -> str:
    """Return the domain name *value* in lower case and without a final dot.

    Raises:
        InvalidPolicy: *value* is not a domain name.
        TypeError: *value* is not a `str`.
    """
    return ".".join(_labels(value, _LABEL, "domain name"))


def to_domain_pattern(value: str) -> str:
    """Return *value* unchanged if it is a domain pattern.

    Raises:
        InvalidPolicy: *value* is not a pattern.
        TypeError: *value* is not a `str`.
    """
    DomainPattern.parse(value)
    return value


def _labels(value: str, label: re.Pattern[str], kind: str) -> tuple[str, ...]:
    if not isinstance(value, str):
        raise TypeError(f"a {kind} is a str, not {shown(value)}")
    name = value.removesuffix(".")
    # Before lower(), which turns some letters of other scripts into ASCII (the Kelvin sign).
    if not name.isascii() or len(name) > MAX_NAME:
        raise InvalidPolicy(f"{value!r} is not a {kind}", value)
    labels = tuple(name.lower().split("."))
    if not all(label.fullmatch(part) for part in labels):
        raise InvalidPolicy(f"{value!r} is not a {kind}", value)
    return labels


@frozen
class DomainPattern:
    """A pattern of domain names, by which a DNS resource is described.

    - `?` matches one character within a label.
    - `*` matches any run of characters within a label, also an empty one, but never a
      missing label. Only a leading `*.` matches the bare name too: `*.example.com` matches
      `example.com`.
    - `**`, as a whole label, matches any number of labels, also none.
    """

    labels: tuple[str, ...]
    """The labels in lower case, leftmost first."""

    @classmethod
    def parse(cls, text: str) -> "DomainPattern":
        """Read a pattern.

        Raises:
            InvalidPolicy: *text* is not a pattern.
            TypeError: *text* is not a `str`.
        """
        return cls(_labels(text, _PATTERN_LABEL, "domain pattern"))

    def matches(self, domain: str) -> bool:
        """Tell whether *domain*, in the form that `to_domain` returns, matches the pattern."""
        labels = tuple(domain.split("."))
        if self.labels[0] == "*" and _matches(self.labels[1:], labels):
            return True
        return _matches(self.labels, labels)


def _matches(pattern: Sequence[str], labels: Sequence[str]) -> bool:
    """Match label by label, `**` as any run of labels."""
    return _glob(pattern, labels, "**", _label_matches)


def _label_matches(pattern: str, label: str) -> bool:
    """Match one label character by character, `*` as any run of characters, `?` as one."""
    return _glob(pattern, label, "*", _character_matches)


def _character_matches(pattern: str, character: str) -> bool:
    return pattern in ("?", character)


def _glob(
    pattern: Sequence[str], parts: Sequence[str], run: str, fits: Callable[[str, str], bool]
) -> bool:
    """Match part by part, each *run* of the pattern with as few parts as possible.

    Only the latest *run* is ever extended: parts that an earlier one could take as well, the
    latest can take itself. So no pattern takes more than quadratic time, which matters since
    names come from clients.
    """
    at = place = 0
    retry: tuple[int, int] | None = None
    while place < len(parts):
        if at < len(pattern) and pattern[at] == run:
            retry = (at + 1, place)
            at += 1
        elif at < len(pattern) and fits(pattern[at], parts[place]):
            at, place = at + 1, place + 1
        elif retry is not None:
            retry = (retry[0], retry[1] + 1)
            at, place = retry
        else:
            return False
    return all(rest == run for rest in pattern[at:])
