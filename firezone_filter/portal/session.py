"""`PortalSession`: does to a gateway what the portal's messages say."""

from collections.abc import Mapping
from typing import Final, assert_never

from firezone_filter.gateway.gateway import Gateway
from firezone_filter.portal.commands import ExpiryUpdate, FilterUpdate, Grant, Init, Rejection
from firezone_filter.portal.messages import Message, read_message
from firezone_filter.portal.preflight import PortalClient, Preflight
from firezone_filter.portal.reply import PortalEvent, PortalReply
from firezone_filter.values.arguments import check_type
from firezone_filter.values.times import to_time

_REPLY_EVENTS: Final = {
    "create_authorization": "authorization_created",
    "authorize_flow": "flow_authorized",
    "allow_access": "connection_ready",
}

MAX_DISCONNECTED_KEYS: Final = 1_024
"""Public keys that are kept of clients that have gone, in case that the host itself connects
one again. They cost some 200 bytes each, and only the portal names clients."""


class PortalSession:
    """Does to a gateway what Firezone's portal says, message by message.

    It opens no connection: the host has the channel, hands in what arrives and sends what
    comes back. Hooks may be called besides, and the host still fetches the gateway's events;
    at `AccessExhausted` Firezone's own gateway closes the client's connection. One session
    for a gateway, however often the channel is opened anew: the portal begins with an `init`.

    - `init`: `set_addresses`; every authorization that is not listed is revoked, all of them
      where the list is missing; those listed get their expiry. Handed back for its relays.
    - `create_authorization`, by its older name `authorize_flow`: the client is connected if
      it is not, or if its addresses or its public key are not those that it had. Then it has
      restarted, and everything of its old tunnel session is forgotten. Then it is authorized.
      A resource that it has already keeps its network or pattern, and its name; filters and
      expiry are new.
    - `allow_access`, from older portals: the same, without keys. Handed back if it has proxy
      addresses: resolve the name and call `domain_resolved`. The reply is `connection_ready`
      with the reference alone.
    - `reject_access`: `revoke`.
    - `resource_updated`: whoever has the resource gets its filters, and keeps all else.
    - `access_authorization_expiry_updated`: `update_expiry`.
    - Any other event: handed back.

    Unknown fields are ignored. So are, but for what is granted, clients and resources that
    the gateway does not have. A resource never changes its type while a client has it. An
    `expires_at` that has passed takes effect at once.

    A message that is refused has taken nothing away either: where an `init` or a rejection
    cannot be read, a host that fails closed disconnects its clients.

    >>> session = PortalSession(gateway)
    >>> for reply in session.receive(message, now=time.time()):
    ...     if isinstance(reply, PortalReply):
    ...         channel.send(reply.to_json())
    """

    def __init__(self, gateway: Gateway) -> None:
        """Begin to act on *gateway*.

        Raises:
            TypeError: not a `Gateway`.
        """
        check_type("gateway", gateway, Gateway)
        self._gateway = gateway
        self._public_keys: dict[str, bytes] = {}
        # A message is several hooks or none: what one of them would refuse has to be found
        # before the first is called, by the checks that they make themselves.
        self._site, self._roster = gateway._site, gateway._roster  # noqa: SLF001 - see above
        self._time_at = gateway._time_at  # noqa: SLF001 - see above

    def receive(
        self, message: bytes | str | Mapping[str, object], now: float
    ) -> list[PortalReply | PortalEvent]:
        """Do what a message says, all of it or nothing.

        Args:
            message: `{"event": …, "payload": {…}}`, as JSON text (`bytes`: UTF-8) or parsed.
            now: Unix time, in seconds, as `expires_at` is. What is due by then expires first.

        Returns:
            What is left to do, in this order: `PortalReply` is to be sent, `PortalEvent` is
            for the host. Often nothing.

        Raises:
            InvalidMessage: anything wrong with the message; then nothing has changed, time
                included. Its `faults` are all there are, each with its place and value:
                `payload.client.ipv4: 10.0.0.1 is outside the plan's tunnel ranges`. If the
                gateway itself would refuse it, its error is the `__cause__`: `AddressInUse`
                tells which client to disconnect.
            InvalidTime: *now* is not finite.
            TypeError: a wrong type of an argument.
        """
        check_type("message", message, str, bytes, Mapping)
        at = self._time_at(to_time(now))
        read = read_message(message, Preflight(self._site, self._roster, self._public_keys, at))
        self._gateway.handle_timeout(now)
        self._carry_out(read)
        return _replies(read)

    def _carry_out(self, message: Message) -> None:
        command, gateway = message.command, self._gateway
        match command:
            case Init():
                self._begin(command)
            case Grant():
                self._grant(command)
            case FilterUpdate():
                for client_id, resource, expires_at in command.grants:
                    gateway.authorize(client_id, resource, expires_at=expires_at)
            case Rejection():
                gateway.revoke(command.key.client_id, command.key.resource_id)
            case ExpiryUpdate():
                gateway.update_expiry(
                    command.key.client_id, command.key.resource_id, command.expires_at
                )
            case None:
                pass
            case _:
                assert_never(command)

    def _begin(self, init: Init) -> None:
        kept: dict[str, set[str]] = {}
        for key in init.expiries:
            kept.setdefault(key.client_id, set()).add(key.resource_id)
        self._gateway.set_addresses(init.addresses)
        self._gateway.retain_authorizations(kept)
        for key, expires_at in init.expiries.items():
            self._gateway.update_expiry(key.client_id, key.resource_id, expires_at)

    def _grant(self, grant: Grant) -> None:
        client = grant.client
        if not grant.keeps_session:
            self._gateway.client_connected(client.id, client.addresses)
            self._public_keys.pop(client.id, None)
        self._gateway.authorize(client.id, grant.resource, expires_at=grant.expires_at)
        self._remember(client)

    def _remember(self, client: PortalClient) -> None:
        if client.public_key is not None:
            self._public_keys[client.id] = client.public_key
        # Seldom, so that it costs nothing to speak of.
        if len(self._public_keys) > len(self._roster.clients) + MAX_DISCONNECTED_KEYS:
            self._public_keys = {
                client_id: key
                for client_id, key in self._public_keys.items()
                if client_id in self._roster.clients
            }


def _replies(message: Message) -> list[PortalReply | PortalEvent]:
    handed_back = [PortalEvent(message.event, message.payload)]
    match message.command:
        case None | Init():
            return [*handed_back]
        case Grant() as grant:
            reply = PortalReply(_REPLY_EVENTS[message.event], {"ref": grant.ref})
            # The name first: once the portal knows, the client sends.
            return [*handed_back, reply] if grant.is_named else [reply]
        case _:
            return []
