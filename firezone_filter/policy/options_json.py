"""The options of a gateway as JSON: `GatewayOptions` in a policy file, read and written.

The fields are those of `GatewayOptions`, each by its type, so that a new option needs nothing
here; `own_filters` are written as the filters of a resource.
"""

from collections.abc import Callable
from typing import Any, Final

from attrs import fields_dict

from firezone_filter.documents.filter_json import read_filters, write_filters
from firezone_filter.documents.nodes import Node
from firezone_filter.values.options import GatewayOptions

_DEFAULTS: Final = GatewayOptions()


def read_options(node: Node | None) -> GatewayOptions | None:
    """Read the options of a policy file; what is missing has its default.

    `null` is a fault, and so is any field that is no option.
    """
    if node is None:
        return _DEFAULTS
    fields = node.fields_only(*_READERS)
    if fields is None:
        return None
    given = {
        name: read(one) for name, read in _READERS.items() if (one := fields.get(name)) is not None
    }
    return None if None in given.values() else GatewayOptions(**given)


def write_options(options: GatewayOptions) -> dict[str, object]:
    """Return the *options* that are not the default, in the form that `read_options` reads."""
    given = {name: getattr(options, name) for name in _READERS}
    others = {name: one for name, one in given.items() if one != getattr(_DEFAULTS, name)}
    if "own_filters" in others:
        others["own_filters"] = write_filters(options.own_filters)
    return others


def _read_count(node: Node) -> int | None:
    return node.whole("a whole number of 0 or more")


def _read_rate(node: Node) -> float | None:
    rate = node.number("a number")
    if rate is not None and rate < 0:
        node.refuse("is negative")
        return None
    return rate


_BY_TYPE: Final[dict[type | None, Callable[[Node], Any]]] = {
    bool: Node.switch,
    int: _read_count,
    float: _read_rate,
}
_READERS: Final[dict[str, Callable[[Node], Any]]] = {
    name: read_filters if name == "own_filters" else _BY_TYPE[one.type]
    for name, one in fields_dict(GatewayOptions).items()
}
