"""From what a user writes to the packet that a gateway is asked to explain.

Each question has a gateway of its own, in which the client has just connected and has what the
policy gives it at that moment.
"""

from collections.abc import Iterable
from ipaddress import ip_address
from typing import cast

from attrs import evolve, frozen

from firezone_filter.cli.exit import UnusableError
from firezone_filter.gateway.gateway import Gateway
from firezone_filter.gateway.inside import inside
from firezone_filter.packet.building import NEAR_PORT, build_answer, build_packet
from firezone_filter.packet.headers import Headers, read_headers
from firezone_filter.packet.icmp import ECHO_ID_AT, ECHO_REQUEST
from firezone_filter.packet.numbers import IPV4, TCP, UDP
from firezone_filter.policy import Policy, PolicyClient
from firezone_filter.policy.analysis.reach import find_client
from firezone_filter.policy.building import build_gateway, living
from firezone_filter.policy.targets import Target, parse_target
from firezone_filter.values.addresses import Address
from firezone_filter.values.decisions import Direction, Translate
from firezone_filter.values.errors import FirezoneFilterError
from firezone_filter.values.explanations import Explanation


def read_target(words: Iterable[str]) -> Target:
    """Return the target that the words of a command line say.

    Raises:
        UnusableError: it is none.
    """
    try:
        return parse_target(" ".join(words))
    except FirezoneFilterError as error:
        raise UnusableError(str(error)) from None


def ask_about_packet(
    policy: Policy, direction: Direction, packet: bytes, client_id: str | None, at: float | None
) -> Explanation:
    """Explain what happens to *packet*, from or to a client, with nothing before it.

    Raises:
        UnknownClient: the policy has no client of that id.
        FirezoneFilterError: the policy can begin at no time.
    """
    gateway = _gateway(policy, at)
    if client_id is not None:
        find_client(policy, client_id)
    return gateway.explain(direction, packet, client_id=client_id)


def ask_about_target(  # noqa: PLR0913 - as many as the command line says
    policy: Policy,
    direction: Direction,
    target: Target,
    client_id: str,
    *,
    near_port: int | None,
    at: float | None,
) -> Explanation:
    """Explain what happens to the packet with which a client begins to use a target.

    Inbound it is the answer to that packet, which is sent before if it is permitted. If a name
    cannot be asked, there is no answer: then it is that packet that is explained.

    Args:
        policy: the policy.
        direction: which of the two packets it is.
        target: what the client uses, of one address and one port; of a name the first proxy
            address with a translation is taken, else the first that it ever has.
        client_id: the client.
        near_port: the client's own port; `None` for one of the dynamic ports.
        at: the moment; `None` if nothing has expired.

    Raises:
        UnknownClient: the policy has no client of that id.
        UnusableError: the target names no packet of the client.
        FirezoneFilterError: the policy can begin at no time.
    """
    gateway = _gateway(policy, at)
    client = find_client(policy, client_id)
    exchange = _exchange(gateway, target, client, near_port)
    request = exchange.request()
    if direction is Direction.OUTBOUND:
        return gateway.explain(direction, request, client_id=client_id)
    first = gateway.explain(Direction.OUTBOUND, request, client_id=client_id)
    if not first.decision.allowed and target.name is not None:
        return first
    gateway.handle_packet(Direction.OUTBOUND, request, client_id=client_id)
    if isinstance(first.decision, Translate):
        exchange = _translated(exchange, first.decision.packet)
    return gateway.explain(direction, exchange.answer(), client_id=client_id)


def _gateway(policy: Policy, at: float | None) -> Gateway:
    clients = living(policy.clients, at)
    return build_gateway(policy.addresses, policy.address_plan, policy.options, clients, None)


@frozen
class _Exchange:
    """What a client sends, and what is sent back."""

    near: Address
    far: Address
    protocol: int
    number: int
    """The far port of TCP and UDP, or the ICMP type that the client sends; else 0."""

    near_port: int
    """The client's port, or the id of its echo request."""

    def request(self) -> bytes:
        near, far = self.near.packed, self.far.packed
        return build_packet(near, far, self.protocol, self.number, self.near_port)

    def answer(self) -> bytes:
        near, far = self.near.packed, self.far.packed
        return build_answer(far, near, self.protocol, self.number, self.near_port)


def _exchange(
    gateway: Gateway, target: Target, client: PolicyClient, near_port: int | None
) -> _Exchange:
    far = _far(gateway, target, client)
    near = client.addresses.ipv4 if far.version == IPV4 else client.addresses.ipv6
    if near is None:
        raise UnusableError(f"{client.id!r} has no IPv{far.version} address to reach {far} from")
    protocol = target.protocol_in(far.version)
    if protocol not in (TCP, UDP) and near_port is not None:
        raise UnusableError("--from-port is for TCP and UDP")
    port = NEAR_PORT if near_port is None else near_port
    return _Exchange(near, far, protocol, _number(target, protocol), port)


def _far(gateway: Gateway, target: Target, client: PolicyClient) -> Address:
    if target.address is not None:
        return target.address
    if target.name is None:
        raise UnusableError(f"{target}: one address is explained, and no network")
    found = [
        ip_address(address)
        for address, proxy in inside(gateway).clients[client.id].access.proxies.items()
        if proxy.domain == target.name and proxy.target is not None
    ]
    # Of one that leads nowhere, or no more by then, the explanation says so.
    found += [
        address
        for one in client.authorizations
        for domain in one.domains or ()
        if domain.name == target.name
        for address in domain.proxy_addresses
    ]
    for far in found:
        if target.is_of(far.version):
            return far
    raise UnusableError(f"{client.id!r} has no proxy address for {target.name}")


def _number(target: Target, protocol: int) -> int:
    """Return the far port, or the ICMP type: an echo request where none is named."""
    if protocol in (TCP, UDP):
        ports = target.ports
        if ports is None or ports.first != ports.last:
            raise UnusableError(
                f"{target}: one port is explained, as in '{target.word} 10.0.0.5:443'"
            )
        return ports.first
    return ECHO_REQUEST.get(protocol, 0) if target.icmp_type is None else target.icmp_type


def _translated(exchange: _Exchange, packet: bytes) -> _Exchange:
    """Return the exchange as it is seen behind the gateway, where *packet* is its request."""
    headers = cast("Headers", read_headers(packet))  # what the gateway sends is well formed
    near_port = headers.source_port
    if exchange.protocol not in (TCP, UDP):
        id_at = headers.transport + ECHO_ID_AT
        near_port = int.from_bytes(packet[id_at : id_at + 2])
    return evolve(exchange, far=ip_address(headers.destination), near_port=near_port)
