"""The part of a refused message that takes something away: it takes effect all the same.

The portal revokes by what it leaves out of an `init`, a client that comes back with another
address or key has lost its old session, and a grant may let an authorization end earlier that the
client has. None of these may be undone by a fault anywhere else in the message, or access would
go on that the portal has ended. So these parts are read once more, by themselves, as far as they
can be. Nothing here grants: what a message gives needs all of it.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from attrs import frozen

from firezone_filter.documents.parsing import JsonObject
from firezone_filter.portal.commands import AuthorizationKey
from firezone_filter.portal.message_fields import MAX_U64, to_public_key
from firezone_filter.portal.preflight import Preflight
from firezone_filter.values.addresses import Address, to_address
from firezone_filter.values.errors import FirezoneFilterError

_UNREADABLE: Final = object()
"""The value of a field that is missing, or given more than once: readers would differ in which
of its values they take."""

_SHOWN_CLIENTS: Final = 10
"""The most clients that an error names."""


@frozen
class Withdrawal:
    """What a refused message takes away."""

    revoked: tuple[AuthorizationKey, ...] = ()
    """The authorizations that end."""

    shortened: tuple[tuple[AuthorizationKey, int], ...] = ()
    """The authorizations that end earlier than before, and when."""

    restarted: tuple[str, ...] = ()
    """The clients whose old tunnel session ends; there is no new one yet."""

    def clients(self) -> tuple[str, ...]:
        """Return the clients that lose something, each once."""
        keys = (*self.revoked, *(key for key, _ in self.shortened))
        return tuple(dict.fromkeys((*(key.client_id for key in keys), *self.restarted)))

    def __str__(self) -> str:
        clients = self.clients()
        named = ", ".join(map(repr, clients[:_SHOWN_CLIENTS]))
        more = len(clients) - _SHOWN_CLIENTS
        return f"taken away all the same, from {named}" + (f" and {more:,} more" * (more > 0))


def read_withdrawal(message: object, preflight: Preflight) -> Withdrawal:
    """Return what a message takes away that has been parsed, but refused."""
    event, payload = _field(message, "event"), _field(message, "payload")
    match event:
        case "init":
            return _read_init(payload, preflight)
        case "create_authorization" | "authorize_flow":
            names = ("id", "ipv4", "ipv6", "public_key")
            return _read_grant(payload, _field(payload, "client"), names, preflight)
        case "allow_access":
            names = ("client_id", "client_ipv4", "client_ipv6", "")
            return _read_grant(payload, payload, names, preflight)
    # A `reject_access` is nothing but the authorization that it names, and a
    # `resource_updated` with stricter filters is carried out as a whole or not at all.
    return Withdrawal()


def _read_init(payload: object, preflight: Preflight) -> Withdrawal:
    # As in an `init` without faults, a missing list revokes everything. A list that cannot be
    # read says nothing about what it meant to keep.
    is_missing = isinstance(payload, Mapping) and "authorizations" not in payload
    listed = [] if is_missing else _field(payload, "authorizations")
    if not isinstance(listed, list | tuple):
        return Withdrawal()
    # Where the ids of an entry cannot be read, they name no authorization that could be kept.
    # (An authorization that is listed twice has the later end, as in `init` itself.)
    expiries = {key: _field(one, "expires_at") for one in listed for key in _keys(one)}
    held = preflight.all_held()
    return Withdrawal(
        revoked=tuple(key for key in held if key not in expiries),
        shortened=tuple(
            (key, at)
            for key, before in held.items()
            if (at := _read_earlier(expiries.get(key), before, preflight)) is not None
        ),
    )


def _read_grant(
    payload: object, client: object, names: tuple[str, ...], preflight: Preflight
) -> Withdrawal:
    client_id, ipv4, ipv6, public_key = (_field(client, name) for name in names)
    addresses = [address for text in (ipv4, ipv6) for address in _addresses(text)]
    if not isinstance(client_id, str):
        return Withdrawal()
    if preflight.has_restarted(client_id, addresses, to_public_key(public_key)):
        return Withdrawal(restarted=(client_id,))
    resource_id = _field(_field(payload, "resource"), "id")
    held = preflight.held(client_id, resource_id) if isinstance(resource_id, str) else None
    if held is None:
        return Withdrawal()
    key = AuthorizationKey(client_id, held.resource.id)
    at = _read_earlier(_field(payload, "expires_at"), held.expires_at, preflight)
    return Withdrawal() if at is None else Withdrawal(shortened=((key, at),))


def _field(value: object, name: str) -> object:
    if not isinstance(value, Mapping) or (
        isinstance(value, JsonObject) and name in value.repeated
    ):
        return _UNREADABLE
    return value.get(name, _UNREADABLE)


def _keys(listed: object) -> Iterator[AuthorizationKey]:
    client_id, resource_id = _field(listed, "client_id"), _field(listed, "resource_id")
    if isinstance(client_id, str) and isinstance(resource_id, str):
        yield AuthorizationKey(client_id, resource_id)


def _addresses(text: object) -> Iterator[Address]:
    if isinstance(text, str):
        try:
            yield to_address(text)
        except FirezoneFilterError:
            return


def _read_earlier(value: object, before: float | None, preflight: Preflight) -> int | None:
    """Return the end *value* if it is one, and earlier than the end *before*, if there is any."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_U64:
        return None
    try:
        at = preflight.check_expiry(value)
    except FirezoneFilterError:
        return None
    return at if before is None or at < before else None
