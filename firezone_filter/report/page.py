"""The page: a pure function from the data of a report to HTML.

Ids, names and explanations come from captures and policies, which an attacker may have had a hand
in. The templates escape all text; no text goes into a script, a style or an attribute without
quotes; and the page's own policy (CSP) forbids the network, and every script and style but its
own.
"""

import hashlib
from base64 import b64encode
from collections.abc import Callable, Mapping
from functools import cache
from typing import Final

from attrs import Factory, frozen
from jinja2 import BaseLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from firezone_filter.report import words
from firezone_filter.report.data import ReportData
from firezone_filter.report.drawing import Size, draw, spoken
from firezone_filter.report.pictures import Picture, all_packets, pictures
from firezone_filter.report.tables import (
    Labels,
    Limits,
    flow_rows,
    group_rows,
    matrix,
    refusals,
)
from firezone_filter.values.decisions import Direction, Reason

MAX_BYTES: Final = 5_000_000
"""The most that a page has. Tables are halved until it fits."""

_WIDE: Final = Size(1100, 230)
_NARROW: Final = Size(520, 210)


@frozen
class About:
    """What a report says of the replay beside its data."""

    capture: str
    """The name of the capture."""

    policy: str | None = None
    """The name of the policy, if it has one."""

    facts: tuple[tuple[str, str], ...] = ()
    """Names and values, such as how many frames had no IP packet."""

    remarks: tuple[str, ...] = ()
    """What is odd about the capture."""

    resource_names: Mapping[str, str] = Factory(dict)
    """The names of resources, by id."""


@frozen
class _Total:
    packets: int
    bytes: int
    refused: int
    refused_bytes: int


def render(data: ReportData, about: About) -> str:
    """Return the page of a report, which is at most `MAX_BYTES` in UTF-8."""
    limits = Limits()
    shown = _drawn(data)
    while True:
        page = _page(data, about, shown, limits)
        if len(page.encode()) <= MAX_BYTES:
            return page
        limits = limits.halved()


def _drawn(data: ReportData) -> list[tuple[Picture, tuple[Markup, ...]]]:
    first = all_packets(data)
    sizes = ((first, (_WIDE, _NARROW)), *((each, (_NARROW,)) for each in pictures(data)))
    # What matplotlib has drawn is markup; the words in it are escaped where they are put in.
    return [
        (picture, tuple(Markup(draw(picture, each)) for each in chosen))  # noqa: S704
        for picture, chosen in sizes
        if picture.series
    ]


def _page(
    data: ReportData,
    about: About,
    drawn: list[tuple[Picture, tuple[Markup, ...]]],
    limits: Limits,
) -> str:
    environment = _environment()
    labels = Labels(about.resource_names)
    style, script = _source("report.css"), _source("report.js")
    groups = group_rows(data, labels, limits.groups)
    return environment.get_template("report.html").render(
        about=about,
        total=_total(data),
        span=_span(data),
        clock=_clock(data),
        drawn=drawn,
        groups=groups,
        more_groups=len(data.groups) - len(groups),
        clients=sorted({each.client for each in groups}, key=lambda label: label.text.casefold()),
        resources=sorted(
            {each.resource for each in groups}, key=lambda label: label.text.casefold()
        ),
        reasons=sorted({each.group.reason for each in groups if each.group.reason is not None}),
        directions=list(Direction),
        refusals=refusals(data, labels, limits.refusals),
        flows=flow_rows(data, labels, limits.flows),
        matrix=matrix(data, labels, limits),
        descriptions={reason: reason.description for reason in Reason},
        style=Markup(style),  # noqa: S704 - a file of ours
        script=Markup(script),  # noqa: S704 - a file of ours
        style_hash=_hash(style),
        script_hash=_hash(script),
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("firezone_filter.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "number": words.number,
        "brief_number": words.brief_number,
        "size": words.size,
        "share": words.share,
        "moment": words.moment,
        "printable": words.printable,
        "printable_lines": words.printable_lines,
        "shortened": words.shortened,
        "spoken": spoken,
    }
    return environment


def _source(name: str) -> str:
    environment = _environment()
    loader = environment.loader
    assert isinstance(loader, BaseLoader)  # noqa: S101 - it was made with one
    return loader.get_source(environment, name)[0]


def _hash(source: str) -> str:
    return b64encode(hashlib.sha256(source.encode()).digest()).decode()


def _total(data: ReportData) -> _Total:
    packets = size = refused = refused_size = 0
    for group, count in data.groups.items():
        packets += count.packets
        size += count.bytes
        if group.reason is not None:
            refused += count.packets
            refused_size += count.bytes
    return _Total(packets, size, refused, refused_size)


def _ends(data: ReportData) -> tuple[int, int]:
    first = min(count.first_ns for count in data.groups.values())
    return first, max(count.last_ns for count in data.groups.values())


def _span(data: ReportData) -> tuple[str, str, str]:
    """Return the first and the last time, and what lies between; empty without any packet."""
    if not data.groups:
        return "", "", ""
    first, last = _ends(data)
    return words.moment(first), words.moment(last), words.duration(last - first)


def _clock(data: ReportData) -> Callable[[int], str]:
    """Return how times are written in tables: without the date, if all have the same."""
    if data.groups:
        first, last = _ends(data)
        if words.moment(first).split(" ")[0] == words.moment(last).split(" ")[0]:
            return lambda time_ns: words.moment(time_ns).split(" ")[1]
    return words.moment
