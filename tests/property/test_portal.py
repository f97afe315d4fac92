"""Whatever the portal sends is an error that grants nothing, or has its whole effect."""

import copy
import json
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from firezone_filter import (
    AccessExhausted,
    AuthorizationExpired,
    Direction,
    Gateway,
    GatewayOptions,
    InvalidMessage,
    PortalSession,
    TunnelAddresses,
    load_policy,
)
from firezone_filter.testing import icmp_echo, tcp, udp
from tests.portal import ACTED_ON, NOW, Json, refusal_of
from tests.property.portal_messages import (
    CLIENTS,
    EVERYTHING,
    GRANT_TOO_FAR,
    INIT,
    IPV4,
    IPV6,
    broken,
    doubled,
    mangled,
    messages,
    resources,
    steps,
)
from tests.property.portal_model import Model
from tests.scenes import at

FAR = {
    4: ["10.0.0.5", "10.1.0.5", "1.1.1.1", "100.64.0.1", "100.64.0.9", "100.96.0.1"],
    6: ["fd00:5::5", "2606:4700::1111", "fd00:2021:1111::1", "fd00:2021:1111::9"],
}


def probe(direction: Direction, near: str, far: str, protocol: str, port: int) -> bytes:
    ends = (near, far) if protocol == "icmp" else (at(near, 5401), at(far, port))
    flow = " > ".join(ends if direction is Direction.OUTBOUND else ends[::-1])
    match protocol:
        case "tcp":
            return tcp(flow)
        case "udp":
            return udp(flow)
    return icmp_echo(flow, reply=direction is Direction.INBOUND)


PROBES = [
    (
        (near, far, protocol, port),
        {direction: probe(direction, near, far, protocol, port) for direction in Direction},
    )
    for version, nears in ((4, IPV4[:3]), (6, IPV6[:3]))
    for near in nears
    for far in FAR[version]
    for protocol, port in (("tcp", 80), ("tcp", 443), ("udp", 443), ("icmp", 0))
]


class Twins:
    """A gateway with its portal, and the model of both."""

    def __init__(self) -> None:
        own = TunnelAddresses("100.64.0.1", "fd00:2021:1111::1")
        self.gateway = Gateway(own, options=GatewayOptions(reject=False, own_filters=()))
        self.portal = PortalSession(self.gateway)
        self.model = Model()

    def message(self, sent: Json, now: float) -> None:
        """Receive a message that is well formed."""
        if self.model.objects(sent, now):
            lost = self.model.withdraw(copy.deepcopy(sent), now)
            assert set(self.refuse(sent, now).revoked_from) == lost
        else:
            self.portal.receive(sent, now)
            self.model.receive(copy.deepcopy(sent), now)

    def connect(self, client_id: str, now: float) -> None:
        own = CLIENTS.index(client_id)
        described = {"ipv4": IPV4[own], "ipv6": IPV6[own]}
        addresses = TunnelAddresses(**described)
        taken = self.model.cannot_have(client_id, addresses.present())
        if not taken:
            self.gateway.client_connected(client_id, addresses, now)
            self.model.advance(now)
            self.model.connect(client_id, addresses.present())

    def disconnect(self, client_id: str, now: float) -> None:
        self.gateway.handle_timeout(now)
        self.gateway.client_disconnected(client_id)
        self.model.advance(now)
        self.model.disconnect(client_id)

    def refuse(self, sent: Json, now: float) -> InvalidMessage:
        error = refusal_of(self.portal, sent, now)
        assert error is not None
        return error

    def try_out(self, sent: Json, parsed: Json, now: float) -> None:
        """Receive anything."""
        if refusal_of(self.portal, sent, now) is None:
            self.model.receive(copy.deepcopy(parsed()), now)
            self.agree()

    def agree(self) -> None:
        gateway, model = self.gateway, self.model
        assert gateway.clients() == tuple(model.clients)
        for client_id, client in model.clients.items():
            assert gateway.authorizations(client_id) == {
                resource_id: held.expires_at for resource_id, held in client.held.items()
            }
        assert gateway.poll_timeout() == model.timeout()
        assert gateway._context.addresses.present() == model.own
        assert gateway._now == (model.now or 0)
        waiting = gateway._clients.events.waiting()
        assert set(waiting) == {
            *(AuthorizationExpired(*key, end) for key, end in model.expired.items()),
            *(AccessExhausted(client_id) for client_id in model.exhausted),
        }
        for asked, packets in PROBES:
            expected = model.permits(*asked)
            for direction, packet in packets.items():
                assert gateway.handle_packet(direction, packet).allowed is expected


def twins_after(story: list[tuple[Any, ...]]) -> Twins:
    twins = Twins()
    for step, *arguments in story:
        getattr(twins, step)(*arguments)
    return twins


@settings(max_examples=100)
@given(steps())
@example(EVERYTHING)
def test_any_story_of_messages_is_what_the_model_says(story: list[tuple[Any, ...]]) -> None:
    twins = Twins()
    for step, *arguments in story:
        getattr(twins, step)(*arguments)
        twins.agree()


TIMES = st.sampled_from([NOW, NOW + 1, NOW + 2])


@settings(max_examples=100)
@given(steps(), broken, TIMES)
def test_a_damaged_message_is_an_error_or_an_effect_never_half_of_one(
    story: list[tuple[Any, ...]], sent: Json, now: float
) -> None:
    sent = sent if isinstance(sent, dict) else json.dumps(sent)
    twins_after(story).try_out(sent, lambda: sent, now)


@settings(max_examples=100)
@given(steps(), broken.map(json.dumps), TIMES)
def test_the_text_of_a_damaged_message_is_an_error_or_an_effect(
    story: list[tuple[Any, ...]], sent: str, now: float
) -> None:
    twins_after(story).try_out(sent, lambda: json.loads(sent), now)


@settings(max_examples=100)
@given(steps(), mangled(), TIMES)
def test_a_mangled_text_is_an_error_or_an_effect(
    story: list[tuple[Any, ...]], sent: bytes, now: float
) -> None:
    twins_after(story).try_out(sent, lambda: json.loads(sent), now)


@given(steps(), doubled())
def test_a_field_that_stands_twice_is_an_error(story: list[tuple[Any, ...]], sent: str) -> None:
    assert "given more than once" in str(twins_after(story).refuse(sent, NOW + 2))


@given(st.one_of(st.binary(), st.text()))
@example(b'{"event":"init","payload":{"interface":')
@example('{"event":"\\ud800","payload":{}}')
@example("[" * 100_000)
@example('{"event":"init","payload":' * 1_000)
@example("9" * 10_000)
def test_any_bytes_and_any_text_are_an_error(sent: bytes | str) -> None:
    Twins().refuse(sent, NOW)


@given(steps(), messages)
@example([], EVERYTHING[1][1])
@example([], INIT)
@example(EVERYTHING[:2], GRANT_TOO_FAR)
def test_text_bytes_and_mapping_say_the_same(story: list[tuple[Any, ...]], sent: Json) -> None:
    text = json.dumps(sent)
    first, *others = [outcome(story, form) for form in (sent, text, text.encode())]
    assert others == [first, first]


def outcome(story: list[tuple[Any, ...]], sent: Json) -> object:
    twins = twins_after(story)
    try:
        answers = twins.portal.receive(sent, NOW + 2)
    except InvalidMessage as error:
        return error.faults
    gateway = twins.gateway
    return answers, {one: gateway.authorizations(one) for one in gateway.clients()}


@given(resources)
def test_policy_files_and_messages_read_a_resource_alike(resource: Json) -> None:
    twins = Twins()
    create = json.loads(ACTED_ON["create_authorization"])
    create["payload"] |= {"resource": resource}
    twins.portal.receive(create, NOW)
    client_id = create["payload"]["client"]["id"]
    authorization = twins.gateway._clients.authorization(client_id, resource["id"], NOW)
    assert authorization is not None
    client = {"id": "alice", "ipv4": IPV4[0], "authorizations": [{"resource": resource}]}
    policy = load_policy({"gateway": {"ipv4": IPV4[3]}, "clients": [client]})
    assert authorization.resource == policy.clients[0].authorizations[0].resource
