"""Reading portal messages: from the envelope to a command, or to all their faults.

A message is read as a whole and checked against the gateway before it grants anything. Fields
that filtering does not use are not looked at. An id may be any text that is not empty, though
the portal's are UUIDs.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, cast

from attrs import evolve, frozen

from firezone_filter.documents.nodes import Fields, Node, build_if_complete
from firezone_filter.documents.parsing import parse, read_parsed
from firezone_filter.documents.resource_json import (
    read_resource,
    read_resource_update,
    write_resource,
)
from firezone_filter.portal.commands import (
    AuthorizationKey,
    Command,
    ExpiryUpdate,
    FilterUpdate,
    Grant,
    Init,
    PortalClient,
    Rejection,
)
from firezone_filter.portal.message_fields import (
    MAX_U64,
    read_text,
    to_public_key,
    used_part,
)
from firezone_filter.portal.preflight import Preflight
from firezone_filter.values.addresses import Address, TunnelAddresses, to_address
from firezone_filter.values.arguments import check_stands_for
from firezone_filter.values.domains import to_domain
from firezone_filter.values.errors import InvalidMessage, InvalidPolicy
from firezone_filter.values.filters import Filter
from firezone_filter.values.resources import (
    CidrResource,
    DnsResource,
    InternetResource,
    Resource,
    to_id,
)


@frozen
class Message:
    """A message without faults."""

    event: str

    payload: Mapping[str, object]
    """The payload as it was handed in."""

    command: Command | None
    """The command that it is; `None` if it has nothing to do with filtering."""


def parse_message(source: bytes | str | Mapping[str, object]) -> object:
    """Parse the JSON text of a message; a mapping is returned as it is.

    Raises:
        InvalidMessage: it is not JSON in UTF-8.
    """
    try:
        return parse(source)
    except InvalidPolicy as error:
        raise InvalidMessage(str(error), error.value, error.faults) from None


def read_message(parsed: object, preflight: Preflight) -> Message:
    """Read a parsed message, and check that every hook will accept its part of it.

    Raises:
        InvalidMessage: something is wrong with it; it lists the faults.
    """
    # An object, or the reader below has reported that it is none.
    payload = parsed.get("payload") if isinstance(parsed, Mapping) else None
    read = partial(
        _read_message, payload=cast("Mapping[str, object]", payload), preflight=preflight
    )
    try:
        return read_parsed(used_part(parsed), read)
    except InvalidPolicy as error:
        raise InvalidMessage(str(error), error.value, error.faults) from error.__cause__


def _read_message(
    node: Node, payload: Mapping[str, object], preflight: Preflight
) -> Message | None:
    fields = node.fields()
    if fields is None:
        return None
    event = read_text(fields.require("event"))
    used = fields.require("payload").fields()
    if event is None or used is None:
        return None
    read = _READERS.get(event)
    if read is None:
        return Message(event, payload, None)
    command = read(used, preflight)
    return None if command is None else Message(event, payload, command)


# --- init ---------------------------------------------------------------------------------


def _read_init(payload: Fields, preflight: Preflight) -> Init | None:
    addresses = _read_interface(payload.require("interface"), preflight)
    listed = payload.get("authorizations")
    # A missing list counts as an empty one: the portal revokes everything like that.
    updates = () if listed is None else listed.each(lambda one: _read_listed(one, preflight))
    if updates is None:
        return None
    # If an authorization is listed twice, its last expiry counts.
    expiries = {one.key: one.expires_at for one in updates}
    return build_if_complete(Init, addresses=addresses, expiries=expiries)


def _read_interface(node: Node, preflight: Preflight) -> TunnelAddresses | None:
    fields = node.fields()
    if fields is None:
        return None
    return build_if_complete(
        TunnelAddresses,
        ipv4=_read_address(fields.require("ipv4"), "ipv4", preflight.check_own),
        ipv6=_read_address(fields.require("ipv6"), "ipv6", preflight.check_own),
    )


def _read_listed(node: Node, preflight: Preflight) -> ExpiryUpdate | None:
    fields = node.fields()
    return None if fields is None else _read_expiry_update(fields, preflight)


# --- create_authorization, authorize_flow, allow_access -----------------------------------


def _read_create_authorization(payload: Fields, preflight: Preflight) -> Grant | None:
    # Missing and `null` both mean "never" to the portal.
    expiry = payload.get_unless_null("expires_at")
    client = _read_client(payload.require("client"), preflight)
    grant = _read_grant(payload, client, expiry, preflight)
    return None if grant is None else evolve(grant, is_handed_back=True)


def _read_allow_access(payload: Fields, preflight: Preflight) -> Grant | None:
    """Read the message of older portals: no keys, and possibly proxy addresses for a name.

    Here a missing expiry is a fault, and only `null` means "never": nothing documents that
    these portals ever left it out to say so.
    """
    client_id = _read_id(payload.require("client_id"))
    nodes = {family: payload.require(f"client_{family}") for family in ("ipv4", "ipv6")}
    client = _build_client(client_id, nodes, preflight)
    expiry = payload.require("expires_at")
    grant = _read_grant(payload, client, None if expiry.value is None else expiry, preflight)
    named = payload.get_unless_null("payload")
    if named is None:
        return grant
    _read_named(named, None if grant is None else grant.resource, preflight)
    return None if grant is None else evolve(grant, is_handed_back=True)


def _read_grant(
    payload: Fields, client: PortalClient | None, expiry: Node | None, preflight: Preflight
) -> Grant | None:
    keeps_session = None if client is None else preflight.keeps_session(client)
    parts: dict[str, object] = {
        "ref": read_text(payload.require("ref")),
        "client": client,
        "keeps_session": keeps_session,
        "resource": _read_granted(
            payload.require("resource"), client if keeps_session else None, preflight
        ),
    }
    if expiry is not None:
        parts["expires_at"] = _read_expiry(expiry, preflight)
    return build_if_complete(Grant, **parts)


def _read_client(node: Node, preflight: Preflight) -> PortalClient | None:
    fields = node.fields()
    if fields is None:
        return None
    client_id = _read_id(fields.require("id"))
    key = fields.get("public_key")
    nodes = {family: fields.require(family) for family in ("ipv4", "ipv6")}
    client = _build_client(client_id, nodes, preflight)
    if client is None or key is None:
        return client
    return evolve(client, public_key=to_public_key(key.value))


def _build_client(
    client_id: str | None, nodes: Mapping[str, Node], preflight: Preflight
) -> PortalClient | None:
    def check(addresses: TunnelAddresses) -> TunnelAddresses:
        # Without an id, the holder of an address cannot be told from this client.
        return addresses if client_id is None else preflight.check_clients(addresses, client_id)

    found = {family: _read_address(node, family, check) for family, node in nodes.items()}
    return build_if_complete(
        PortalClient, id=client_id, addresses=build_if_complete(TunnelAddresses, **found)
    )


def _read_granted(
    node: Node, client: PortalClient | None, preflight: Preflight
) -> Resource | None:
    """Read a granted resource; one that the client has already keeps its network or pattern.

    *client* is `None` if it is faulty or begins a new tunnel session: it has no resources then.
    """
    sent = read_resource(node, among=None, from_portal=True)
    if sent is None or client is None:
        return sent
    held = preflight.held(client.id, sent.id)
    if held is None:
        return sent
    filters = () if isinstance(sent, InternetResource) else sent.filters
    return _refiltered(node, held.resource, write_resource(sent)["type"], filters)


def _refiltered(
    node: Node, held: Resource, kind: object, filters: tuple[Filter, ...]
) -> Resource | None:
    """Return the resource *held* by a client with the *filters* of the one sent at *node*.

    Nothing else changes: "db" must not become another network or name while a client may reach
    it, and the *kind* that was sent has to be its own.
    """
    held_kind = write_resource(held)["type"]
    if kind != held_kind:
        stated = cast("Fields", node.fields()).require("type")
        stated.refuse(f"is not {held_kind!r}, as which a client has {held.id!r}")
        return None
    if isinstance(held, CidrResource | DnsResource):
        return evolve(held, filters=filters)
    return held


def _read_named(node: Node, resource: Resource | None, preflight: Preflight) -> None:
    """Check `{"name": …, "proxy_ips": […]}`, the later arguments of `Gateway.domain_resolved`.

    Without a *resource*, because something else is faulty, any domain name will do.
    """
    fields = node.fields()
    if fields is None:
        return
    name = fields.require("name")
    domain = name.text(to_domain)
    if domain is not None and resource is not None:
        name.attempt(partial(check_stands_for, resource), domain)
    listed = fields.require("proxy_ips")
    proxies = listed.each(lambda one: one.text(to_address))
    if proxies is not None:
        listed.attempt(preflight.check_proxies, cast("tuple[Address, ...]", proxies))


# --- reject_access, resource_updated, access_authorization_expiry_updated -----------------


def _read_reject_access(payload: Fields, _: Preflight) -> Rejection | None:
    return build_if_complete(Rejection, key=_read_authorization_key(payload))


def _read_expiry_update(fields: Fields, preflight: Preflight) -> ExpiryUpdate | None:
    return build_if_complete(
        ExpiryUpdate,
        key=_read_authorization_key(fields),
        expires_at=_read_expiry(fields.require("expires_at"), preflight),
    )


def _read_resource_updated(payload: Fields, preflight: Preflight) -> FilterUpdate | None:
    sent = read_resource_update(payload)
    if sent is None:
        return None
    grants = []
    for held in preflight.holders(sent.id):
        resource = _refiltered(payload.node, held.resource, sent.kind, sent.filters)
        if resource is None:
            return None
        # The Internet has no filters to update.
        if resource is not held.resource:
            grants.append((held.client_id, resource, held.expires_at))
    return FilterUpdate(tuple(grants))


_READERS: Final[Mapping[str, Callable[[Fields, Preflight], Command | None]]] = {
    "init": _read_init,
    "create_authorization": _read_create_authorization,
    "authorize_flow": _read_create_authorization,
    "allow_access": _read_allow_access,
    "reject_access": _read_reject_access,
    "resource_updated": _read_resource_updated,
    "access_authorization_expiry_updated": _read_expiry_update,
}


# --- Parts that are checked against the gateway -------------------------------------------


def _read_id(node: Node) -> str | None:
    return node.text(to_id)


def _read_authorization_key(fields: Fields) -> AuthorizationKey | None:
    return build_if_complete(
        AuthorizationKey,
        client_id=_read_id(fields.require("client_id")),
        resource_id=_read_id(fields.require("resource_id")),
    )


def _read_address(
    node: Node, family: str, check: Callable[[TunnelAddresses], TunnelAddresses]
) -> Address | None:
    """Read the address of one *family* by itself, so that its fault has its own place."""
    found = node.text(lambda text: check(TunnelAddresses(**{family: text})))
    return None if found is None else found.present()[0]


def _read_expiry(node: Node, preflight: Preflight) -> int | None:
    seconds = node.whole("a time in whole seconds", MAX_U64, with_fraction=False)
    return None if seconds is None else node.attempt(preflight.check_expiry, seconds)
