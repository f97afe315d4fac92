"""Domain names and the patterns that DNS resources are given by.

Names are compared as DNS compares them: ASCII letters without regard to case (RFC 4343),
a final dot ignored. Names in other scripts stand in their `xn--` form (RFC 5890).
"""

import re
from collections.abc import Callable, Sequence
from typing import Final

from attrs import frozen

from firezone_filter.values.errors import InvalidPolicy, shown

MAX_NAME: Final = 253
"""Characters of a name in text form: 255 octets on the wire (RFC 1035, section 2.3.4)."""

# The underscore is no letter of a host name, but service names use it (RFC 8552).
_LABEL = re.compile(r"[a-z0-9_-]{1,63}", re.ASCII)
_PATTERN_LABEL = re.compile(r"\*\*|(?!.*\*\*)[a-z0-9_*?-]{1,63}", re.ASCII)


def to_domain(value: str) -> str:
    """Return *value* in lower case and without a final dot.

    Raises:
        InvalidPolicy: not a domain name.
        TypeError: not a `str`.
    """
    return ".".join(_labels(value, _LABEL, "domain name"))


def to_domain_pattern(value: str) -> str:
    """Return *value* as it is, if it is a pattern.

    Raises:
        InvalidPolicy: not a pattern.
        TypeError: not a `str`.
    """
    DomainPattern.parse(value)
    return value


def _labels(value: str, label: re.Pattern[str], kind: str) -> tuple[str, ...]:
    if not isinstance(value, str):
        raise TypeError(f"a {kind} is a str, not {shown(value)}")
    name = value.removesuffix(".")
    # Before lower(): some letters of other scripts become ASCII by it (the Kelvin sign).
    if not name.isascii() or len(name) > MAX_NAME:
        raise InvalidPolicy(f"{value!r} is not a {kind}", value)
    labels = tuple(name.lower().split("."))
    if not all(label.fullmatch(part) for part in labels):
        raise InvalidPolicy(f"{value!r} is not a {kind}", value)
    return labels


@frozen
class DomainPattern:
    """The names that a DNS resource stands for.

    `?` is one character within a label, `*` any run of characters within a label, `**` as
    a whole label any number of labels. All may stand for nothing but `?`, and `*` never
    for a whole missing label; only a leading `*.` also lets the bare name match.
    """

    labels: tuple[str, ...]
    """The labels in lower case, leftmost first."""

    @classmethod
    def parse(cls, text: str) -> "DomainPattern":
        """Read a pattern.

        Raises:
            InvalidPolicy: not a pattern.
            TypeError: not a `str`.
        """
        return cls(_labels(text, _PATTERN_LABEL, "domain pattern"))

    def matches(self, domain: str) -> bool:
        """Tell whether *domain* (as `to_domain` returns it) is one of the names."""
        labels = tuple(domain.split("."))
        if self.labels[0] == "*" and _matches(self.labels[1:], labels):
            return True
        return _matches(self.labels, labels)


def _matches(pattern: Sequence[str], labels: Sequence[str]) -> bool:
    """Match label by label; `**` is any run of labels."""
    return _glob(pattern, labels, "**", _label_matches)


def _label_matches(pattern: str, label: str) -> bool:
    """Match the characters of one label; `*` is any run of characters, `?` one."""
    return _glob(pattern, label, "*", _character_matches)


def _character_matches(pattern: str, character: str) -> bool:
    return pattern in ("?", character)


def _glob(
    pattern: Sequence[str], parts: Sequence[str], run: str, fits: Callable[[str, str], bool]
) -> bool:
    """Match part by part; *run* in the pattern takes as few parts as will do.

    Only the last *run* is ever tried again, since an earlier one can leave to it whatever
    it would take itself: the work is at most parts times parts, whatever the pattern.
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
