"""`PortalSession`: carries out the portal's messages on a gateway."""

from collections.abc import Mapping
from typing import Final, assert_never

from firezone_filter.gateway.gateway import Gateway
from firezone_filter.portal.commands import (
    ExpiryUpdate,
    FilterUpdate,
    Grant,
    Init,
    PortalClient,
    Rejection,
)
from firezone_filter.portal.messages import Message, parse_message, read_message
from firezone_filter.portal.preflight import Preflight
from firezone_filter.portal.reply import PortalEvent, PortalReply
from firezone_filter.portal.withdrawals import Withdrawal, read_withdrawal
from firezone_filter.values.arguments import check_type
from firezone_filter.values.errors import InvalidMessage

_REPLY_EVENTS: Final = {
    "create_authorization": "authorization_created",
    "authorize_flow": "flow_authorized",
    "allow_access": "connection_ready",
}

MAX_DISCONNECTED_KEYS: Final = 1_024
"""The number of public keys that are kept of clients that are no longer connected, for the case
that the host itself connects one again. A key costs some 200 bytes. Only the portal can add
clients, so that no client can fill this."""


class PortalSession:
    """Carries out the messages of Firezone's portal on a gateway, one by one.

    It opens no connection: the host owns the channel, hands in the messages that arrive and
    sends the replies. The host may call hooks besides, and still fetches the gateway's events;
    at `AccessExhausted`, Firezone's own gateway closes the client's connection. Keep one
    session for a gateway, however often the channel is reopened: the portal always begins with
    an `init`, which also brings the addresses for a new `Gateway` (portal.md).

    - `init` revokes every authorization that is not listed (all of them if the list is
      missing), calls `set_addresses`, and sets the expiry of the listed ones. It is handed
      back for its relays.
    - `create_authorization`, or `authorize_flow`, its older name, authorizes the client. First
      the client is connected if it is not connected yet, or if its addresses or public key
      have changed: then it has restarted, and everything of its old tunnel session is dropped.
      A resource that the client has already gets the new filters and expiry, but keeps its
      network or pattern, its name and what it excludes. It is handed back for its ICE
      credentials and keys.
    - `allow_access`, of older portals, does the same without keys. If it brings proxy
      addresses it is handed back: resolve the name and call `domain_resolved`. The reply is
      `connection_ready` with only the reference.
    - `reject_access` calls `revoke`.
    - `resource_updated` gives every client that has the resource the new filters, and changes
      nothing else: its `address` and `name` are not read.
    - `access_authorization_expiry_updated` calls `update_expiry`. It is obsolete: Firezone's
      portal sends `create_authorization` again instead.
    - Any other event is handed back.

    Fields that filtering does not use never matter, whatever they hold; the extensions of policy
    files (`exclude`, the types of ICMP) are such fields. A filter of an unknown protocol is a
    fault. A public key of an odd form counts as unknown. Clients and resources that the gateway
    does not have are ignored, except in grants. A resource never changes its type while a client
    has it. An `expires_at` in the past takes effect at once.

    **A refused message grants nothing, but may have revoked.** What it takes away goes first,
    whatever else is wrong with it: an `init` whose list can be read revokes what it does not
    list, and lets authorizations end earlier; a client that comes with another address or key
    loses its old session, and is then not connected; a grant lets an authorization that the
    client has end earlier, if it says so. `InvalidMessage.revoked_from` names the clients.
    (Stricter filters are no such part: a `resource_updated` has its whole effect or none.) A
    message that cannot be read at all has revoked nothing; a host that wants to fail closed
    then disconnects its clients.

    >>> session = PortalSession(gateway)
    >>> for reply in session.receive(message, now=time.time()):
    ...     if isinstance(reply, PortalReply):
    ...         channel.send(reply.to_json())
    """

    def __init__(self, gateway: Gateway) -> None:
        """Carry out messages on *gateway*.

        Raises:
            TypeError: *gateway* is not a `Gateway`.
        """
        check_type("gateway", gateway, Gateway)
        self._gateway = gateway
        self._public_keys: dict[str, bytes] = {}
        # A message calls several hooks or none. The hooks' own checks are made before the first
        # is called, since a later one that raised would leave a grant half carried out.
        self._context, self._clients = gateway._context, gateway._clients  # noqa: SLF001 - see above
        self._time_at = gateway._time_at  # noqa: SLF001 - see above

    def receive(
        self, message: bytes | str | Mapping[str, object], now: float
    ) -> list[PortalReply | PortalEvent]:
        """Carry out a message; if it is refused, only the part of it that takes away.

        Args:
            message: `{"event": …, "payload": {…}}`, as JSON text (`bytes`: UTF-8) or parsed.
            now: Unix time in seconds, the clock of `expires_at`. Everything that has expired by
                then is removed first.

        Returns:
            The things that are left to do, in this order. Each `PortalReply` is to be sent,
            each `PortalEvent` is the host's to handle. Often there are none.

        Raises:
            InvalidMessage: something is wrong with the message. It has granted nothing; if its
                `revoked_from` is empty nothing has changed, not even the time. `faults` lists
                the first hundred things that are wrong, with place and value:
                `payload.client.ipv4: 10.0.0.1 is outside the plan's tunnel ranges`. If a hook
                of the gateway would have refused the message, its error is the `__cause__`:
                `AddressInUse` names the client to disconnect.
            InvalidTime: *now* is not finite, or 2**33 or more; or it is more than 50 years
                after or before the latest.
            TypeError: an argument is of the wrong type.
        """
        check_type("message", message, str, bytes, Mapping)
        at = self._time_at(now)
        preflight = Preflight(self._context, self._clients, self._public_keys, at)
        parsed = parse_message(message)
        try:
            read = read_message(parsed, preflight)
        except InvalidMessage as error:
            withdrawal = read_withdrawal(parsed, preflight)
            clients = withdrawal.clients()
            if not clients:
                raise
            self._gateway.handle_timeout(now)
            self._withdraw(withdrawal)
            told = f"{error}\n{withdrawal}"
            raise InvalidMessage(told, error.value, error.faults, clients) from error.__cause__
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
        self._gateway.retain_authorizations(kept)
        self._gateway.set_addresses(init.addresses)
        for key, expires_at in init.expiries.items():
            self._gateway.update_expiry(key.client_id, key.resource_id, expires_at)

    def _withdraw(self, withdrawal: Withdrawal) -> None:
        for key in withdrawal.revoked:
            self._gateway.revoke(key.client_id, key.resource_id)
        for key, expires_at in withdrawal.shortened:
            self._gateway.update_expiry(key.client_id, key.resource_id, expires_at)
        for client_id in withdrawal.restarted:
            self._gateway.client_disconnected(client_id)
            self._public_keys.pop(client_id, None)

    def _grant(self, grant: Grant) -> None:
        client = grant.client
        if not grant.keeps_session:
            self._gateway.client_connected(client.id, client.addresses)
            self._public_keys.pop(client.id, None)
        self._gateway.authorize(client.id, grant.resource, expires_at=grant.expires_at)
        self._remember_key(client)

    def _remember_key(self, client: PortalClient) -> None:
        if client.public_key is not None:
            self._public_keys[client.id] = client.public_key
        # Rare enough for its cost not to matter: 1,024 new clients lie between two sweeps.
        if len(self._public_keys) > len(self._clients.by_id) + MAX_DISCONNECTED_KEYS:
            self._public_keys = {
                client_id: key
                for client_id, key in self._public_keys.items()
                if client_id in self._clients.by_id
            }


def _replies(message: Message) -> list[PortalReply | PortalEvent]:
    handed_back = [PortalEvent(message.event, message.payload)]
    match message.command:
        case None | Init():
            return [*handed_back]
        case Grant() as grant:
            reply = PortalReply(_REPLY_EVENTS[message.event], {"ref": grant.ref})
            # The host sets up the connection, or resolves the name, before it replies: then
            # the client begins to send.
            return [*handed_back, reply] if grant.is_handed_back else [reply]
        case _:
            return []
