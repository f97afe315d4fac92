"""Pictures drawn as SVG, with matplotlib.

So they need no script, print well, and take the colours of the page. Only numbers and times are
in a picture; names are in its legend, which is part of the page.
"""

from io import StringIO
from itertools import pairwise
from typing import Final
from xml.etree import ElementTree as ET  # what is parsed was written by matplotlib

from attrs import frozen
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from firezone_filter.capture.stream import NS_PER_S
from firezone_filter.report.pictures import Picture
from firezone_filter.report.scales import marks
from firezone_filter.report.words import moment, number, short_number

_SVG: Final = "http://www.w3.org/2000/svg"
_HREF: Final = "{http://www.w3.org/1999/xlink}href"
_DOTS_PER_INCH: Final = 72
"""Those of SVG, so that a dot of a figure is a unit of the picture."""

# Room for the scales, in pixels; half of the last label of the time axis is on the right.
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 30, 8, 47

_PER_MARK: Final = 120
"""Pixels for a mark of the time axis and its label."""

_KEPT_STYLES: Final = frozenset(
    {"fill", "stroke", "stroke-width", "stroke-linecap", "text-anchor"}
)


@frozen
class Size:
    """The size of a picture, in pixels of a page that shows it as it is."""

    width: int
    height: int


def draw(picture: Picture, size: Size) -> str:
    """Return *picture* as an `svg` element.

    Its series have the classes `series` and `c-` with their colour; each bucket with packets has
    a transparent `rect` of class `hit` above it, whose title says the numbers. It has neither
    ids nor styles of its own, so that several may stand in a page that forbids inline styles.
    """
    figure = Figure((size.width / _DOTS_PER_INCH, size.height / _DOTS_PER_INCH), _DOTS_PER_INCH)
    canvas = FigureCanvasSVG(figure)
    axes = figure.add_axes(
        (
            _LEFT / size.width,
            _BOTTOM / size.height,
            1 - (_LEFT + _RIGHT) / size.width,
            1 - (_BOTTOM + _TOP) / size.height,
        )
    )
    figure.patch.set_visible(False)
    axes.patch.set_visible(False)
    _stack(axes, picture)
    _scale(axes, picture, size)
    text = StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": picture.name}):
        canvas.print_svg(text, metadata={"Date": None, "Creator": None})
    root = ET.fromstring(text.getvalue())  # noqa: S314 - see the import
    _clean(root)
    root.attrib = {
        "class": "plot",
        "viewBox": f"0 0 {size.width} {size.height}",
        "aria-hidden": "true",
        "focusable": "false",
    }
    _add_hits(root, axes, picture, size)
    ET.register_namespace("", _SVG)
    return ET.tostring(root, encoding="unicode")


def _stack(axes: Axes, picture: Picture) -> None:
    edges = [_place(edge, picture) for edge in picture.edges_ns]
    bottoms = [0.0] * (len(edges) - 1)
    for each in picture.series:
        tops = [bottom + count for bottom, count in zip(bottoms, each.counts, strict=True)]
        patch = axes.stairs(tops, edges, baseline=bottoms, fill=True)
        patch.set_gid(f"series c-{each.colour}")
        patch.set_clip_on(False)
        bottoms = tops
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(0, max([1.0, *bottoms]) * 1.04)


def _scale(axes: Axes, picture: Picture, size: Size) -> None:
    found = marks(picture.edges_ns[0], picture.edges_ns[-1], size.width // _PER_MARK)
    axes.set_xticks(
        [_place(time_ns, picture) for time_ns, _ in found], [label for _, label in found]
    )
    axes.yaxis.set_major_locator(MaxNLocator(nbins=4, integer=True, min_n_ticks=2))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: short_number(value)))
    axes.tick_params(length=0, pad=6, labelsize=12)
    # Below the 0 of the other scale, also where a phone has larger letters.
    axes.tick_params(axis="x", pad=11)
    axes.set_axisbelow(True)
    axes.grid(visible=True, axis="y", gid="grid", clip_on=False)
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_gid("axis")


def _place(time_ns: int, picture: Picture) -> float:
    """Return where a time is on the axis: in seconds from its begin, so that floats are exact."""
    return (time_ns - picture.edges_ns[0]) / NS_PER_S


def _clean(root: ET.Element) -> None:
    """Take away what matplotlib adds for a file of its own: ids, styles, fonts, descriptions."""
    for parent in list(root.iter()):
        for child in list(parent):
            is_mark = child.tag == f"{{{_SVG}}}use"
            if is_mark or child.tag in {f"{{{_SVG}}}defs", f"{{{_SVG}}}metadata"}:
                parent.remove(child)
    for element in root.iter():
        name = element.attrib.pop("id", "")
        if name.startswith("series") or name in {"grid", "axis"}:
            element.set("class", name)
        element.attrib.pop("clip-path", None)
        element.attrib.pop(_HREF, None)
        for style in element.attrib.pop("style", "").split(";"):
            key, _, value = style.partition(":")
            if key.strip() in _KEPT_STYLES:
                element.set(key.strip(), value.strip())


def _add_hits(root: ET.Element, axes: Axes, picture: Picture, size: Size) -> None:
    edges = [_place(edge, picture) for edge in picture.edges_ns]
    at = [float(axes.transData.transform((edge, 0.0))[0]) for edge in edges]
    area = axes.bbox
    spans = list(pairwise(at))
    for bucket in picture.busy_buckets:
        left, right = spans[bucket]
        hit = ET.SubElement(
            root,
            f"{{{_SVG}}}rect",
            {
                "class": "hit",
                "x": f"{left:.2f}",
                "y": f"{size.height - area.y1:.2f}",
                "width": f"{right - left:.2f}",
                "height": f"{area.height:.2f}",
            },
        )
        ET.SubElement(hit, f"{{{_SVG}}}title").text = spoken(picture, bucket)


def spoken(picture: Picture, bucket: int) -> str:
    """Return what a bucket holds, in words."""
    counts = [
        f"{each.label} {number(each.counts[bucket])}"
        for each in picture.series
        if each.counts[bucket]
    ]
    until = moment(picture.edges_ns[bucket + 1]).partition(" ")[2]
    return f"{moment(picture.edges_ns[bucket])} to {until}: {', '.join(counts)}"
