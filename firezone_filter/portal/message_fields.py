"""The parts of portal messages that are no resources; `documents.resource_json` reads those.

Unknown fields are ignored. What has nothing to do with filtering is checked, since a message
that is wrong in one place cannot be trusted in another, and dropped. Secrets are never
quoted: faults end up in logs.
"""

import re
from base64 import b64decode, b64encode, urlsafe_b64decode
from typing import Final

from firezone_filter.documents.nodes import Fields, Node
from firezone_filter.documents.parsing import read_document
from firezone_filter.values.errors import InvalidMessage

MAX_U64: Final = 2**64 - 1
"""The largest number of the portal's integers."""

_KEY_SIZE: Final = 32
"""Bytes of a public or preshared key (Curve25519, as WireGuard uses it)."""

_SEGMENTS: Final = 3
"""Of a token: header, claims, signature."""

_SEGMENT = re.compile(r"[A-Za-z0-9_-]+")


def read_text(node: Node) -> str | None:
    """Read any text, also an empty one."""
    return node.text(str.__str__)


def read_public_key(node: Node) -> bytes | None:
    """Read a public key: 32 bytes in base64."""
    return node.text(lambda text: _to_key(text, repr(text)))


def read_preshared_key(node: Node) -> bytes | None:
    """Read a preshared key: 32 bytes in base64. A secret."""
    return node.guarded().text(lambda text: _to_key(text, _redacted(text)))


def read_ice_credentials(node: Node) -> None:
    """Check `{"username": …, "password": …}`. Secrets."""
    fields = node.guarded().fields()
    if fields is not None:
        read_text(fields.require("username"))
        read_text(fields.require("password"))


def read_ingest_token(node: Node) -> str | None:
    """Read the token that flow logs are sent with. A secret.

    A JSON web token (RFC 7519): header, claims and signature. Its signature is for the
    receiver of flow logs to verify, and so are its claims.
    """
    return node.guarded().text(_to_token)


def read_config(node: Node) -> None:
    """Check `{"ipv4_masquerade_enabled": …, "ipv6_masquerade_enabled": …}`."""
    fields = node.fields()
    if fields is not None:
        fields.require("ipv4_masquerade_enabled").flag()
        fields.require("ipv6_masquerade_enabled").flag()


def read_flow_logs(node: Node) -> None:
    """Check where flow logs go, how often and how many at once."""
    fields = node.fields()
    if fields is not None:
        read_text(fields.require("api_url"))
        fields.require("upload_interval_secs").whole("a number of seconds", MAX_U64)
        fields.require("upload_batch_size").whole("a number of flow logs", MAX_U64)


def read_name_servers(interface: Fields) -> None:
    """Check what an interface may say about names; portals say nothing of it to gateways."""
    for name in ("upstream_dns", "upstream_do53", "upstream_doh"):
        read_list(interface.get(name))
    search = interface.get_unless_null("search_domain")
    if search is not None:
        read_text(search)


def read_list(node: Node | None) -> None:
    """Check that this is a list, if it is there; of what is up to the host."""
    if node is not None:
        node.each(lambda item: item)


def _to_key(text: str, shown: str) -> bytes:
    try:
        key = b64decode(text)
    except ValueError:
        key = b""
    # Python skips what is no base64, and bits behind the last byte: a key has one spelling.
    if len(key) != _KEY_SIZE or b64encode(key).decode() != text:
        raise InvalidMessage(f"{shown} is not base64 of {_KEY_SIZE} bytes", text)
    return key


def _to_token(text: str) -> str:
    if not _is_signed(text.split(".")):
        raise InvalidMessage(f"{_redacted(text)} is not a token signed with HS256", text)
    return text


def _is_signed(segments: list[str]) -> bool:
    """Tell whether these are header, claims and signature, the header naming HS256."""
    if len(segments) != _SEGMENTS or not all(map(_SEGMENT.fullmatch, segments)):
        return False
    try:
        # Tokens go without padding; Python wants some, and does not mind too much of it.
        header, claims, _ = (urlsafe_b64decode(segment + "==") for segment in segments)
        read_document(header, _read_header)
        read_document(claims, Node.fields)
    except ValueError:  # a library error is one, and so is binascii's
        return False
    return True


def _read_header(node: Node) -> bool | None:
    fields = node.fields()
    return None if fields is None else fields.require("alg").one_of({"HS256": True})


def _redacted(secret: str) -> str:
    return f"a text of {len(secret)} characters"
