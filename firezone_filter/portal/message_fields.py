"""The fields of portal messages that filtering uses; the host's fields are cut off unread.

A message that is wrong only in a field that filtering does not use (relays, ICE credentials,
flow logs and their token, preshared keys) has nothing wrong with it here. Such fields go to the
host as they are, with the payload, and are never quoted: most of them are secrets.

Granted resources and filters are left whole, with fields that nothing here knows: a field that
restricts access, and that only a later version of this library reads, must not get lost on the
way.
"""

from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from firezone_filter.documents.nodes import Node
from firezone_filter.documents.parsing import JsonObject

MAX_U64: Final = 2**64 - 1
"""The largest integer of the portal's messages."""

_KEY_SIZE: Final = 32
"""The size of a public key in bytes (Curve25519, as WireGuard uses it)."""

Shape = Callable[[object], object]
"""Takes a JSON value, and returns the part of it that filtering uses."""


def used_part(message: object) -> object:
    """Return a parsed message without the fields that filtering does not use."""
    event = message.get("event") if isinstance(message, Mapping) else None
    payload = _PAYLOADS.get(event, _fields()) if isinstance(event, str) else _fields()
    return _fields(event=_whole, payload=payload)(message)


def read_text(node: Node) -> str | None:
    """Read any text, the empty one included."""
    return node.text(str.__str__)


def to_public_key(value: object) -> bytes | None:
    """Return the bytes of a public key: 32 bytes in base64.

    Anything else counts as an unknown key: the tunnel needs keys, filtering does not.
    """
    if not isinstance(value, str):
        return None
    try:
        key = b64decode(value)
    except ValueError:
        return None
    # Python skips characters that are not base64, and bits after the last byte; only the
    # canonical spelling is a key that another one can be compared with.
    return key if len(key) == _KEY_SIZE and b64encode(key).decode() == value else None


# --- The used fields of each message ------------------------------------------------------


def _whole(value: object) -> object:
    return value


def _if_text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _fields(**shapes: Shape) -> Shape:
    return partial(_cut, shapes)


def _each(shape: Shape) -> Shape:
    return lambda value: [*map(shape, value)] if isinstance(value, list | tuple) else value


def _cut(shapes: Mapping[str, Shape], value: object) -> object:
    """Return an object with only the fields that have a shape; another value as it is."""
    if not isinstance(value, Mapping):
        return value
    kept = JsonObject((name, shapes[name](value[name])) for name in value if name in shapes)
    if isinstance(value, JsonObject):
        kept.repeated = value.repeated & shapes.keys()
    return kept


_END = {"client_id": _whole, "resource_id": _whole, "expires_at": _whole}
_CREATE_AUTHORIZATION = _fields(
    ref=_whole,
    client=_fields(id=_whole, ipv4=_whole, ipv6=_whole, public_key=_if_text),
    resource=_whole,
    expires_at=_whole,
)
_PAYLOADS: Final[Mapping[str, Shape]] = {
    "init": _fields(
        interface=_fields(ipv4=_whole, ipv6=_whole), authorizations=_each(_fields(**_END))
    ),
    "create_authorization": _CREATE_AUTHORIZATION,
    "authorize_flow": _CREATE_AUTHORIZATION,
    "allow_access": _fields(
        ref=_whole,
        client_id=_whole,
        client_ipv4=_whole,
        client_ipv6=_whole,
        resource=_whole,
        expires_at=_whole,
        payload=_fields(name=_whole, proxy_ips=_whole),
    ),
    "reject_access": _fields(client_id=_whole, resource_id=_whole),
    # A resource keeps its network or pattern, and its name: the message has new filters for it.
    "resource_updated": _fields(id=_whole, type=_whole, filters=_whole),
    "access_authorization_expiry_updated": _fields(**_END),
}
