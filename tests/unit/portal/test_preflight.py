"""Messages that the gateway would refuse: each is found before any part of it takes effect."""

from collections.abc import Callable

import pytest

from firezone_filter import (
    AddressInUse,
    FirezoneFilterError,
    Gateway,
    InvalidAddress,
    InvalidMessage,
    InvalidPolicy,
    InvalidTime,
    PortalSession,
)
from tests.portal import (
    ALICE,
    ALLOW,
    BOB,
    BOBS,
    CREATE,
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
    story,
    updated,
)

# --- Addresses, names and types -----------------------------------------------------------

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
def test_a_refusal_of_a_hook_is_a_fault_with_the_error_as_its_cause(
    sent: Json, fault: str, cause: type[FirezoneFilterError]
) -> None:
    error = fault_of(sent)
    assert str(error).startswith(fault)
    assert type(error.__cause__) is cause


def test_the_cause_names_the_holder_of_an_address() -> None:
    cause = fault_of(grant(ipv4=str(BOBS.ipv4))).__cause__
    assert isinstance(cause, AddressInUse)
    assert cause.client_id == "bob"


def test_a_fault_that_no_hook_would_find_has_no_cause() -> None:
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

FAR: dict[str, Callable[[int], Json]] = {
    "create": lambda at: message(CREATE, expires_at=at),
    "allow": lambda at: message(ALLOW, expires_at=at),
    "extend": lambda at: message(EXTENDED, expires_at=at),
    "extend nobody's": lambda at: message(EXTENDED, client_id="nobody", expires_at=at),
    "init": lambda at: message(INIT, **{"authorizations[0].expires_at": at}),
}
each_expiry = pytest.mark.parametrize("sent", FAR.values(), ids=FAR.keys())


@each_expiry
def test_an_expiry_that_is_too_far_ahead_is_a_fault(sent: Callable[[int], Json]) -> None:
    error = fault_of(sent(int(NOW) + FIFTY_YEARS + 6))
    assert "is more than 50 years after now" in str(error)
    assert type(error.__cause__) is InvalidTime


@pytest.mark.parametrize(("now", "latest"), [(NOW + 5, NOW + 5), (NOW - 5, NOW)])
@each_expiry
def test_fifty_years_are_counted_from_the_latest_time(
    sent: Callable[[int], Json], now: float, latest: float
) -> None:
    _, portal = story()
    portal.receive(sent(int(latest) + FIFTY_YEARS), now)


@pytest.mark.parametrize("sent", [FAR["create"], FAR["allow"]], ids=["create", "allow"])
def test_fifty_years_are_counted_from_the_first_time(
    sent: Callable[[int], Json],
) -> None:
    told, portal = session()
    with pytest.raises(InvalidMessage, match="two clocks mixed"):
        portal.receive(sent(FIFTY_YEARS + 6), 5)
    portal.receive(sent(FIFTY_YEARS + 5), 5)
    assert ALICE in told


def test_the_largest_integer_of_the_portal_is_too_far_ahead() -> None:
    error = fault_of(message(CREATE, expires_at=2**64 - 1))
    assert isinstance(error.__cause__, InvalidTime)
