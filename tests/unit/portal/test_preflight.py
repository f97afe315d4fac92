"""What the gateway would refuse, and wrong arguments: nothing of it takes effect."""

import math
import pickle
from collections.abc import Callable

import pytest

from firezone_filter import (
    AddressInUse,
    FirezoneFilterError,
    Gateway,
    GatewayOptions,
    InvalidAddress,
    InvalidMessage,
    InvalidPolicy,
    InvalidTime,
    PortalSession,
    TunnelAddresses,
)
from tests.portal import (
    ALICE,
    ALLOW,
    BOB,
    BOBS,
    CREATE,
    EXPIRY,
    EXTENDED,
    INIT,
    NAMED,
    NOW,
    OWN,
    RESOURCES,
    Json,
    corp,
    fault_of,
    grant,
    message,
    named,
    session,
    snapshot,
    story,
    updated,
)

# --- What the gateway would refuse -------------------------------------------------------------

OUTSIDE = "is outside the plan's tunnel ranges"

REFUSED: list[tuple[Json, str, type[FirezoneFilterError]]] = [
    (
        grant(ipv4="10.0.0.1"),
        f"payload.client.ipv4: 10.0.0.1 {OUTSIDE}",
        InvalidAddress,
    ),
    (
        grant(ipv6="fd00:2022::1"),
        f"payload.client.ipv6: fd00:2022::1 {OUTSIDE}",
        InvalidAddress,
    ),
    (
        grant(ipv4="100.96.0.1"),
        f"payload.client.ipv4: 100.96.0.1 {OUTSIDE}",
        InvalidAddress,
    ),
    (
        grant(ipv4=str(OWN.ipv4)),
        "payload.client.ipv4: 100.64.0.1 is the gateway's own",
        InvalidAddress,
    ),
    (
        grant(ipv6=str(BOBS.ipv6)),
        "payload.client.ipv6: fd00:2021:1111::3 belongs to 'bob'",
        AddressInUse,
    ),
    (
        grant(**(BOB | {"id": "carol"})),
        "payload.client.ipv4: 100.64.0.3 belongs to 'bob'\npayload.client.ipv6: ",
        AddressInUse,
    ),
    (
        message(ALLOW, client_ipv4=str(BOBS.ipv4)),
        "payload.client_ipv4: 100.64.0.3 belongs to 'bob'",
        AddressInUse,
    ),
    (
        message(INIT, **{"interface.ipv4": "100.64.0.3"}),
        "payload.interface.ipv4: 100.64.0.3 belongs to 'bob'",
        AddressInUse,
    ),
    (
        message(INIT, **{"interface.ipv6": "fd00:2022::1"}),
        f"payload.interface.ipv6: fd00:2022::1 {OUTSIDE}",
        InvalidAddress,
    ),
    (
        message(ALLOW, **{"payload.name": "a.example.com"}),
        "payload.payload.name: '*.mycorp.com' does not stand for 'a.example.com'",
        InvalidPolicy,
    ),
    (
        message(ALLOW, **{"resource": corp(), "payload.name": "gitlab.mycorp.com"}),
        "payload.payload.name: CidrResource(",
        InvalidPolicy,
    ),
    (
        message(ALLOW, **{"payload.proxy_ips": ["100.64.0.9"]}),
        "payload.payload.proxy_ips: 100.64.0.9 is outside the plan's DNS ranges",
        InvalidAddress,
    ),
    (
        message(ALLOW, **{"payload.proxy_ips": ["100.96.0.1"] * 2}),
        "payload.payload.proxy_ips: proxy address 100.96.0.1 is given twice",
        InvalidAddress,
    ),
]


@pytest.mark.parametrize(("sent", "fault", "cause"), REFUSED)
def test_what_a_hook_would_refuse_is_a_fault_with_its_error_as_the_cause(
    sent: Json, fault: str, cause: type[FirezoneFilterError]
) -> None:
    error = fault_of(sent)
    assert str(error).startswith(fault)
    assert type(error.__cause__) is cause


def test_the_holder_of_an_address_can_be_told_from_the_cause() -> None:
    cause = fault_of(grant(ipv4=str(BOBS.ipv4))).__cause__
    assert isinstance(cause, AddressInUse)
    assert cause.client_id == "bob"


def test_what_no_hook_has_refused_has_no_cause() -> None:
    assert fault_of(message(CREATE, ref=5)).__cause__ is None


def test_the_addresses_of_the_messages_gateway_are_outside_the_default_plan() -> None:
    portal = PortalSession(Gateway(OWN))
    with pytest.raises(InvalidMessage) as caught:
        portal.receive(INIT, NOW)
    assert caught.value.faults == (
        f"payload.interface.ipv4: 100.115.164.78 {OUTSIDE}",
        f"payload.interface.ipv6: fd00:2021:1111::2c:f6ab {OUTSIDE}",
    )


@pytest.mark.parametrize(
    ("resource", "shown"),
    [
        (named(id=corp()["id"]), "'dns' is not 'cidr', as which a client has 'c77"),
        (RESOURCES[2] | {"id": NAMED}, "'internet' is not 'dns', as which a client has '57f"),
        (corp(id=RESOURCES[2]["id"]), "'cidr' is not 'internet', as which a client has '110"),
    ],
)
def test_a_resource_does_not_change_its_type_while_a_client_has_it(
    resource: dict[str, Json], shown: str
) -> None:
    assert str(fault_of(grant(resource))).startswith(f"payload.resource.type: {shown}")
    assert str(fault_of(updated(resource))).startswith(f"payload.type: {shown}")


# --- Expiries --------------------------------------------------------------------------------

FIFTY_YEARS = 50 * 31_557_600

FAR = [
    lambda at: message(CREATE, expires_at=at),
    lambda at: message(ALLOW, expires_at=at),
    lambda at: message(EXTENDED, expires_at=at),
    lambda at: message(EXTENDED, client_id="nobody", expires_at=at),
    lambda at: message(INIT, **{"authorizations[0].expires_at": at}),
]


@pytest.mark.parametrize("sent", FAR)
def test_an_expiry_that_is_too_far_ahead_is_a_fault(sent: Callable[[int], Json]) -> None:
    error = fault_of(sent(int(NOW) + FIFTY_YEARS + 6))
    assert "is more than 50 years after now" in str(error)
    assert type(error.__cause__) is InvalidTime


@pytest.mark.parametrize("sent", FAR)
def test_how_far_an_expiry_lies_ahead_is_counted_from_the_time_of_the_message(
    sent: Callable[[int], Json],
) -> None:
    _, portal = story()
    portal.receive(sent(int(NOW) + FIFTY_YEARS + 5), NOW + 5)


@pytest.mark.parametrize("sent", FAR)
def test_how_far_an_expiry_lies_ahead_is_counted_from_the_latest_time(
    sent: Callable[[int], Json],
) -> None:
    _, portal = story()
    portal.receive(sent(int(NOW) + FIFTY_YEARS), NOW - 5)


@pytest.mark.parametrize("sent", FAR[:2])
def test_how_far_a_first_expiry_lies_ahead_is_counted_from_the_first_time(
    sent: Callable[[int], Json],
) -> None:
    told, portal = session()
    with pytest.raises(InvalidMessage, match="two clocks mixed"):
        portal.receive(sent(FIFTY_YEARS + 6), 5)
    portal.receive(sent(FIFTY_YEARS + 5), 5)
    assert ALICE in told


def test_the_largest_number_of_the_portal_is_too_far_ahead() -> None:
    assert "two clocks mixed" in str(fault_of(message(CREATE, expires_at=2**64 - 1)))


# --- Other arguments ---------------------------------------------------------------------------


@pytest.mark.parametrize("sent", [None, 5, ["init"], bytearray(b"{}"), memoryview(b"{}")])
def test_what_is_no_message_at_all_is_a_type_error(sent: Json) -> None:
    told, portal = story()
    before = snapshot(told)
    with pytest.raises(TypeError, match="message is a str or bytes or Mapping"):
        portal.receive(sent, NOW + 5)
    assert snapshot(told) == before


@pytest.mark.parametrize(
    ("now", "error"),
    [(None, TypeError), (True, TypeError), ("5", TypeError)]
    + [(now, InvalidTime) for now in (math.inf, -math.inf, math.nan, 10**400)],
)
@pytest.mark.parametrize("text", [CREATE, '{"event":"x","payload":{}}'])
def test_a_message_needs_a_time(text: str, now: Json, error: type[Exception]) -> None:
    told, portal = story()
    before = snapshot(told)
    with pytest.raises(error):
        portal.receive(text, now)
    assert snapshot(told) == before


def test_a_session_is_for_a_gateway() -> None:
    with pytest.raises(TypeError, match="gateway is a Gateway"):
        PortalSession(None)  # type: ignore[arg-type]  # the mistake


def test_a_fault_of_a_message_expires_nothing_that_is_due() -> None:
    told, portal = session(CREATE)
    with pytest.raises(InvalidMessage):
        portal.receive(message(CREATE, ref=5), EXPIRY + 5)
    assert told.authorizations(ALICE)
    assert told.poll_event() is None


def test_a_fault_keeps_its_facts_through_pickle() -> None:
    error = fault_of(message(CREATE, ref=5))
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert (type(again), again.args, vars(again)) == (InvalidMessage, error.args, vars(error))


def test_a_fault_is_a_value_error_of_the_library() -> None:
    assert issubclass(InvalidMessage, FirezoneFilterError)
    assert issubclass(InvalidMessage, ValueError)


def test_the_example_of_a_fault_names_field_and_value() -> None:
    portal = PortalSession(Gateway(TunnelAddresses("100.64.0.1"), options=GatewayOptions()))
    with pytest.raises(InvalidMessage, match=r"^payload\.client\.ipv4: 10\.0\.0\.1 is outside"):
        portal.receive(grant(ipv4="10.0.0.1"), NOW)
