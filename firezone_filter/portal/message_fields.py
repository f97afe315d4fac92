"""Fields of portal messages, except resources, which `documents.resource_json` reads.

Unknown fields are ignored. Fields that have nothing to do with filtering are checked all the
same, since a message that is wrong in one place cannot be trusted in another; their values are
not kept. Secrets are never quoted: faults end up in logs.
"""

import re
from base64 import b64decode, b64encode, urlsafe_b64decode
from typing import Final

from firezone_filter.documents.nodes import Fields, Node
from firezone_filter.documents.parsing import read_document
from firezone_filter.values.errors import InvalidMessage

MAX_U64: Final = 2**64 - 1
"""The largest integer of the portal's messages."""

_KEY_SIZE: Final = 32
"""The size of a public or preshared key in bytes (Curve25519, as WireGuard uses it)."""

_SEGMENTS: Final = 3
"""The parts of a token: header, claims, signature."""

_SEGMENT = re.compile(r"[A-Za-z0-9_-]+")


def read_text(node: Node) -> str | None:
    """Read any text, the empty one included."""
    return node.text(str.__str__)


def read_public_key(node: Node) -> bytes | None:
    """Read a public key: 32 bytes in base64."""
    return node.text(lambda text: _to_key(text, repr(text)))


def read_preshared_key(node: Node) -> bytes | None:
    """Read a preshared key, which is a secret: 32 bytes in base64."""
    return node.guarded().text(lambda text: _to_key(text, _redacted(text)))


def read_ice_credentials(node: Node) -> None:
    """Check `{"username": …, "password": …}`, both secrets."""
    fields = node.guarded().fields()
    if fields is not None:
        read_text(fields.require("username"))
        read_text(fields.require("password"))


def read_ingest_token(node: Node) -> str | None:
    """Read the token for sending flow logs, which is a secret.

    It is a JSON web token (RFC 7519) of header, claims and signature. The receiver of the flow
    logs verifies signature and claims; here only the form is checked.
    """
    return node.guarded().text(_to_token)


def read_config(node: Node) -> None:
    """Check `{"ipv4_masquerade_enabled": …, "ipv6_masquerade_enabled": …}`."""
    fields = node.fields()
    if fields is not None:
        fields.require("ipv4_masquerade_enabled").flag()
        fields.require("ipv6_masquerade_enabled").flag()


def read_flow_logs(node: Node) -> None:
    """Check the settings for sending flow logs: the URL, the interval and the batch size."""
    fields = node.fields()
    if fields is not None:
        read_text(fields.require("api_url"))
        fields.require("upload_interval_secs").whole("a number of seconds", MAX_U64)
        fields.require("upload_batch_size").whole("a number of flow logs", MAX_U64)


def read_name_servers(interface: Fields) -> None:
    """Check the optional name servers of an interface; portals send gateways none of them."""
    for name in ("upstream_dns", "upstream_do53", "upstream_doh"):
        read_list(interface.get(name))
    search = interface.get_unless_null("search_domain")
    if search is not None:
        read_text(search)


def read_list(node: Node | None) -> None:
    """Check that the node, if there is one, is a list; its items are left to the host."""
    if node is not None:
        node.each(lambda item: item)


def _to_key(text: str, description: str) -> bytes:
    try:
        key = b64decode(text)
    except ValueError:
        key = b""
    # Python skips characters that are not base64, and bits after the last byte: require the
    # one canonical spelling of a key.
    if len(key) != _KEY_SIZE or b64encode(key).decode() != text:
        raise InvalidMessage(f"{description} is not base64 of {_KEY_SIZE} bytes", text)
    return key


def _to_token(text: str) -> str:
    if not _is_signed(text.split(".")):
        raise InvalidMessage(f"{_redacted(text)} is not a token signed with HS256", text)
    return text


def _is_signed(segments: list[str]) -> bool:
    """Tell whether these are header, claims and signature, with HS256 in the header."""
    if len(segments) != _SEGMENTS or not all(map(_SEGMENT.fullmatch, segments)):
        return False
    try:
        # Tokens have no padding; Python requires it, and ignores more than it needs.
        header, claims, _ = (urlsafe_b64decode(segment + "==") for segment in segments)
        read_document(header, _read_header)
        read_document(claims, Node.fields)
    except ValueError:  # of the library, or of binascii
        return False
    return True


def _read_header(node: Node) -> bool | None:
    fields = node.fields()
    return None if fields is None else fields.require("alg").one_of({"HS256": True})


def _redacted(secret: str) -> str:
    return f"a text of {len(secret)} characters"
