"""Section 6, `domain_resolved`: what stands behind a proxy address, and who says so."""

import ipaddress
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import pytest

from firezone_filter import (
    AddressPlan,
    CidrResource,
    DnsResource,
    Drop,
    FirezoneFilterError,
    Gateway,
    InternetResource,
    InvalidAddress,
    InvalidPolicy,
    Reason,
    Reject,
    Tcp,
    Translate,
    TunnelAddresses,
    Udp,
    UnknownClient,
    UnknownResource,
)
from tests.builders import udp
from tests.observed import assert_unchanged
from tests.scenes import (
    ALICE,
    INBOUND,
    OUTBOUND,
    V4,
    V6,
    gateway_for_alice,
    refusal,
    rejection,
)
from tests.translations import (
    EXPIRED,
    GONE,
    N4,
    N6,
    NAME,
    Names,
    app,
    both_names,
    gateway_in_use,
    gateway_with,
    resolve,
    through,
)

OTHER_NAME = "db.example.com"


def behind(gateway: Gateway, names: Names, proxy: str, number: int = 5401) -> str | Reason:
    """Tell where a packet to a proxy address goes, or why it goes nowhere."""
    decision = gateway.handle_packet(OUTBOUND, names.sent(number=number, far=proxy))
    if not isinstance(decision, Translate):
        assert isinstance(decision, Reject)
        return decision.reason
    version = decision.packet[0] >> 4
    destination = decision.packet[16:20] if version == 4 else decision.packet[24:40]
    return str(ipaddress.ip_address(destination))


# --- Errors, each of which changes nothing -------------------------------------------------

# Arguments of a call that would renumber, and so end the session and every translation.
PROPER: dict[str, Any] = {
    "client_id": "alice",
    "resource_id": "app",
    "domain": OTHER_NAME,
    "proxy_addresses": [*N4.proxies, *N6.proxies],
    "resolved_addresses": [N4.real[2], N6.real[2]],
}


def call(gateway: Gateway, **changed: Any) -> None:  # noqa: ANN401 - anything at all
    arguments = PROPER | changed
    ids = [arguments.pop(name) for name in ("client_id", "resource_id", "domain")]
    gateway.domain_resolved(*ids, **arguments)


def gateway_with_everything() -> Gateway:
    """Have both families translated, with a session in each, beside other resources."""
    gateway = gateway_for_alice(V4.db(Udp(53)), app(Udp()), InternetResource("web"))
    resolve(gateway, N4, proxies=[*N4.proxies, *N6.proxies], real=[N4.real[0], N6.real[0]])
    for names in (N4, N6):
        sent = names.sent(far=names.real[0])
        assert gateway.handle_packet(OUTBOUND, names.sent()) == through(sent)
    return gateway


def test_the_proper_call_renumbers_which_is_what_the_others_must_not() -> None:
    gateway = gateway_with_everything()
    call(gateway)
    for names in (N4, N6):
        assert gateway.handle_packet(INBOUND, names.came()) != through(
            names.came(far=names.proxies[0])
        )
        assert behind(gateway, names, names.proxies[3]) == names.real[2]


def many_proxies(count: int) -> list[str]:
    first = IPv4Address("100.97.0.0")
    return [str(first + number) for number in range(count)]


@pytest.mark.parametrize(
    ("changed", "error", "value"),
    [
        ({"client_id": "nobody"}, UnknownClient, "nobody"),
        ({"client_id": ""}, UnknownClient, ""),
        ({"client_id": "bob"}, UnknownResource, "app"),
        ({"resource_id": "nothing"}, UnknownResource, "nothing"),
        ({"resource_id": ""}, UnknownResource, ""),
        ({"resource_id": "db"}, InvalidPolicy, V4.db(Udp(53))),
        ({"resource_id": "web"}, InvalidPolicy, InternetResource("web")),
        ({"domain": "example.org"}, InvalidPolicy, "example.org"),
        ({"domain": "app.example.com.evil.org"}, InvalidPolicy, "app.example.com.evil.org"),
        ({"domain": "notexample.com"}, InvalidPolicy, "notexample.com"),
        ({"domain": ""}, InvalidPolicy, ""),
        ({"domain": "."}, InvalidPolicy, "."),
        ({"domain": "*.example.com"}, InvalidPolicy, "*.example.com"),
        ({"domain": "a..example.com"}, InvalidPolicy, "a..example.com"),
        ({"domain": "bücher.example.com"}, InvalidPolicy, "bücher.example.com"),
        ({"proxy_addresses": ["bogus"]}, InvalidAddress, "bogus"),
        ({"proxy_addresses": [""]}, InvalidAddress, ""),
        ({"proxy_addresses": ["100.96.0.1/32"]}, InvalidAddress, "100.96.0.1/32"),
        (
            {"proxy_addresses": ["fd00:2021:1111:8000::1%eth0"]},
            InvalidAddress,
            "fd00:2021:1111:8000::1%eth0",
        ),
        ({"resolved_addresses": ["bogus"]}, InvalidAddress, "bogus"),
        ({"resolved_addresses": [N4.real[0], "10.0.0.256"]}, InvalidAddress, "10.0.0.256"),
        (
            {"proxy_addresses": [N4.proxies[0], N4.proxies[0]]},
            InvalidAddress,
            IPv4Address(N4.proxies[0]),
        ),
        (
            {"proxy_addresses": [N6.proxies[0], "fd00:2021:1111:8000:0::1"]},
            InvalidAddress,
            IPv6Address(N6.proxies[0]),
        ),
        # Beside the 8 that there are.
        ({"proxy_addresses": many_proxies(1_017)}, InvalidPolicy, 1_025),
    ],
)
def test_a_wrong_value_raises_and_changes_nothing(
    changed: dict[str, Any], error: type[FirezoneFilterError], value: object
) -> None:
    gateway = gateway_with_everything()
    with pytest.raises(error) as caught:
        call(gateway, **changed)
    assert caught.value.value == value
    assert_unchanged(gateway, gateway_with_everything)


@pytest.mark.parametrize(
    ("proxy", "inside"),
    [
        ("100.95.255.255", False),
        ("100.96.0.0", True),
        ("100.127.255.255", True),
        ("100.128.0.0", False),
        ("fd00:2021:1111:7fff:ffff:ffff:ffff:ffff", False),
        ("fd00:2021:1111:8000::", True),
        ("fd00:2021:1111:8000:0:0:1f:ffff", True),
        ("fd00:2021:1111:8000:0:0:20:0", False),
        (V4.client, False),
        (V4.gateway, False),
        (V6.gateway, False),
        (V4.host, False),
        (V4.public, False),
    ],
)
def test_a_proxy_address_is_in_the_dns_ranges(proxy: str, *, inside: bool) -> None:
    gateway = gateway_with_everything()
    names = N6 if ":" in proxy else N4
    if inside:
        call(gateway, domain=NAME, proxy_addresses=[proxy])
        assert behind(gateway, names, proxy) == names.real[2]
        assert behind(gateway, names, names.proxies[0]) == names.real[0]
    else:
        with pytest.raises(InvalidAddress) as caught:
            call(gateway, proxy_addresses=[*N4.proxies, proxy])
        assert caught.value.value == ipaddress.ip_address(proxy)
        assert_unchanged(gateway, gateway_with_everything)


@pytest.mark.parametrize(
    "changed",
    [
        {"client_id": None},
        {"client_id": 7},
        {"client_id": b"alice"},
        {"resource_id": None},
        {"resource_id": 7},
        {"resource_id": app()},
        {"domain": None},
        {"domain": 7},
        {"domain": OTHER_NAME.encode()},
        {"proxy_addresses": None},
        {"proxy_addresses": 7},
        {"proxy_addresses": [None]},
        {"proxy_addresses": [7]},
        {"proxy_addresses": [b"\x64\x60\x00\x01"]},
        {"proxy_addresses": [ipaddress.ip_network("100.96.0.1")]},
        {"proxy_addresses": [ipaddress.ip_interface("100.96.0.1")]},
        {"resolved_addresses": None},
        {"resolved_addresses": 7},
        {"resolved_addresses": [None]},
        {"resolved_addresses": [7]},
        {"resolved_addresses": [N4.real[0], True]},
        {"resolved_addresses": [b"\xc6\x33\x64\x09"]},
    ],
    ids=repr,
)
def test_a_wrong_type_raises_and_changes_nothing(changed: dict[str, Any]) -> None:
    gateway = gateway_with_everything()
    with pytest.raises(TypeError):
        call(gateway, **changed)
    assert_unchanged(gateway, gateway_with_everything)


@pytest.mark.parametrize("name", ["proxy_addresses", "resolved_addresses"])
@pytest.mark.parametrize(
    "value",
    [
        "100.96.0.1",
        b"\x64\x60\x00\x01",
        IPv4Address("100.96.0.1"),
        IPv6Address(N6.proxies[0]),
        ipaddress.ip_network("100.96.0.0/30"),
        {"100.96.0.1": "100.96.0.2"},
    ],
    ids=repr,
)
def test_an_address_by_itself_is_no_iterable_of_addresses(name: str, value: object) -> None:
    gateway = gateway_with_everything()
    with pytest.raises(TypeError):
        call(gateway, **{name: value})
    assert_unchanged(gateway, gateway_with_everything)


@pytest.mark.parametrize(
    "changed",
    [
        {"proxy_addresses": [*N4.proxies, "bogus", V4.host, None]},
        {"proxy_addresses": [*N4.proxies, *N4.proxies], "resolved_addresses": ["bogus"]},
        {"client_id": "nobody", "resource_id": "nothing", "domain": "??"},
        {"domain": "example.org", "proxy_addresses": [V4.host], "resolved_addresses": ["x"]},
        {"resource_id": "db", "proxy_addresses": many_proxies(2_000) * 2},
        {"resolved_addresses": [N4.real[0], "fe80::1%eth0", "127.0.0.1", "", object()]},
    ],
    ids=range(6),
)
def test_mixed_garbage_raises_and_changes_nothing(changed: dict[str, Any]) -> None:
    gateway = gateway_with_everything()
    with pytest.raises((FirezoneFilterError, TypeError)):
        call(gateway, **changed)
    assert_unchanged(gateway, gateway_with_everything)


def test_an_iterable_that_raises_half_way_changes_nothing() -> None:
    gateway = gateway_with_everything()
    with pytest.raises(ZeroDivisionError):
        call(gateway, proxy_addresses=(N4.proxies[1 // place] for place in (1, 0)))
    assert_unchanged(gateway, gateway_with_everything)


def test_only_connected_clients_are_known() -> None:
    gateway = gateway_with_everything()
    gateway.client_disconnected("alice")
    with pytest.raises(UnknownClient):
        call(gateway)


def test_after_a_revocation_the_resource_is_unknown() -> None:
    gateway = gateway_with_everything()
    gateway.revoke("alice", "app")
    with pytest.raises(UnknownResource):
        call(gateway)


def test_after_a_reconnect_every_resource_is_unknown() -> None:
    gateway = gateway_with_everything()
    gateway.client_connected("alice", ALICE)
    with pytest.raises(UnknownResource):
        call(gateway)


# --- 1,024 proxies a client ----------------------------------------------------------------


def test_a_client_may_have_1024_proxies_and_not_1025() -> None:
    gateway = gateway_for_alice(app())
    for count in (1_025, 2_000):
        with pytest.raises(InvalidPolicy):
            resolve(gateway, N4, proxies=many_proxies(count))
    assert behind(gateway, N4, "100.97.0.0") == Reason.NO_RESOURCE
    resolve(gateway, N4, proxies=many_proxies(1_024))
    assert behind(gateway, N4, "100.97.3.255") == N4.real[0]


def test_proxies_of_all_names_and_families_count_together() -> None:
    gateway = gateway_for_alice(app())
    resolve(gateway, N4, proxies=many_proxies(1_000))
    resolve(gateway, N6, proxies=[f"fd00:2021:1111:8000::a:{n:x}" for n in range(23)])
    last = ["100.98.0.1", "100.98.0.2"]
    with pytest.raises(InvalidPolicy):
        resolve(gateway, N4, proxies=last, domain=OTHER_NAME)
    assert behind(gateway, N4, last[0]) == Reason.NO_RESOURCE
    resolve(gateway, N4, proxies=last[:1], domain=OTHER_NAME)
    assert behind(gateway, N4, last[0]) == N4.real[0]
    resolve(gateway, N4, proxies=many_proxies(1_000), real=N4.real[1:2])
    assert behind(gateway, N4, "100.97.0.0", number=2) == N4.real[1]


def test_renumbering_at_the_limit_makes_room() -> None:
    gateway = gateway_for_alice(app())
    resolve(gateway, N4, proxies=many_proxies(1_024))
    moved = many_proxies(2_047)[1_023:]
    resolve(gateway, N4, proxies=moved, domain=OTHER_NAME)
    assert behind(gateway, N4, moved[0]) == N4.real[0]
    assert behind(gateway, N4, "100.97.0.0") == Reason.NO_RESOURCE


def test_a_revocation_makes_room() -> None:
    gateway = gateway_for_alice(app(), DnsResource("other", "**.example.com"))
    resolve(gateway, N4, proxies=many_proxies(1_024))
    gateway.revoke("alice", "app")
    resolve(gateway, N4, proxies=many_proxies(1_024), resource_id="other")


def test_each_client_has_its_own_proxies() -> None:
    gateway = gateway_for_alice(app())
    gateway.authorize("bob", app())
    resolve(gateway, N4, proxies=many_proxies(1_024))
    call(gateway, client_id="bob", proxy_addresses=many_proxies(1_024), domain=OTHER_NAME)
    assert behind(gateway, N4, "100.97.0.0") == N4.real[0]


# --- Rebinding -----------------------------------------------------------------------------

LEFT_OUT = [
    *("0.0.0.0", "0.255.255.255"),  # noqa: S104 - nothing is bound to it
    *("127.0.0.0", "127.0.0.1", "127.255.255.255"),
    *("169.254.0.0", "169.254.169.254", "169.254.255.255"),
    *("224.0.0.0", "224.0.0.1", "239.255.255.255", "255.255.255.255"),
    *("100.64.0.0", V4.gateway, V4.client, V4.neighbour, "100.95.255.255"),
    *("100.96.0.0", *N4.proxies, "100.127.255.255"),
    *("::", "::1"),
    *("::ffff:0:0", "::ffff:10.0.0.5", "::ffff:255.255.255.255"),
    *("fe80::", "fe80::1", "fe80::1%eth0", "2001:db8::1%eth0", "febf:ffff::1"),
    *("ff00::", "ff02::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    *("fd00:2021:1111::", V6.gateway, V6.client, "fd00:2021:1111::1f:ffff"),
    *("fd00:2021:1111:8000::", *N6.proxies, "fd00:2021:1111:8000::1f:ffff"),
]
JUST_OUTSIDE = [
    *("1.0.0.0", "126.255.255.255", "128.0.0.0"),
    *("169.253.255.255", "169.255.0.0", "223.255.255.255"),
    *("240.0.0.0", "255.255.255.254"),
    *("100.63.255.255", "100.128.0.0", "10.0.0.5", "192.168.1.1"),
    *("::2", "::fffe:ffff:ffff", "::1:0:0:0", "fdff::1", "fd00:2021:1111::20:0"),
    *("fe7f:ffff::1", "fec0::1", "fd00:2021:1111:8000::20:0"),
    *("feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "64:ff9b::7f00:1"),
]


def names_of(address: str) -> Names:
    return N6 if ":" in address else N4


@pytest.mark.parametrize("address", LEFT_OUT)
def test_an_address_that_no_name_server_may_name_is_left_out(address: str) -> None:
    names = names_of(address)
    gateway = gateway_for_alice(app())
    resolve(gateway, names, proxies=names.proxies, real=[address])
    assert behind(gateway, names, names.proxies[0]) == Reason.NO_TRANSLATION


@pytest.mark.parametrize("address", LEFT_OUT)
def test_what_is_left_out_takes_no_turn_in_the_round(address: str) -> None:
    names = names_of(address)
    gateway = gateway_for_alice(app())
    resolve(gateway, names, proxies=names.proxies, real=[address, *names.real[:2], address])
    found = [behind(gateway, names, proxy) for proxy in names.proxies]
    assert found == [*names.real[:2]] * 2


@pytest.mark.parametrize("address", JUST_OUTSIDE)
def test_the_neighbours_of_what_is_left_out_are_translated_to(address: str) -> None:
    names = names_of(address)
    gateway = gateway_for_alice(app())
    resolve(gateway, names, real=[address])
    found = behind(gateway, names, names.proxies[0])
    assert found == str(ipaddress.ip_address(address))


def test_the_ranges_that_are_left_out_are_those_of_the_plan() -> None:
    plan = AddressPlan(tunnel=["10.9.0.0/24"], dns_resources=["10.9.1.0/24"])
    gateway = Gateway(TunnelAddresses("10.9.0.1"), address_plan=plan)
    gateway.client_connected("alice", TunnelAddresses("10.9.0.2"), 0.0)
    gateway.authorize("alice", app())
    told = ["10.9.0.3", "10.9.1.3", "10.9.2.3", "100.96.0.1"]
    resolve(gateway, N4, proxies=["10.9.1.1", "10.9.1.2", "10.9.1.3"], real=told)
    packet = N4.sent(far="10.9.1.1")
    assert gateway.handle_packet(OUTBOUND, packet) == Drop(Reason.UNKNOWN_CLIENT, None)
    for proxy, real in (("10.9.1.1", "10.9.2.3"), ("10.9.1.2", "100.96.0.1")):
        sent = moved(N4.sent(far=proxy))
        expected = through(moved(N4.sent(far=real)))
        assert gateway.handle_packet(OUTBOUND, sent) == expected


def moved(packet: bytes) -> bytes:
    """Let a UDP packet without payload come from 10.9.0.2."""
    flow = f"10.9.0.2:5401 > {IPv4Address(packet[16:20])}:443"
    return udp(flow)


# --- Round robin ---------------------------------------------------------------------------


@both_names
def test_proxies_take_the_real_addresses_in_turn_and_in_numeric_order(names: Names) -> None:
    gateway = gateway_for_alice(app())
    told = [names.real[2], names.real[0], names.real[1], names.real[0]]
    resolve(gateway, names, proxies=names.proxies, real=told)
    found = [behind(gateway, names, proxy) for proxy in names.proxies]
    assert found == [names.real[0], names.real[1], names.real[2], names.real[0]]


@both_names
def test_the_order_of_the_proxies_is_the_clients(names: Names) -> None:
    gateway = gateway_for_alice(app())
    resolve(gateway, names, proxies=names.proxies[::-1], real=names.real[:2])
    found = [behind(gateway, names, proxy) for proxy in names.proxies]
    assert found == [names.real[1], names.real[0]] * 2


def test_each_family_takes_its_own_turns() -> None:
    gateway = gateway_for_alice(app())
    mixed = [N6.proxies[0], N4.proxies[0], N4.proxies[1], N6.proxies[1]]
    resolve(gateway, N4, proxies=mixed, real=[*N6.real[:2], *N4.real[:2]])
    for names in (N4, N6):
        found = [behind(gateway, names, proxy) for proxy in names.proxies[:2]]
        assert found == [*names.real[:2]]


@both_names
def test_a_family_without_addresses_has_no_translation(names: Names) -> None:
    other = N6 if names is N4 else N4
    gateway = gateway_for_alice(app())
    resolve(gateway, names, proxies=[*N4.proxies, *N6.proxies], real=other.real)
    assert behind(gateway, names, names.proxies[0]) == Reason.NO_TRANSLATION
    assert behind(gateway, other, other.proxies[0]) == other.real[0]


@both_names
def test_a_name_without_addresses_has_no_translation(names: Names) -> None:
    gateway = gateway_for_alice(app())
    resolve(gateway, names, real=[])
    assert behind(gateway, names, names.proxies[0]) == Reason.NO_TRANSLATION


def test_no_translation_is_told_as_network_or_address_unreachable() -> None:
    for names, place, expected in ((N4, 20, (3, 0)), (N6, 40, (1, 3))):
        gateway = gateway_for_alice(app())
        resolve(gateway, names, real=[])
        sent = names.sent("tcp")
        decision = gateway.handle_packet(OUTBOUND, sent)
        assert rejection(decision) == Reason.NO_TRANSLATION
        assert isinstance(decision, Reject)
        assert decision.reply[place : place + 2] == bytes(expected)
        source = decision.reply[12:16] if names is N4 else decision.reply[8:24]
        assert source == ipaddress.ip_address(names.proxies[0]).packed
        assert decision.reply.endswith(sent)


@both_names
def test_before_anything_was_resolved_nothing_covers_a_proxy(names: Names) -> None:
    gateway = gateway_for_alice(app())
    assert behind(gateway, names, names.proxies[0]) == Reason.NO_RESOURCE
    resolve(gateway, names)
    assert behind(gateway, names, names.proxies[1]) == Reason.NO_RESOURCE


# --- Calls that follow each other ----------------------------------------------------------


@both_names
def test_the_last_call_that_names_a_proxy_decides(names: Names) -> None:
    gateway = gateway_for_alice(app())
    for real in names.real:
        resolve(gateway, names, real=[real])
        assert behind(gateway, names, names.proxies[0], number=int(real[-1])) == real


@both_names
def test_proxies_that_are_not_named_again_stay_as_they_were(names: Names) -> None:
    gateway = gateway_for_alice(app())
    resolve(gateway, names, proxies=names.proxies[:2])
    resolve(gateway, names, proxies=names.proxies[1:3], real=names.real[1:2])
    resolve(gateway, names, proxies=[], real=[])
    found = [behind(gateway, names, proxy) for proxy in names.proxies[:3]]
    assert found == [names.real[0], names.real[1], names.real[1]]


@both_names
def test_the_same_name_may_be_written_in_other_ways(names: Names) -> None:
    gateway = gateway_in_use(names)
    resolve(gateway, names, real=names.real[1:2], domain="APP.Example.COM.")
    came = names.came(far=names.proxies[0])
    assert gateway.handle_packet(INBOUND, names.came()) == through(came)


@both_names
def test_two_names_may_stand_for_one_address(names: Names) -> None:
    gateway = gateway_with(names)
    resolve(gateway, names, proxies=names.proxies[1:2], domain=OTHER_NAME)
    first = gateway.handle_packet(OUTBOUND, names.sent())
    other = gateway.handle_packet(OUTBOUND, names.sent(far=names.proxies[1]))
    assert first == through(names.sent(far=names.real[0]))
    assert other == through(names.sent(number=5402, far=names.real[0]))
    for number, proxy in ((5401, names.proxies[0]), (5402, names.proxies[1])):
        back = gateway.handle_packet(INBOUND, names.came(number=number))
        assert back == through(names.came(number=5401, far=proxy))


@both_names
def test_a_proxy_for_another_name_ends_all_translations_and_sessions(names: Names) -> None:
    gateway = gateway_for_alice(app())
    resolve(gateway, names, proxies=names.proxies[:2])
    resolve(gateway, names, proxies=names.proxies[2:3], domain="third.example.com")
    for number, proxy in enumerate(names.proxies[:3], 1):
        gateway.handle_packet(OUTBOUND, names.sent(number=number, far=proxy))
    resolve(gateway, names, proxies=names.proxies[1:2], real=names.real[2:], domain=OTHER_NAME)
    for number in (1, 2, 3):
        assert gateway.handle_packet(INBOUND, names.came(number=number)) == GONE
    found = [behind(gateway, names, proxy) for proxy in names.proxies[:3]]
    assert found == [Reason.NO_RESOURCE, names.real[2], Reason.NO_RESOURCE]


@both_names
def test_renumbering_frees_the_ports_and_the_room(names: Names) -> None:
    gateway = gateway_in_use(names)
    resolve(gateway, names, domain=OTHER_NAME)
    sent = names.sent(far=names.real[0])
    assert gateway.handle_packet(OUTBOUND, names.sent()) == through(sent)


@both_names
def test_renumbering_is_of_one_client_alone(names: Names) -> None:
    gateway = gateway_in_use(names)
    gateway.authorize("bob", app())
    proxies = names.proxies[:1]
    call(gateway, client_id="bob", proxy_addresses=proxies)
    call(gateway, client_id="bob", proxy_addresses=proxies, domain="third.example.com")
    came = names.came(far=names.proxies[0])
    assert gateway.handle_packet(INBOUND, names.came()) == through(came)


@both_names
def test_resolving_again_moves_new_sessions_and_leaves_old_ones_alone(names: Names) -> None:
    gateway = gateway_in_use(names)
    resolve(gateway, names, real=names.real[1:2])
    old, new = names.sent(number=5401), names.sent(number=5402)
    assert gateway.handle_packet(OUTBOUND, old) == through(names.sent(far=names.real[0]))
    assert gateway.handle_packet(OUTBOUND, new) == through(
        names.sent(number=5402, far=names.real[1])
    )
    back = names.came(far=names.proxies[0])
    assert gateway.handle_packet(INBOUND, names.came()) == through(back)


@both_names
def test_sessions_keep_their_address_also_when_none_is_left(names: Names) -> None:
    gateway = gateway_in_use(names)
    resolve(gateway, names, real=[])
    out = gateway.handle_packet(OUTBOUND, names.sent(), 59.0)
    assert out == through(names.sent(far=names.real[0]))
    back = gateway.handle_packet(INBOUND, names.came(), 118.0)
    assert back == through(names.came(far=names.proxies[0]))
    assert behind(gateway, names, names.proxies[0], number=2) == Reason.NO_TRANSLATION
    gateway.handle_timeout(238.0)
    assert behind(gateway, names, names.proxies[0]) == Reason.NO_TRANSLATION


@both_names
def test_resolving_notices_first_which_sessions_are_over(names: Names) -> None:
    gateway = gateway_in_use(names)
    gateway.handle_timeout(60.0)
    resolve(gateway, names)
    assert gateway.handle_packet(INBOUND, names.came()) == EXPIRED


# --- Shared proxies ------------------------------------------------------------------------


def gateway_sharing(names: Names) -> Gateway:
    """Give one proxy to two resources, of the same name."""
    gateway = gateway_with(names, Tcp(443), Udp(443))
    gateway.authorize("alice", DnsResource("bpp", "app.example.com", [Tcp("443-444")]))
    resolve(gateway, names, resource_id="bpp")
    return gateway


@both_names
def test_of_several_resources_the_greatest_id_that_permits_answers(names: Names) -> None:
    gateway = gateway_sharing(names)
    answers = [
        gateway.handle_packet(OUTBOUND, names.sent("tcp", 1, port=443)),
        gateway.handle_packet(OUTBOUND, names.sent("tcp", 1, port=444)),
        gateway.handle_packet(OUTBOUND, names.sent("udp", 1, port=443)),
        gateway.handle_packet(INBOUND, names.came("tcp", 1, port=444)),
        gateway.handle_packet(INBOUND, names.came("udp", 1, port=443)),
    ]
    ids = [answer.resource_id if isinstance(answer, Translate) else None for answer in answers]
    assert ids == ["bpp", "bpp", "app", "bpp", "app"]


@both_names
def test_of_several_that_refuse_the_greatest_id_names_the_reason(names: Names) -> None:
    gateway = gateway_sharing(names)
    sent = names.sent("udp", port=444)
    assert rejection(gateway.handle_packet(OUTBOUND, sent)) == Reason.UDP_PORT
    assert rejection(gateway.handle_packet(OUTBOUND, names.sent("echo"))) == Reason.ICMP


@both_names
def test_a_shared_proxy_lives_as_long_as_one_of_its_authorizations(names: Names) -> None:
    gateway = gateway_sharing(names)
    gateway.handle_packet(OUTBOUND, names.sent("tcp"))
    gateway.revoke("alice", "bpp")
    back = gateway.handle_packet(INBOUND, names.came("tcp"))
    assert back == through(names.came("tcp", far=names.proxies[0]))
    gateway.revoke("alice", "app")
    assert gateway.handle_packet(INBOUND, names.came("tcp")) == GONE
    assert behind(gateway, names, names.proxies[0]) == Reason.NO_RESOURCE


@both_names
def test_after_the_last_authorization_the_name_must_be_resolved_again(names: Names) -> None:
    gateway = gateway_in_use(names)
    gateway.revoke("alice", "app")
    gateway.authorize("alice", app())
    assert gateway.handle_packet(INBOUND, names.came()) == GONE
    assert behind(gateway, names, names.proxies[0]) == Reason.NO_RESOURCE
    resolve(gateway, names, real=names.real[1:2])
    assert gateway.handle_packet(INBOUND, names.came()) == GONE
    assert behind(gateway, names, names.proxies[0]) == names.real[1]


@both_names
def test_an_id_that_is_authorized_again_has_no_share_in_the_old_proxy(names: Names) -> None:
    gateway = gateway_sharing(names)
    gateway.revoke("alice", "bpp")
    gateway.authorize("alice", DnsResource("bpp", "app.example.com"))
    sent = names.sent("tcp", port=444)
    assert rejection(gateway.handle_packet(OUTBOUND, sent)) == Reason.TCP_PORT


# --- The arguments themselves --------------------------------------------------------------


@both_names
def test_iterables_are_read_once_and_objects_are_addresses_too(names: Names) -> None:
    gateway = gateway_for_alice(app())
    gateway.domain_resolved(
        "alice",
        "app",
        NAME,
        proxy_addresses=(ipaddress.ip_address(proxy) for proxy in names.proxies),
        resolved_addresses={ipaddress.ip_address(real) for real in names.real[:2]},
    )
    found = [behind(gateway, names, proxy) for proxy in names.proxies]
    assert found == [*names.real[:2]] * 2


def test_only_dns_resources_are_covered_in_the_dns_ranges() -> None:
    gateway = gateway_for_alice(
        CidrResource("all", "100.0.0.0/8"), InternetResource("net"), app(Udp(443))
    )
    assert behind(gateway, N4, N4.proxies[0]) == Reason.NO_RESOURCE
    resolve(gateway, N4)
    refused = gateway.handle_packet(OUTBOUND, N4.sent(port=444))
    assert refusal(refused) == Reason.UDP_PORT
