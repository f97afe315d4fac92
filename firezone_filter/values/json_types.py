"""Values in JSON types, which `json.dumps` takes as they are, for the `to_dict` methods.

Enums become their values, addresses and networks text, and bytes hexadecimal digits. A mapping
whose keys are tuples becomes objects in objects. Times stay numbers: seconds on the host's clock.
"""

import enum
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any

from attrs import AttrsInstance, fields


def to_dict(value: AttrsInstance, **discriminator: str) -> dict[str, object]:
    """Return *discriminator*, then the fields of *value* by their names, in JSON types."""
    names = (one.name for one in fields(type(value)))
    return {**discriminator, **{name: to_json_type(getattr(value, name)) for name in names}}


def to_json_type(value: object) -> object:
    """Return *value* in JSON types; a value of any other kind than those above as it is."""
    match value:
        case enum.Enum():
            return value.value
        case IPv4Address() | IPv6Address() | IPv4Network() | IPv6Network():
            return str(value)
        case bytes():
            return value.hex()
        case Mapping():
            return _to_object(value)
        case list() | tuple():
            return [to_json_type(item) for item in value]
        case _:
            return value


def _to_object(mapping: Mapping[object, object]) -> dict[str, object]:
    made: dict[str, Any] = {}
    for key, value in mapping.items():
        *outer, last = key if isinstance(key, tuple) else (key,)
        inner = made
        for part in outer:
            inner = inner.setdefault(_to_name(part), {})
        inner[_to_name(last)] = to_json_type(value)
    return made


def _to_name(part: object) -> str:
    return str(to_json_type(part))
