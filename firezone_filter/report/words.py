"""How a report spells names, numbers and times."""

from datetime import UTC, datetime, timedelta
from typing import Final

from firezone_filter.capture.stream import NS_PER_S
from firezone_filter.report.groups import Name

MAX_NAME: Final = 80
"""Characters of a name that are shown. Ids may be of any length; people tell names apart by far
less."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_THOUSAND: Final = 1_000


def printable(text: str) -> str:
    """Return *text* without anything that acts on a page instead of being shown."""
    # Ids and names come from outside. What turns the direction of writing around or is half a
    # character (which no encoding can write) is spelled as Python would.
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in text
    )


def printable_lines(text: str) -> str:
    """Return *text* likewise, but for its ends of lines."""
    return "\n".join(map(printable, text.split("\n")))


def shortened(text: str) -> str:
    """Return a name in no more than `MAX_NAME` characters, printable."""
    shown = printable(text[:MAX_NAME])
    return shown if len(text) <= MAX_NAME and len(shown) <= MAX_NAME else f"{shown[:MAX_NAME]}…"


def client_name(name: Name) -> str:
    """Return how a client is called."""
    return "(no client)" if name is None else shortened(name)


def resource_name(name: Name, *, passed: bool) -> str:
    """Return how a resource is called; what passes without one is for the gateway itself."""
    if name is None:
        return "(the gateway itself)" if passed else "(no resource)"
    return shortened(name)


def number(value: int) -> str:
    """Return *value* with a comma after thousands."""
    return f"{value:,}"


def brief_number(value: int) -> str:
    """Return *value* as a narrow column has it: exact if it has six digits at most."""
    return number(value) if value < _THOUSAND**2 else short_number(value)


def counted(value: int, noun: str) -> str:
    """Return a number of things."""
    return f"{number(value)} {noun}{'' if value == 1 else 's'}"


def short_number(value: float) -> str:
    """Return *value* as the scale of a picture has it: 950, 1.5 k, 20 M."""
    for unit in ("", " k", " M", " G"):
        if value < _THOUSAND:
            return f"{value:.3g}{unit}"
        value /= _THOUSAND
    return f"{value:.3g} T"


def size(value: int) -> str:
    """Return *value* bytes in the unit that suits them."""
    if value < _THOUSAND:
        return f"{value} B"
    scaled = float(value)
    for unit in ("kB", "MB", "GB"):
        scaled /= _THOUSAND
        if scaled < 999.5:  # noqa: PLR2004 - what `.3g` would round up to a thousand
            return f"{scaled:.3g} {unit}"
    return f"{scaled / _THOUSAND:,.1f} TB"


def share(part: int, whole: int) -> str:
    """Return *part* of *whole* in per cent; what there is at all is never 0 %."""
    if not part or not whole:
        return "0 %"
    percent = 100 * part / whole
    if part == whole:
        return "100 %"
    if percent > 99.9:  # noqa: PLR2004 - what would be rounded up
        return "> 99.9 %"
    return "< 0.1 %" if percent < 0.1 else f"{percent:.1f} %"  # noqa: PLR2004 - likewise


def moment(time_ns: int) -> str:
    """Return a time with milliseconds, in UTC."""
    return to_datetime(time_ns).isoformat(sep=" ", timespec="milliseconds").removesuffix("+00:00")


def to_datetime(time_ns: int) -> datetime:
    """Return a time, as exact as microseconds are."""
    return _EPOCH + timedelta(microseconds=time_ns // 1_000)


def duration(span_ns: int) -> str:
    """Return a span of time in its two largest units."""
    if span_ns < 60 * NS_PER_S:
        return f"{span_ns / NS_PER_S:.3g} s"
    seconds = round(span_ns / NS_PER_S)
    parts = []
    for name, unit in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        whole, seconds = divmod(seconds, unit)
        if whole:
            parts.append(f"{whole:,} {name}")
    return " ".join(parts[:2])
